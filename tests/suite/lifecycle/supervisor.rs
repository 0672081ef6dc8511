//! What the supervisor is told: the words of sd_notify(3), each when it is true.

use std::path::Path;
use std::time::Duration;

use portunus_tests::wait::{best_of, within};
use portunus_tests::{Builder, Client, Proxy, echo, tls};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram};
use tokio::time::Instant;

use super::{becomes_unavailable, counts};

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_said_when_everything_is_served_and_stopping_when_it_ends() {
    let ear = Ear::new();
    let proxy = service(&ear, &[]).set("server.drain_delay", "\"7s\"").start().await;
    assert!(ear.hears("READY=1").await.contains("\nSTATUS="));
    TcpStream::connect(proxy.first_address()).await.unwrap();
    proxy.process().signal("TERM");
    // The delay, the drain timeout and some seconds more.
    let stopping = ear.hears("STOPPING=1").await;
    assert!(stopping.contains("\nEXTEND_TIMEOUT_USEC=32000000\n"), "{stopping}");
    proxy.process().signal("TERM");
    proxy.exit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_not_said_of_a_start_that_fails() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let ear = Ear::new();
    let (_folder, process) =
        service(&ear, &[]).listener(tls("b.example").named("b").at(&[&taken])).spawn();
    assert!(!process.exit().await.success());
    ear.heard_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_of_the_supervisor_hears_twice_in_its_time_that_all_is_well() {
    let ear = Ear::new();
    let proxy = service(&ear, &["WATCHDOG_USEC=1000000"]).start().await;
    let mut heard = Vec::new();
    for _ in 0..6 {
        ear.hears("WATCHDOG=1").await;
        heard.push(Instant::now());
    }
    let gaps: Vec<_> = heard.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A busy machine may hear one late.
    let in_time = gaps.iter().filter(|gap| **gap < Duration::from_secs(1)).count();
    assert!(in_time >= 3, "{gaps:?}");
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_of_the_supervisor_hears_nothing_while_a_worker_has_stalled() {
    best_of(3, async || {
        let ear = Ear::new();
        let proxy = service(&ear, &["WATCHDOG_USEC=1000000", "PORTUNUS_FAULTS=1"])
            .set("server.watchdog", "\"5s\"")
            .start()
            .await;
        ear.hears("WATCHDOG=1").await;
        let fault = Client::new(proxy.first_address(), "block.fault.invalid");
        let asked = tokio::spawn(async move { fault.try_connect().await.err() });
        let mut seen = becomes_unavailable(&proxy, "/livez").await;
        ear.forget();
        if seen.is_ok() {
            seen = counts(&proxy, "portunus_workers_stalled 1").await;
        }
        let exit = proxy.exit().await;
        ear.heard_nothing();
        assert_eq!(exit.code, None, "{:?}", exit.log);
        asked.await.unwrap();
        seen
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_main_process_is_told_when_it_is_nobodys_child_and_speaks_for_itself_only_then() {
    let ear = Ear::new();
    let proxy = service(&ear, &["PORTUNUS_UPGRADE_WATCH_MS=700"]).taking_orders().start().await;
    ear.hears("READY=1").await;
    for _ in 0..2 {
        let order = proxy.order("/upgrade");
        let hear = async {
            let heir = ear.hears_next().await;
            let pid = heir.strip_prefix("WATCHDOG=1\nMAINPID=").expect(&heir).to_owned();
            let parent = parent_of(&pid);
            let words = std::fs::read_to_string(format!("/proc/{parent}/cmdline"));
            assert!(!words.is_ok_and(|words| words.contains("\0launch\0")), "{parent}");
            // The next words are its own.
            assert_eq!(ear.hears_next().await, "WATCHDOG=1");
            assert!(ear.hears_next().await.starts_with("READY=1\n"));
            pid
        };
        let ((status, told), pid) = tokio::join!(order, hear);
        assert_eq!((status, told["pid"].to_string()), (200, pid), "{told}");
    }
    ear.heard_nothing();
}

/// The process that takes care of the end of `pid`.
fn parent_of(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, behind) = stat.rsplit_once(") ").unwrap();
    behind.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_not_there_is_no_trouble() {
    for name in ["/nowhere/notify", "nonsense", ""] {
        let variable = format!("NOTIFY_SOCKET={name}");
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .backend(echo())
            .under(&["env", &variable])
            .start()
            .await;
        proxy.client(NAME).connect().await;
        assert_eq!(proxy.drain().await.code, Some(0), "{name}");
    }
}

fn service(ear: &Ear, variables: &[&str]) -> Builder {
    let name = format!("NOTIFY_SOCKET={}", ear.path().display());
    let command: Vec<&str> = ["env", &name].into_iter().chain(variables.iter().copied()).collect();
    Proxy::builder().listener(tls(NAME)).backend(echo()).under(&command)
}

/// Where a supervisor listens.
struct Ear {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Ear {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("notify")
    }

    /// The next notice that begins with `word`.
    async fn hears(&self, word: &str) -> String {
        let mut bytes = [0; 1024];
        let heard = async {
            loop {
                let count = self.socket.recv(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                if text.starts_with(word) {
                    return text;
                }
            }
        };
        within(word, heard).await
    }

    /// The next notice, whatever it is.
    async fn hears_next(&self) -> String {
        self.hears("").await
    }

    /// What was heard so far does not count.
    fn forget(&self) {
        while self.socket.try_recv(&mut [0; 1024]).is_ok() {}
    }

    fn heard_nothing(&self) {
        let mut bytes = [0; 1024];
        if let Ok(count) = self.socket.try_recv(&mut bytes) {
            panic!("heard {:?}", String::from_utf8_lossy(&bytes[..count]));
        }
    }
}
