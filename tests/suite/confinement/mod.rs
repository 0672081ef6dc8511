//! What the process gives up once it serves: rank, programs, files, the look into its memory.
//!
//! `rank` is about the user that it becomes, `secrets` about what others can learn, `binary` about
//! what the compiler and the linker do for it, `upgrade` about successors. That a confined process
//! serves is what all the other tests show, since every one of theirs is confined.

mod binary;
mod rank;
mod secrets;
mod upgrade;

use std::fs;
use std::path::Path;

use portunus_tests::{Proxy, command, echo, tls};
use serde_json::{Value, json};

const NAME: &str = "app.example";

/// What proc(5) says of a thread.
struct Status(String);

impl Status {
    /// Of every thread of a process.
    fn of_threads(id: u32) -> Vec<Self> {
        let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
        let status = |path: &Path| fs::read_to_string(path.join("status")).map(Self);
        // A thread may end meanwhile.
        tasks.flatten().filter_map(|task| status(&task.path()).ok()).collect()
    }

    /// The words of a line.
    fn line(&self, name: &str) -> Vec<&str> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("the kernel tells it").split_whitespace().collect()
    }
}

/// Whether root runs the tests; nobody else can start as root and become somebody.
pub(crate) fn is_root(test: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let is_root = fs::metadata("/proc/self").expect("we are a process").uid() == 0;
    if !is_root {
        eprintln!("{test}: skipped, since only root becomes another user");
    }
    is_root
}

/// What the process says of itself.
async fn status(proxy: &Proxy) -> Value {
    serde_json::from_slice(&proxy.admin("/status").await.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_thread_is_confined_and_the_status_says_with_what() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.sandbox", "\"require\"")
        .start()
        .await;
    let threads = Status::of_threads(proxy.process().id());
    assert!(threads.len() >= 2, "workers and the admin listener");
    for thread in &threads {
        assert_eq!(thread.line("NoNewPrivs"), ["1"], "{}", thread.0);
        assert_eq!(thread.line("Seccomp"), ["2"], "{}", thread.0);
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(thread.line(set), ["0000000000000000"], "{set}: {}", thread.0);
        }
        for set in ["CapEff", "CapPrm"] {
            let bits = u64::from_str_radix(thread.line(set)[0], 16).unwrap();
            assert_eq!(bits & !KEPT_BY_ROOT, 0, "{set}: {}", thread.0);
        }
    }
    let status = status(&proxy).await;
    assert_eq!(status["confinement"]["sandbox"], "require");
    assert_eq!(status["confinement"]["missing"], json!([]));
    for measure in ["capabilities", "files", "memory", "new_privileges", "system_calls"] {
        let standing = &status["confinement"]["measures"][measure];
        assert_eq!(standing["standing"], "applied", "{measure}: {status}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.process().id())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    let open = limit("Max open files");
    assert_eq!(open[0], open[1], "it takes what it may have");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_files_and_calls_are_free_and_memory_is_closed_all_the_same() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.sandbox", "\"off\"")
        .start()
        .await;
    for thread in Status::of_threads(proxy.process().id()) {
        assert_eq!(thread.line("Seccomp"), ["0"], "{}", thread.0);
    }
    let status = status(&proxy).await;
    for (measure, expected) in [("files", "off"), ("system_calls", "off"), ("memory", "applied")] {
        let standing = &status["confinement"]["measures"][measure];
        assert_eq!(standing["standing"], expected, "{measure}: {status}");
    }
}

/// CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_NET_BIND_SERVICE.
const KEPT_BY_ROOT: u64 = 1 << 1 | 1 << 3 | 1 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_needs_files_out_of_reach_says_that_an_upgrade_takes_them_in() {
    let admin = tempfile::tempdir().unwrap();
    let listen = format!("\"unix:{}/admin.sock\"", admin.path().display());
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let proxy = builder.set("admin.listen", &listen).start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let name = format!("{NAME}.pem");
    fs::copy(proxy.folder().join("certs.d").join(&name), elsewhere.path().join(&name)).unwrap();
    let file = proxy.folder().join("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("\"certs.d\"", &format!("{:?}", elsewhere.path()));
    fs::write(&file, &text).unwrap();
    let config = portunus::config::Config::load(Some(&file)).unwrap();
    assert_eq!(config.certificates.paths, [elsewhere.path()], "{text}");
    let reload = command().args(["reload", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8(reload.stderr).unwrap();
    assert_eq!(reload.status.code(), Some(1), "{said}");
    let line =
        format!("{} is outside of what can be read since the start", elsewhere.path().display());
    assert!(said.contains(&line) && said.contains("an upgrade takes it in"), "{said}");
    assert!(!said.contains("Permission denied"), "which is why, and helps nobody: {said}");
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
}
