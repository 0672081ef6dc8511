//! HTTP/2 frame by frame.
//!
//! Owns [`Raw`], a client that writes frames as it is told, and no client library would. Read next:
//! `floods`, and `malformed`, for requests that are none.

use tokio::io::{ReadHalf, WriteHalf, split};

use super::*;
use crate::metrics::HttpVersion;

pub(in crate::forward::http) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(in crate::forward::http) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(in crate::forward::http) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(in crate::forward::http) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const ACK: u8 = 1;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it was received.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of an `RST_STREAM` or a `GOAWAY`.
    pub(super) fn code(&self) -> u32 {
        let code = if self.kind == GOAWAY { &self.payload[4..8] } else { &self.payload[..4] };
        u32::from_be_bytes(code.try_into().unwrap())
    }

    /// The last stream that a `GOAWAY` speaks of.
    pub(super) fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// A frame to be sent.
pub(in crate::forward::http) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Fields without compression (RFC 7541 §6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127, "needs no second byte of length");
        [&[text.len() as u8], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat()).collect()
}

pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "app.example")];
pub(super) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "app.example")];

/// A whole request without content.
pub(in crate::forward::http) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&GET))
}

/// A client of HTTP/2 without rules.
pub(super) struct Raw {
    pub(super) read: ReadHalf<DuplexStream>,
    pub(super) write: WriteHalf<DuplexStream>,
    buffer: Vec<u8>,
    pub(super) closed: oneshot::Receiver<CloseReason>,
    pub(super) mock: Mock,
    pub(super) metrics: Metrics,
    pub(super) drain: Drain,
}

impl Raw {
    pub(super) async fn new(scripts: Vec<Vec<Step>>, tweak: fn(&mut Limits)) -> Self {
        Self::at(scripts, tweak, &[]).await
    }

    /// A client whose first frame says `settings`.
    pub(super) async fn at(
        scripts: Vec<Vec<Step>>,
        tweak: fn(&mut Limits),
        settings: &[u8],
    ) -> Self {
        let (drain, watch) = Drain::new();
        let mock = Mock::start(&watch, scripts).await;
        let (service, metrics) = service(&mock.addr, tweak);
        Self::of(service, metrics, mock, (drain, watch), settings).await
    }

    /// A client that has said nothing yet.
    pub(super) async fn silent(scripts: Vec<Vec<Step>>) -> Self {
        let (drain, watch) = Drain::new();
        let mock = Mock::start(&watch, scripts).await;
        let (service, metrics) = service(&mock.addr, |_| {});
        Self::before(service, metrics, mock, (drain, watch))
    }

    /// A client of `service`.
    pub(super) async fn of(
        service: Arc<HttpService>,
        metrics: Metrics,
        mock: Mock,
        drain: (Drain, DrainWatch),
        settings: &[u8],
    ) -> Self {
        let mut raw = Self::before(service, metrics, mock, drain);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, settings)).await;
        raw
    }

    fn before(
        service: Arc<HttpService>,
        metrics: Metrics,
        mock: Mock,
        (drain, watch): (Drain, DrainWatch),
    ) -> Self {
        let (io, stream) = duplex(64 * 1024);
        let (close, closed) = oneshot::channel();
        let finish = watch.clone();
        watch.spawn(async move {
            let stream = TokioIo::new(stream);
            let _ = close.send(serve(stream, HttpVersion::H2, service, facts(), finish).await);
        });
        let (read, write) = split(io);
        Self { read, write, buffer: Vec::new(), closed, mock, metrics, drain }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
    }

    /// The next frame, or `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.buffer.split_first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if let Some(payload) = rest.get(..length) {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let (kind, flags) = (head[3], head[4]);
                    let payload = payload.to_vec();
                    self.buffer.drain(..9 + length);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            let mut bytes = [0; 4096];
            let read = timeout(PATIENCE, self.read.read(&mut bytes)).await;
            match read.expect("frames or the end").unwrap_or(0) {
                0 => return None,
                read => self.buffer.extend_from_slice(&bytes[..read]),
            }
        }
    }

    /// The next frame of that kind.
    pub(super) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("no frame of type {kind}"));
            if frame.kind == kind && !(kind == PING && frame.flags == ACK) {
                return frame;
            }
        }
    }

    /// Sends `bytes` until the other side has had enough, and returns its last `GOAWAY`, if it said
    /// one, and how the connection ended.
    pub(super) async fn flood(mut self, bytes: &[u8]) -> (Option<u32>, CloseReason, Metrics) {
        let mut write = self.write;
        let writing = async move {
            while write.write_all(bytes).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let mut code = None;
        let mut said = Vec::new();
        let reading = async {
            while self.read.read_buf(&mut said).await.unwrap_or(0) > 0 {
                while let Some((head, rest)) = said.split_first_chunk::<9>() {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    let Some(payload) = rest.get(..length) else { break };
                    if head[3] == GOAWAY {
                        code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                    }
                    said.drain(..9 + length);
                }
            }
        };
        let both = timeout(PATIENCE, async { tokio::join!(writing, reading) });
        both.await.expect("an end of it");
        (code, self.closed.await.unwrap(), self.metrics)
    }
}
