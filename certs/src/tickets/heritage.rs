//! Ticket keys that the process which follows this one goes on with.
//!
//! Owns their form on the way and both its ends. Both processes then hold them: the first one opens
//! nothing any more, and keeps them only for the case that it has to go on. The clock goes along
//! with the keys: the successor's steady clock continues that of its predecessor, so each key keeps
//! its limits to the moment. Keys out of a file stay at home, since the successor reads the file.
//! The contents are secret and in clear: whoever carries them keeps them from everybody else.
//!
//! The form is a byte for itself, then the source (1), rotation (8) and the steady
//! clock, then keys, each as kind (1), period (8), secret (32) and its five times. A time is
//! seconds (8) and nanoseconds (4).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::key::{Origin, TicketKey};
use super::ring::Ring;
use super::{KEYS_MAX, Moment, Source, TicketKeys};
use crate::sealing::{KEY_BYTES, NoRandomness, SealKey};

impl TicketKeys {
    /// The keys for the process that follows this one; none if they come from a file.
    #[must_use]
    pub fn bequeath(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.bequeath_at(self.now())
    }

    pub(super) fn bequeath_at(&self, now: Moment) -> Option<Zeroizing<Vec<u8>>> {
        let source = match self.source {
            Source::Agreed => AGREED,
            Source::Local => LOCAL,
            Source::File => return None,
        };
        // In one piece from the start, so that no copy is left where it grew.
        let mut heritage = Zeroizing::new(Vec::with_capacity(HERITAGE_BYTES_MAX));
        heritage.extend_from_slice(&[FORM, source]);
        heritage.extend_from_slice(&self.options.rotation().as_secs().to_be_bytes());
        write_time(&mut heritage, now.steady);
        let ring = self.ring();
        for key in ring.keys().iter().take(KEYS_MAX) {
            let kind = match key.origin() {
                Origin::Agreed { .. } => AGREED,
                Origin::Local { .. } => LOCAL,
                Origin::File { .. } => continue,
            };
            let (Some(period), Some(times)) = (key.origin().period(), key.times()) else {
                continue;
            };
            heritage.push(kind);
            heritage.extend_from_slice(&period.to_be_bytes());
            heritage.extend_from_slice(key.secret().expose());
            times.into_iter().for_each(|time| write_time(&mut heritage, time));
        }
        Some(heritage)
    }

    /// Goes on with the keys of the process that this one follows, which came at `at`, and with its
    /// clock. Keys of a source that is another now are left alone, and those of another rotation
    /// open, but do not seal.
    ///
    /// # Errors
    ///
    /// [`HeritageError`]. Unless it says otherwise, the keys are as if there had been nobody
    /// before.
    pub fn inherit(&self, heritage: &[u8], at: Instant) -> Result<(), HeritageError> {
        let heritage = Heritage::read(heritage)?;
        let is_expected = matches!(
            (self.source, heritage.source),
            (Source::Agreed, AGREED) | (Source::Local, LOCAL)
        );
        if !is_expected {
            return Ok(());
        }
        self.epoch.store(Arc::new((heritage.steady, at)));
        let now = self.now();
        let same_periods = heritage.rotation == self.options.rotation();
        let mut keys = Vec::new();
        for Bequest { kind, period, secret, times } in heritage.keys {
            let Ok(key) = SealKey::new(&secret) else { continue };
            let origin = match kind {
                _ if !same_periods => Origin::Local { period: NO_PERIOD },
                AGREED => Origin::Agreed { period, text: Zeroizing::new(secret.to_vec()) },
                _ => Origin::Local { period },
            };
            let mut key = TicketKey::inherited(key, origin, times, now, &self.options);
            if kind == AGREED {
                key = self.lock().limit(key, &self.options, now);
            }
            keys.push(Arc::new(key));
        }
        self.ring.store(Arc::new(Ring::new(keys)));
        if self.source == Source::Local {
            self.advance(now).map_err(HeritageError::NoRandomness)?;
        }
        Ok(())
    }
}

/// What was read.
struct Heritage {
    source: u8,
    rotation: Duration,
    steady: Duration,
    keys: Vec<Bequest>,
}

/// A key that was read.
struct Bequest {
    kind: u8,
    period: u64,
    secret: Zeroizing<[u8; KEY_BYTES]>,
    times: [Duration; 5],
}

impl Heritage {
    fn read(heritage: &[u8]) -> Result<Self, HeritageError> {
        let (form, mut rest) = heritage.split_first().ok_or(HeritageError::Broken)?;
        if *form != FORM {
            return Err(HeritageError::Form(*form));
        }
        Self::read_rest(&mut rest).ok_or(HeritageError::Broken)
    }

    fn read_rest(rest: &mut &[u8]) -> Option<Self> {
        let [source] = array(rest)?;
        let rotation = Duration::from_secs(u64::from_be_bytes(array(rest)?));
        let steady = read_time(rest)?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let [kind] = array(rest)?;
            let is_known = matches!(kind, AGREED | LOCAL) && keys.len() < KEYS_MAX;
            is_known.then_some(())?;
            let period = u64::from_be_bytes(array(rest)?);
            let secret = Zeroizing::new(array(rest)?);
            let mut times = [Duration::ZERO; 5];
            for time in &mut times {
                *time = read_time(rest)?;
            }
            keys.push(Bequest { kind, period, secret, times });
        }
        Some(Self { source, rotation, steady, keys })
    }
}

fn write_time(to: &mut Vec<u8>, time: Duration) {
    to.extend_from_slice(&time.as_secs().to_be_bytes());
    to.extend_from_slice(&time.subsec_nanos().to_be_bytes());
}

fn read_time(rest: &mut &[u8]) -> Option<Duration> {
    let (secs, nanos) = (u64::from_be_bytes(array(rest)?), u32::from_be_bytes(array(rest)?));
    (nanos < 1_000_000_000).then(|| Duration::new(secs, nanos))
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*array)
}

/// Why the keys of the process before could not be taken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeritageError {
    /// What came ends too early, or holds what is no key.
    #[error("the ticket keys of the process before are broken")]
    Broken,
    /// It is of a form that is not known here.
    #[error("the ticket keys of the process before have the form {0}, which is not known here")]
    Form(u8),
    /// The keys were taken over, and there is none to go on with after them yet.
    #[error("no new ticket key")]
    NoRandomness(#[source] NoRandomness),
}

/// The most that a heritage can be.
pub const HERITAGE_BYTES_MAX: usize = 2 + 8 + TIME_BYTES + KEYS_MAX * BEQUEST_BYTES;
const BEQUEST_BYTES: usize = 1 + 8 + KEY_BYTES + 5 * TIME_BYTES;
const TIME_BYTES: usize = 8 + 4;
/// The form that this file writes and reads.
const FORM: u8 = 1;
const AGREED: u8 = 1;
const LOCAL: u8 = 2;
/// A period that is over for good: its key seals nothing.
const NO_PERIOD: u64 = 0;
