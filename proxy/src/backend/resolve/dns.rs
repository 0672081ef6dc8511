//! One look-up of one name: in the hosts file, or else by DNS.
//!
//! Owns [`Resolver`], and what is taken from an answer: at most so many addresses, no address that
//! cannot be one of an endpoint, and none outside of where the configuration says they lie. Whom to
//! ask is read anew for each look-up, so a change of `/etc/resolv.conf` or `/etc/hosts` is heard
//! of; nothing is cached, since the ledger knows what is known. Refuses to know what is kept when
//! there is no answer. Read next: `ledger`.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use ipnet::IpNet;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::backend::standing::Share;
use crate::metrics::ResolveResult;
use crate::net::EndpointName;

/// Who is asked for addresses.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    nameservers: Vec<SocketAddr>,
}

/// What an answer has.
#[derive(Debug)]
pub(super) struct Found {
    /// At least one, sorted, no two alike; with what the answer says that each is there for.
    pub(super) addrs: Vec<(SocketAddr, Option<Share>)>,
    pub(super) valid_for: Duration,
    /// Whether the question for IPv4 addresses failed, while the other was answered.
    pub(super) lacks_v4: bool,
    /// The same for IPv6.
    pub(super) lacks_v6: bool,
    /// Addresses that were not taken.
    pub(super) refused: usize,
}

impl Found {
    /// The word in metrics.
    pub(super) fn result(&self) -> ResolveResult {
        match self.refused {
            0 => ResolveResult::Good,
            _ => ResolveResult::Refused,
        }
    }
}

impl Resolver {
    /// Asks `nameservers`, or whom the system asks if there are none.
    pub fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self { nameservers }
    }

    /// The addresses of `name` that lie in `allow`, or anywhere if that is empty.
    pub(super) async fn look_up(
        &self,
        name: &EndpointName,
        allow: &[IpNet],
    ) -> Result<Found, ResolveError> {
        let nameservers = self.nameservers.clone();
        // Files are read.
        let resolver = spawn_blocking(move || build(&nameservers)).await;
        let resolver = resolver.map_err(|_| ResolveError::Stopped)??;
        let hosts = match name {
            EndpointName::Host { host, port } => {
                let name = host.to_string();
                vec![Host { name, port: *port, share: None, valid_for: Duration::MAX }]
            }
            EndpointName::Service(service) => hosts_of(&resolver, service).await?,
            EndpointName::Unix(_) => Vec::new(),
        };
        let mut answers = Answers::default();
        let mut lookups = FuturesUnordered::new();
        for host in &hosts {
            lookups.push(ask(&resolver, host));
        }
        while let Some((host, v4, v6)) = lookups.next().await {
            answers.take(host, v4, v6);
        }
        answers.judge(allow)
    }
}

/// A host whose addresses are asked for.
#[derive(Debug)]
struct Host {
    name: String,
    port: u16,
    share: Option<Share>,
    valid_for: Duration,
}

/// The hosts of a service (RFC 2782): those of the best priority, and the others as backups.
async fn hosts_of(resolver: &TokioResolver, service: &str) -> Result<Vec<Host>, ResolveError> {
    let answer = question(resolver, service, RecordType::SRV).await?;
    let records = answer.answers().iter().filter_map(|record| match &record.data {
        // A dot says that the service is decidedly not there.
        RData::SRV(srv) if !srv.target.is_root() => Some((record.ttl, srv)),
        _ => None,
    });
    let mut records: Vec<_> = records.collect();
    records.sort_by_key(|(_, srv)| (srv.priority, srv.target.to_string(), srv.port));
    records.truncate(ADDRESSES_MAX);
    let Some(best) = records.first().map(|(_, srv)| srv.priority) else {
        return Err(ResolveError::Empty);
    };
    let host = |(ttl, srv): &(u32, &SRV)| Host {
        name: srv.target.to_string(),
        port: srv.port,
        share: Some(Share { weight: srv.weight.max(1), is_backup: srv.priority > best }),
        valid_for: Duration::from_secs((*ttl).into()),
    };
    Ok(records.iter().map(host).collect())
}

async fn ask<'a>(resolver: &TokioResolver, host: &'a Host) -> (&'a Host, Asked, Asked) {
    let (v4, v6) = tokio::join!(
        question(resolver, &host.name, RecordType::A),
        question(resolver, &host.name, RecordType::AAAA),
    );
    (host, v4, v6)
}

/// Each has a time of its own, so that what is not answered takes nothing from what is.
async fn question(resolver: &TokioResolver, name: &str, kind: RecordType) -> Asked {
    let asked = timeout(QUESTION_TIMEOUT, resolver.lookup(name, kind)).await;
    asked.map_or(Err(ResolveError::Timeout), |asked| asked.map_err(classify))
}

type Asked = Result<Lookup, ResolveError>;

/// The answers to all questions of one look-up.
#[derive(Default)]
struct Answers {
    addrs: Vec<(SocketAddr, Option<Share>)>,
    valid_for: Option<Duration>,
    lacks_v4: bool,
    lacks_v6: bool,
    fault: Option<ResolveError>,
}

