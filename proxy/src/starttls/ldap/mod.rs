//! LDAP: the operations of a connection up to `StartTLS` (RFC 4511 §4.14).
//!
//! Owns both sides of it. As the server, where TLS is required, every operation but `StartTLS` is
//! answered with `confidentialityRequired`, in the kind of answer that belongs to it, and none is
//! passed on. Whoever connects is nobody in particular before and behind TLS: nothing said in the
//! clear is remembered. Refuses to know entries and passwords. Read next: `message`, then `ber`.

mod ber;
mod message;
#[cfg(test)]
mod tests;

use self::ber::Reader;
use self::message::{Message, ResultCode, Unreadable, answer};
use super::{
    ClientDialogue, ClientStep, Next, Refusal, ServerDialogue, Step, Tally, Unwilling, WithoutTls,
};

/// Our part as the server.
#[derive(Debug)]
pub struct Server {
    without_tls: WithoutTls,
    /// What the client said of a message that is not whole.
    held: Vec<u8>,
    tally: Tally,
    /// The id of the `StartTLS` that was granted.
    granted: Option<u32>,
}

impl Server {
    /// A dialogue that has not begun.
    pub fn new(without_tls: WithoutTls) -> Self {
        Self { without_tls, held: Vec::new(), tally: Tally::default(), granted: None }
    }

    /// Answers the first message, if it is whole.
    fn message(&mut self) -> Option<Step> {
        let held = std::mem::take(&mut self.held);
        match Message::read(&held) {
            Ok(None) => {
                self.held = held;
                None
            }
            Ok(Some(message)) => {
                let behind = held.get(message.length..).unwrap_or_default();
                let step = match (is_starttls(&message), self.without_tls) {
                    (true, _) => self.starttls(&message, behind),
                    (false, WithoutTls::Refused) => self.refuse(&message),
                    (false, WithoutTls::Allowed) => return Some(Step::silent(Next::Clear(held))),
                };
                self.held = behind.to_vec();
                Some(step)
            }
            // No `StartTLS` is so long.
            Err(Unreadable::TooLarge) if self.without_tls == WithoutTls::Allowed => {
                Some(Step::silent(Next::Clear(held)))
            }
            Err(Unreadable::TooLarge) => {
                let notice = notice(ResultCode::ConfidentialityRequired, TLS_FIRST);
                Some(Step::refuse(notice, Refusal::Flooded))
            }
            Err(Unreadable::Malformed) => Some(not_the_protocol()),
        }
    }

    fn starttls(&mut self, message: &Message<'_>, behind: &[u8]) -> Step {
        let &Message { id, has_critical_control, .. } = message;
        let refused = |code, words| answer(id, EXTENDED_RESPONSE, code, words, &[]);
        if id == 0 {
            not_the_protocol()
        } else if has_critical_control {
            // Before anything is said of the operation (RFC 4511 §4.1.11).
            self.count(refused(ResultCode::UnavailableCriticalExtension, "an unknown control"))
        } else if has_value(message) {
            self.count(refused(ResultCode::ProtocolError, "StartTLS has no value"))
        } else if !behind.is_empty() {
            injected(id)
        } else {
            self.granted = Some(id);
            let name = ber::element(RESPONSE_NAME, &[STARTTLS]);
            let granted = answer(id, EXTENDED_RESPONSE, ResultCode::Success, "", &name);
            Step::silent(Next::Upgrade(granted))
        }
    }

    /// Answers what is not for TLS.
    fn refuse(&mut self, message: &Message<'_>) -> Step {
        match (message.id, message.operation) {
            (_, UNBIND_REQUEST) => Step::silent(Next::Quit),
            // Id 0 is for what we say of our own accord (RFC 4511 §4.1.1.1).
            (0, _) => not_the_protocol(),
            (_, ABANDON_REQUEST) => self.count(Vec::new()),
            (id, operation) => match answer_to(operation) {
                Some(operation) => {
                    let code = ResultCode::ConfidentialityRequired;
                    self.count(answer(id, operation, code, TLS_FIRST, &[]))
                }
                None => not_the_protocol(),
            },
        }
    }

    /// Says `say` and counts it as an error: there is nothing to say before TLS.
    fn count(&mut self, say: Vec<u8>) -> Step {
        match self.tally.command().and_then(|()| self.tally.error()) {
            Ok(()) => Step::listen(say),
            Err(refusal) => Step::refuse(say, refusal),
        }
    }
}

