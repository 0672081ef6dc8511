//! Sessions on their way from memory to the store.
//!
//! Owns [`SharedTier::run`] and [`SharedTier::flush`]: gathering what was made within a moment
//! into batches, moving it, and taking it back where the store certainly did not take it; and the
//! watch over a store that is away. Refuses to know connections.
//!
//! The rule that keeps a single-use session single: it leaves memory before the store hears of
//! it, and comes back only if the store certainly does not have it. If nobody knows, it is
//! forgotten, which costs a full handshake.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::{Change, SharedTier};
use crate::session::engine::{EngineError, ErrorKind, Record};
use crate::session::id::{SessionId, Use};
use crate::session::memory::Exported;

impl SharedTier {
    /// Hands sessions over as they come, and tries a store that is away until it is back. Runs
    /// until it is dropped, which forgets at most the single-use sessions of the batches that are
    /// on their way, four of 64; everything else stays in memory. Without
    /// it nothing is handed over, and a store that went away never comes back.
    ///
    /// `tell` hears of each change once.
    pub async fn run(&self, tell: impl FnMut(Change) + Send) {
        tokio::join!(
            self.watch(tell),
            self.hand_over(),
            self.hand_over(),
            self.hand_over(),
            self.hand_over(),
        );
    }

    /// Hands over what waits, and waits for what is on its way: for when this process stops. Ends
    /// when nothing is left, the store is away, or the limit has passed.
    pub async fn flush(&self, limit: Duration) {
        let all = async {
            tokio::join!(self.empty(), self.empty(), self.empty(), self.empty());
            loop {
                let mut arrived = std::pin::pin!(self.arrived.notified());
                arrived.as_mut().enable();
                if self.batches.load(Ordering::Relaxed) == 0 {
                    return;
                }
                arrived.await;
            }
        };
        // What waits still stays in memory and ends with it.
        let _ = timeout(limit, all).await;
    }

    /// Until the queue is empty or the store away.
    async fn empty(&self) {
        while self.is_available() {
            let ids = self.queue.pop(BATCH_MAX);
            if ids.is_empty() {
                return;
            }
            self.move_batch(&ids).await;
        }
    }

    /// Batch after batch. Several do this at the same time: one gathers, the others wait for the
    /// store, or for their turn.
    async fn hand_over(&self) {
        loop {
            let ids = {
                let mut last = self.turn.lock().await;
                self.gather(&mut last).await
            };
            self.move_batch(&ids).await;
        }
    }

    /// The ids of the next batch; empty if somebody else was quicker.
    async fn gather(&self, last: &mut Option<Instant>) -> Vec<SessionId> {
        while !self.is_available() || self.queue.len() == 0 {
            self.queue.changed().await;
        }
        // What is made soon after a batch travels together; what is made at leisure does not wait,
        // so that its client finds it wherever it turns next.
        if let Some(last) = *last
            && self.queue.len() < BATCH_MAX
        {
            sleep_until(last + GATHER).await;
        }
        *last = Some(Instant::now());
        self.queue.pop(BATCH_MAX)
    }

    /// Moves these sessions into the store, if they are still here.
    async fn move_batch(&self, ids: &[SessionId]) {
        let _batch = Batch::begin(self);
        let began = Instant::now();
        let (records, sessions) = self.seal(ids);
        if records.is_empty() {
            return;
        }
        let answer = timeout(self.patience(), self.engine.store(&records)).await;
        match answer.unwrap_or_else(|_| Err(ErrorKind::Timeout.into())) {
            Ok(results) => self.settle(results, sessions, began.elapsed()),
            Err(error) => {
                if error.is_certain() {
                    // The store never heard of them: they wait until it listens.
                    let ids: Vec<_> = sessions.iter().map(|(id, _)| *id).collect();
                    let took = began.elapsed();
                    sessions.into_iter().for_each(|(id, session)| self.keep(id, session, took));
                    self.queue.put_back(&ids);
                } else {
                    let lost = sessions.len() as u64;
                    self.counters.unknown.fetch_add(lost, Ordering::Relaxed);
                }
                self.failed(error);
            }
        }
    }

