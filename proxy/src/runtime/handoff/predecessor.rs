//! The side of the process that serves: it starts the new one, hands over, and watches.
//!
//! Owns the conversation as the predecessor has it, and the promise behind it: until the new
//! process serves, nothing is lost by its failure, and if it dies within [`WATCH`] this one accepts
//! again, on the same sockets. Between the last connection that is accepted here and the first one
//! there, clients wait in the kernel. Refuses to know how a process ends. Read next: `successor`.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};
use zeroize::Zeroizing;

use super::error::UpgradeError;
use super::heir::{Companion, Heir};
use super::launcher::Launcher;
use super::life::is_alive;
use super::message::{Message, Parcel, VERSION};
use super::packets::Packets;
use super::talk::{Fate, Parcels, Talk, commit, hear, say, send_sessions};
use crate::net::listen::Hold;
use crate::runtime::leave::Asked;
use crate::runtime::resumption::Sessions;
use crate::runtime::sockets::Sockets;
use crate::runtime::turn::{Change, Turn};

/// What upgrades need.
#[derive(Debug)]
pub(in crate::runtime) struct Upgrades {
    pub(in crate::runtime) launcher: Option<Launcher>,
    pub(in crate::runtime) sockets: Sockets,
    /// Handshakes and dialogues that go on.
    pub(in crate::runtime) pending: [IntGauge; 2],
    /// Processes that drain, the oldest first.
    pub(in crate::runtime) ancestors: Vec<OwnedFd>,
    /// Nothing else may change while another process takes over.
    pub(in crate::runtime) turn: Turn,
}

/// Who serves now instead of this process.
#[derive(Debug)]
pub(super) enum Followed {
    /// Nobody: the new process leaves as well, and what it is waited by comes along.
    Leave(Companion, Asked),
    /// The process with this id, which hears by the end of these packets that everybody else knows.
    Upgraded(i32, Packets),
}

impl Upgrades {
    /// Has a new process take everything over, and returns when it has served for long enough.
    /// After an error this process serves as before. If `end` comes while both are there, the new
    /// process is told to leave as well: whoever ends a service means all of it.
    pub(super) async fn run(
        &mut self,
        sessions: &Sessions,
        end: impl Future<Output = ()>,
    ) -> Result<Followed, UpgradeError> {
        if getpid().is_init() {
            return Err(UpgradeError::Init);
        }
        let mut end = pin!(end);
        let taken = match self.turn.take(Change::Upgrade) {
            Ok(taken) => taken,
            Err(Change::Reload) => tokio::select! {
                taken = timeout(RELOAD_MAX, self.turn.wait(Change::Upgrade)) => {
                    taken.map_err(|_| UpgradeError::Reloading)?
                }
                () = end.as_mut() => return Err(UpgradeError::End),
            },
            Err(Change::Succession | Change::Upgrade) => return Err(UpgradeError::Watched),
        };
        let launcher = self.launcher.take().ok_or(UpgradeError::NoLauncher)?;
        let mut parcels = Vec::new();
        match self.launch(&launcher, (sessions, &mut parcels), end).await {
            Ok(((heir, _), Fate::Leaves(asked))) => {
                taken.for_good();
                Ok(Followed::Leave(Companion { heir, launcher }, asked))
            }
            Ok(((heir, packets), Fate::Died(_) | Fate::Lives)) => {
                taken.for_good();
                launcher.retire().await;
                self.bury_oldest();
                Ok(Followed::Upgraded(heir.id(), packets))
            }
            Err(error) => {
                self.launcher = Some(launcher);
                self.go_on(sessions, &parcels);
                Err(error)
            }
        }
    }

