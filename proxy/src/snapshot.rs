//! Everything that a connection of one listener needs, as one immutable value.
//!
//! Owns [`Snapshot`] and how it is built from the configuration. A connection takes one `Arc` of
//! it and keeps it; nothing in it changes but what is meant to be shared: certificates and trust in
//! clients, which are swapped as a whole, sessions, pools and counters. Refuses to know sockets.
//! Read next: `connection`.

use std::net::IpAddr;
use std::sync::Arc;

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::CertificateStore;

use crate::access::AccessLog;
use crate::backend::Backend;
use crate::config::{
    self, ClientCertForward, Config, Entrance, Mode, ProxyProtocol, RedirectListener,
    ResumptionMode, Starttls, Truncation,
};
use crate::failures::Failures;
use crate::forward::http::HttpService;
use crate::handshake::policy::{Means, Policy};
use crate::handshake::resume::Resumption;
use crate::handshake::sites::Sites;
use crate::limit::{Admission, HandshakeLimit, Memory, SourceRates};
use crate::metrics::{Limit, ListenerMetrics, Metrics, ProcessMetrics};
use crate::route::{Routes, Site};
use crate::trace::Tracer;

/// What a connection of one listener needs.
#[derive(Debug)]
pub struct Snapshot {
    /// The name of the listener.
    pub listener: Arc<str>,
    /// Timeouts and caps.
    pub limits: Arc<config::Limits>,
    /// Who may be in a handshake.
    pub handshakes: Arc<HandshakeLimit>,
    /// What the handshakes of a source cost.
    pub rates: Arc<SourceRates>,
    /// Where those that fail are told of.
    pub failures: Arc<Failures>,
    /// What is left of memory.
    pub memory: Arc<Memory>,
    /// Who may be in a dialogue before one, which lasts longer.
    pub dialogues: Arc<HandshakeLimit>,
    /// Where connections of bytes are told of.
    pub access: AccessLog,
    /// The TLS half of the listener.
    pub policy: Policy,
    /// The forwarding half of the listener.
    pub service: Service,
    /// What an end of a client's direction means that nobody vouches for; only for bytes.
    pub on_truncation: Truncation,
    /// How connections come in.
    pub entrance: Entrance,
    /// What is spoken before TLS, if anything is.
    pub starttls: Option<Starttls>,
    /// Who says who clients are, if anybody does; then nobody else may connect.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What sends requests in the clear on to this listener, if there are any.
    pub redirect: Option<Arc<HttpService>>,
    /// Which connections are traced, where bytes are forwarded.
    pub tracer: Tracer,
    /// The handles of the listener.
    pub metrics: ListenerMetrics,
    /// The handles of the process.
    pub process: ProcessMetrics,
}

/// What happens to clear text.
#[derive(Debug)]
pub enum Service {
    /// Requests go to the backend of their host.
    Http(Arc<HttpService>),
    /// Bytes go to the backend of the site.
    Tcp(Routes),
}

/// What all listeners share.
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Shared<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Where handles come from.
    pub metrics: &'a Metrics,
    /// Every certificate.
    pub certificates: &'a Arc<CertificateStore>,
    /// Every client authentication, in the order of the configuration.
    pub client_auths: &'a [Arc<ClientAuth>],
    /// Where sessions lie, by mode.
    pub resumption: &'a dyn Fn(ResumptionMode) -> Resumption,
    /// Every backend, in the order of the configuration.
    pub backends: &'a [Arc<Backend>],
    /// Every handshake.
    pub handshakes: &'a Arc<HandshakeLimit>,
    /// What the handshakes of each source cost.
    pub rates: &'a Arc<SourceRates>,
    /// Those that failed.
    pub failures: &'a Arc<Failures>,
    /// What is left of memory.
    pub memory: &'a Arc<Memory>,
    /// Every dialogue before one.
    pub dialogues: &'a Arc<HandshakeLimit>,
    /// Where requests are told of.
    pub access: &'a AccessLog,
    /// Which requests and connections are traced.
    pub tracer: &'a Tracer,
}

