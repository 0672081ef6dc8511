//! PostgreSQL: the first packets of a connection, up to TLS.
//!
//! Owns both sides of the negotiation: `SSLRequest` and its answer of one byte, `GSSENCRequest`,
//! which is declined, and TLS without any request, as clients of PostgreSQL 17 begin it. The
//! protocol is that of the chapter "Message Flow" of PostgreSQL's documentation: every first packet
//! is a length and a code. Whoever began with TLS at once has to agree on `postgresql` by ALPN,
//! which is the listener's to see to. Refuses to know passwords and queries: those are said under
//! TLS, to the backend. Read next: `mysql`.
//!
//! A `CancelRequest` in the clear carries the secret that ends somebody's query, and is not
//! answered in any case: where TLS is required, it is not passed on.

use super::{
    ClientDialogue, ClientStep, Next, Refusal, ServerDialogue, Step, Unwilling, WithoutTls,
};

/// The name that clients and servers agree on by ALPN.
pub const ALPN: &[u8] = b"postgresql";

/// Our part as the server.
#[derive(Debug)]
pub struct Server {
    without_tls: WithoutTls,
    /// What the client said of a packet that is not whole: never more than [`HEAD_BYTES`].
    held: Vec<u8>,
    stage: Stage,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Begun,
    /// Its wish for GSS was declined.
    Declined,
    /// It is to begin its hello.
    Upgraded,
}

impl Server {
    /// A dialogue that has not begun.
    pub fn new(without_tls: WithoutTls) -> Self {
        Self { without_tls, held: Vec::new(), stage: Stage::Begun }
    }

    fn packet(&mut self) -> Option<Step> {
        let head = self.held.first_chunk::<HEAD_BYTES>().copied();
        let length = self.held.first_chunk::<4>().map(|length| u32::from_be_bytes(*length))?;
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Some(Step::silent(Next::Refuse(Refusal::NotTheProtocol)));
        }
        let [_, _, _, _, code @ ..] = head?;
        let step = match u32::from_be_bytes(code) {
            SSL_REQUEST if length == LENGTH_MIN => self.upgrade(),
            GSS_REQUEST if length == LENGTH_MIN && self.stage == Stage::Begun => {
                self.stage = Stage::Declined;
                self.held.drain(..HEAD_BYTES);
                Step::listen(vec![NO])
            }
            CANCEL_REQUEST => self.clear(&[]),
            code if VERSIONS.contains(&(code >> 16)) => self.clear(&refusal()),
            _ => Step::silent(Next::Refuse(Refusal::NotTheProtocol)),
        };
        Some(step)
    }

    fn upgrade(&mut self) -> Step {
        if self.held.len() > HEAD_BYTES {
            return Step::silent(Next::Refuse(Refusal::Injected));
        }
        self.stage = Stage::Upgraded;
        self.held.clear();
        Step::silent(Next::Upgrade(vec![YES]))
    }

    fn clear(&mut self, words: &[u8]) -> Step {
        match self.without_tls {
            WithoutTls::Allowed => Step::silent(Next::Clear(std::mem::take(&mut self.held))),
            WithoutTls::Refused => Step::refuse(words.to_vec(), Refusal::NoTls),
        }
    }
}

impl ServerDialogue for Server {
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        if self.stage == Stage::Upgraded && !bytes.is_empty() {
            return Step::silent(Next::Refuse(Refusal::Injected));
        }
        self.held.extend_from_slice(bytes);
        if self.stage == Stage::Begun && self.held.first() == Some(&TLS_HANDSHAKE) {
            return Step::silent(Next::DirectTls(std::mem::take(&mut self.held)));
        }
        let mut said = Vec::new();
        loop {
            let Some(mut step) = self.packet() else { return Step::listen(said) };
            said.append(&mut step.say);
            if step.next != Next::Listen {
                return Step { say: said, next: step.next };
            }
        }
    }
}

