//! Other protocols on a connection that began as HTTP.

use std::sync::{Arc, Mutex};

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Proxy, Tls, https, raw, read_response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::{NAME, connect, get};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\r\nearly";

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_a_tunnel_once_both_have_agreed() {
    let backend = raw(|mut stream, _| async move {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        let head = String::from_utf8_lossy(&buffer[..count]).to_lowercase();
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        assert!(head.contains("\r\nsec-websocket-key: "), "{head}");
        stream.write_all(SWITCH).await.unwrap();
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..count]).await.unwrap();
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
    let mut client = connect(&proxy).await;
    client.send(get("/chat", UPGRADE).as_bytes()).await;
    expect_switch(&mut client).await;
    for size in [1, 1_000, 100_000] {
        let bytes = vec![0x81; size];
        assert!(client.exchange(&bytes, 16_411, size).await == bytes);
    }
    client.close_notify().await;
    assert_eq!(client.receive_all().await.unwrap(), b"");
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forwarded_before_the_backend_has_agreed() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let agree = Arc::new(Notify::new());
    let (keep, wait) = (Arc::clone(&heard), Arc::clone(&agree));
    let backend = raw(move |mut stream, _| {
        let (keep, wait) = (Arc::clone(&keep), Arc::clone(&wait));
        async move {
            let mut agreed = false;
            let mut buffer = [0; 4096];
            loop {
                tokio::select! {
                    count = stream.read(&mut buffer) => match count {
                        Ok(count @ 1..) => keep.lock().unwrap().extend(&buffer[..count]),
                        _ => return,
                    },
                    () = wait.notified(), if !agreed => {
                        agreed = true;
                        stream.write_all(SWITCH).await.unwrap();
                    }
                }
            }
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
    let mut client = connect(&proxy).await;
    client.send(get("/", UPGRADE).as_bytes()).await;
    client.send(b"too early").await;
    let text = || String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let head = async || text().contains("\r\n\r\n").then_some(());
    eventually("the head at the backend", head).await;
    assert!(!text().contains("too early"), "{}", text());
    agree.notify_one();
    expect_switch(&mut client).await;
    let rest = async || text().ends_with("\r\n\r\ntoo early").then_some(());
    eventually("the rest at the backend", rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_agree_answers_as_ever() {
    let backend = portunus_tests::http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut client = connect(&proxy).await;
    let mut buffer = Vec::new();
    for _ in 0..2 {
        client.send(get("/", UPGRADE).as_bytes()).await;
        assert_eq!(read_response(&mut client, &mut buffer).await.unwrap().status, 200);
    }
    // Any other protocol is not even asked for.
    let other = UPGRADE.replace("websocket", "tls/1.0");
    client.send(get("/", &other).as_bytes()).await;
    assert_eq!(read_response(&mut client, &mut buffer).await.unwrap().status, 200);
    assert_eq!(backend.last().field("upgrade"), "");
}

async fn expect_switch(client: &mut Tls) {
    let mut buffer = Vec::new();
    let answer = read_response(client, &mut buffer).await.expect("an answer");
    assert_eq!((answer.status, answer.field("upgrade")), (101, "websocket"));
    let early = async {
        while buffer.len() < 5 {
            buffer.extend(client.receive().await.unwrap());
        }
    };
    within("what the backend said early", early).await;
    assert_eq!(buffer, b"early");
}
