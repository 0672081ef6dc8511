//! `portunus status`: what the running process says of itself.
//!
//! Owns the asking, over the admin listener of the configuration, and the words for people; JSON is
//! passed on as it came. Refuses to know how the facts come about; that is `admin::status`.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::admin::status::{counts, percent};
use crate::config::{Admin, Config};
use crate::net::ListenAddr;

use super::output::{count, plain};
use super::{ConfigFile, fail, output};

/// Asks the running process, and prints what it says.
pub(super) fn run(json: bool, file: &ConfigFile) -> u8 {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match ask(&config) {
        Ok(status) if json => output::print(status),
        Ok(status) => output::print(text(&status).trim_end()),
        Err(error) => fail(&error, error.hint()),
    }
}

fn ask(config: &Config) -> Result<Value, StatusError> {
    let admin = config.admin.as_ref().ok_or(StatusError::NoAdmin)?;
    let address = || admin.listen.to_string();
    let answer = exchange(admin).map_err(|cause| StatusError::Ask { address: address(), cause })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let code = head.split(' ').nth(1).unwrap_or_default();
    if code != "200" {
        return Err(StatusError::Refused { address: address(), code: plain(code) });
    }
    serde_json::from_str(body).map_err(|_| StatusError::NotStatus { address: address() })
}

/// One request over one connection; the answer ends with it.
fn exchange(admin: &Admin) -> io::Result<String> {
    let token =
        admin.token.as_ref().map(|token| format!("authorization: Bearer {}\r\n", token.expose()));
    let request = format!(
        "GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\r\n",
        token.unwrap_or_default()
    );
    let mut answer = Vec::new();
    match &admin.listen {
        ListenAddr::Tcp(addr) => {
            let mut stream = TcpStream::connect_timeout(&reachable(*addr), TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.write_all(request.as_bytes())?;
            stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        }
        ListenAddr::Unix(path) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
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

/// The facts in words.
fn text(status: &Value) -> String {
    let mut text = String::new();
    let word =
        |pointer: &str| plain(status.pointer(pointer).and_then(Value::as_str).unwrap_or("?"));
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "portunus {}, {}", word("/version"), word("/phase"));
    let certificates = usize::try_from(number("/certificates/total")).unwrap_or(usize::MAX);
    let _ = writeln!(
        text,
        "{}: {} pending, {} skipped, {} kept",
        count(certificates, "certificate"),
        number("/certificates/pending_total"),
        number("/certificates/skipped_total"),
        number("/certificates/kept"),
    );
    let listeners = status.pointer("/resumption/listeners").and_then(Value::as_array);
    for listener in listeners.into_iter().flatten() {
        listener_text(&mut text, listener);
    }
    let _ = writeln!(
        text,
        "sessions in memory: {} ({} KiB), {} of look-ups hit",
        number("/resumption/memory/sessions"),
        number("/resumption/memory/bytes") / 1024,
        percent(status.pointer("/resumption/memory/lookups/hit_rate")),
    );
    if let Some(shared) = status.pointer("/resumption/shared").filter(|shared| !shared.is_null()) {
        let up = shared.get("up").and_then(Value::as_bool).unwrap_or_default();
        let _ = writeln!(
            text,
            "shared tier ({}): {}, {} of look-ups hit",
            plain(shared.get("store").and_then(Value::as_str).unwrap_or("?")),
            if up { "up" } else { "AWAY, memory alone serves" },
            percent(shared.pointer("/lookups/hit_rate")),
        );
    }
    text
}

fn listener_text(text: &mut String, listener: &Value) {
    let word = |key: &str| plain(listener.get(key).and_then(Value::as_str).unwrap_or("?"));
    let counts = |key: &str| plain(&counts(listener.get(key)));
    let handshakes = counts("handshakes");
    let _ = writeln!(
        text,
        "listener {} ({}): {} of returning clients resumed; handshakes: {}",
        word("listener"),
        word("mode"),
        percent(listener.get("resumed_of_returning")),
        if handshakes.is_empty() { "none" } else { &handshakes },
    );
    let not_resumed = counts("not_resumed");
    if !not_resumed.is_empty() {
        let _ = writeln!(text, "  not resumed: {not_resumed}");
    }
}

/// Why the running process did not say.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("the admin listener at {address} does not answer")]
    Ask {
        address: String,
        #[source]
        cause: io::Error,
    },
    #[error("the configuration has `admin.listen = \"off\"`")]
    NoAdmin,
    #[error("what answers at {address} is not Portunus")]
    NotStatus { address: String },
    #[error("the admin listener at {address} refuses with status {code}")]
    Refused { address: String, code: String },
}

impl StatusError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ask { .. } => Some(
                "is the process running, and with this configuration? `--config` names another one",
            ),
            Self::NoAdmin => Some("the running process can only be asked over `admin.listen`"),
            Self::NotStatus { .. } => Some("another process has the address of `admin.listen`"),
            Self::Refused { .. } => Some("`admin.token` has to be that of the running process"),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);
/// Some times what the largest status has.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_told_as_percentages_and_what_never_happened_is_left_out() {
        let status = json!({
            "version": "1", "phase": "running",
            "certificates": { "total": 1, "pending_total": 0, "skipped_total": 2, "kept": 0 },
            "resumption": {
                "listeners": [{
                    "listener": "a", "mode": "both", "resumed_of_returning": 0.75,
                    "handshakes": { "full": 5, "ticket": 3, "stateful": 0 },
                    "not_resumed": { "policy": 1, "expired": 0 },
                }],
                "memory": { "sessions": 4, "bytes": 2048, "lookups": { "hit_rate": null } },
                "shared": { "store": "redis", "up": false, "lookups": { "hit_rate": 0.5 } },
            },
        });
        let text = text(&status);
        for line in [
            "1 certificate: 0 pending, 2 skipped, 0 kept",
            "listener a (both): 75.0 % of returning clients resumed; handshakes: 5 full, 3 ticket",
            "  not resumed: 1 policy",
            "sessions in memory: 4 (2 KiB), – of look-ups hit",
            "shared tier (redis): AWAY, memory alone serves, 50.0 % of look-ups hit",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line:?} in {text}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        let asked = |addr: &str| reachable(addr.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(asked("[::]:9090"), "[::1]:9090");
        assert_eq!(asked("10.1.2.3:9090"), "10.1.2.3:9090");
    }
}
