//! SMTP as the side that asks for TLS (RFC 3207).
//!
//! Owns the three questions: greeting, EHLO, STARTTLS. Nothing of the answers is kept: after TLS
//! the client asks anew. Refuses to know the client.

use super::reply::Replies;
use crate::starttls::line::{Lines, text};
use crate::starttls::{ClientDialogue, ClientStep, Unwilling};

/// A dialogue with an endpoint that is asked for TLS.
#[derive(Debug)]
pub struct Client {
    name: String,
    lines: Lines,
    replies: Replies,
    waits_for: Waits,
}

/// What was asked last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Waits {
    Greeting,
    Hello,
    StartTls,
}

impl Client {
    /// `name` is how we call ourselves.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: Lines::default(),
            replies: Replies::default(),
            waits_for: Waits::Greeting,
        }
    }

    fn step(&mut self) -> Result<ClientStep, Unwilling> {
        loop {
            let line = self.lines.take().map_err(|_| Unwilling::NotTheProtocol)?;
            let Some(line) = line else { return Ok(ClientStep::Listen) };
            let line = text(line).ok_or(Unwilling::NotTheProtocol)?;
            let reply = self.replies.line(line).map_err(|_| Unwilling::NotTheProtocol)?;
            let Some(reply) = reply else { continue };
            if !self.lines.rest().is_empty() {
                return Err(Unwilling::Injected);
            }
            let offers_tls = || reply.words.iter().any(|w| w.eq_ignore_ascii_case("STARTTLS"));
            return match (self.waits_for, reply.code) {
                (Waits::Greeting, 220) => {
                    self.waits_for = Waits::Hello;
                    Ok(ClientStep::Say(format!("EHLO {}\r\n", self.name).into_bytes()))
                }
                (Waits::Greeting, 400..) => Err(Unwilling::Refused),
                (Waits::Hello, 250) if offers_tls() => {
                    self.waits_for = Waits::StartTls;
                    Ok(ClientStep::Say(b"STARTTLS\r\n".to_vec()))
                }
                (Waits::Hello, 421) => Err(Unwilling::Refused),
                (Waits::StartTls, 220) => Ok(ClientStep::Upgrade),
                (Waits::Hello, 250 | 400..) | (Waits::StartTls, 400..) => Err(Unwilling::NoTls),
                (Waits::Greeting | Waits::Hello | Waits::StartTls, _) => {
                    Err(Unwilling::NotTheProtocol)
                }
            };
        }
    }
}

impl ClientDialogue for Client {
    fn feed(&mut self, bytes: &[u8]) -> ClientStep {
        self.lines.push(bytes);
        self.step().unwrap_or_else(ClientStep::Refuse)
    }

    fn greeting(&self, name: &str) -> Vec<u8> {
        format!("220 {name} ESMTP\r\n").into_bytes()
    }
}
