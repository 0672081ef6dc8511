//! IMAP before TLS (RFC 9051, RFC 3501, RFC 2595).
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
    Conversation::new(Imap { name: name.to_owned(), tag: None })
}

/// Reads the greeting of a backend.
pub fn welcome() -> impl Welcome + use<> {
    FirstWords::new(Greeting)
}

#[derive(Debug)]
struct Imap {
    name: String,
    /// That of the last command.
    tag: Option<String>,
}

impl Imap {
    fn command(&self, tag: &str, verb: &str, arguments: &str) -> Reply {
        match (verb, arguments) {
            ("", _) => Reply::Fault(format!("{tag} BAD Expected a command\r\n")),
            ("CAPABILITY", "") => {
                let said = format!("* CAPABILITY {CAPABILITIES}\r\n{tag} OK Completed\r\n");
                Reply::Answer(said)
            }
            // RFC 2971: a client says who it is before it knows whom it talks to.
            ("ID", "") => Reply::Fault(format!("{tag} BAD ID needs an argument\r\n")),
            ("ID", _) => Reply::Answer(format!("* ID NIL\r\n{tag} OK Completed\r\n")),
            ("LOGOUT", "") => Reply::Quit(format!("* BYE Logging out\r\n{tag} OK Completed\r\n")),
            ("NOOP", "") => Reply::Answer(format!("{tag} OK Completed\r\n")),
            ("STARTTLS", "") => Reply::StartTls(format!("{tag} OK Begin TLS negotiation now\r\n")),
            ("CAPABILITY" | "LOGOUT" | "NOOP" | "STARTTLS", _) => {
                Reply::Fault(format!("{tag} BAD {verb} has no arguments\r\n"))
            }
            // RFC 9051 §7.1 names the code, §11.2 and RFC 2595 §3.2 the rule.
            _ if is_atom(verb) => {
                Reply::Denied(format!("{tag} NO [PRIVACYREQUIRED] Issue STARTTLS first\r\n"))
            }
            _ => Reply::Fault(format!("{tag} BAD Expected a command\r\n")),
        }
    }
}

impl Talk for Imap {
    fn greeting(&self) -> String {
        format!("* OK [CAPABILITY {CAPABILITIES}] {} ready\r\n", self.name)
    }

    fn hear(&mut self, line: &str) -> Reply {
        self.tag = None;
        let (tag, rest) = split(line);
        if !is_tag(tag) {
            return Reply::Fault("* BAD Expected a tag and a command\r\n".into());
        }
        self.tag = Some(tag.to_owned());
        match literal(line) {
            // A client that hears BAD in place of `+` does not send it (RFC 9051 §4.3).
            Some(Literal::Announced) => {
                Reply::Denied(format!("{tag} BAD No literals before STARTTLS\r\n"))
            }
            // It follows at once, and what stands in it is not for us.
            Some(Literal::Sent) => Reply::Refuse(
                format!("{tag} BAD No literals before STARTTLS\r\n* BYE Closing\r\n"),
                Refusal::NoTls,
            ),
            None => {
                let (verb, arguments) = split(rest);
                self.command(tag, &verb.to_ascii_uppercase(), arguments)
            }
        }
    }

    fn last_words(&self, refusal: Refusal) -> String {
        let tagged = |words: &str| match &self.tag {
            Some(tag) => format!("{tag} {words}\r\n"),
            None => format!("* {words}\r\n"),
        };
        match refusal {
            Refusal::Backend => UNAVAILABLE.into(),
            Refusal::Flooded => "* BYE Too much before STARTTLS\r\n".into(),
            Refusal::Injected => {
                tagged("BAD Nothing may follow STARTTLS before TLS") + "* BYE Closing\r\n"
            }
            Refusal::NoTls => {
                tagged("NO [PRIVACYREQUIRED] Issue STARTTLS first") + "* BYE Closing\r\n"
            }
            Refusal::NotTheProtocol => "* BYE This is IMAP, in lines that end in CRLF\r\n".into(),
            Refusal::TooManyErrors => "* BYE Too many errors\r\n".into(),
        }
    }

    fn overdue(&self) -> &'static str {
        // RFC 9051 §5.4.
        "* BYE Too slow\r\n"
    }
}

/// Bytes of a string that stand behind the line.
enum Literal {
    /// The client waits for our consent.
    Announced,
    /// The client does not wait (RFC 7888).
    Sent,
}

/// Whether the line goes on with a literal: it ends in `{5}`, `{5+}` or `{5-}`.
fn literal(line: &str) -> Option<Literal> {
    let (_, inner) = line.strip_suffix('}')?.rsplit_once('{')?;
    let number = inner.trim_end_matches(['+', '-']);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(if number.len() == inner.len() { Literal::Announced } else { Literal::Sent })
}

/// A tag: an astring's characters without `+` (RFC 9051 §9).
fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b']' || is_atom_byte(byte) && byte != b'+')
}

fn is_atom(text: &str) -> bool {
    text.bytes().all(is_atom_byte)
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

/// What a client hears whose backend is not there, or is none (RFC 9051 §7.1).
pub const UNAVAILABLE: &str = "* BYE [UNAVAILABLE] The mail service is not available\r\n";

/// What a client is told, which is true of every backend.
const CAPABILITIES: &str = "IMAP4rev1 STARTTLS LOGINDISABLED";

/// What a backend says first: one line (RFC 9051 §7.1).
#[derive(Debug)]
struct Greeting;

impl Judge for Greeting {
    fn line(&mut self, line: &[u8]) -> Verdict {
        match status(line).as_deref() {
            Some("OK") => Verdict::Kept,
            Some("BYE") => Verdict::Refused,
            // The client would be somebody whom nobody has asked for a password.
            Some("PREAUTH") | Some(_) | None => Verdict::NotTheProtocol,
        }
    }

    fn last_words(&self) -> &'static str {
        UNAVAILABLE
    }
}

/// The word behind the star of an untagged line, in capitals.
fn status(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
    match split(line) {
        ("*", rest) => Some(split(rest).0.to_ascii_uppercase()),
        _ => None,
    }
}
