//! PostgreSQL for clients without TLS before a backend with it: what such a client asks for first,
//! and the ways to log in that it may choose from.
//!
//! Owns two things that TLS between us and the backend would otherwise break. A client asks whether
//! there is encryption, and hears no, since there is none between it and us; the backend has been
//! asked already. And a backend under TLS offers to bind the login to the channel (RFC 5802 §6),
//! which clients without TLS take for an attack: that offer is left out, and nothing else is
//! changed. Refuses to know passwords. Read next: `forward::tcp::postgresql`, which leads it.

/// What a client says before its session begins.
#[derive(Debug, Default)]
pub struct Doorstep {
    held: Vec<u8>,
    declined: usize,
}

/// What is done about it.
#[derive(Debug, Eq, PartialEq)]
pub enum Request {
    /// The client is told this, and then heard again.
    Declined(Vec<u8>),
    /// All that the client has said is for the backend, whose answer is not looked at.
    Other(Vec<u8>),
    /// The same, and the backend answers with ways to log in.
    Session(Vec<u8>),
}

impl Doorstep {
    /// Takes what the client says next.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Request, NotPostgresql> {
        self.held.extend_from_slice(bytes);
        let mut answer = Vec::new();
        loop {
            let Some((length, code)) = self.head()? else { return Ok(Request::Declined(answer)) };
            if length == HEAD_BYTES && [SSL_REQUEST, GSS_REQUEST].contains(&code) {
                self.declined += 1;
                if self.declined > REQUESTS_MAX {
                    return Err(NotPostgresql);
                }
                self.held.drain(..HEAD_BYTES);
                answer.push(NO);
                continue;
            }
            if self.held.len() < length {
                return Ok(Request::Declined(answer));
            }
            if !answer.is_empty() {
                // Who has asked waits for the answer.
                return Err(NotPostgresql);
            }
            let held = std::mem::take(&mut self.held);
            return match code {
                CANCEL_REQUEST => Ok(Request::Other(held)),
                code if code >> 16 == VERSION => Ok(Request::Session(held)),
                _ => Err(NotPostgresql),
            };
        }
    }

    /// Length and code of the packet that begins, if so much of it is there.
    fn head(&self) -> Result<Option<(usize, u32)>, NotPostgresql> {
        let Some([length @ .., c, o, d, e]) = self.held.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        match (HEAD_BYTES..=PACKET_BYTES_MAX).contains(&length) {
            true => Ok(Some((length, u32::from_be_bytes([*c, *o, *d, *e])))),
            false => Err(NotPostgresql),
        }
    }
}

/// One message of a backend, until it is whole.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

/// Whether more of a backend's messages are to be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// No: it has named the ways to log in, or has said something else that decides.
    Given,
    /// Yes.
    Pending,
}

impl Message {
    /// How many bytes are missing, as far as that is known; 0 for a whole message.
    pub fn missing(&self) -> Result<usize, NotPostgresql> {
        let Some([_, length @ ..]) = self.0.first_chunk::<MESSAGE_HEAD_BYTES>() else {
            return Ok(MESSAGE_HEAD_BYTES - self.0.len());
        };
        let length = u32::from_be_bytes(*length) as usize;
        match (4..=PACKET_BYTES_MAX).contains(&length) {
            true => Ok((length + 1).saturating_sub(self.0.len())),
            false => Err(NotPostgresql),
        }
    }

    /// Takes bytes, which are no more than are missing.
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// What the client hears of a message that is whole. The next one may follow.
    pub fn finish(&mut self) -> (Vec<u8>, Verdict) {
        let message = std::mem::take(&mut self.0);
        match message.first() {
            // A notice, or the versions that the backend knows: neither decides.
            Some(b'N' | b'v') => (message, Verdict::Pending),
            Some(b'R') => (without_binding(message), Verdict::Given),
            _ => (message, Verdict::Given),
        }
    }
}

/// The message without the ways to log in that are bound to a channel of TLS.
fn without_binding(message: Vec<u8>) -> Vec<u8> {
    let Some((head, names)) = message.split_at_checked(MESSAGE_HEAD_BYTES + 4) else {
        return message;
    };
    if !head.ends_with(&SASL.to_be_bytes()) {
        return message;
    }
    let ways = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let free: Vec<_> = ways.filter(|name| !name.ends_with(b"-PLUS")).collect();
    if free.is_empty() {
        // The client will say what it thinks of that.
        return message;
    }
    let mut body = SASL.to_be_bytes().to_vec();
    for name in free {
        body.extend_from_slice(name);
        body.push(0);
    }
    body.push(0);
    let length = body.len() as u32 + 4;
    [&b"R"[..], &length.to_be_bytes(), &body].concat()
}

/// Something that PostgreSQL does not say.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is not what PostgreSQL says at the beginning")]
pub struct NotPostgresql;

