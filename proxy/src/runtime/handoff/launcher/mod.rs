//! The launcher: a child of the same binary that may start a new binary when the process may not.
//!
//! Owns both ends of it: [`Launcher`], held by the process, and [`run`], which is all that
//! `portunus launch` does. It is started before the process gives its privileges up and refuses
//! itself to execute anything, keeps what it was started with, and does one thing: run the path and
//! the arguments that the process itself was started with. The process says when, and hands over
//! what becomes standard input; it says neither what is run nor with what privileges. It ends with
//! the process. Refuses to know what the new process and the old one say to each other.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::packets::{Packet, Packets};
use crate::privilege;

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
}

/// What the launcher has started.
#[derive(Debug)]
pub(super) struct Started {
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
        let child = command.spawn()?;
        Ok(Self { packets, child })
    }

    /// Starts a new process with this standard input.
    pub(super) async fn launch(&self, stdin: OwnedFd) -> Result<Started, LaunchError> {
        self.packets.send(&[LAUNCH], Some(stdin.as_fd())).await.map_err(LaunchError::Gone)?;
        drop(stdin);
        let started = timeout(LAUNCH_TIMEOUT, self.started()).await;
        started.unwrap_or_else(|late| Err(LaunchError::Gone(late.into())))
    }

    async fn started(&self) -> Result<Started, LaunchError> {
        loop {
            match self.report().await? {
                (Report::Started(pid), Some(process)) => return Ok(Started { pid, process }),
                (Report::Failed(reason), _) => return Err(LaunchError::Failed(reason)),
                // The end of one that was started before, which nobody waited for.
                (Report::Ended(_), _) => {}
                (Report::Started(_), None) => {
                    return Err(LaunchError::Gone(io::ErrorKind::InvalidData.into()));
                }
            }
        }
    }

    /// Waits until the process that was started ends, and says how.
    pub(super) async fn ended(&self) -> Result<String, LaunchError> {
        loop {
            if let (Report::Ended(how), _) = self.report().await? {
                return Ok(how);
            }
        }
    }

    /// Ends the process that was started.
    pub(super) async fn kill(&self) {
        // A launcher that is gone cannot be helped.
        let _ = self.packets.send(&[KILL], None).await;
    }

    /// Has the launcher end, and waits until it has: only then is what it started the child of
    /// whoever takes orphans, which is what a supervisor wants a main process to be.
    pub(super) async fn retire(self) {
        let Self { packets, mut child } = self;
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

    async fn report(&self) -> Result<(Report, Option<OwnedFd>), LaunchError> {
        let packet = self.packets.receive().await.map_err(LaunchError::Gone)?;
        let report =
            packet.and_then(|packet| Some((Report::decode(&packet.bytes)?, packet.descriptor)));
        report.ok_or_else(|| LaunchError::Gone(io::ErrorKind::UnexpectedEof.into()))
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

/// What the launcher says.
#[derive(Debug, Eq, PartialEq)]
enum Report {
    Started(Pid),
    Failed(String),
    Ended(String),
}

impl Report {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Started(pid) => {
                let pid = pid.as_raw_nonzero().get();
                [&[STARTED][..], &pid.to_be_bytes()].concat()
            }
            Self::Failed(reason) => [&[FAILED], reason.as_bytes()].concat(),
            Self::Ended(how) => [&[ENDED], how.as_bytes()].concat(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let text = || str::from_utf8(rest).ok().map(str::to_owned);
        match *kind {
            STARTED => Pid::from_raw(i32::from_be_bytes(rest.try_into().ok()?)).map(Self::Started),
            FAILED => text().map(Self::Failed),
            ENDED => text().map(Self::Ended),
            _ => None,
        }
    }
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
                let Some(packet) = packet? else { return Ok(()) };
                match obey(packet, &mut running, program, arguments) {
                    Some(report) => report,
                    None => continue,
                }
            }
            how = ended => {
                running = None;
                (Report::Ended(how), None)
            }
        };
        packets.send(&report.encode(), process.as_ref().map(OwnedFd::as_fd)).await?;
    }
}

fn obey(
    packet: Packet,
    running: &mut Option<Running>,
    program: &Path,
    arguments: &[OsString],
) -> Option<(Report, Option<OwnedFd>)> {
    match (&**packet.bytes, packet.descriptor) {
        ([LAUNCH], Some(_)) if running.is_some() => {
            let why = "the one that was started before still runs";
            Some((Report::Failed(why.to_owned()), None))
        }
        ([LAUNCH], Some(stdin)) => Some(match Running::start(program, arguments, stdin) {
            Ok((started, process)) => (Report::Started(running.insert(started).pid), Some(process)),
            Err(error) => (Report::Failed(format!("{}: {error}", program.display())), None),
        }),
        ([KILL], None) => {
            if let Some(running) = running {
                // It may have ended meanwhile.
                let _ = running.child.kill();
            }
            None
        }
        _ => None,
    }
}

/// A process that the launcher started.
struct Running {
    child: Child,
    pid: Pid,
}

impl Running {
    fn start(
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
            Ok(process) => Ok((Self { child, pid }, process)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    async fn ended(&mut self, ends: &mut Signal) -> String {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => {}
                Err(error) => return error.to_string(),
            }
            ends.recv().await;
        }
    }
}

/// The name of the command that is the launcher.
pub const COMMAND: &str = "launch";
/// The variable that says that standard input leads to a process that serves already.
pub const INHERITS: &str = "PORTUNUS_HANDOFF";
/// The launcher is of the same version as the process, whatever has become of the file.
const OWN_PROGRAM: &str = "/proc/self/exe";
const LAUNCH: u8 = b'L';
const KILL: u8 = b'K';
const STARTED: u8 = 1;
const FAILED: u8 = 2;
const ENDED: u8 = 3;
/// How long it may take to start a process that need not have said anything yet.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the launcher may take to end.
const RETIRE_TIMEOUT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