impl ServerDialogue for Server {
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        if let (Some(id), false) = (self.granted, bytes.is_empty()) {
            return injected(id);
        }
        self.held.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            let Some(mut step) = self.message() else { return Step::listen(said) };
            said.append(&mut step.say);
            if step.next != Next::Listen {
                return Step { say: said, next: step.next };
            }
        }
    }
}

/// Whether `message`, an extended request, asks for TLS.
fn is_starttls(message: &Message<'_>) -> bool {
    let name = Reader::new(message.content).expect(NAME);
    message.operation == EXTENDED_REQUEST && name == Ok(STARTTLS)
}

/// Whether more stands in an extended request than its name.
fn has_value(message: &Message<'_>) -> bool {
    let mut content = Reader::new(message.content);
    content.expect(NAME).is_err() || !content.is_empty()
}

/// Bytes behind `StartTLS`: the answer says that, and the connection ends.
fn injected(id: u32) -> Step {
    let words = "nothing may follow StartTLS before its answer";
    let say = answer(id, EXTENDED_RESPONSE, ResultCode::OperationsError, words, &[]);
    Step::refuse(say, Refusal::Injected)
}

fn not_the_protocol() -> Step {
    let say = notice(ResultCode::ProtocolError, "this is not a message of LDAP");
    Step::refuse(say, Refusal::NotTheProtocol)
}

/// A notice of disconnection (RFC 4511 §4.4.1).
fn notice(code: ResultCode, words: &str) -> Vec<u8> {
    let name = ber::element(RESPONSE_NAME, &[DISCONNECTION]);
    answer(0, EXTENDED_RESPONSE, code, words, &name)
}

/// The tag of the answer to the operation with the tag `request` (RFC 4511 §4.2 and following).
fn answer_to(request: u8) -> Option<u8> {
    Some(match request {
        0x60 => 0x61,
        0x63 => 0x65,
        0x66 => 0x67,
        0x68 => 0x69,
        0x4a => 0x6b,
        0x6c => 0x6d,
        0x6e => 0x6f,
        EXTENDED_REQUEST => EXTENDED_RESPONSE,
        _ => return None,
    })
}

/// Our part as the client.
#[derive(Debug, Default)]
pub struct Client {
    held: Vec<u8>,
}

impl Client {
    fn step(&self) -> ClientStep {
        let message = match Message::read(&self.held) {
            Ok(None) => return ClientStep::Listen,
            Ok(Some(message)) if message.operation == EXTENDED_RESPONSE => message,
            _ => return ClientStep::Refuse(Unwilling::NotTheProtocol),
        };
        if message.id == 0 {
            return ClientStep::Refuse(Unwilling::Refused);
        }
        let code = Reader::new(message.content).expect(ber::ENUMERATED).and_then(ber::natural);
        match code {
            Ok(0) if message.id != ID => ClientStep::Refuse(Unwilling::NotTheProtocol),
            Ok(0) if message.length < self.held.len() => ClientStep::Refuse(Unwilling::Injected),
            Ok(0) => ClientStep::Upgrade,
            Ok(_) => ClientStep::Refuse(Unwilling::NoTls),
            Err(_) => ClientStep::Refuse(Unwilling::NotTheProtocol),
        }
    }
}

impl ClientDialogue for Client {
    fn opening(&mut self) -> Vec<u8> {
        let request = ber::element(EXTENDED_REQUEST, &[&ber::element(NAME, &[STARTTLS])]);
        ber::element(ber::SEQUENCE, &[&ber::integer(ID), &request])
    }

    fn feed(&mut self, bytes: &[u8]) -> ClientStep {
        self.held.extend_from_slice(bytes);
        self.step()
    }

    fn greeting(&self, _name: &str) -> Vec<u8> {
        Vec::new()
    }
}

/// What a client hears that says something else.
const TLS_FIRST: &str = "StartTLS comes first";

/// The id of our one request.
const ID: u32 = 1;

/// The object identifier of StartTLS (RFC 4511 §4.14.1).
const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// The object identifier of the notice of disconnection (RFC 4511 §4.4.1).
const DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// Tags of operations, and of what is in those that are extended (RFC 4511 §4.12).
const UNBIND_REQUEST: u8 = 0x42;
const ABANDON_REQUEST: u8 = 0x50;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const NAME: u8 = 0x80;
const RESPONSE_NAME: u8 = 0x8a;
