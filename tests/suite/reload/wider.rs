//! An address that becomes a wider one of the same port, in one step.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::chown;

use portunus_tests::{Builder, Proxy, Visitors, echo, tls};

use super::{NAME, builder, edit, refused, reload};
use crate::confinement::is_root;

const CHOSEN: &str = "listen = [\"127.0.0.1:0\"]";

/// A proxy at a port that was asked for, and what its configuration says of that.
async fn at_a_port(builder: Builder) -> (Proxy, SocketAddr) {
    let proxy = builder.listener(tls(NAME)).backend(echo()).start().await;
    let mut errors = Vec::new();
    // Somebody else may take it meanwhile.
    for _ in 0..3 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen = format!("listen = [\"{port}\"]");
        edit(&proxy, &[(CHOSEN, &listen)]);
        let (_, told) = proxy.order("/reload").await;
        if told["result"] == "changed" {
            return (proxy, port);
        }
        errors.push(told);
        edit(&proxy, &[(&listen, CHOSEN)]);
    }
    panic!("no port was to be had: {errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_an_address_becomes_a_wider_one_and_narrow_again() {
    let (proxy, narrow) = at_a_port(builder()).await;
    let wide = SocketAddr::from(([0, 0, 0, 0], narrow.port()));
    let client = proxy.client(NAME).at(narrow);
    let mut old = client.connect().await;
    let visitors = Visitors::start(4, &client);
    let addresses = [narrow, wide, narrow, wide].map(|address| format!("[\"{address}\"]"));
    for (from, to) in addresses.iter().zip(&addresses[1..]) {
        edit(&proxy, &[(from, to)]);
        assert_eq!(reload(&proxy).await["result"], "changed", "from {from} to {to}");
        visitors.more(8).await;
    }
    visitors.leave().await;
    proxy.client(NAME).at(([127, 0, 0, 2], narrow.port()).into()).visit().await;
    old.send(b"still").await;
    old.expect(b"still").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opened_the_address_as_another_user_is_told_the_way_out() {
    if !is_root("who_opened_the_address_as_another_user_is_told_the_way_out") {
        return;
    }
    let own = "chown -R 65532:65532 \"$(dirname \"$3\")\" && exec \"$0\" \"$@\"";
    let builder = builder().set("server.user", "\"65532:65532\"").under(&["sh", "-c", own]);
    let proxy = builder.listener(tls(NAME)).backend(echo()).start().await;
    let bound = proxy.first_address();
    let edit = |from: &str, to: &str| {
        edit(&proxy, &[(from, to)]);
        chown(proxy.folder().join("config.toml"), Some(65532), Some(65532)).unwrap();
    };
    let wide = SocketAddr::from(([0, 0, 0, 0], bound.port()));
    edit(CHOSEN, &format!("listen = [\"{wide}\"]"));
    let why = refused(&proxy).await;
    let is_told = |line: &String| line.contains(&wide.to_string()) && line.contains("reload twice");
    assert!(why.iter().any(is_told), "{why:?}");
    proxy.client(NAME).visit().await;
    // That way.
    for (from, to) in
        [(wide.to_string(), "127.0.0.2:0".into()), ("127.0.0.2:0".into(), wide.to_string())]
    {
        edit(&from, &to);
        assert_eq!(reload(&proxy).await["result"], "changed", "from {from} to {to}");
    }
    proxy.client(NAME).at(bound).visit().await;
}
