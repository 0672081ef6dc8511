//! Where the store is: one address, read once.
//!
//! Owns the kinds of addresses and what is wrong with one. An error names the part that is wrong
//! and the way out, and never repeats what was written: a password may stand anywhere in it.
//! Refuses to know how to get there, which is [`super::dial`].

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A store's address, understood.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) tls: bool,
    pub(super) login: Login,
    pub(super) database: i64,
}

/// Who is asked for what.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The nodes from which the whole cluster is learned.
    Cluster(Vec<Host>),
    /// The sentinels, and the name of the master that they watch.
    Sentinel { sentinels: Vec<Host>, master: String, login: Login },
    /// A socket of this machine.
    Socket(PathBuf),
    /// One server.
    Tcp(Host),
}

/// A host and a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// Who we are to the store.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
}

/// What is wrong with an address, and the way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RedisUrlError {
    /// The bundle holds no certificate, or something else.
    #[error("the CA bundle for the store has no certificate that can be read; it takes PEM")]
    Authorities,
    /// A bundle of certificates for a connection without TLS.
    #[error(
        "a CA bundle needs TLS: write `rediss://`, `rediss+sentinel://` or `rediss+cluster://`"
    )]
    AuthoritiesWithoutTls,
    /// A cluster has database 0 only.
    #[error("a cluster has no numbered databases; leave the number out")]
    ClusterDatabase,
    /// The database is no number.
    #[error("the database is not a number from 0 to 65535, as in `redis://host:6379/0`")]
    Database,
    /// A `%` without two hexadecimal digits behind it, or what they give is no UTF-8.
    #[error("`%` must stand before two hexadecimal digits; write `%` itself as `%25`")]
    Escape,
    /// No host, or one without a port.
    #[error("the host or its port is wrong; write `host:6379`, and in a password `%2F` for `/`")]
    Host,
    /// The name of the master is missing.
    #[error(
        "the name of the master is missing; write `redis+sentinel://host:26379,host:26379/name`"
    )]
    Master,
    /// Something behind `?` is not known.
    #[error(
        "behind `?` stands something unknown; a socket takes `db=NUMBER`, \
         sentinels take `sentinel_user=NAME` and `sentinel_password=WORD`"
    )]
    Option,
    /// The path of a socket is missing.
    #[error("the path of the socket is missing or not absolute; write `redis+unix:///run/a.sock`")]
    Path,
    /// The store asks for a name or a prefix that Redis has no room for.
    #[error("the prefix of keys is longer than 80 bytes")]
    Prefix,
    /// What stands in front is not known.
    #[error(
        "the address of a store begins with `redis://`, `rediss://`, `redis+unix://`, \
         `redis+sentinel://`, `rediss+sentinel://`, `redis+cluster://` or `rediss+cluster://`"
    )]
    Scheme,
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase().replace("valkey", "redis");
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Login::parse(login)?, hosts),
            None => (Login::default(), authority),
        };
        let options = parse_options(options)?;
        let (tls, kind, database) = match scheme.as_str() {
            "redis" | "rediss" => {
                options.only(&[])?;
                let host = Host::parse(hosts, DEFAULT_PORT)?;
                (scheme == "rediss", Kind::Tcp(host), parse_database(path.trim_matches('/'))?)
            }
            "redis+unix" => {
                options.only(&["db"])?;
                let database = parse_database(options.get("db").unwrap_or_default())?;
                (false, Kind::Socket(parse_path(hosts, path)?), database)
            }
            "redis+sentinel" | "rediss+sentinel" => {
                options.only(&["sentinel_user", "sentinel_password"])?;
                let (master, database) = path
                    .trim_matches('/')
                    .split_once('/')
                    .unwrap_or_else(|| (path.trim_matches('/'), ""));
                let master = unescape(master)?.to_string();
                if master.is_empty() {
                    return Err(RedisUrlError::Master);
                }
                let login = Login {
                    user: options.get("sentinel_user").map(str::to_owned),
                    password: options.get("sentinel_password").map(|word| word.to_owned().into()),
                };
                let sentinels = Host::parse_all(hosts, DEFAULT_SENTINEL_PORT)?;
                let kind = Kind::Sentinel { sentinels, master, login };
                (scheme == "rediss+sentinel", kind, parse_database(database)?)
            }
            "redis+cluster" | "rediss+cluster" => {
                options.only(&[])?;
                if parse_database(path.trim_matches('/'))? != 0 {
                    return Err(RedisUrlError::ClusterDatabase);
                }
                let nodes = Host::parse_all(hosts, DEFAULT_PORT)?;
                (scheme == "rediss+cluster", Kind::Cluster(nodes), 0)
            }
            _ => return Err(RedisUrlError::Scheme),
        };
        Ok(Self { kind, tls, login, database })
    }

    /// Every word that nobody may read.
    pub(super) fn secrets(&self) -> Vec<Zeroizing<String>> {
        let second = match &self.kind {
            Kind::Sentinel { login, .. } => login.password.clone(),
            Kind::Cluster(_) | Kind::Socket(_) | Kind::Tcp(_) => None,
        };
        self.login.password.clone().into_iter().chain(second).collect()
    }
}

