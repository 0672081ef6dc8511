//! The plaintext backend: an HTTP/1.1 service with one answer, and a source and sink of bytes.
//!
//! Owns both ports, which the kernel chooses and the first line of output tells, and the small
//! protocol of the second one ([`Order`]). It ends when its standard input does. Refuses to parse
//! more of HTTP than the end of a request's head: it shall be quick, and its clients are known.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{LoadError, say, wait_for_line};

/// What a client of the byte port asks for: one letter and a length, as often as it likes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Send so many bytes.
    Download(u64),
    /// Take so many bytes, then answer with one.
    Upload(u64),
}

impl Order {
    /// As it is sent.
    pub(crate) fn encode(self) -> [u8; ORDER_SIZE] {
        let (letter, length) = match self {
            Self::Download(length) => (b'D', length),
            Self::Upload(length) => (b'U', length),
        };
        let mut bytes = [letter; ORDER_SIZE];
        for (to, from) in bytes.iter_mut().skip(1).zip(length.to_be_bytes()) {
            *to = from;
        }
        bytes
    }

    fn decode(bytes: [u8; ORDER_SIZE]) -> Option<Self> {
        let (letter, length) = bytes.split_first()?;
        let length = u64::from_be_bytes(length.try_into().ok()?);
        match letter {
            b'D' => Some(Self::Download(length)),
            b'U' => Some(Self::Upload(length)),
            _ => None,
        }
    }
}

/// Serves until standard input ends.
pub(crate) async fn run() -> Result<(), LoadError> {
    let http = listen().map_err(|source| LoadError::io("listen", source))?;
    let bytes = listen().map_err(|source| LoadError::io("listen", source))?;
    let port = |listener: &TcpListener| {
        listener
            .local_addr()
            .map(|address| address.port())
            .map_err(|source| LoadError::io("learn a port", source))
    };
    say(&format!("{} {}", port(&http)?, port(&bytes)?))?;
    let ended = tokio::task::spawn_blocking(wait_for_line);
    let mut running = JoinSet::new();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            Ok((stream, _)) = http.accept() => { running.spawn(serve_http(stream)); }
            Ok((stream, _)) = bytes.accept() => { running.spawn(serve_bytes(stream)); }
            // How a connection ended is for the client to notice.
            Some(_) = running.join_next() => {}
            _ = &mut ended => return Ok(()),
        }
    }
}

/// Answers each request with the same kibibyte.
async fn serve_http(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_SIZE}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + BODY_SIZE, b'x');
    let mut head = Vec::with_capacity(1024);
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > HEAD_SIZE_MAX || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        head.clear();
        stream.write_all(&answer).await?;
    }
}

/// Carries out orders until the client is gone.
async fn serve_bytes(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut order = [0; ORDER_SIZE];
        stream.read_exact(&mut order).await?;
        match Order::decode(order) {
            Some(Order::Download(length)) => {
                let zeroes = tokio::io::repeat(b'x').take(length);
                let mut source = tokio::io::BufReader::with_capacity(PIECE_SIZE, zeroes);
                tokio::io::copy_buf(&mut source, &mut stream).await?;
            }
            Some(Order::Upload(mut left)) => {
                let mut piece =
                    vec![0; PIECE_SIZE.min(usize::try_from(left).unwrap_or(PIECE_SIZE))];
                while left > 0 {
                    let most = piece.len().min(usize::try_from(left).unwrap_or(PIECE_SIZE));
                    let room = piece.get_mut(..most).unwrap_or_default();
                    let length = stream.read(room).await?;
                    if length == 0 {
                        return Ok(());
                    }
                    left -= length as u64;
                }
                stream.write_all(b".").await?;
            }
            None => return Ok(()),
        }
    }
}

/// A port of the kernel's choice with a queue that takes any burst of a terminator.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Bytes of an HTTP answer's body.
pub(crate) const BODY_SIZE: usize = 1024;

/// Bytes of an encoded [`Order`].
pub(crate) const ORDER_SIZE: usize = 9;

const HEAD_SIZE_MAX: usize = 16 * 1024;
const PIECE_SIZE: usize = 256 * 1024;
