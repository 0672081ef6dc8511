//! Ticket keys: the ring, its rotation, and the tickets that it seals.
//!
//! A ticket is a session in the hands of the client, sealed (RFC 5077, RFC 8446 §4.6.1). It needs
//! no memory here and no look-up, and it is as good as the keys: whoever gets a key can read what
//! was said in every connection whose ticket it sealed (in TLS 1.2), or take the client's place. So
//! keys are short-lived, and gone when they are over.
//!
//! In the order of a key's life:
//!
//! 1. Where it comes from: made here; [`file`](FileKeys), out of a file; [`agreed`](Agree), by
//!    agreement of processes through a store.
//! 2. `key`: its name, its secret, and the limits of its life.
//! 3. `heritage`: how it goes on in the process that follows this one.
//! 4. `ring`: which keys open and which one seals, as a function of the moment.
//! 5. [`TicketKeys`], here: the ring in use, and how one ring follows another.
//! 6. [`ScopedTicketer`]: what one connection gets of it, in its context.
//!
//! **Time.** A [`Moment`] is read from two clocks: the wall clock, which processes share, and the
//! steady one, which nobody can set: the wall time at which this object was made, and what has gone
//! by since; it stands still while the machine sleeps. Keys that are made here follow the steady
//! clock alone, so setting the wall clock neither shortens nor lengthens their lives, nor those of
//! their tickets. Keys that are agreed on rotate with the wall clock, since processes must mean the
//! same period, but each has the limits of its life on the steady clock too, and keeps them if it
//! is forgotten and comes back. Whatever is done to the wall clock costs full handshakes at most.
//!
//! **Erasure.** A ring is immutable and replaced as a whole. Connections hold the [`TicketKeys`],
//! not the ring, and look at the ring for the length of one call, so a key that was left out of the
//! new ring is wiped as soon as the last such call returns. [`TicketKeys::advance`] leaves out what
//! is over, and [`TicketKeys::next_change`] says when to call it again, so that an idle process
//! forgets its keys too. If nobody calls it, expired keys stay in memory, but do nothing.
//!
//! Nothing here starts a task or logs: whoever owns a runtime calls, in a loop, `agree` (if the
//! keys are agreed on), `advance`, and sleeps for `next_change`.

mod agreed;
mod counts;
mod file;
mod heritage;
mod key;
mod ring;
mod ticketer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use rustls::time_provider::TimeProvider;
use tokio::time::Instant;

use crate::sealing::{NoRandomness, SealKey};
use agreed::Ends;
pub use agreed::{Agree, AgreementError};
use counts::Counts;
pub use counts::TicketStats;
pub use file::{FileKeys, FileKeysError, KEYS_MAX, Place};
pub use heritage::{HERITAGE_BYTES_MAX, HeritageError};
use key::{Origin, TicketKey};
use ring::Ring;
pub use ring::{RingOptions, RingOptionsError};
pub use ticketer::{OPENS_MAX, PLAIN_BYTES_MAX, ScopedTicketer, TICKET_BYTES_MAX};

/// The ticket keys of a process, or of several: the ring that is in use.
pub struct TicketKeys {
    ring: ArcSwap<Ring>,
    /// Held by whoever puts another ring in place.
    writer: Mutex<Ends>,
    options: RingOptions,
    source: Source,
    clock: Arc<dyn TimeProvider>,
    epoch: ArcSwap<(Duration, Instant)>,
    counts: Counts,
}

/// Where keys come from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Source {
    /// Processes agree on them, through a store.
    Agreed,
    /// Out of a file.
    File,
    /// Made here, and known to nobody else.
    Local,
}

/// A point in time, on two clocks, each as the time since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// The clock that processes share, and that may be set.
    pub wall: Duration,
    /// The clock of this process, which only goes forward.
    pub steady: Duration,
}

impl TicketKeys {
    /// Keys that are made here and never leave the memory of this process.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`], if the system gives none.
    pub fn local(options: RingOptions, clock: Arc<dyn TimeProvider>) -> Result<Self, NoRandomness> {
        let keys = Self::empty(options, Source::Local, clock);
        keys.advance(keys.now())?;
        Ok(keys)
    }

    /// Keys out of a file.
    #[must_use]
    pub fn of_file(options: RingOptions, clock: Arc<dyn TimeProvider>, file: &FileKeys) -> Self {
        let keys = Self::empty(options, Source::File, clock);
        keys.replace(file, keys.now());
        keys
    }

    /// Keys that processes agree on. There is none before [`Self::agree`] or [`Self::advance`].
    #[must_use]
    pub fn agreed(options: RingOptions, clock: Arc<dyn TimeProvider>) -> Self {
        Self::empty(options, Source::Agreed, clock)
    }

