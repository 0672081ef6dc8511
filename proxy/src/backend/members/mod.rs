//! The endpoints of a backend, as they are now.
//!
//! Owns [`Members`]: the list, which is swapped as a whole when names resolve differently, what is
//! known of each, and the choice of one. A choice reads one immutable group and takes no lock; the
//! group is made anew when something has changed how an endpoint stands. Refuses to know how an
//! endpoint is reached and where addresses come from. Read next: `standing` and `balance`, which
//! decide, and `maintain`, which keeps the list current.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::balance::{Candidate as _, Group};
use super::endpoint::{Endpoint, Load, Means, Verdict};
use super::report::EndpointReport;
use super::resolve::Ledger;
use super::standing::{Draining, Roster, Rules, Share};
use super::{key, random};
use crate::config::{self, Balance};
use crate::metrics::{BackendMetrics, Standing};
use crate::net::{ClientAddr, EndpointAddr};
use crate::outcome::Label as _;

/// The endpoints of a backend.
#[derive(Debug)]
pub(super) struct Members {
    myself: Weak<Self>,
    config: config::Backend,
    turn: AtomicU64,
    group: ArcSwap<Group<Arc<Endpoint>>>,
    book: Mutex<Book>,
    changed: Notify,
    ledger: Mutex<Ledger>,
    means: Arc<Means>,
    metrics: BackendMetrics,
}

/// What is known, and what is wanted.
#[derive(Debug)]
struct Book {
    roster: Roster<Arc<Endpoint>>,
    /// The names and addresses that get nothing new.
    draining: BTreeSet<String>,
    /// Endpoints that are none any more, while something still goes on there.
    left: Vec<Weak<Endpoint>>,
}

impl Members {
    /// Endpoints with literal addresses; the others follow when their names are resolved.
    pub(super) fn new(
        config: &config::Backend,
        means: &Arc<Means>,
        metrics: &BackendMetrics,
    ) -> Arc<Self> {
        let roster = Roster::new(Rules::new(config));
        let members = Arc::new_cyclic(|myself| Self {
            myself: Weak::clone(myself),
            config: config.clone(),
            turn: AtomicU64::new(0),
            group: ArcSwap::default(),
            book: Mutex::new(Book { roster, draining: BTreeSet::new(), left: Vec::new() }),
            changed: Notify::new(),
            ledger: Mutex::new(Ledger::new(config, Instant::now())),
            means: Arc::clone(means),
            metrics: metrics.clone(),
        });
        members.replace_by_ledger();
        members
    }

    /// What the operator wants.
    pub(super) fn config(&self) -> &config::Backend {
        &self.config
    }

    /// Which addresses are believed.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every endpoint, however it stands, and what it is there for.
    pub(super) fn all(&self) -> Vec<(Arc<Endpoint>, Share)> {
        let book = self.book();
        let members = book.roster.members().iter();
        members.map(|member| (Arc::clone(&member.item), member.share)).collect()
    }

    /// The endpoint with this address.
    pub(super) fn at(&self, addr: &EndpointAddr) -> Option<Arc<Endpoint>> {
        let book = self.book();
        let found = book.roster.members().iter().find(|member| member.item.addr == *addr);
        found.map(|member| Arc::clone(&member.item))
    }

    /// Waits until the list is another one; one who waits is enough.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A new endpoint at the address that the name at `place` has.
    pub(super) fn endpoint(&self, place: usize, addr: EndpointAddr) -> Arc<Endpoint> {
        let name = self.name(place);
        Endpoint::new(place, &name, addr, &self.myself, &self.means, &self.metrics)
    }

