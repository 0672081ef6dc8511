//! Ends: asked for, everything finishes what it does; asked for twice, nothing does.

use std::sync::Arc;
use std::time::Duration;

use portunus_tests::wait::{best_of, eventually, within};
use portunus_tests::{Backend, Proxy, echo, get, http, https, raw, read_response, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::becomes_unavailable;

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_finished_before_the_process_ends() {
    let go = Arc::new(Notify::new());
    let proxy = Proxy::builder().listener(tls(NAME)).backend(two_halves(&go, "")).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"go").await;
    client.expect(&[b'1'; HALF]).await;
    proxy.process().signal("TERM");
    no_longer_accepts(&proxy).await;
    go.notify_one();
    client.expect(&[b'2'; HALF]).await;
    assert_eq!(client.receive_all().await.unwrap(), b"");
    client.close_notify().await;
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_before_the_process_ends() {
    let go = Arc::new(Notify::new());
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n";
    let proxy = Proxy::builder().listener(https(NAME)).backend(two_halves(&go, head)).start().await;
    let mut client = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    let mut idle = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let mut buffer = client.receive().await.unwrap();
    proxy.process().signal("TERM");
    no_longer_accepts(&proxy).await;
    // Who waits for nothing is let go at once.
    let _ = idle.receive_all().await;
    go.notify_one();
    let answer = read_response(&mut client, &mut buffer).await.expect("the whole answer");
    assert_eq!((answer.status, answer.body.len()), (200, 2 * HALF));
    assert_eq!(client.receive_all().await.unwrap(), b"", "and then the end");
    drop(client);
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_false_at_once_and_accepting_goes_on_for_the_delay() {
    best_of(3, async || {
        let proxy = Proxy::builder()
            .listener(https(NAME))
            .backend(http())
            .set("server.drain_delay", "\"2s\"")
            .start()
            .await;
        assert_eq!(proxy.admin("/readyz").await.status, 200);
        assert_eq!(proxy.admin("/livez").await.status, 200);
        let asked = Instant::now();
        proxy.process().signal("TERM");
        let seen = leaves_in_the_open(&proxy).await;
        assert_eq!(proxy.exit().await.code, Some(0));
        assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
        seen
    })
    .await;
}

/// It is not ready at once, alive, and accepts; an error is that the delay was over before.
async fn leaves_in_the_open(proxy: &Proxy) -> Result<(), String> {
    let asked = Instant::now();
    becomes_unavailable(proxy, "/readyz").await?;
    let took = asked.elapsed();
    if took >= Duration::from_millis(1_500) {
        return Err(format!("not ready after {took:?}"));
    }
    let alive = get(proxy.address("admin"), "/livez").await.map_err(|error| error.to_string())?;
    assert_eq!(alive.status, 200);
    let accepted = proxy.client(NAME).try_connect().await;
    accepted.map(drop).map_err(|error| format!("not accepted: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_is_as_good_as_a_termination() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    proxy.process().signal("INT");
    let exit = proxy.exit().await;
    assert_eq!(exit.code, Some(0), "{:?}", exit.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_everything_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        proxy.process().signal(first);
        no_longer_accepts(&proxy).await;
        let asked = Instant::now();
        proxy.process().signal(second);
        assert_eq!(proxy.exit().await.code, Some(1));
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_time_to_finish_nothing_is_cut_where_nobody_is_connected() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.drain_timeout", "\"0s\"")
        .start()
        .await;
    let exit = proxy.drain().await;
    assert_eq!(exit.code, Some(0), "{:?}", exit.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.drain_timeout", "\"500ms\"")
        .start()
        .await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    let exit = proxy.drain().await;
    assert_eq!(exit.code, Some(1));
    assert!(exit.log.iter().any(|line| line.contains("\"left\":1")), "{:?}", exit.log);
    client.receive_all().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_during_the_drain_changes_nothing() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    proxy.process().signal("TERM");
    no_longer_accepts(&proxy).await;
    for _ in 0..3 {
        proxy.process().signal("HUP");
    }
    client.send(b"hello").await;
    client.expect(b"hello").await;
    assert_eq!(proxy.admin("/readyz").await.status, 503);
    client.close_notify().await;
    client.receive_all().await.unwrap();
    assert_eq!(proxy.exit().await.code, Some(0));
}

const HALF: usize = 2 << 20;

/// Says `head` and the first half when it hears something, and the second half at a notice.
fn two_halves(go: &Arc<Notify>, head: &'static str) -> Backend {
    let go = Arc::clone(go);
    raw(move |mut stream, _| {
        let go = Arc::clone(&go);
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&[b'1'; HALF]).await;
            within("the notice", go.notified()).await;
            let _ = stream.write_all(&[b'2'; HALF]).await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 1]).await;
        }
    })
}

/// Waits until connections are refused.
async fn no_longer_accepts(proxy: &Proxy) {
    let address = proxy.first_address();
    eventually("the listener to be closed", async || TcpStream::connect(address).await.err()).await;
}
