//! Who asks for a reload, how often there is one, and what is told.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use portunus_tests::wait::eventually;
use portunus_tests::{Line, Proxy, command, echo, tls};

use super::{NAME, SEALING_KEY, add, builder, edit, generation, reload, texts};

const MORE: &str = "[backend.more]\nendpoints = ['127.0.0.1:1']\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_one_step_from_one_generation_to_the_next() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    add(&proxy, MORE);
    let told = reload(&proxy).await;
    assert_eq!((&told["result"], &told["generation"]), (&"changed".into(), &2.into()));
    assert!(texts(&told["changes"]).iter().any(|change| change.contains("more")), "{told}");
    let fields = [("from", "1"), ("to", "2"), ("result", "changed")];
    proxy.wait_for_log("configuration read", &fields).await;
    assert_eq!(generation(&proxy).await, 2.0);
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    assert_eq!(generation(&proxy).await, 2.0);
    let last = "portunus_config_last_reload_success_timestamp_seconds";
    assert!(proxy.metric(last, &[]).await > 1.6e9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_tells_what_would_change_and_changes_nothing() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    add(&proxy, MORE);
    add(&proxy, "[listener.low]\nlisten = ['127.0.0.1:1']\nmode = 'tcp'\nbackend = 'more'\n");
    edit(&proxy, &[("workers = 2", "workers = 3")]);
    let (status, told) = proxy.order("/reload?dry=true").await;
    assert_eq!((status, &told["result"]), (200, &"changed".into()), "{told}");
    assert!(texts(&told["changes"]).iter().any(|change| change.contains("more")), "{told}");
    assert_eq!(texts(&told["warnings"]), ["server.workers takes effect with an upgrade"]);
    assert_eq!(texts(&told["unchecked"]), ["whether 127.0.0.1:1 can be had, for listener `low`"]);
    assert_eq!(generation(&proxy).await, 1.0);
    assert!(!proxy.admin("/metrics").await.text().contains("\"more\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_rehearsed_makes_no_store() {
    let proxy = builder().listener(tls(NAME)).backend(echo());
    let proxy = proxy.set("server.sandbox", "\"off\"").start().await;
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    let store = proxy.folder().join("sessions");
    fs::write(proxy.folder().join("seal"), SEALING_KEY).unwrap();
    let shared = format!(
        "[resumption.shared]\nurl = 'file:{}'\nsealing_key = 'file:seal'\n",
        store.display()
    );
    add(&proxy, &shared);
    let (status, told) = proxy.order("/reload?dry=true").await;
    assert_eq!((status, &told["result"]), (200, &"changed".into()), "{told}");
    assert!(!store.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_reloads_and_says_what_changed() {
    let proxy = builder().listener(tls(NAME)).backend(echo());
    let proxy = proxy.set("admin.listen", "\"unix:admin.sock\"").start().await;
    let config = proxy.folder().join("config.toml");
    let run = |arguments: &[&str]| command().args(arguments).arg("--config").arg(&config).output();
    add(&proxy, MORE);
    let output = run(&["reload"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    edit(&proxy, &[("endpoints = ['127.0.0.1:1']", "endpoints = ['127.0.0.1:2']")]);
    let output = run(&["check", "--diff"]).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("more"), "{said}");
    // Under another name it is the same file, and a copy is not.
    std::os::unix::fs::symlink(&config, proxy.folder().join("link.toml")).unwrap();
    fs::copy(&config, proxy.folder().join("new.toml")).unwrap();
    for (name, code) in [("link.toml", 0), ("new.toml", 1)] {
        let file = proxy.folder().join(name);
        let output = command().args(["check", "--diff", "--config"]).arg(file).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(said.contains("reads `"), code == 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_found_and_asked_whatever_has_become_of_its_file() {
    let proxy = builder().listener(tls(NAME)).backend(echo());
    let proxy = proxy.set("admin.listen", "\"unix:admin.sock\"").start().await;
    let run = |arguments: &[&str]| {
        let config = proxy.folder().join("config.toml");
        command().args(arguments).arg("--config").arg(config).output().unwrap()
    };
    let wrong = [("workers = 2", "wokers = 2"), ("wokers = 2", "workers = \"")];
    for (right, wrong) in wrong {
        edit(&proxy, &[(right, wrong)]);
        let health = run(&["status", "--ready"]);
        assert_eq!(health.status.code(), Some(0), "{wrong}: {health:?}");
        for order in [&["reload"][..], &["check", "--diff"]] {
            let output = run(order);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{order:?}: {said}");
            assert!(said.contains("config.toml:"), "the process tells what is wrong: {said}");
        }
    }
    fs::remove_file(proxy.folder().join("config.toml")).unwrap();
    let output = run(&["drain"]);
    assert_eq!(output.status.code(), Some(64), "nobody's address is guessed: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_takes_effect_by_itself() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    add(&proxy, MORE);
    proxy.wait_for_metric("portunus_config_generation", &[], |number| number == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_hang_ups_is_one_reading_a_second() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let batch = format!("kill -HUP {0};", proxy.process().id()).repeat(20);
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    let begin = Instant::now();
    for round in 0..150 {
        clock.tick().await;
        if round % 50 == 0 {
            add(&proxy, &format!("[backend.more{round}]\nendpoints = ['127.0.0.1:1']\n"));
        }
        assert!(Command::new("sh").args(["-c", &batch]).status().unwrap().success());
    }
    eventually("the last state", async || {
        proxy.admin("/metrics").await.text().contains("\"more100\"").then_some(())
    })
    .await;
    let readings = readings(&proxy);
    // From the begin of one to that of the next; what the log shows is their ends.
    let most = begin.elapsed().as_secs_f64() + 2.0;
    assert!(readings.len() as f64 <= most, "{readings:?}");
    let apart = Line::gaps(&readings).iter().filter(|gap| **gap > 0.5).count();
    assert!(apart >= readings.len().saturating_sub(1) / 2, "{readings:?}");
    proxy.client(NAME).connect().await;
}

fn readings(proxy: &Proxy) -> Vec<Line> {
    let lines = proxy.process().lines();
    lines.into_iter().filter(|line| line.says("configuration read", &[])).collect()
}