    /// From now on, the addresses that are believed are the endpoints. Those that were are kept,
    /// with their connections.
    pub(super) fn replace_by_ledger(&self) {
        let all = self.all();
        let old: HashMap<_, _> = all.iter().map(|(one, _)| ((one.place, &one.addr), one)).collect();
        let ledger = self.ledger();
        let mut addrs: Vec<_> = ledger.addrs().collect();
        let mut seen = HashSet::new();
        addrs.retain(|(_, addr, _)| seen.insert(*addr));
        let cut = addrs.len().saturating_sub(ENDPOINTS_MAX);
        if cut > 0 {
            // Whoever comes first in the configuration stays, backups if there is room for them.
            addrs.sort_by_key(|(.., share)| share.is_backup);
            addrs.truncate(ENDPOINTS_MAX);
            warn!(backend = self.metrics.name(), cut, "there are too many addresses");
        }
        let endpoint = |(place, addr, share): (usize, &EndpointAddr, Share)| {
            let same = old.get(&(place, addr)).map(|endpoint| Arc::clone(endpoint));
            (same.unwrap_or_else(|| self.endpoint(place, addr.clone())), share)
        };
        let endpoints = addrs.into_iter().map(endpoint).collect();
        drop(ledger);
        self.replace(endpoints);
    }

    /// From now on, these are the endpoints. Of two at one address the first counts.
    pub(super) fn replace(&self, mut endpoints: Vec<(Arc<Endpoint>, Share)>) {
        let mut seen = HashSet::new();
        endpoints.retain(|(endpoint, _)| seen.insert(endpoint.addr.clone()));
        let now = Instant::now();
        let before = self.all();
        let mut book = self.book();
        book.roster.replace(endpoints, now);
        let members = book.roster.members().iter();
        let stay: HashSet<_> = members.map(|member| Arc::as_ptr(&member.item)).collect();
        let left = before.iter().filter(|(one, _)| !stay.contains(&Arc::as_ptr(one)));
        book.left.extend(left.map(|(endpoint, _)| Arc::downgrade(endpoint)));
        self.drain(&mut book, now);
        drop(book);
        self.sweep_left(now);
        self.changed.notify_one();
    }

    /// Closes connections that have waited too long for their next exchange.
    pub(super) fn sweep(&self, now: Instant) {
        for (endpoint, _) in self.all() {
            endpoint.connections.sweep(now);
        }
        self.sweep_left(now);
    }

    /// Where no exchange goes any more, whatever waits has waited too long.
    fn sweep_left(&self, now: Instant) {
        let mut book = self.book();
        book.left.retain(|endpoint| endpoint.strong_count() > 0);
        let left: Vec<_> = book.left.iter().filter_map(Weak::upgrade).collect();
        drop(book);
        let late = now + self.means.limits().http.pool_idle_timeout;
        for endpoint in left {
            endpoint.connections.sweep(late);
        }
    }

    /// What the choice goes by for the requests of one client, if it is to be the same for all.
    pub(super) fn key(&self, client: ClientAddr, headers: &HeaderMap) -> Option<u64> {
        key::of(&self.config.balance, client, headers)
    }

