//! Sockets that a supervisor opened for us (sd_listen_fds(3)).
//!
//! Owns the reading of `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`, and the judgement whether
//! what came is a listening socket that can be served on. Refuses to know which listener asks for
//! which name.

use std::io;
use std::os::fd::AsFd;
use std::sync::Once;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::sockets::Spare;

/// Takes the sockets that the supervisor gave this process, each with its name; there are none
/// unless it was the one that started this process. They are given out once.
pub fn take() -> Result<Vec<Spare>, ActivationError> {
    static TAKEN: Once = Once::new();
    let mut taken = Ok(Vec::new());
    TAKEN.call_once(|| taken = take_from_environment());
    taken
}

fn take_from_environment() -> Result<Vec<Spare>, ActivationError> {
    let variable = |name| std::env::var(name).ok();
    let count = count(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id())?;
    // The numbers become descriptors of ours: each of them has to be one.
    for number in FIRST..FIRST + count {
        let is_open = std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
        is_open.then_some(()).ok_or(ActivationError::Closed { number })?;
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let given = sd_listen_fds::get().map_err(|_| ActivationError::Malformed)?;
    let mut sockets = Vec::with_capacity(given.len());
    for (name, descriptor) in given {
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.to_owned());
        let socket = descriptor.into_std();
        // Nobody that is started by us has them by accident.
        fcntl_setfd(&socket, FdFlags::CLOEXEC)
            .map_err(|cause| ActivationError::Socket { name: name.clone(), cause: cause.into() })?;
        judge(&socket).map_err(|cause| ActivationError::Socket { name: name.clone(), cause })?;
        sockets.push(Spare::given(&name, socket));
    }
    Ok(sockets)
}

/// How many descriptors were given to the process with this id.
fn count(pid: Option<String>, count: Option<String>, own: u32) -> Result<u32, ActivationError> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(0) };
    let pid: u32 = pid.parse().map_err(|_| ActivationError::Malformed)?;
    if pid != own {
        return Ok(0);
    }
    match count.parse() {
        Ok(count) if count <= SOCKETS_MAX => Ok(count),
        _ => Err(ActivationError::Malformed),
    }
}

/// Whether this is a socket that listens for streams, over TCP or as a unix socket.
pub(super) fn judge(socket: impl AsFd) -> io::Result<()> {
    let domain = sockopt::socket_domain(&socket)?;
    let is_ours =
        [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX].contains(&domain);
    let is_stream = sockopt::socket_type(&socket)? == SocketType::STREAM;
    if is_ours && is_stream && sockopt::socket_acceptconn(&socket)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen for TCP or unix streams"))
}

/// Why the sockets of the supervisor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// A descriptor was promised that is not there.
    #[error("`LISTEN_FDS` promises the descriptor {number}, which is not open")]
    Closed {
        /// Which one.
        number: u32,
    },
    /// The variables say nothing that makes sense.
    #[error("`LISTEN_PID` and `LISTEN_FDS` are not numbers of a supervisor")]
    Malformed,
    /// A descriptor is something else.
    #[error("the descriptor `{name}` of the supervisor")]
    Socket {
        /// The name that it has there.
        name: String,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
}

/// The first descriptor behind standard input, output and error (`SD_LISTEN_FDS_START`).
const FIRST: u32 = 3;
/// More than any unit has.
const SOCKETS_MAX: u32 = 256;
/// What systemd calls a socket that has no name.
const UNNAMED: &str = "unknown";

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_the_process_that_is_meant_is_given_anything() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(count(text("7"), text("2"), 7).unwrap(), 2);
        assert_eq!(count(text("7"), text("2"), 8).unwrap(), 0);
        assert_eq!(count(None, text("2"), 7).unwrap(), 0);
        assert_eq!(count(text("7"), None, 7).unwrap(), 0);
        for (pid, fds) in [("x", "1"), ("7", "-1"), ("7", "4000000000"), ("7", "x"), ("", "1")] {
            count(text(pid), text(fds), 7).unwrap_err();
        }
    }

    #[test]
    fn what_does_not_listen_for_streams_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        judge(&tcp).unwrap();
        judge(TcpListener::bind("[::1]:0").unwrap()).unwrap();
        judge(UnixListener::bind(folder.path().join("socket")).unwrap()).unwrap();
        judge(TcpStream::connect(tcp.local_addr().unwrap()).unwrap()).unwrap_err();
        judge(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap_err();
        judge(std::fs::File::open("/dev/null").unwrap()).unwrap_err();
    }
}
