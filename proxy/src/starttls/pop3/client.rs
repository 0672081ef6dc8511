//! POP3 as the side that asks for TLS (RFC 2595 §4).
//!
//! Owns the one question. Refuses to know the client.

use super::{Status, status};
use crate::starttls::line::{Lines, text};
use crate::starttls::{ClientDialogue, ClientStep, Unwilling};

/// A dialogue with an endpoint that is asked for TLS.
#[derive(Debug, Default)]
pub struct Client {
    lines: Lines,
    has_asked: bool,
}

impl Client {
    fn step(&mut self) -> Result<ClientStep, Unwilling> {
        let line = self.lines.take().map_err(|_| Unwilling::NotTheProtocol)?;
        let Some(line) = line else { return Ok(ClientStep::Listen) };
        let line = text(line).ok_or(Unwilling::NotTheProtocol)?;
        match (status(line), self.has_asked) {
            (None, _) => Err(Unwilling::NotTheProtocol),
            (Some(Status::Bad), false) => Err(Unwilling::Refused),
            (Some(Status::Bad), true) => Err(Unwilling::NoTls),
            (Some(Status::Good), _) if !self.lines.rest().is_empty() => Err(Unwilling::Injected),
            (Some(Status::Good), false) => {
                self.has_asked = true;
                Ok(ClientStep::Say(b"STLS\r\n".to_vec()))
            }
            (Some(Status::Good), true) => Ok(ClientStep::Upgrade),
        }
    }
}

impl ClientDialogue for Client {
    fn feed(&mut self, bytes: &[u8]) -> ClientStep {
        self.lines.push(bytes);
        self.step().unwrap_or_else(ClientStep::Refuse)
    }

    fn greeting(&self, name: &str) -> Vec<u8> {
        format!("+OK {name} ready\r\n").into_bytes()
    }
}
