//! The side of the process that serves: it starts the new one, hands over, and watches.
//!
//! Owns the conversation as the predecessor has it, and the promise behind it: until the new
//! process serves, nothing is lost by its failure, and if it dies within [`WATCH`] this one accepts
//! again, on the same sockets. Between the last connection that is accepted here and the first one
//! there, clients wait in the kernel. Refuses to know how a process ends. Read next: `successor`.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use super::launcher::{LaunchError, Launcher};
use super::message::{Message, MessageError, PARCEL_BYTES_MAX, Parcel, VERSION};
use super::packets::Packets;
use crate::net::listen::Hold;
use crate::runtime::resumption::Sessions;
use crate::runtime::sockets::Sockets;

/// What upgrades need.
#[derive(Debug)]
pub(in crate::runtime) struct Upgrades {
    pub(in crate::runtime) launcher: Option<Launcher>,
    pub(in crate::runtime) sockets: Sockets,
    /// Handshakes and dialogues that go on.
    pub(in crate::runtime) pending: [IntGauge; 2],
    /// Processes that drain, the oldest first.
    pub(in crate::runtime) ancestors: Vec<OwnedFd>,
    /// Whether a process before watches this one.
    pub(in crate::runtime) watched: watch::Receiver<bool>,
}

/// A new process that has built everything.
struct Prepared {
    packets: Packets,
    pid: Pid,
    /// The sockets that it took.
    taken: Vec<Arc<Hold>>,
}

impl Upgrades {
    /// Has a new process take everything over, and returns its id when it has served for long
    /// enough. After an error this process serves as before.
    pub(in crate::runtime) async fn run(
        &mut self,
        sessions: &Sessions,
    ) -> Result<i32, UpgradeError> {
        if getpid().is_init() {
            return Err(UpgradeError::Init);
        }
        if *self.watched.borrow() {
            return Err(UpgradeError::Watched);
        }
        let launcher = self.launcher.as_ref().ok_or(UpgradeError::NoLauncher)?;
        let upgraded = timeout(UPGRADE_TIMEOUT, self.prepare(launcher, sessions)).await;
        let prepared = match upgraded.unwrap_or(Err(UpgradeError::Late)) {
            Ok(prepared) => prepared,
            Err(error) => {
                clear_away(launcher).await;
                return Err(error);
            }
        };
        let handed_over = self.hand_over(&prepared, sessions).await;
        let watched = match handed_over {
            Ok(()) => self.watch_over(launcher, &prepared).await,
            Err(error) => Err(error),
        };
        if let Err(error) = watched {
            clear_away(launcher).await;
            self.sockets.keeper().open();
            return Err(error);
        }
        self.commit(&prepared, sessions).await;
        Ok(prepared.pid.as_raw_nonzero().get())
    }

    /// Ends an upgrade in the middle, with the new process.
    pub(in crate::runtime) async fn abort(&self) {
        if let Some(launcher) = &self.launcher {
            launcher.kill().await;
        }
    }

    /// Starts the new process, gives it everything that it needs to build, and waits until it has.
    async fn prepare(
        &self,
        launcher: &Launcher,
        sessions: &Sessions,
    ) -> Result<Prepared, UpgradeError> {
        let (packets, theirs) = Packets::pair().map_err(UpgradeError::Carry)?;
        let pid = launcher.launch(theirs).await?;
        info!(pid = pid.as_raw_nonzero().get(), "upgrade: a new process was started");
        let taken = {
            let mut converse = std::pin::pin!(self.converse(&packets, sessions));
            tokio::select! {
                biased;
                taken = &mut converse => match taken {
                    Err(UpgradeError::Carry(cause)) => {
                        let how = timeout(LAST_WORDS, launcher.ended()).await;
                        let carry = |_| UpgradeError::Carry(cause);
                        return Err(UpgradeError::Ended(how.map_err(carry)??));
                    }
                    taken => taken?,
                },
                how = launcher.ended() => {
                    // Its last words may still be on their way.
                    match timeout(LAST_WORDS, &mut converse).await {
                        Ok(Err(error @ UpgradeError::Failed { .. })) => return Err(error),
                        _ => return Err(UpgradeError::Ended(how?)),
                    }
                }
            }
        };
        Ok(Prepared { packets, pid, taken })
    }

