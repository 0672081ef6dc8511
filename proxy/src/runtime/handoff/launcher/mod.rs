//! The launcher: a child of the same binary that may start a new binary when the process may not.
//!
//! Owns both ends of it: [`Launcher`], held by the process, and [`run`], which is all that
//! `portunus launch` does. It is started before the process gives its privileges up and refuses
//! itself to execute anything, keeps what it was started with, and does one thing: run the path and
//! the arguments that the process itself was started with. The process says when, and hands over
//! what becomes standard input; it says neither what is run nor with what privileges. It ends with
//! the process. A launch that took too long is over for the process: whatever comes of it is ended.
//! Refuses to know what the new process and the old one say to each other. Read next: `words`.

mod words;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::packets::Packets;
use crate::privilege;
use words::{Number, Order, Report, What};

/// What the process was started with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Origin {
    /// How this process was started. Call it early: the file may be replaced later.
    pub fn of_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let program = std::env::current_exe()?;
        let folder = std::env::current_dir().unwrap_or_default();
        let search = std::env::var_os("PATH");
        let program = located(&name, &folder, search.as_deref(), program);
        Ok(Self { program, arguments: arguments.collect() })
    }
}

/// The path that was typed, so that a link which is changed leads to the new file; what is running
/// now, if that path does not lead there.
fn located(name: &OsStr, folder: &Path, search: Option<&OsStr>, running: PathBuf) -> PathBuf {
    let leads_there = |path: &PathBuf| {
        path.canonicalize().is_ok_and(|path| running.canonicalize().is_ok_and(|it| it == path))
    };
    let name = Path::new(name);
    let typed = if name.components().count() > 1 {
        Some(folder.join(name)).filter(leads_there)
    } else {
        let folders = search.into_iter().flat_map(std::env::split_paths);
        folders.map(|folder| folder.join(name)).find(leads_there)
    };
    typed.unwrap_or(running)
}

/// The process's end.
#[derive(Debug)]
pub struct Launcher {
    packets: Packets,
    child: Child,
    /// How many were asked for so far.
    launches: AtomicU64,
}

/// What the launcher has started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) launch: Number,
    pub(super) pid: Pid,
    /// Stands for it, whatever else has its id later (pidfd_open(2)).
    pub(super) process: OwnedFd,
}

impl Launcher {
    /// Starts the launcher of what `origin` says.
    pub fn start(origin: &Origin) -> io::Result<Self> {
        let (packets, theirs) = Packets::pair()?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg0(&origin.program).arg(COMMAND).arg("--").arg(&origin.program);
        command.args(&origin.arguments).stdin(Stdio::from(theirs)).env_remove(INHERITS);
        Ok(Self::attended_by(command.spawn()?, packets))
    }

    fn attended_by(child: Child, packets: Packets) -> Self {
        Self { packets, child, launches: AtomicU64::new(0) }
    }

    /// Starts a new process with this standard input.
    pub(super) async fn launch(&self, stdin: OwnedFd) -> Result<Started, LaunchError> {
        let launch = self.launches.fetch_add(1, Ordering::Relaxed) + 1;
        let launched = async {
            self.say(Order::Launch(launch), Some(stdin.as_fd())).await?;
            drop(stdin);
            self.started(launch).await
        };
        match timeout(LAUNCH_TIMEOUT, launched).await {
            Ok(launched) => launched,
            Err(late) => {
                self.kill(launch).await;
                Err(LaunchError::Gone(late.into()))
            }
        }
    }

    async fn started(&self, launch: Number) -> Result<Started, LaunchError> {
        match self.heard(launch).await? {
            (What::Started(pid), Some(process)) => Ok(Started { launch, pid, process }),
            (What::Failed(reason), _) => Err(LaunchError::Failed(reason)),
            (What::Started(_) | What::Ended(_), _) => {
                Err(LaunchError::Gone(io::ErrorKind::InvalidData.into()))
            }
        }
    }

    /// Waits until the process that was started at this launch ends, and says how.
    pub(super) async fn ended(&self, launch: Number) -> Result<String, LaunchError> {
        loop {
            if let (What::Ended(how), _) = self.heard(launch).await? {
                return Ok(how);
            }
        }
    }

    /// Ends the process that was started at this launch, or will be.
    pub(super) async fn kill(&self, launch: Number) {
        // A launcher that is gone cannot be helped.
        let _ = timeout(SAY_TIMEOUT, self.say(Order::Kill(launch), None)).await;
    }

