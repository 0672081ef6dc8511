//! A Redis of one's own: the real `redis-server`, alone, as a sentinel or as a node of a cluster.
//!
//! ```text
//! let Some(redis) = redis() else { return };
//! let server = redis.password("secret").start().await;
//! server.ask(&["SET", "key", "value"]).await;
//! server.stop();
//! ```
//!
//! Owns the process, its folder and its addresses, which stay the same over a restart. Keeps
//! nothing on disk. Refuses to know what Portunus stores there. Within, `reply` is a client of so
//! few lines that it can be trusted as an oracle.

mod reply;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use reply::Connection;
pub use reply::Reply;

use crate::authority::authority;
use crate::foreign;
use crate::process::Process;
use crate::reserved::Reserved;
use crate::wait::eventually;

/// What a server shall be, if `redis-server` is on this machine.
pub fn redis() -> Option<Redis> {
    let server = Redis { lines: String::new(), password: None, kind: Kind::Server };
    foreign::server("redis-server").then_some(server)
}

/// What a server shall be.
#[derive(Clone, Debug)]
pub struct Redis {
    lines: String,
    password: Option<String>,
    kind: Kind,
}

/// Which of its roles the program plays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Server,
    Sentinel,
}

/// A running Redis. It ends with this, whatever happens.
#[derive(Debug)]
pub struct RedisServer {
    kind: Kind,
    password: Option<String>,
    process: Option<Process>,
    port: Reserved,
    tls_port: Reserved,
    folder: TempDir,
}

impl Redis {
    /// One more line of its configuration.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.lines, "{key} {value}");
        self
    }

    /// Asks everybody for this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.with("requirepass", password).with("masterauth", password)
    }

    /// A sentinel instead, which watches what its lines say.
    #[must_use]
    pub fn sentinel(mut self) -> Self {
        self.kind = Kind::Sentinel;
        self
    }

    /// A node of a cluster that has no slots yet.
    #[must_use]
    pub fn node(self) -> Self {
        self.with("cluster-enabled", "yes").with("cluster-node-timeout", "1000")
    }

    /// Starts it, and waits until it answers.
    pub async fn start(self) -> RedisServer {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, tls_port) = (Reserved::below(BUS), Reserved::below(BUS));
        let mut server = RedisServer {
            kind: self.kind,
            password: self.password,
            process: None,
            port,
            tls_port,
            folder,
        };
        std::fs::write(server.file("redis.conf"), server.configuration(&self.lines))
            .expect("the folder is ours");
        server.restart().await;
        server
    }
}

impl RedisServer {
    /// Its URL over TCP.
    pub fn url(&self) -> String {
        format!("redis://{}{}", self.userinfo(), self.address())
    }

    /// Its URL over a Unix socket.
    pub fn socket_url(&self) -> String {
        format!("redis+unix://{}{}", self.userinfo(), self.file("socket").display())
    }

    /// Its URL over TLS, with a certificate of [`authority`].
    pub fn tls_url(&self) -> String {
        format!("rediss://{}localhost:{}", self.userinfo(), self.tls_port.number())
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }

    /// Its process, while it runs.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// Starts it at the same addresses, empty, after [`RedisServer::kill`] or instead of what
    /// runs; waits until it answers.
    pub async fn restart(&mut self) {
        drop(self.process.take());
        let mut command = Command::new("redis-server");
        command.arg(self.file("redis.conf"));
        if self.kind == Kind::Sentinel {
            command.arg("--sentinel");
        }
        self.process = Some(Process::spawn(command));
        eventually("an answer of redis-server", async || {
            let exited = self.process().exited();
            assert!(exited.is_none(), "redis-server: {exited:?}: {:?}", self.process().text());
            let answer = self.try_ask(&["PING"]).await?;
            (answer == Reply::Text("PONG".to_owned())).then_some(())
        })
        .await;
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Makes it deaf: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.process().signal("STOP");
    }

    /// Lets it hear again.
    pub fn go_on(&self) {
        self.process().signal("CONT");
    }

    /// Sends one command on a connection of its own, and expects an answer.
    pub async fn ask(&self, command: &[&str]) -> Reply {
        eventually("an answer of redis-server", async || self.try_ask(command).await).await
    }

    /// Every key that lies there.
    pub async fn keys(&self) -> Vec<String> {
        self.ask(&["KEYS", "*"]).await.texts()
    }

    /// Waits until a line of its `INFO` is as wanted.
    pub async fn info(&self, line: &str) {
        eventually(line, async || {
            let Reply::Text(info) = self.try_ask(&["INFO"]).await? else { return None };
            info.lines().any(|found| found == line).then_some(())
        })
        .await;
    }

    async fn try_ask(&self, command: &[&str]) -> Option<Reply> {
        let mut connection = Connection::open(self.address()).await?;
        if let Some(password) = &self.password {
            connection.ask(&["AUTH", password]).await?;
        }
        connection.ask(command).await
    }

    fn userinfo(&self) -> String {
        self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self, lines: &str) -> String {
        let (port, folder) = (self.port.number(), self.folder.path().display());
        let common = format!("port {port}\nbind 127.0.0.1\ndir {folder}\n");
        if self.kind == Kind::Sentinel {
            return common + lines;
        }
        let credential = authority().issue(&["localhost", "127.0.0.1"]);
        let mut text = common + "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n";
        let _ = writeln!(text, "unixsocket {folder}/socket\ntls-port {}", self.tls_port.number());
        text += "tls-auth-clients no\n";
        let files = [
            ("tls-cert-file", credential.chain),
            ("tls-key-file", credential.key),
            ("tls-ca-cert-file", authority().pem()),
        ];
        for (key, pem) in files {
            std::fs::write(self.file(key), pem).expect("the folder is ours");
            let _ = writeln!(text, "{key} {folder}/{key}");
        }
        text + lines
    }
}

/// Makes one cluster of these nodes, each with its share of the slots, and waits until it serves.
pub async fn join(nodes: &[RedisServer]) {
    let share = SLOTS.div_ceil(nodes.len());
    for (place, node) in nodes.iter().enumerate() {
        let (first, end) = (place * share, SLOTS.min((place + 1) * share));
        let (first, last) = (first.to_string(), (end - 1).to_string());
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await.expect_ok();
        let port = nodes[0].address().port().to_string();
        node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]).await.expect_ok();
    }
    for node in nodes {
        eventually("a whole cluster", async || {
            let Reply::Text(info) = node.ask(&["CLUSTER", "INFO"]).await else { return None };
            let known = format!("cluster_known_nodes:{}", nodes.len());
            let whole = ["cluster_state:ok", "cluster_slots_ok:16384", &known];
            whole.iter().all(|line| info.lines().any(|found| found == *line)).then_some(())
        })
        .await;
    }
}

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// The bus of a cluster lies 10,000 above the port, and has to be a port too.
const BUS: u16 = u16::MAX - 10_000;
