//! What the process that serves says to the new one, word by word.
//!
//! Owns the bounds of each word and of each wait for one, the sessions on their way, and what is
//! heard of a new process that serves: its end, or that it leaves. Refuses to know the order of
//! what is said: that is `predecessor`.

use std::future::pending;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::error::UpgradeError;
use super::heir::Heir;
use super::launcher::Launcher;
use super::message::{Message, PARCEL_BYTES_MAX, Parcel};
use super::packets::Packets;
use crate::net::listen::Hold;
use crate::runtime::leave::Asked;
use crate::runtime::resumption::Sessions;

/// The new process, and the ways to it.
pub(super) struct Talk<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) heir: &'a Heir,
    pub(super) packets: &'a Packets,
}

/// What becomes of a new process that serves.
#[derive(Debug)]
pub(super) enum Fate {
    /// It has ended, in these words.
    Died(String),
    /// It ends in order, and this one with it.
    Leaves(Asked),
    /// It is believed.
    Lives,
}

impl Talk<'_> {
    /// Waits until the new process has ended, and says how.
    pub(super) async fn last_words(&self) -> String {
        self.heir.last_words(self.launcher).await
    }

    /// Waits until the new process ends, or has been told to.
    pub(super) async fn fate(&self) -> Fate {
        let word = async {
            loop {
                match self.packets.receive().await.map(|packet| packet.map(|it| it.bytes)) {
                    Ok(Some(bytes)) if Message::decode(&bytes) == Ok(Message::Leaving) => return,
                    Ok(Some(_)) => {}
                    // It speaks no more, which is not to say that it does not serve.
                    Ok(None) | Err(_) => pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            () = word => Fate::Leaves(Asked::Elsewhere),
            how = self.last_words() => Fate::Died(how),
        }
    }
}

/// Leaves for good: what came late goes along, and files belong to the new process. One that does
/// not hear of it is as good as dead.
pub(super) async fn commit(
    packets: &Packets,
    taken: &[Arc<Hold>],
    (sessions, parcels): (&Sessions, &mut Parcels),
) -> Result<(), UpgradeError> {
    let sent = send_sessions(packets, sessions, parcels).await;
    taken.iter().for_each(|hold| hold.leave_file());
    let told = match sent {
        Ok(()) => say(packets, &Message::Committed, None).await,
        Err(error) => Err(error),
    };
    told.map_err(|error| {
        taken.iter().for_each(|hold| hold.take_file());
        UpgradeError::Died(error.to_string())
    })
}

/// Sends sessions as long as there are any, within a bound, and keeps a copy of them. What cannot
/// be sent stays where it was.
pub(super) async fn send_sessions(
    packets: &Packets,
    sessions: &Sessions,
    parcels: &mut Parcels,
) -> Result<(), UpgradeError> {
    let end = Instant::now() + SESSIONS_TIMEOUT;
    while Instant::now() < end
        && let Some(parcel) = sessions.pack(PARCEL_BYTES_MAX)
    {
        let message = Message::Sessions(Parcel(parcel.clone()));
        parcels.push(parcel);
        if let Err(error) = say(packets, &message, None).await {
            // A packet goes as a whole or not at all.
            parcels.pop().iter().for_each(|parcel| sessions.unpack(parcel));
            return Err(error);
        }
    }
    Ok(())
}

/// Says something to a new process that takes what it is sent.
pub(super) async fn say(
    packets: &Packets,
    message: &Message,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), UpgradeError> {
    let bytes = message.encode()?;
    let sent = timeout(SAY_TIMEOUT, packets.send(&bytes, descriptor)).await;
    sent.map_err(|_| UpgradeError::Late)?.map_err(UpgradeError::Carry)
}

/// Hears the next word.
pub(super) async fn hear(packets: &Packets) -> Result<Message, UpgradeError> {
    let packet = packets.receive().await.map_err(UpgradeError::Carry)?;
    let gone = || UpgradeError::Carry(io::ErrorKind::UnexpectedEof.into());
    Ok(Message::decode(&packet.ok_or_else(gone)?.bytes)?)
}

/// Sessions that left memory, no more than were there.
pub(super) type Parcels = Vec<Zeroizing<Vec<u8>>>;

/// How long the new process may take to make room for one more packet.
pub(super) const SAY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sessions may take; those that are left cost a full handshake.
pub(super) const SESSIONS_TIMEOUT: Duration = Duration::from_secs(2);
