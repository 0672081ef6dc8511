//! Sessions on their way to another process of the same machine, in parcels.
//!
//! Owns the form of a parcel and both ends of its way. What is packed is gone from the memory that
//! it was in, so a session is never in two places; a parcel that is lost costs full handshakes. The
//! contents are secret and in clear: whoever carries a parcel keeps it from everybody else. Refuses
//! to know how it is carried.
//!
//! A parcel is a byte for its form and then sessions, each as id (32 bytes), context id (32), age
//! in milliseconds (8), length (4) and the session as rustls writes it. How often a session may be
//! used stands in the session itself.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Exported, SessionCache, lock};
use crate::session::ContextId;
use crate::session::id::{SessionId, Use};

impl SessionCache {
    /// Takes the oldest sessions out, as many as fit into `bytes_max`; none if there are none left.
    /// A session that is larger than a whole parcel is forgotten.
    pub fn pack(&self, bytes_max: usize) -> Option<Zeroizing<Vec<u8>>> {
        self.pack_at(bytes_max, self.now())
    }

    /// Lays down the sessions of a parcel, and says how many there were. Those that are too old or
    /// too large are forgotten.
    ///
    /// # Errors
    ///
    /// [`ParcelError`], if it is not one; then nothing of it is laid down.
    pub fn unpack(&self, parcel: &[u8]) -> Result<usize, ParcelError> {
        self.unpack_at(parcel, self.now())
    }

    pub(super) fn pack_at(&self, bytes_max: usize, now: Duration) -> Option<Zeroizing<Vec<u8>>> {
        let room_max = bytes_max.checked_sub(1 + HEAD_BYTES)?;
        // In one piece from the start, so that no copy is left where it grew.
        let mut parcel = Zeroizing::new(Vec::with_capacity(bytes_max));
        parcel.push(FORM);
        for shard in &self.shards {
            let mut shard = lock(shard);
            while let Some(room) = bytes_max.checked_sub(parcel.len() + HEAD_BYTES) {
                match shard.depart(room, now) {
                    Some((id, session)) => write(&mut parcel, &id, &session),
                    None if room < room_max => break,
                    // There is nothing, or something that no parcel holds.
                    None if shard.evict() => {}
                    None => break,
                }
            }
        }
        (parcel.len() > 1).then_some(parcel)
    }

    pub(super) fn unpack_at(&self, parcel: &[u8], now: Duration) -> Result<usize, ParcelError> {
        let (form, mut rest) = parcel.split_first().ok_or(ParcelError::Broken)?;
        if *form != FORM {
            return Err(ParcelError::Form(*form));
        }
        let mut sessions = Vec::new();
        while !rest.is_empty() {
            sessions.push(read(&mut rest).ok_or(ParcelError::Broken)?);
        }
        let laid_down = sessions.iter().filter(|(id, session)| self.import_at(*id, session, now));
        Ok(laid_down.count())
    }
}

