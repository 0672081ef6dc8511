//! What others can learn of the process's secrets.

use std::os::unix::process::ExitStatusExt as _;
use std::{fs, process};

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, echo, tls};

use super::{NAME, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core() {
    for sandbox in ["\"auto\"", "\"off\""] {
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .backend(echo())
            .set("server.sandbox", sandbox)
            .under(&["sh", "-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""])
            .start()
            .await;
        proxy.process().signal("ABRT");
        let status = proxy.process().exit().await;
        assert_eq!(status.signal(), Some(6), "{status}");
        assert!(!status.core_dumped(), "{status}, sandbox {sandbox}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_the_same_user_cannot_read_its_memory() {
    if !is_root("a_process_of_the_same_user_cannot_read_its_memory") {
        return;
    }
    let words = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all"];
    let read = |id: u32, file: &str| {
        let mut read = process::Command::new("setpriv");
        let path = format!("/proc/{id}/{file}");
        let status = read.args(words).args(["head", "-c", "1", &path]).output().unwrap().status;
        status.success()
    };
    let start = async |sandbox: &str| {
        let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
        builder.set("server.sandbox", sandbox).unprivileged().start().await
    };
    let mut other = process::Command::new("setpriv");
    let mut other = other.args(words).args(["sleep", "60"]).spawn().unwrap();
    eventually("the other process is of that user", async || {
        read(other.id(), "environ").then_some(())
    })
    .await;
    other.kill().unwrap();
    other.wait().unwrap();
    for sandbox in ["\"off\"", "\"auto\""] {
        let closed = start(sandbox).await;
        for file in ["environ", "maps", "mem", "auxv"] {
            assert!(!read(closed.process().id(), file), "{file}, sandbox {sandbox}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_cannot_have_session_keys_written() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.log");
    fs::write(&keys, "").unwrap();
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.sandbox", "\"off\"")
        .under(&["env", &format!("SSLKEYLOGFILE={}", keys.display())])
        .start()
        .await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    assert_eq!(fs::read_to_string(&keys).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_the_process_makes_are_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;

    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("log.access", "\"access.log\"")
        .under(&["sh", "-c", "umask 000; exec \"$0\" \"$@\""])
        .start()
        .await;
    let mode = fs::metadata(proxy.folder().join("access.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o027, 0, "{mode:o}");
}
