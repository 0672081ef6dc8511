//! Which backend serves a site.
//!
//! Owns [`Routes`], the backends of the sites of one listener. Which site a name belongs to is
//! decided by `handshake::sites`, for TLS and for HTTP alike; a name that belongs to none gets no
//! backend. Refuses to know TLS and HTTP. Read next: `forward`.

use std::sync::Arc;

use crate::backend::Backend;
use crate::handshake::sites::{SiteId, Sites};

/// The backends of a listener.
#[derive(Debug)]
pub struct Routes {
    sites: Arc<Sites>,
    backends: Vec<Arc<Backend>>,
}

impl Routes {
    /// `backends` are in the order of the sites; one where there are no sites.
    pub fn new(sites: Arc<Sites>, backends: Vec<Arc<Backend>>) -> Self {
        Self { sites, backends }
    }

    /// The backend of a site of this listener.
    pub fn of_site(&self, site: SiteId) -> Option<&Arc<Backend>> {
        self.backends.get(site.index())
    }

    /// The backend for the host of a request, without its port.
    pub fn backend(&self, host: &str) -> Option<&Arc<Backend>> {
        self.of_site(self.sites.of_host(host)?)
    }
}