    /// The endpoint whose turn it is, without those in `tried`.
    pub(super) fn choose(&self, key: Option<u64>, tried: &[Arc<Endpoint>]) -> Option<Load> {
        let mut group = self.group.load();
        if group.until.is_some_and(|until| until <= Instant::now()) {
            self.let_time_pass();
            group = self.group.load();
        }
        let endpoint = match (tried, &self.config.balance) {
            ([], Balance::RoundRobin) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                group.choose(&self.config.balance, turn, key).cloned()
            }
            ([], balance) => group.choose(balance, random(), key).cloned(),
            // A second choice for the same request does not cost anybody a turn.
            (tried, balance) => group.choose_other(balance, random(), key, tried),
        };
        endpoint.map(Load::new)
    }

    /// Takes into account how `endpoint` did.
    pub(super) fn note(&self, endpoint: &Arc<Endpoint>, verdict: Verdict) {
        let now = Instant::now();
        let mut book = self.book();
        match verdict {
            Verdict::Failed => {
                endpoint.is_suspect.store(true, Ordering::Relaxed);
                if let Some(length) = book.roster.fail(endpoint, now, random()) {
                    self.publish(&book, now);
                    drop(book);
                    self.metrics.ejections.inc();
                    let backend = self.metrics.name();
                    warn!(backend, endpoint = %endpoint.addr, ?length, "endpoint is ejected");
                }
            }
            Verdict::Good => {
                if book.roster.succeed(endpoint, now) {
                    endpoint.is_suspect.store(false, Ordering::Relaxed);
                }
            }
        }
    }

    /// Takes into account how `endpoint` answered to a health check; returns whether it became
    /// healthy or unhealthy by it, if it did.
    pub(super) fn check(&self, endpoint: &Arc<Endpoint>, is_good: bool) -> Option<bool> {
        let now = Instant::now();
        let mut book = self.book();
        let became = book.roster.check(endpoint, is_good, now);
        if became.is_some() {
            self.publish(&book, now);
        }
        became
    }

    /// Has nothing new go to the endpoints with this name or address, or something again; returns
    /// how many addresses that are now, or `None` if there is no such endpoint.
    pub(super) fn set_draining(&self, meant: &str, draining: Draining) -> Option<usize> {
        let now = Instant::now();
        let mut book = self.book();
        let is_name =
            self.config.endpoints.iter().any(|endpoint| endpoint.name.to_string() == meant);
        let members = book.roster.members().iter();
        let count = members.filter(|member| self.is_meant(&member.item, meant)).count();
        let is_known = is_name || count > 0;
        match draining {
            Draining::On if is_known => book.draining.insert(meant.to_owned()),
            // An address that has left, and would drain again as soon as it came back.
            Draining::Off if book.draining.remove(meant) => true,
            _ if is_known => true,
            _ => return None,
        };
        self.drain(&mut book, now);
        Some(count)
    }

    /// How every endpoint stands.
    pub(super) fn report(&self) -> Vec<EndpointReport> {
        let (now, book) = (Instant::now(), self.book());
        let members = book.roster.members().iter();
        let report = members.map(|member| EndpointReport {
            name: self.name(member.item.place),
            addr: member.item.addr.clone(),
            weight: member.share.weight,
            is_backup: member.share.is_backup,
            standing: member.standing(now),
            is_down: member.item.is_down(),
            load: member.item.load(),
        });
        report.collect()
    }

    /// Takes into account that time has passed.
    pub(super) fn let_time_pass(&self) {
        let mut book = match self.book.try_lock() {
            Ok(book) => book,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            // Somebody else is at it, and until then the old group is good enough.
            Err(TryLockError::WouldBlock) => return,
        };
        let now = Instant::now();
        let back = book.roster.advance(now);
        self.publish(&book, now);
        drop(book);
        for endpoint in back {
            info!(backend = self.metrics.name(), endpoint = %endpoint.addr, "endpoint is back");
        }
    }

    /// Has the endpoints drain that are to, and no others.
    fn drain(&self, book: &mut Book, now: Instant) {
        let Book { roster, draining, .. } = &mut *book;
        let drains =
            |endpoint: &Endpoint| draining.iter().any(|meant| self.is_meant(endpoint, meant));
        let way = |one: &Arc<Endpoint>| if drains(one) { Draining::On } else { Draining::Off };
        roster.set_all_draining(way, now);
        self.publish(book, now);
    }

    fn publish(&self, book: &Book, now: Instant) {
        self.group.store(Arc::new(book.roster.group(now)));
        for standing in Standing::ALL {
            let members = book.roster.members().iter();
            let count = members.filter(|member| member.standing(now) == *standing).count();
            self.metrics.endpoints.of(*standing).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn is_meant(&self, endpoint: &Endpoint, meant: &str) -> bool {
        self.name(endpoint.place) == meant || endpoint.addr.to_string() == meant
    }

    /// The name of the endpoint at `place` of the configuration.
    pub(super) fn name(&self, place: usize) -> String {
        self.config
            .endpoints
            .get(place)
            .map_or_else(String::new, |endpoint| endpoint.name.to_string())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses of one backend: each failure looks at all of them.
const ENDPOINTS_MAX: usize = 4_096;
