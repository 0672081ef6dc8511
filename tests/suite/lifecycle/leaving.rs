//! What clients see of an end: told early, served to the last byte, and cut where there is no time.

use std::sync::Arc;
use std::time::Duration;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Backend, Proxy, Tls, echo, http, https, raw, read_response, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const NAME: &str = "app.example";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_close_from_the_first_moment_while_clients_are_still_accepted() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(http())
        .set("server.drain_delay", "\"6s\"")
        .start()
        .await;
    let client = proxy.client(NAME).alpn(&["http/1.1"]);
    let (mut kept, mut idle) = (client.connect().await, client.connect().await);
    for one in [&mut kept, &mut idle] {
        one.send(GET).await;
        let answer = read_response(one, &mut Vec::new()).await.expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (200, ""));
    }
    proxy.process().signal("TERM");
    proxy.wait_for_log("leaving: not ready any more; another signal ends at once", &[]).await;
    let mut new = client.connect().await;
    for one in [&mut kept, &mut new] {
        one.send(GET).await;
        let answer = read_response(one, &mut Vec::new()).await.expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (200, "close"));
        assert_eq!(one.receive_all().await.unwrap(), b"", "and then the end");
    }
    // One that waits for nothing stays for as long as new ones come.
    TcpStream::connect(proxy.first_address()).await.unwrap();
    assert_eq!(idle.receive_all().await.unwrap(), b"");
    TcpStream::connect(proxy.first_address()).await.unwrap_err();
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_connected_when_a_listener_is_closed_is_served() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.drain_delay", "\"0s\"")
        .set("limits.handshakes_per_source", "1000")
        .start()
        .await;
    // The kernel accepts for a process that is stopped.
    proxy.process().signal("STOP");
    let client = proxy.client(NAME);
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut tcp = client.tcp().await;
        let mut tls = client.tls();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        // Who says nothing for a moment is not waited for.
        tcp.write_all(&hello).await.unwrap();
        waiting.push(Tls::new(tcp, tls, usize::MAX));
    }
    proxy.process().signal("TERM");
    proxy.process().signal("CONT");
    let mut clients = JoinSet::new();
    for mut one in waiting {
        clients.spawn(async move {
            one.handshake().await.expect("nobody is reset");
            one.send(b"hello").await;
            one.expect(b"hello").await;
            one.close_notify().await;
        });
    }
    clients.join_all().await;
    assert_eq!(proxy.exit().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_that_have_begun_arrive_whole() {
    let go = Arc::new(Notify::new());
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(slow_transfer(&go))
        .set("server.drain_delay", "\"200ms\"")
        .start()
        .await;
    let client = proxy.client(NAME).alpn(&["http/1.1"]);
    let mut transfers = Vec::new();
    for _ in 0..5 {
        let mut one = client.connect().await;
        one.send(GET).await;
        let begun = one.receive().await.unwrap();
        transfers.push((one, begun));
    }
    proxy.process().signal("TERM");
    let address = proxy.first_address();
    eventually("the listener to be closed", async || TcpStream::connect(address).await.err()).await;
    go.notify_waiters();
    for (mut one, mut begun) in transfers {
        let answer = read_response(&mut one, &mut begun).await.expect("the whole answer");
        assert!(answer.body == body(), "{} bytes, or others", answer.body.len());
        assert_eq!(one.receive_all().await.unwrap(), b"");
    }
    let exit = proxy.exit().await;
    assert_eq!(exit.code, Some(0), "{:?}", exit.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_is_cut_by_resets_on_both_sides() {
    let (told, mut ends) = tokio::sync::mpsc::channel(2);
    let backend = raw(move |mut stream, _| {
        let told = told.clone();
        async move {
            let mut heard = [0; 4096];
            let count = stream.read(&mut heard).await.unwrap();
            if heard[..count].starts_with(b"GET") {
                let agreed = "HTTP/1.1 101 Switching Protocols\r\n\
                    Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(agreed.as_bytes()).await.unwrap();
            }
            let _ = stream.write_all(b"hello").await;
            let end = stream.read_to_end(&mut Vec::new()).await;
            let _ = told.send(end.map_err(|error| error.kind())).await;
        }
    });
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls("tunnel.example").named("tunnel"))
        .backend(backend)
        .set("server.drain_timeout", "\"500ms\"")
        .start()
        .await;
    let mut socket = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    socket
        .send(
            b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        heard.extend(socket.receive().await.unwrap());
    }
    let mut tunnel = proxy.client("tunnel.example").at(proxy.address("tunnel")).connect().await;
    tunnel.send(b"hello").await;
    tunnel.expect(b"hello").await;
    let exit = proxy.drain().await;
    assert_eq!(exit.code, Some(1));
    assert!(exit.log.iter().any(|line| line.contains("\"left\":2")), "{:?}", exit.log);
    let cut = exit.log.iter().filter(|line| line.contains("\"reason\":\"drain\"")).count();
    assert_eq!(cut, 2, "{:?}", exit.log);
    let reset = std::io::ErrorKind::ConnectionReset;
    for one in [&mut socket, &mut tunnel] {
        assert_eq!(one.receive_all().await.unwrap_err().kind(), reset);
        let end = within("the backend's end", ends.recv()).await;
        assert_eq!(end, Some(Err(reset)));
    }
}

/// 8 MiB in which no two places are alike.
fn body() -> Vec<u8> {
    (0..BODY_BYTES as u32 / 4)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect()
}

/// Answers by the first kilobyte of the body, and by the rest of it at a notice.
fn slow_transfer(go: &Arc<Notify>) -> Backend {
    let go = Arc::clone(go);
    raw(move |mut stream, _| {
        let go = Arc::clone(&go);
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let (body, noticed) = (body(), go.notified());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
            let mut noticed = std::pin::pin!(noticed);
            noticed.as_mut().enable();
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body[..1024]).await;
            within("the notice", noticed).await;
            let _ = stream.write_all(&body[1024..]).await;
            let _ = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
        }
    })
}

const BODY_BYTES: usize = 8 << 20;