impl Snapshot {
    /// Admits a handshake with a client from `source`.
    pub fn admission(&self, source: Option<IpAddr>) -> Result<Admission, Limit> {
        // A source that is not heard takes no place.
        let bill = self.rates.open(source)?;
        match self.handshakes.admit(source) {
            Ok(permit) => Ok(Admission::new(permit, bill)),
            Err(limit) => {
                bill.forgive();
                Err(limit)
            }
        }
    }

    /// Builds what the connections of `listener` need.
    pub fn build(
        listener: &config::Listener,
        shared: &Shared<'_>,
    ) -> Result<Arc<Self>, rustls::Error> {
        let Shared { config, metrics, certificates, client_auths, resumption, .. } = *shared;
        let sites = Arc::new(Sites::new(&listener.sites));
        let means = Means {
            certificates,
            client_auths,
            client_auth_configs: &config.client_auths,
            resumption: resumption(listener.resumption),
        };
        let policy = Policy::new(listener, Arc::clone(&sites), means)?;
        let redirect = listener.http.redirect.as_ref();
        let redirect = redirect.map(|redirect| Arc::new(redirecting(listener, redirect, shared)));
        let routes = Routes::new(sites, behind(listener, shared));
        let limits = Arc::clone(&config.limits);
        let handles = metrics.listener(&listener.name);
        let service = match listener.mode {
            Mode::Http => {
                let service = HttpService {
                    name: Arc::clone(&listener.name),
                    limits: Arc::clone(&limits),
                    metrics: handles.clone(),
                    routes: Arc::new(routes),
                    access: shared.access.clone(),
                    tracer: shared.tracer.clone(),
                    memory: Arc::clone(shared.memory),
                    listener: listener.http.clone(),
                };
                Service::Http(Arc::new(service))
            }
            Mode::Tcp => Service::Tcp(routes),
        };
        Ok(Arc::new(Self {
            listener: Arc::clone(&listener.name),
            limits,
            handshakes: Arc::clone(shared.handshakes),
            rates: Arc::clone(shared.rates),
            failures: Arc::clone(shared.failures),
            memory: Arc::clone(shared.memory),
            dialogues: Arc::clone(shared.dialogues),
            access: shared.access.clone(),
            policy,
            service,
            on_truncation: listener.on_truncation,
            entrance: listener.entrance,
            starttls: listener.starttls.clone(),
            proxy_protocol: listener.proxy_protocol.clone(),
            redirect,
            tracer: shared.tracer.clone(),
            metrics: handles,
            process: metrics.process(),
        }))
    }
}

/// What sends requests in the clear on to `listener`.
fn redirecting(
    listener: &config::Listener,
    redirect: &RedirectListener,
    shared: &Shared<'_>,
) -> HttpService {
    let limits = &shared.config.limits;
    let names = Arc::new(Sites::in_the_clear(&listener.sites, shared.certificates));
    let count = match &listener.sites {
        config::Sites::Any(_) => 1,
        config::Sites::Named(sites) => sites.len(),
    };
    HttpService {
        name: Arc::clone(&listener.name),
        limits: Arc::clone(limits),
        metrics: shared.metrics.listener(&listener.name),
        routes: Arc::new(Routes::in_the_clear(names, count, redirect, &limits.http)),
        access: shared.access.clone(),
        tracer: shared.tracer.clone(),
        memory: Arc::clone(shared.memory),
        listener: listener.http.clone(),
    }
}

/// What lies behind each site of `listener`, in their order.
fn behind(listener: &config::Listener, shared: &Shared<'_>) -> Vec<Site> {
    let site = |behind, client_auth: Option<usize>| {
        let auth = client_auth.and_then(|index| shared.config.client_auths.get(index));
        let forward = auth.map_or(ClientCertForward::None, |auth| auth.forward);
        let limits = &shared.config.limits.http;
        Site::new(behind, client_auth, forward, shared.backends, limits)
    };
    match &listener.sites {
        config::Sites::Any(behind) => vec![site(behind, listener.client_auth)],
        config::Sites::Named(sites) => {
            sites.iter().map(|named| site(&named.behind, named.client_auth)).collect()
        }
    }
}
