//! Bytes through a tunnel: all of them, both ways, with the ends of each direction as they came.

use std::time::Duration;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Backend, Proxy, echo, greeter, raw, silent, tls, unreachable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::mpsc;

const NAME: &str = "app.example";
const ACTIVE: &str = "portunus_connections_active";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_ended_still_gets_its_answer() {
    let backend = raw(|mut stream, _| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        // Large enough that it cannot all be in flight when the end is seen.
        stream.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        stream.write_all(&all).await.unwrap();
    });
    let proxy = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
    for client in [proxy.client(NAME), proxy.client(NAME).tls12()] {
        let mut client = client.connect().await;
        client.send(b"question").await;
        client.close_notify().await;
        let answer = client.receive_all().await.unwrap();
        assert_eq!(answer.len(), (1 << 20) + 8);
        assert!(answer.ends_with(b"question"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_without_close_notify_still_gets_its_answer() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"question").await;
    client.shut_down();
    assert_eq!(client.receive_all().await.unwrap(), b"question");
    proxy.wait_for_log("closed", &[("reason", "done"), ("bytes_downstream", "8")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_has_ended_still_hears_the_client() {
    let (heard, mut hearing) = mpsc::channel(1);
    let backend = raw(move |mut stream, _| {
        let heard = heard.clone();
        async move {
            stream.write_all(b"bye").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            heard.send(all).await.unwrap();
        }
    });
    let proxy = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
    let mut client = proxy.client(NAME).connect().await;
    assert_eq!(client.receive_all().await.unwrap(), b"bye", "and then close_notify");
    client.send(b"still here").await;
    client.close_notify().await;
    assert_eq!(within("the rest", hearing.recv()).await.unwrap(), b"still here");
    proxy.wait_for_log("closed", &[("reason", "done")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_resets_the_backend_too() {
    let (heard, mut hearing) = mpsc::channel(64);
    let backend = raw(move |mut stream, _| {
        let heard = heard.clone();
        async move {
            let mut buffer = [0; 64];
            let end = loop {
                match stream.read(&mut buffer).await {
                    Ok(1..) => {}
                    end => break end,
                }
            };
            heard.send(end.map_err(|error| error.kind())).await.unwrap();
        }
    });
    let proxy = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
    for _ in 0..40 {
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.reset();
        let end = within("the end at the backend", hearing.recv()).await.unwrap();
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    }
    let labels = [("listener", "tls"), ("reason", "client_reset")];
    let closed = "portunus_connections_closed_total";
    proxy.wait_for_metric(closed, &labels, |count| count == 40.0).await;
    proxy.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
    proxy.wait_for_metric("portunus_backend_connections_active", &[], |n| n == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_resets_is_no_clean_end_for_the_client() {
    let backend = raw(|mut stream, _| async move {
        stream.write_all(b"half of it").await.unwrap();
        let mut buffer = [0; 8];
        let _ = stream.read(&mut buffer).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let proxy = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.expect(b"half of it").await;
    client.send(b"go").await;
    client.receive_all().await.unwrap_err();
    proxy.wait_for_log("closed", &[("reason", "backend_error")]).await;
    proxy.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_mebibytes_each_way_arrive_as_they_were_sent() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let bytes: Vec<u8> =
        (0_u32..2 << 20).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for client in [proxy.client(NAME), proxy.client(NAME).tls12()] {
        for piece in [65_521, 4_093, 16_411] {
            let mut client = client.connect().await;
            let back = client.exchange(&bytes, piece, bytes.len()).await;
            assert!(back == bytes, "in pieces of {piece}");
            client.close_notify().await;
            assert_eq!(client.receive_all().await.unwrap(), b"");
        }
    }
    let size = bytes.len().to_string();
    let fields = [("bytes_downstream", size.as_str()), ("bytes_upstream", size.as_str())];
    proxy.wait_for_log("closed", &fields).await;
    for direction in ["downstream", "upstream"] {
        let labels = [("listener", "tls"), ("direction", direction)];
        let total = proxy.metric("portunus_bytes_total", &labels).await;
        assert_eq!(total, 6.0 * bytes.len() as f64, "{direction}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_writes_are_not_held_back() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    let mut turns = Vec::new();
    for _ in 0..200 {
        let begin = tokio::time::Instant::now();
        client.send(b"x").await;
        client.expect(b"x").await;
        turns.push(begin.elapsed());
    }
    turns.sort();
    // With Nagle's algorithm on either side each turn would wait for a delayed acknowledgement.
    assert!(turns[100] < Duration::from_millis(20), "{:?}", turns[100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_speaks_first_is_heard_at_once() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(greeter("220 hi\r\n")).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.expect(b"220 hi\r\n").await;
    client.send(b"QUIT\r\n").await;
    client.expect(b"QUIT\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_tunnel_is_closed() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.tunnel_idle_timeout", "\"400ms\"")
        .start()
        .await;
    let mut heard = Ok(Vec::new());
    // Whoever speaks too late may be taken for idle before the first word.
    for _ in 0..4 {
        let mut client = proxy.client(NAME).connect().await;
        let _ = client.try_send(b"hello").await;
        heard = client.receive_all().await;
        if heard.as_ref().is_ok_and(|heard| heard == b"hello") {
            break;
        }
    }
    assert_eq!(heard.unwrap(), b"hello", "close_notify and nothing else");
    proxy.wait_for_log("closed", &[("reason", "idle")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_half_closed_tunnel_has_a_deadline() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(silent())
        .set("limits.half_close_timeout", "\"400ms\"")
        .start()
        .await;
    let mut client = proxy.client(NAME).connect().await;
    client.close_notify().await;
    // How it ends does not matter; that it does is all that is asked.
    let _ = client.receive_all().await;
    proxy.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_is_passed_over() {
    let (dead, alive) = (unreachable(), echo());
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .endpoints("app", &[dead.endpoint(), alive.endpoint()])
        .start()
        .await;
    for _ in 0..10 {
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
    }
    assert_eq!(alive.connections(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_backend_the_connection_ends_and_is_counted() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(unreachable()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    assert!(client.receive_all().await.unwrap_or_default().is_empty());
    proxy.wait_for_log("closed", &[("reason", "backend_unreachable")]).await;
    let labels = [("backend", "app"), ("reason", "connect_refused")];
    let errors = "portunus_backend_errors_total";
    proxy.wait_for_metric(errors, &labels, |count| count >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_takes_one_endpoint_after_the_other() {
    let (one, two) = (echo(), echo());
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .endpoints("app", &[one.endpoint(), two.endpoint()])
        .set("backend.app.balance", "\"round-robin\"")
        .start()
        .await;
    for _ in 0..8 {
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
    }
    assert_eq!((one.connections(), two.connections()), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_may_be_a_unix_socket_or_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"unix\n").await.unwrap();
        }
    });
    let named = greeter("named\n");
    let port = named.endpoint().rsplit(':').next().unwrap();
    let proxy = Proxy::builder()
        .listener(tls(NAME).site("named.example", "named"))
        .endpoints("app", &[&format!("unix:{}", path.display())])
        .endpoints("named", &[&format!("localhost:{port}")])
        .start()
        .await;
    proxy.client(NAME).connect().await.expect(b"unix\n").await;
    proxy.client("named.example").connect().await.expect(b"named\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_closing_event_says_all_of_a_connection() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    client.close_notify().await;
    client.receive_all().await.unwrap();
    let line = proxy.wait_for_log("closed", &[("reason", "done")]).await;
    let expected =
        [("listener", "tls"), ("sni", NAME), ("bytes_downstream", "5"), ("level", "DEBUG")];
    for (field, value) in expected.into_iter().chain([("bytes_upstream", "5")]) {
        assert_eq!(line.field(field), value, "{}", line.text());
    }
    assert!(line.field("duration_ms").parse::<u64>().is_ok(), "{}", line.text());
    for address in ["peer", "client"] {
        assert!(line.field(address).starts_with("127.0.0.1:"), "{address}: {}", line.text());
    }
    eventually("one event and not more", async || {
        let lines = proxy.process().lines();
        (lines.iter().filter(|line| line.says("closed", &[])).count() == 1).then_some(())
    })
    .await;
}

/// A backend that waits for two bytes and then says `count` bytes, which `end` follows.
fn talker(count: usize, end: fn(&TcpStream)) -> Backend {
    raw(move |mut stream, _| async move {
        let mut go = [0; 2];
        stream.read_exact(&mut go).await.unwrap();
        stream.write_all(&vec![7; count]).await.unwrap();
        end(&stream);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_in_the_middle_lose_nothing() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(talker(8 << 20, |_| {})).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.rekey().await;
    client.send(b"go").await;
    assert_eq!(client.receive_all().await.unwrap().len(), 8 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_reset_arrives() {
    let backend = talker(200_000, |stream| {
        socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let proxy = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"go").await;
    let mut received = 0;
    // The last is the error that says that there was more.
    while let Ok(bytes) = client.receive().await
        && !bytes.is_empty()
    {
        received += bytes.len();
    }
    let closed = proxy.wait_for_log("closed", &[("listener", "tls")]).await;
    assert_eq!(received.to_string(), closed.field("bytes_downstream"));
    assert!(received > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nobody_made_gets_an_alert() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    for client in [proxy.client(NAME), proxy.client(NAME).tls12()] {
        let mut client = client.connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        client.send_raw(&[&[23, 3, 3, 0, 32][..], &[0; 32]].concat()).await;
        let error = client.receive_all().await.unwrap_err();
        assert!(format!("{error:?}").contains("BadRecordMac"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_backend_a_tls_1_2_handshake_is_finished_all_the_same() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(unreachable()).start().await;
    let mut client = proxy.client(NAME).tls12().connect().await;
    assert!(client.receive_all().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_reach_an_endpoint_under_tls_that_is_who_it_should_be() {
    let far = Proxy::builder().listener(tls("far.example")).backend(echo()).start().await;
    let near = |server_name: &str| {
        Proxy::builder()
            .listener(tls(NAME))
            .endpoints("app", &[&far.first_address().to_string()])
            .set("backend.app.tls.ca", &format!("{:?}", far.ca()))
            .set("backend.app.tls.server_name", &format!("{server_name:?}"))
            .start()
    };
    let proxy = near("far.example").await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"there and back").await;
    client.close_notify().await;
    assert_eq!(client.receive_all().await.unwrap(), b"there and back");

    let deceived = near("other.example").await;
    let mut client = deceived.client(NAME).connect().await;
    client.send(b"for nobody else").await;
    assert_eq!(client.receive_all().await.unwrap_or_default(), b"");
    deceived.wait_for_log("closed", &[("reason", "backend_unreachable")]).await;
}
