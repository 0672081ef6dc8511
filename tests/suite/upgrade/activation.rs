//! Sockets that a supervisor opened: served as its own, left as they were.

use std::path::Path;
use std::process::Command;

use portunus_tests::wait::eventually;
use portunus_tests::{Client, Process, Proxy, command, echo, own_address, tls, write};
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn every_socket_of_a_name_is_served_whoever_opened_it() {
    if !is_here() {
        return;
    }
    let [one, two] = [(); 2].map(|()| own_address().to_string());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (_folder, process) = Proxy::builder()
        .listener(tls(NAME).at(&["fd:web", "fd:other"]))
        .backend(echo())
        .under(&[
            PROGRAM,
            &format!("--listen={one}"),
            &format!("--listen={two}"),
            &format!("--listen={}", path.display()),
            "--fdname=web:web:other",
        ])
        .spawn();
    // The first who connects has the process started, and is served by it.
    wake(&one).await;
    for address in [&one, &two] {
        let mut client = Client::new(address.parse().unwrap(), NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
    }
    UnixStream::connect(&path).await.unwrap();
    process.signal("TERM");
    assert_eq!(process.exit().await.code(), Some(0));
    assert!(path.exists(), "the file is the supervisor's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_has_asked_for_yet_is_there_after_an_upgrade() {
    if !is_here() {
        return;
    }
    let [one, two] = [(); 2].map(|()| own_address().to_string());
    let folder = tempfile::tempdir().unwrap();
    let admin = format!("\"unix:{}/admin.sock\"", folder.path().display());
    let (folder, process) = Proxy::builder()
        .listener(tls(NAME).at(&["fd:web"]))
        .backend(echo())
        .set("admin.listen", &admin)
        .under(&[
            PROGRAM,
            &format!("--listen={one}"),
            &format!("--listen={two}"),
            "--fdname=web:later",
            "--setenv=PORTUNUS_UPGRADE_WATCH_MS=300",
        ])
        .spawn();
    wake(&one).await;
    process.line("the proxy is ready", |line| line.says("ready", &[]).then_some(())).await;
    let config = folder.path().join("config.toml");
    let mut heirs = Vec::new();
    for _ in 0..2 {
        let said = order(&["upgrade", "--json"], &config).await;
        let told: Value = serde_json::from_str(&said).expect(&said);
        heirs.push(Heir(told["pid"].as_u64().expect(&said)));
    }
    let text = std::fs::read_to_string(&config).unwrap();
    write(&config, &text.replace("\"fd:web\"", "\"fd:web\", \"fd:later\""));
    order(&["reload"], &config).await;
    for address in [&one, &two] {
        let mut client = Client::new(address.parse().unwrap(), NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
    }
}

/// A process that followed another one; nobody else ends it.
struct Heir(u64);

impl Drop for Heir {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-KILL").arg(self.0.to_string()).status();
    }
}

/// Has the running process do what is asked, and says what it said.
async fn order(what: &[&str], config: &Path) -> String {
    let mut order = command();
    order.args(what).arg("--config").arg(config);
    let output = tokio::task::spawn_blocking(move || order.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_gave_is_named_with_a_hint() {
    let (_folder, process) =
        Proxy::builder().listener(tls(NAME).at(&["fd:web"])).backend(echo()).spawn();
    let (code, words) = words(&process).await;
    assert_eq!(code, Some(1), "{words}");
    for word in ["fd:web", "hint: ", "FileDescriptorName="] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_meant_for_another_process_is_not_taken() {
    let (_folder, process) = Proxy::builder()
        .listener(tls(NAME).at(&["fd:web"]))
        .backend(echo())
        .under(&["env", "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web"])
        .spawn();
    let (code, words) = words(&process).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("fd:web"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_not_kept_ends_the_start_in_words() {
    let script = "export LISTEN_PID=$$ LISTEN_FDS=200; exec \"$0\" \"$@\"";
    let (_folder, process) =
        Proxy::builder().listener(tls(NAME)).backend(echo()).under(&["sh", "-c", script]).spawn();
    let (code, words) = words(&process).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("`LISTEN_FDS` promises the descriptor"), "{words}");
}

async fn words(process: &Process) -> (Option<i32>, String) {
    let code = process.exit().await.code();
    (code, process.text().join("\n"))
}

async fn wake(address: &str) {
    eventually("the supervisor to listen", async || TcpStream::connect(address).await.ok()).await;
}

fn is_here() -> bool {
    let is_here = Path::new(PROGRAM).exists();
    let is_required = std::env::var_os("PORTUNUS_TEST_FOREIGN").is_some_and(|it| it == "require");
    assert!(is_here || !is_required, "{PROGRAM} is not on this machine");
    is_here
}

const PROGRAM: &str = "/usr/bin/systemd-socket-activate";
