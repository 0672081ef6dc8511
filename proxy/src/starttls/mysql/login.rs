//! The login of a client of MySQL: what it says under TLS, as a backend without TLS has to hear it.
//!
//! Owns the rewriting. The client's request for TLS took a place in the exchange that the backend
//! never saw, so that what the client counts is one more than what the backend counts; and the
//! login itself says that TLS is spoken, which it is not behind us. That ends with the backend's
//! verdict: the commands that follow count anew, and nothing of them is touched. Refuses to know
//! passwords: what a method of authentication says goes by unread. Read next: `packet`.
//!
//! One method needs more: `caching_sha2_password` has the client send its password in the clear, if
//! the backend does not have it in its cache and the client has TLS; and has the backend take it in
//! the clear by a Unix socket, but by TCP only encrypted for its key. Between the two the password
//! is encrypted here. `sha256_password`, which came before it, is not helped so.

use zeroize::Zeroizing;

use super::greeting::{Challenge, ERROR, PROTOCOL_41, TLS};
use super::packet::Packet;
use super::secret;

/// The exchange from the login to the verdict.
#[derive(Debug)]
pub struct Login {
    /// How the client counts the next packet, whosever it is.
    client: u8,
    /// How the backend does.
    backend: u8,
    packets: u32,
    way: BackendWay,
    challenge: Challenge,
    stage: Stage,
}

/// How a backend is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackendWay {
    /// By a Unix socket, which it trusts with a password.
    Unix,
    /// By TCP.
    Tcp,
}

/// How far a login is.
enum Stage {
    /// The client's login is awaited.
    Begun,
    /// The method takes its course.
    Going,
    /// The client was asked for its password, and thinks that only TLS is between.
    Asked,
    /// The backend was asked for its key, to encrypt the password for it.
    Password(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Begun => "Begun",
            Self::Going => "Going",
            Self::Asked => "Asked",
            Self::Password(_) => "Password",
        })
    }
}

/// What becomes of a packet of the backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Heard {
    /// It was for us, and this is our answer to the backend.
    Answer(Packet),
    /// The client gets this.
    Client(Packet, Verdict),
}

/// Whether the backend has decided about the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It has: what follows is commands, or the end.
    Given,
    /// Not yet.
    Pending,
}

impl Login {
    /// The exchange of a client whose request for TLS was granted, and who was shown `greeting` of
    /// the backend.
    pub fn new(greeting: &Packet, way: BackendWay) -> Self {
        let challenge = Challenge::of_greeting(greeting);
        Self { client: 2, backend: 1, packets: 0, way, challenge, stage: Stage::Begun }
    }

    /// A packet of the client, as the backend has to get it.
    pub fn of_client(&mut self, mut packet: Packet) -> Result<Packet, LoginError> {
        self.count()?;
        if packet.sequence != self.client {
            return Err(LoginError::OutOfOrder);
        }
        self.client = self.client.wrapping_add(1);
        match self.stage {
            Stage::Begun => {
                without_tls(&mut packet.payload)?;
                self.stage = Stage::Going;
            }
            // A client may know how to encrypt it, and ask for the key by itself.
            Stage::Asked if packet.payload != [KEY_REQUEST] => {
                let password = std::mem::replace(&mut packet.payload, vec![KEY_REQUEST]);
                self.stage = Stage::Password(Zeroizing::new(password));
            }
            Stage::Asked => self.stage = Stage::Going,
            Stage::Going => {}
            Stage::Password(_) => return Err(LoginError::OutOfOrder),
        }
        Ok(self.next_for_backend(packet.payload))
    }

