//! A WebSocket over HTTP/2 (RFC 8441) as the handshake that backends know (RFC 6455).
//!
//! Owns the two turns: the extended `CONNECT` of the client into a `GET` with `Upgrade`, and the
//! 101 of the backend into the 200 that the client waits for. The key, which over HTTP/2 nobody
//! needs, is ours, and what the backend makes of it is checked. Refuses to know the bytes of a
//! WebSocket.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{HeaderValue, Method, StatusCode, Version, request, response};

use super::request::join_cookies;

/// Turns the head of an extended `CONNECT`, whose fields are well-formed in HTTP/2, into that of a
/// handshake with `key`. It is vetted afterwards like any other that comes over HTTP/1.1.
pub fn ask_for_websocket(parts: &mut request::Parts, key: &WebSocketKey) {
    let headers = &mut parts.headers;
    if !headers.contains_key(HOST)
        && let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    join_cookies(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, key.0.clone());
    // What follows is no content, whatever was said of it.
    headers.remove(CONTENT_LENGTH);
    parts.method = Method::GET;
    parts.version = Version::HTTP_11;
}

/// Turns the head of a response with status 101 into what the client waits for. `false` if it is
/// not the answer to `key`.
pub fn agree_to_websocket(head: &mut response::Parts, key: &WebSocketKey) -> bool {
    let accept = head.headers.remove(SEC_WEBSOCKET_ACCEPT);
    head.headers.remove(CONNECTION);
    head.headers.remove(UPGRADE);
    head.status = StatusCode::OK;
    accept.is_some_and(|accept| accept.as_bytes() == key.answer().as_bytes())
}

/// What a backend shows that it speaks WebSocket by.
#[derive(Clone, Debug)]
pub struct WebSocketKey(HeaderValue);

impl WebSocketKey {
    /// The key of `nonce`, which need not be secret.
    pub fn new(nonce: u128) -> Self {
        // Base64 is a valid value.
        let key = HeaderValue::try_from(STANDARD.encode(nonce.to_be_bytes()));
        Self(key.unwrap_or(HeaderValue::from_static("")))
    }

    /// What the backend makes of it (RFC 6455 §4.2.2).
    fn answer(&self) -> String {
        let text = [self.0.as_bytes(), MAGIC].concat();
        STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
    }
}

const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        // RFC 6455 §1.3.
        let key = WebSocketKey(HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(key.answer(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(WebSocketKey::new(0).0.len(), 24);
    }
}
