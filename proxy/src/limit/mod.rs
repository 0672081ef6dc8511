//! What is capped, as values that are held, and when enough is enough.
//!
//! Owns the policies: how many connections (`slots`), how many handshakes at once (`handshakes`)
//! and in a second (`rates`), which of them go first (`admission`), what is given up when memory
//! runs short (`memory`), and how many panics are too many (`panics`). Each decides from what it is
//! told, at a time that it is given. Time is capped by `tokio::time` where the waiting is done.
//! Every cap can be another one from one moment to the next. Refuses to know sockets, TLS and the
//! system.

mod admission;
mod footprint;
mod handshakes;
mod memory;
mod panics;
mod pressure;
mod rates;
mod slots;

use std::net::{IpAddr, Ipv6Addr};

pub use admission::{Admission, Cost, Turn};
pub use footprint::{Footprint, Share};
pub use handshakes::{HandshakeLimit, HandshakePermit};
pub use memory::Memory;
pub use panics::{Panics, Severity};
pub use pressure::{Barometer, Pressure, Reading};
pub use rates::{Bill, SourceRates};
pub use slots::{Slot, Slots};

/// What one subscriber is commonly given: an IPv4 address, an IPv6 /64.
fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
