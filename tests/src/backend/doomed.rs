//! A service of HTTP/1.1 that ends in the middle of a request, at a point that the test chooses.
//!
//! Owns the bytes: every connection answers as many requests as it shall and dies in the next one.
//! It remembers each request of which any byte came, by its `x-id`. Refuses to know what a proxy
//! should do about it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Backend, raw};

/// The point at which it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Death {
    /// Before a byte was read.
    AtOnce,
    /// With a part of the head read.
    InHead,
    /// With the head read and no content.
    BehindHead,
    /// With everything read.
    BeforeAnswer,
    /// With a part of the answer's head written.
    InAnswerHead,
    /// With the answer's head and a part of the content written.
    InAnswerContent,
    /// With the answer written: the next one comes to a connection that is gone.
    BehindAnswer,
}

impl Death {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::AtOnce,
        Self::InHead,
        Self::BehindHead,
        Self::BeforeAnswer,
        Self::InAnswerHead,
        Self::InAnswerContent,
        Self::BehindAnswer,
    ];
}

/// The service: a [`Backend`] that also tells of which requests it has read anything.
#[derive(Clone, Debug)]
pub struct Doomed {
    backend: Backend,
    touched: Touched,
}

type Touched = Arc<Mutex<Vec<String>>>;

/// A service each of whose connections answers `lives` requests and ends in the next one.
pub fn doomed(death: Death, lives: usize) -> Doomed {
    let touched = Touched::default();
    let kept = Arc::clone(&touched);
    let backend = raw(move |stream, number| live(stream, number, death, lives, Arc::clone(&kept)));
    Doomed { backend, touched }
}

impl Doomed {
    /// How often anything of the request with this name was read.
    pub fn count(&self, id: &str) -> usize {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.iter().filter(|touched| *touched == id).count()
    }
}

impl Deref for Doomed {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

async fn live(mut stream: TcpStream, number: usize, death: Death, lives: usize, touched: Touched) {
    if number.is_multiple_of(2) {
        // Every other one ends by a reset.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    let mut lives = lives;
    let mut read = Vec::new();
    loop {
        let last = lives == 0;
        if last && death == Death::AtOnce {
            // Not before the other side has something to lose.
            let _ = stream.peek(&mut [0]).await;
            return;
        }
        if last && death == Death::InHead {
            let mut seen = [0; 4096];
            let count = stream.peek(&mut seen).await.unwrap_or(0);
            if let Some(id) = id_in(&String::from_utf8_lossy(&seen[..count])) {
                touched.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            }
            let _ = stream.read(&mut [0; 16]).await;
            return;
        }
        let Some((id, content)) = head(&mut stream, &mut read).await else { return };
        touched.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        if last && death == Death::BehindHead {
            return;
        }
        while read.len() < content {
            let Ok(1..) = stream.read_buf(&mut read).await else { return };
        }
        read.drain(..content);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}", id.len());
        let written = match death {
            Death::BeforeAnswer if last => 0,
            Death::InAnswerHead if last => 20,
            Death::InAnswerContent if last => answer.len() - 1,
            _ => answer.len(),
        };
        let sent = stream.write_all(&answer.as_bytes()[..written]).await;
        if last || sent.is_err() {
            return;
        }
        lives -= 1;
    }
}

/// Reads a head, and returns the name and the length of the content, which may be in `read` by now.
async fn head(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, usize)> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let Ok(1..) = stream.read_buf(read).await else { return None };
    };
    let text = String::from_utf8_lossy(&read[..end]).into_owned();
    read.drain(..end);
    let length = field(&text, "content-length").and_then(|length| length.parse().ok());
    Some((id_in(&text).unwrap_or_default(), length.unwrap_or(0)))
}

fn id_in(head: &str) -> Option<String> {
    field(head, "x-id")
}

fn field(head: &str, name: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_owned())
}
