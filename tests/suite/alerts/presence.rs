//! A process that is gone, comes and goes, or does not get on.

use portunus_tests::wait::eventually;
use portunus_tests::{Builder, Client, Proxy, echo, own_address, tls};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{FASTER, NAME, Watch, amid, watch};

fn builder() -> Builder {
    Proxy::builder().listener(tls(NAME)).backend(echo())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stalls_is_told_of_and_so_is_its_end() {
    let proxy = builder()
        .set("server.watchdog", "\"5s\"")
        .under(&["env", "PORTUNUS_FAULTS=1"])
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let stuck = Client::new(proxy.first_address(), "block.fault.invalid");
    let stuck = tokio::spawn(async move { drop(stuck.try_connect().await) });
    watch.fires("PortunusWorkerStalled").await;
    // The watchdog ends it.
    let down = watch.fires("PortunusDown").await;
    assert_eq!(down.labels["severity"], "page");
    watch.fires("PortunusAbsent").await;
    assert!(eventually("its end", async || proxy.process().exited()).await.code().is_none());
    stuck.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_never_was_one_none_is_down_but_all_are_absent() {
    let Some(watch) = Watch::of(own_address(), FASTER).await else { return };
    watch.fires("PortunusAbsent").await;
    assert!(!watch.firing().await.contains("PortunusDown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_again_and_again_is_told_of() {
    let admin = own_address();
    let mut proxy = builder().set("admin.listen", &format!("\"{admin}\"")).start().await;
    // Slower, since a start takes as long as it takes.
    let Some(watch) = Watch::of(admin, FASTER / 4).await else { return };
    watch.is_calm().await;
    for restarts in 1..=3 {
        proxy = proxy.restart().await;
        let seen = format!("changes(process_start_time_seconds[5m]) >= {restarts}");
        watch.server.query_until(&seen).await;
    }
    watch.fires("PortunusRestarting").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_told_of() {
    let proxy = builder().under(&["env", "PORTUNUS_FAULTS=1"]).start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    proxy.client("panic.fault.invalid").try_connect().await.unwrap_err();
    watch.fires("PortunusPanicked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_without_end_is_told_of() {
    let proxy = builder().set("server.drain_timeout", "\"10m\"").start().await;
    let Some(watch) = watch(&proxy).await else { return };
    let _stays = proxy.client(NAME).connect().await;
    watch.is_calm().await;
    proxy.process().signal("TERM");
    watch.fires("PortunusNotRunning").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_log_that_are_lost_are_told_of() {
    let (address, admin) = (own_address(), own_address());
    let (_folder, process) = Proxy::builder()
        .listener(tls(NAME).at(&[&address.to_string()]))
        .backend(echo())
        .set("admin.listen", &format!("\"{admin}\""))
        .under(&["sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"])
        .spawn();
    let client = Client::new(address, NAME);
    eventually("service", async || client.try_connect().await.ok()).await;
    let Some(watch) = Watch::of(admin, FASTER).await else { return };
    let call = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
    };
    amid(call, watch.fires("PortunusLogLost")).await;
    assert_eq!(process.exited(), None);
}
