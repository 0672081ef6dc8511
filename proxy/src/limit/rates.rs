//! How many handshakes one source may cost in a second.
//!
//! Owns [`SourceRates`]. What counts is what costs: a full handshake, and one that fails; a client
//! that resumes is free. Who offers a session that is there is let try, and pays afterwards if it
//! was not resumed; a source in deep debt is not even heard. The table is bounded, and forgets
//! first who owes nothing. Refuses to know TLS: `handshake` says what one will cost. Read next:
//! `admission`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::prefix;
use crate::count::IntCounter;
use crate::metrics::Limit;

/// What each source has cost of late.
#[derive(Debug)]
pub struct SourceRates {
    /// Handshakes in a second; 0 for as many as come.
    per_second: AtomicU32,
    hits: IntCounter,
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

/// Until when the debt of a source lasts: each handshake adds its part of a second.
type Shard = Mutex<HashMap<IpAddr, Instant>>;

impl SourceRates {
    /// Lets each source cost `per_second` handshakes, or as many as come. `hits`
    /// counts how often one had cost enough.
    pub fn new(per_second: Option<NonZeroU32>, hits: IntCounter) -> Arc<Self> {
        let shards = std::array::from_fn(|_| Shard::default());
        let per_second = AtomicU32::new(per_second.map_or(0, NonZeroU32::get));
        Arc::new(Self { per_second, hits, hasher: RandomState::new(), shards })
    }

    /// The same with another number from now on.
    pub fn allow(&self, per_second: Option<NonZeroU32>) {
        self.per_second.store(per_second.map_or(0, NonZeroU32::get), Ordering::Relaxed);
    }

    /// Opens the bill of a handshake with `source`, unless that is too deep in debt. Clients
    /// without an address have none.
    pub fn open(self: &Arc<Self>, source: Option<IpAddr>) -> Result<Bill, Limit> {
        self.open_at(source, Instant::now)
    }

    fn open_at(
        self: &Arc<Self>,
        source: Option<IpAddr>,
        now: impl FnOnce() -> Instant,
    ) -> Result<Bill, Limit> {
        if self.per_second.load(Ordering::Relaxed) == 0 {
            return Ok(Bill::default());
        }
        let Some(source) = source.map(prefix) else { return Ok(Bill::default()) };
        let now = now();
        let debt = self.shard(source).get(&source).map(|&until| until.duration_since(now));
        if debt.is_some_and(|debt| debt > DEBT_HEARD_MAX) {
            self.hits.inc();
            return Err(Limit::HandshakeRatePerSource);
        }
        Ok(Bill { account: Some(Account { rates: Arc::clone(self), source }), paid: None })
    }

    /// Adds a handshake to the debt of `source`, if that stays within `debt_max`.
    /// Returns by how much.
    fn charge(&self, source: IpAddr, debt_max: Duration, now: Instant) -> Result<Duration, Limit> {
        let per_second = self.per_second.load(Ordering::Relaxed);
        if per_second == 0 {
            return Ok(Duration::ZERO);
        }
        let price = Duration::from_secs(1) / per_second;
        let mut shard = self.shard(source);
        let until = shard.get(&source).map_or(now, |&until| until.max(now)) + price;
        if until > now + debt_max {
            return Err(Limit::HandshakeRatePerSource);
        }
        if shard.len() >= SHARD_SOURCES_MAX && !shard.contains_key(&source) {
            shard.retain(|_, until| *until > now);
            if shard.len() >= SHARD_SOURCES_MAX {
                // So many owe something that one more is not remembered; the limit on all
                // handshakes together holds all the same.
                return Ok(Duration::ZERO);
            }
        }
        shard.insert(source, until);
        Ok(price)
    }

    /// Takes this much off the debt of `source`.
    fn refund(&self, source: IpAddr, price: Duration) {
        if let Some(until) = self.shard(source).get_mut(&source) {
            *until -= price;
        }
    }

