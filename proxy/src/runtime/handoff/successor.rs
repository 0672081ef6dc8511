//! The side of the new process: it hears what it inherits, builds, and serves when it is told to.
//!
//! Owns the conversation as the successor has it. Before there are threads it hears everything that
//! is needed to open sockets; what its start fails by, it tells the process before, which goes on.
//! If that one has ended, nobody else serves, so the successor does; a closed socket alone says
//! nothing, since two must never serve. Refuses to know what is built.
//! Read next: `predecessor`.

use std::error::Error;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::launcher::INHERITS;
use super::life::has_ended;
use super::message::{Message, MessageError, Parcel, VERSION};
use super::packets::Packets;
use crate::control::{Order, Orders};
use crate::drain::DrainWatch;
use crate::log::Chain;
use crate::metrics::IntCounterVec;
use crate::runtime::resumption::Sessions;
use crate::runtime::sockets::{Sockets, Spare};
use crate::runtime::supervisor::{Notice, Supervisor};
use crate::runtime::turn::{Change, Taken, Turn};

/// A process that follows another one.
#[derive(Debug)]
pub struct Successor {
    packets: Arc<Packets>,
    sockets: Vec<Spare>,
    ticket_keys: Option<(Parcel, Instant)>,
    ancestors: Vec<OwnedFd>,
    /// While the process before watches this one, nothing else may change.
    watched: Option<Taken>,
}

/// What is in the hands of this process while the one before still watches it.
pub(in crate::runtime) struct Place {
    pub(in crate::runtime) sockets: Sockets,
    pub(in crate::runtime) sessions: Sessions,
    /// Where the end is asked for.
    pub(in crate::runtime) orders: Orders,
    /// It is told when this process is the one that it should listen to.
    pub(in crate::runtime) supervisor: Arc<Supervisor>,
    /// Upgrades, by what came of them.
    pub(in crate::runtime) upgrades: IntCounterVec,
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
        let mut successor = Self {
            packets: Arc::new(packets),
            sockets: Vec::new(),
            ticket_keys: None,
            ancestors: Vec::new(),
            watched: None,
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
        turn: &Turn,
    ) -> Result<(), SuccessionError> {
        self.watched = turn.take(Change::Succession).ok();
        if let Some((keys, at)) = self.ticket_keys.take() {
            sessions.inherit_keys(&keys.0, at);
        }
        if self.say(&Message::Prepared { taken: sockets.taken() }).await.is_err() {
            return self.succeed_unasked().await;
        }
        loop {
            let Ok(Some(packet)) = self.packets.receive().await else {
                return self.succeed_unasked().await;
            };
            match Message::decode(&packet.bytes)? {
                Message::Sessions(parcel) => sessions.unpack(&parcel.0),
                Message::Serve => return Ok(()),
                Message::Abort { reason } => return Err(SuccessionError::Aborted { reason }),
                other => return Err(SuccessionError::Unexpected(other.label())),
            }
        }
    }

    /// The process before does not say any more that this one may serve: it may if there is nobody
    /// else who does.
    async fn succeed_unasked(&self) -> Result<(), SuccessionError> {
        if !self.is_last().await {
            return Err(SuccessionError::Gone);
        }
        warn!("the process before is gone: serving without what it still had");
        Ok(())
    }

    /// Whether the process before, which is the last one of those that drain, has ended.
    async fn is_last(&self) -> bool {
        match self.ancestors.last() {
            Some(before) => has_ended(before).await,
            None => false,
        }
    }

    /// Says that everything is served. From then on the process before is listened to until it
    /// leaves. Returns those that still drain, the oldest first.
    pub(in crate::runtime) async fn serve(
        mut self,
        place: Place,
        drain: &DrainWatch,
    ) -> Vec<OwnedFd> {
        let _ = self.say(&Message::Serving).await;
        let before = self.ancestors.last().and_then(|before| before.try_clone().ok());
        let ancestors = std::mem::replace(&mut self.ancestors, before.into_iter().collect());
        let (mut end, watched) = (drain.clone(), self.watched.take());
        drain.spawn(async move {
            let leave = async {
                end.leaving().await;
                // One that still watches takes this for the end of both, and says so.
                let _ = self.say(&Message::Leaving).await;
                sleep(LEAVE_TIMEOUT).await;
            };
            tokio::select! {
                () = self.hear_late(place, watched) => {}
                () = leave => {}
            }
        });
        ancestors
    }

    /// What comes after this process serves, until the one before leaves. If that one stays, this
    /// one ends as if it had been told to.
    async fn hear_late(&self, place: Place, mut watched: Option<Taken>) {
        let Place { sockets, sessions, orders, supervisor, upgrades } = place;
        let mut leaves = false;
        let believed = |watched: &mut Option<Taken>| {
            if watched.take().is_some() {
                sockets.take_files();
                upgrades.with_label_values(&["done"]).inc();
            }
        };
        loop {
            let packet = match self.packets.receive().await {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => {
                    debug!(%error, "nothing was heard");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match Message::decode(&packet.bytes) {
                Ok(Message::Sessions(parcel)) => sessions.unpack(&parcel.0),
                Ok(Message::Leave) => {
                    info!("the process before was told to end: so is this one");
                    leaves = true;
                    let _ = orders.give(Order::Follow).await;
                }
                Ok(Message::Committed) => {
                    info!("the process before leaves");
                    believed(&mut watched);
                }
                Ok(other) => debug!(word = other.label(), "not expected"),
                Err(error) => debug!(%error, "not understood"),
            }
        }
        if watched.is_some() && !self.is_last().await {
            warn!("the process before serves again: this one leaves");
            if let Err(error) = kill_process(getpid(), Signal::TERM) {
                warn!(%error, "this process cannot tell itself to end");
            }
            pending::<()>().await;
        }
        believed(&mut watched);
        if !leaves {
            supervisor.speak();
            supervisor.tell(&Notice::Alive);
            supervisor.tell(&Notice::Ready("serving"));
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
    /// The process before fell silent in the middle.
    #[error("the process before speaks no more")]
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
/// How long the process before may take to leave together with this one.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Before it is tried again to hear something.
const PAUSE: Duration = Duration::from_millis(100);
/// More than any configuration has.
pub(super) const SOCKETS_MAX: u32 = 4096;
/// More than ever drain.
const ANCESTORS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn a_successor_serves_unasked_only_where_the_process_before_has_ended() {
        let text = "admin.listen = 'off'\n[listener.web]\nlisten = ['127.0.0.1:0']\nbackend = 'b'\n\
                    mode = 'tcp'\n[backend.b]\nendpoints = ['h:1']\n";
        let config = Config::parse(text, "config.toml", Path::new("/nowhere")).unwrap();
        let sockets = Sockets::open(&config, Vec::new()).unwrap();
        let sessions = Sessions::open(&config, None).unwrap();
        let mut before = Command::new("sleep").arg("600").spawn().unwrap();
        for is_ended in [false, true] {
            if is_ended {
                before.kill().unwrap();
            }
            let (ours, theirs) = Packets::pair().unwrap();
            let process = pidfd_open(Pid::from_child(&before), PidfdFlags::empty()).unwrap();
            let mut successor = Successor {
                packets: Arc::new(Packets::of(theirs)),
                sockets: Vec::new(),
                ticket_keys: None,
                ancestors: vec![process],
                watched: None,
            };
            drop(ours);
            let result = successor.take_over(&sockets, &sessions, &Turn::new()).await;
            assert_eq!(result.is_ok(), is_ended, "{result:?}");
        }
        before.wait().unwrap();
    }
}
