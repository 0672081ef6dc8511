//! What may pass between a client and a backend, as pure functions of message heads.
//!
//! Owns the rules: which requests are refused, which fields belong to one hop, which names are
//! reserved for this program since backends believe them. What comes here was parsed: requests by
//! our codec of HTTP/1.1 or by that of HTTP/2, responses by hyper or by the latter. Codecs decide
//! what is a message, and what may pass is decided here. Refuses to know connections. The order is
//! law: refuse, then strip what is reserved or for one hop, then set our own fields, so that no
//! client can have them removed. Read next: `request`, then `response`.

mod client;
mod edit;
mod forwarded;
mod host;
mod identity;
mod length;
mod refusal;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod tls;
mod websocket;

pub use client::{Client, Sender};
pub use edit::edit;
pub use forwarded::Proto;
pub use host::{Host, HostError};
pub use identity::{ClientCert, ClientCertError};
pub use refusal::{Refusal, TARGET_TOO_LONG, TOO_LARGE, UNKNOWN_CODING, UNKNOWN_EXPECTATION};
pub(in crate::forward) use request::X_REQUEST_ID;
pub use request::{Ours, Protocol, Vetted, forward, is_grpc, vet};
pub use response::{BadResponse, Trailers, clean, clean_interim};
pub use tls::{TlsFacts, TlsFields};
pub use websocket::{WebSocketKey, agree_to_websocket, ask_for_websocket};
