//! What is asked for while an upgrade goes on: it is answered at once, and nothing changes what is
//! served until one process is left.

use std::process::Command;
use std::time::Duration;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Proxy, echo, tls, write};

use super::{NAME, Upgraded, install_script};

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
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::watching_for(Duration::from_secs(4), builder).await;
    let proxy = &upgraded.proxy;
    let change = async {
        upgraded.heir().await;
        let config = proxy.folder().join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        write(&config, &text.replace("[server]", "[server]\nmax_connections = 4321"));
        let (code, _, said) = within("reload", upgraded.order(&["reload"])).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("an upgrade is under way"), "{said}");
        let (code, _, said) = within("upgrade", upgraded.order(&["upgrade"])).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("try again in some seconds"), "{said}");
        // Of a look at the file nobody is told, and the signal asks for one as well.
        proxy.process().signal("HUP");
        assert_eq!(proxy.metric("portunus_config_generation", &[]).await, 1.0);
    };
    let ((code, told, said), ()) = tokio::join!(upgraded.upgrade(), change);
    assert_eq!((code, told["result"].as_str()), (Some(0), Some("upgraded")), "{said}");
    proxy.wait_for_metric("portunus_config_generation", &[], |number| number == 2.0).await;
    assert_eq!(proxy.metric("portunus_connections_limit", &[]).await, 4321.0);
    assert_eq!(proxy.metric("portunus_upgrades_total", &[("result", "done")]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_succeeds_where_the_process_before_runs_out_of_descriptors_meanwhile() {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let upgraded = Upgraded::watching_for(Duration::from_secs(2), builder).await;
    let starve = async {
        let heir = upgraded.heir().await;
        let pid = format!("--pid={}", upgraded.proxy.process().id());
        let starved = Command::new("prlimit").args([&pid, "--nofile=3:3"]).status().unwrap();
        assert!(starved.success());
        heir
    };
    let ((code, told, said), heir) = tokio::join!(upgraded.upgrade(), starve);
    assert_eq!((code, told["pid"].as_u64()), (Some(0), Some(u64::from(heir))), "{said}");
    upgraded.proxy.client(NAME).visit().await;
    let ended = eventually("who came before leaves", async || upgraded.proxy.process().exited());
    assert_eq!(ended.await.code(), Some(0));
}