    /// What becomes of a packet of the backend.
    pub fn of_backend(&mut self, packet: Packet) -> Result<Heard, LoginError> {
        let Packet { sequence, payload } = packet;
        if payload.first() == Some(&ERROR) {
            // It may come at any time.
            return Ok(Heard::Client(self.next_for_client(payload), Verdict::Given));
        }
        self.count()?;
        if sequence != self.backend || matches!(self.stage, Stage::Begun) {
            return Err(LoginError::OutOfOrder);
        }
        self.backend = self.backend.wrapping_add(1);
        if let Stage::Password(password) = std::mem::replace(&mut self.stage, Stage::Going) {
            let [MORE_DATA, key @ ..] = &payload[..] else { return Err(LoginError::NoKey) };
            let encrypted = secret::encrypt(&password, &self.challenge.nonce, key);
            return Ok(Heard::Answer(self.next_for_backend(encrypted.ok_or(LoginError::NoKey)?)));
        }
        let verdict = match &payload[..] {
            [OK, ..] => Verdict::Given,
            // Both name the method that follows, and its nonce.
            [SWITCH | NEXT_FACTOR, rest @ ..] => {
                self.challenge = Challenge::of_switch(rest);
                Verdict::Pending
            }
            [MORE_DATA, PASSWORD_REQUEST] if self.needs_encryption() => {
                self.stage = Stage::Asked;
                Verdict::Pending
            }
            _ => Verdict::Pending,
        };
        Ok(Heard::Client(self.next_for_client(payload), verdict))
    }

    fn needs_encryption(&self) -> bool {
        self.way == BackendWay::Tcp && self.challenge.method == CACHING_SHA2
    }

    fn next_for_backend(&mut self, payload: Vec<u8>) -> Packet {
        let sequence = self.backend;
        self.backend = sequence.wrapping_add(1);
        Packet { sequence, payload }
    }

    fn next_for_client(&mut self, payload: Vec<u8>) -> Packet {
        let sequence = self.client;
        self.client = sequence.wrapping_add(1);
        Packet { sequence, payload }
    }

    fn count(&mut self) -> Result<(), LoginError> {
        self.packets += 1;
        if self.packets > PACKETS_MAX { Err(LoginError::TooMany) } else { Ok(()) }
    }
}

/// Makes a login one that does not speak of TLS.
fn without_tls(login: &mut [u8]) -> Result<(), LoginError> {
    let [low, high, ..] = login else { return Err(LoginError::NoLogin) };
    let capabilities = u16::from_le_bytes([*low, *high]);
    if capabilities & PROTOCOL_41 == 0 {
        return Err(LoginError::NoLogin);
    }
    [*low, *high] = (capabilities & !TLS).to_le_bytes();
    Ok(())
}

/// Why a login cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoginError {
    /// The client's first packet under TLS is not a login of MySQL 4.1 or later.
    #[error("the client does not log in as those of MySQL 4.1 and later do")]
    NoLogin,
    /// The backend does not give its key, or one that the password cannot be encrypted for.
    #[error("the password cannot be encrypted for the backend; reach it by a unix socket")]
    NoKey,
    /// A packet is not the next one.
    #[error("a packet of the login is out of order")]
    OutOfOrder,
    /// There is no end to it.
    #[error("the login has more than {PACKETS_MAX} packets")]
    TooMany,
}

/// The first byte of the packet that lets the client in.
const OK: u8 = 0;

/// The first byte of a packet that is for the method.
const MORE_DATA: u8 = 1;

/// The first byte of a request to go on by another method.
const SWITCH: u8 = 0xfe;

/// The first byte of a request for one more factor, by a method of its own.
const NEXT_FACTOR: u8 = 2;

/// The method that has MySQL's passwords from version 8 on.
const CACHING_SHA2: &[u8] = b"caching_sha2_password";

/// What it says if it wants the password itself.
const PASSWORD_REQUEST: u8 = 4;

/// What a client says that wants the backend's key.
const KEY_REQUEST: u8 = 2;

