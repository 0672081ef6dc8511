//! Interim responses as bytes of HTTP/1.1.
//!
//! Owns [`encode`], since hyper writes none but 100 by itself. Refuses to know when the bytes may
//! be written: `io` does.

use bytes::{Bytes, BytesMut};
use http::Response;

use crate::forward::header::clean_interim;

/// The bytes of `interims`, one behind the other.
pub(super) fn encode(interims: Vec<Response<()>>) -> Bytes {
    let mut bytes = BytesMut::new();
    for interim in interims {
        let (mut head, ()) = interim.into_parts();
        clean_interim(&mut head.headers);
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(head.status.as_str().as_bytes());
        bytes.extend_from_slice(b" ");
        bytes.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &head.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.freeze()
}
