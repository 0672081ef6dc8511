//! A stream of HTTP/2 as a stream of bytes.
//!
//! Owns [`Tunnel`], through which a stream is joined with a connection to a backend like any client
//! that has stopped speaking HTTP. Flow control goes along: what was taken out makes room, and
//! nothing is put in that the client has no room for. Refuses to know what the bytes mean. Read
//! next: `forward::upgrade`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::backlog::Part;
use super::link::Link;

/// Both directions of a stream.
pub(super) struct Tunnel {
    from_client: RecvStream,
    to_client: SendStream<Part>,
    /// What came and was not taken out yet.
    unread: Bytes,
    link: Arc<Link>,
    has_ended: bool,
}

impl Tunnel {
    pub(super) fn new(
        from_client: RecvStream,
        to_client: SendStream<Part>,
        link: Arc<Link>,
    ) -> Self {
        Self { from_client, to_client, unread: Bytes::new(), link, has_ended: false }
    }
}

/// An error of a stream, for those who know only bytes.
fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl Read for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.from_client.poll_data(cx)) {
                Some(data) => self.unread = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(taken));
        self.from_client.flow_control().release_capacity(taken).map_err(broken)?;
        Poll::Ready(Ok(()))
    }
}

impl Write for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.link.backlog().has_room(cx.waker()) {
            return Poll::Pending;
        }
        self.to_client.reserve_capacity(buf.len());
        while self.to_client.capacity() == 0 {
            let room = ready!(self.to_client.poll_capacity(cx));
            room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(broken)?;
        }
        let taken = self.to_client.capacity().min(buf.len());
        let data = Bytes::copy_from_slice(buf.get(..taken).unwrap_or_default());
        if taken < buf.len() {
            self.link.credit().note_piece(taken);
        } else {
            self.link.credit().note_part(taken);
        }
        let part = Part::new(data, &self.link);
        self.to_client.send_data(part, false).map_err(broken)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_ended, true) {
            let end = Part::new(Bytes::new(), &self.link);
            self.to_client.send_data(end, true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}
