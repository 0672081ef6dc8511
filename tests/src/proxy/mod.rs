//! A running proxy: where it listens, what it counts, what it says, how it ends.
//!
//! Owns the process and its folder. Refuses to know TLS, which is `client`'s, and the configuration
//! file, which is `builder`'s.

pub(crate) mod builder;
mod kin;
mod metrics;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authority::Credential;
use crate::client::Client;
use crate::http1::Response;
use crate::process::{Line, Process, command};
use crate::wait::{eventually, within};
pub(crate) use builder::TOKEN;
use builder::{Builder, run, write_and_rename};
use kin::Kin;

/// A proxy that runs, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    /// The folder, and whoever runs with it; dropped behind the process that was started first.
    kin: Kin,
    addresses: Vec<(String, String)>,
}

/// How a proxy ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// What it said on stderr.
    pub log: Vec<String>,
}

impl Proxy {
    /// Describes a proxy.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) async fn ready(folder: TempDir, process: Process) -> Self {
        let mut addresses = Vec::new();
        let wait = process.line("the proxy is ready", |line| {
            if line.field("message") == "listening" {
                addresses.push((line.field("listener"), line.field("address")));
            }
            line.says("ready", &[]).then_some(())
        });
        let ready = tokio::select! {
            () = wait => Ok(()),
            status = process.exit() => Err(status),
        };
        assert_eq!(ready, Ok(()), "the proxy ended at its start");
        Self { process, kin: Kin::of(folder), addresses }
    }

    /// Where the listener `name` waits, if that is a TCP address.
    pub fn address(&self, name: &str) -> SocketAddr {
        let all = self.addresses(name);
        let address = all.first().unwrap_or_else(|| panic!("no listener {name}: {all:?}"));
        address.parse().expect("the listener is a TCP one")
    }

    /// Every address of the listener `name`, as the log shows it.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let named = self.addresses.iter().filter(|(listener, _)| listener == name);
        named.map(|(_, address)| address.clone()).collect()
    }

    /// Where the first listener that serves clients waits.
    pub fn first_address(&self) -> SocketAddr {
        let first = self.addresses.iter().find(|(listener, _)| listener != "admin");
        let (_, address) = first.expect("a proxy has a listener");
        address.parse().expect("the listener is a TCP one")
    }

    /// The folder with its configuration and certificates.
    pub fn folder(&self) -> &Path {
        self.kin.folder()
    }

    /// The file with the authority that clients trust.
    pub fn ca(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// A client that asks the first listener for `name`.
    pub fn client(&self, name: &str) -> Client {
        Client::new(self.first_address(), name)
    }

    /// The process itself.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The ids of all processes that run with its configuration, the oldest first: one, but for
    /// those that it has handed over to.
    pub fn generations(&self) -> Vec<u32> {
        self.kin.generations()
    }

    /// The first event with this message and these fields, past or to come.
    pub async fn wait_for_log(&self, message: &str, fields: &[(&str, &str)]) -> Line {
        let what = format!("a log line {message:?} with {fields:?}");
        self.process.line(&what, |line| line.says(message, fields).then(|| line.clone())).await
    }

    /// Asks the admin listener.
    pub async fn admin(&self, path: &str) -> Response {
        self.try_admin(path).await.expect("the admin listener answers")
    }

    async fn try_admin(&self, path: &str) -> std::io::Result<Response> {
        self.ask_admin("GET", path).await
    }

    /// Gives an order, as `/reload`, and waits for what comes of it: the status and what is told.
    /// The proxy has to be one of [`Builder::taking_orders`].
    pub async fn order(&self, path: &str) -> (u16, Value) {
        let answer = self.ask_admin("POST", path).await.expect("the admin listener answers");
        let told = serde_json::from_slice(&answer.body).unwrap_or_else(|_| answer.text().into());
        (answer.status, told)
    }

    async fn ask_admin(&self, method: &str, path: &str) -> std::io::Result<Response> {
        ask(self.address("admin"), method, path).await
    }

    /// What all series of `name` with these labels add up to.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metrics::sum(&self.admin("/metrics").await.text(), name, labels)
    }

    /// Waits until the series of `name` with these labels add up to something `wanted`.
    pub async fn wait_for_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> f64 {
        eventually(&format!("{name} with {labels:?} as wanted"), async || {
            Some(self.metric(name, labels).await).filter(|&value| wanted(value))
        })
        .await
    }

    /// Begins as many handshakes as said, and does not go on with them. The proxy counts each, so
    /// that whoever comes later is not taken for one of these: its workers accept in any order.
    pub async fn hold_handshakes(&self, client: &Client, count: usize) -> Vec<TcpStream> {
        let pending = "portunus_handshakes_pending";
        let before = self.metric(pending, &[]).await;
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(client.tcp().await);
        }
        self.wait_for_metric(pending, &[], |pending| pending == before + count as f64).await;
        held
    }

    /// Has the certificates read again, and waits until they were; by a reading, maybe, that was
    /// under way.
    pub async fn reload(&self) {
        let name = "portunus_certificate_reloads_total";
        let before = self.metric(name, &[]).await;
        self.process.signal("HUP");
        self.wait_for_metric(name, &[], |value| value > before).await;
    }

    /// Puts another credential in the place of the one of `name`, as one new file by renaming, and
    /// waits as [`Proxy::reload`] does.
    pub async fn replace_certificate(&self, name: &str, credential: &Credential) {
        let file = self.folder().join(format!("certs.d/{name}.pem"));
        write_and_rename(&file, &credential.pem());
        self.reload().await;
    }

    /// Ends it in the middle of whatever it does.
    pub async fn kill(&self) {
        self.process.signal("KILL");
        self.process.exit().await;
    }

    /// Kills it unless it has ended, and runs it again in the same folder; its free ports may be
    /// others then.
    pub async fn restart(self) -> Self {
        let Self { process, kin, .. } = self;
        drop(process);
        let folder = kin.disband();
        let process = Process::spawn(run(command(), folder.path()));
        Self::ready(folder, process).await
    }

    /// Asks it to finish, and waits until it has.
    pub async fn drain(self) -> Exit {
        self.process.signal("TERM");
        self.exit().await
    }

    /// Waits until it ends.
    pub async fn exit(self) -> Exit {
        let code = self.process.exit().await.code();
        Exit { code, log: self.process.text() }
    }
}

/// Asks `address` for `path` in the clear, as one asks an admin listener.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<Response> {
    ask(address, "GET", path).await
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    within("an answer of the admin listener", stream.read_to_end(&mut answer)).await?;
    Response::parse(&answer).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
