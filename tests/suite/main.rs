//! The suite: what Portunus promises, one module a topic, one test a requirement.
//!
//! Every test runs the real binary, and most let a foreign program judge it. Read `tests/src`
//! first: it is the vocabulary. `tidy` is about the source, not about the binary.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::disallowed_methods,
        reason = "a test says what it expects by panicking, and ends with its own tasks"
    )
)]

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod balance;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod client_auth;
#[cfg(test)]
mod confinement;
#[cfg(test)]
mod encryption;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod http;
#[cfg(test)]
mod image;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod page;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod proxy_protocol;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod resumption;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod starttls;
#[cfg(test)]
mod status;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod upgrade;