/// What a client hears that would log in without TLS, as an `ErrorResponse`: the severity, for
/// people and for programs, the code, the message and what helps.
fn refusal() -> Vec<u8> {
    let fields = b"SFATAL\0VFATAL\0C28000\0\
        Mthis port is for connections with TLS\0\
        Hconnect with sslmode=require, or with sslmode=verify-full to know whom you talk to\0\0";
    let length = fields.len() as u32 + 4;
    [b"E", &length.to_be_bytes()[..], fields].concat()
}

/// Our part as the client.
#[derive(Debug, Default)]
pub struct Client {
    _private: (),
}

impl ClientDialogue for Client {
    fn opening(&mut self) -> Vec<u8> {
        [LENGTH_MIN.to_be_bytes(), SSL_REQUEST.to_be_bytes()].concat()
    }

    fn feed(&mut self, bytes: &[u8]) -> ClientStep {
        match bytes {
            [] => ClientStep::Listen,
            [YES] => ClientStep::Upgrade,
            [YES, ..] => ClientStep::Refuse(Unwilling::Injected),
            [NO, ..] => ClientStep::Refuse(Unwilling::NoTls),
            // An error: before TLS its words are anybody's.
            [b'E', ..] => ClientStep::Refuse(Unwilling::Refused),
            _ => ClientStep::Refuse(Unwilling::NotTheProtocol),
        }
    }

    fn greeting(&self, _name: &str) -> Vec<u8> {
        Vec::new()
    }
}

/// The answer to a request that is granted.
const YES: u8 = b'S';

/// The answer to a request that is not.
const NO: u8 = b'N';

/// The first byte of TLS: a record with a handshake in it (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Length and code.
const HEAD_BYTES: usize = 8;

/// What PostgreSQL takes for the length of a first packet, which counts itself.
const LENGTH_MIN: u32 = 8;

/// As above.
const LENGTH_MAX: u32 = 10_000;

/// The major versions of the protocol that clients begin a session with.
const VERSIONS: [u32; 2] = [2, 3];

/// The code of a request to end a query of another connection.
const CANCEL_REQUEST: u32 = 80_877_102;

/// The code of a request for TLS.
const SSL_REQUEST: u32 = 80_877_103;

