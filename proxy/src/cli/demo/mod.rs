//! `portunus demo`: the main job with nothing prepared.
//!
//! Owns a folder that is removed at the end, a certificate authority in it, two services to stand
//! in front of, and the lines to copy. Everything else is what `portunus run` does.

mod service;

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroUsize;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use portunus_certs::issue::{DevelopmentCa, IssueError};
use rustls::pki_types::UnixTime;

use crate::config::{Config, ConfigErrors};
use crate::runtime::{Addresses, HangUp, Runtime};

use super::{DONE, USAGE, fail, output, run};

/// Serves HTTPS on `port` and raw TLS on the next one, until it is interrupted.
pub(super) fn run(port: u16, admin_port: u16) -> u8 {
    // Before there is anything to leave behind.
    let runtime = match Runtime::new(WORKERS, HangUp::End) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, error.hint()),
    };
    let (folder, config) = match prepare(port, admin_port) {
        Ok(prepared) => prepared,
        Err(error) => {
            let code = fail(&error, error.hint());
            return if matches!(error, DemoError::SamePort(_)) { USAGE } else { code };
        }
    };
    let told = Cell::new(DONE);
    let code = run::serve(runtime, &config, |addresses| {
        told.set(output::print(welcome(&folder.0, addresses)));
    });
    output::say(format_args!("stopped; {} is removed", folder.0.display()));
    code.max(told.get())
}

fn prepare(port: u16, admin_port: u16) -> Result<(Folder, Config), DemoError> {
    let raw_port = if port == 0 { 0 } else { port.saturating_add(1) };
    check_ports(port, raw_port, admin_port)?;
    let folder = Folder::create()?;
    let now = UnixTime::now();
    let ca = DevelopmentCa::new(now).map_err(DemoError::Certificate)?;
    let issued = ca.issue(&["localhost", "127.0.0.1", "::1"], now);
    let issued = issued.map_err(DemoError::Certificate)?;
    issued.write(&folder.0, "localhost").map_err(DemoError::Certificate)?;
    std::fs::write(folder.0.join("ca.crt"), ca.certificate_pem())
        .map_err(|cause| DemoError::Folder { path: folder.0.clone(), cause })?;
    service::start(&folder.0.join(HTTP), &folder.0.join(ECHO))
        .map_err(|cause| DemoError::Service { folder: folder.0.clone(), cause })?;
    // Nothing that a path may hold gets into the text: all are relative to the folder.
    let text = format!(
        r#"
        server = {{ drain_delay = "0s", drain_timeout = "2s" }}
        log = {{ level = "warn" }}
        admin = {{ listen = "127.0.0.1:{admin_port}" }}
        certificates = {{ paths = ["localhost.pem", "localhost.key"] }}
        listener.https = {{ listen = ["127.0.0.1:{port}"], mode = "http", backend = "hello" }}
        listener.raw = {{ listen = ["127.0.0.1:{raw_port}"], mode = "tcp", backend = "echo" }}
        backend.hello = {{ endpoints = ["unix:{HTTP}"] }}
        backend.echo = {{ endpoints = ["unix:{ECHO}"] }}
        "#,
    );
    let config = Config::parse(&text, "demo", &folder.0).map_err(DemoError::Config)?;
    Ok((folder, config))
}

/// Whether the ports are three, and free; a port 0 is any that is free.
fn check_ports(port: u16, raw_port: u16, admin_port: u16) -> Result<(), DemoError> {
    if admin_port != 0 && [port, raw_port].contains(&admin_port) {
        return Err(DemoError::SamePort(admin_port));
    }
    for port in [port, raw_port, admin_port] {
        // What else can be wrong with a port is told when it is bound for good.
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if let Err(cause) = bound
            && cause.kind() == io::ErrorKind::AddrInUse
        {
            return Err(DemoError::PortInUse { port, cause });
        }
    }
    Ok(())
}

/// The lines to copy.
fn welcome(folder: &Path, addresses: &Addresses) -> String {
    let ca = folder.join("ca.crt");
    let ca = quoted(&ca.display().to_string());
    let port = |listener: &str| addresses.port(listener).unwrap_or_default();
    let (https, raw, admin) = (port("https"), port("raw"), port("admin"));
    let mut text = String::from("Portunus takes TLS off in front of two services. Try:\n\n");
    let lines = [
        ("HTTP/2", format!("curl --cacert {ca} https://localhost:{https}/")),
        ("HTTP/1.1", format!("curl --http1.1 --cacert {ca} https://localhost:{https}/")),
        (
            "raw TLS, echoed",
            format!(
                "openssl s_client -connect localhost:{raw} -servername localhost \
                 -CAfile {ca} -quiet"
            ),
        ),
        (
            "resumption",
            format!(
                "openssl s_client -connect localhost:{https} -servername localhost -CAfile {ca} \
                 -tls1_2 -reconnect < /dev/null | grep -E '^(New|Reused)'"
            ),
        ),
        ("metrics", format!("curl http://127.0.0.1:{admin}/metrics")),
    ];
    for (what, line) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  # {what}\n  {line}\n");
    }
    text.push_str("Ctrl-C stops it and removes the certificate.");
    text
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    if word.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A folder that only this user can look into, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self, DemoError> {
        let mut random = [0; 8];
        let filled = aws_lc_rs::rand::fill(&mut random);
        let name = format!("portunus-demo-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        if path.join(HTTP).as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(DemoError::LongPath(path));
        }
        let created = filled
            .map_err(|_| io::Error::other("no random numbers"))
            .and_then(|()| DirBuilder::new().mode(0o700).create(&path));
        match created {
            Ok(()) => Ok(Self(path)),
            Err(cause) => Err(DemoError::Folder { path, cause }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            let folder = self.0.display();
            output::say(format_args!("warning: {folder} is left behind: {error}"));
        }
    }
}

/// Why the demo cannot begin.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("no certificate for the demo")]
    Certificate(#[source] IssueError),
    #[error("the configuration of the demo is wrong")]
    Config(#[source] ConfigErrors),
    #[error("cannot use the folder {} for the demo", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the path {} is too long for the sockets of the demo", .0.display())]
    LongPath(PathBuf),
    #[error("the demo cannot listen on 127.0.0.1:{port}")]
    PortInUse {
        port: u16,
        #[source]
        cause: io::Error,
    },
    #[error(
        "port {0} is asked for twice: HTTPS takes `--port`, raw TLS the next one, and the admin \
         listener `--admin-port`"
    )]
    SamePort(u16),
    #[error("the services of the demo could not start in {}", folder.display())]
    Service {
        folder: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl DemoError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Certificate(_) | Self::Config(_) => None,
            Self::Folder { .. } | Self::Service { .. } => {
                Some("set `TMPDIR` to a folder that you can write to")
            }
            Self::LongPath(_) => Some("set `TMPDIR` to a folder with a shorter path"),
            Self::PortInUse { .. } | Self::SamePort(_) => {
                Some("choose other ports: `portunus demo --port 9443 --admin-port 9091`")
            }
        }
    }
}

/// Threads of the demo.
const WORKERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const HTTP: &str = "http.sock";
const ECHO: &str = "echo.sock";
/// What `sun_path` holds, without the NUL at its end.
const SOCKET_PATH_BYTES_MAX: usize = 107;
