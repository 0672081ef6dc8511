//! Files that are not read in the time that there is for that: who asks is told so, and what comes
//! of it afterwards changes nothing.
//!
//! What hangs is a pipe, which whoever opens it waits at until somebody writes; or, for what has to
//! be a file, what `hanging` has.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Builder, Proxy, authority, echo, own_address, tls, write_and_rename};
use serde_json::Value;
use tokio::time::timeout;

use super::hanging::hold;
use super::{NAME, add, builder, edit, generation, refused};

/// Less than anybody waits for files, and enough for anything else.
const SOON: Duration = Duration::from_secs(15);

/// Of open(2).
const O_NONBLOCK: i32 = 0o4000;

const FAR: &str = "[backend.far]\nendpoints = ['127.0.0.1:1']\ntls.ca = 'pipe.pem'\n";
const MORE: &str = "[backend.more]\nendpoints = ['127.0.0.1:1']\n";

/// The proxy waits for files no longer than this.
fn impatient(builder: Builder, patience: Duration) -> Builder {
    let patience = format!("PORTUNUS_FILES_WAIT_MS={}", patience.as_millis());
    builder.listener(tls(NAME)).backend(echo()).under(&["env", &patience])
}

/// Puts a pipe in the place of a file.
fn pipe(proxy: &Proxy, name: &str) -> PathBuf {
    let (place, pipe) = (proxy.folder().join(name), proxy.folder().join("pipe.new"));
    assert!(Command::new("mkfifo").arg("-m").arg("644").arg(&pipe).status().unwrap().success());
    std::fs::rename(pipe, &place).unwrap();
    place
}

/// Lets whoever waits at the pipe read this, and whoever comes later.
async fn pour(pipe: &Path, text: String) {
    let aside = pipe.with_extension("aside");
    std::fs::hard_link(pipe, &aside).unwrap();
    write_and_rename(pipe, &text);
    let write = tokio::task::spawn_blocking(move || std::fs::write(aside, text));
    within("somebody to read", write).await.unwrap().unwrap();
}

async fn refused_as_late(proxy: &Proxy) {
    let why = refused(proxy).await;
    assert!(why.iter().any(|line| line.contains("a file system that hangs")), "{why:?}");
}

/// Has the configuration read, and that once more whenever it took too long: a proxy with so little
/// patience has none for a busy machine either.
async fn reload_in_time(proxy: &Proxy) -> Value {
    eventually("a reload in time", async || {
        let (status, told) = proxy.order("/reload").await;
        let is_late = status == 409 && told["errors"].to_string().contains("cannot be read within");
        assert!(status == 200 || is_late, "{told}");
        (!is_late).then_some(told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_too_late_holds_no_address_and_leaves_no_numbers() {
    let builder = builder().set("server.sandbox", "\"off\"");
    let proxy = impatient(builder, Duration::from_secs(1)).start().await;
    let pipe = pipe(&proxy, "pipe.pem");
    let free = own_address();
    let more = format!("[listener.more]\nlisten = ['{free}']\nmode = 'tcp'\nbackend = 'far'\n");
    add(&proxy, &format!("{FAR}{more}"));
    refused_as_late(&proxy).await;
    // It is still being built.
    drop(TcpListener::bind(free).expect("nobody has the address"));
    // Another one that names the same is built meanwhile, and served.
    edit(&proxy, &[(FAR, &FAR.replace("pipe.pem", "ca.pem")), (&more, "")]);
    std::fs::write(proxy.folder().join("ca.pem"), authority().pem()).unwrap();
    assert_eq!(reload_in_time(&proxy).await["result"], "changed");
    pour(&pipe, authority().pem()).await;
    edit(&proxy, &[(&FAR.replace("pipe.pem", "ca.pem"), "")]);
    assert_eq!(reload_in_time(&proxy).await["result"], "changed");
    eventually("no numbers of what is not served", async || {
        // It may have been tried again by itself, and hang once more.
        let aside = pipe.with_extension("aside");
        if let Ok(mut open) = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(aside) {
            let _ = open.write_all(authority().pem().as_bytes());
        }
        let numbers = proxy.admin("/metrics").await.text();
        (!numbers.contains("\"far\"") && !numbers.contains("\"more\"")).then_some(())
    })
    .await;
    assert_eq!(generation(&proxy).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_could_not_be_read_in_time_is_tried_again_by_itself() {
    let builder = Proxy::builder().taking_orders().set("certificates.poll_interval", "\"1s\"");
    let proxy = impatient(builder, Duration::from_secs(1)).start().await;
    let pipe = pipe(&proxy, "pipe.pem");
    add(&proxy, FAR);
    refused_as_late(&proxy).await;
    write_and_rename(&pipe, &authority().pem());
    proxy.wait_for_metric("portunus_config_generation", &[], |number| number == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_a_file_that_hangs_keep_no_order_from_being_carried_out() {
    let builder = Proxy::builder().taking_orders().set("certificates.poll_interval", "\"1s\"");
    let proxy = impatient(builder, Duration::from_millis(100)).start().await;
    let config = proxy.folder().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let Some(_holder) = hold(&config).await else { return };
    let thread_count =
        || std::fs::read_dir(format!("/proc/{}/task", proxy.process().id())).unwrap().count();
    // Each look takes a thread, until no more are given; some are those that had read at the start.
    let before = thread_count();
    eventually("looks that hang", async || (thread_count() >= before + 4).then_some(())).await;
    write_and_rename(&config, &format!("{text}\n{MORE}"));
    // The next look may have seen it before.
    assert_eq!(reload_in_time(&proxy).await["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_keeps_nobody_from_seeing_a_change() {
    let builder = Proxy::builder().taking_orders().set("certificates.poll_interval", "\"1h\"");
    let proxy = builder.set("certificates.settle", "\"4s\"");
    let proxy = proxy.listener(tls(NAME)).backend(echo()).start().await;
    // A busy machine may not ask until the file has been quiet for long enough.
    for round in [1.0, 2.0, 3.0] {
        add(&proxy, &MORE.replace("more", &format!("more{round}")));
        let mut is_early = true;
        for _ in 0..5 {
            let (status, told) = proxy.order("/reload?dry=true").await;
            assert_eq!(status, 200, "{told}");
            is_early &= told["result"] == "changed" && generation(&proxy).await == round;
        }
        let is_next = |number| number == round + 1.0;
        proxy.wait_for_metric("portunus_config_generation", &[], is_next).await;
        if is_early {
            return;
        }
    }
    panic!("nobody waited for the file to be quiet");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_process_does_not_wait_for_a_configuration_that_is_being_read() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let pipe = pipe(&proxy, "pipe.pem");
    add(&proxy, FAR);
    let before = proxy.process().line_count();
    proxy.process().signal("HUP");
    // Whoever reads is at the other end of the pipe once it can be opened without waiting.
    let _open = eventually("somebody to read", async || {
        OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&pipe).ok()
    })
    .await;
    assert_eq!(proxy.process().line_count(), before, "it is being read");
    let exit = timeout(SOON, proxy.drain()).await.expect("it does not wait for what hangs");
    assert_eq!(exit.code, Some(0), "{:?}", exit.log);
}
