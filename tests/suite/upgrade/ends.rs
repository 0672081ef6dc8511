//! The end of the service while an upgrade goes on: it is the end of both processes, in order, and
//! nobody who is connected to either is cut off.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Proxy, Tls, echo, tls};

use super::{NAME, Upgraded, install_script};

/// Longer than any of these tests.
const WATCH: Duration = Duration::from_secs(600);

/// A new process that is watched, with a client of each process.
struct Both {
    upgraded: Upgraded,
    heir: u32,
    clients: Vec<Tls>,
}

impl Both {
    async fn start() -> Self {
        let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
        let upgraded = Upgraded::watching_for(WATCH, builder).await;
        let old = upgraded.proxy.client(NAME).connect().await;
        let heir = tokio::select! {
            heir = upgraded.heir() => heir,
            told = upgraded.upgrade() => panic!("{told:?}"),
        };
        let new = upgraded.proxy.client(NAME).connect().await;
        let mut both = Self { upgraded, heir, clients: vec![old, new] };
        both.converse().await;
        both
    }

    async fn converse(&mut self) {
        for client in &mut self.clients {
            client.send(b"hello").await;
            client.expect(b"hello").await;
        }
    }

    /// Waits until both leave, and fails unless they do so in order.
    async fn expect_an_end_in_order(mut self) {
        let proxy = &self.upgraded.proxy;
        proxy.wait_for_log("the end was asked for meanwhile: both processes leave", &[]).await;
        // Both write to one pipe.
        let drains = async || {
            let lines = proxy.process().lines();
            let drain = "draining: listeners are closed";
            (lines.iter().filter(|line| line.says(drain, &[])).count() == 2).then_some(())
        };
        eventually("both to drain", drains).await;
        self.converse().await;
        assert!(is_alive(self.heir) && self.upgraded.proxy.process().exited().is_none());
        for client in &mut self.clients {
            client.close_notify().await;
        }
        let process = self.upgraded.proxy.process();
        let status = within("the end of the first process", process.exit()).await;
        assert_eq!(status.code(), Some(0));
        assert!(!is_alive(self.heir), "it waited for the other one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_the_process_before_while_it_watches_ends_both_in_order() {
    let both = Both::start().await;
    both.upgraded.proxy.process().signal("TERM");
    both.expect_an_end_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_the_new_process_while_it_is_watched_ends_both_in_order() {
    let both = Both::start().await;
    signal("TERM", both.heir);
    both.expect_an_end_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_drain_ends_both_in_order() {
    let both = Both::start().await;
    let (code, _, said) = both.upgraded.order(&["drain"]).await;
    assert_eq!(code, Some(0), "{said}");
    both.expect_an_end_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_both_at_once_forces_neither() {
    for _ in 0..3 {
        let both = Both::start().await;
        let ids = [both.heir.to_string(), both.upgraded.proxy.process().id().to_string()];
        let asked = Command::new("kill").arg("-TERM").args(ids).status().unwrap();
        assert!(asked.success());
        both.expect_an_end_in_order().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_both_at_once() {
    let both = Both::start().await;
    let proxy = &both.upgraded.proxy;
    proxy.process().signal("TERM");
    proxy.wait_for_log("the end was asked for meanwhile: both processes leave", &[]).await;
    proxy.process().signal("TERM");
    assert_eq!(within("the end", proxy.process().exit()).await.code(), Some(1));
    assert!(!is_alive(both.heir));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_the_process_before_the_new_one_serves_ends_it_as_ever() {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::watching_for(WATCH, builder).await;
    let mut client = upgraded.proxy.client(NAME).connect().await;
    install_script("exec sleep 600", &upgraded.binary);
    let order = upgraded.upgrade();
    let end = async {
        let started = "upgrade: a new process was started";
        let heir = upgraded.proxy.wait_for_log(started, &[]).await.field("pid").parse().unwrap();
        upgraded.proxy.process().signal("TERM");
        client.send(b"hello").await;
        client.expect(b"hello").await;
        client.close_notify().await;
        heir
    };
    let ((code, _, said), heir) = tokio::join!(order, end);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("told to end meanwhile"), "{said}");
    let process = upgraded.proxy.process();
    assert_eq!(within("the end", process.exit()).await.code(), Some(0));
    assert!(!is_alive(heir));
}

fn signal(name: &str, process: u32) {
    let asked = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(asked.unwrap().success());
}

fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}
