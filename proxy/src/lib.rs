//! Portunus, a TLS terminator: it stands in front of plaintext services, takes TLS off, and hands
//! the clear text on.
//!
//! A guided tour, in the order in which a connection passes:
//!
//! 1. `cli` reads the command line, [`config`] the configuration, and [`runtime`] builds, binds,
//!    serves and drains.
//! 2. [`listener`] accepts a connection and does nothing else with it.
//! 3. [`connection`] is the spine: it calls the following stages in order and reports the end.
//! 4. [`handshake`] reads the ClientHello, chooses site, certificate and sessions, and establishes
//!    TLS, all under one deadline. Keys, names and sessions are the crate `portunus_certs`.
//! 5. [`route`] knows the backend of a site, [`backend`] the way to one of its endpoints.
//! 6. [`forward`] moves the clear text: `tcp` bytes, `http` requests.
//! 7. [`outcome`] says how it ended, and [`metrics`], [`log`] and [`admin`] tell.
//!
//! [`snapshot`] is what a connection takes with it, [`drain`] how everything ends, [`limit`] what
//! is capped, [`phase`] where the process stands, [`net`] what an address and a socket are,
//! [`body`] what follows the head of a message, [`field`] what the name of a field means,
//! [`access`] how each request is told of, [`trace`] how it is followed from program to program,
//! [`failures`] which clients failed of late and why, [`history`] what was read of late,
//! [`control`] what operators ask for, [`privilege`] what is given up before anything is served,
//! [`proxy_protocol`] how proxies introduce clients to each other, `fault` what tests break on
//! purpose.

pub mod access;
pub mod admin;
pub mod backend;
pub mod body;
mod calendar;
mod cli;
pub mod config;
pub mod connection;
pub mod control;
pub mod count;
pub mod drain;
pub mod failures;
#[cfg(debug_assertions)]
mod fault;
pub mod field;
pub mod forward;
pub mod handshake;
pub mod history;
pub mod limit;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod net;
pub mod outcome;
pub mod phase;
pub mod privilege;
pub mod proxy_protocol;
pub mod route;
pub mod runtime;
pub mod snapshot;
pub mod starttls;
pub mod trace;

pub use cli::main;
