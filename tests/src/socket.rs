//! A socket as rustls reads and writes it: without waiting, and in pieces as small as a test wants.
//!
//! Owns the translation of "would block". Refuses to know TLS, which is `client`'s.

use std::io::{self, Read, Write};

use tokio::net::TcpStream;

/// None where there is nothing to do yet.
pub(crate) fn blocked_is_fine(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The socket as rustls sees it.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    tcp: &'a TcpStream,
    write_max: usize,
}

impl<'a> Pieces<'a> {
    /// `tcp`, to which no more than `write_max` bytes are written at a time.
    pub(crate) fn new(tcp: &'a TcpStream, write_max: usize) -> Self {
        Self { tcp, write_max }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.try_read(buffer)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.try_write(&bytes[..bytes.len().min(self.write_max)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