    fn shard(&self, source: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        let place = self.hasher.hash_one(source) as usize % SHARDS;
        let shard = self.shards.get(place).expect("the place is below the number of shards");
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a handshake costs its source; to be paid in the end, unless it was before, or is forgiven.
#[derive(Debug, Default)]
pub struct Bill {
    account: Option<Account>,
    /// What was paid already, and by whom.
    paid: Option<(Account, Duration)>,
}

#[derive(Debug)]
struct Account {
    rates: Arc<SourceRates>,
    source: IpAddr,
}

impl Bill {
    /// Pays for a full handshake that is still to come, if the source can.
    pub fn pay(&mut self) -> Result<(), Limit> {
        let Some(account) = self.account.take() else { return Ok(()) };
        let paid = account.rates.charge(account.source, DEBT_MAX, Instant::now());
        let price = paid.inspect_err(|_| account.rates.hits.inc())?;
        self.paid = Some((account, price));
        Ok(())
    }

    /// The handshake has cost next to nothing, whatever was believed of it.
    pub fn forgive(mut self) {
        self.account = None;
        if let Some((Account { rates, source }, price)) = self.paid.take() {
            rates.refund(source, price);
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if let Some(Account { rates, source }) = self.account.take() {
            // What cannot be paid any more is written off, so that no debt lasts long.
            let _ = rates.charge(source, DEBT_KEPT_MAX, Instant::now());
        }
    }
}

/// What a source may owe and still have a full handshake: those of one second, at once if it likes.
const DEBT_MAX: Duration = Duration::from_secs(1);

/// What a source may owe and still be heard: it may have a session to offer.
const DEBT_HEARD_MAX: Duration = Duration::from_secs(2);

/// What a source may owe at all.
const DEBT_KEPT_MAX: Duration = Duration::from_secs(3);

const SHARDS: usize = 16;

/// Some hundred thousand in all shards.
const SHARD_SOURCES_MAX: usize = 6_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: u32) -> Arc<SourceRates> {
        SourceRates::new(NonZeroU32::new(per_second), IntCounter::default())
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    /// How many of `count` full handshakes of `source` are let through.
    fn full(rates: &Arc<SourceRates>, source: &str, count: usize) -> usize {
        let tried = (0..count).map(|_| rates.open(ip(source))?.pay());
        tried.filter(Result::is_ok).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_has_its_full_handshakes_of_each_second() {
        let rates = rates(5);
        assert_eq!(full(&rates, "192.0.2.1", 20), 5);
        assert_eq!(full(&rates, "192.0.2.2", 3), 3);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(full(&rates, "192.0.2.1", 20), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(full(&rates, "192.0.2.1", 20), 5);
        assert_eq!(rates.hits.get(), 15 + 18 + 15);
    }

    #[tokio::test(start_paused = true)]
    async fn who_resumes_pays_nothing_and_is_heard_beside_those_who_do_not() {
        let rates = rates(2);
        assert_eq!(full(&rates, "2001:db8::1", 9), 2);
        for _ in 0..100 {
            rates.open(ip("2001:db8::2")).expect("it is heard").forgive();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_believed_to_cost_more_than_it_did_gets_back_what_it_paid() {
        let rates = rates(1);
        for _ in 0..10 {
            let mut bill = rates.open(ip("192.0.2.1")).expect("it is heard");
            bill.pay().expect("it owes nothing");
            bill.pay().expect("it has paid");
            bill.forgive();
        }
        assert_eq!(full(&rates, "192.0.2.1", 9), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_again_and_again_is_not_heard_for_a_while() {
        let rates = rates(2);
        let failed = (0..100).take_while(|_| rates.open(ip("192.0.2.1")).is_ok()).count();
        assert_eq!(failed, 5);
        rates.open(ip("192.0.2.2")).expect("another source");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(full(&rates, "192.0.2.1", 9), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_number_as_many_pass_as_come_and_nothing_is_remembered() {
        let rates = rates(0);
        assert_eq!(full(&rates, "192.0.2.1", 1_000), 1_000);
        assert_eq!(rates.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>(), 0);
        rates.allow(NonZeroU32::new(1));
        assert_eq!(full(&rates, "192.0.2.1", 10), 1);
        drop(rates.open(None).expect("a client without an address"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_forgets_who_owes_nothing() {
        let rates = rates(1);
        let sources = |from: u32, count: u32| {
            (from..from + count).map(|number| IpAddr::from(number.to_be_bytes()))
        };
        let known = || rates.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        for source in sources(1, 150_000) {
            rates.open(Some(source)).expect("it is new").pay().expect("it is new");
        }
        assert!(known() <= SHARDS * SHARD_SOURCES_MAX, "{}", known());
        tokio::time::advance(Duration::from_secs(2)).await;
        for source in sources(1_000_000, 32) {
            rates.open(Some(source)).expect("it is new").pay().expect("it is new");
        }
        assert!(known() < 100_000, "{}", known());
        assert_eq!(full(&rates, "0.15.66.64", 1), 0, "one that was charged is remembered");
    }
}
