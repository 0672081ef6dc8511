//! A store that is far away: calls travel, arrive later, and their answers travel back, or not.
//!
//! What a caller gives up on may happen all the same. What the store holds is in its own time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use portunus_certs::session::engine::{
    Answer, Engine, EngineError, EntryKey, ErrorKind, Record, Wanted,
};
use portunus_certs::session::id::Use;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::chance::Chance;

pub(crate) struct Store {
    inner: Mutex<Inner>,
    arrived: Notify,
}

pub(crate) struct Inner {
    entries: BTreeMap<EntryKey, (Vec<u8>, Instant)>,
    mail: Vec<Mail>,
    sent: u64,
    pub(crate) chance: Chance,
    pub(crate) mood: Mood,
    pub(crate) habits: Habits,
}

/// How a store is built, which does not change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habits {
    /// It forgets to forget.
    pub(crate) keeps_for_ever: bool,
    /// It reads first and deletes later, against the contract.
    pub(crate) takes_in_two_steps: bool,
    /// It says of what it took that it certainly did not, against the contract.
    pub(crate) denies_what_it_took: bool,
}

/// What goes wrong at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    /// Nothing.
    Well,
    /// Calls and answers take up to 20 ms.
    Slow,
    /// Some records find no room.
    Full,
    /// Every call fails in this manner, undone.
    Fails(ErrorKind),
    /// Every second answer is lost: the connection breaks, or nobody ever knows.
    Loses,
}

/// What is between a node and the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Open,
    Refused,
    Swallowed,
}

struct Mail {
    due: Instant,
    number: u64,
    act: Box<dyn FnOnce(&mut Inner) + Send>,
}

impl Store {
    pub(crate) fn new(chance: Chance, habits: Habits) -> Arc<Self> {
        let (entries, mail) = (BTreeMap::new(), Vec::new());
        let inner = Inner { entries, mail, sent: 0, chance, mood: Mood::Well, habits };
        Arc::new(Self { inner: Mutex::new(inner), arrived: Notify::new() })
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Does what arrives, in its order.
    pub(crate) async fn serve(self: Arc<Self>) {
        loop {
            let due = self.inner().mail.iter().map(|mail| mail.due).min();
            match due {
                None => self.arrived.notified().await,
                Some(due) => drop(timeout_at(due, self.arrived.notified()).await),
            }
            let mut inner = self.inner();
            inner.mail.sort_by_key(|mail| (mail.due, mail.number));
            let now = Instant::now();
            let due = inner.mail.iter().take_while(|mail| mail.due <= now).count();
            let due: Vec<_> = inner.mail.drain(..due).collect();
            due.into_iter().for_each(|mail| (mail.act)(&mut inner));
        }
    }
}

impl Inner {
    fn send(&mut self, due: Instant, act: impl FnOnce(&mut Self) + Send + 'static) {
        self.sent += 1;
        self.mail.push(Mail { due, number: self.sent, act: Box::new(act) });
    }

    fn travel(&mut self) -> Duration {
        match self.mood {
            Mood::Slow => self.chance.micros(0..20_000),
            Mood::Well | Mood::Full | Mood::Fails(_) | Mood::Loses => self.chance.micros(0..1_500),
        }
    }

    fn look(&mut self, key: &EntryKey) -> Option<Vec<u8>> {
        let (sealed, until) = self.entries.get(key)?;
        (self.habits.keeps_for_ever || Instant::now() < *until).then(|| sealed.clone())
    }

    fn fetch(&mut self, wanted: Wanted) -> Option<Vec<u8>> {
        let found = self.look(&wanted.key)?;
        if wanted.usage == Use::Single {
            if self.habits.takes_in_two_steps {
                let later = Instant::now() + Duration::from_millis(1);
                self.send(later, move |inner| drop(inner.entries.remove(&wanted.key)));
            } else {
                self.entries.remove(&wanted.key);
            }
        }
        Some(found)
    }

