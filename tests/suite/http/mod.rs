//! HTTP: what passes, what is refused, and what the other side is told.
//!
//! `forward` is about messages that pass, `header` about what is taken out of them and put in,
//! `framing` and `grammar` about messages that mean two things, `limits` about time and size,
//! `failure` about backends that fail, `upgrade` about other protocols, `reuse` about connections
//! to backends, `access` about the log, `chaos` about endpoints that come and go, `conformance`
//! about HTTP/2 frame by frame, `slow` about very many clients, `transfer` about very much content,
//! `websocket` about what runs through tunnels, `redirect` about requests in the clear.

mod access;
mod chaos;
mod conformance;
mod failure;
mod forward;
mod framing;
mod grammar;
mod header;
mod limits;
mod redirect;
mod reuse;
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
