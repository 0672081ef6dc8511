//! What the configuration calls an endpoint.
//!
//! Owns [`EndpointName`] and how it is written. Refuses to know which addresses a name has. Read
//! next: the parent module.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::AddressError;

/// An endpoint as the configuration names it: `host:port`, `srv:_http._tcp.name` or `unix:/path`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum EndpointName {
    /// A name to resolve, or a literal IP address, with a port.
    Host {
        /// A DNS name or a literal address (IPv6 without brackets).
        host: Arc<str>,
        /// The TCP port.
        port: u16,
    },
    /// A service whose hosts, ports and weights stand in DNS (RFC 2782).
    Service(Arc<str>),
    /// The path of a unix socket.
    Unix(Arc<Path>),
}

impl EndpointName {
    /// What requests call it, if they are not those of a client.
    pub fn authority(&self) -> String {
        match self {
            Self::Host { .. } => self.to_string(),
            Self::Service(name) => {
                let labels = name.trim_end_matches('.').split('.');
                labels.skip_while(|label| label.starts_with('_')).collect::<Vec<_>>().join(".")
            }
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl FromStr for EndpointName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(AddressError::EmptyPath),
                path => Ok(Self::Unix(Path::new(path).into())),
            };
        }
        if text.contains("://") {
            return Err(AddressError::Scheme);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let is_name = |name: &str| name.len() <= HOST_BYTES_MAX && name.bytes().all(plain);
        if let Some(name) = text.strip_prefix("srv:_") {
            return match is_name(name) {
                true => Ok(Self::Service(format!("_{name}").into())),
                false => Err(AddressError::BadHost),
            };
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::Host { host: addr.ip().to_string().into(), port: addr.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let port = port.parse().map_err(|_| AddressError::NoPort)?;
        if host.is_empty() || !is_name(host) {
            return Err(AddressError::BadHost);
        }
        Ok(Self::Host { host: host.into(), port })
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Service(name) => write!(f, "srv:{name}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// RFC 1035 §2.3.4.
const HOST_BYTES_MAX: usize = 255;