fn write(parcel: &mut Vec<u8>, id: &SessionId, exported: &Exported) {
    let Exported { context, session, age, usage: _ } = exported;
    parcel.extend_from_slice(&id.0);
    parcel.extend_from_slice(&context.0);
    parcel.extend_from_slice(&u64::try_from(age.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
    parcel.extend_from_slice(&u32::try_from(session.len()).unwrap_or(u32::MAX).to_be_bytes());
    parcel.extend_from_slice(session);
}

fn read(rest: &mut &[u8]) -> Option<(SessionId, Exported)> {
    let id = SessionId(array(rest)?);
    let context = ContextId(array(rest)?);
    let age = Duration::from_millis(u64::from_be_bytes(array(rest)?));
    let length = usize::try_from(u32::from_be_bytes(array(rest)?)).ok()?;
    let (session, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    let usage = Use::of(session)?;
    Some((id, Exported { context, usage, session: Zeroizing::new(session.to_vec()), age }))
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*array)
}

/// Why a parcel was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParcelError {
    /// It ends too early, or holds what is no session.
    #[error("the parcel of sessions is broken")]
    Broken,
    /// It is of a form that is not known here.
    #[error("the parcel of sessions has the form {0}, which is not known here")]
    Form(u8),
}

/// The form of parcels that this file writes and reads.
const FORM: u8 = 1;
/// What stands before each session.
const HEAD_BYTES: usize = 32 + 32 + 8 + 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Options, SessionStats};
    use super::*;
    use crate::session::trace::LookupResult;

    const HERE: ContextId = ContextId([1; 32]);
    const PARCEL: usize = 64 << 10;

    fn session(minor: u8, length: usize) -> Vec<u8> {
        let mut value = vec![0, 3, minor];
        value.resize(length.max(3), minor);
        value
    }

    fn id(number: u8) -> SessionId {
        SessionId([number; 32])
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn numbers(cache: &SessionCache) -> (u64, u64) {
        let SessionStats { sessions, bytes, .. } = cache.stats();
        (sessions, bytes)
    }

    #[test]
    fn sessions_leave_one_memory_and_come_into_another_with_their_age() {
        let (from, to) =
            (SessionCache::new(Options::default()), SessionCache::new(Options::default()));
        for number in 0..200 {
            let value = session(3 + number % 2, 90 + usize::from(number));
            assert!(from.put_at(id(number), HERE, value, secs(u64::from(number))));
        }
        let mut moved = 0;
        while let Some(parcel) = from.pack_at(4096, secs(1000)) {
            assert!(parcel.len() <= 4096);
            moved += to.unpack_at(&parcel, secs(5000)).unwrap();
        }
        assert_eq!((moved, numbers(&from)), (200, (0, 0)));
        assert_eq!(from.get_at(&id(0), HERE, secs(1000)), Err(LookupResult::Miss));
        assert_eq!(to.get_at(&id(0), HERE, secs(5000)), Ok(session(3, 90)));
        assert_eq!(to.take_at(&id(1), HERE, secs(5000)), Ok(session(4, 91)));
        assert_eq!(to.take_at(&id(1), ContextId([2; 32]), secs(5000)), Err(LookupResult::Miss));
        // The session of second 198 was 802 seconds old, and lives for an hour in all.
        assert!(to.get_at(&id(198), HERE, secs(5000 + 3600 - 802 - 1)).is_ok());
        let late = to.get_at(&id(198), HERE, secs(5000 + 3600 - 802));
        assert_eq!(late, Err(LookupResult::Expired));
    }

    #[test]
    fn what_is_too_old_or_larger_than_a_parcel_is_forgotten() {
        let from = SessionCache::new(Options::default());
        assert!(from.put_at(id(1), HERE, session(3, 90), secs(0)));
        assert!(from.put_at(id(65), HERE, session(3, 4000), secs(3000)));
        assert!(from.put_at(id(129), HERE, session(3, 100), secs(3000)));
        let parcel = from.pack_at(1000, secs(3700)).unwrap();
        assert_eq!((parcel.len(), numbers(&from)), (1 + HEAD_BYTES + 100, (0, 0)));
        assert_eq!(from.pack_at(PARCEL, secs(3700)), None);
    }

    #[test]
    fn a_parcel_of_another_form_or_cut_short_is_refused_whole() {
        let (from, to) =
            (SessionCache::new(Options::default()), SessionCache::new(Options::default()));
        assert!(from.put_at(id(1), HERE, session(4, 90), secs(0)));
        assert!(from.put_at(id(2), HERE, session(4, 90), secs(0)));
        let mut parcel = from.pack_at(PARCEL, secs(1)).unwrap();
        for length in [0, 2, 50, parcel.len() / 2 + 3, parcel.len() - 1] {
            assert_eq!(to.unpack_at(&parcel[..length], secs(1)), Err(ParcelError::Broken));
        }
        parcel[0] = 2;
        assert_eq!(to.unpack_at(&parcel, secs(1)), Err(ParcelError::Form(2)));
        assert_eq!(numbers(&to), (0, 0));
    }

    proptest! {
        #[test]
        fn whatever_a_parcel_holds_nothing_breaks(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let to = SessionCache::new(Options::default());
            let mut parcel = vec![FORM];
            parcel.extend(bytes);
            let laid_down = to.unpack_at(&parcel, secs(1));
            prop_assert_eq!(laid_down.unwrap_or(0) as u64, to.stats().sessions);
        }
    }
}
