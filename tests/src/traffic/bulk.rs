//! Many bytes, in pieces: a response that is compared to the byte as it comes, and an upload that
//! is compared by who gets it.
//!
//! Owns the transfers, of which a turn is one piece. A transfer has a length, and neither a byte
//! less nor an end before the last one will do.

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::fault::at;
use super::way::{Link, Way};
use super::{Client, Fault, Reason};

/// Download after download over HTTP/1.1, each on a connection of its own.
#[derive(Debug)]
pub(super) struct Download {
    way: Way,
    open: Option<Coming>,
}

/// A response on its way.
#[derive(Debug)]
struct Coming {
    body: Incoming,
    received: usize,
    connection: JoinHandle<hyper::Result<()>>,
    port: u16,
}

impl Download {
    pub(super) fn new(way: Way) -> Self {
        Self { way: way.alpn("http/1.1"), open: None }
    }

    async fn begin(&self) -> Result<Coming, Fault> {
        let Link { stream, port } = self.way.connect().await?;
        let begun = async {
            let opened = http1::handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = opened.map_err(at("begin HTTP"))?;
            let connection = tokio::spawn(connection);
            let request = Request::get(format!("/bytes/{DOWNLOAD_SIZE}"))
                .header("host", self.way.name())
                .header("connection", "close")
                .body(Empty::<Bytes>::new())
                .expect("a request is one");
            let answer = sender.send_request(request).await.map_err(at("hear the head"))?;
            if answer.status() != 200 {
                return Err(Fault::wrong("hear the head", answer.status().to_string()));
            }
            Ok(Coming { body: answer.into_body(), received: 0, connection, port })
        };
        begun.await.map_err(|fault| fault.of_port(port))
    }
}

impl Client for Download {
    async fn turn(&mut self) -> Result<(), Fault> {
        if self.open.is_none() {
            self.open = Some(self.begin().await?);
        }
        let open = self.open.as_mut().expect("it was just opened");
        if open.piece().await.map_err(|fault| fault.of_port(open.port))? {
            let Coming { connection, port, .. } = self.open.take().expect("it is open");
            let ended = connection.await.expect("the connection does not panic");
            ended.map_err(at("see the end")).map_err(|fault| fault.of_port(port))?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Fault> {
        while self.open.is_some() {
            self.turn().await?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.open = None;
    }
}

impl Coming {
    /// Takes a piece: whether it was the last.
    async fn piece(&mut self) -> Result<bool, Fault> {
        let mut left = PIECE_SIZE;
        while left > 0 {
            let Some(frame) = self.body.frame().await else {
                let is_whole = self.received == DOWNLOAD_SIZE;
                let short = Fault::new("take a piece", Reason::Truncated);
                return if is_whole { Ok(true) } else { Err(short) };
            };
            let data = frame.map_err(at("take a piece"))?.into_data().unwrap_or_default();
            if let Some(place) = first_difference(self.received, &data) {
                return Err(Fault::wrong("take a piece", format!("another byte at {place}")));
            }
            self.received += data.len();
            left = left.saturating_sub(data.len());
        }
        Ok(false)
    }
}

/// Upload after upload through a TCP listener, each on a connection of its own.
#[derive(Debug)]
pub(super) struct Upload {
    way: Way,
    open: Option<(Link, usize)>,
}

impl Upload {
    pub(super) fn new(way: Way) -> Self {
        Self { way: way.for_bytes(), open: None }
    }
}

impl Client for Upload {
    async fn turn(&mut self) -> Result<(), Fault> {
        if self.open.is_none() {
            let mut link = self.way.connect().await?;
            link.send("begin an upload", b"U").await?;
            link.send("begin an upload", &(UPLOAD_SIZE as u64).to_be_bytes()).await?;
            self.open = Some((link, 0));
        }
        let (link, sent) = self.open.as_mut().expect("it was just opened");
        let piece: Vec<_> = (*sent..UPLOAD_SIZE.min(*sent + PIECE_SIZE)).map(byte_at).collect();
        link.send("send a piece", &piece).await?;
        *sent += piece.len();
        if *sent == UPLOAD_SIZE {
            let (mut link, _) = self.open.take().expect("it is open");
            let mut verdict = [0; 8];
            link.fill("hear what came", &mut verdict).await?;
            let whole = u64::from_be_bytes(verdict);
            if whole != UPLOAD_SIZE as u64 {
                let what = format!("another byte at {whole}");
                return Err(Fault::wrong("hear what came", what).of_port(link.port));
            }
            link.close("end").await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Fault> {
        while self.open.is_some() {
            self.turn().await?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.open = None;
    }
}

/// The byte at a place, in every transfer.
pub(super) fn byte_at(place: usize) -> u8 {
    // The same as in the content of [`crate::backend::http::filler`].
    u8::try_from(place % 251).expect("the rest is below 251")
}

/// Where `data`, whose first byte is at `place`, is not as it has to be.
pub(super) fn first_difference(place: usize, data: &[u8]) -> Option<usize> {
    let mut bytes = data.iter().zip(place..);
    bytes.find(|&(&byte, place)| byte != byte_at(place)).map(|(_, place)| place)
}

const DOWNLOAD_SIZE: usize = 8 << 20;
const UPLOAD_SIZE: usize = 4 << 20;
const PIECE_SIZE: usize = 64 << 10;
