//! WebSocket, spoken by `websockets` on both sides, over HTTP/1.1 and over streams of HTTP/2: the
//! tunnel between them is not to be noticed.

use portunus_tests::foreign::{Conversation, Output, program, python_with};
use portunus_tests::{Proxy, https};

use super::NAME;

/// A service behind a proxy with these keys.
async fn service(keys: &[(&str, &str)]) -> Option<(Proxy, Conversation)> {
    let python = python_with(&["websockets"])?;
    let mut service = python.arg(program("websocket/serve.py")).start();
    service.hear("\n").await;
    let endpoint = format!("127.0.0.1:{}", service.heard().trim());
    let listener = https(NAME).with("extended_connect", "true");
    let proxy = Proxy::builder().listener(listener).endpoints("app", &[&endpoint]);
    let proxy = keys.iter().fold(proxy, |proxy, (key, value)| proxy.set(key, value));
    Some((proxy.start().await, service))
}

/// Has the client do `what`, after which nothing of it is left in the proxy.
async fn ask(keys: &[(&str, &str)], what: &[&str]) {
    ask_by("websocket/ask.py", keys, what).await;
}

/// The same over a stream of HTTP/2.
async fn ask_over_2(what: &str) {
    ask_by("websocket/over2.py", &[], &[what]).await;
}

async fn ask_by(client: &str, keys: &[(&str, &str)], what: &[&str]) {
    if let Some(output) = try_by(client, keys, what).await {
        output.expect_success();
    }
}

async fn try_by(client: &str, keys: &[(&str, &str)], what: &[&str]) -> Option<Output> {
    let (proxy, service) = service(keys).await?;
    let python = python_with(&["h2", "websockets"])?;
    let address = proxy.first_address();
    let python = python.arg(program(client));
    let python = python.args([address.ip().to_string(), address.port().to_string()]);
    let output = python.arg(proxy.ca()).args(what).run().await;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    proxy.wait_for_metric("portunus_backend_connections_active", &[], |n| n == 0.0).await;
    drop(service);
    Some(output)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_size_come_back_compressed_or_not() {
    ask(&[], &["echo"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_fragments_come_back() {
    ask(&[], &["fragments"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_of_both_sides_are_answered_by_the_other() {
    ask(&[], &["pings"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_hears_the_code_of_the_others_farewell() {
    ask(&[], &["closes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_on_protocols_through_the_head() {
    ask(&[], &["heads"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sockets_talk_at_once() {
    // All of them come from one address.
    ask(&[("limits.handshakes_per_source", "1000")], &["many"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_may_send_at_once_and_without_end() {
    ask(&[], &["both"]).await;
}

/// Every limit is a 600th of its default, or more where that would be nothing: ten minutes are a
/// second, and the hour of silence that ends a tunnel is six.
#[tokio::test(flavor = "multi_thread")]
async fn ten_minutes_of_silence_end_no_socket_and_an_hour_does() {
    let scaled = [
        ("limits.tunnel_idle_timeout", "\"6s\""),
        ("limits.http.keepalive_timeout", "\"125ms\""),
        ("limits.http.request_head_timeout", "\"500ms\""),
        ("limits.http.request_body_timeout", "\"50ms\""),
        ("limits.http.response_head_timeout", "\"500ms\""),
        ("limits.http.response_body_timeout", "\"500ms\""),
        ("limits.http.write_timeout", "\"50ms\""),
    ];
    let ask = async || try_by("websocket/ask.py", &scaled, &["silence", "1", "6"]).await;
    let Some(mut output) = ask().await else { return };
    // As short as these limits are, a side that has to wait for the machine may exceed one.
    for _ in 0..3 {
        if output.status.success() {
            break;
        }
        output = ask().await.unwrap();
    }
    output.expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_size_come_back_over_http_2() {
    ask_over_2("echo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_over_http_2() {
    ask_over_2("pings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_socket_of_http_2_ends_by_itself() {
    ask_over_2("closes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_on_protocols_through_the_head_of_http_2() {
    ask_over_2("heads").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_sockets_share_a_connection_of_http_2() {
    ask_over_2("many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_reads_holds_up_no_other_of_its_connection() {
    ask_over_2("unread").await;
}
