//! The harness: a proxy, what stands behind it and who calls it, each in a sentence.
//!
//! ```text
//! let proxy = Proxy::builder().listener(https("app.example")).backend(echo()).start().await;
//! let mut client = proxy.client("app.example").connect().await;
//! proxy.drain().await;
//! ```
//!
//! Owns what every topic of `suite/` needs: [`Proxy`] runs the real binary with a configuration of
//! its own in a folder of its own, [`Backend`] is what it forwards to, [`Client`] and [`foreign`]
//! are who calls, [`Authority`] is whom they trust. Refuses to know any requirement: those are the
//! tests. Nothing here sleeps and hopes; whatever takes time is awaited in [`wait`], under a
//! deadline. Read next: `proxy`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a harness fails by panicking, which is how a test learns of it"
)]

mod asker;
mod authority;
mod backend;
mod client;
mod client_authority;
mod collector;
pub mod container;
mod detour;
pub mod dialogue;
pub mod foreign;
mod http1;
pub mod peers;
mod process;
pub mod prometheus;
mod proxy;
pub mod redis;
mod reserved;
mod socket;
pub mod traffic;
mod visitors;
pub mod wait;
mod wallet;

pub use asker::{Answer, Asker, Version};
pub use authority::{Authority, Credential, Key, authority, now};
pub use backend::doomed::{Death, Doomed, doomed};
pub use backend::http::{Http, Seen, http};
pub use backend::ledger::{Ledger, ledger};
pub use backend::{Backend, echo, greeter, raw, silent, unreachable};
pub use client::{Client, Tls};
pub use client_authority::{ClientAuthority, Flaw};
pub use collector::Collector;
pub use detour::Detour;
pub use http1::{Response, read_response};
pub use process::{Line, Process, command};
pub use proxy::builder::{Builder, Listener, TOKEN, clear, https, tls, write, write_and_rename};
pub use proxy::{Exit, Proxy, get};
pub use reserved::own_address;
pub use visitors::Visitors;
pub use wallet::Wallet;
