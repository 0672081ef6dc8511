//! A look at what has come, which leaves it where it is.
//!
//! Owns [`Socket::peek`] and [`Socket::has_unread`]. Whoever must not read a byte too much looks
//! first.

use std::io;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;

use super::Socket;

impl Socket {
    /// Waits for bytes and copies the first of them to `buf`; the next read gets the same. 0 is the
    /// end of the stream.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let looked = match self {
                Self::Tcp(tcp) => {
                    tcp.readable().await?;
                    tcp.try_io(Interest::READABLE, || look(tcp, buf))
                }
                Self::Unix(unix) => {
                    unix.readable().await?;
                    unix.try_io(Interest::READABLE, || look(unix, buf))
                }
            };
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                looked => return looked,
            }
        }
    }

    /// Whether bytes of the other end are here that nobody has read. The kernel is asked, so this
    /// is true from the moment that they came.
    pub fn has_unread(&self) -> bool {
        let mut byte = [0];
        let looked = match self {
            Self::Tcp(tcp) => look(tcp, &mut byte),
            Self::Unix(unix) => look(unix, &mut byte),
        };
        // An end of stream is no byte, and what is broken will show.
        matches!(looked, Ok(count) if count > 0)
    }
}

fn look(socket: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let (count, _) = recv(socket, buf, RecvFlags::PEEK)?;
    Ok(count)
}