/// The answer to a request that is not granted.
const NO: u8 = b'N';

/// Length and code of a client's first packets.
const HEAD_BYTES: usize = 8;

/// The kind of a message and its length, which counts itself.
const MESSAGE_HEAD_BYTES: usize = 5;

/// What PostgreSQL takes for the length of a first packet, and more than a backend answers.
const PACKET_BYTES_MAX: usize = 10_000;

/// One for TLS, one for GSSAPI.
const REQUESTS_MAX: usize = 2;

/// The major version of the protocol that has ways to log in.
const VERSION: u32 = 3;

/// The code of a request to end a query of another connection.
const CANCEL_REQUEST: u32 = 80_877_102;

/// The code of a request for TLS.
const SSL_REQUEST: u32 = 80_877_103;

/// The code of a request for encryption by GSSAPI.
const GSS_REQUEST: u32 = 80_877_104;

/// The code of `AuthenticationSASL`.
const SASL: u32 = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(rest.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
    }

    fn startup() -> Vec<u8> {
        packet(VERSION << 16, b"user\0ann\0\0")
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    fn hear(bytes: &[u8]) -> (Vec<u8>, Verdict) {
        let mut gathering = Message::default();
        let mut rest = bytes;
        loop {
            let (now, later) = rest.split_at(gathering.missing().unwrap().min(1));
            if now.is_empty() {
                assert_eq!(later, b"", "nothing behind it is asked for");
                return gathering.finish();
            }
            gathering.take(now);
            rest = later;
        }
    }

    #[test]
    fn encryption_is_declined_once_for_each_kind_of_it() {
        let mut doorstep = Doorstep::default();
        for request in [GSS_REQUEST, SSL_REQUEST] {
            let request = packet(request, b"");
            assert_eq!(doorstep.feed(&request[..3]), Ok(Request::Declined(Vec::new())));
            assert_eq!(doorstep.feed(&request[3..]), Ok(Request::Declined(b"N".to_vec())));
        }
        assert_eq!(doorstep.feed(&startup()), Ok(Request::Session(startup())));
        let mut doorstep = Doorstep::default();
        let flood = packet(SSL_REQUEST, b"").repeat(3);
        assert_eq!(doorstep.feed(&flood), Err(NotPostgresql));
    }

    #[test]
    fn a_session_and_what_stands_behind_its_request_are_the_backends() {
        let all = [startup(), b"early".to_vec()].concat();
        assert_eq!(Doorstep::default().feed(&all), Ok(Request::Session(all)));
        let cancel = packet(CANCEL_REQUEST, &[0, 0, 0, 7, 1, 2, 3, 4]);
        assert_eq!(Doorstep::default().feed(&cancel), Ok(Request::Other(cancel)));
    }

    #[test]
    fn who_does_not_wait_for_the_answer_is_not_heard() {
        let all = [packet(SSL_REQUEST, b""), startup()].concat();
        assert_eq!(Doorstep::default().feed(&all), Err(NotPostgresql));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[22, 3, 1, 0, 200, 1, 0, 0], &[0; 8]] {
            assert_eq!(Doorstep::default().feed(bytes), Err(NotPostgresql), "{bytes:?}");
        }
    }

    #[test]
    fn logins_that_are_bound_to_a_channel_are_not_offered_and_all_others_are() {
        let sasl = |names: &[u8]| message(b'R', &[&SASL.to_be_bytes(), names].concat());
        let offered = sasl(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        assert_eq!(hear(&offered), (sasl(b"SCRAM-SHA-256\0\0"), Verdict::Given));
        for same in [
            sasl(b"SCRAM-SHA-256\0OAUTHBEARER\0\0"),
            sasl(b"SCRAM-SHA-256-PLUS\0\0"),
            message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]),
            message(b'R', &[0, 0, 0, 0]),
            message(b'E', b"SFATAL\0\0"),
        ] {
            assert_eq!(hear(&same), (same, Verdict::Given));
        }
        for before in [message(b'v', &[0; 8]), message(b'N', b"SNOTICE\0\0")] {
            assert_eq!(hear(&before), (before, Verdict::Pending));
        }
    }

    proptest! {
        #[test]
        fn bytes_that_nobody_wrote_are_read_without_harm(bytes: Vec<u8>, at in 0_usize..64) {
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut doorstep = Doorstep::default();
            let parted = doorstep.feed(one).and_then(|_| doorstep.feed(two));
            if let Ok(Request::Session(said)) = parted {
                prop_assert!(bytes.ends_with(&said));
            }
            let mut message = Message::default();
            for byte in bytes {
                match message.missing() {
                    Ok(1..) => message.take(&[byte]),
                    Ok(0) => drop(message.finish()),
                    Err(NotPostgresql) => break,
                }
            }
        }
    }
}