    fn empty(options: RingOptions, source: Source, clock: Arc<dyn TimeProvider>) -> Self {
        let wall = wall(clock.as_ref()).unwrap_or_default();
        Self {
            ring: ArcSwap::default(),
            writer: Mutex::default(),
            options,
            source,
            clock,
            epoch: ArcSwap::from_pointee((wall, Instant::now())),
            counts: Counts::default(),
        }
    }

    /// How keys rotate, and how long tickets last.
    #[must_use]
    pub fn options(&self) -> &RingOptions {
        &self.options
    }

    /// Where the keys come from. While there is no agreement, those that seal are made here.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// This moment. While the wall clock cannot be read, the steady one takes its place.
    #[must_use]
    pub fn now(&self) -> Moment {
        let (wall_then, then) = **self.epoch.load();
        let steady = wall_then.saturating_add(then.elapsed());
        Moment { wall: wall(self.clock.as_ref()).unwrap_or(steady), steady }
    }

    /// Forgets the keys that are over, and makes those that are due, unless they come from a file.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`], if the system gives none. Keys that are over are forgotten all the same.
    pub fn advance(&self, now: Moment) -> Result<(), NoRandomness> {
        let now = self.scheduled(now);
        let _writer = self.lock();
        let ring = self.ring.load();
        let current = self.options.period(now);
        let mut keys = ring.without_expired(current, now);
        let mut is_changed = keys.len() != ring.keys().len();
        let mut outcome = Ok(());
        if self.source != Source::File {
            for period in [current, current.saturating_add(1)] {
                if ring.provides(period, now) {
                    continue;
                }
                match SealKey::generate() {
                    Ok(secret) => {
                        let origin = Origin::Local { period };
                        let key = TicketKey::of_period(secret, origin, &self.options, now);
                        keys.push(Arc::new(key));
                        is_changed = true;
                    }
                    Err(error) => outcome = Err(error),
                }
            }
        }
        if is_changed {
            self.ring.store(Arc::new(Ring::new(keys)));
        }
        outcome
    }

    /// Takes what the file contains now. Keys that stand there no more are forgotten, and with
    /// them go their tickets. Does nothing to keys that do not come from a file.
    pub fn replace(&self, file: &FileKeys, now: Moment) {
        if self.source != Source::File {
            return;
        }
        let _writer = self.lock();
        let ring = self.ring.load();
        let keys = file.0.iter().enumerate().map(|(place, secret)| {
            let key = TicketKey::of_file(secret.clone(), place == 0, now.steady);
            // A key is as old as its time at the place where it stands.
            let same = |other: &&Arc<TicketKey>| {
                other.name() == key.name()
                    && matches!(other.origin(), Origin::File { seals } if *seals == (place == 0))
            };
            ring.keys().iter().find(same).map_or_else(|| Arc::new(key), Arc::clone)
        });
        self.ring.store(Arc::new(Ring::new(keys.collect())));
    }

    /// One round of agreement: on the key of this period, on the next one, and on those before
    /// whose tickets still resume. Those of this and the next period are asked for each time, the
    /// others while they are lacking. Ends with the first failure; what was agreed on until then
    /// is in use. Does nothing to keys that come from elsewhere.
    ///
    /// # Errors
    ///
    /// [`AgreementError`]. The keys in hand go on, and [`Self::advance`] makes what is lacking.
    pub async fn agree<A: Agree>(
        &self,
        store: &A,
        now: Moment,
    ) -> Result<(), AgreementError<A::Error>> {
        if self.source != Source::Agreed {
            return Ok(());
        }
        let current = self.options.period(now);
        for period in self.options.periods(now) {
            let mut lifetime = self.options.opens(period)[1].saturating_sub(now.wall);
            // Only the text is held while the store makes us wait, not the key.
            let text = match self.ring.load().agreed(period).filter(|key| now.steady < key.dies()) {
                None => agreed::proposal().map_err(AgreementError::NoRandomness)?,
                Some(_) if period < current => continue,
                Some(key) => {
                    lifetime = lifetime.min(key.dies().saturating_sub(now.steady));
                    key.text().ok_or(AgreementError::Unfit { period })?
                }
            };
            let label = agreed::label(&self.options, period);
            let text = store
                .agree(label.as_bytes(), &text, lifetime)
                .await
                .map_err(|cause| AgreementError::Store { period, cause })?;
            let secret = text.as_slice().try_into().ok().map(SealKey::new);
            let Some(Ok(secret)) = secret else {
                return Err(AgreementError::Unfit { period });
            };
            let origin = Origin::Agreed { period, text };
            self.adopt(TicketKey::of_period(secret, origin, &self.options, now), period, now);
        }
        Ok(())
    }

