//! The store of sessions that processes share, as it comes, goes and comes back.

use std::fs;

use portunus_tests::{Proxy, Wallet, echo, tls};

use super::{NAME, SEALING_KEY, add, builder, edit, refused, reload};

/// A proxy that may open a store wherever its folder is, and what names one.
async fn start() -> (Proxy, String) {
    let proxy = builder().listener(tls(NAME)).backend(echo());
    let proxy = proxy.set("server.sandbox", "\"off\"").start().await;
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    fs::write(proxy.folder().join("seal"), SEALING_KEY).unwrap();
    let store = proxy.folder().join("sessions");
    let shared = format!(
        "[resumption.shared]\nurl = 'file:{}'\nsealing_key = 'file:seal'\n",
        store.display()
    );
    (proxy, shared)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_comes_back_while_a_connection_of_its_first_time_lives() {
    let (proxy, shared) = start().await;
    add(&proxy, &shared);
    assert_eq!(reload(&proxy).await["result"], "changed");
    // It holds what it was served by, and that the store.
    let mut tunnel = proxy.client(NAME).connect().await;
    for url in ["sessions", "others", "sessions"] {
        edit(&proxy, &[(&shared, "")]);
        assert_eq!(reload(&proxy).await["result"], "changed");
        add(&proxy, &shared.replace("/sessions'", &format!("/{url}'")));
        assert_eq!(reload(&proxy).await["result"], "changed", "{url}");
        if url == "others" {
            edit(&proxy, &[("/others'", "/sessions'")]);
            assert_eq!(reload(&proxy).await["result"], "changed", "{url}");
        }
    }
    let wallet = Wallet::new();
    let client = proxy.client(NAME).resumption(wallet.sessions());
    client.connect().await.ticket().await;
    assert!(client.connect().await.resumed());
    tunnel.send(b"here").await;
    tunnel.expect(b"here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_rejected_makes_no_store() {
    let (proxy, shared) = start().await;
    let before = fs::read_to_string(proxy.folder().join("config.toml")).unwrap();
    let faults = [
        "[backend.far]\nendpoints = ['127.0.0.1:1']\ntls.ca = 'nowhere.pem'\n".to_owned(),
        format!("[listener.taken]\nlisten = ['{}']\nbackend = 'app'\n", proxy.first_address()),
    ];
    for fault in faults {
        add(&proxy, &format!("{shared}\n{fault}"));
        refused(&proxy).await;
        assert!(!proxy.folder().join("sessions").exists(), "{fault}");
        portunus_tests::write_and_rename(&proxy.folder().join("config.toml"), &before);
    }
}
