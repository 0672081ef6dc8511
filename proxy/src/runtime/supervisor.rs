//! What the one who started the process is told: systemd, or whoever speaks its protocol.
//!
//! Owns [`Supervisor`], the words of sd_notify(3) and the socket that `NOTIFY_SOCKET` names.
//! Without that variable everything here does nothing. No word is said before it is true. Refuses
//! to know when that is: `runtime` and `watchdog` do.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::ClockId;
use tracing::{debug, warn};

use super::clock::time_of;

/// Who is told, if anybody is.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    ear: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    is_stopping: AtomicBool,
    /// Another process is the one that it listens to.
    is_silent: AtomicBool,
}

/// Something that the supervisor wants to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Notice<'a> {
    /// The process is as alive as it should be.
    Alive,
    /// Another process goes on in place of this one, which ends.
    Heir(u32),
    /// Everything is served, for the first time or again.
    Ready(&'a str),
    /// The configuration is being read again, or a new process takes over.
    Reloading,
    /// The process ends, within this time.
    Stopping(Duration),
}

impl Supervisor {
    /// The supervisor that the environment names. A name that cannot be meant is one for a log
    /// line, not a reason not to start.
    pub(super) fn from_environment() -> Self {
        // `WATCHDOG_PID` is of no interest: it is there for programs that start others, and after
        // an upgrade it names a process that has ended.
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| watchdog(&text));
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match Self::at(&name) {
            Ok(ear) => Self { ear: Some(ear), watchdog, ..Self::default() },
            Err(error) => {
                warn!(%error, "the supervisor's socket, NOTIFY_SOCKET, cannot be used");
                Self::default()
            }
        }
    }

    fn at(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
        let socket = UnixDatagram::unbound()?;
        // Who does not listen keeps nobody waiting.
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok((socket, address(name)?))
    }

    /// How often the supervisor wants to hear [`Notice::Alive`] at least.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Says nothing until this process is the one that is listened to: a word of any other is
    /// refused, and told of as a fault.
    pub(super) fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::Release);
    }

    /// This process is the one that is listened to.
    pub(super) fn speak(&self) {
        self.is_silent.store(false, Ordering::Release);
    }

    /// Says it, if anybody listens. The last word is who goes on.
    pub(super) fn tell(&self, notice: &Notice<'_>) {
        let Some((socket, addr)) = &self.ear else { return };
        if self.is_silent.load(Ordering::Acquire) {
            return;
        }
        if let Notice::Heir(_) = notice {
            self.fall_silent();
        }
        if let Notice::Stopping(_) = notice {
            self.is_stopping.store(true, Ordering::Release);
        }
        // Who reloads while the end comes finishes that, but nothing is ready any more.
        if let Notice::Ready(_) | Notice::Reloading = notice
            && self.is_stopping.load(Ordering::Acquire)
        {
            return;
        }
        let told = socket.send_to_addr(text(notice, time_of(ClockId::Monotonic)).as_bytes(), addr);
        match (told, notice) {
            (Ok(_), _) => debug!(?notice, "the supervisor was told"),
            // Twice a watchdog's time would be too many lines.
            (Err(error), Notice::Alive) => debug!(%error, ?notice, "not told"),
            (Err(error), _) => warn!(%error, ?notice, "the supervisor could not be told"),
        }
    }
}

/// The address with this name; a leading `@` is the null byte of an abstract one.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    match name.as_bytes().first() {
        Some(b'/') => SocketAddr::from_pathname(name),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// What `WATCHDOG_USEC` says.
fn watchdog(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|micros| *micros > 0).map(Duration::from_micros)
}

/// The words of `notice`, said at `now` on the monotonic clock.
fn text(notice: &Notice<'_>, now: Duration) -> String {
    match notice {
        Notice::Alive => "WATCHDOG=1".to_owned(),
        // One that takes over starts with the whole time of the watchdog.
        Notice::Heir(pid) => format!("WATCHDOG=1\nMAINPID={pid}"),
        Notice::Ready(status) => format!("READY=1\nSTATUS={}", line(status)),
        Notice::Reloading => {
            format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading", now.as_micros())
        }
        // The drain may take longer than the supervisor grants by itself, and says so.
        Notice::Stopping(within) => format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=Draining",
            within.saturating_add(STOP_MARGIN).as_micros()
        ),
    }
}

/// The first line of `status`: another would be another word.
fn line(status: &str) -> &str {
    status.lines().next().unwrap_or_default()
}

/// What a supervisor gets to take a word.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);
/// From the end of the drain to that of the process.
const STOP_MARGIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_protocol_and_one_line_each() {
        let now = Duration::from_micros(1_234_567);
        let said = |notice: &Notice<'_>| text(notice, now);
        assert_eq!(said(&Notice::Alive), "WATCHDOG=1");
        assert_eq!(said(&Notice::Heir(4711)), "WATCHDOG=1\nMAINPID=4711");
        assert_eq!(said(&Notice::Ready("a\nMAINPID=1")), "READY=1\nSTATUS=a");
        assert!(said(&Notice::Reloading).starts_with("RELOADING=1\nMONOTONIC_USEC=1234567\n"));
        let stopping = said(&Notice::Stopping(Duration::from_secs(25)));
        assert!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\n"), "{stopping}");
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name_and_nothing_else() {
        assert!(address(OsStr::new("/run/systemd/notify")).unwrap().as_pathname().is_some());
        assert!(address(OsStr::new("@notify")).unwrap().as_pathname().is_none());
        for name in ["", "notify", "vsock:2:1"] {
            address(OsStr::new(name)).unwrap_err();
        }
    }

    #[test]
    fn a_watchdog_time_is_a_number_of_microseconds() {
        assert_eq!(watchdog("10000000"), Some(Duration::from_secs(10)));
        for text in ["", "0", "-1", "10s", "99999999999999999999999"] {
            assert_eq!(watchdog(text), None, "{text}");
        }
    }

    #[test]
    fn a_word_arrives_and_nobody_there_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let ear = UnixDatagram::bind(&path).unwrap();
        let ear_of = |name: &OsStr| Some(Supervisor::at(name).unwrap());
        let supervisor = Supervisor { ear: ear_of(path.as_os_str()), ..Supervisor::default() };
        supervisor.tell(&Notice::Alive);
        let mut heard = [0; 64];
        let count = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..count], b"WATCHDOG=1");
        supervisor.tell(&Notice::Stopping(Duration::ZERO));
        ear.recv(&mut heard).unwrap();
        // A reload that ends meanwhile makes nothing ready.
        supervisor.tell(&Notice::Ready("again"));
        supervisor.tell(&Notice::Heir(7));
        let count = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..count], b"WATCHDOG=1\nMAINPID=7");
        // Whoever goes on speaks from now on.
        supervisor.tell(&Notice::Alive);
        supervisor.speak();
        supervisor.tell(&Notice::Heir(8));
        let count = ear.recv(&mut heard).unwrap();
        assert_eq!(&heard[..count], b"WATCHDOG=1\nMAINPID=8");
        supervisor.speak();
        drop(ear);
        supervisor.tell(&Notice::Ready("nobody hears"));
        Supervisor::default().tell(&Notice::Alive);
    }
}
