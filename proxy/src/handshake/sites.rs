//! Which site a name belongs to: the one look-up that TLS policy and HTTP routing share.
//!
//! Owns [`Sites`] and [`SiteId`]. A name that no site has belongs to none, never to another one.
//! Refuses to know what a site is good for: `policy` keeps its TLS half, `route` its backend.

use std::net::IpAddr;
use std::sync::Arc;

use portunus_certs::name::{HostName, NameMap, NamePattern};
use portunus_certs::store::CertificateStore;

use crate::config;

/// The names of the sites of one listener.
#[derive(Debug)]
pub struct Sites(Names);

#[derive(Debug)]
enum Names {
    Any,
    Certified(Arc<CertificateStore>),
    Named(NameMap<SiteId>),
}

/// The place of a site in its listener, counted from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SiteId(usize);

impl SiteId {
    /// The site for clients that name none.
    pub const FIRST: Self = Self(0);

    /// The place as a number.
    pub fn index(self) -> usize {
        self.0
    }
}

impl Sites {
    /// The look-up for the sites of the configuration, in which no name stands twice.
    pub fn new(sites: &config::Sites) -> Self {
        let config::Sites::Named(sites) = sites else { return Self(Names::Any) };
        let mut names = NameMap::default();
        for (index, site) in sites.iter().enumerate() {
            for host in &site.hosts {
                names.insert(NamePattern::clone(host), SiteId(index));
            }
        }
        Self(Names::Named(names))
    }

    /// The same for requests in the clear: without a handshake nothing else has seen to it that
    /// there is a certificate for the name.
    pub fn in_the_clear(sites: &config::Sites, certificates: &Arc<CertificateStore>) -> Self {
        match Self::new(sites) {
            Self(Names::Any) => Self(Names::Certified(Arc::clone(certificates))),
            named => named,
        }
    }

    /// Whether every name is served that there is a certificate for.
    pub fn is_any(&self) -> bool {
        matches!(self.0, Names::Any | Names::Certified(_))
    }

    /// The site that has `name`.
    pub fn of_name(&self, name: &HostName) -> Option<SiteId> {
        match &self.0 {
            Names::Any => Some(SiteId::FIRST),
            Names::Certified(store) => store.load().has(name).then_some(SiteId::FIRST),
            Names::Named(names) => names.get(name).copied(),
        }
    }

    /// The site for the host of a request, without its port. Where there are no sites, any host
    /// will do; where there are, an IP address is the name of none.
    pub fn of_host(&self, host: &str) -> Option<SiteId> {
        match &self.0 {
            Names::Any => Some(SiteId::FIRST),
            Names::Certified(_) | Names::Named(_) if host.parse::<IpAddr>().is_ok() => None,
            Names::Certified(_) | Names::Named(_) => self.of_name(&HostName::parse(host).ok()?),
        }
    }
}