    fn store(&mut self, record: Record) -> Result<(), EngineError> {
        let has_no_room = self.mood == Mood::Full && self.chance.percent(50);
        if has_no_room && !self.habits.denies_what_it_took {
            return Err(ErrorKind::Full.into());
        }
        self.entries.insert(record.key, (record.sealed, Instant::now() + record.lifetime));
        if has_no_room { Err(ErrorKind::Full.into()) } else { Ok(()) }
    }

    /// Somebody who holds the store changes an entry, or lays one in the place of another.
    pub(crate) fn tamper(&mut self) {
        let keys: Vec<_> = self.entries.keys().copied().collect();
        if keys.len() < 2 {
            return;
        }
        let (from, to) = (self.chance.one_of(&keys), self.chance.one_of(&keys));
        let Some((mut sealed, until)) = self.entries.remove(&from) else {
            return;
        };
        if self.chance.percent(50) {
            let place = self.chance.below(sealed.len());
            sealed[place] ^= 1 << self.chance.below(8);
            self.entries.insert(from, (sealed, until));
        } else {
            self.entries.insert(to, (sealed, until));
        }
    }

    pub(crate) fn forget_all(&mut self) {
        self.entries.clear();
    }
}

/// One node's way to the store.
pub(crate) struct Link {
    store: Arc<Store>,
    way: Mutex<Way>,
}

impl Link {
    pub(crate) fn new(store: &Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), way: Mutex::new(Way::Open) })
    }

    pub(crate) fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Inner) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        self.travelled().await?;
        let told = {
            let mut inner = self.store.inner();
            let is_lost = inner.mood == Mood::Loses && inner.chance.percent(50);
            let fault = if let Mood::Fails(kind) = inner.mood { Some(kind) } else { None };
            let due = Instant::now() + inner.travel();
            let (tell, told) = oneshot::channel();
            inner.send(due, move |inner| {
                let result = match fault {
                    Some(kind) => Err(kind.into()),
                    None => Ok(act(inner)),
                };
                if !is_lost {
                    let _ = tell.send(result);
                }
            });
            self.store.arrived.notify_one();
            told
        };
        let Ok(result) = told.await else {
            let breaks = self.store.inner().chance.percent(50);
            return if breaks {
                Err(ErrorKind::Broken.into())
            } else {
                std::future::pending().await
            };
        };
        let back = Instant::now() + self.store.inner().travel();
        sleep_until(back).await;
        // An answer does not come through either.
        let way = *self.way.lock().unwrap();
        if way == Way::Open { result } else { std::future::pending().await }
    }

    async fn travelled(&self) -> Result<(), EngineError> {
        let way = *self.way.lock().unwrap();
        match way {
            Way::Open => Ok(()),
            Way::Refused => {
                sleep(Duration::from_micros(300)).await;
                Err(ErrorKind::Unreachable.into())
            }
            Way::Swallowed => std::future::pending().await,
        }
    }
}

impl Engine for Link {
    fn fetch<'a>(&'a self, wanted: &'a [Wanted]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let wanted = wanted.to_vec();
        Box::pin(
            self.call(move |inner| wanted.into_iter().map(|wanted| inner.fetch(wanted)).collect()),
        )
    }

    fn store<'a>(&'a self, records: &'a [Record]) -> Answer<'a, Vec<Result<(), EngineError>>> {
        let records = records.to_vec();
        Box::pin(
            self.call(move |inner| records.into_iter().map(|record| inner.store(record)).collect()),
        )
    }

    fn agree<'a>(&'a self, record: &'a Record) -> Answer<'a, Vec<u8>> {
        let record = record.clone();
        Box::pin(self.call(move |inner| match inner.look(&record.key) {
            Some(sealed) => sealed,
            None => {
                let sealed = record.sealed.clone();
                let until = Instant::now() + record.lifetime;
                inner.entries.insert(record.key, (record.sealed, until));
                sealed
            }
        }))
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.call(|_| ()))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}
