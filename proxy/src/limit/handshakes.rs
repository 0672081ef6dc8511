//! How many handshakes there are at once.
//!
//! Owns [`HandshakeLimit`], which admits handshakes in total and for each source, and in another
//! instance what is said before them. It also has the turns that full handshakes
//! take when there are many. Refuses to know sockets and TLS. Read next: `admission`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::prefix;
use crate::metrics::Limit;

/// Admits handshakes, or dialogues before them: so many in total, so many for each source.
#[derive(Debug)]
pub struct HandshakeLimit {
    pending: Mutex<Pending>,
    gauge: IntGauge,
    /// Turns to compute, when there are many.
    turns: Semaphore,
    few: i64,
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
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let turns = processors * TURNS_PER_PROCESSOR;
        let few = i64::try_from(turns).unwrap_or(i64::MAX);
        let (pending, turns) = (Mutex::new(pending), Semaphore::new(turns));
        Arc::new(Self { pending, gauge, turns, few })
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

impl HandshakePermit {
    /// Waits for a turn, if many handshakes are going on, and then until everything had its chance
    /// that was ready before.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.limit.gauge.get() <= self.limit.few {
            return None;
        }
        let turn = self.limit.turns.acquire().await.expect("the semaphore is never closed");
        tokio::task::yield_now().await;
        Some(turn)
    }
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

/// Full handshakes that may be about to compute, for each processor: enough to keep it busy while
/// there is nothing else to do, and few enough for whatever else there is.
const TURNS_PER_PROCESSOR: usize = 4;

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

    #[tokio::test]
    async fn few_handshakes_wait_for_nothing_and_of_many_the_full_ones_take_turns() {
        let limit = limit(1_000, 1_000);
        let permits: Vec<_> = (0..limit.few).map(|_| limit.admit(None).expect("room")).collect();
        let first = permits.first().expect("at least one");
        assert!(first.turn().await.is_none());
        let one_more = limit.admit(None).expect("room");
        let mut held = Vec::new();
        for permit in &permits {
            held.extend(permit.turn().await);
        }
        assert_eq!(held.len(), permits.len());
        let mut waiting = Box::pin(one_more.turn());
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        held.pop();
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn who_has_a_turn_lets_everything_pass_that_was_ready() {
        let limit = limit(1_000, 1_000);
        let permits: Vec<_> = (0..=limit.few).map(|_| limit.admit(None).expect("room")).collect();
        let permit = permits.first().expect("at least one");
        let order = Mutex::new(Vec::new());
        let full = async {
            let _turn = permit.turn().await;
            order.lock().unwrap().push("full");
        };
        let resumed = async { order.lock().unwrap().push("resumed") };
        tokio::join!(biased; full, resumed);
        assert_eq!(*order.lock().unwrap(), ["resumed", "full"]);
    }
}
