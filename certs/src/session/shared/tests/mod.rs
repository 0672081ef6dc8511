//! One rule after the other, with a store that does as it is told and a clock that stands still.

mod away;
mod hand_over;
mod look_ups;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;

use rustls::pki_types::UnixTime;
use rustls::server::StoresServerSessions;

use super::*;
use crate::session::engine::{Answer, EntryKey, ErrorKind, Record, Wanted};
use crate::session::id::{Offered, Use};
use crate::session::memory::Options as MemoryOptions;
use crate::session::seal::OpenError;
use crate::session::trace::{LookupResult, Trace};
use crate::session::{ContextId, ScopedStore};

const HERE: ContextId = ContextId([1; 32]);
const THERE: ContextId = ContextId([2; 32]);
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a store does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Does,
    Fails(ErrorKind),
    /// Refuses each record, but answers.
    Full,
    Hangs,
    /// Does it, and the answer is lost.
    Mute,
    /// Does it, and leaves the results out.
    Short,
    /// Does it, a little later than look-ups can wait.
    Slow,
}

#[derive(Debug)]
struct Store {
    entries: Mutex<HashMap<EntryKey, Record>>,
    mood: Mutex<Mood>,
    /// How much each call asked for or brought.
    calls: Mutex<Vec<(&'static str, usize)>>,
}

impl Store {
    fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn calls(&self) -> Vec<(&'static str, usize)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<EntryKey, Record>> {
        self.entries.lock().unwrap()
    }

    /// Does `act` as the mood of this moment has it.
    fn act<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        count: usize,
        act: impl FnOnce() -> T + Send + 'a,
    ) -> Answer<'a, T> {
        self.calls.lock().unwrap().push((name, count));
        let mood = *self.mood.lock().unwrap();
        Box::pin(async move {
            match mood {
                Mood::Does | Mood::Full | Mood::Short => Ok(act()),
                Mood::Fails(kind) => Err(kind.into()),
                Mood::Hangs => std::future::pending().await,
                Mood::Slow => {
                    tokio::time::sleep(8 * MILLI).await;
                    Ok(act())
                }
                Mood::Mute => {
                    act();
                    std::future::pending().await
                }
            }
        })
    }
}

impl Engine for Store {
    fn fetch<'a>(&'a self, wanted: &'a [Wanted]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let mood = *self.mood.lock().unwrap();
        self.act("fetch", wanted.len(), move || {
            let mut entries = self.entries();
            let fetch = |Wanted { key, usage }: &Wanted| match usage {
                Use::Single => entries.remove(key).map(|record| record.sealed),
                Use::Repeated => entries.get(key).map(|record| record.sealed.clone()),
            };
            let found: Vec<_> = wanted.iter().map(fetch).collect();
            if mood == Mood::Short { Vec::new() } else { found }
        })
    }

    fn store<'a>(&'a self, records: &'a [Record]) -> Answer<'a, Vec<Result<(), EngineError>>> {
        let mood = *self.mood.lock().unwrap();
        self.act("store", records.len(), move || {
            let store = |record: &Record| {
                if mood == Mood::Full {
                    return Err(ErrorKind::Full.into());
                }
                self.entries().insert(record.key, record.clone());
                Ok(())
            };
            let results: Vec<_> = records.iter().map(store).collect();
            if mood == Mood::Short { Vec::new() } else { results }
        })
    }

    fn agree<'a>(&'a self, record: &'a Record) -> Answer<'a, Vec<u8>> {
        self.act("agree", 1, move || {
            self.entries().entry(record.key).or_insert_with(|| record.clone()).sealed.clone()
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        self.act("probe", 0, || ())
    }
}

#[derive(Debug)]
struct Wall(AtomicU64);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = self.0.load(Ordering::Relaxed);
        (secs > 0).then(|| UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

/// A process.
struct Node {
    memory: Arc<SessionCache>,
    tier: Arc<SharedTier>,
    wall: Arc<Wall>,
}

fn store() -> Arc<Store> {
    let (entries, calls) = (Mutex::default(), Mutex::default());
    Arc::new(Store { entries, mood: Mutex::new(Mood::Does), calls })
}

fn keys(numbers: &[u8]) -> SealingKeys {
    let line = |number: &u8| format!("{}AAAA{}AAA=\n", (b'A' + number) as char, "AAAAA".repeat(7));
    SealingKeys::parse(numbers.iter().map(line).collect::<String>().as_bytes()).unwrap()
}

fn node_with(store: &Arc<Store>, options: Options) -> Node {
    let memory = Arc::new(SessionCache::new(MemoryOptions::default()));
    let wall = Arc::new(Wall(AtomicU64::new(1_000_000)));
    let engine = Arc::clone(store) as Arc<dyn Engine>;
    let clock = Arc::clone(&wall) as Arc<dyn TimeProvider>;
    let tier = SharedTier::new(engine, keys(&[1]), Arc::clone(&memory), options, clock);
    Node { memory, tier: Arc::new(tier), wall }
}

fn node(store: &Arc<Store>) -> Node {
    node_with(store, Options::default())
}

fn id(number: u16) -> SessionId {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SessionId(bytes)
}

fn single(number: u16) -> Offered {
    Offered::Identities([Some(id(number)), None])
}

fn repeated(number: u16) -> Offered {
    Offered::SessionId(id(number))
}

fn session(usage: Use) -> Vec<u8> {
    let minor = if usage == Use::Single { 4 } else { 3 };
    [&[0, 3, minor][..], &[7; 80]].concat()
}

impl Node {
    fn make(&self, number: u16, usage: Use) {
        let store = ScopedStore::new(Arc::clone(&self.memory), HERE)
            .with_shared(Arc::clone(&self.tier), Prefetched::default());
        assert!(store.put(id(number).0.to_vec(), session(usage)));
    }

    /// A connection that offers this; what explains how it went, and whether it resumes.
    async fn connect(&self, offered: Offered, context: ContextId) -> (Option<LookupResult>, bool) {
        let prefetched = self.tier.prefetch(&offered, &context).await;
        let trace = Arc::new(Trace::default());
        let store = ScopedStore::new(Arc::clone(&self.memory), context)
            .with_trace(Arc::clone(&trace))
            .with_shared(Arc::clone(&self.tier), prefetched);
        let resumed = offered.ids().any(|(usage, id)| match usage {
            Use::Single => store.take(id.as_bytes()).is_some(),
            Use::Repeated => store.get(id.as_bytes()).is_some(),
        });
        (trace.result(), resumed)
    }

    async fn resumes(&self, offered: Offered) -> bool {
        self.connect(offered, HERE).await.1
    }

    /// Runs the tier until `until` is done; what it told.
    async fn runs_until(&self, until: impl Future<Output = ()>) -> Vec<Change> {
        let mut told = Vec::new();
        let run: Pin<Box<dyn Future<Output = ()>>> =
            Box::pin(self.tier.run(|change| told.push(change)));
        tokio::select! {
            () = run => unreachable!("it runs for ever"),
            () = until => {}
        }
        told
    }

    async fn runs(&self, time: Duration) -> Vec<Change> {
        self.runs_until(tokio::time::sleep(time)).await
    }

    /// Makes the tier give up on the store.
    async fn trip(&self, store: &Store) {
        store.mood(Mood::Fails(ErrorKind::Loading));
        for number in 0..5 {
            assert!(self.tier.is_available());
            self.tier.prefetch(&single(number), &HERE).await;
        }
        assert!(!self.tier.is_available());
        store.calls();
    }
}
