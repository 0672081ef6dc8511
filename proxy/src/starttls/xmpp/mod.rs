//! XMPP: a stream from its header to `<proceed/>` (RFC 6120 §5).
//!
//! Owns our part as the server, for clients and for other servers. TLS is required, so that there
//! is one thing to ask for: whatever else a client says ends the stream with the error that RFC
//! 6120 has for it. The stream that follows under TLS is a new one, between the client and the
//! backend (RFC 6120 §5.4.3.3). Refuses to know what a stanza is. Read next: `scan`.

mod scan;
#[cfg(test)]
mod tests;

use portunus_certs::name::HostName;

use self::scan::{Fault, Kind, Tag};
use super::{Next, Refusal, ServerDialogue, Step};

/// Our part as the server.
#[derive(Debug)]
pub struct Server {
    /// Who we are to a client that does not say whom it wants.
    name: String,
    /// What tells this stream from others.
    id: u64,
    /// What the client said of a tag that is not whole.
    held: Vec<u8>,
    stage: Stage,
    /// White space so far.
    white: usize,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Nothing was said.
    Begun,
    /// The declaration of XML was, and not the header.
    Declared,
    /// Both headers were.
    Open,
    /// TLS is asked for, by a tag that is still to be closed.
    Asked,
    /// TLS is granted.
    Upgraded,
}

impl Server {
    /// A dialogue that has not begun. `name` is who we are to a client that does not name a host,
    /// `id` has to be random: nobody should guess that of another stream (RFC 6120 §4.7.3).
    pub fn new(name: &str, id: u64) -> Self {
        let (name, held) = (name.to_owned(), Vec::new());
        Self { name, id, held, stage: Stage::Begun, white: 0 }
    }

    /// Answers the first tag, if it is whole.
    fn tag(&mut self) -> Option<Step> {
        let white = self.held.iter().take_while(|byte| scan::is_white(**byte)).count();
        self.held.drain(..white);
        self.white += white;
        if self.white > WHITE_BYTES_MAX {
            return Some(self.fail("policy-violation", Refusal::Flooded));
        }
        let held = std::mem::take(&mut self.held);
        let (tag, length) = match scan::tag(&held) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.held = held;
                return None;
            }
            Err(fault) => return Some(self.fault(fault)),
        };
        let behind = held.get(length..).unwrap_or_default();
        let step = match (self.stage, tag.kind) {
            (Stage::Begun, Kind::Declaration) => self.declare(&tag),
            (Stage::Begun | Stage::Declared, Kind::Open) => self.open(&tag),
            (Stage::Open, Kind::Close) => self.close(),
            (Stage::Open, Kind::Empty) if is_starttls(&tag) => self.upgrade(behind),
            (Stage::Open, Kind::Open) if is_starttls(&tag) => {
                self.stage = Stage::Asked;
                Step::listen(Vec::new())
            }
            (Stage::Asked, Kind::Close) if tag.local_name() == "starttls" => self.upgrade(behind),
            (Stage::Open, Kind::Empty | Kind::Open) if is_login(&tag) => {
                Step::refuse(LOGIN_REFUSED.into(), Refusal::NoTls)
            }
            (Stage::Open, Kind::Empty | Kind::Open) => {
                self.fail("policy-violation", Refusal::NoTls)
            }
            _ => self.fail("bad-format", Refusal::NotTheProtocol),
        };
        self.held = behind.to_vec();
        Some(step)
    }

    fn declare(&mut self, tag: &Tag<'_>) -> Step {
        let encoding = tag.attribute("encoding").unwrap_or("UTF-8");
        if !encoding.eq_ignore_ascii_case("UTF-8") {
            return self.fail("unsupported-encoding", Refusal::NotTheProtocol);
        }
        self.stage = Stage::Declared;
        Step::listen(Vec::new())
    }

    /// Answers the header of the stream, with the features that there are before TLS: one.
    fn open(&mut self, tag: &Tag<'_>) -> Step {
        if tag.local_name() != "stream" {
            return self.fail("bad-format", Refusal::NotTheProtocol);
        }
        let content = tag.attribute("xmlns").filter(|name| CONTENTS.contains(name));
        let (Some(STREAMS), Some(content)) = (tag.namespace(), content) else {
            return self.fail("invalid-namespace", Refusal::NotTheProtocol);
        };
        let major = tag.attribute("version").and_then(|version| version.split_once('.'));
        if !major.is_some_and(|(major, _)| major.parse().is_ok_and(|major: u32| major >= 1)) {
            return self.fail("unsupported-version", Refusal::NotTheProtocol);
        }
        let wanted = tag.attribute("to").and_then(|name| HostName::parse(name).ok());
        let name = wanted.as_ref().map_or(&*self.name, |name| name.as_str());
        let said = self.header(name, content) + FEATURES;
        self.stage = Stage::Open;
        Step::listen(said.into())
    }

    fn header(&self, name: &str, content: &str) -> String {
        format!(
            "<?xml version='1.0'?><stream:stream from='{name}' id='{:016x}' version='1.0' \
             xml:lang='en' xmlns='{content}' xmlns:stream='{STREAMS}'>",
            self.id
        )
    }

    /// TLS is asked for; `behind` that nothing may be said (RFC 6120 §5.3.3 has not even white
    /// space there).
    fn upgrade(&mut self, behind: &[u8]) -> Step {
        if !behind.is_empty() {
            return Step::refuse(TLS_REFUSED.into(), Refusal::Injected);
        }
        self.stage = Stage::Upgraded;
        Step::silent(Next::Upgrade(PROCEED.into()))
    }

    fn close(&self) -> Step {
        Step { say: END.into(), next: Next::Quit }
    }

    fn fault(&self, fault: Fault) -> Step {
        match fault {
            // Whoever speaks something else does not get to see XML.
            Fault::NotATag if self.stage == Stage::Begun => {
                Step::silent(Next::Refuse(Refusal::NotTheProtocol))
            }
            Fault::Malformed | Fault::NotATag => {
                self.fail("not-well-formed", Refusal::NotTheProtocol)
            }
            Fault::Restricted => self.fail("restricted-xml", Refusal::NotTheProtocol),
            Fault::TooLong => self.fail("policy-violation", Refusal::Flooded),
        }
    }

    /// Ends the stream with an error, which stands in a stream in any case (RFC 6120 §4.9.1.2).
    fn fail(&self, condition: &str, refusal: Refusal) -> Step {
        let header = match self.stage {
            Stage::Begun | Stage::Declared => self.header(&self.name, "jabber:client"),
            Stage::Open | Stage::Asked | Stage::Upgraded => String::new(),
        };
        let error = format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error>{END}"
        );
        Step::refuse((header + &error).into(), refusal)
    }
}

