//! A backend of MySQL before it is joined with a client: its greeting, and the login.
//!
//! Owns the reading and writing of whole packets while the login lasts, and not a byte beyond it:
//! what follows is the relay's. What is changed in a packet is the dialogue's to know. A backend
//! that is not MySQL, or is silent, costs no more than the limit on time and on a packet. Refuses
//! to know TLS. Read next: `starttls::mysql`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::time::{Instant, timeout_at};

use super::downstream::Downstream;
use super::opening::{OpeningError, bad};
use crate::backend::Link;
use crate::net::{Socket, with_scratch};
use crate::starttls::mysql::{
    BackendWay, Gathering, Heard, Login, LoginError, Opening, Packet, Verdict,
};

/// Hears the first packet of a backend, until `deadline`.
pub async fn hear(backend: &mut Link, deadline: Instant) -> Result<Opening, OpeningError> {
    let mut gathering = Gathering::default();
    let packet = poll_fn(|cx| poll_packet(backend, &mut gathering, cx));
    let packet = timeout_at(deadline, packet).await.map_err(|_| OpeningError::Silent)??;
    Opening::read(packet).map_err(|error| OpeningError::Backend(bad(error)))
}

/// Has `client`, whose TLS stands and who has seen `greeting`, log in at `backend`, which has no
/// TLS, until `deadline`. When this returns, the backend has let the client in, or has refused it
/// and told it so: both are to be joined.
pub async fn log_in<C: Downstream>(
    client: &mut C,
    backend: &mut Link,
    greeting: &Packet,
    deadline: Instant,
) -> Result<(), OpeningError> {
    let way = match backend.socket() {
        Socket::Tcp(_) => BackendWay::Tcp,
        Socket::Unix(_) => BackendWay::Unix,
    };
    let mut exchange = Exchange {
        client,
        link: backend,
        login: Login::new(greeting, way),
        of_client: Gathering::default(),
        of_backend: Gathering::default(),
        unsent: Vec::new(),
    };
    let end = poll_fn(|cx| exchange.poll(cx));
    timeout_at(deadline, end).await.map_err(|_| OpeningError::Timeout)?
}

/// A login that is going on.
struct Exchange<'a, C> {
    client: &'a mut C,
    link: &'a mut Link,
    login: Login,
    of_client: Gathering,
    of_backend: Gathering,
    /// What the backend has not taken yet.
    unsent: Vec<u8>,
}

