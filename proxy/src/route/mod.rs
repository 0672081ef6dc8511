//! Which route a request takes: by the site of its host, then by its path.
//!
//! Owns [`Routes`], the other half of the sites of one listener, and [`Route`]: what happens to a
//! request, worked out of the configuration once. Which site a name belongs to is decided by
//! `handshake::sites`, for TLS and for HTTP alike; a name that belongs to none gets no route, and
//! neither does one whose clients have to prove more, or other things, than the client of this
//! connection was asked for. Refuses to know messages: `forward` carries out what stands here. Read
//! next: `paths`, then `rewrite` and `redirect`.

mod paths;
mod redirect;
mod rewrite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, StatusCode};

pub use self::redirect::Redirect;
pub use self::rewrite::Rewrite;

use self::paths::Paths;
use crate::backend::Backend;
use crate::config::{self, ClientCertForward, FieldEdit, HttpLimits, PathMatch, RedirectListener};
use crate::handshake::sites::{SiteId, Sites};

/// The routes of a listener.
#[derive(Debug)]
pub struct Routes {
    names: Arc<Sites>,
    sites: Vec<Site>,
    /// For challenges of authorities, whatever the host.
    challenges: Option<Arc<Route>>,
}

/// What lies behind the names of a site.
#[derive(Debug)]
pub struct Site {
    /// What is asked of its clients; equal numbers ask the same, and without one nothing is asked.
    pub client_auth: Option<usize>,
    /// What of a client's certificate backends hear.
    pub forward: ClientCertForward,
    routes: Vec<Arc<Route>>,
    paths: Paths,
    /// For paths that have no route.
    elsewhere: Arc<Route>,
}

/// What happens to a request.
#[derive(Debug)]
pub struct Route {
    /// Where it goes, or who answers instead.
    pub action: Action,
    /// Done to the fields of the request, in this order, before our own are added.
    pub request_fields: Arc<[FieldEdit]>,
    /// Done to the fields of the response, in this order.
    pub response_fields: Arc<[FieldEdit]>,
    /// The most bytes of a request body.
    pub body_bytes_max: Option<u64>,
    /// From the complete request to the head of the response.
    pub response_head_timeout: Duration,
    /// Silence within a response body.
    pub response_body_timeout: Duration,
    /// Silence within a request body.
    pub request_body_timeout: Duration,
    /// Whether trailer fields pass, in both directions.
    pub has_trailers: bool,
}

/// Where a request goes, or who answers instead.
#[derive(Debug)]
pub enum Action {
    /// The answer is in a file of this folder.
    Challenge(Arc<Path>),
    /// To an endpoint of a backend.
    Forward {
        /// Who serves it.
        backend: Arc<Backend>,
        /// What becomes of the request target, if it does not stay what it is.
        rewrite: Option<Rewrite>,
    },
    /// Nowhere: the site has nothing at this path.
    NotFound,
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The answer stands in the configuration.
    Respond {
        /// The status.
        status: StatusCode,
        /// The content.
        body: Bytes,
        /// Its type.
        content_type: HeaderValue,
    },
}

impl Routes {
    /// `sites` are in the order of the configuration; one where every name is served.
    pub fn new(names: Arc<Sites>, sites: Vec<Site>) -> Self {
        Self { names, sites, challenges: None }
    }

    /// For requests in the clear: each of `count` sites sends them to the same path of `port`, and
    /// `challenges` is the folder with the answers to authorities.
    pub fn in_the_clear(
        names: Arc<Sites>,
        count: usize,
        redirect: &RedirectListener,
        limits: &HttpLimits,
    ) -> Self {
        let to = match redirect.port {
            443 => "https://{host}{path}".to_owned(),
            port => format!("https://{{host}}:{port}{{path}}"),
        };
        // 308 keeps the method: whoever has sent something is not asked to send nothing.
        let status = StatusCode::PERMANENT_REDIRECT;
        let site = || Site {
            client_auth: None,
            forward: ClientCertForward::None,
            routes: Vec::new(),
            paths: Paths::new(std::iter::empty()),
            elsewhere: Arc::new(Route {
                action: Action::Redirect(Redirect::new(status, &to, "/", PathMatch::Prefix)),
                ..Route::elsewhere(None, limits)
            }),
        };
        let challenges = redirect.challenges.as_deref().map(|folder| {
            let action = Action::Challenge(folder.into());
            Arc::new(Route { action, ..Route::elsewhere(None, limits) })
        });
        Self { names, sites: std::iter::repeat_with(site).take(count).collect(), challenges }
    }

    /// The route of `path` if it is a challenge of an authority. It comes before there is a
    /// certificate, and thus before anything is served for its host.
    pub fn challenge(&self, path: &str) -> Option<&Arc<Route>> {
        self.challenges.as_ref().filter(|_| path.starts_with(CHALLENGES))
    }

