//! How many handshakes there are at once.
//!
//! Owns [`HandshakeLimit`], which admits handshakes in total and for each source, and in another
//! instance what is said before them. Refuses to know sockets and TLS. Read next: `rate`, which
//! counts them by the second.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;

use super::prefix;
use crate::metrics::Limit;

/// Admits handshakes, or dialogues before them: so many in total, so many for each source.
#[derive(Debug)]
pub struct HandshakeLimit {
    pending: Mutex<Pending>,
    gauge: IntGauge,
}

/// Who is in a handshake now; bounded by the total, since a source without one is forgotten.
#[derive(Debug, Default)]
struct Pending {
    total_max: usize,
    per_source_max: usize,
    total: usize,
    sources: HashMap<IpAddr, usize>,
}

impl HandshakeLimit {
    /// Admits at most `total_max` handshakes at once and `per_source_max` from one IPv4 address
    /// or IPv6 /64; `gauge` shows how many there are.
    pub fn new(total_max: usize, per_source_max: usize, gauge: IntGauge) -> Arc<Self> {
        let pending = Pending { total_max, per_source_max, ..Pending::default() };
        Arc::new(Self { pending: Mutex::new(pending), gauge })
    }

    /// Takes other limits for whoever comes from now on.
    pub fn resize(&self, total_max: usize, per_source_max: usize) {
        let mut pending = self.pending();
        (pending.total_max, pending.per_source_max) = (total_max, per_source_max);
    }

    /// Admits a handshake with `source` for as long as the permit is held. Clients without an
    /// address, on unix sockets, count towards the total only.
    pub fn admit(self: &Arc<Self>, source: Option<IpAddr>) -> Result<HandshakePermit, Limit> {
        let source = source.map(prefix);
        let mut pending = self.pending();
        if pending.total >= pending.total_max {
            return Err(Limit::Handshakes);
        }
        let per_source_max = pending.per_source_max;
        if let Some(source) = source {
            let count = pending.sources.entry(source).or_default();
            if *count >= per_source_max {
                return Err(Limit::HandshakesPerSource);
            }
            *count += 1;
        }
        pending.total += 1;
        self.gauge.inc();
        Ok(HandshakePermit { limit: Arc::clone(self), source })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake that was admitted.
#[derive(Debug)]
pub struct HandshakePermit {
    limit: Arc<HandshakeLimit>,
    source: Option<IpAddr>,
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        let mut pending = self.limit.pending();
        pending.total -= 1;
        if let Some(source) = self.source
            && let Entry::Occupied(mut count) = pending.sources.entry(source)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        self.limit.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(total: usize, per_source: usize) -> Arc<HandshakeLimit> {
        let gauge = IntGauge::new("pending", "pending").expect("a name");
        HandshakeLimit::new(total, per_source, gauge)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_slash_64() {
        let limit = limit(10, 1);
        let _v4 = limit.admit(ip("192.0.2.1")).expect("the first");
        let mapped = limit.admit(ip("::ffff:192.0.2.1")).expect_err("the same source");
        assert_eq!(mapped, Limit::HandshakesPerSource);
        let _other = limit.admit(ip("192.0.2.2")).expect("another source");
        let _v6 = limit.admit(ip("2001:db8::1")).expect("another source");
        limit.admit(ip("2001:db8::ffff:2")).expect_err("the same /64");
        let _next = limit.admit(ip("2001:db8:0:1::1")).expect("the next /64");
    }

    #[test]
    fn other_limits_hold_for_whoever_comes_next() {
        let limit = limit(1, 1);
        let first = limit.admit(ip("192.0.2.1")).expect("the first");
        limit.resize(2, 2);
        let _second = limit.admit(ip("192.0.2.1")).expect("there may be two now");
        limit.resize(1, 1);
        drop(first);
        assert_eq!(limit.admit(ip("192.0.2.2")).expect_err("full"), Limit::Handshakes);
    }

    #[test]
    fn every_permit_comes_back() {
        let limit = limit(3, 2);
        let held: Vec<_> = ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
            .map(|source| limit.admit(ip(source)).expect("below the limits"))
            .into();
        assert_eq!(limit.admit(None).expect_err("full"), Limit::Handshakes);
        assert_eq!(limit.gauge.get(), 3);
        drop(held);
        assert_eq!(limit.gauge.get(), 0);
        let pending = limit.pending.lock().expect("nobody panicked");
        assert_eq!((pending.total, pending.sources.len()), (0, 0));
    }
}
