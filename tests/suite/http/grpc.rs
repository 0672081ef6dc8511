//! gRPC, spoken by `grpcio` on both sides: every kind of call through TLS to an endpoint of HTTP/2.

use portunus_tests::foreign::{Conversation, program, python_with};
use portunus_tests::{Proxy, https, unreachable};

use super::NAME;

async fn service() -> Option<Conversation> {
    let python = python_with(&["grpc"])?;
    let mut service = python.arg(program("grpc/serve.py")).start();
    service.hear("\n").await;
    Some(service)
}

async fn ask(proxy: &Proxy, what: &str) {
    let Some(python) = python_with(&["grpc"]) else { return };
    let address = proxy.first_address();
    let python = python.arg(program("grpc/ask.py"));
    let python = python.args([address.ip().to_string(), address.port().to_string()]);
    python.arg(proxy.ca()).arg(what).run().await.expect_success();
}

/// Has the client do `what`, after which nothing of it goes on in the proxy.
async fn calls(what: &str) {
    let Some(service) = service().await else { return };
    let endpoint = format!("127.0.0.1:{}", service.heard().trim());
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[&endpoint])
        .set("backend.app.protocol", "\"h2c\"")
        .start()
        .await;
    ask(&proxy, what).await;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_answered_by_one_of_any_size() {
    calls("unary").await;
    calls("compression").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_passes_before_and_behind_the_answer() {
    calls("metadata").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_answered_by_one() {
    calls("client_stream").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_is_answered_by_many() {
    calls("server_stream").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_back_and_forth_one_by_one() {
    calls("both").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_on_both_sides() {
    calls("deadlines").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_ends_at_the_service() {
    calls("cancelling").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_comes_with_nothing_before_it_and_behind_an_answer() {
    calls("statuses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_calls_share_a_connection() {
    calls("many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_unavailable() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(unreachable())
        .set("backend.app.protocol", "\"h2c\"")
        .start()
        .await;
    ask(&proxy, "unavailable").await;
}