    /// What lies behind a site of this listener.
    pub fn of_site(&self, site: SiteId) -> Option<&Site> {
        self.sites.get(site.index())
    }

    /// What lies behind the host of a request, without its port, that came over a connection which
    /// was established for the site `connection`.
    pub fn of_host(&self, host: &str, connection: SiteId) -> Result<&Site, Misdirected> {
        let asked = self.names.of_host(host).and_then(|site| self.of_site(site));
        let asked = asked.ok_or(Misdirected::Unknown)?;
        let own = self.of_site(connection).ok_or(Misdirected::Unknown)?;
        if asked.client_auth == own.client_auth { Ok(asked) } else { Err(Misdirected::OtherPolicy) }
    }
}

/// Why a request came over the wrong connection (RFC 9110 §15.5.20).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misdirected {
    /// The connection was established under another policy.
    #[error("the host asks its clients for other things than this connection did")]
    OtherPolicy,
    /// The host belongs to no site.
    #[error("the host belongs to no site of the listener")]
    Unknown,
}

impl Site {
    /// What the configuration says of a site whose clients are asked for `client_auth`. `backends`
    /// are in the order of the configuration.
    pub fn new(
        behind: &config::Behind,
        client_auth: Option<usize>,
        forward: ClientCertForward,
        backends: &[Arc<Backend>],
        limits: &HttpLimits,
    ) -> Self {
        let route = |route| Arc::new(Route::new(route, behind.hsts.as_ref(), backends, limits));
        Self {
            client_auth,
            forward,
            routes: behind.routes.iter().map(route).collect(),
            paths: Paths::new(behind.routes.iter().map(|route| (&*route.path, route.matching))),
            elsewhere: Arc::new(Route::elsewhere(behind.hsts.as_ref(), limits)),
        }
    }

    /// The route of `path`.
    pub fn route(&self, path: &str) -> &Arc<Route> {
        // `OPTIONS *` is about all of the site (RFC 9110 §9.3.7).
        let path = if path == "*" { "/" } else { path };
        let route = self.paths.find(path).and_then(|place| self.routes.get(place));
        route.unwrap_or(&self.elsewhere)
    }

    /// Who serves a site that has no paths, since it does not speak HTTP.
    pub fn backend(&self) -> Option<&Arc<Backend>> {
        match &self.route("/").action {
            Action::Forward { backend, .. } => Some(backend),
            _ => None,
        }
    }
}

impl Route {
    fn new(
        route: &config::Route,
        hsts: Option<&HeaderValue>,
        backends: &[Arc<Backend>],
        limits: &HttpLimits,
    ) -> Self {
        let action = match &route.action {
            config::Action::Forward { backend, rewrite } => match backends.get(*backend) {
                Some(backend) => Action::Forward {
                    backend: Arc::clone(backend),
                    rewrite: Rewrite::new(route, rewrite),
                },
                None => Action::NotFound,
            },
            config::Action::Redirect { status, to } => {
                Action::Redirect(Redirect::new(*status, to, &route.path, route.matching))
            }
            config::Action::Respond { status, body, content_type } => Action::Respond {
                status: *status,
                body: Bytes::copy_from_slice(body.as_bytes()),
                content_type: content_type.clone(),
            },
        };
        Self {
            action,
            request_fields: route.request_fields.clone().into(),
            response_fields: fields(hsts).chain(route.response_fields.iter().cloned()).collect(),
            body_bytes_max: route.body_bytes_max,
            response_head_timeout: route
                .response_head_timeout
                .unwrap_or(limits.response_head_timeout),
            response_body_timeout: route
                .response_body_timeout
                .unwrap_or(limits.response_body_timeout),
            request_body_timeout: route.request_body_timeout.unwrap_or(limits.request_body_timeout),
            has_trailers: route.trailers,
        }
    }

    fn elsewhere(hsts: Option<&HeaderValue>, limits: &HttpLimits) -> Self {
        Self {
            action: Action::NotFound,
            request_fields: Arc::default(),
            response_fields: fields(hsts).collect(),
            body_bytes_max: None,
            response_head_timeout: limits.response_head_timeout,
            response_body_timeout: limits.response_body_timeout,
            request_body_timeout: limits.request_body_timeout,
            has_trailers: false,
        }
    }
}

/// What every response of a site gets; a route may say otherwise behind it.
fn fields(hsts: Option<&HeaderValue>) -> impl Iterator<Item = FieldEdit> {
    hsts.map(|value| FieldEdit::Set(STRICT_TRANSPORT_SECURITY, value.clone())).into_iter()
}

/// RFC 8555 §8.3.
pub const CHALLENGES: &str = "/.well-known/acme-challenge/";

#[cfg(test)]
mod tests;
