//! The upgrade of the binary, and sockets that somebody else opened: nobody who connects notices.
//!
//! `activation` is about sockets of a supervisor, `handoff` about one process that follows another.

mod activation;
mod handoff;
