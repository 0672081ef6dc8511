//! What is neither a listener nor a backend: caps, sessions, certificates, logs, the token.

use std::fs;

use portunus_tests::wait::eventually;
use portunus_tests::{Wallet, authority, echo, http, https, tls};

use super::{NAME, builder, edit, reload};
use crate::http::{ask, get};

#[tokio::test(flavor = "multi_thread")]
async fn there_may_be_more_connections_at_once_and_fewer() {
    let proxy = builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.max_connections", "1")
        .start()
        .await;
    let mut first = proxy.client(NAME).connect().await;
    // The next one waits in the kernel.
    let mut second = proxy.client(NAME).open().await;
    edit(&proxy, &[("max_connections = 1", "max_connections = 2")]);
    reload(&proxy).await;
    second.handshake().await.unwrap();
    edit(&proxy, &[("max_connections = 2", "max_connections = 1")]);
    reload(&proxy).await;
    for client in [&mut first, &mut second] {
        client.send(b"here").await;
        client.expect(b"here").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_taken_up_again_after_every_change() {
    for mode in ["stateful", "tickets"] {
        let proxy = builder()
            .listener(tls(NAME).with("resumption", &format!("{mode:?}")))
            .backend(echo())
            .set("resumption.memory", "\"8 MiB\"")
            .set("resumption.ticket_rotation", "\"1h\"")
            .start()
            .await;
        let wallet = Wallet::new();
        let client = proxy.client(NAME).resumption(wallet.sessions());
        client.connect().await.ticket().await;
        edit(
            &proxy,
            &[
                ("memory = \"8 MiB\"", "memory = \"9 MiB\""),
                ("ticket_rotation = \"1h\"", "ticket_rotation = \"2h\""),
                ("mode = \"tcp\"", "mode = \"tcp\"\nno_sni = \"reject\""),
            ],
        );
        assert_eq!(reload(&proxy).await["result"], "changed");
        assert!(client.connect().await.resumed(), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_can_come_from_elsewhere() {
    // Certificates are not read before they are quiet either.
    let builder = builder().set("certificates.settle", "\"5s\"");
    let proxy = builder.listener(tls(NAME)).backend(echo()).start().await;
    let other = authority().issue(&[NAME]);
    portunus_tests::write(&proxy.folder().join("other/app.pem"), &other.pem());
    let mut open = proxy.client(NAME).connect().await;
    assert_ne!(open.leaf(), other.leaf);
    edit(&proxy, &[("paths = [\"certs.d\"]", "paths = [\"other\"]")]);
    assert_eq!(reload(&proxy).await["result"], "changed");
    assert_eq!(proxy.client(NAME).connect().await.leaf(), other.leaf);
    open.send(b"here").await;
    open.expect(b"here").await;
    let newest = authority().issue(&[NAME]);
    portunus_tests::write_and_rename(&proxy.folder().join("other/app.pem"), &newest.pem());
    proxy.reload().await;
    eventually("the new folder to be read", async || {
        (proxy.client(NAME).connect().await.leaf() == newest.leaf).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_can_be_told_of_elsewhere() {
    let proxy = builder()
        .listener(https(NAME))
        .backend(http())
        .set("log.access", "\"one.log\"")
        .start()
        .await;
    ask(&proxy, get("/first", "")).await.unwrap();
    edit(&proxy, &[("access = \"one.log\"", "access = \"two.log\"")]);
    reload(&proxy).await;
    ask(&proxy, get("/second", "")).await.unwrap();
    for (file, path, other) in [("one.log", "/first", "/second"), ("two.log", "/second", "/first")]
    {
        let text = eventually(file, async || {
            let text = fs::read_to_string(proxy.folder().join(file)).unwrap_or_default();
            text.contains(path).then_some(text)
        })
        .await;
        assert!(!text.contains(other), "{file}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_the_admin_listener_can_be_another_one() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    edit(&proxy, &[("token = \"the-token-of-the-suite\"", "token = \"another-token-altogether\"")]);
    reload(&proxy).await;
    assert_eq!(proxy.admin("/status").await.status, 401);
}
