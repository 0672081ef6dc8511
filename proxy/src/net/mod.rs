//! Addresses and sockets, and the bytes on their way between them.
//!
//! Owns the scratch buffer that each thread lends. Refuses to know TLS, HTTP and configuration.
//! Read next: `address` for who is meant, `socket` for the one stream type, `listen` for where
//! connections come in.

mod address;
mod chunk;
mod cut;
pub mod gate;
pub mod listen;
mod name;
mod peek;
mod socket;

use std::cell::RefCell;
use std::io;

pub use address::{AddressError, ClientAddr, EndpointAddr, ListenAddr, PeerAddr};
pub use chunk::Chunk;
pub use cut::cut;
pub use name::EndpointName;
pub use socket::{Keepalive, Progress, Socket};

/// Whether an error says that the other side reset or abandoned the connection.
pub fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// What this machine is called, as the system has it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_str().unwrap_or("localhost").to_owned()
}

/// Lends the calling thread's buffer for bytes on their way; nothing stays in it.
pub fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    }
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// Four full TLS records.
pub const SCRATCH_BYTES: usize = 64 * 1024;
