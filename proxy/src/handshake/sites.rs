//! Which site a name belongs to: the one look-up that TLS policy and HTTP routing share.
//!
//! Owns [`Sites`] and [`SiteId`]. A name that no site has belongs to none, never to another one.
//! Sites that share a name differ in the protocols that their clients offer by ALPN; a client that
//! offers none of those belongs to the site that asks for none, or to nobody. Refuses to know what
//! a site is good for: `policy` keeps its TLS half, `route` its backend.

use std::net::IpAddr;
use std::sync::Arc;

use portunus_certs::name::{HostName, NameMap};
use portunus_certs::store::CertificateStore;

use crate::config;

/// The names of the sites of one listener.
#[derive(Debug)]
pub struct Sites(Names);

#[derive(Debug)]
enum Names {
    Any,
    Certified(Arc<CertificateStore>),
    Named {
        sites: NameMap<Candidates>,
        /// For clients that name nobody.
        unnamed: Candidates,
    },
}

/// The sites of one name.
#[derive(Clone, Debug, Default)]
struct Candidates {
    /// In the order of the configuration.
    by_protocol: Vec<(Vec<Arc<[u8]>>, SiteId)>,
    /// The one for whatever a client offers.
    otherwise: Option<SiteId>,
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
        let mut names = NameMap::<Candidates>::default();
        for (index, site) in sites.iter().enumerate() {
            for host in &site.hosts {
                names.entry(host).add(&site.alpn, SiteId(index));
            }
        }
        // Who names nobody is taken for one who names the first of all.
        let first = sites.first().and_then(|site| names.get_pattern(site.hosts.first()?));
        let unnamed = first.cloned().unwrap_or_default();
        Self(Names::Named { sites: names, unnamed })
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

    /// The site that has `name`; where several have, the one for whatever a client offers, or
    /// else the first.
    pub fn of_name(&self, name: &HostName) -> Option<SiteId> {
        match &self.0 {
            Names::Any => Some(SiteId::FIRST),
            Names::Certified(store) => store.load().has(name).then_some(SiteId::FIRST),
            Names::Named { sites, .. } => sites.get(name)?.first(),
        }
    }

    /// The site for a client that asks for `name`, or names nobody, and of whom `offers` tells
    /// which protocols it offers.
    pub fn of_client(
        &self,
        name: Option<&HostName>,
        offers: impl Fn(&[u8]) -> bool,
    ) -> Result<SiteId, NoSite> {
        match (&self.0, name) {
            (Names::Any, _) | (Names::Certified(_), None) => Ok(SiteId::FIRST),
            (Names::Certified(_), Some(name)) => self.of_name(name).ok_or(NoSite::Name),
            (Names::Named { sites, unnamed }, name) => {
                let candidates = name.map_or(Some(unnamed), |name| sites.get(name));
                candidates.ok_or(NoSite::Name)?.of(offers).ok_or(NoSite::Protocol)
            }
        }
    }

    /// The site for the host of a request, without its port. Where there are no sites, any host
    /// will do; where there are, an IP address is the name of none.
    pub fn of_host(&self, host: &str) -> Option<SiteId> {
        match &self.0 {
            Names::Any => Some(SiteId::FIRST),
            Names::Certified(_) | Names::Named { .. } if host.parse::<IpAddr>().is_ok() => None,
            Names::Certified(_) | Names::Named { .. } => self.of_name(&HostName::parse(host).ok()?),
        }
    }
}

impl Candidates {
    fn add(&mut self, protocols: &[Arc<[u8]>], site: SiteId) {
        match protocols {
            // The configuration has no two such sites for a name.
            [] => self.otherwise = self.otherwise.or(Some(site)),
            protocols => self.by_protocol.push((protocols.to_vec(), site)),
        }
    }

    fn of(&self, offers: impl Fn(&[u8]) -> bool) -> Option<SiteId> {
        let mut asking = self.by_protocol.iter();
        let found = asking.find(|(protocols, _)| protocols.iter().any(|one| offers(one)));
        found.map(|(_, site)| *site).or(self.otherwise)
    }

    fn first(&self) -> Option<SiteId> {
        self.otherwise.or_else(|| self.by_protocol.first().map(|(_, site)| *site))
    }
}

/// Why a client belongs to no site.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoSite {
    /// No site has the name.
    Name,
    /// Sites have the name, and all of them ask for protocols that the client does not offer.
    Protocol,
}

#[cfg(test)]
mod tests {
    use portunus_certs::name::NamePattern;

    use super::*;
    use crate::config::{Behind, Site, Termination};

    fn sites(written: &[(&str, &[&str])]) -> Sites {
        let site = |(hosts, alpn): &(&str, &[&str])| Site {
            hosts: hosts.split(' ').map(|host| NamePattern::parse(host).unwrap()).collect(),
            alpn: alpn.iter().map(|protocol| protocol.as_bytes().into()).collect(),
            termination: Termination::Here,
            behind: Behind::forwarding(0),
            client_auth: None,
        };
        Sites::new(&config::Sites::Named(written.iter().map(site).collect()))
    }

    #[test]
    fn sites_of_one_name_differ_by_what_clients_offer() {
        let sites = sites(&[
            ("mail.example", &["imap"]),
            ("mail.example *.mail.example", &["pop3", "h2"]),
            ("mail.example", &[]),
            ("strict.example", &["postgresql"]),
        ]);
        let of = |name: &str, offered: &[&str]| {
            let name = (!name.is_empty()).then(|| HostName::parse(name).unwrap());
            let offers = |protocol: &[u8]| offered.iter().any(|one| one.as_bytes() == protocol);
            sites.of_client(name.as_ref(), offers).map(SiteId::index)
        };
        for (name, offered, site) in [
            ("mail.example", &["imap"][..], Ok(0)),
            // The order is that of the configuration, not the client's.
            ("mail.example", &["h2", "imap"], Ok(0)),
            ("mail.example", &["http/1.1", "h2"], Ok(1)),
            ("mail.example", &["http/1.1"], Ok(2)),
            ("mail.example", &[], Ok(2)),
            ("a.mail.example", &["pop3"], Ok(1)),
            ("a.mail.example", &["imap"], Err(NoSite::Protocol)),
            ("strict.example", &["postgresql"], Ok(3)),
            ("strict.example", &[], Err(NoSite::Protocol)),
            ("other.example", &["imap"], Err(NoSite::Name)),
            // Who names nobody is taken for one who names the first.
            ("", &["imap"], Ok(0)),
            ("", &[], Ok(2)),
            ("", &["postgresql"], Ok(2)),
        ] {
            assert_eq!(of(name, offered), site, "{name} {offered:?}");
        }
        let of_name = |name: &str| sites.of_name(&HostName::parse(name).unwrap());
        assert_eq!(of_name("mail.example").map(SiteId::index), Some(2));
        assert_eq!(of_name("strict.example").map(SiteId::index), Some(3));
        assert_eq!(of_name("other.example"), None);
    }

    #[test]
    fn an_exact_name_without_a_protocol_in_common_is_no_wildcard_s() {
        let sites = sites(&[("a.b.example", &["imap"]), ("*.b.example", &[])]);
        let name = HostName::parse("a.b.example").unwrap();
        assert_eq!(sites.of_client(Some(&name), |_| false), Err(NoSite::Protocol));
    }
}