    async fn converse(
        &self,
        packets: &Packets,
        sessions: &Sessions,
    ) -> Result<Vec<Arc<Hold>>, UpgradeError> {
        match hear(packets).await? {
            Message::Hello { versions: [lowest, highest], program } => {
                info!(version = program, "upgrade: the new process is heard");
                if !(lowest..=highest).contains(&VERSION) {
                    let reason = format!("it speaks none of the versions from {lowest} on");
                    say(packets, &Message::Abort { reason }, None).await?;
                    return Err(UpgradeError::Version { lowest, highest });
                }
            }
            other => return Err(UpgradeError::Unexpected(other.label())),
        }
        say(packets, &Message::Welcome { version: VERSION }, None).await?;
        let held = self.sockets.held();
        for (name, hold) in &held {
            say(packets, &Message::Socket(name.clone()), Some(hold.descriptor())).await?;
        }
        let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(io::Error::from);
        let own = own.map_err(UpgradeError::Carry)?;
        for process in self.ancestors.iter().filter(|process| is_alive(process)).chain([&own]) {
            say(packets, &Message::Ancestor, Some(process.as_fd())).await?;
        }
        if let Some(keys) = sessions.bequeath_keys() {
            say(packets, &Message::TicketKeys(Parcel(keys)), None).await?;
        }
        say(packets, &Message::Build, None).await?;
        match hear(packets).await? {
            Message::Prepared { taken } => {
                let taken = taken.into_iter().filter_map(|place| {
                    let (_, hold) = held.get(usize::try_from(place).ok()?)?;
                    Some(Arc::clone(hold))
                });
                Ok(taken.collect())
            }
            Message::Failed { reason, hint } => Err(UpgradeError::Failed { reason, hint }),
            other => Err(UpgradeError::Unexpected(other.label())),
        }
    }

    /// Accepts no more, hands sessions over, and has the new process serve.
    async fn hand_over(&self, new: &Prepared, sessions: &Sessions) -> Result<(), UpgradeError> {
        sessions.flush().await;
        let begin = Instant::now();
        self.sockets.keeper().shut();
        let is_pending = || self.pending.iter().any(|pending| pending.get() > 0);
        let mut quiet_since = begin;
        while quiet_since.elapsed() < QUIET && begin.elapsed() < PENDING_MAX {
            sleep(LOOK).await;
            if is_pending() {
                quiet_since = Instant::now();
            }
        }
        send_sessions(&new.packets, sessions).await?;
        say(&new.packets, &Message::Serve, None).await?;
        let answer = timeout(SERVE_TIMEOUT, hear(&new.packets)).await;
        match answer.unwrap_or(Err(UpgradeError::Late))? {
            Message::Serving => {
                info!(stood_still = ?begin.elapsed(), "upgrade: the new process serves");
                Ok(())
            }
            other => Err(UpgradeError::Unexpected(other.label())),
        }
    }

    /// Waits whether the new process lives.
    async fn watch_over(&self, launcher: &Launcher, new: &Prepared) -> Result<(), UpgradeError> {
        let gone = async {
            tokio::select! {
                how = launcher.ended() => match how {
                    Ok(how) => how,
                    // Without the launcher, its silence tells.
                    Err(_) => silence(&new.packets).await,
                },
                how = silence(&new.packets) => how,
            }
        };
        match timeout(watch_time(), gone).await {
            Ok(how) => Err(UpgradeError::Died(how)),
            Err(_) => Ok(()),
        }
    }

    /// Leaves for good: what came late goes along, and files belong to the new process.
    async fn commit(&mut self, new: &Prepared, sessions: &Sessions) {
        // If it cannot be told, it hears that this process is gone.
        let _ = send_sessions(&new.packets, sessions).await;
        new.taken.iter().for_each(|hold| hold.leave_file());
        let _ = say(&new.packets, &Message::Committed, None).await;
        self.launcher = None;
        let mut alive: Vec<_> = self.ancestors.drain(..).filter(is_alive).collect();
        // This process is one more that drains.
        while alive.len() >= DRAINING_MAX {
            let oldest = alive.remove(0);
            info!(descriptor = oldest.as_raw_fd(), "upgrade: the oldest process ends now");
            if let Err(error) = pidfd_send_signal(oldest, Signal::TERM) {
                debug!(%error, "it could not be told");
            }
        }
    }
}

