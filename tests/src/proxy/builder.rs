//! What a proxy shall be before it runs: listeners, backends, certificates, keys.
//!
//! Owns the configuration file as the suite writes it. Keys that a test does not name have the
//! values that suit tests: free ports, no delay before a drain, every event logged.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Proxy;
use crate::authority::{Credential, authority};
use crate::backend::Backend;
use crate::process::{Process, command};

/// What a proxy shall be.
#[derive(Debug)]
pub struct Builder {
    listeners: Vec<Listener>,
    backends: Vec<(String, Vec<String>)>,
    keys: BTreeMap<String, BTreeMap<String, String>>,
    files: Vec<(String, String)>,
    own_certificates: bool,
    under: Vec<String>,
    unprivileged: bool,
}

/// A listener as the test describes it.
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    mode: &'static str,
    listen: Vec<String>,
    sites: Vec<Site>,
    keys: Vec<(String, String)>,
}

/// Names, the backend of them, and further lines of TOML.
#[derive(Clone, Debug)]
struct Site {
    host: String,
    backend: String,
    keys: String,
}

/// A listener for HTTP that serves `host` by the backend `app`.
pub fn https(host: &str) -> Listener {
    Listener::new("https", "http").site(host, "app")
}

/// A listener for bytes that serves `host` by the backend `app`.
pub fn tls(host: &str) -> Listener {
    Listener::new("tls", "tcp").site(host, "app")
}

/// A listener in client mode: what comes in the clear goes on to `backend`, which has to have TLS.
pub fn clear(name: &str, backend: &str) -> Listener {
    Listener::new(name, "tcp").with("clear", "true").with("backend", &format!("{backend:?}"))
}

impl Listener {
    fn new(name: &str, mode: &'static str) -> Self {
        let listen = vec!["127.0.0.1:0".to_owned()];
        Self { name: name.to_owned(), mode, listen, sites: Vec::new(), keys: Vec::new() }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Has the hosts so far served by this backend.
    #[must_use]
    pub fn to(mut self, backend: &str) -> Self {
        for site in &mut self.sites {
            backend.clone_into(&mut site.backend);
        }
        self
    }

    /// Serves one more host.
    #[must_use]
    pub fn site(self, host: &str, backend: &str) -> Self {
        self.site_with(host, backend, "")
    }

    /// Serves one more host, with further keys of its site, as lines of TOML. Without a name of a
    /// backend the site has none but those of its routes.
    #[must_use]
    pub fn site_with(mut self, host: &str, backend: &str, keys: &str) -> Self {
        let (host, backend, keys) = (host.to_owned(), backend.to_owned(), keys.to_owned());
        self.sites.push(Site { host, backend, keys });
        self
    }

    /// Waits at these addresses instead of a free port of 127.0.0.1.
    #[must_use]
    pub fn at(mut self, addresses: &[&str]) -> Self {
        self.listen = addresses.iter().map(|&address| address.to_owned()).collect();
        self
    }

    /// Any other key, with its value in TOML.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Serves every certificate with one backend: no sites.
    #[must_use]
    pub fn without_sites(mut self) -> Self {
        self.sites.clear();
        self.with("backend", "\"app\"")
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        let builder = Self {
            listeners: Vec::new(),
            backends: Vec::new(),
            keys: BTreeMap::new(),
            files: Vec::new(),
            own_certificates: false,
            under: Vec::new(),
            unprivileged: false,
        };
        builder
            .set("server.workers", "2")
            .set("server.drain_delay", "\"0s\"")
            .set("server.drain_timeout", "\"20s\"")
            .set("log.level", "\"portunus=debug,portunus_certs=debug\"")
            .set("log.format", "\"json\"")
            .set("admin.listen", "\"127.0.0.1:0\"")
            .set("certificates.paths", "[\"certs.d\"]")
            .set("certificates.poll_interval", "\"2s\"")
            .set("certificates.settle", "\"100ms\"")
    }

    /// One more listener. Its hosts get certificates unless the test brings its own.
    #[must_use]
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// The backend `app`.
    #[must_use]
    pub fn backend(self, backend: impl Borrow<Backend>) -> Self {
        self.backend_named("app", backend)
    }

    /// A backend under any name.
    #[must_use]
    pub fn backend_named(self, name: &str, backend: impl Borrow<Backend>) -> Self {
        self.endpoints(name, &[backend.borrow().endpoint()])
    }

    /// A backend with these endpoints.
    #[must_use]
    pub fn endpoints(mut self, name: &str, endpoints: &[&str]) -> Self {
        let endpoints = endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect();
        self.backends.push((name.to_owned(), endpoints));
        self
    }

    /// Sets `section.key` to a value in TOML.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let (section, key) = key.split_once('.').expect("a key stands in a section");
        let keys = self.keys.entry(section.to_owned()).or_default();
        keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Puts a certificate with its key into the folder, as `NAME.pem`, instead of those that the
    /// harness would make for the hosts.
    #[must_use]
    pub fn certificate(self, name: &str, credential: &Credential) -> Self {
        self.file(&format!("certs.d/{name}.pem"), &credential.pem())
    }

    /// Puts a file into the proxy's folder; the harness then makes no certificates by itself.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.own_certificates = true;
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Its admin listener carries out what [`Proxy::order`] asks.
    #[must_use]
    pub fn taking_orders(self) -> Self {
        self.set("admin.token", &format!("{TOKEN:?}"))
    }

    /// The process may have no more than `count` files open.
    #[must_use]
    pub fn open_files(self, count: usize) -> Self {
        self.under(&["sh", "-c", &format!("ulimit -n {count} && exec \"$0\" \"$@\"")])
    }

    /// The process is run by this command, as `env` would.
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The process is not root's, if the test is, so that permissions mean something to it. Its
    /// folder is its own; what the test adds later is not, where the test is root's.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Runs it, and waits until it is ready; one that takes orders until it has compared its files
    /// with what it serves, so that a change is read when that is ordered and not before.
    pub async fn start(self) -> Proxy {
        let orders = self.keys.get("admin").is_some_and(|keys| keys.contains_key("token"));
        let (folder, process) = self.spawn();
        let proxy = Proxy::ready(folder, process).await;
        let has_port = |address: &String| address.parse::<SocketAddr>().is_ok();
        if orders && proxy.addresses("admin").first().is_some_and(has_port) {
            proxy.order("/reload?dry=true").await;
        }
        proxy
    }

    /// Runs it, for a test that expects something else than readiness.
    pub fn spawn(self) -> (TempDir, Process) {
        let folder = self.write();
        let mut binary = PathBuf::from(command().get_program());
        let mut under = self.under;
        if self.unprivileged && is_root() {
            // The folder of the build may be closed to others. Another process copies: what is open
            // for writing here would be inherited by what other tests start, and then be busy.
            let copy = folder.path().join("portunus");
            let copied = Command::new("cp").args([&binary, &copy]).status();
            assert!(copied.expect("there is a cp").success(), "the binary can be copied");
            binary = copy;
            give_away(folder.path());
            let nobody = NOBODY.to_string();
            let command = ["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"];
            under.extend(command.map(str::to_owned));
        }
        let mut words = under.iter().map(OsStr::new).chain([binary.as_os_str()]);
        let mut binary = Command::new(words.next().expect("at least the binary"));
        binary.args(words);
        let process = Process::spawn(run(binary, folder.path()));
        (folder, process)
    }

    /// Writes the configuration and the certificates into a new folder.
    pub fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let put = |path: &str, text: &str| write(&folder.path().join(path), text);
        put("ca.pem", &authority().pem());
        put("config.toml", &self.toml());
        for (path, text) in &self.files {
            put(path, text);
        }
        if !self.own_certificates {
            for Site { host, .. } in self.listeners.iter().flat_map(|listener| &listener.sites) {
                let path = folder.path().join(format!("certs.d/{}.pem", host.replace('*', "any")));
                if !path.exists() {
                    write(&path, &authority().issue(&[host]).pem());
                }
            }
        }
        folder
    }