impl ServerDialogue for Server {
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        if self.stage == Stage::Upgraded && !bytes.is_empty() {
            return Step::refuse(TLS_REFUSED.into(), Refusal::Injected);
        }
        self.held.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            let Some(mut step) = self.tag() else { return Step::listen(said) };
            said.append(&mut step.say);
            if step.next != Next::Listen {
                return Step { say: said, next: step.next };
            }
        }
    }
}

/// Whether `tag` asks for TLS (RFC 6120 §5.4.2.1).
fn is_starttls(tag: &Tag<'_>) -> bool {
    tag.local_name() == "starttls" && tag.namespace() == Some(TLS)
}

/// Whether `tag` begins a login (RFC 6120 §6.4.2).
fn is_login(tag: &Tag<'_>) -> bool {
    tag.local_name() == "auth" && tag.namespace() == Some("urn:ietf:params:xml:ns:xmpp-sasl")
}

/// The namespace of streams (RFC 6120 §4.8.1).
const STREAMS: &str = "http://etherx.jabber.org/streams";

/// The namespaces of what is in a stream (RFC 6120 §4.8.2).
const CONTENTS: [&str; 2] = ["jabber:client", "jabber:server"];

/// The namespace of the negotiation (RFC 6120 §5.1).
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// What there is before TLS (RFC 6120 §5.4.1).
const FEATURES: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
    <required/></starttls></stream:features>";

/// The last word in the clear (RFC 6120 §5.4.2.3).
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// TLS is not had after all (RFC 6120 §5.4.2.2).
const TLS_REFUSED: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>";

/// The answer to a login (RFC 6120 §6.5.4).
const LOGIN_REFUSED: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <encryption-required/></failure></stream:stream>";

/// The end of a stream.
const END: &str = "</stream:stream>";

/// White space between tags, all together.
const WHITE_BYTES_MAX: usize = 1024;
