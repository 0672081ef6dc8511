//! The side of the new process: it hears what it inherits, builds, and serves when it is told to.
//!
//! Owns the conversation as the successor has it. Before there are threads it hears everything that
//! is needed to open sockets; what its start fails by, it tells the process before, which goes on.
//! If that one is gone, nobody else serves, so the successor does. Refuses to know what is built.
//! Read next: `predecessor`.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::launcher::INHERITS;
use super::message::{Message, MessageError, Parcel, VERSION};
use super::packets::Packets;
use crate::drain::DrainWatch;
use crate::log::Chain;
use crate::runtime::resumption::Sessions;
use crate::runtime::sockets::{Sockets, Spare};

/// A process that follows another one.
#[derive(Debug)]
pub struct Successor {
    packets: Arc<Packets>,
    sockets: Vec<Spare>,
    ticket_keys: Option<(Parcel, Instant)>,
    ancestors: Vec<OwnedFd>,
    /// Whether the process before still watches this one.
    watched: watch::Sender<bool>,
}

/// Tells the process before that this one cannot serve.
#[derive(Clone, Debug)]
pub struct Teller(Arc<Packets>);

impl Teller {
    /// Tells why, as far as there is somebody to tell.
    pub fn failed(&self, error: &(dyn Error + 'static), hint: Option<&str>) {
        let reason = Chain(error).to_string();
        let message = Message::Failed { reason, hint: hint.unwrap_or_default().to_owned() };
        if let Ok(bytes) = message.encode() {
            let _ = self.0.send_by(&bytes, Instant::now() + TELL_TIMEOUT);
        }
    }
}

impl Successor {
    /// Hears what the process before leaves to this one, if there is one. Call it before there are
    /// threads.
    pub fn hear() -> Result<Option<Self>, SuccessionError> {
        if std::env::var_os(INHERITS).is_none() {
            return Ok(None);
        }
        let packets = Packets::of_stdin().map_err(SuccessionError::Carry)?;
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let end = Instant::now() + HEAR_TIMEOUT;
        let hello = Message::Hello { versions: [VERSION, VERSION], program };
        packets.send_by(&hello.encode()?, end).map_err(SuccessionError::Carry)?;
        let (watched, _) = watch::channel(true);
        let mut successor = Self {
            packets: Arc::new(packets),
            sockets: Vec::new(),
            ticket_keys: None,
            ancestors: Vec::new(),
            watched,
        };
        let mut is_welcome = false;
        loop {
            let packet = successor.packets.receive_by(end).map_err(SuccessionError::Carry)?;
            let packet = packet.ok_or(SuccessionError::Gone)?;
            match (Message::decode(&packet.bytes)?, packet.descriptor) {
                (Message::Abort { reason }, _) => return Err(SuccessionError::Aborted { reason }),
                (Message::Welcome { version: VERSION }, None) => is_welcome = true,
                (Message::Socket(name), Some(socket)) if is_welcome => {
                    let place = successor.sockets.len();
                    let place = u32::try_from(place).ok().filter(|place| *place < SOCKETS_MAX);
                    let place = place.ok_or(SuccessionError::TooMany)?;
                    successor.sockets.push(Spare::inherited(name, socket, place)?);
                }
                (Message::Ancestor, Some(process)) if is_welcome => {
                    if successor.ancestors.len() < ANCESTORS_MAX {
                        successor.ancestors.push(process);
                    }
                }
                (Message::TicketKeys(keys), None) if is_welcome => {
                    successor.ticket_keys = Some((keys, Instant::now()));
                }
                (Message::Build, None) if is_welcome => return Ok(Some(successor)),
                (other, _) => return Err(SuccessionError::Unexpected(other.label())),
            }
        }
    }

    /// Who tells the process before what this one fails by.
    pub fn teller(&self) -> Teller {
        Teller(Arc::clone(&self.packets))
    }

    /// The sockets of the process before.
    pub fn take_sockets(&mut self) -> Vec<Spare> {
        std::mem::take(&mut self.sockets)
    }