    /// Takes sessions out of memory and seals them.
    fn seal(&self, ids: &[SessionId]) -> (Vec<Record>, Vec<(SessionId, Exported)>) {
        let (mut records, mut sessions) = (Vec::new(), Vec::new());
        // Without a clock, nobody could tell later how old they are.
        let Some(wall) = self.wall_secs() else {
            return (records, sessions);
        };
        let keys = self.keys();
        let lives = self.memory.options().lifetime;
        for id in ids {
            let Some(session) = self.memory.export(id) else {
                continue;
            };
            let Exported { context, usage, session: text, age } = &session;
            // Rather too old than too young.
            let age_secs = age.as_secs() + u64::from(age.subsec_nanos() > 0);
            let issued_at = wall.saturating_sub(age_secs);
            match keys.seal(*usage, context, id, issued_at, text) {
                Ok((key, sealed)) => {
                    let lifetime = lives.saturating_sub(*age);
                    records.push(Record { key, sealed, lifetime });
                    sessions.push((*id, session));
                }
                Err(_) => self.keep(*id, session, Duration::ZERO),
            }
        }
        (records, sessions)
    }

    /// Deals with each session by what the store says of it.
    fn settle(
        &self,
        results: Vec<Result<(), EngineError>>,
        sessions: Vec<(SessionId, Exported)>,
        took: Duration,
    ) {
        let mut results = results.into_iter();
        let mut fault = None;
        for (id, session) in sessions {
            let missing = || Err(EngineError::new(ErrorKind::Broken, "an answer too short"));
            match results.next().unwrap_or_else(missing) {
                Ok(()) => {
                    self.counters.stored.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    if error.is_certain() {
                        self.keep(id, session, took);
                    } else {
                        self.counters.unknown.fetch_add(1, Ordering::Relaxed);
                    }
                    fault.get_or_insert(error);
                }
            }
        }
        // That it was stored in good time says nothing of look-ups, whose limit is much shorter.
        if let Some(error) = fault {
            self.failed(error);
        }
    }

    /// Lays a session back into memory that the store certainly did not take.
    fn keep(&self, id: SessionId, session: Exported, took: Duration) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        // The other kind never left.
        if session.usage == Use::Single {
            self.memory.import(id, &Exported { age: session.age + took, ..session });
        }
    }

    /// Tells when the store goes away, and tries it until it is back.
    async fn watch(&self, mut tell: impl FnMut(Change) + Send) {
        loop {
            let (probe_at, news) = {
                let mut breaker = self.breaker();
                (breaker.probe_at(), breaker.news())
            };
            if let Some(error) = news {
                tell(Change::Away(error));
            }
            let Some(probe_at) = probe_at else {
                self.opened.notified().await;
                continue;
            };
            sleep_until(self.epoch + probe_at).await;
            if let Some(after) = self.probe().await {
                self.queue.wake();
                tell(Change::Back { after });
            }
        }
    }

    /// Tries the store; for how long it was left alone, if it answers as soon as look-ups need it.
    /// An engine that has to connect first does so in the background.
    async fn probe(&self) -> Option<Duration> {
        let began = Instant::now();
        let mut answer = timeout(self.patience(), self.engine.probe()).await;
        if began.elapsed() > self.options.timeout && matches!(answer, Ok(Ok(()))) {
            // That may have been the connection.
            answer = timeout(self.options.timeout, self.engine.probe()).await;
        }
        let fault = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.kind()),
            Err(_) => Some(ErrorKind::Timeout),
        };
        if let Some(kind) = fault {
            self.counters.failed(kind);
        }
        let now = self.now();
        let mut breaker = self.breaker();
        let after = breaker.probed(fault, now)?;
        self.is_open.store(false, Ordering::Relaxed);
        Some(after)
    }
}

/// A batch on its way, counted for as long as it lives.
struct Batch<'a>(&'a SharedTier);

impl<'a> Batch<'a> {
    fn begin(tier: &'a SharedTier) -> Self {
        tier.batches.fetch_add(1, Ordering::Relaxed);
        Self(tier)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::Relaxed);
        self.0.arrived.notify_waiters();
    }
}

/// Sessions that travel together at most.
const BATCH_MAX: usize = 64;
/// How long it is at least between the beginnings of two batches that are not full.
const GATHER: Duration = Duration::from_millis(2);
