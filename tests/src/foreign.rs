//! Programs that others wrote, as oracles: what they understand is what the world understands.
//!
//! Owns finding them, running them under a deadline and talking with them. If a program is not on
//! this machine, stderr says so and the test passes without it, unless the environment variable
//! `PORTUNUS_TEST_FOREIGN` is `require`: then the test fails. Refuses to know what they are asked.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use crate::proxy::Proxy;
use crate::wait::{PATIENCE, within};

/// A command of a foreign program.
#[derive(Debug)]
pub struct Foreign {
    command: Command,
    input: Vec<u8>,
    patience: Duration,
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said on stdout.
    pub out: Vec<u8>,
    /// What it said on stderr.
    pub err: Vec<u8>,
}

/// A program that runs and is talked with.
#[derive(Debug)]
pub struct Conversation {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Heard,
    err: Heard,
    patience: Duration,
}

/// `openssl`, if it is here.
pub fn openssl() -> Option<Foreign> {
    find("openssl", "version")
}

/// `curl`, if it is here: without a configuration file, silent but for errors, and with a deadline
/// of its own.
pub fn curl() -> Option<Foreign> {
    Some(find("curl", "--version")?.args(["-q", "-sS", "--max-time", "25"]))
}

/// `python3`, if it is here.
pub fn python() -> Option<Foreign> {
    Some(find("python3", "--version")?.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// A Python that has all of `modules`, if one is here: the first of the path, or the system's own,
/// for which distributions package modules.
pub fn python_with(modules: &[&str]) -> Option<Foreign> {
    let import = format!("import {}", modules.join(", "));
    let question = ["-c", import.as_str()];
    let system = "/usr/bin/python3";
    let program = if answers("python3", &question) { "python3" } else { system };
    Some(find_with(program, &question)?.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// The path of a program of ours in a foreign language, `tests/foreign/NAME`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(name)
}

/// `bash`, if it is here, for what is a pipe of programs.
pub fn shell() -> Option<Foreign> {
    find("bash", "--version")
}

/// Our own load generator, which is talked with as the others are, with as many files as it may
/// have.
pub fn load() -> Foreign {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -n $(ulimit -Hn) && exec \"$0\" \"$@\""])
        .arg(crate::process::load());
    Foreign::new(command)
}

/// `nghttp`, the HTTP/2 client, if it is here.
pub fn nghttp() -> Option<Foreign> {
    find("nghttp", "--version")
}

/// `python3`, where it can lead a browser: ChromeDriver, and Chromium that comes with it.
pub fn chromium() -> Option<Foreign> {
    find("chromedriver", "--version")?;
    Some(python()?.patience(PATIENCE * 3))
}

/// `brotli`, the decoder of those who made the format, if it is here.
pub fn brotli() -> Option<Foreign> {
    find("brotli", "--version")
}

/// `promtool`, which judges metrics, if it is here.
pub fn promtool() -> Option<Foreign> {
    find("promtool", "--version")
}

/// A Python that knows what others have defined, `python-of-…`, if it is here: `.ci/run` makes one
/// for each.
pub fn python_of(program: &'static str) -> Option<Foreign> {
    Some(find(program, "--version")?.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// `docker-compose`, which judges compose files without a daemon, if it is here.
pub fn docker_compose() -> Option<Foreign> {
    find("docker-compose", "--version")
}

/// `readelf`, which judges binaries, if it is here.
pub fn readelf() -> Option<Foreign> {
    find("readelf", "--version")
}

/// Whether this server is here, which [`crate::redis`] or [`crate::prometheus`] runs.
pub(crate) fn server(program: &'static str) -> bool {
    find(program, "--version").is_some()
}

/// Whether this machine lets programs run under `unshare` in a user namespace of their own.
pub fn user_namespaces() -> bool {
    find_with("unshare", &["-Ur", "true"]).is_some()
}

/// Whether such a namespace can have a network of its own.
pub fn network_namespaces() -> bool {
    find_with("unshare", &["-Urn", "true"]).is_some()
}

/// A library that is preloaded, by the name of its file, if it is here.
pub fn library(name: &'static str) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = folders.map(|folder| folder.path()).chain(["/usr/lib".into()]);
    let found = folders
        .flat_map(|folder| [folder.join(name), folder.join("faketime").join(name)])
        .find(|path| path.is_file());
    if found.is_none() {
        missing(name);
    }
    found
}

/// `openssl s_client` that calls the first listener of `proxy` and asks for `name`.
pub fn s_client(proxy: &Proxy, name: &str) -> Option<Foreign> {
    let address = proxy.first_address().to_string();
    let command = openssl()?.args(["s_client", "-connect", &address, "-servername", name]);
    Some(command.arg("-CAfile").arg(proxy.ca()).args(["-verify_return_error"]))
}

/// `curl` that finds `name` at the first listener of `proxy`; the URL is the caller's, and its
/// authority is `name` with the port of [`url`].
pub fn curl_for(proxy: &Proxy, name: &str) -> Option<Foreign> {
    let address = proxy.first_address();
    let resolve = format!("{name}:{}:{}", address.port(), address.ip());
    Some(curl()?.args(["--resolve", &resolve, "--noproxy", "*"]).arg("--cacert").arg(proxy.ca()))
}

/// The URL of `path` at the first listener of `proxy`, under `name`.
pub fn url(proxy: &Proxy, name: &str, path: &str) -> String {
    format!("https://{name}:{}{path}", proxy.first_address().port())
}

fn find(program: &'static str, question: &str) -> Option<Foreign> {
    find_with(program, &[question])
}

fn find_with(program: &'static str, question: &[&str]) -> Option<Foreign> {
    if answers(program, question) {
        return Some(Foreign::new(std::process::Command::new(program)));
    }
    missing(program);
    None
}

/// Says that the test goes without `program`, or fails where no test may.
pub(crate) fn missing(program: &str) {
    let required = std::env::var("PORTUNUS_TEST_FOREIGN").is_ok_and(|value| value == "require");
    assert!(!required, "`{program}` is not here, and PORTUNUS_TEST_FOREIGN is `require`");
    skip(program);
}

/// Says that the test goes without `what`.
pub(crate) fn skip(what: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // Not `eprintln!`, which the test runner would swallow.
    let _ = writeln!(std::io::stderr(), "skipped: {test} needs `{what}`, which is not here");
}

fn answers(program: &str, question: &[&str]) -> bool {
    let mut asked = std::process::Command::new(program);
    asked.args(question).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

impl Foreign {
    /// A program that was found.
    pub(crate) fn new(command: std::process::Command) -> Self {
        Self { command: command.into(), input: Vec::new(), patience: PATIENCE }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// It may take longer than anything should that takes no time.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What it reads on stdin, before the end of it.
    #[must_use]
    pub fn input(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = input.as_ref().to_vec();
        self
    }

    /// Runs it to its end.
    pub async fn run(self) -> Output {
        let input = self.input.clone();
        let mut conversation = self.start();
        conversation.say(&input).await;
        conversation.finish().await
    }

    /// Runs it, to be talked with.
    pub fn start(mut self) -> Conversation {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.kill_on_drop(true);
        let mut child = self.command.spawn().expect("the program was found");
        let stdin = child.stdin.take();
        let out = Heard::new(child.stdout.take().expect("stdout was asked for"));
        let err = Heard::new(child.stderr.take().expect("stderr was asked for"));
        Conversation { child, stdin, out, err, patience: self.patience }
    }
}

impl Conversation {
    /// Writes to its stdin.
    pub async fn say(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin was not closed");
        // A program that has ended does not listen, which its output will show.
        let _ = within("a foreign program to listen", stdin.write_all(bytes)).await;
    }

    /// Waits until `text` stands in its stdout.
    pub async fn hear(&mut self, text: &str) {
        let what = format!("{text:?} from a foreign program");
        let heard = tokio::time::timeout(self.patience, self.out.comes(text)).await;
        let heard = heard.unwrap_or_else(|_| panic!("{what}: not within {:?}", self.patience));
        let (out, err) = (self.out.bytes(), self.err.bytes());
        let said = [String::from_utf8_lossy(&out), String::from_utf8_lossy(&err)];
        assert!(heard, "ended without {what}: {said:?}");
    }

    /// Waits until `text` stands in its stdout, or until it has ended by itself; says which.
    pub async fn hears_before_its_end(&mut self, text: &str) -> bool {
        within("a word or the end of a foreign program", self.out.comes(text)).await
    }

    /// Waits until `text` stands in its stderr.
    pub async fn hear_aside(&mut self, text: &str) {
        self.err.contains(text).await;
    }

    /// Its stdout so far.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.out.bytes()).into_owned()
    }

    /// Closes its stdin and waits for its end.
    pub async fn finish(mut self) -> Output {
        drop(self.stdin.take());
        let end = tokio::time::timeout(self.patience, self.child.wait()).await;
        let status = end.expect("a foreign program ends in its time");
        let status = status.expect("the child is ours");
        Output { status, out: self.out.whole().await, err: self.err.whole().await }
    }
}

impl Output {
    /// Its stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Its stdout and stderr as text.
    pub fn everything(&self) -> String {
        self.text() + &String::from_utf8_lossy(&self.err)
    }

    /// Its stdout, if it ended well; a failed test otherwise.
    pub fn expect_success(&self) -> String {
        assert!(self.status.success(), "{}: {}", self.status, self.everything());
        self.text()
    }
}

/// Output of a program while it comes.
#[derive(Debug)]
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: watch::Receiver<bool>,
}

impl Heard {
    fn new(mut from: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (news, ended) = watch::channel(false);
        let kept = Arc::clone(&bytes);
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..count]);
                drop(kept);
                news.send_replace(false);
            }
            news.send_replace(true);
        });
        Self { bytes, ended }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn contains(&mut self, text: &str) {
        let what = format!("{text:?} from a foreign program");
        let heard = within(&what, self.comes(text)).await;
        assert!(heard, "ended without {text:?}: {}", String::from_utf8_lossy(&self.bytes()));
    }

    /// Whether `text` stands there before the end.
    async fn comes(&mut self, text: &str) -> bool {
        loop {
            let ended = *self.ended.borrow_and_update();
            if String::from_utf8_lossy(&self.bytes()).contains(text) {
                return true;
            }
            if ended {
                return false;
            }
            // An error means that the reading task is gone, and the flag is set.
            let _ = self.ended.changed().await;
        }
    }

    async fn whole(mut self) -> Vec<u8> {
        let _ =
            within("the last words of a foreign program", self.ended.wait_for(|end| *end)).await;
        self.bytes()
    }
}
