//! Long conversations: a WebSocket, or bytes through a TCP listener, that come back as they went.
//!
//! Owns as much of RFC 6455 as messages of one frame need. A conversation ends only by its own
//! wish; whoever else ends it has broken it off.

use std::time::Duration;

use tokio::time::Instant;

use super::way::{Link, Way};
use super::{Client, Fault, Reason};

/// Message after message.
#[derive(Debug)]
pub(super) struct Conversation {
    way: Way,
    kind: Kind,
    open: Option<(Link, Instant)>,
    number: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Socket,
    Tunnel,
}

impl Conversation {
    /// Through a WebSocket.
    pub(super) fn socket(way: Way) -> Self {
        Self { way: way.alpn("http/1.1"), kind: Kind::Socket, open: None, number: 0 }
    }

    /// Through a TCP listener.
    pub(super) fn tunnel(way: Way) -> Self {
        Self { way: way.for_bytes(), kind: Kind::Tunnel, open: None, number: 0 }
    }

    async fn begin(&self) -> Result<Link, Fault> {
        let mut link = self.way.connect().await?;
        match self.kind {
            Kind::Tunnel => link.send("begin a tunnel", b"E").await?,
            Kind::Socket => {
                let name = self.way.name();
                let request = format!(
                    "GET /socket HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: {KEY}\r\n\r\n"
                );
                link.send("open a socket", request.as_bytes()).await?;
                let head = link.head("open a socket").await?;
                if !head.starts_with("HTTP/1.1 101 ") {
                    return Err(Fault::wrong("open a socket", head).of_port(link.port));
                }
            }
        }
        Ok(link)
    }

    /// Ends it, by a farewell of both sides.
    async fn finish(&self, mut link: Link) -> Result<(), Fault> {
        if self.kind == Kind::Socket {
            let farewell = [3, 232];
            exchange(&mut link, CLOSE, &farewell, "hear the farewell").await?;
        }
        link.close("end").await
    }
}

impl Client for Conversation {
    async fn turn(&mut self) -> Result<(), Fault> {
        self.number += 1;
        let life = self.way.lasting().unwrap_or(Duration::MAX);
        if let Some((link, _)) = self.open.take_if(|(_, since)| since.elapsed() > life) {
            self.finish(link).await?;
        }
        if self.open.is_none() {
            self.open = Some((self.begin().await?, Instant::now()));
        }
        let (link, _) = self.open.as_mut().expect("it was just opened");
        // Of every size that one frame can have without a length of eight bytes.
        let size = usize::try_from(self.number * 37 % 3_000).unwrap_or(0);
        let message = format!("{:>width$}", self.number, width = size.max(8));
        match self.kind {
            Kind::Socket => exchange(link, TEXT, message.as_bytes(), "hear the message").await,
            Kind::Tunnel => {
                link.send("send a message", message.as_bytes()).await?;
                let mut heard = vec![0; message.len()];
                link.fill("hear the message", &mut heard).await?;
                same(&heard, message.as_bytes(), "hear the message")
            }
        }
    }

    async fn end(&mut self) -> Result<(), Fault> {
        match self.open.take() {
            Some((link, _)) => self.finish(link).await,
            None => Ok(()),
        }
    }

    fn forget(&mut self) {
        self.open = None;
    }
}

/// Sends a frame, and expects the same one back.
async fn exchange(
    link: &mut Link,
    opcode: u8,
    content: &[u8],
    step: &'static str,
) -> Result<(), Fault> {
    link.send("send a frame", &frame(opcode, content)).await?;
    let mut head = [0; 2];
    link.fill(step, &mut head).await?;
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            link.fill(step, &mut length).await?;
            usize::from(u16::from_be_bytes(length))
        }
        short => usize::from(short),
    };
    if head[0] != 0x80 | opcode || length != content.len() {
        let what = format!("a frame {head:?} of {length} bytes");
        return Err(Fault::new(step, Reason::Wrong(what)).of_port(link.port));
    }
    let mut heard = vec![0; length];
    link.fill(step, &mut heard).await?;
    same(&heard, content, step)
}

/// A message as a client sends it, in one frame (RFC 6455 §5.2).
fn frame(opcode: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(content.len()).expect("a message is short") {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).expect("it is below 126")),
        length => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(content.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn same(heard: &[u8], said: &[u8], step: &'static str) -> Result<(), Fault> {
    if heard == said {
        return Ok(());
    }
    Err(Fault::wrong(step, format!("{:?}", String::from_utf8_lossy(heard))))
}

const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
const MASK: [u8; 4] = [1, 2, 3, 4];

/// The key of RFC 6455 §1.3, whose answer is [`ACCEPT`].
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
