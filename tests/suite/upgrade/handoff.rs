//! One process follows another: who connects notices nothing, and a bad one changes nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portunus_tests::wait::eventually;
use portunus_tests::{Detour, Proxy, Visitors, command, echo, tls, write};

use super::{NAME, Upgraded, install, install_script, within_the_watch};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_over_ten_upgrades_and_old_connections_go_on() {
    let proxy = Upgraded::start(Proxy::builder().listener(tls(NAME)).backend(echo())).await;
    let client = proxy.proxy.client(NAME);
    let mut old = client.connect().await;
    let visitors = Visitors::start(2, &client);
    let mut pids = vec![u64::from(proxy.proxy.process().id())];
    for _ in 0..10 {
        let pid = proxy.upgrade_well().await;
        assert!(!pids.contains(&pid), "{pids:?}");
        pids.push(pid);
        if pids.len() == 4 {
            // The process of before serves its own connections to their end.
            old.send(b"hello").await;
            old.expect(b"hello").await;
            old.close_notify().await;
        }
    }
    assert!(visitors.leave().await > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_tickets_resume_across_an_upgrade() {
    for mode in ["stateful", "tickets"] {
        let builder = Proxy::builder()
            .listener(tls(NAME).with("resumption", &format!("{mode:?}")))
            .backend(echo());
        let proxy = Upgraded::start(builder).await;
        let clients = [proxy.proxy.client(NAME), proxy.proxy.client(NAME).tls12()];
        for client in &clients {
            client.visit().await;
        }
        proxy.upgrade_well().await;
        for client in &clients {
            let mut tls = client.connect().await;
            assert!(tls.resumed(), "{mode}");
            tls.send(b"hello").await;
            tls.expect(b"hello").await;
        }
    }
}

/// Who was let in by the process before, and gets there when that one serves no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_comes_late_resumes_while_the_new_process_is_watched() {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::watching_for(Duration::from_secs(60), builder).await;
    let proxy = &upgraded.proxy;
    let detour = Detour::to(proxy.first_address()).await;
    detour.takes(Duration::from_millis(1500));
    let client = proxy.client(NAME);
    let slow = client.clone().at(detour.address());
    let late = tokio::spawn(async move {
        let mut tls = slow.connect().await;
        tls.ticket().await;
    });
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 1.0).await;
    let resume = async {
        upgraded.heir().await;
        late.await.unwrap();
        // Once only: whoever tries again has a session of the new process.
        client.connect().await.resumed()
    };
    tokio::select! {
        (_, _, said) = upgraded.upgrade() => panic!("the watch ended before the test: {said}"),
        resumed = resume => assert!(resumed),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_binary_that_does_not_start_changes_nothing_and_is_told_of() {
    let proxy = Upgraded::start(Proxy::builder().listener(tls(NAME)).backend(echo())).await;
    let client = proxy.proxy.client(NAME);
    install_script("exit 3", &proxy.binary);
    let (code, _, said) = proxy.upgrade().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("exit status: 3"), "{said}");
    client.visit().await;

    std::fs::remove_file(&proxy.binary).unwrap();
    let (code, _, said) = proxy.upgrade().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("No such file"), "{said}");
    client.visit().await;

    // And then a good one.
    install(Path::new(command().get_program()), &proxy.binary);
    proxy.upgrade_well().await;
    client.visit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_changes_nothing_and_its_errors_are_the_answer() {
    let proxy = Upgraded::start(Proxy::builder().listener(tls(NAME)).backend(echo())).await;
    let client = proxy.proxy.client(NAME);
    let config = proxy.proxy.folder().join("config.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    write(&config, &good.replace("[server]", "[server]\nwrokers = 1"));
    let (code, _, said) = proxy.upgrade().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("wrokers"), "{said}");
    client.visit().await;
    assert_eq!(proxy.proxy.admin("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_dies_while_it_is_watched_is_followed_by_the_old_one() {
    within_the_watch(Duration::from_millis(700), dies).await;
}

async fn dies(watch: Duration) -> Result<(), String> {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let proxy = Upgraded::watching_for(watch, builder).await;
    let client = proxy.proxy.client(NAME);
    let order = proxy.upgrade();
    let kill = async {
        let serves = "upgrade: the new process serves";
        proxy.proxy.wait_for_log(serves, &[]).await;
        let started = "upgrade: a new process was started";
        let pid = proxy.proxy.wait_for_log(started, &[]).await.field("pid");
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    };
    let ((code, _, said), ()) = tokio::join!(order, kill);
    if code != Some(1) {
        return Err(said);
    }
    assert!(said.contains("this one serves again"), "{said}");
    client.visit().await;
    proxy.upgrade_well().await;
    client.visit().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_unix_socket_survives_and_goes_with_the_last_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let builder = Proxy::builder().listener(tls(NAME).at(&[&listen])).backend(echo());
    let proxy = Upgraded::start(builder).await;
    let mut pid = 0;
    for _ in 0..2 {
        pid = proxy.upgrade_well().await;
        assert!(path.exists());
        tokio::net::UnixStream::connect(&path).await.unwrap();
    }
    let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert!(asked.success());
    eventually("the file to be gone", async || (!path.exists()).then_some(())).await;
}
