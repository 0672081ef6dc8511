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
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};
use zeroize::Zeroizing;

use super::error::UpgradeError;
use super::launcher::Launcher;
use super::life::is_alive;
use super::message::{Message, PARCEL_BYTES_MAX, Parcel, VERSION};
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
        // Open until the new process has ended: it would take their end for that of this one.
        let (packets, theirs) = Packets::pair().map_err(UpgradeError::Carry)?;
        let mut parcels = Vec::new();
        match self.follow(launcher, (&packets, theirs), (sessions, &mut parcels)).await {
            Ok(pid) => {
                self.launcher = None;
                self.bury_oldest();
                Ok(pid.as_raw_nonzero().get())
            }
            Err(error) => {
                clear_away(launcher).await;
                self.go_on(sessions, &parcels);
                Err(error)
            }
        }
    }

    /// All of it, in order. Every step has a bound, since nobody may accept during some of them.
    /// Sessions that go to the new process are kept in `parcels` as well, in case it fails.
    async fn follow(
        &self,
        launcher: &Launcher,
        (packets, theirs): (&Packets, OwnedFd),
        (sessions, parcels): (&Sessions, &mut Parcels),
    ) -> Result<Pid, UpgradeError> {
        let prepared = self.prepare(launcher, (packets, theirs), sessions);
        let prepared = timeout(UPGRADE_TIMEOUT, prepared).await;
        let (pid, taken) = prepared.unwrap_or(Err(UpgradeError::Late))?;
        self.hand_over(packets, sessions, parcels).await?;
        self.watch_over(launcher, packets).await?;
        commit(packets, &taken, (sessions, parcels)).await?;
        Ok(pid)
    }

    /// Serves as before, with the sessions that had gone.
    fn go_on(&self, sessions: &Sessions, parcels: &[Zeroizing<Vec<u8>>]) {
        parcels.iter().for_each(|parcel| sessions.unpack(parcel));
        self.sockets.keeper().open();
    }

    /// Ends an upgrade in the middle, with the new process.
    pub(in crate::runtime) async fn abort(&self) {
        if let Some(launcher) = &self.launcher {
            launcher.kill().await;
        }
    }

    /// Starts the new process, gives it everything that it needs to build, and waits until it has.
    /// Returns the sockets that it took.
    async fn prepare(
        &self,
        launcher: &Launcher,
        (packets, theirs): (&Packets, OwnedFd),
        sessions: &Sessions,
    ) -> Result<(Pid, Vec<Arc<Hold>>), UpgradeError> {
        let pid = launcher.launch(theirs).await?;
        info!(pid = pid.as_raw_nonzero().get(), "upgrade: a new process was started");
        let taken = {
            let mut converse = std::pin::pin!(self.converse(packets, sessions));
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
        Ok((pid, taken))
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
    async fn hand_over(
        &self,
        new: &Packets,
        sessions: &Sessions,
        parcels: &mut Parcels,
    ) -> Result<(), UpgradeError> {
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
        send_sessions(new, sessions, parcels).await?;
        say(new, &Message::Serve, None).await?;
        let answer = timeout(SERVE_TIMEOUT, hear(new)).await;
        match answer.unwrap_or(Err(UpgradeError::Late))? {
            Message::Serving => {
                info!(stood_still = ?begin.elapsed(), "upgrade: the new process serves");
                Ok(())
            }
            other => Err(UpgradeError::Unexpected(other.label())),
        }
    }

    /// Waits whether the new process lives.
    async fn watch_over(&self, launcher: &Launcher, new: &Packets) -> Result<(), UpgradeError> {
        let gone = async {
            tokio::select! {
                how = launcher.ended() => match how {
                    Ok(how) => how,
                    // Without the launcher, its silence tells.
                    Err(_) => silence(new).await,
                },
                how = silence(new) => how,
            }
        };
        match timeout(watch_time(), gone).await {
            Ok(how) => Err(UpgradeError::Died(how)),
            Err(_) => Ok(()),
        }
    }

    /// This process is one more that drains.
    fn bury_oldest(&mut self) {
        let mut alive: Vec<_> = self.ancestors.drain(..).filter(is_alive).collect();
        while alive.len() >= DRAINING_MAX {
            let oldest = alive.remove(0);
            info!(descriptor = oldest.as_raw_fd(), "upgrade: the oldest process ends now");
            if let Err(error) = pidfd_send_signal(oldest, Signal::TERM) {
                debug!(%error, "it could not be told");
            }
        }
    }
}

/// Leaves for good: what came late goes along, and files belong to the new process. One that does
/// not hear of it is as good as dead.
async fn commit(
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

/// Has a new process that is of no use end, and waits until it has.
async fn clear_away(launcher: &Launcher) {
    launcher.kill().await;
    let _ = timeout(LAST_WORDS, launcher.ended()).await;
}

async fn send_sessions(
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
        say(packets, &message, None).await?;
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
    let bytes = message.encode()?;
    let sent = timeout(SAY_TIMEOUT, packets.send(&bytes, descriptor)).await;
    sent.map_err(|_| UpgradeError::Late)?.map_err(UpgradeError::Carry)
}

async fn hear(packets: &Packets) -> Result<Message, UpgradeError> {
    let packet = packets.receive().await.map_err(UpgradeError::Carry)?;
    let gone = || UpgradeError::Carry(io::ErrorKind::UnexpectedEof.into());
    Ok(Message::decode(&packet.ok_or_else(gone)?.bytes)?)
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

/// Sessions that left memory, no more than were there.
type Parcels = Vec<Zeroizing<Vec<u8>>>;

/// From the order until the new process has built everything.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a new process has to serve to be believed.
const WATCH: Duration = Duration::from_secs(10);
/// How long the new process may take to accept when everything is built.
const SERVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the new process may take to make room for one more packet.
const SAY_TIMEOUT: Duration = Duration::from_secs(2);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn nothing() -> (Config, Upgrades, Sessions) {
        let text = "admin.listen = 'off'\n[listener.web]\nlisten = ['127.0.0.1:0']\nbackend = 'b'\n\
                    mode = 'tcp'\n[backend.b]\nendpoints = ['h:1']\n";
        let config = Config::parse(text, "config.toml", Path::new("/nowhere")).unwrap();
        let upgrades = Upgrades {
            launcher: None,
            sockets: Sockets::open(&config, Vec::new()).unwrap(),
            pending: [(); 2].map(|()| IntGauge::new("pending", "none").unwrap()),
            ancestors: Vec::new(),
            watched: watch::channel(false).1,
        };
        let sessions = Sessions::open(&config, None).unwrap();
        (config, upgrades, sessions)
    }

    /// A new process that has stopped in the middle: it takes nothing that it is sent.
    fn stuck() -> (Packets, OwnedFd) {
        let (packets, theirs) = Packets::pair().unwrap();
        while packets.send_by(&[0; 4096], Instant::now()).is_ok() {}
        (packets, theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_process_that_stops_in_the_middle_is_given_up_within_a_bound() {
        let (_config, upgrades, sessions) = nothing();
        let (packets, _theirs) = stuck();
        let begin = Instant::now();
        let error = upgrades.hand_over(&packets, &sessions, &mut Vec::new()).await.unwrap_err();
        assert!(matches!(error, UpgradeError::Late), "{error:?}");
        let error = commit(&packets, &[], (&sessions, &mut Vec::new())).await.unwrap_err();
        assert!(matches!(error, UpgradeError::Died(_)), "{error:?}");
        assert!(begin.elapsed() <= 2 * (SAY_TIMEOUT + SESSIONS_TIMEOUT), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_went_to_a_process_that_failed_resume_in_the_old_one() {
        let (_config, upgrades, sessions) = nothing();
        // The form, id and context, age and length, and a session of TLS 1.3.
        let heads = [&[1][..], &[7; 64], &[0; 8], &4_u32.to_be_bytes(), &[0, 3, 4, 9]];
        sessions.unpack(&heads.concat());
        let (packets, theirs) = Packets::pair().unwrap();
        let _theirs = Packets::of(theirs);
        let mut parcels = Vec::new();
        upgrades.hand_over(&packets, &sessions, &mut parcels).await.unwrap_err();
        assert!(parcels.len() == 1 && sessions.pack(PARCEL_BYTES_MAX).is_none());
        upgrades.go_on(&sessions, &parcels);
        assert!(sessions.pack(PARCEL_BYTES_MAX).is_some());
    }
}
