//! Listeners that stay, change, come and go, with connections on them.

use std::net::SocketAddr;

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, echo, http, https, tls};
use tokio::net::TcpStream;

use super::{NAME, add, builder, edit, reload};
use crate::http::{ask, get};

async fn with_little_time_to_drain() -> Proxy {
    let builder = builder().listener(tls(NAME)).backend(echo());
    builder.set("server.drain_timeout", "\"5s\"").start().await
}

const MORE: &str = "[listener.more]\nlisten = ['127.0.0.1:0']\nmode = 'tcp'\nbackend = 'app'\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_comes_serves_and_one_that_goes_gives_its_connections_time() {
    let proxy = with_little_time_to_drain().await;
    let mut before = proxy.client(NAME).connect().await;
    add(&proxy, MORE);
    reload(&proxy).await;
    let more = address_of_more(&proxy).await;
    let mut client = proxy.client(NAME).at(more).connect().await;
    client.send(b"one").await;
    client.expect(b"one").await;
    edit(&proxy, &[(MORE, "")]);
    reload(&proxy).await;
    TcpStream::connect(more).await.expect_err("nobody listens there");
    client.send(b"two").await;
    client.expect(b"two").await;
    // Then its time is over, and with it its numbers.
    let _ = client.receive().await;
    eventually("no numbers of what is gone", async || {
        let numbers = proxy.admin("/metrics").await.text();
        (!numbers.contains("listener=\"more\"")).then_some(())
    })
    .await;
    before.send(b"three").await;
    before.expect(b"three").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_goes_takes_along_what_began_before_it_changed() {
    let proxy = with_little_time_to_drain().await;
    add(&proxy, MORE);
    reload(&proxy).await;
    let more = address_of_more(&proxy).await;
    let mut clients = Vec::new();
    let (before, after) = ("[listener.more]\n", "[listener.more]\nno_sni = 'reject'\n");
    for change in [(before, after), (after, before)] {
        clients.push(proxy.client(NAME).at(more).connect().await);
        edit(&proxy, &[change]);
        assert_eq!(reload(&proxy).await["result"], "changed");
    }
    clients.push(proxy.client(NAME).at(more).connect().await);
    edit(&proxy, &[(MORE, "")]);
    reload(&proxy).await;
    for client in &mut clients {
        client.send(b"still").await;
        client.expect(b"still").await;
    }
    // None of them may outlive the time that is given, whatever the listener was when it came.
    for client in &mut clients {
        let _ = client.receive().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_changes_keeps_its_socket_and_what_goes_on_there() {
    let proxy = builder().listener(https(NAME)).listener(tls(NAME).named("bytes")).backend(http());
    let proxy = proxy.start().await;
    let mut tunnel = proxy.client(NAME).at(proxy.address("bytes")).connect().await;
    let mut old = String::new();
    for new in ["one", "two", "three"] {
        let route = format!(
            "[[listener.https.site.routes]]\npath = '/said'\n\
             respond = {{ status = 200, body = '{new}' }}\n"
        );
        match old.is_empty() {
            true => edit(&proxy, &[("[listener.bytes]", &format!("{route}[listener.bytes]"))]),
            false => edit(&proxy, &[(&old, &route)]),
        }
        let told = reload(&proxy).await;
        assert_eq!(told["result"], "changed", "{told}");
        let answer = ask(&proxy, get("/said", "")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, new));
        old = route;
    }
    tunnel.send(b"GET / HTTP/1.1\r\nhost: app.example\r\n\r\n").await;
    assert!(tunnel.receive().await.unwrap().starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_disturbs_nobody_on_the_others() {
    let proxy = builder().listener(https(NAME)).backend(http()).start().await;
    let mut client = crate::http::connect(&proxy).await;
    let asked = get("/", "");
    client.send(asked.as_bytes()).await;
    let mut buffer = Vec::new();
    portunus_tests::read_response(&mut client, &mut buffer).await.unwrap();
    edit(&proxy, &[("listen = [\"127.0.0.1:0\"]", "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]")]);
    assert_eq!(reload(&proxy).await["result"], "changed");
    client.send(asked.as_bytes()).await;
    let answer = portunus_tests::read_response(&mut client, &mut buffer).await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, ""));
}

async fn address_of_more(proxy: &Proxy) -> SocketAddr {
    let line = proxy.wait_for_log("listening", &[("listener", "more")]).await;
    line.field("address").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_its_hello_back_is_served_by_what_holds_when_it_comes() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut before = proxy.client(NAME).connect().await;
    let mut silent = proxy.client(NAME).open().await;
    let are_two = |active: f64| active == 2.0;
    proxy.wait_for_metric("portunus_connections_active", &[], are_two).await;
    let hosts = format!("hosts = [{NAME:?}]");
    let guarded = format!("{hosts}\nclient_auth.ca = {:?}", proxy.ca());
    edit(&proxy, &[(&hosts, &guarded)]);
    assert_eq!(reload(&proxy).await["result"], "changed");
    let heard = async {
        silent.handshake().await?;
        silent.try_send(b"let me in").await?;
        silent.receive().await
    };
    assert!(!heard.await.is_ok_and(|heard| !heard.is_empty()), "it has shown no certificate");
    let missing = [("reason", "client_cert_missing")];
    proxy.wait_for_metric("portunus_handshake_failures_total", &missing, |n| n == 1.0).await;
    before.send(b"as it began").await;
    before.expect(b"as it began").await;
}
