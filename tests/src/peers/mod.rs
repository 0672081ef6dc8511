//! Servers that others wrote, each of one's own: mail, databases, a directory, other proxies.
//!
//! ```text
//! let Some(peer) = dovecot(None).await else { return };
//! let proxy = Proxy::builder().endpoints("app", &[&peer.endpoint("imap")]) …
//! ```
//!
//! Owns the processes, their folders and their ports; `program` finds the programs. A peer that is
//! given a credential speaks TLS with it, in every way that it knows; one that is given none has
//! no word of TLS. Where a program is not here, the test is skipped as in [`crate::foreign`].
//! Refuses to know what is asked of them. Read next: `program`, then one of the servers.

mod database;
mod directory;
mod mail;
mod messages;
mod program;
mod proxies;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use database::{mariadb, postgresql};
pub use directory::{ADMINISTRATOR, slapd};
pub use mail::{dovecot, postfix};
pub use messages::prosody;
pub use program::client;
pub(crate) use program::is_root;
pub use proxies::{ForeignProxy, haproxy, nginx, stunnel};

use crate::authority::{Credential, authority};
use crate::process::Process;
use crate::reserved::Reserved;
use crate::wait::eventually;

/// The name under which peers have their certificates, beside `localhost` and 127.0.0.1.
pub const NAME: &str = "peer.example";

/// The user that peers know, where they know users.
pub const USER: &str = "somebody";

/// The password of [`USER`].
pub const PASSWORD: &str = "secret";

/// A credential of [`authority`] for peers.
pub fn credential() -> Credential {
    authority().issue(&[NAME, "localhost", "127.0.0.1"])
}

/// A running server. It ends with this, with all its processes.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    draft: Draft,
}

/// A server that does not run yet: its folder, and the ports that it will have.
#[derive(Debug)]
struct Draft {
    program: &'static str,
    folder: TempDir,
    ports: Vec<(String, Reserved)>,
    farewell: &'static str,
}

impl Draft {
    fn new(program: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // For the sake of those that become somebody else.
        open_to_all(folder.path());
        Self { program, folder, ports: Vec::new(), farewell: "TERM" }
    }

    /// A free port of 127.0.0.1, by a name of the test's own.
    fn port(&mut self, name: &str) -> u16 {
        let port = Reserved::new();
        let number = port.number();
        self.ports.push((name.to_owned(), port));
        number
    }

    /// Writes a file into its folder, and says where it is.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// The path of a file in its folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder in its folder that is `user`'s, and says where it is.
    fn folder_of(&self, name: &str, user: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("the folder is ours");
        if is_root() {
            chown(&path, Some(user), None).expect("root may give away");
        }
        path
    }

    /// The files of a credential, chain and key, which are `user`'s alone.
    fn credential(&self, credential: &Credential, user: u32) -> (PathBuf, PathBuf) {
        let chain = self.file("chain.pem", &credential.chain);
        let key = self.file("key.pem", &credential.key);
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is ours");
        if is_root() {
            chown(&key, Some(user), None).expect("root may give away");
        }
        (chain, key)
    }

    /// Runs `command`, and waits until something listens at every port, and until the log has
    /// `word`.
    async fn start(self, mut command: Command, word: &str) -> Peer {
        // Their children are to end as well, whatever becomes of the first of them.
        let process = Process::spawn({
            command.process_group(0);
            command
        });
        let peer = Peer { process, draft: self };
        let what = format!("{} at its ports", peer.draft.program);
        eventually(&what, async || {
            let exited = peer.process.exited();
            assert!(exited.is_none(), "{}: {exited:?}", peer.draft.program);
            let listens = peer.draft.ports.iter().all(|(_, port)| port.listens());
            let said = word.is_empty() || peer.log().contains(word);
            (listens && said).then_some(())
        })
        .await;
        peer
    }
}

impl Peer {
    /// Where it listens under the name `port`, as a configuration names it.
    pub fn endpoint(&self, port: &str) -> String {
        format!("127.0.0.1:{}", self.port(port))
    }

    /// The number of the port that has the name `port`.
    pub fn port(&self, port: &str) -> u16 {
        let found = self.draft.ports.iter().find(|(name, _)| name == port);
        found.unwrap_or_else(|| panic!("{} has no port {port}", self.draft.program)).1.number()
    }

    /// The path of a file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.draft.path(name)
    }

    /// All that it has said so far.
    pub fn log(&self) -> String {
        self.process.text().join("\n")
    }

    /// Waits until a line of its log is as `wanted`, and gives it.
    pub async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let line = |line: &crate::Line| Some(line.text()).filter(|text| wanted(text));
        self.process.line(what, line).await
    }

    /// Has it read its files again.
    pub fn reload(&self) {
        self.process.signal("HUP");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Some tidy up what outlives processes, and all get the time for it.
        if self.process.exited().is_none() {
            self.process.signal(self.draft.farewell);
        }
        let end = Instant::now() + FAREWELL_MAX;
        while self.process.exited().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let kill = format!("kill -KILL -- -{}", self.process.id());
        // The group may be gone already, which is what is wanted.
        let _ = Command::new("sh").args(["-c", &kill]).stderr(std::process::Stdio::null()).status();
    }
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
}

/// How long a peer may take for its end.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
