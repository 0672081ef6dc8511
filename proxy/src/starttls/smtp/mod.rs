//! SMTP before TLS (RFC 5321, RFC 3207), and LMTP, which begins alike (RFC 2033).
//!
//! Owns our words to a client. Where TLS is required, everything but the first words and STARTTLS
//! is refused, whatever the backend could do; where it is not, the backend is asked what it can do,
//! and a client that goes on with mail instead of TLS is handed to it. Refuses to know the words of
//! a mail. Read next: `client`, for an endpoint that is asked for TLS, and `reply`.

mod client;
mod reply;
#[cfg(test)]
mod tests;

use super::line::split;
use super::talk::{Conversation, Reply, Talk};
use super::welcome::{FirstWords, Judge, Verdict};
use super::{Answer, Refusal, ServerDialogue, Welcome, WithoutTls};

pub use client::Client;
use reply::Replies;
pub use reply::{AnswerReader, NotAReply};

/// A dialogue with a client that has to come to TLS or, if `without_tls` says so, may do without
/// (RFC 3207 §4 for a host that takes mail from everywhere). `name` is how we call ourselves.
pub fn server(name: &str, without_tls: WithoutTls) -> impl ServerDialogue + use<> {
    Conversation::new(Smtp { name: name.to_owned(), without_tls })
}

/// Reads the greeting of a backend.
pub fn welcome() -> impl Welcome + use<> {
    FirstWords::new(Greeting(Replies::default()))
}

#[derive(Debug)]
struct Smtp {
    name: String,
    without_tls: WithoutTls,
}

impl Smtp {
    fn hello(&self, argument: &str) -> Reply {
        match self.without_tls {
            _ if argument.is_empty() => fault("501 5.5.4 EHLO needs the name of the client"),
            WithoutTls::Allowed => Reply::Ask,
            WithoutTls::Refused => answer(&format!("250-{}\r\n250 STARTTLS", self.name)),
        }
    }

    /// Whatever is not of the part before TLS.
    fn other(&self, verb: &str) -> Reply {
        match self.without_tls {
            // RFC 4954 §4. Behind the first mail in the clear the backend hears everything, so it
            // must not take passwords there either.
            WithoutTls::Allowed if verb == "AUTH" => {
                Reply::Denied("538 5.7.11 Encryption required, issue STARTTLS first\r\n".into())
            }
            WithoutTls::Allowed if verb == "MAIL" => Reply::Clear,
            WithoutTls::Allowed => match verb {
                // RFC 5321 §3.5.3, §4.1.1.8: who is here is not said, and no help is needed.
                "VRFY" => answer("252 2.5.2 Send some mail, and see"),
                "DATA" | "RCPT" | "BDAT" => fault("503 5.5.1 MAIL comes first"),
                _ => fault("502 5.5.1 Not before MAIL or STARTTLS"),
            },
            WithoutTls::Refused => {
                Reply::Denied("530 5.7.0 Must issue a STARTTLS command first\r\n".into())
            }
        }
    }
}

impl Talk for Smtp {
    fn greeting(&self) -> String {
        format!("220 {} ESMTP\r\n", self.name)
    }

    fn hear(&mut self, line: &str) -> Reply {
        let (verb, argument) = split(line);
        let verb = verb.to_ascii_uppercase();
        match (&*verb, argument) {
            ("EHLO" | "LHLO", name) => self.hello(name),
            ("HELO", "") => fault("501 5.5.4 HELO needs the name of the client"),
            // Who does not know EHLO does not know STARTTLS.
            ("HELO", _) if self.without_tls == WithoutTls::Allowed => Reply::Clear,
            ("HELO", _) => answer(&format!("250 {}", self.name)),
            ("NOOP" | "RSET", _) => answer("250 2.0.0 Ok"),
            ("QUIT", _) => Reply::Quit("221 2.0.0 Bye\r\n".into()),
            // RFC 3207 §4: the command has no parameters.
            ("STARTTLS", "") => Reply::StartTls("220 2.0.0 Ready to start TLS\r\n".into()),
            ("STARTTLS", _) => fault("501 5.5.4 STARTTLS has no parameters"),
            ("" | "\t", _) => fault("500 5.5.2 Expected a command"),
            _ => self.other(&verb),
        }
    }

    fn answered(&mut self, said: Answer<'_>) -> Reply {
        match said {
            Answer::Nobody => Reply::Refuse(UNAVAILABLE.into(), Refusal::Backend),
            Answer::Said(answer) => Reply::Answer(with_ours(answer)),
            Answer::Unwelcome(words) => {
                Reply::Refuse(String::from_utf8_lossy(words).into_owned(), Refusal::Backend)
            }
        }
    }

    fn last_words(&self, refusal: Refusal) -> String {
        let words = match refusal {
            Refusal::Backend => return UNAVAILABLE.into(),
            Refusal::Flooded => "421 4.7.0 Too much before STARTTLS",
            Refusal::Injected => "503 5.5.1 Nothing may follow STARTTLS before TLS",
            Refusal::NoTls => "530 5.7.0 Must issue a STARTTLS command first",
            Refusal::NotTheProtocol => "500 5.5.2 This is SMTP, in lines that end in CRLF",
            Refusal::TooManyErrors => "421 4.7.0 Too many errors",
        };
        format!("{words}\r\n")
    }

    fn overdue(&self) -> &'static str {
        // RFC 5321 §3.8.
        "421 4.4.2 Too slow\r\n"
    }
}

/// What a backend answers to EHLO, as a client hears it in the clear: without the STARTTLS of the
/// backend, with ours, and without AUTH, which needs TLS. Any other answer is left as it is.
fn with_ours(answer: &[u8]) -> String {
    let answer = String::from_utf8_lossy(answer);
    let mut lines = answer.lines();
    let Some(first) = lines.next().filter(|line| line.starts_with("250")) else {
        return answer.into_owned();
    };
    let mut said = format!("250-{}\r\n", reply::words(first));
    for extension in lines.map(reply::words) {
        let keyword = extension.split([' ', '=']).next().unwrap_or_default();
        if !keyword.eq_ignore_ascii_case("STARTTLS") && !keyword.eq_ignore_ascii_case("AUTH") {
            said.push_str(&format!("250-{extension}\r\n"));
        }
    }
    said.push_str("250 STARTTLS\r\n");
    said
}

/// What a backend says first.
#[derive(Debug)]
struct Greeting(Replies);

impl Judge for Greeting {
    fn line(&mut self, line: &[u8]) -> Verdict {
        match self.0.line(line) {
            Ok(None) => Verdict::Listen,
            Ok(Some(reply)) if reply.code == 220 => Verdict::Kept,
            // RFC 5321 §3.1: 554 and 421 are how a host says that it does not want the client.
            Ok(Some(reply)) if reply.code >= 400 => Verdict::Refused,
            Ok(Some(_)) | Err(_) => Verdict::NotTheProtocol,
        }
    }

    fn last_words(&self) -> &'static str {
        UNAVAILABLE
    }
}

/// What a client hears whose backend is not there, or is none (RFC 5321 §3.8).
pub const UNAVAILABLE: &str = "421 4.3.2 The mail service is not available\r\n";

fn answer(words: &str) -> Reply {
    Reply::Answer(format!("{words}\r\n"))
}

fn fault(words: &str) -> Reply {
    Reply::Fault(format!("{words}\r\n"))
}