    /// Has the launcher end, and waits until it has: only then is what it started the child of
    /// whoever takes orphans, which is what a supervisor wants a main process to be.
    pub(super) async fn retire(self) {
        let Self { packets, mut child, .. } = self;
        drop(packets);
        let ended = async {
            while let Ok(None) = child.try_wait() {
                sleep(LOOK).await;
            }
        };
        if timeout(RETIRE_TIMEOUT, ended).await.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    async fn say(&self, order: Order, with: Option<BorrowedFd<'_>>) -> Result<(), LaunchError> {
        self.packets.send(&order.encode(), with).await.map_err(LaunchError::Gone)
    }

    /// What is heard of a launch, with what comes along.
    async fn heard(&self, of: Number) -> Result<(What, Option<OwnedFd>), LaunchError> {
        loop {
            let packet = self.packets.receive().await.map_err(LaunchError::Gone)?;
            let report =
                packet.and_then(|packet| Some((Report::decode(&packet.bytes)?, packet.descriptor)));
            let (Report { launch, what }, process) =
                report.ok_or_else(|| LaunchError::Gone(io::ErrorKind::UnexpectedEof.into()))?;
            if launch == of {
                return Ok((what, process));
            }
            // Nobody waited for that one any more.
            if let What::Started(_) = what {
                self.kill(launch).await;
            }
        }
    }
}

/// Why no process was started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program could not be run.
    #[error("the new process could not be started: {0}")]
    Failed(String),
    /// The launcher does not answer.
    #[error("the launcher does not answer")]
    Gone(#[source] io::Error),
}

/// Is the launcher of `program`, until the process that started it ends.
///
/// It is of the same user as that process, and may do what that one no longer may: so nobody else
/// is to reach into its memory, which would be a way around what that one has given up.
pub fn run(program: &Path, arguments: &[OsString]) -> io::Result<()> {
    privilege::close_memory()?;
    let packets = Packets::of_stdin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // What is meant for the process reaches the launcher as well, where somebody signals by
        // name or by group.
        let kinds =
            [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()];
        let _ignored = kinds.map(signal);
        attend(&packets, program, arguments).await
    })
}

async fn attend(packets: &Packets, program: &Path, arguments: &[OsString]) -> io::Result<()> {
    let mut running: Option<Running> = None;
    let mut ends = signal(SignalKind::child())?;
    loop {
        let ended = async {
            match &mut running {
                Some(running) => running.ended(&mut ends).await,
                None => std::future::pending().await,
            }
        };
        let (report, process) = tokio::select! {
            packet = packets.receive() => {
                let packet = match packet {
                    Err(error) if is_end(&error) => return Ok(()),
                    packet => packet?,
                };
                let Some(packet) = packet else { return Ok(()) };
                let obeyed = match (Order::decode(&packet.bytes), packet.descriptor) {
                    (Some(Order::Launch(launch)), Some(stdin)) => {
                        Some(obey(launch, &mut running, (program, arguments), stdin))
                    }
                    (Some(Order::Kill(launch)), None) => {
                        let killed = kill(launch, &mut running, &mut ends).await;
                        killed.map(|report| (report, None))
                    }
                    _ => None,
                };
                let Some(obeyed) = obeyed else { continue };
                obeyed
            }
            report = ended => {
                running = None;
                (report, None)
            }
        };
        match packets.send(&report.encode(), process.as_ref().map(OwnedFd::as_fd)).await {
            Err(error) if is_end(&error) => return Ok(()),
            sent => sent?,
        }
    }
}

/// Whether the process has ended, perhaps without having read what it was told (unix(7)).
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn obey(
    launch: Number,
    running: &mut Option<Running>,
    (program, arguments): (&Path, &[OsString]),
    stdin: OwnedFd,
) -> (Report, Option<OwnedFd>) {
    if running.is_some() {
        let why = "the one that was started before still runs";
        return (Report { launch, what: What::Failed(why.to_owned()) }, None);
    }
    match Running::start(launch, program, arguments, stdin) {
        Ok((started, process)) => {
            let what = What::Started(running.insert(started).pid);
            (Report { launch, what }, Some(process))
        }
        Err(error) => {
            let what = What::Failed(format!("{}: {error}", program.display()));
            (Report { launch, what }, None)
        }
    }
}

/// Ends what was started at this launch, if it still runs; another one can be started then.
async fn kill(launch: Number, running: &mut Option<Running>, ends: &mut Signal) -> Option<Report> {
    let killed = running.as_mut().filter(|running| running.launch == launch)?;
    // It may have ended meanwhile.
    let _ = killed.child.kill();
    let ended = timeout(KILL_TIMEOUT, killed.ended(ends)).await.ok()?;
    *running = None;
    Some(ended)
}

/// A process that the launcher started.
struct Running {
    launch: Number,
    child: Child,
    pid: Pid,
}

impl Running {
    fn start(
        launch: Number,
        program: &Path,
        arguments: &[OsString],
        stdin: OwnedFd,
    ) -> io::Result<(Self, OwnedFd)> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(stdin)).env(INHERITS, "1");
        // What the supervisor told the first process, and nobody else.
        let of_first = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];
        of_first.iter().for_each(|name| {
            command.env_remove(name);
        });
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        // Nobody else has this id before its end was waited for, which is done here.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Ok((Self { launch, child, pid }, process)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    async fn ended(&mut self, ends: &mut Signal) -> Report {
        let how = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.to_string(),
                Ok(None) => {}
                Err(error) => break error.to_string(),
            }
            ends.recv().await;
        };
        Report { launch: self.launch, what: What::Ended(how) }
    }
}

/// The name of the command that is the launcher.
pub const COMMAND: &str = "launch";
/// The variable that says that standard input leads to a process that serves already.
pub const INHERITS: &str = "PORTUNUS_HANDOFF";
/// The launcher is of the same version as the process, whatever has become of the file.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// How long it may take to start a process that need not have said anything yet.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an order may take to be said to a launcher that listens to nobody.
const SAY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a process may take to end that has to.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the launcher may take to end.
const RETIRE_TIMEOUT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
