//! Packets between two processes: bytes, and at most one descriptor with them (unix(7)).
//!
//! Owns the socket pair that only a child of ours gets the other end of; there is no path that
//! anybody could connect to. A packet arrives whole or not at all, and a longer one than
//! [`PACKET_BYTES_MAX`] breaks the conversation. Descriptors arrive closed on exec. What is carried
//! is wiped, since some of it is secret. Refuses to know what packets mean. Read next: `message`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair, sockopt,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// One end of a pair.
#[derive(Debug)]
pub(super) struct Packets {
    socket: OwnedFd,
    /// Another hand on it, from the first wait on: a process may be out of descriptors when it has
    /// to hear most.
    registered: OnceLock<UnixStream>,
}

/// What arrived together.
pub(super) struct Packet {
    /// Never longer than [`PACKET_BYTES_MAX`].
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// What came along.
    pub(super) descriptor: Option<OwnedFd>,
}

impl Packets {
    /// Both ends; the other one is for a child.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self::of(ours), theirs))
    }

    pub(super) fn of(socket: OwnedFd) -> Self {
        Self { socket, registered: OnceLock::new() }
    }

    /// The end that the parent left as standard input, in whose place comes `/dev/null`.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let stdin = io::stdin();
        let is_unix = sockopt::socket_domain(&stdin)? == AddressFamily::UNIX;
        if !is_unix || sockopt::socket_type(&stdin)? != SocketType::SEQPACKET {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        }
        let ours = stdin.as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Self::of(ours))
    }

    /// Sends a packet; waits while the other end is slow to take what it was sent.
    pub(super) async fn send(
        &self,
        bytes: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let socket = self.registered()?;
        socket.async_io(Interest::WRITABLE, || self.try_send(bytes, descriptor)).await
    }

    /// Waits for a packet; none means that the other end is gone.
    pub(super) async fn receive(&self) -> io::Result<Option<Packet>> {
        let socket = self.registered()?;
        socket.async_io(Interest::READABLE, || self.try_receive()).await
    }

    /// What is waited by. It is no stream, but what is called so here waits for any socket.
    pub(super) fn registered(&self) -> io::Result<&UnixStream> {
        if let Some(registered) = self.registered.get() {
            return Ok(registered);
        }
        let socket = unix::net::UnixStream::from(self.socket.try_clone()?);
        let registered = UnixStream::from_std(socket)?;
        Ok(self.registered.get_or_init(|| registered))
    }

    /// Sends a packet where there is no runtime yet, which must not take longer than until `end`.
    pub(super) fn send_by(&self, bytes: &[u8], end: Instant) -> io::Result<()> {
        loop {
            match self.try_send(bytes, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, end)?;
                }
                sent => return sent,
            }
        }
    }

    /// Waits for a packet where there is no runtime yet, until `end`.
    pub(super) fn receive_by(&self, end: Instant) -> io::Result<Option<Packet>> {
        loop {
            match self.try_receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN, end)?;
                }
                received => return received,
            }
        }
    }

    fn wait(&self, events: PollFlags, end: Instant) -> io::Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        // Rounded up, so that nothing spins in the last millisecond.
        let left = left + Duration::from_millis(1);
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.socket, events)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn try_send(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let descriptors: Vec<_> = descriptor.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            // There is room for one.
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn try_receive(&self) -> io::Result<Option<Packet>> {
        let mut bytes = Zeroizing::new(vec![0; PACKET_BYTES_MAX]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        // There is room for a few, as the kernel counts it.
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                descriptors.extend(more);
            }
        }
        let is_cut = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        if is_cut || descriptors.len() > 1 {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        // No packet of ours is empty, so this is the end.
        if received.bytes == 0 {
            return Ok(None);
        }
        bytes.truncate(received.bytes);
        Ok(Some(Packet { bytes, descriptor: descriptors.pop() }))
    }
}

/// The most that one packet holds; less than any kernel gives a socket to send.
pub(super) const PACKET_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Packets, Packets) {
        let (ours, theirs) = Packets::pair().unwrap();
        (ours, Packets::of(theirs))
    }

    #[tokio::test]
    async fn packets_arrive_whole_in_order_and_with_their_descriptors() {
        let (here, there) = pair();
        let (mut kept, given) = UnixStream::pair().unwrap();
        here.send(b"first", None).await.unwrap();
        here.send(b"second", Some(given.as_fd())).await.unwrap();
        drop(given);
        let long = vec![7; PACKET_BYTES_MAX];
        here.send(&long, None).await.unwrap();
        drop(here);
        let first = there.receive().await.unwrap().unwrap();
        assert_eq!((&**first.bytes, first.descriptor.is_some()), (&b"first"[..], false));
        let second = there.receive().await.unwrap().unwrap();
        assert_eq!(&**second.bytes, b"second");
        let mut stream = UnixStream::from(second.descriptor.unwrap());
        stream.write_all(b"hello").unwrap();
        drop(stream);
        let mut heard = String::new();
        kept.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        assert_eq!(**there.receive().await.unwrap().unwrap().bytes, long);
        assert!(there.receive().await.unwrap().is_none(), "the other end is gone");
    }

    #[tokio::test]
    async fn a_packet_that_is_too_long_is_refused_on_both_sides() {
        let (here, there) = pair();
        let long = vec![7; PACKET_BYTES_MAX + 1];
        let refused = here.send(&long, None).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        rustix::net::send(&here.socket, &long, SendFlags::empty()).unwrap();
        let refused = there.receive().await.map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn more_descriptors_than_one_are_refused_and_closed() {
        let (here, there) = pair();
        let (mut kept, given) = UnixStream::pair().unwrap();
        let descriptors = [given.as_fd(), given.as_fd(), given.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&here.socket, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        drop(given);
        there.receive().await.map(|_| ()).unwrap_err();
        assert_eq!(kept.read(&mut [0; 1]).unwrap(), 0, "nobody holds the other end");
    }

    #[test]
    fn without_a_runtime_a_wait_has_an_end() {
        let (here, there) = pair();
        let late = there.receive_by(Instant::now() + Duration::from_millis(10)).map(|_| ());
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let end = Instant::now() + Duration::from_secs(30);
        here.send_by(b"in time", end).unwrap();
        assert_eq!(&**there.receive_by(end).unwrap().unwrap().bytes, b"in time");
        let full = loop {
            if let Err(full) = here.send_by(&[0; 4096], Instant::now()) {
                break full;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::TimedOut);
        drop(here);
        while there.receive_by(end).unwrap().is_some() {}
    }
}
