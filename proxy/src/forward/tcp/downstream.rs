//! What a tunnel needs of the client's stream, with TLS or without.
//!
//! Owns [`Downstream`], which the relay is compiled for once for each kind, so that what TLS costs
//! is paid by TLS alone. Refuses to know who the client is. Read next: `handshake::tls` and
//! `forward::clear`, the two streams.

use std::io;
use std::task::{Context, Poll};

use crate::forward::clear::ClearStream;
use crate::handshake::tls::TlsStream;
use crate::net::Socket;

/// A client's stream: what it says is shown where it lies, and what it is given is taken whole.
pub trait Downstream: Send {
    /// Waits until [`Downstream::clear_text`] has something to show, or never will again.
    fn poll_clear_text(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The next of what the client has said, empty at its end; [`Downstream::consume`] takes it
    /// away.
    fn clear_text(&mut self) -> &[u8];

    /// Whether the client has said more than [`Downstream::clear_text`] shows, as far as is known
    /// without asking the kernel.
    fn has_more(&self) -> bool;

    /// Takes away the first `count` bytes of what [`Downstream::clear_text`] showed.
    fn consume(&mut self, count: usize);

    /// What became known of the end of the client's direction, behind the last of
    /// [`Downstream::clear_text`].
    fn last_word(&self) -> LastWord;

    /// Takes bytes for the client and returns how many: all of them, if
    /// [`Downstream::poll_flush`] has left nothing and they are no more than
    /// [`SCRATCH_BYTES`](crate::net::SCRATCH_BYTES). They travel by then or with the next
    /// [`Downstream::poll_flush`].
    fn give(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize>;

    /// Sends all that was taken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Sends all that was taken, and ends our direction in an orderly way.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The socket, to set options.
    fn socket(&self) -> &Socket;
}

/// What vouches for the end of the client's direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LastWord {
    /// What was agreed on: `close_notify` under TLS (RFC 8446 §6.1), the end of the stream without.
    Heard,
    /// Nothing: TLS ended by TCP alone, which an attacker can bring about as well.
    Missing,
}

impl Downstream for TlsStream {
    fn poll_clear_text(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_clear_text(self, cx).map_err(io::Error::from)
    }

    fn clear_text(&mut self) -> &[u8] {
        Self::clear_text(self)
    }

    fn has_more(&self) -> bool {
        Self::has_more(self)
    }

    fn consume(&mut self, count: usize) {
        Self::consume(self, count);
    }

    fn last_word(&self) -> LastWord {
        match self.is_truncated() {
            true => LastWord::Missing,
            false => LastWord::Heard,
        }
    }

    fn give(&mut self, _cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.encrypt(rest)? {
                0 => break,
                count => taken += count,
            }
        }
        Ok(taken)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self, cx).map_err(io::Error::from)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_end(self, cx).map_err(io::Error::from)
    }

    fn socket(&self) -> &Socket {
        Self::socket(self)
    }
}

impl Downstream for ClearStream {
    fn poll_clear_text(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_clear_text(self, cx)
    }

    fn clear_text(&mut self) -> &[u8] {
        Self::clear_text(self)
    }

    fn has_more(&self) -> bool {
        Self::has_more(self)
    }

    fn consume(&mut self, count: usize) {
        Self::consume(self, count);
    }

    fn last_word(&self) -> LastWord {
        LastWord::Heard
    }

    fn give(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        Self::give(self, cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self, cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_end(self, cx)
    }

    fn socket(&self) -> &Socket {
        Self::socket(self)
    }
}
