//! Names of endpoints become addresses, in the background and never for the sake of a connection.
//!
//! Owns the look-up with its bounds. What is kept when a look-up fails is decided by the parent
//! module: the last good answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::net::{EndpointAddr, EndpointName};

/// The address of an endpoint that needs no look-up.
pub(super) fn literal(name: &EndpointName) -> Option<EndpointAddr> {
    match name {
        EndpointName::Host { host, port } => {
            let ip: IpAddr = host.parse().ok()?;
            Some(EndpointAddr::Tcp(SocketAddr::new(ip.to_canonical(), *port)))
        }
        EndpointName::Unix(path) => Some(EndpointAddr::Unix(path.clone())),
    }
}

/// The addresses of an endpoint: at least one, sorted, no two alike. The system's resolver is
/// asked, which runs on a thread where blocking is allowed.
pub(super) async fn lookup(name: &EndpointName) -> io::Result<Vec<EndpointAddr>> {
    if let Some(addr) = literal(name) {
        return Ok(vec![addr]);
    }
    let EndpointName::Host { host, port } = name else { return Ok(Vec::new()) };
    let answer = timeout(LOOKUP_TIMEOUT, lookup_host((&**host, *port))).await??;
    let mut addrs: Vec<_> = answer.map(canonical).map(EndpointAddr::Tcp).collect();
    addrs.sort_unstable();
    addrs.dedup();
    // An answer can be huge, by mistake or by malice.
    addrs.truncate(ADDRESSES_MAX);
    if addrs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addrs)
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
const ADDRESSES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_need_no_resolver() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ];
        for (name, addr) in cases {
            let name: EndpointName = name.parse().expect("the name is one");
            let addrs = lookup(&name).await.expect("a literal resolves");
            assert_eq!(addrs.iter().map(ToString::to_string).collect::<Vec<_>>(), [addr]);
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_resolves() {
        let name: EndpointName = "localhost:80".parse().expect("the name is one");
        assert_eq!(literal(&name), None);
        let addrs = lookup(&name).await.expect("localhost resolves");
        assert!(!addrs.is_empty());
    }
}
