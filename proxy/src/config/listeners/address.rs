//! Addresses to bind, each of which stands once, and address blocks.
//!
//! Owns what makes two addresses one for the kernel. Refuses to know who listens.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::super::error::Problem;
use super::super::section::Reader;
use super::super::text::Written;
use crate::net::{AddressError, ListenAddr};

/// The addresses that are bound so far, with the key that each stands at.
pub(in crate::config) type Taken = Vec<(ListenAddr, String)>;

/// An address to bind. Port 0 is a different port each time, every other address stands once.
pub(in crate::config) fn listen_addr(
    written: &Written,
    taken: &mut Taken,
    reader: &mut Reader<'_>,
) -> Option<ListenAddr> {
    let addr = match written.text.parse() {
        Ok(ListenAddr::Unix(path)) => ListenAddr::Unix(socket_path(&path, written, reader)?),
        Ok(addr) => addr,
        Err(reason) => {
            report_address(written, reason, reader);
            return None;
        }
    };
    if matches!(&addr, ListenAddr::Tcp(tcp) if tcp.port() == 0) {
        return Some(addr);
    }
    if let Some((other, taken_by)) = taken.iter().find(|(other, _)| overlap(&addr, other)) {
        let problem =
            Problem::AddressTaken { address: written.quote(), taken_by: taken_by.clone() };
        let is_wider = |addr: &ListenAddr| matches!(addr, ListenAddr::Tcp(tcp) if is_any(tcp.ip()));
        let hint = || (other != &addr && (is_wider(other) || is_wider(&addr))).then(wide);
        reader.errors.report(&written.place, problem, hint);
        return None;
    }
    taken.push((addr.clone(), written.place.key.clone()));
    Some(addr)
}

/// The address of the admin listener, which commands have to find.
pub(in crate::config) fn admin_addr(
    written: &Written,
    taken: &mut Taken,
    reader: &mut Reader<'_>,
) -> Option<ListenAddr> {
    match listen_addr(written, taken, reader)? {
        ListenAddr::Given(_) => {
            report_address(written, AddressError::NotAnAddress, reader);
            None
        }
        addr => Some(addr),
    }
}

fn wide() -> String {
    "`[::]` is every address of IPv4 too, and `0.0.0.0` every one of those".to_owned()
}

/// Whether two addresses cannot be bound together.
fn overlap(one: &ListenAddr, other: &ListenAddr) -> bool {
    let (ListenAddr::Tcp(one), ListenAddr::Tcp(other)) = (one, other) else { return one == other };
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(wide) => wide.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(wide) => wide.is_unspecified(),
    };
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

fn is_any(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

/// The path of a unix socket, from the folder of the configuration.
pub(in crate::config) fn socket_path(
    path: &Path,
    written: &Written,
    reader: &mut Reader<'_>,
) -> Option<PathBuf> {
    let path = reader.surroundings.folder.join(path);
    let bytes = path.as_os_str().as_encoded_bytes();
    let good = bytes.len() <= SOCKET_PATH_BYTES_MAX && !bytes.contains(&0);
    if !good {
        reader.errors.report(&written.place, Problem::BadPath, || None);
    }
    good.then_some(path)
}

pub(in crate::config) fn report_address(
    written: &Written,
    reason: AddressError,
    reader: &mut Reader<'_>,
) {
    let problem = Problem::Address { written: written.quote(), reason };
    reader.errors.report(&written.place, problem, || None);
}

/// Address blocks; an address alone is a block of one.
pub(in crate::config) fn networks(written: &[Written], reader: &mut Reader<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in written {
        let alone = |_| text.text.parse::<IpAddr>().map(IpNet::from);
        let network = text.text.parse::<IpNet>().or_else(alone);
        match network {
            Ok(network) if network == network.trunc() => networks.push(network),
            Ok(network) => {
                let hint = || Some(format!("did you mean `{}`?", network.trunc()));
                let problem = Problem::NetworkBits(text.quote());
                reader.errors.report(&text.place, problem, hint);
            }
            Err(_) => {
                let problem = Problem::Network(text.quote());
                reader.errors.report(&text.place, problem, || None);
            }
        }
    }
    networks
}

/// `sun_path` of Linux, with its NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
