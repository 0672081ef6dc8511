//! What is counted and logged of a connection.
//!
//! Owns [`Report`], which is opened with the connection and closes exactly once, however it ends.
//! Refuses to know what happened, and why: the spine tells it.

use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use portunus_certs::name::HostName;
use tokio::time::Instant;
use tracing::{Level, debug, enabled, event};

use super::span;
use crate::access::ConnectionEntry;
use crate::config::StarttlsProtocol;
use crate::failures::{Attention, Failure};
use crate::handshake::introduction::IntroductionError;
use crate::handshake::starttls::{Conversed, StarttlsError};
use crate::handshake::{Facts, HandshakeError, Profile};
use crate::limit::{Footprint, Share};
use crate::log::Chain;
use crate::metrics::{Active, Direction, HandshakeKind, Meter, NotResumed};
use crate::net::{ClientAddr, EndpointAddr, PeerAddr};
use crate::outcome::{CloseReason, HandshakeFailure, Label, StarttlsOutcome};
use crate::snapshot::{Service, Snapshot};

/// What is counted and logged of a connection. It closes exactly once; a connection that is
/// dropped before its end was cut by the drain, or by a panic.
pub(super) struct Report<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) peer: PeerAddr,
    pub(super) client: ClientAddr,
    at: Instant,
    pub(super) server_name: Option<HostName>,
    client_cert: Option<Box<str>>,
    pub(super) handshake: Option<HandshakeKind>,
    not_resumed: Option<NotResumed>,
    ja4: Option<Arc<str>>,
    /// What the access log will say, if it has a line for the connection.
    entry: Option<Box<ConnectionEntry>>,
    pub(super) meter: Arc<Meter>,
    /// Where the connection tells what it holds, if that is measured.
    pub(super) footprint: Option<&'a Arc<Footprint>>,
    pub(super) reason: CloseReason,
    _active: Active,
}

impl<'a> Report<'a> {
    pub(super) fn open(
        snapshot: &'a Snapshot,
        share: &'a Share,
        peer: PeerAddr,
        client: ClientAddr,
        at: Instant,
    ) -> Self {
        let metrics = &snapshot.metrics;
        metrics.connections.inc();
        Self {
            snapshot,
            peer,
            client,
            at,
            server_name: None,
            client_cert: None,
            handshake: None,
            not_resumed: None,
            ja4: None,
            entry: match &snapshot.service {
                Service::Http(_) => None,
                Service::Tcp(_) => snapshot.access.is_open().then(Box::default),
            },
            meter: Arc::new(Meter::new(&metrics.bytes)),
            footprint: share.footprint(),
            reason: CloseReason::Drain,
            _active: Active::new(&metrics.connections_active),
        }
    }

    /// A PROXY header has said who the client is.
    pub(super) fn identify(&mut self, client: ClientAddr) {
        self.client = client;
    }

    /// There is no good PROXY header where there has to be one.
    pub(super) fn stay_unknown(&mut self, error: &IntroductionError) {
        self.reason = CloseReason::ProxyHeader;
        debug!(listener = &*self.snapshot.listener, error = %Chain(error), "not introduced");
    }

    /// A dialogue before TLS has come to its end.
    pub(super) fn converse(
        &mut self,
        protocol: StarttlsProtocol,
        conversed: &Result<Conversed, StarttlsError>,
    ) {
        let outcomes = &self.snapshot.metrics.starttls;
        match conversed {
            Ok(conversed) => outcomes.of(conversed.outcome(protocol)).inc(),
            Err(error) => {
                outcomes.of(error.outcome()).inc();
                self.explain(error);
            }
        }
    }

    /// A dialogue cannot begin without its backend.
    pub(super) fn miss_backend(&self) {
        self.snapshot.metrics.starttls.of(StarttlsOutcome::Backend).inc();
    }