impl Answers {
    fn take(&mut self, host: &Host, v4: Asked, v6: Asked) {
        for (answer, lacks) in [(v4, &mut self.lacks_v4), (v6, &mut self.lacks_v6)] {
            match answer {
                Ok(lookup) => {
                    for record in lookup.answers() {
                        let ip = match &record.data {
                            RData::A(ip) => IpAddr::from(ip.0),
                            RData::AAAA(ip) => IpAddr::from(ip.0),
                            _ => continue,
                        };
                        self.addrs
                            .push((SocketAddr::new(ip.to_canonical(), host.port), host.share));
                        let ttl = Duration::from_secs(record.ttl.into()).min(host.valid_for);
                        self.valid_for = Some(self.valid_for.map_or(ttl, |known| known.min(ttl)));
                    }
                }
                Err(ResolveError::Empty) => {}
                Err(error) => {
                    *lacks = true;
                    self.fault = Some(error);
                }
            }
        }
    }

    /// What is taken of them.
    fn judge(mut self, allow: &[IpNet]) -> Result<Found, ResolveError> {
        let all = self.addrs.len();
        self.addrs.retain(|(addr, _)| may_be_endpoint(addr.ip(), allow));
        let refused = all - self.addrs.len();
        // Of what is said of one address, the most; of too many addresses, no backups.
        let rank = |share: Option<Share>| match share {
            Some(Share { weight, is_backup }) => (is_backup, Reverse(weight)),
            None => (false, Reverse(0)),
        };
        self.addrs.sort_unstable_by_key(|(addr, share)| (*addr, rank(*share)));
        self.addrs.dedup_by_key(|(addr, _)| *addr);
        self.addrs.sort_by_key(|(_, share)| rank(*share).0);
        // An answer can be huge, by mistake or by malice.
        self.addrs.truncate(ADDRESSES_MAX);
        self.addrs.sort_unstable_by_key(|(addr, _)| *addr);
        match (self.addrs.is_empty(), refused, self.fault) {
            (false, ..) => Ok(Found {
                addrs: self.addrs,
                valid_for: self.valid_for.unwrap_or_default(),
                lacks_v4: self.lacks_v4,
                lacks_v6: self.lacks_v6,
                refused,
            }),
            (true, 1.., _) => Err(ResolveError::Refused(refused)),
            (true, 0, Some(fault)) => Err(fault),
            (true, 0, None) => Err(ResolveError::Empty),
        }
    }
}

/// Whether an address out of DNS can be one of an endpoint: it names one machine, and lies where
/// the configuration says that endpoints do.
fn may_be_endpoint(ip: IpAddr, allow: &[IpNet]) -> bool {
    let is_one = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        IpAddr::V6(_) => true,
    };
    is_one
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && (allow.is_empty() || allow.iter().any(|net| net.contains(&ip)))
}

fn build(nameservers: &[SocketAddr]) -> Result<TokioResolver, ResolveError> {
    let (config, mut options) = match nameservers {
        // Without a file, or with a bad one, there is still the hosts file.
        [] => read_system_conf().unwrap_or_default(),
        _ => (configured(nameservers), ResolverOpts::default()),
    };
    options.timeout = options.timeout.min(QUERY_TIMEOUT);
    options.attempts = ATTEMPTS;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Always;
    let provider = TokioRuntimeProvider::default();
    let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
    builder.build().map_err(classify)
}

fn configured(nameservers: &[SocketAddr]) -> ResolverConfig {
    let server = |addr: &SocketAddr| {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = addr.port();
                connection
            });
        NameServerConfig::new(addr.ip(), true, connections.to_vec())
    };
    ResolverConfig::from_parts(None, Vec::new(), nameservers.iter().map(server).collect())
}

fn classify(error: NetError) -> ResolveError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            ResolveError::Empty
        }
        NetError::Timeout => ResolveError::Timeout,
        error => ResolveError::Dns(error),
    }
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// The question failed.
    #[error("there is no answer")]
    Dns(#[source] NetError),
    /// The answer is that there is none.
    #[error("the name has no address")]
    Empty,
    /// There are addresses, but none that may be one of an endpoint.
    #[error("none of the {0} addresses in the answer is allowed")]
    Refused(usize),
    /// The process is ending.
    #[error("the process is ending")]
    Stopped,
    /// There was no answer in time.
    #[error("there is no answer in time")]
    Timeout,
}

impl ResolveError {
    /// The word in metrics.
    pub(super) fn result(&self) -> ResolveResult {
        match self {
            Self::Dns(_) | Self::Stopped => ResolveResult::Failed,
            Self::Empty => ResolveResult::Empty,
            Self::Refused(_) => ResolveResult::Refused,
            Self::Timeout => ResolveResult::Timeout,
        }
    }
}

/// One question, to every server and in every search domain.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(4);

/// One question to one server.
const QUERY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Questions to all servers.
const ATTEMPTS: usize = 2;

/// Addresses of one name, and hosts of one service.
const ADDRESSES_MAX: usize = 64;
