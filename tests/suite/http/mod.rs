//! HTTP: what passes, what is refused, and what the other side is told.
//!
//! `forward` is about messages that pass, `routing` about where they go, `header` about what is
//! taken out of them and put in, `identity` about who the client is said to be, `framing` and
//! `grammar` about messages that mean two things, `limits` about time and size, `failure` about
//! backends that fail, `reuse` about connections to backends, `upgrade` and `websocket` about other
//! protocols, `grpc` about calls, `redirect` about requests in the clear, `access` about the log,
//! `conformance` about HTTP/2 frame by frame, `chaos` about endpoints that come and go, `slow`
//! about very many clients, `transfer` about very much content, `interim` about what comes before
//! an answer, `meaning` about requests made up at random.

mod access;
mod chaos;
mod conformance;
mod failure;
mod forward;
mod framing;
mod grammar;
mod grpc;
mod header;
mod identity;
mod interim;
mod limits;
mod meaning;
mod redirect;
mod reuse;
mod routing;
mod slow;
mod transfer;
mod upgrade;
mod websocket;

use portunus_tests::{Proxy, Response, Tls, read_response};

/// The name that all of these tests ask for.
pub(crate) const NAME: &str = "app.example";

/// A connection that speaks HTTP/1.1.
pub(crate) async fn connect(proxy: &Proxy) -> Tls {
    proxy.client(NAME).alpn(&["http/1.1"]).connect().await
}

/// Sends `request` as it is, on a connection of its own, and reads the answer. `None` means that
/// the connection ended without one.
pub(crate) async fn ask(proxy: &Proxy, request: impl AsRef<[u8]>) -> Option<Response> {
    let mut client = connect(proxy).await;
    client.send(request.as_ref()).await;
    read_response(&mut client, &mut Vec::new()).await
}

/// Whether the other side closes the connection without saying anything more.
pub(crate) async fn is_closed(client: &mut Tls) -> bool {
    client.receive_all().await.unwrap_or_default().is_empty()
}

/// A request for `path` with further fields, each with its line end, and no content.
pub(crate) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n")
}
