//! Which addresses are believed, and when they are asked for again.
//!
//! Owns [`Ledger`], a pure record of the answers: a failure never takes an address away, time does,
//! once the last answer that had it is older than the configuration allows. Refuses to know DNS.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::dns::Found;
use super::literal;
use crate::backend::standing::Share;
use crate::config::{self, Resolve};
use crate::net::EndpointAddr;

/// What is known of the names of a backend.
#[derive(Debug)]
pub(in crate::backend) struct Ledger {
    rules: Resolve,
    /// In the order of the configuration.
    entries: Vec<Entry>,
}

/// What is known of one name.
#[derive(Debug)]
struct Entry {
    own: Share,
    known: Vec<Known>,
    /// Since when there should be an answer.
    since: Instant,
    /// When the question for IPv4 addresses was last answered, if there ever were any.
    v4_at: Option<Instant>,
    /// The same for IPv6.
    v6_at: Option<Instant>,
    failures: u32,
    /// When it is asked for again; never, if it is a literal.
    due: Option<Instant>,
}

/// An address, and when an answer last had it.
#[derive(Clone, Debug)]
struct Known {
    addr: EndpointAddr,
    share: Share,
    seen_at: Instant,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum News {
    /// Nothing.
    Nothing,
    /// Addresses.
    Changed,
    /// There is no answer any more, and the old ones stay.
    Failing,
    /// There is no answer, and addresses have become too old.
    Lost,
    /// There is an answer again.
    Recovered,
}

impl Ledger {
    /// Literals are known for good, everything else is due.
    pub(in crate::backend) fn new(config: &config::Backend, now: Instant) -> Self {
        let entry = |endpoint: &config::Endpoint| {
            let weight = endpoint.weight.max(1);
            let own = Share { weight, is_backup: endpoint.is_backup };
            let addr = literal(&endpoint.name);
            Entry {
                own,
                due: addr.is_none().then_some(now),
                known: addr
                    .map(|addr| Known { addr, share: own, seen_at: now })
                    .into_iter()
                    .collect(),
                since: now,
                v4_at: None,
                v6_at: None,
                failures: 0,
            }
        };
        Self {
            rules: config.resolve.clone(),
            entries: config.endpoints.iter().map(entry).collect(),
        }
    }

    /// Every address that is believed, with the place of its name and what it is there for.
    pub(in crate::backend) fn addrs(&self) -> impl Iterator<Item = (usize, &EndpointAddr, Share)> {
        let entries = self.entries.iter().enumerate();
        entries.flat_map(|(place, entry)| {
            entry.known.iter().map(move |known| (place, &known.addr, known.share))
        })
    }

    /// How many addresses are believed of the name at `place`.
    pub(super) fn count(&self, place: usize) -> usize {
        self.entries.get(place).map_or(0, |entry| entry.known.len())
    }

    /// The names that are to be asked for at `now`.
    pub(super) fn due(&self, now: Instant) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        let due = entries.filter(|(_, entry)| entry.due.is_some_and(|due| due <= now));
        due.map(|(place, _)| place).collect()
    }

    /// When the next name is to be asked for, if any is.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.due).min()
    }

    /// How old the oldest answer is, if there is anything to ask for.
    pub(in crate::backend) fn age(&self, now: Instant) -> Option<Duration> {
        let asked = self.entries.iter().filter(|entry| entry.due.is_some());
        let oldest = asked.map(Entry::good_at).min()?;
        Some(now.saturating_duration_since(oldest))
    }

    /// Takes the answer for the name at `place`, `None` if there was none. `chance` is random.
    pub(super) fn settle(
        &mut self,
        place: usize,
        found: Option<&Found>,
        chance: u64,
        now: Instant,
    ) -> News {
        let Resolve { interval, stale_max, .. } = self.rules;
        let Some(entry) = self.entries.get_mut(place) else { return News::Nothing };
        let before: Vec<_> =
            entry.known.iter().map(|known| (known.addr.clone(), known.share)).collect();
        let was_failing = entry.failures > 0;
        let pause = match found {
            Some(found) => {
                entry.take(found, now);
                found.valid_for.min(interval)
            }
            None => {
                entry.failures = entry.failures.saturating_add(1);
                let doublings = (entry.failures - 1).min(20);
                (PAUSE_MIN * (1 << doublings)).min(interval)
            }
        };
        // Up to a tenth sooner, so that many processes do not ask in step.
        let pause = pause.max(PAUSE_MIN);
        let sooner = pause / 1_000 * u32::try_from(chance % 100).unwrap_or_default();
        entry.due = Some(now + (pause - sooner).max(PAUSE_MIN));
        entry.known.retain(|known| now.saturating_duration_since(known.seen_at) <= stale_max);
        let after = entry.known.iter().map(|known| (&known.addr, known.share));
        let is_same = before.iter().map(|(addr, share)| (addr, *share)).eq(after);
        match (found.is_some(), was_failing, is_same) {
            (true, true, _) => News::Recovered,
            (true, false, false) => News::Changed,
            (false, _, false) => News::Lost,
            (false, false, true) => News::Failing,
            _ => News::Nothing,
        }
    }
}

impl Entry {
    /// When all was last known that can be known of the name. There are servers that never answer
    /// one of the questions, which says nothing if there never were such addresses.
    fn good_at(&self) -> Instant {
        self.v4_at.into_iter().chain(self.v6_at).min().unwrap_or(self.since)
    }

    /// What was found is known from now on. An address that was not is known no longer, unless the
    /// question for addresses of its kind failed.
    fn take(&mut self, found: &Found, now: Instant) {
        self.failures = 0;
        let has = |is_meant: fn(&SocketAddr) -> bool| found.addrs.iter().any(|(a, _)| is_meant(a));
        if !found.lacks_v4 && (self.v4_at.is_some() || has(SocketAddr::is_ipv4)) {
            self.v4_at = Some(now);
        }
        if !found.lacks_v6 && (self.v6_at.is_some() || has(SocketAddr::is_ipv6)) {
            self.v6_at = Some(now);
        }
        let share = |share: Option<Share>| match share {
            Some(share) => Share { is_backup: share.is_backup || self.own.is_backup, ..share },
            None => self.own,
        };
        let fresh = found.addrs.iter().map(|(addr, said)| Known {
            addr: EndpointAddr::Tcp(*addr),
            share: share(*said),
            seen_at: now,
        });
        let mut fresh: Vec<_> = fresh.collect();
        let is_open = |addr: &EndpointAddr| match addr {
            EndpointAddr::Tcp(SocketAddr::V4(_)) => found.lacks_v4,
            EndpointAddr::Tcp(SocketAddr::V6(_)) => found.lacks_v6,
            EndpointAddr::Unix(_) => false,
        };
        let mut old = std::mem::take(&mut self.known);
        old.retain(|known| is_open(&known.addr) && fresh.iter().all(|new| new.addr != known.addr));
        fresh.extend(old);
        fresh.sort_unstable_by(|one, other| one.addr.cmp(&other.addr));
        self.known = fresh;
    }
}

/// Before a name is asked for again, whatever the answer says of itself.
const PAUSE_MIN: Duration = Duration::from_secs(1);