/// The code of a request for encryption by GSSAPI.
const GSS_REQUEST: u32 = 80_877_104;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rehearsal::{End, Played, play_in_all_ways};
    use super::*;

    const SSL: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    const GSS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

    fn ends(without_tls: WithoutTls, bytes: &[u8]) -> End {
        play(without_tls, bytes).end
    }

    fn play(without_tls: WithoutTls, bytes: &[u8]) -> Played {
        play_in_all_ways(|| Server::new(without_tls), bytes)
    }

    fn startup() -> Vec<u8> {
        let parameters = b"user\0ann\0database\0shop\0\0";
        let length = u32::try_from(parameters.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &[0, 3, 0, 0], parameters].concat()
    }

    fn cancel() -> Vec<u8> {
        [&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e][..], &[0, 0, 0, 7, 1, 2, 3, 4]].concat()
    }

    #[test]
    fn a_request_for_tls_is_granted_with_one_byte() {
        for rule in [WithoutTls::Allowed, WithoutTls::Refused] {
            let played = play(rule, &SSL);
            assert_eq!(played, Played { said: "S".to_owned(), end: End::Upgrade });
            let played = play(rule, &[GSS, SSL].concat());
            assert_eq!(played, Played { said: "NS".to_owned(), end: End::Upgrade });
        }
    }

    #[test]
    fn bytes_behind_a_request_for_tls_end_the_connection() {
        for behind in [&b"\0"[..], &SSL, &startup(), &[22, 3, 1, 2, 0, 1]] {
            for before in [&[][..], &GSS] {
                let bytes = [before, &SSL, behind].concat();
                let end = ends(WithoutTls::Allowed, &bytes);
                assert_eq!(end, End::Refused(Refusal::Injected), "{bytes:?}");
            }
        }
    }

    #[test]
    fn gss_is_declined_once() {
        let end = ends(WithoutTls::Refused, &[GSS, GSS].concat());
        assert_eq!(end, End::Refused(Refusal::NotTheProtocol));
        let end = ends(WithoutTls::Refused, &GSS);
        assert_eq!(end, End::Listen);
    }

    #[test]
    fn tls_at_once_is_tls_with_all_of_its_bytes() {
        let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
        assert_eq!(ends(WithoutTls::Refused, &hello), End::DirectTls(hello.to_vec()));
        let late = [&GSS[..], &hello].concat();
        assert_eq!(ends(WithoutTls::Allowed, &late), End::Refused(Refusal::NotTheProtocol));
    }

    #[test]
    fn a_session_without_tls_is_refused_in_words_where_tls_is_required() {
        assert_eq!(ends(WithoutTls::Refused, &startup()), End::Refused(Refusal::NoTls));
        let said = Server::new(WithoutTls::Refused).feed(&startup()).say;
        let (head, fields) = said.split_at(5);
        assert_eq!(head[0], b'E');
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        assert_eq!(length as usize, said.len() - 1);
        assert!(fields.ends_with(b"\0\0"));
        let fields = String::from_utf8(fields.to_vec()).unwrap();
        let fields: Vec<_> = fields.trim_end_matches('\0').split('\0').collect();
        assert!(fields.contains(&"C28000") && fields.contains(&"SFATAL"), "{fields:?}");
        assert!(fields.iter().any(|field| field.contains("sslmode=require")), "{fields:?}");
    }

    #[test]
    fn a_request_to_cancel_in_the_clear_gets_no_answer_where_tls_is_required() {
        let refused = play(WithoutTls::Refused, &cancel());
        let end = End::Refused(Refusal::NoTls);
        assert_eq!(refused, Played { said: String::new(), end });
    }

    #[test]
    fn what_is_allowed_without_tls_is_passed_on_whole() {
        for packet in [startup(), cancel()] {
            let behind = [&packet[..], b"and more"].concat();
            for before in [&[][..], &GSS] {
                let bytes = [before, &behind].concat();
                let end = ends(WithoutTls::Allowed, &bytes);
                assert_eq!(end, End::Clear(behind.clone()), "{bytes:?}");
            }
        }
    }

    #[test]
    fn other_protocols_end_the_connection_without_a_word() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"EHLO there\r\n",
            &[0, 0, 0, 7, 0, 3, 0, 0],
            &[0, 0, 0x27, 0x11, 0, 3, 0, 0],
            &[0, 0, 0, 9, 0x04, 0xd2, 0x16, 0x2f, 0],
            &[0, 0, 0, 8, 0, 1, 0, 0],
        ] {
            let end = End::Refused(Refusal::NotTheProtocol);
            let played = play(WithoutTls::Allowed, bytes);
            assert_eq!(played, Played { said: String::new(), end }, "{bytes:?}");
        }
    }

    #[test]
    fn an_endpoint_consents_with_one_byte_and_nothing_behind_it() {
        assert_eq!(Client::default().opening(), SSL);
        for (answer, step) in [
            (&b"S"[..], ClientStep::Upgrade),
            (b"SS", ClientStep::Refuse(Unwilling::Injected)),
            (b"SR\0\0\0\x08", ClientStep::Refuse(Unwilling::Injected)),
            (b"N", ClientStep::Refuse(Unwilling::NoTls)),
            (b"E\0\0\0\x09SFATAL", ClientStep::Refuse(Unwilling::Refused)),
            (b"\x16\x03", ClientStep::Refuse(Unwilling::NotTheProtocol)),
            (b"", ClientStep::Listen),
        ] {
            assert_eq!(Client::default().feed(answer), step, "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_nobody_wrote_do_the_same_however_they_are_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            start in prop::sample::select(vec![vec![], SSL.to_vec(), GSS.to_vec(), cancel()]),
        ) {
            let bytes = [start, bytes].concat();
            play(WithoutTls::Allowed, &bytes);
            play(WithoutTls::Refused, &bytes);
        }
    }
}
