//! Visits: a handshake, one request, and the end.
//!
//! Owns the rule of who comes back: the first visit, and the first after a fault, may be a full
//! handshake; every other resumes.

use super::way::{Link, Way};
use super::{Client, Fault, Reason};

/// Visit after visit.
#[derive(Debug)]
pub(super) struct Visits {
    way: Way,
    returns: bool,
    has_session: bool,
    number: usize,
}

impl Visits {
    /// Never knows the server from before.
    pub(super) fn newcomer(way: Way) -> Self {
        Self { way: way.alpn("http/1.1"), returns: false, has_session: false, number: 0 }
    }

    /// Comes back with what it was given.
    pub(super) fn returning(way: Way) -> Self {
        let way = way.with_sessions().alpn("http/1.1");
        Self { way, returns: true, has_session: false, number: 0 }
    }

    /// Asks, and takes the answer up to the end of the connection, which has to be a proper one.
    async fn ask(&self, link: &mut Link) -> Result<(), Fault> {
        let word = format!("visit {}", self.number);
        let name = self.way.name();
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: {name}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
             {word}",
            word.len()
        );
        link.send("ask", request.as_bytes()).await?;
        let head = link.head("hear the head of the answer").await?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(Fault::wrong("hear the head of the answer", head));
        }
        let mut content = vec![0; word.len()];
        link.fill("hear the answer", &mut content).await?;
        if content != word.as_bytes() {
            let content = String::from_utf8_lossy(&content).into_owned();
            return Err(Fault::wrong("hear the answer", content));
        }
        Ok(())
    }
}

impl Client for Visits {
    async fn turn(&mut self) -> Result<(), Fault> {
        self.number += 1;
        let mut link = self.way.connect().await?;
        let port = link.port;
        let is_full = !link.resumed();
        self.ask(&mut link).await.map_err(|fault| fault.of_port(port))?;
        link.close("end").await?;
        let has_session = std::mem::replace(&mut self.has_session, self.returns);
        if has_session && is_full {
            return Err(Fault::new("resume", Reason::NotResumed).of_port(port));
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn forget(&mut self) {
        self.has_session = false;
    }
}
