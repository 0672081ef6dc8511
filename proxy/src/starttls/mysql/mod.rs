//! MySQL and MariaDB: from the server's greeting to a client that is logged in.
//!
//! Owns the clear part ([`Server`]) and the rewriting of the login that follows under TLS
//! ([`Login`]). The one protocol where a backend is connected to before TLS: its greeting has the
//! nonce that the client mixes its password with, so the client has to see that greeting, with TLS
//! added. Nothing that the client says in the clear reaches the backend where TLS is required. No
//! backend is asked for TLS. Refuses to know sockets. Read next: `greeting`, then `login`, then
//! `packet`.
//!
//! A backend counts clients that leave between its greeting and their login as errors of the host
//! that they come from, which is ours unless it reads the PROXY protocol: `max_connect_errors` has
//! to be large there.

mod greeting;
mod login;
mod packet;
mod secret;

use super::{Next, Refusal, ServerDialogue, Step, WithoutTls};

pub use self::greeting::{NotMysql, Opening};
pub use self::login::{BackendWay, Heard, Login, LoginError, Verdict};
pub use self::packet::{Gathering, Packet, TooLarge};

/// Our part as the server, with the words of a backend.
#[derive(Debug)]
pub struct Server {
    /// The backend's greeting as it is shown.
    greeting: Packet,
    without_tls: WithoutTls,
    /// What the client said of its first packet.
    held: Vec<u8>,
}

impl Server {
    /// A dialogue with a client that is shown the greeting of [`Opening::Greeting`].
    pub fn new(greeting: Packet, without_tls: WithoutTls) -> Self {
        Self { greeting, without_tls, held: Vec::new() }
    }

    /// What is done about the client's first packet, if that is known already.
    fn first_packet(&mut self) -> Option<Step> {
        let &[low, middle, high, sequence, capabilities @ ..] =
            self.held.first_chunk::<DECISIVE_BYTES>()?;
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let capabilities = u16::from_le_bytes(capabilities);
        if sequence != 1 || length < TLS_REQUEST_BYTES || capabilities & greeting::PROTOCOL_41 == 0
        {
            return Some(refuse(BAD_HANDSHAKE, Refusal::NotTheProtocol));
        }
        if capabilities & greeting::TLS == 0 {
            return Some(match self.without_tls {
                WithoutTls::Allowed => Step::silent(Next::Clear(std::mem::take(&mut self.held))),
                WithoutTls::Refused => refuse(TLS_REQUIRED, Refusal::NoTls),
            });
        }
        if length > TLS_REQUEST_BYTES {
            // A whole login in the clear, by someone who says that it is a request for TLS.
            return Some(refuse(BAD_HANDSHAKE, Refusal::Injected));
        }
        let request = packet::HEAD_BYTES + TLS_REQUEST_BYTES;
        (self.held.len() >= request).then(|| {
            // A client does not wait: what is behind can only be its hello, and is read as nothing
            // else.
            Step::silent(Next::DirectTls(self.held.split_off(request)))
        })
    }
}

impl ServerDialogue for Server {
    fn greeting(&mut self) -> Vec<u8> {
        self.greeting.bytes()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.held.extend_from_slice(bytes);
        self.first_packet().unwrap_or_else(|| Step::listen(Vec::new()))
    }
}

/// An error, as a server says it: its number, the state of SQL, and words.
type Words = (u16, &'static str, &'static str);

/// The answer to the client's first packet is an error.
fn refuse((number, state, words): Words, refusal: Refusal) -> Step {
    let [low, high] = number.to_le_bytes();
    let start = [greeting::ERROR, low, high, b'#'];
    let payload = [&start[..], state.as_bytes(), words.as_bytes()].concat();
    Step::refuse(Packet { sequence: 2, payload }.bytes(), refusal)
}

/// What servers say to a first packet that they do not understand (`ER_HANDSHAKE_ERROR`).
const BAD_HANDSHAKE: Words = (1043, "08S01", "Bad handshake");

/// What servers say that require TLS (`ER_SECURE_TRANSPORT_REQUIRED`).
const TLS_REQUIRED: Words =
    (3159, "HY000", "Connections using insecure transport are prohibited: connect with TLS");

