//! The ordinary cases: requests that are answered, hosts that are not served, nobody behind them.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_request_reaches_the_backend_and_its_response_the_client() {
    let mut client = Client::new(vec![say(OK)]).await;
    client
        .send("GET /a%2fb//c?d=e HTTP/1.1\r\nHost: app.example:8443\r\nAccept: */*\r\n\r\n")
        .await;
    let answer = client.read_until("hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let received = client.backend_received();
    assert!(received.starts_with("GET /a%2fb//c?d=e HTTP/1.1\r\n"), "{received}");
    let lines = [
        "host: app.example:8443",
        "accept: */*",
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: app.example:8443",
        "x-forwarded-port: 8443",
        "x-forwarded-proto: https",
    ];
    assert_lines(&received, &lines);
    assert!(received.contains("\r\nx-request-id: "), "{received}");
    assert!(client.metrics().contains(
        "portunus_http_requests_total{listener=\"https\",version=\"1.1\",code=\"2xx\"} 1"
    ));
}

#[tokio::test]
async fn requests_of_one_client_share_a_connection_to_the_backend() {
    let mut client = Client::new(vec![say(OK); 20]).await;
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        client.read_until("hello").await;
    }
    assert_eq!(client.backend_received().matches("GET / HTTP/1.1\r\n").count(), 20);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let answers = ["one", "two", "six"].map(|word| match word {
        "one" => "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none",
        "two" => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        _ => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nsix\r\n0\r\n\r\n",
    });
    let mut client = Client::new(answers.map(say).to_vec()).await;
    client.send(&"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n".repeat(3)).await;
    let text = client.read_until("0\r\n\r\n").await;
    let one = text.find("one").unwrap();
    let two = text.find("404 Not Found").unwrap();
    assert!(one < two && two < text.find("six").unwrap(), "{text}");
}

#[tokio::test]
async fn a_host_of_nobody_is_misdirected() {
    let mut client = Client::new(vec![say(OK)]).await;
    client.send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{answer}");
    assert_eq!(client.backend_connections(), Vec::<String>::new());
}

#[tokio::test]
async fn a_drain_ends_an_idle_connection_and_lets_a_busy_one_finish() {
    let client = Client::new(vec![say(OK)]).await;
    let Client { mut io, closed, drain, .. } = client;
    io.write_all(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await.unwrap();
    let drained = drain.drain(Duration::from_millis(300));
    let mut text = String::new();
    let (_, read) = tokio::join!(drained, io.read_to_string(&mut text));
    read.unwrap();
    assert!(text.ends_with("hello"), "{text}");
    assert_lines(&text, &["connection: close"]);
    assert_eq!(closed.await.unwrap(), CloseReason::Done);
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (service, _metrics) = service(&unused.to_string(), |_| {});
    let (mut io, stream) = duplex(4096);
    let (_drain, watch) = Drain::new();
    let finish = watch.clone();
    watch.spawn(async move {
        let _ = serve(TokioIo::new(stream), HttpVersion::H1, service, facts(), finish).await;
    });
    io.write_all(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    io.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
    assert_lines(&text, &["retry-after: 1", "connection: close"]);
    let id = text.split_once("x-request-id: ").unwrap().1.get(..32).unwrap();
    assert!(
        text.ends_with(&format!("The backend is not available.\nRequest id: {id}\n")),
        "{text}"
    );
}