impl<C: Downstream> Exchange<'_, C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpeningError>> {
        loop {
            let upstream = self.poll_upstream(cx)?;
            match self.poll_downstream(cx)? {
                Poll::Ready(Verdict::Given) => return Poll::Ready(Ok(())),
                Poll::Ready(Verdict::Pending) => {}
                Poll::Pending if upstream.is_ready() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes a step with what the client says.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpeningError>> {
        while !self.unsent.is_empty() {
            let count = ready!(Pin::new(&mut *self.link).poll_write(cx, &self.unsent));
            let count = count.map_err(OpeningError::Backend)?;
            self.unsent.drain(..count);
        }
        ready!(self.link.poll_push(cx)).map_err(OpeningError::Backend)?;
        ready!(self.client.poll_clear_text(cx)).map_err(OpeningError::Client)?;
        let clear = self.client.clear_text();
        if clear.is_empty() {
            return Poll::Ready(Err(OpeningError::Client(io::ErrorKind::UnexpectedEof.into())));
        }
        let count = self.of_client.take(clear).map_err(|error| OpeningError::Client(bad(error)))?;
        self.client.consume(count);
        if let Some(packet) = self.of_client.finish() {
            let packet = self.login.of_client(packet);
            self.unsent = packet.map_err(|error| OpeningError::Client(bad(error)))?.bytes();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a step with what the backend says.
    fn poll_downstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Verdict, OpeningError>> {
        ready!(self.client.poll_flush(cx)).map_err(OpeningError::Client)?;
        let packet = ready!(poll_packet(self.link, &mut self.of_backend, cx))?;
        let heard = self.login.of_backend(packet);
        let (packet, verdict) = match heard.map_err(|error| OpeningError::Backend(bad(error)))? {
            Heard::Client(packet, verdict) => (packet, verdict),
            Heard::Answer(packet) => {
                // What is unsent is the request that this answers, and so nothing.
                self.unsent = packet.bytes();
                return Poll::Ready(Ok(Verdict::Pending));
            }
        };
        if verdict == Verdict::Given && !self.of_client.is_empty() {
            return Poll::Ready(Err(OpeningError::Client(bad(LoginError::OutOfOrder))));
        }
        let bytes = packet.bytes();
        // What does not travel now is flushed before the next is read, or by the relay.
        match self.client.give(cx, &bytes).map_err(OpeningError::Client)? {
            count if count == bytes.len() => Poll::Ready(Ok(verdict)),
            _ => Poll::Ready(Err(OpeningError::Client(io::ErrorKind::WriteZero.into()))),
        }
    }
}

/// Reads one packet of a backend, and nothing behind it.
fn poll_packet(
    link: &mut Link,
    gathering: &mut Gathering,
    cx: &mut Context<'_>,
) -> Poll<Result<Packet, OpeningError>> {
    loop {
        if let Some(packet) = gathering.finish() {
            return Poll::Ready(Ok(packet));
        }
        let missing = gathering.missing().map_err(|error| OpeningError::Backend(bad(error)))?;
        let step = with_scratch(|scratch| {
            let scratch = scratch.get_mut(..missing).unwrap_or_default();
            let count = ready!(link.poll_fill(cx, scratch)).map_err(OpeningError::Backend)?;
            let bytes = scratch.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return Poll::Ready(Err(OpeningError::Backend(
                    io::ErrorKind::UnexpectedEof.into(),
                )));
            }
            Poll::Ready(gathering.take(bytes).map_err(|error| OpeningError::Backend(bad(error))))
        });
        ready!(step)?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;
    use crate::forward::clear::ClearStream;
    use crate::metrics::{Meter, Metrics};
    use crate::outcome::CloseReason;

    /// Both ends of a client and of a backend.
    struct Scene {
        client: ClearStream,
        far_client: UnixStream,
        backend: Link,
        far_backend: UnixStream,
    }

    fn scene() -> Scene {
        let (client, far_client) = UnixStream::pair().unwrap();
        let (backend, far_backend) = UnixStream::pair().unwrap();
        let meter = Arc::new(Meter::new(&Metrics::new().listener("a").bytes));
        let client = ClearStream::new(Socket::Unix(client), meter);
        Scene { client, far_client, backend: Link::Clear(Socket::Unix(backend)), far_backend }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
        Packet { sequence, payload: payload.to_vec() }.bytes()
    }

    /// One without a method.
    static GREETING: Packet = Packet { sequence: 0, payload: Vec::new() };

    /// Capabilities with that of TLS, and without it.
    const LOGIN: &[u8] = b"\x85\xae\xff\x19rest";
    const LOGIN_HEARD: &[u8] = b"\x85\xa6\xff\x19rest";

    #[tokio::test]
    async fn a_login_is_led_to_its_end_and_nothing_behind_it_is_touched() {
        for piece in [1, 3, 4096] {
            let Scene { mut client, mut far_client, mut backend, mut far_backend } = scene();
            let speak = async {
                for bytes in packet(2, LOGIN).chunks(piece) {
                    far_client.write_all(bytes).await.unwrap();
                }
                let mut heard = vec![0; LOGIN_HEARD.len() + 4];
                far_backend.read_exact(&mut heard).await.unwrap();
                assert_eq!(heard, packet(1, LOGIN_HEARD));
                let said =
                    [packet(2, b"\x01\x03"), packet(3, b"\0ok"), packet(0, b"early")].concat();
                for bytes in said.chunks(piece) {
                    far_backend.write_all(bytes).await.unwrap();
                }
                (far_client, far_backend)
            };
            let login = log_in(&mut client, &mut backend, &GREETING, soon());
            let (login, (mut far_client, far_backend)) = tokio::join!(login, speak);
            login.unwrap();
            poll_fn(|cx| client.poll_flush(cx)).await.unwrap();
            let expected = [packet(3, b"\x01\x03"), packet(4, b"\0ok")].concat();
            let mut heard = vec![0; expected.len()];
            far_client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, expected);
            drop(far_backend);
            let mut rest = Vec::new();
            backend.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, packet(0, b"early"), "this is the relay's");
        }
    }

    #[tokio::test]
    async fn the_side_that_is_at_fault_is_known() {
        let Scene { mut client, mut far_client, mut backend, far_backend } = scene();
        far_client.write_all(&packet(7, LOGIN)).await.unwrap();
        let error = log_in(&mut client, &mut backend, &GREETING, soon()).await.unwrap_err();
        assert_eq!(error.reason(), CloseReason::ClientError);
        drop((far_client, far_backend));
        let Scene { mut client, far_client, mut backend, far_backend } = scene();
        drop(far_client);
        let error = log_in(&mut client, &mut backend, &GREETING, soon()).await.unwrap_err();
        assert_eq!(error.reason(), CloseReason::ClientError);
        drop(far_backend);
        let Scene { mut client, far_client, mut backend, far_backend } = scene();
        drop(far_backend);
        let error = log_in(&mut client, &mut backend, &GREETING, soon()).await.unwrap_err();
        assert_eq!(error.reason(), CloseReason::BackendError);
        drop(far_client);
    }

    #[tokio::test]
    async fn a_client_that_does_not_wait_for_the_verdict_gets_none() {
        let Scene { mut client, mut far_client, mut backend, mut far_backend } = scene();
        let early = [&packet(2, LOGIN)[..], &packet(0, b"\x03select 1")[..6]].concat();
        far_client.write_all(&early).await.unwrap();
        let judge = async {
            let mut heard = vec![0; LOGIN_HEARD.len() + 4];
            far_backend.read_exact(&mut heard).await.unwrap();
            far_backend.write_all(&packet(2, b"\0ok")).await.unwrap();
        };
        let login = log_in(&mut client, &mut backend, &GREETING, soon());
        let (login, ()) = tokio::join!(login, judge);
        assert_eq!(login.unwrap_err().reason(), CloseReason::ClientError);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_backend_costs_no_more_than_its_time() {
        let Scene { mut client, far_client, mut backend, far_backend } = scene();
        let error = hear(&mut backend, soon()).await.unwrap_err();
        assert_eq!(error.reason(), CloseReason::Timeout);
        let error = log_in(&mut client, &mut backend, &GREETING, soon()).await.unwrap_err();
        assert_eq!(error.reason(), CloseReason::Timeout);
        drop((far_client, far_backend));
    }

    #[tokio::test]
    async fn a_backend_of_another_protocol_is_named() {
        let Scene { mut backend, mut far_backend, .. } = scene();
        far_backend.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        drop(far_backend);
        let error = hear(&mut backend, soon()).await.unwrap_err();
        assert_eq!(error.reason(), CloseReason::BackendError);
    }
}