    /// Puts an agreed key in the place of what was there for its period. What may have sealed
    /// still opens.
    fn adopt(&self, key: TicketKey, wanted: u64, now: Moment) {
        let mut ends = self.lock();
        let ring = self.ring.load();
        if ring.agreed(wanted).is_some_and(|other| other.name() == key.name()) {
            return;
        }
        let key = ends.limit(key, &self.options, now);
        if key.is_over(now) {
            return;
        }
        let mut keys = Vec::with_capacity(ring.keys().len() + 1);
        for other in ring.keys() {
            match other.origin() {
                Origin::Agreed { period, .. } if *period == wanted => {
                    keys.push(Arc::new(other.as_local()));
                }
                Origin::Local { period }
                    if *period == wanted && now.wall < self.options.starts(wanted) => {}
                _ => keys.push(Arc::clone(other)),
            }
        }
        // A store that gives another answer each time would fill the ring; it fills up to here.
        if keys.len() < KEYS_MAX {
            keys.push(Arc::new(key));
            self.ring.store(Arc::new(Ring::new(keys)));
        }
    }

    /// How long until something changes: until then, there is nothing to do. Never longer than a
    /// minute, since the wall clock may be set meanwhile.
    #[must_use]
    pub fn next_change(&self, now: Moment) -> Duration {
        let now = self.scheduled(now);
        let ring = self.ring.load();
        let limits = ring.keys().iter().filter_map(|key| key.next_limit(now));
        let mut next = limits.min().unwrap_or(LOOK).min(LOOK);
        if self.source == Source::File {
            return next;
        }
        let current = self.options.period(now);
        let period_ends = self.options.starts(current.saturating_add(1));
        next = next.min(period_ends.saturating_sub(now.wall));
        let lacks_agreed = |period| ring.agreed(period).is_none();
        if self.source == Source::Agreed && self.options.periods(now).any(lacks_agreed) {
            next = next.min(AGREE_AGAIN);
        }
        if ![current, current.saturating_add(1)].iter().all(|period| ring.provides(*period, now)) {
            next = next.min(GENERATE_AGAIN);
        }
        next.max(NEXT_MIN)
    }

    /// Whether there is a key to seal with. If not, tickets are worth nothing, and sessions have
    /// to be kept here. That is so when for two rotations nobody called [`Self::advance`].
    #[must_use]
    pub fn is_usable(&self, now: Moment) -> bool {
        let ring = self.ring.load();
        ring.view(&self.options, self.scheduled(now)).sealing().is_some()
    }

    /// How long ago the ring got its newest key; in a file, how long the first one has been the
    /// first, as far as this process knows. Less than a rotation if all is well; what comes out of
    /// a file is as old as its owner lets it become.
    #[must_use]
    pub fn age(&self, now: Moment) -> Option<Duration> {
        let now = self.scheduled(now);
        let current = self.options.period(now);
        let ring = self.ring.load();
        let newest = ring.keys().iter().filter(|key| match key.origin() {
            Origin::File { seals } => *seals,
            Origin::Agreed { period, .. } | Origin::Local { period } => *period >= current,
        });
        let since = newest.map(|key| key.since()).max()?;
        Some(now.steady.saturating_sub(since))
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> TicketStats {
        let now = self.now();
        let ring = self.ring.load();
        let view = ring.view(&self.options, self.scheduled(now));
        TicketStats {
            keys: view.opening().count(),
            sealing: view.sealing().map(|key| match key.origin() {
                Origin::Agreed { .. } => Source::Agreed,
                Origin::File { .. } => Source::File,
                Origin::Local { .. } => Source::Local,
            }),
            age: self.age(now),
            ..self.counts.read()
        }
    }

    /// The moment as the schedule sees it.
    fn scheduled(&self, now: Moment) -> Moment {
        match self.source {
            Source::Agreed | Source::File => now,
            Source::Local => Moment { wall: now.steady, ..now },
        }
    }

    fn ring(&self) -> Guard<Arc<Ring>> {
        self.ring.load()
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("source", &self.source)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn wall(clock: &dyn TimeProvider) -> Option<Duration> {
    clock.current_time().map(|time| Duration::from_secs(time.as_secs()))
}

/// How often to look, if nothing is due.
const LOOK: Duration = Duration::from_secs(60);
/// How soon to ask again for a key that lacks agreement.
const AGREE_AGAIN: Duration = Duration::from_secs(5);
/// How soon to try again to make a key.
const GENERATE_AGAIN: Duration = Duration::from_secs(1);
/// So that a caller never spins.
const NEXT_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
