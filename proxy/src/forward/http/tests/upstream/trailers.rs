//! Fields behind the content of a request, on their way to endpoints of HTTP/2.

use http::HeaderName;

use super::*;
use crate::config::FieldEdit;

/// What the endpoint got behind the content of a request of `kind`; it sends all of it back.
async fn passed(kind: &str) -> String {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let mut behind = config::Behind::forwarding(0);
    let role = HeaderName::from_static("x-role");
    behind.routes[0].request_fields = vec![FieldEdit::Remove(role)];
    let (mut client, _of_backend, _) = client_with(&endpoint.addr, |_| {}, &behind).await;
    let fields = "Connection: te, close\r\nTE: trailers\r\nTransfer-Encoding: chunked";
    let head = format!("POST / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n");
    client.send(&format!("{head}Content-Type: {kind}\r\n\r\n2\r\nhi\r\n")).await;
    client.send("0\r\nX-Mine: 1\r\nX-Role: root\r\nX-Forwarded-For: evil\r\n\r\n").await;
    let answer = client.read_to_end().await;
    let (_, trailers) = answer.split_once("hi\r\n0\r\n").unwrap();
    trailers.to_owned()
}

#[tokio::test]
async fn trailers_of_grpc_pass_but_for_what_the_operator_removes() {
    assert_eq!(passed("application/grpc+proto").await, "x-mine: 1\r\n\r\n");
    assert_eq!(passed("text/plain").await, "\r\n");
}
