//! Which backend serves a site, and what it hears of clients.
//!
//! Owns [`Routes`], the other half of the sites of one listener. Which site a name belongs to is
//! decided by `handshake::sites`, for TLS and for HTTP alike; a name that belongs to none gets no
//! backend, and neither does one whose clients have to prove more, or other things, than the client
//! of this connection was asked for. Refuses to know TLS and HTTP. Read next: `forward`.

use std::sync::Arc;

use crate::backend::Backend;
use crate::config::ClientCertForward;
use crate::handshake::sites::{SiteId, Sites};

/// The routes of a listener.
#[derive(Debug)]
pub struct Routes {
    sites: Arc<Sites>,
    routes: Vec<Route>,
}

/// What lies behind a site.
#[derive(Clone, Debug)]
pub struct Route {
    /// Who serves it.
    pub backend: Arc<Backend>,
    /// What is asked of its clients; equal numbers ask the same, and without one nothing is asked.
    pub client_auth: Option<usize>,
    /// What of a client's certificate the backend hears.
    pub forward: ClientCertForward,
}

impl Routes {
    /// `routes` are in the order of the sites; one where there are no sites.
    pub fn new(sites: Arc<Sites>, routes: Vec<Route>) -> Self {
        Self { sites, routes }
    }

    /// The route of a site of this listener.
    pub fn of_site(&self, site: SiteId) -> Option<&Route> {
        self.routes.get(site.index())
    }

    /// The backend for the host of a request, without its port, that came over a connection which
    /// was established for the site `connection`.
    pub fn backend(&self, host: &str, connection: SiteId) -> Result<&Arc<Backend>, Misdirected> {
        let asked = self.sites.of_host(host).and_then(|site| self.of_site(site));
        let asked = asked.ok_or(Misdirected::Unknown)?;
        let own = self.of_site(connection).ok_or(Misdirected::Unknown)?;
        if asked.client_auth == own.client_auth {
            Ok(&asked.backend)
        } else {
            Err(Misdirected::OtherPolicy)
        }
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
