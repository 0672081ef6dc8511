//! Clear text on its way between a client and a backend.
//!
//! `tcp` joins two streams and knows nothing of what they carry; `http` serves requests, with
//! `header` for what may pass and `upgrade` for what stops being HTTP. Both take a client without
//! TLS as a stream of `clear`. Refuses to know how the
//! stream was established and which backend belongs to which name: `handshake` and `route` do.

pub mod clear;
pub mod header;
pub mod http;
pub mod tcp;
pub mod upgrade;
