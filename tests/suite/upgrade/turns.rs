//! What is asked for while an upgrade goes on: it is answered at once, and nothing changes what is
//! served until one process is left.

use std::process::Command;
use std::time::Duration;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Proxy, echo, tls, write};

use super::{NAME, Upgraded, install_script, within_the_watch};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_while_a_new_process_is_prepared_is_answered_at_once() {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::start(builder).await;
    install_script("exec sleep 600", &upgraded.binary);
    let ask = async {
        upgraded.proxy.wait_for_log("upgrade: a new process was started", &[]).await;
        for order in ["reload", "upgrade"] {
            let (code, _, said) = within(order, upgraded.order(&[order])).await;
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("an upgrade is under way"), "{said}");
        }
        upgraded.proxy.client(NAME).visit().await;
        let (code, _, said) = within("drain", upgraded.order(&["drain"])).await;
        assert_eq!(code, Some(0), "{said}");
    };
    let ((code, _, said), ()) = tokio::join!(upgraded.upgrade(), ask);
    assert_eq!(code, Some(1), "{said}");
    let end = within("the end", upgraded.proxy.process().exit()).await;
    assert_eq!(end.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_changes_while_a_new_process_is_watched_is_served_when_it_is_believed()
{
    within_the_watch(Duration::from_secs(4), changes).await;
}

async fn changes(watch: Duration) -> Result<(), String> {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::watching_for(watch, builder).await;
    let proxy = &upgraded.proxy;
    let change = async {
        upgraded.heir().await;
        let config = proxy.folder().join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        write(&config, &text.replace("[server]", "[server]\nmax_connections = 4321"));
        let words = ["an upgrade is under way", "try again in some seconds"];
        for (order, words) in ["reload", "upgrade"].into_iter().zip(words) {
            let (code, _, said) = within(order, upgraded.order(&[order])).await;
            if code != Some(1) || !said.contains(words) {
                return Err(format!("{order}: {code:?} {said}"));
            }
        }
        // Of a look at the file nobody is told, and the signal asks for one as well.
        proxy.process().signal("HUP");
        let generation = proxy.metric("portunus_config_generation", &[]).await;
        (generation == 1.0).then_some(()).ok_or_else(|| format!("generation {generation}"))
    };
    let ((code, told, said), changed) = tokio::join!(upgraded.upgrade(), change);
    changed?;
    assert_eq!((code, told["result"].as_str()), (Some(0), Some("upgraded")), "{said}");
    proxy.wait_for_metric("portunus_config_generation", &[], |number| number == 2.0).await;
    assert_eq!(proxy.metric("portunus_connections_limit", &[]).await, 4321.0);
    assert_eq!(proxy.metric("portunus_upgrades_total", &[("result", "done")]).await, 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_succeeds_where_the_process_before_runs_out_of_descriptors_meanwhile() {
    within_the_watch(Duration::from_secs(2), starves).await;
}

async fn starves(watch: Duration) -> Result<(), String> {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::watching_for(watch, builder).await;
    let starve = async {
        let heir = upgraded.heir().await;
        let pid = format!("--pid={}", upgraded.proxy.process().id());
        let starved = Command::new("prlimit").args([&pid, "--nofile=3:3"]).status().unwrap();
        (heir, starved)
    };
    let ((code, told, said), (heir, starved)) = tokio::join!(upgraded.upgrade(), starve);
    if !starved.success() {
        return Err(format!("prlimit: {starved}"));
    }
    assert_eq!((code, told["pid"].as_u64()), (Some(0), Some(u64::from(heir))), "{said}");
    upgraded.proxy.client(NAME).visit().await;
    let ended = eventually("who came before leaves", async || upgraded.proxy.process().exited());
    assert_eq!(ended.await.code(), Some(0));
    Ok(())
}