/// Packets of a login, both sides' together. Methods that ask questions ask a few.
const PACKETS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::super::greeting;
    use super::*;

    fn packet(sequence: u8, payload: &[u8]) -> Packet {
        Packet { sequence, payload: payload.to_vec() }
    }

    fn login(sequence: u8) -> Packet {
        packet(sequence, b"\x85\xae\xff\x19\0\0\0\x01\x2drest of it")
    }

    fn begin(way: BackendWay) -> Login {
        Login::new(&greeting::tests::greeting(), way)
    }

    fn client(sequence: u8, payload: &[u8], verdict: Verdict) -> Result<Heard, LoginError> {
        Ok(Heard::Client(packet(sequence, payload), verdict))
    }

    #[test]
    fn the_backend_hears_a_login_without_tls_and_one_earlier() {
        let mut exchange = begin(BackendWay::Tcp);
        let heard = exchange.of_client(login(2)).unwrap();
        assert_eq!(heard, packet(1, b"\x85\xa6\xff\x19\0\0\0\x01\x2drest of it"));
        let ok = exchange.of_backend(packet(2, b"\0\0\0\x02\0\0\0"));
        assert_eq!(ok, client(3, b"\0\0\0\x02\0\0\0", Verdict::Given));
    }

    #[test]
    fn every_packet_up_to_the_verdict_is_counted_on() {
        let mut exchange = begin(BackendWay::Tcp);
        exchange.of_client(login(2)).unwrap();
        // Another method, its answer, more data without an answer in between, and the verdict.
        let switch = b"\xfemysql_native_password\0nonce";
        let heard = exchange.of_backend(packet(2, switch));
        assert_eq!(heard, client(3, switch, Verdict::Pending));
        assert_eq!(exchange.of_client(packet(4, b"scramble")), Ok(packet(3, b"scramble")));
        let heard = exchange.of_backend(packet(4, b"\x01\x03"));
        assert_eq!(heard, client(5, b"\x01\x03", Verdict::Pending));
        assert_eq!(exchange.of_backend(packet(5, b"\0")), client(6, b"\0", Verdict::Given));
    }

    /// A login that has come to where the client is asked for its password.
    fn asked(way: BackendWay) -> Login {
        let mut exchange = begin(way);
        exchange.of_client(login(2)).unwrap();
        exchange.of_backend(packet(2, b"\xfecaching_sha2_password\0nonce\0")).unwrap();
        exchange.of_client(packet(4, b"mix")).unwrap();
        let heard = exchange.of_backend(packet(4, b"\x01\x04"));
        assert_eq!(heard, client(5, b"\x01\x04", Verdict::Pending));
        exchange
    }

    #[test]
    fn a_password_is_encrypted_for_a_backend_that_takes_none_in_the_clear() {
        let (key, pem) = secret::tests::key();
        let mut exchange = asked(BackendWay::Tcp);
        assert_eq!(exchange.of_client(packet(6, b"secret\0")), Ok(packet(5, b"\x02")));
        assert_eq!(format!("{:?}", exchange.stage), "Password", "what it is is not for logs");
        let answer = exchange.of_backend(packet(6, &[b"\x01", pem.as_bytes()].concat()));
        let Ok(Heard::Answer(answer)) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.sequence, 7);
        assert_eq!(secret::tests::decrypt(&key, &answer.payload, b"nonce"), b"secret\0");
        assert_eq!(exchange.of_backend(packet(8, b"\0")), client(7, b"\0", Verdict::Given));
    }

    #[test]
    fn a_password_goes_as_it_is_to_a_backend_that_takes_it_so() {
        let mut exchange = asked(BackendWay::Unix);
        assert_eq!(exchange.of_client(packet(6, b"secret\0")), Ok(packet(5, b"secret\0")));
        assert_eq!(exchange.of_backend(packet(6, b"\0")), client(7, b"\0", Verdict::Given));
    }

    #[test]
    fn a_client_that_asks_for_the_key_itself_gets_it() {
        let mut exchange = asked(BackendWay::Tcp);
        assert_eq!(exchange.of_client(packet(6, b"\x02")), Ok(packet(5, b"\x02")));
        let key = exchange.of_backend(packet(6, b"\x01key"));
        assert_eq!(key, client(7, b"\x01key", Verdict::Pending));
        assert_eq!(exchange.of_client(packet(8, b"secret\0")), Ok(packet(7, b"secret\0")));
    }

    #[test]
    fn a_password_is_not_said_to_a_backend_without_a_key() {
        for answer in [&b"\x01no key"[..], b"\x02", b"\0"] {
            let mut exchange = asked(BackendWay::Tcp);
            exchange.of_client(packet(6, b"secret\0")).unwrap();
            let heard = exchange.of_backend(packet(6, answer));
            assert_eq!(heard, Err(LoginError::NoKey), "{answer:?}");
        }
        let mut exchange = asked(BackendWay::Tcp);
        exchange.of_client(packet(6, b"secret\0")).unwrap();
        assert_eq!(exchange.of_client(packet(7, b"more")), Err(LoginError::OutOfOrder));
    }

    #[test]
    fn an_error_is_the_verdict_whenever_it_comes() {
        let error = b"\xff\x15\x04#28000Access denied";
        for at in [1, 2, 0] {
            let verdict = begin(BackendWay::Tcp).of_backend(packet(at, error));
            assert_eq!(verdict, client(2, error, Verdict::Given));
        }
        let mut exchange = asked(BackendWay::Tcp);
        exchange.of_client(packet(6, b"secret\0")).unwrap();
        assert_eq!(exchange.of_backend(packet(6, error)), client(7, error, Verdict::Given));
    }

    #[test]
    fn what_is_out_of_order_ends_the_login() {
        for sequence in [0, 1, 3, 255] {
            let heard = begin(BackendWay::Tcp).of_client(login(sequence));
            assert_eq!(heard, Err(LoginError::OutOfOrder), "{sequence}");
        }
        let unasked = begin(BackendWay::Tcp).of_backend(packet(1, b"\0"));
        assert_eq!(unasked, Err(LoginError::OutOfOrder));
        let mut exchange = begin(BackendWay::Tcp);
        exchange.of_client(login(2)).unwrap();
        assert_eq!(exchange.of_backend(packet(3, b"\0")), Err(LoginError::OutOfOrder));
        for bad in [&b""[..], b"\x85", b"\x05\xac\xff\x19"] {
            let heard = begin(BackendWay::Tcp).of_client(packet(2, bad));
            assert_eq!(heard, Err(LoginError::NoLogin), "{bad:?}");
        }
    }

    #[test]
    fn a_login_without_end_is_ended() {
        let mut exchange = begin(BackendWay::Tcp);
        exchange.of_client(login(2)).unwrap();
        let mut sequence = 2_u8;
        let error = loop {
            if let Err(error) = exchange.of_backend(packet(sequence, b"\x02again?")) {
                break error;
            }
            sequence = sequence.wrapping_add(1);
        };
        assert_eq!(error, LoginError::TooMany);
    }

    #[test]
    fn a_second_factor_is_encrypted_with_its_own_nonce() {
        let (key, pem) = secret::tests::key();
        let mut exchange = begin(BackendWay::Tcp);
        exchange.of_client(login(2)).unwrap();
        exchange.of_backend(packet(2, b"\x02caching_sha2_password\0second\0")).unwrap();
        exchange.of_client(packet(4, b"mix")).unwrap();
        exchange.of_backend(packet(4, b"\x01\x04")).unwrap();
        assert_eq!(exchange.of_client(packet(6, b"secret\0")), Ok(packet(5, b"\x02")));
        let answer = exchange.of_backend(packet(6, &[b"\x01", pem.as_bytes()].concat()));
        let Ok(Heard::Answer(answer)) = answer else { panic!("{answer:?}") };
        assert_eq!(secret::tests::decrypt(&key, &answer.payload, b"second"), b"secret\0");
    }
}
