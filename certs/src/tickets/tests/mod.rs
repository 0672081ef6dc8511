//! The requirements on ticket keys, with clocks and a store in the hands of the test.

mod agreement;
mod files;
mod heritage;
mod rotation;
mod tickets;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use zeroize::Zeroizing;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// A moment at which a period of the default begins.
const START: Duration = Duration::from_secs(500_000 * 60 * 60);

/// A wall clock that stands where it is put.
#[derive(Debug)]
struct Clock(Mutex<Duration>);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(*self.0.lock().unwrap()))
    }
}

fn clock(at: Duration) -> Arc<Clock> {
    Arc::new(Clock(Mutex::new(at)))
}

/// Both clocks at the same place.
fn at(time: Duration) -> Moment {
    Moment { wall: time, steady: time }
}

/// Keys that were made at this moment, to the nanosecond.
fn local(time: Duration) -> TicketKeys {
    let keys = TicketKeys::empty(RingOptions::default(), Source::Local, clock(time));
    keys.advance(at(time)).unwrap();
    keys
}

/// A store that holds what it was given, and can be away.
#[derive(Default)]
struct Store {
    texts: Mutex<HashMap<Vec<u8>, Text>>,
    time: Mutex<Duration>,
    is_away: AtomicBool,
    longest: Mutex<Duration>,
}

/// With the time at which it is forgotten.
type Text = (Vec<u8>, Duration);

#[derive(Debug, thiserror::Error)]
#[error("away")]
struct Away;

impl Store {
    fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.texts.lock().unwrap().clear();
    }
}

impl Agree for Store {
    type Error = Away;

    async fn agree(
        &self,
        label: &[u8],
        text: &[u8],
        lifetime: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Away> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Away);
        }
        let mut longest = self.longest.lock().unwrap();
        *longest = lifetime.max(*longest);
        let mut texts = self.texts.lock().unwrap();
        let time = *self.time.lock().unwrap();
        texts.retain(|_, (_, until)| time < *until);
        let (text, _) =
            texts.entry(label.to_vec()).or_insert_with(|| (text.to_vec(), time + lifetime));
        Ok(Zeroizing::new(text.clone()))
    }
}

/// Drives a future that never waits.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

/// What a process does again and again.
fn round(keys: &TicketKeys, store: &Store, now: Moment) {
    *store.time.lock().unwrap() = now.steady;
    let _may_be_away = now_or_never(keys.agree(store, now));
    keys.advance(now).unwrap();
}

/// The names of the key that seals and of those that open.
fn names(keys: &TicketKeys, now: Moment) -> (Option<key::KeyName>, Vec<key::KeyName>) {
    let ring = keys.ring();
    let view = ring.view(&keys.options, keys.scheduled(now));
    (view.sealing().map(|key| *key.name()), view.opening().map(|key| *key.name()).collect())
}
