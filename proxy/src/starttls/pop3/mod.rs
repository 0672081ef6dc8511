//! POP3 before TLS (RFC 1939, RFC 2449, RFC 2595).
//!
//! Owns our words to a client, which cannot log in before TLS, and the greeting of a backend.
//! Refuses to know what a mailbox is. Read next: `client`, for an endpoint that is asked for TLS.

mod client;
#[cfg(test)]
mod tests;

use super::line::split;
use super::talk::{Conversation, Reply, Talk};
use super::welcome::{FirstWords, Judge, Verdict};
use super::{Refusal, ServerDialogue, Welcome};

pub use client::Client;

/// A dialogue with a client that has to come to TLS. `name` is how we call ourselves.
pub fn server(name: &str) -> impl ServerDialogue + use<> {
    Conversation::new(Pop3 { name: name.to_owned() })
}

/// Reads the greeting of a backend.
pub fn welcome() -> impl Welcome + use<> {
    FirstWords::new(Greeting)
}

#[derive(Debug)]
struct Pop3 {
    name: String,
}

impl Talk for Pop3 {
    fn greeting(&self) -> String {
        // Without the time stamp that APOP would need (RFC 1939 §7).
        format!("+OK {} ready\r\n", self.name)
    }

    fn hear(&mut self, line: &str) -> Reply {
        let (verb, argument) = split(line);
        match (&*verb.to_ascii_uppercase(), argument) {
            ("CAPA", "") => Reply::Answer("+OK\r\nSTLS\r\n.\r\n".into()),
            ("QUIT", "") => Reply::Quit("+OK Bye\r\n".into()),
            // RFC 2595 §4.
            ("STLS", "") => Reply::StartTls("+OK Begin TLS negotiation\r\n".into()),
            ("CAPA" | "QUIT" | "STLS", _) => {
                Reply::Fault("-ERR The command has no argument\r\n".into())
            }
            ("APOP" | "AUTH" | "PASS" | "USER", _) => {
                Reply::Denied("-ERR Issue STLS first\r\n".into())
            }
            _ => Reply::Fault("-ERR Issue STLS first\r\n".into()),
        }
    }

    fn last_words(&self, refusal: Refusal) -> String {
        let words = match refusal {
            Refusal::Backend => return UNAVAILABLE.into(),
            Refusal::Flooded => "Too much before STLS",
            Refusal::Injected => "Nothing may follow STLS before TLS",
            Refusal::NoTls => "Issue STLS first",
            Refusal::NotTheProtocol => "This is POP3, in lines that end in CRLF",
            Refusal::TooManyErrors => "Too many errors",
        };
        format!("-ERR {words}\r\n")
    }
}

/// What a client hears whose backend is not there, or is none (RFC 3206 §4).
pub const UNAVAILABLE: &str = "-ERR [SYS/TEMP] The mail service is not available\r\n";

/// What a backend says first: one line (RFC 1939 §4).
#[derive(Debug)]
struct Greeting;

impl Judge for Greeting {
    fn line(&mut self, line: &[u8]) -> Verdict {
        match status(line) {
            Some(Status::Good) => Verdict::Kept,
            Some(Status::Bad) => Verdict::Refused,
            None => Verdict::NotTheProtocol,
        }
    }

    fn last_words(&self) -> &'static str {
        UNAVAILABLE
    }
}

/// How a line of an endpoint begins.
enum Status {
    Bad,
    Good,
}

fn status(line: &[u8]) -> Option<Status> {
    let end = line.iter().position(|byte| b" \r\n".contains(byte)).unwrap_or(line.len());
    match line.get(..end)? {
        b"+OK" => Some(Status::Good),
        b"-ERR" => Some(Status::Bad),
        _ => None,
    }
}
