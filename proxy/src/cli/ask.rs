//! One question to the running process, over the admin listener that its file names.
//!
//! Owns the asking and its bounds, and what can be done if there is no answer. Refuses to know what
//! is asked. Read next: `status`, `endpoint`, `order`.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::config::Admin;
use crate::net::ListenAddr;

use super::output::plain;

/// The answer of the running process, which is JSON.
pub(super) fn ask(admin: Option<&Admin>, method: &str, target: &str) -> Result<Value, AskError> {
    match ask_within(admin, method, target, TIMEOUT)? {
        Answer::Done(told) => Ok(told),
        Answer::Refused(_) => {
            let address = admin.map(|admin| admin.listen.to_string());
            Err(AskError::Refused { address: address.unwrap_or_default(), code: "409".to_owned() })
        }
    }
}

/// What the running process told.
#[derive(Debug)]
pub(super) enum Answer {
    /// What was asked for is done.
    Done(Value),
    /// It is not, for the reasons told.
    Refused(Value),
}

/// The same, for what takes its time, and may be refused for reasons that are told.
pub(super) fn ask_within(
    admin: Option<&Admin>,
    method: &str,
    target: &str,
    timeout: Duration,
) -> Result<Answer, AskError> {
    let admin = admin.ok_or(AskError::NoAdmin)?;
    let address = || admin.listen.to_string();
    let answer = exchange(admin, method, target, timeout);
    let answer = answer.map_err(|cause| AskError::of(cause, address(), timeout))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let code = head.split(' ').nth(1).unwrap_or_default();
    let told = || serde_json::from_str(body).map_err(|_| AskError::NotOurs { address: address() });
    match code {
        "200" => told().map(Answer::Done),
        "409" => told().map(Answer::Refused),
        "403" => Err(AskError::Forbidden { address: address() }),
        "404" => Err(AskError::NotFound),
        code => Err(AskError::Refused { address: address(), code: plain(code) }),
    }
}

/// One request over one connection; the answer ends with it.
fn exchange(admin: &Admin, method: &str, target: &str, timeout: Duration) -> io::Result<String> {
    let token =
        admin.token.as_ref().map(|token| format!("authorization: Bearer {}\r\n", token.expose()));
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\r\n",
        token.unwrap_or_default()
    );
    let mut answer = Vec::new();
    match &admin.listen {
        ListenAddr::Tcp(addr) => {
            let mut stream = TcpStream::connect_timeout(&reachable(*addr), TIMEOUT)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.write_all(request.as_bytes())?;
            stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        }
        // The configuration allows no such address here.
        ListenAddr::Given(_) => return Err(io::ErrorKind::Unsupported.into()),
        ListenAddr::Unix(path) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.write_all(request.as_bytes())?;
            stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        }
    }
    String::from_utf8(answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Where a listener on every address is asked.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Why the running process did not say.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the admin listener at {address} does not answer")]
    Ask {
        address: String,
        #[source]
        cause: io::Error,
    },
    #[error("the admin listener at {address} takes no orders without a token")]
    Forbidden { address: String },
    #[error("the admin listener at {address} said nothing for {} s", waited.as_secs())]
    Mute { address: String, waited: Duration },
    #[error("the configuration has `admin.listen = \"off\"`")]
    NoAdmin,
    #[error("the running process has no such backend or endpoint")]
    NotFound,
    #[error("what answers at {address} is not Portunus")]
    NotOurs { address: String },
    #[error("the admin listener at {address} refuses with status {code}")]
    Refused { address: String, code: String },
}

impl AskError {
    /// Why there was no answer from `address` within `timeout`.
    fn of(cause: io::Error, address: String, timeout: Duration) -> Self {
        match cause.kind() {
            // What a socket says whose time to read is over. One to which no connection came about
            // says `TimedOut`.
            io::ErrorKind::WouldBlock => Self::Mute { address, waited: timeout },
            _ => Self::Ask { address, cause },
        }
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ask { .. } => Some(
                "is the process running, and with this configuration? `--config` names another \
                 one. If `admin.listen` has changed, SIGUSR2 upgrades, which takes it in",
            ),
            Self::Forbidden { .. } => Some(
                "set `admin.token`, or have `admin.listen` be a unix socket; without either, \
                 SIGHUP reloads, SIGTERM drains and SIGUSR2 upgrades",
            ),
            Self::Mute { .. } => Some(
                "something has the address and hangs: if it is Portunus, it is stopped or starved",
            ),
            Self::NoAdmin => Some("the running process can only be asked over `admin.listen`"),
            Self::NotFound => Some("`portunus status --json` shows names and addresses"),
            Self::NotOurs { .. } => Some("another process has the address of `admin.listen`"),
            Self::Refused { .. } => Some("`admin.token` has to be that of the running process"),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);
/// Some times what the largest status has.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_accepts_and_says_nothing_hangs_and_is_not_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let admin = Admin { listen: ListenAddr::Unix(path.clone()), token: None };
        let asked = || ask_within(Some(&admin), "GET", "/status", Duration::from_millis(20));
        let error = asked().unwrap_err();
        assert!(matches!(error, AskError::Ask { .. }), "{error:?}");
        let _mute = std::os::unix::net::UnixListener::bind(path).unwrap();
        let error = asked().unwrap_err();
        assert!(matches!(error, AskError::Mute { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("hangs"));
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        let asked = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(asked("[::]:9090"), "[::1]:9090");
        assert_eq!(asked("10.1.2.3:9090"), "10.1.2.3:9090");
    }
}
