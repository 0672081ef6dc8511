//! IMAP as the side that asks for TLS (RFC 9051 §6.2.1).
//!
//! Owns the one question. Nothing of the answers is kept: after TLS the client asks anew. Refuses
//! to know the client.

use super::status;
use crate::starttls::line::{Lines, split, text};
use crate::starttls::{ClientDialogue, ClientStep, Unwilling};

/// A dialogue with an endpoint that is asked for TLS.
#[derive(Debug, Default)]
pub struct Client {
    lines: Lines,
    lines_seen: u32,
    has_asked: bool,
}

impl Client {
    fn step(&mut self) -> Result<ClientStep, Unwilling> {
        loop {
            let line = self.lines.take().map_err(|_| Unwilling::NotTheProtocol)?;
            let Some(line) = line else { return Ok(ClientStep::Listen) };
            let line = text(line).ok_or(Unwilling::NotTheProtocol)?;
            self.lines_seen += 1;
            let judgement = match (self.has_asked, status(line).as_deref()) {
                _ if self.lines_seen > LINES_MAX => Err(Unwilling::NotTheProtocol),
                (_, Some("BYE")) => Err(Unwilling::Refused),
                (false, Some("OK")) => {
                    self.has_asked = true;
                    Ok(ClientStep::Say(format!("{TAG} STARTTLS\r\n").into_bytes()))
                }
                (false, Some("PREAUTH")) => Err(Unwilling::Preauthenticated),
                (false, _) => Err(Unwilling::NotTheProtocol),
                // What an endpoint tells unasked is of no interest before TLS.
                (true, Some(_)) => continue,
                (true, None) => consent(line),
            };
            if self.lines.rest().is_empty() || judgement.is_err() {
                return judgement;
            }
            return Err(Unwilling::Injected);
        }
    }
}

/// What our own command came to.
fn consent(line: &[u8]) -> Result<ClientStep, Unwilling> {
    let line = String::from_utf8_lossy(line);
    let (tag, rest) = split(&line);
    match &*split(rest).0.to_ascii_uppercase() {
        _ if tag != TAG => Err(Unwilling::NotTheProtocol),
        "OK" => Ok(ClientStep::Upgrade),
        "BAD" | "NO" => Err(Unwilling::NoTls),
        _ => Err(Unwilling::NotTheProtocol),
    }
}

impl ClientDialogue for Client {
    fn feed(&mut self, bytes: &[u8]) -> ClientStep {
        self.lines.push(bytes);
        self.step().unwrap_or_else(ClientStep::Refuse)
    }

    fn greeting(&self, name: &str) -> Vec<u8> {
        format!("* OK {name} ready\r\n").into_bytes()
    }
}

const TAG: &str = "A1";

/// Lines until the endpoint has consented.
const LINES_MAX: u32 = 64;