/// The head of a packet, and the capabilities that matter.
const DECISIVE_BYTES: usize = 6;

/// The payload of a request for TLS: what a login begins with.
const TLS_REQUEST_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rehearsal::{End, play_in_all_ways};
    use super::*;

    fn server(without_tls: WithoutTls) -> Server {
        Server::new(greeting::tests::greeting(), without_tls)
    }

    fn end(without_tls: WithoutTls, bytes: &[u8]) -> End {
        play_in_all_ways(|| server(without_tls), bytes).end
    }

    /// What begins both a request for TLS and a login, with these capabilities.
    fn start(capabilities: u32) -> Vec<u8> {
        let mut start = capabilities.to_le_bytes().to_vec();
        start.extend([0, 0, 0, 1, 45]);
        start.resize(TLS_REQUEST_BYTES, 0);
        start
    }

    fn request() -> Vec<u8> {
        Packet { sequence: 1, payload: start(0x19ff_ae85) }.bytes()
    }

    fn login(capabilities: u32) -> Vec<u8> {
        let payload = [&start(capabilities)[..], b"ann\0\x14twenty bytes of mixdb\0"].concat();
        Packet { sequence: 1, payload }.bytes()
    }

    #[test]
    fn behind_a_request_for_tls_there_is_nothing_but_tls() {
        for behind in [&b""[..], b"\x16\x03\x01\x02\x00", &login(0x19ff_ae85)] {
            let bytes = [&request(), behind].concat();
            for rule in [WithoutTls::Allowed, WithoutTls::Refused] {
                assert_eq!(end(rule, &bytes), End::DirectTls(behind.to_vec()), "{behind:?}");
            }
        }
    }

    #[test]
    fn the_client_sees_the_greeting_of_the_backend() {
        let greeting = greeting::tests::greeting();
        assert_eq!(server(WithoutTls::Refused).greeting(), greeting.bytes());
    }

    #[test]
    fn a_login_in_the_place_of_a_request_for_tls_ends_the_connection() {
        for rule in [WithoutTls::Allowed, WithoutTls::Refused] {
            assert_eq!(end(rule, &login(0x19ff_ae85)), End::Refused(Refusal::Injected));
        }
    }

    #[test]
    fn a_login_without_tls_is_refused_in_words_where_tls_is_required() {
        let login = login(0x19ff_a685);
        assert_eq!(end(WithoutTls::Refused, &login), End::Refused(Refusal::NoTls));
        let say = server(WithoutTls::Refused).feed(&login).say;
        let mut gathering = Gathering::default();
        assert_eq!(gathering.take(&say), Ok(say.len()));
        let packet = gathering.finish().unwrap();
        assert_eq!(packet.sequence, 2);
        assert!(packet.payload.starts_with(b"\xff\x57\x0c#HY000Connections using insecure"));
    }

    #[test]
    fn what_is_allowed_without_tls_is_passed_on_whole() {
        let bytes = [&login(0x19ff_a685), &b"and more"[..]].concat();
        assert_eq!(end(WithoutTls::Allowed, &bytes), End::Clear(bytes));
    }

    #[test]
    fn other_protocols_hear_of_a_bad_handshake() {
        let before_41 = Packet { sequence: 1, payload: start(0x0000_a485) }.bytes();
        let short = Packet { sequence: 1, payload: start(0x0000_ae85)[..31].to_vec() }.bytes();
        let mut early = request();
        early[3] = 0;
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &before_41, &short, &early] {
            let refused = End::Refused(Refusal::NotTheProtocol);
            assert_eq!(end(WithoutTls::Allowed, bytes), refused, "{bytes:?}");
            let say = server(WithoutTls::Refused).feed(bytes).say;
            assert!(say.ends_with(b"#08S01Bad handshake"), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_nobody_wrote_do_the_same_however_they_are_cut(
            start in prop::sample::select(vec![vec![], request(), vec![32, 0, 0, 1]]),
            bytes in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let bytes = [start, bytes].concat();
            end(WithoutTls::Allowed, &bytes);
            end(WithoutTls::Refused, &bytes);
        }
    }
}