/// For people: where, and nothing of who we are.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts =
            |hosts: &[Host]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.kind {
            Kind::Cluster(nodes) => write!(f, "{scheme}+cluster://{}", hosts(nodes)),
            Kind::Sentinel { sentinels, master, .. } => {
                write!(f, "{scheme}+sentinel://{}/{master}", hosts(sentinels))
            }
            Kind::Socket(path) => write!(f, "redis+unix://{}", path.display()),
            Kind::Tcp(host) => write!(f, "{scheme}://{host}"),
        }
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(unescape(password)?)),
            None => (text, None),
        };
        let user = Some(unescape(user)?.to_string()).filter(|user| !user.is_empty());
        Ok(Self { user, password })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}

impl Host {
    fn parse(text: &str, default_port: u16) -> Result<Self, RedisUrlError> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(RedisUrlError::Host)?,
            None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(RedisUrlError::Host);
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| RedisUrlError::Host)?,
            None if port.is_empty() => default_port,
            None => return Err(RedisUrlError::Host),
        };
        Ok(Self { name: name.to_owned(), port })
    }

    fn parse_all(text: &str, default_port: u16) -> Result<Vec<Self>, RedisUrlError> {
        text.split(',').map(|host| Self::parse(host, default_port)).collect()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            return write!(f, "[{}]:{}", self.name, self.port);
        }
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// What stands behind `?`.
struct Options(Vec<(String, Zeroizing<String>)>);

impl Options {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn only(&self, names: &[&str]) -> Result<(), RedisUrlError> {
        let known = self.0.iter().all(|(name, _)| names.contains(&name.as_str()));
        if known { Ok(()) } else { Err(RedisUrlError::Option) }
    }
}

fn parse_options(text: &str) -> Result<Options, RedisUrlError> {
    let parse = |option: &str| {
        let (name, value) = option.split_once('=').ok_or(RedisUrlError::Option)?;
        Ok((name.to_owned(), unescape(value)?))
    };
    let options = text.split('&').filter(|option| !option.is_empty());
    options.map(parse).collect::<Result<_, _>>().map(Options)
}

fn parse_database(text: &str) -> Result<i64, RedisUrlError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse::<u16>().map(i64::from).map_err(|_| RedisUrlError::Database)
}

fn parse_path(host: &str, path: &str) -> Result<PathBuf, RedisUrlError> {
    if !host.is_empty() || path.len() < 2 {
        return Err(RedisUrlError::Path);
    }
    Ok(PathBuf::from(unescape(path)?.as_str()))
}

/// `%41` is `A` (RFC 3986 §2.1).
fn unescape(text: &str) -> Result<Zeroizing<String>, RedisUrlError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or(RedisUrlError::Escape)?;
        let digits = str::from_utf8(digits).map_err(|_| RedisUrlError::Escape)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(RedisUrlError::Escape);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| RedisUrlError::Escape)?);
        rest = behind;
    }
    let text = str::from_utf8(&bytes).map_err(|_| RedisUrlError::Escape)?;
    Ok(Zeroizing::new(text.to_owned()))
}

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;