    /// Why the connection does not go on.
    pub(super) fn explain(&self, error: &(dyn Error + 'static)) {
        debug!(
            listener = &*self.snapshot.listener,
            peer = %self.peer,
            client = %self.client,
            error = %Chain(error),
            "did not begin"
        );
    }

    /// The handshake, which began at `begin`, is finished.
    pub(super) fn establish(&mut self, facts: &Facts, begin: Instant) {
        let metrics = &self.snapshot.metrics;
        metrics.handshakes.of(facts.version, facts.kind).inc();
        metrics.handshake_duration.of(facts.kind).observe(begin.elapsed().as_secs_f64());
        metrics.ciphers.of(facts.suite).inc();
        if let Some(reason) = facts.not_resumed {
            metrics.handshakes_not_resumed.of(reason).inc();
        }
        if let Some(group) = facts.group {
            metrics.key_exchanges.of(group).inc();
        }
        self.server_name.clone_from(&facts.server_name);
        self.handshake = Some(facts.kind);
        self.not_resumed = facts.not_resumed;
        self.ja4.clone_from(&facts.ja4);
        if let Some(entry) = &mut self.entry {
            entry.tls = Some(facts.version);
        }
        self.client_cert = facts.client.as_ref().map(|client| client.fingerprint().into());
    }

    /// TLS is the endpoint's to establish.
    pub(super) fn pass_through(&mut self, server_name: Option<HostName>) {
        self.snapshot.metrics.passed_through.inc();
        self.server_name = server_name;
    }

    /// The bytes of the connection go to the backend with this name.
    pub(super) fn choose(&mut self, backend: &Arc<str>) {
        if let Some(entry) = &mut self.entry {
            entry.backend = Some(Arc::clone(backend));
        }
    }

    /// They go to the endpoint at `addr`, or should have.
    pub(super) fn reach(&mut self, addr: &EndpointAddr) {
        if let Some(entry) = &mut self.entry {
            entry.endpoint = Some(addr.clone());
        }
    }

    /// The permit, if the connection was admitted to its handshake, or to what comes before it.
    pub(super) fn admit<P>(&mut self, admitted: Result<P, HandshakeFailure>) -> Option<P> {
        let error = &"a limit on handshakes was reached";
        admitted.map_err(|failure| self.fail_for(failure, error, Profile::default)).ok()
    }

    pub(super) fn fail(&mut self, error: &HandshakeError) {
        self.fail_for(error.failure(), &Chain(error), || error.profile());
    }

    /// Counts the failure, and has it told as far as it deserves it.
    fn fail_for(
        &mut self,
        reason: HandshakeFailure,
        error: &dyn Display,
        profile: impl FnOnce() -> Profile,
    ) {
        self.snapshot.metrics.handshake_failures.of(reason).inc();
        self.reason = CloseReason::Handshake;
        let attention = self.snapshot.failures.note(reason, Instant::now());
        if attention == Attention::Counted && !enabled!(Level::DEBUG) {
            return;
        }
        let failure = Failure {
            time: SystemTime::now(),
            listener: Arc::clone(&self.snapshot.listener),
            client: self.client,
            reason,
            profile: profile(),
            error: error.to_string().into(),
        };
        self.tell(&failure, attention);
        let name = failure.profile.server_name.as_deref();
        self.server_name = name.and_then(|name| HostName::parse(name).ok());
        if attention != Attention::Counted {
            self.snapshot.failures.keep(failure);
        }
    }

    /// Says that the handshake failed: to everybody, or to those who want to hear of each.
    fn tell(&self, failure: &Failure, attention: Attention) {
        let Failure { listener, client, reason, profile, error, .. } = failure;
        let Profile { server_name, versions, alpn, ja4 } = profile;
        let (versions, alpn) = (versions.join(" "), alpn.join(" "));
        macro_rules! tell {
            ($level:expr, $untold:expr) => {
                event!(
                    $level,
                    listener = &**listener,
                    peer = %self.peer,
                    client = %client,
                    sni = server_name.as_deref().unwrap_or_default(),
                    versions,
                    alpn,
                    ja4 = ja4.as_deref(),
                    reason = %reason,
                    error = &**error,
                    untold = $untold,
                    "handshake failed"
                )
            };
        }
        match attention {
            Attention::Counted | Attention::Kept => tell!(Level::DEBUG, None::<u64>),
            Attention::Told { untold } => tell!(Level::INFO, Some(untold).filter(|&n| n > 0)),
        }
    }

    /// What `begun` leaves to be done, if it has not ended the connection.
    pub(super) fn expect<F>(&mut self, begun: Result<F, CloseReason>) -> Option<F> {
        begun.map_err(|reason| self.close(reason)).ok()
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        self.reason = reason;
    }

    fn server_name(&self) -> &str {
        self.server_name.as_ref().map_or("", |name| name.as_str())
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.reason = CloseReason::Internal;
        }
        let metrics = &self.snapshot.metrics;
        let lasted = self.at.elapsed();
        metrics.connections_closed.of(self.reason).inc();
        metrics.connection_duration.observe(lasted.as_secs_f64());
        debug!(
            listener = &*self.snapshot.listener,
            peer = %self.peer,
            client = %self.client,
            sni = self.server_name(),
            client_cert = self.client_cert.as_deref(),
            handshake = self.handshake.map(Label::label),
            not_resumed = self.not_resumed.map(Label::label),
            ja4 = self.ja4.as_deref(),
            reason = %self.reason,
            duration_ms = lasted.as_millis() as u64,
            bytes_downstream = self.meter.total(Direction::Downstream),
            bytes_upstream = self.meter.total(Direction::Upstream),
            "closed"
        );
        span::tell(self, lasted);
        if let Some(mut entry) = self.entry.take() {
            entry.listener = Arc::clone(&self.snapshot.listener);
            entry.client = Some(self.client);
            entry.server_name = self.server_name.take();
            entry.handshake = self.handshake;
            entry.received = self.meter.total(Direction::Upstream);
            entry.sent = self.meter.total(Direction::Downstream);
            entry.duration = lasted;
            entry.ja4 = self.ja4.take();
            entry.end = Some(self.reason);
            self.snapshot.access.tell(&entry);
        }
    }
}