    /// Says that everything is built, and waits until nobody else accepts. Keys and sessions go on
    /// here.
    pub(in crate::runtime) async fn take_over(
        &mut self,
        sockets: &Sockets,
        sessions: &Sessions,
    ) -> Result<(), SuccessionError> {
        if let Some((keys, at)) = self.ticket_keys.take() {
            sessions.inherit_keys(&keys.0, at);
        }
        if self.say(&Message::Prepared { taken: sockets.taken() }).await.is_err() {
            warn!("the process before is gone: serving without what it still had");
            return Ok(());
        }
        loop {
            let Ok(Some(packet)) = self.packets.receive().await else {
                warn!("the process before is gone: serving without what it still had");
                return Ok(());
            };
            match Message::decode(&packet.bytes)? {
                Message::Sessions(parcel) => sessions.unpack(&parcel.0),
                Message::Serve => return Ok(()),
                Message::Abort { reason } => return Err(SuccessionError::Aborted { reason }),
                other => return Err(SuccessionError::Unexpected(other.label())),
            }
        }
    }

    /// Says that everything is served. From then on the process before is listened to until it
    /// leaves. Returns those that still drain, the oldest first, and whether this process is still
    /// watched.
    pub(in crate::runtime) async fn serve(
        mut self,
        sockets: &Sockets,
        sessions: Sessions,
        drain: &DrainWatch,
    ) -> (Vec<OwnedFd>, watch::Receiver<bool>) {
        let _ = self.say(&Message::Serving).await;
        let ancestors = std::mem::take(&mut self.ancestors);
        let watched = self.watched.subscribe();
        let (mut end, sockets) = (drain.clone(), sockets.clone());
        drain.spawn(async move {
            tokio::select! {
                () = self.hear_late(&sessions) => sockets.take_files(),
                () = end.finish() => {}
            }
            self.watched.send_replace(false);
        });
        (ancestors, watched)
    }

    /// What comes after this process serves, until the one before leaves.
    async fn hear_late(&self, sessions: &Sessions) {
        while let Ok(Some(packet)) = self.packets.receive().await {
            match Message::decode(&packet.bytes) {
                Ok(Message::Sessions(parcel)) => sessions.unpack(&parcel.0),
                Ok(Message::Committed) => {
                    info!("the process before leaves");
                    return;
                }
                Ok(other) => debug!(message = other.label(), "not expected"),
                Err(error) => debug!(%error, "not understood"),
            }
        }
    }

    async fn say(&self, message: &Message) -> Result<(), SuccessionError> {
        self.packets.send(&message.encode()?, None).await.map_err(SuccessionError::Carry)
    }
}

/// Why this process does not follow the one before.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    /// The process before does not want it to.
    #[error("the process before ended the upgrade: {reason}")]
    Aborted {
        /// Why, in its words.
        reason: String,
    },
    /// Nothing could be said or heard.
    #[error("standard input does not lead to a process that is upgraded")]
    Carry(#[source] io::Error),
    /// The process before ended in the middle.
    #[error("the process before is gone")]
    Gone,
    /// Something was not understood.
    #[error("the process before is not understood")]
    Message(#[from] MessageError),
    /// A descriptor is no socket of its.
    #[error("a descriptor of the process before cannot be served on")]
    Socket(#[from] io::Error),
    /// There are more sockets than any process has.
    #[error("the process before has more than {SOCKETS_MAX} sockets")]
    TooMany,
    /// Something was said out of turn.
    #[error("the process before said `{0}`, which was not expected")]
    Unexpected(&'static str),
}

/// How long the process before may take to leave everything to this one.
const HEAR_TIMEOUT: Duration = Duration::from_secs(30);
const TELL_TIMEOUT: Duration = Duration::from_secs(2);
/// More than any configuration has.
pub(super) const SOCKETS_MAX: u32 = 4096;
/// More than ever drain.
const ANCESTORS_MAX: usize = 16;