    /// Starts the new process, and ends it again if nothing comes of it.
    async fn launch(
        &self,
        launcher: &Launcher,
        sessions: (&Sessions, &mut Parcels),
        end: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<((Heir, Packets), Fate), UpgradeError> {
        // Open until the new process has ended: it would take their end for that of this one.
        let (packets, theirs) = Packets::pair().map_err(UpgradeError::Carry)?;
        let heir = Heir::new(launcher.launch(theirs).await?);
        info!(pid = heir.id(), "upgrade: a new process was started");
        let talk = Talk { launcher, heir: &heir, packets: &packets };
        match self.lead(&talk, sessions, end).await {
            Ok(fate) => Ok(((heir, packets), fate)),
            Err(error) => {
                heir.clear_away(launcher).await;
                Err(error)
            }
        }
    }

    /// All of it, in order. Every step has a bound, since nobody may accept during some of them.
    /// Sessions that go to the new process are kept in `parcels` as well, in case it fails.
    async fn lead(
        &self,
        talk: &Talk<'_>,
        (sessions, parcels): (&Sessions, &mut Parcels),
        mut end: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Fate, UpgradeError> {
        let prepared = timeout(UPGRADE_TIMEOUT, self.prepare(talk, sessions));
        let taken = tokio::select! {
            prepared = prepared => prepared.unwrap_or(Err(UpgradeError::Late))?,
            () = end.as_mut() => return Err(UpgradeError::End),
        };
        self.hand_over(talk.packets, sessions, parcels).await?;
        let fate = tokio::select! {
            biased;
            fate = talk.fate() => fate,
            () = end => Fate::Leaves(Asked::Here),
            () = self.watch(talk.packets, sessions, parcels) => Fate::Lives,
        };
        match fate {
            Fate::Died(how) => return Err(UpgradeError::Died(how)),
            Fate::Leaves(Asked::Here) => say(talk.packets, &Message::Leave, None).await?,
            Fate::Leaves(Asked::Elsewhere) | Fate::Lives => {}
        }
        match (commit(talk.packets, &taken, (sessions, parcels)).await, &fate) {
            // It may have left already.
            (Err(_), Fate::Leaves(Asked::Elsewhere)) | (Ok(()), _) => Ok(fate),
            (Err(error), _) => Err(error),
        }
    }

    /// Waits until a new process has served for long enough to be believed. Who was let in here and
    /// gets there only now comes back to that process, and so do sessions.
    async fn watch(&self, new: &Packets, sessions: &Sessions, parcels: &mut Parcels) {
        let end = Instant::now() + watch_time();
        while Instant::now() < end {
            sleep(LATE_LOOK.min(end.duration_since(Instant::now()))).await;
            if let Err(error) = send_sessions(new, sessions, parcels).await {
                debug!(%error, "late sessions stay here");
                break;
            }
        }
        sleep_until(end).await;
    }

    /// Serves as before, with the sessions that had gone.
    fn go_on(&self, sessions: &Sessions, parcels: &[Zeroizing<Vec<u8>>]) {
        parcels.iter().for_each(|parcel| sessions.unpack(parcel));
        self.sockets.keeper().open();
    }

    /// Gives the new process everything that it needs to build, and waits until it has. Returns the
    /// sockets that it took.
    async fn prepare(
        &self,
        talk: &Talk<'_>,
        sessions: &Sessions,
    ) -> Result<Vec<Arc<Hold>>, UpgradeError> {
        let mut converse = pin!(self.converse(talk.packets, sessions));
        tokio::select! {
            biased;
            taken = &mut converse => match taken {
                Err(UpgradeError::Carry(cause)) => {
                    let how = timeout(LAST_WORDS, talk.last_words()).await;
                    Err(how.map_or(UpgradeError::Carry(cause), UpgradeError::Ended))
                }
                taken => taken,
            },
            how = talk.last_words() => {
                // What it said itself may still be on its way.
                match timeout(LAST_WORDS, &mut converse).await {
                    Ok(Err(error @ UpgradeError::Failed { .. })) => Err(error),
                    _ => Err(UpgradeError::Ended(how)),
                }
            }
        }
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
        // Behind those, so that places are theirs.
        for (name, socket) in self.sockets.unused().map_err(UpgradeError::Carry)? {
            say(packets, &Message::Socket(name), Some(socket.as_fd())).await?;
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

/// From the order until the new process has built everything.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a reload that goes on is waited for.
const RELOAD_MAX: Duration = Duration::from_secs(30);
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
/// Between two looks for sessions that came later all the same.
const LATE_LOOK: Duration = Duration::from_millis(25);
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Processes that drain at once, this one among them.
const DRAINING_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::message::PARCEL_BYTES_MAX;
    use super::super::talk::{SAY_TIMEOUT, SESSIONS_TIMEOUT};
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
            turn: Turn::new(),
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
