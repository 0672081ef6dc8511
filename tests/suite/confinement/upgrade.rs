//! That an upgrade gets around nothing: the process cannot start a program, and its successor is as
//! confined as it was.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, command, echo, tls};
use serde_json::Value;

use super::{NAME, Status, is_root};

/// The successor; nobody else ends it.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-KILL").arg(self.0.to_string()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_starts_as_root_and_is_as_confined_as_who_asked_for_it() {
    if !is_root("a_successor_starts_as_root_and_is_as_confined_as_who_asked_for_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(65532), Some(65532)).unwrap();
    let script = "chown -R 65532:65532 \"$(dirname \"$3\")\" && exec \"$0\" \"$@\"";
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.user", "\"65532:65532\"")
        .set("server.sandbox", "\"require\"")
        .set("admin.listen", &format!("\"unix:{}/admin.sock\"", folder.path().display()))
        .under(&["env", "PORTUNUS_UPGRADE_WATCH_MS=700", "sh", "-c", script])
        .start()
        .await;
    let mut order = command();
    order.args(["upgrade", "--json", "--config"]).arg(proxy.folder().join("config.toml"));
    let output = tokio::task::spawn_blocking(move || order.output().unwrap()).await.unwrap();
    let said = format!("{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let pid = told["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect(&said);
    let successor = Successor(pid);
    // What they say goes to one pipe, so there are no last words to wait for.
    let ended = eventually("who came before leaves", async || proxy.process().exited()).await;
    assert_eq!(ended.code(), Some(0), "{said}");
    for thread in Status::of_threads(successor.0) {
        assert_eq!(thread.line("Uid"), ["65532"; 4], "{}", thread.0);
        assert_eq!(thread.line("Seccomp"), ["2"], "{}", thread.0);
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(thread.line(set), ["0000000000000400"], "{set}: {}", thread.0);
        }
    }
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert!(program.ends_with("portunus-under-test"), "{}", program.display());
}