    /// The configuration.
    pub fn toml(&self) -> String {
        let mut toml = String::new();
        let sections = self.keys.iter().filter(|(section, _)| *section != "backend");
        for (section, keys) in sections {
            let _ = writeln!(toml, "[{section}]");
            for (key, value) in keys {
                let _ = writeln!(toml, "{key} = {value}");
            }
        }
        for listener in &self.listeners {
            let Listener { name, mode, listen, sites, keys } = listener;
            let _ = writeln!(toml, "[listener.{name}]\nlisten = {listen:?}\nmode = {mode:?}");
            for (key, value) in keys {
                let _ = writeln!(toml, "{key} = {value}");
            }
            for Site { host, backend, keys } in sites {
                let _ = writeln!(toml, "[[listener.{name}.site]]\nhosts = [{host:?}]");
                if !backend.is_empty() {
                    let _ = writeln!(toml, "backend = {backend:?}");
                }
                let _ = writeln!(toml, "{keys}");
            }
        }
        for (name, endpoints) in &self.backends {
            let _ = writeln!(toml, "[backend.{name}]");
            let said = format!("{name}.endpoints");
            if self.keys.get("backend").is_none_or(|keys| !keys.contains_key(&said)) {
                let _ = writeln!(toml, "endpoints = {endpoints:?}");
            }
            // A table that was begun by one of its keys could not be opened here.
            for (key, value) in self.keys.get("backend").into_iter().flatten() {
                if let Some(key) = key.strip_prefix(&format!("{name}.")) {
                    let _ = writeln!(toml, "{key} = {value}");
                }
            }
        }
        toml
    }
}

/// What has `binary` run with the configuration in `folder`.
pub(super) fn run(mut binary: Command, folder: &Path) -> Command {
    binary.arg("run").arg("--config").arg(folder.join("config.toml"));
    binary
}

/// Whether this process may do everything.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("we are a process").uid() == 0
}

fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give away");
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        give_away(&entry.path());
    }
}

/// What the harness shows to the admin listener, whether or not that asks for it.
pub const TOKEN: &str = "the-token-of-the-suite";

/// The user that owns nothing, on every Linux.
const NOBODY: u32 = 65534;

/// Replaces a file in one step.
pub fn write_and_rename(path: &Path, text: &str) {
    // A name that the proxy does not take for a certificate's.
    let aside = path.with_extension("aside");
    write(&aside, text);
    std::fs::rename(&aside, path).expect("a file can be renamed");
}

/// Writes a file as its owner's alone, with the folders that it needs.
pub fn write(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let folder = path.parent().expect("a file stands in a folder");
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let file = file.as_mut().expect("a file can be made");
    file.write_all(text.as_bytes()).expect("a file can be written");
}