/// Has a new process that is of no use end, and waits until it has.
async fn clear_away(launcher: &Launcher) {
    launcher.kill().await;
    let _ = timeout(LAST_WORDS, launcher.ended()).await;
}

async fn send_sessions(packets: &Packets, sessions: &Sessions) -> Result<(), UpgradeError> {
    let end = Instant::now() + SESSIONS_TIMEOUT;
    while Instant::now() < end
        && let Some(parcel) = sessions.pack(PARCEL_BYTES_MAX)
    {
        say(packets, &Message::Sessions(Parcel(parcel)), None).await?;
    }
    Ok(())
}

async fn silence(packets: &Packets) -> String {
    while let Ok(Some(_)) = packets.receive().await {}
    "it is gone".to_owned()
}

async fn say(
    packets: &Packets,
    message: &Message,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), UpgradeError> {
    packets.send(&message.encode()?, descriptor).await.map_err(UpgradeError::Carry)
}

async fn hear(packets: &Packets) -> Result<Message, UpgradeError> {
    let packet = packets.receive().await.map_err(UpgradeError::Carry)?;
    let gone = || UpgradeError::Carry(io::ErrorKind::UnexpectedEof.into());
    Ok(Message::decode(&packet.ok_or_else(gone)?.bytes)?)
}

fn is_alive(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // It becomes readable when it ends (pidfd_open(2)).
    !matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)), Ok(1..))
}

/// How long a new process is watched; shorter where a test asks for it.
fn watch_time() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(asked) =
        std::env::var("PORTUNUS_UPGRADE_WATCH_MS").ok().and_then(|it| it.parse().ok())
    {
        return Duration::from_millis(asked);
    }
    WATCH
}

/// Why there was no upgrade.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nothing could be said or heard.
    #[error("the new process is gone")]
    Carry(#[source] io::Error),
    /// It served, and did not live.
    #[error("the new process did not live ({0}); this one serves again")]
    Died(String),
    /// It ended without a word.
    #[error("the new process ended at its start ({0}); its log says why")]
    Ended(String),
    /// It said why it cannot serve.
    #[error("the new process cannot serve: {reason}")]
    Failed {
        /// Why, in its words.
        reason: String,
        /// What can be done about it, in its words; may be empty.
        hint: String,
    },
    /// The process is the first one of a container.
    #[error("this process is the first one of its container, which ends with it")]
    Init,
    /// It took too long.
    #[error("the new process took too long")]
    Late,
    /// The launcher failed.
    #[error("no new process")]
    Launch(#[from] LaunchError),
    /// Something was not understood.
    #[error("the new process is not understood")]
    Message(#[from] MessageError),
    /// There is nobody who could start one.
    #[error("this process was started without a launcher")]
    NoLauncher,
    /// Something was said out of turn.
    #[error("the new process said `{0}`, which was not expected")]
    Unexpected(&'static str),
    /// The two processes have no words in common.
    #[error(
        "the new process speaks the versions {lowest} to {highest} of the handoff, not {VERSION}"
    )]
    Version {
        /// The lowest that it speaks.
        lowest: u16,
        /// The highest.
        highest: u16,
    },
    /// The upgrade before this one is not over.
    #[error("the upgrade before this one is still being watched")]
    Watched,
}

impl UpgradeError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Failed { hint, .. } if !hint.is_empty() => Some(hint),
            Self::Init => Some("replace the container: the new one takes over what comes new"),
            Self::NoLauncher => Some("only `portunus run` has one, and its log says what is wrong"),
            Self::Watched => Some("try again in some seconds"),
            Self::Version { .. } => Some("upgrade by way of a version in between, or restart"),
            _ => None,
        }
    }
}

/// From the order until the new process has built everything.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a new process has to serve to be believed.
const WATCH: Duration = Duration::from_secs(10);
/// How long the new process may take to accept when everything is built.
const SERVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long handshakes that go on are waited for, while nobody accepts.
const PENDING_MAX: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(2);
/// For how long there is no handshake before there is none: one that was accepted at the last
/// moment begins a moment later, and would miss a session that has gone by then.
const QUIET: Duration = Duration::from_millis(20);
/// How long sessions may take; those that are left cost a full handshake.
const SESSIONS_TIMEOUT: Duration = Duration::from_secs(2);
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Processes that drain at once, this one among them.
const DRAINING_MAX: usize = 4;
