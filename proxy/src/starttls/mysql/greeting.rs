//! The first packet of a MySQL server: what it can do, and the nonce that passwords are mixed with.
//!
//! Owns the version 10 of the greeting, as far as it says whether the server has TLS, and how it is
//! shown to clients: as it is, with TLS added. Refuses to know the rest of it. Read next: `login`.

use super::packet::Packet;

/// What a backend said first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Opening {
    /// It waits for a login; this is its greeting, with TLS among what it can do.
    Greeting(Packet),
    /// It does not want the connection: too many there are, or too many errors were made from
    /// here. The packet says so.
    Refusal(Packet),
}

impl Opening {
    /// Reads the first packet of a backend.
    pub fn read(packet: Packet) -> Result<Self, NotMysql> {
        match (packet.sequence, packet.payload.first()) {
            (0, Some(&ERROR)) => Ok(Self::Refusal(packet)),
            (0, Some(&VERSION)) => with_tls(packet).map(Self::Greeting),
            _ => Err(NotMysql),
        }
    }

    /// The bytes of it that are for the client.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Greeting(packet) | Self::Refusal(packet) => packet.bytes(),
        }
    }
}

/// The greeting, saying that there is TLS.
fn with_tls(mut packet: Packet) -> Result<Packet, NotMysql> {
    let behind_version = packet.payload.get(1..).unwrap_or_default();
    let version = behind_version.iter().position(|byte| *byte == 0).ok_or(NotMysql)?;
    // The version and its end, the id of the connection, half of the nonce, and a zero.
    let place = 1 + version + 1 + 4 + 8 + 1;
    let Some([low, high, ..]) = packet.payload.get_mut(place..) else { return Err(NotMysql) };
    let capabilities = u16::from_le_bytes([*low, *high]);
    if capabilities & PROTOCOL_41 == 0 {
        return Err(NotMysql);
    }
    [*low, *high] = (capabilities | TLS).to_le_bytes();
    Ok(packet)
}

/// What a method of authentication begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Challenge {
    /// The name of the method.
    pub(super) method: Vec<u8>,
    /// What passwords are mixed with, without the zero behind it.
    pub(super) nonce: Vec<u8>,
}

impl Challenge {
    /// That of a greeting; an empty one if there is none in it.
    pub(super) fn of_greeting(greeting: &Packet) -> Self {
        Self::in_greeting(&greeting.payload).unwrap_or_default()
    }

    fn in_greeting(payload: &[u8]) -> Option<Self> {
        let behind_version = payload.get(1..)?;
        let version = behind_version.iter().position(|byte| *byte == 0)?;
        let rest = behind_version.get(version + 1 + 4..)?;
        let (first, rest) = rest.split_at_checked(8)?;
        // A zero, capabilities, character set, status, capabilities, the length of the nonce, and
        // ten bytes for later.
        let rest = rest.get(1 + 2 + 1 + 2 + 2..)?;
        let length = usize::from(*rest.first()?).saturating_sub(8).max(13);
        let (second, rest) = rest.get(1 + 10..)?.split_at_checked(length)?;
        let method = rest.split(|byte| *byte == 0).next()?;
        let nonce = [first, second].concat();
        Some(Self { method: method.to_vec(), nonce: without_zero(nonce) })
    }

    /// That of a request to go on by another method, without its first byte.
    pub(super) fn of_switch(rest: &[u8]) -> Self {
        let mut parts = rest.splitn(2, |byte| *byte == 0);
        let mut next = || parts.next().unwrap_or_default().to_vec();
        let method = next();
        Self { method, nonce: without_zero(next()) }
    }
}

fn without_zero(mut nonce: Vec<u8>) -> Vec<u8> {
    if nonce.last() == Some(&0) {
        nonce.pop();
    }
    nonce
}

/// A backend that does not speak MySQL, or only an older version than 4.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the backend does not begin as MySQL 4.1 and later do")]
pub struct NotMysql;

/// The version of the protocol.
const VERSION: u8 = 10;

/// The first byte of an error.
pub(super) const ERROR: u8 = 0xff;

/// The capability of everything that this side knows (`CLIENT_PROTOCOL_41`).
pub(super) const PROTOCOL_41: u16 = 0x0200;

/// The capability of TLS (`CLIENT_SSL`).
pub(super) const TLS: u16 = 0x0800;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The greeting of a MariaDB 10.11 without TLS.
    pub(crate) fn greeting() -> Packet {
        let payload = [
            &b"\x0a5.5.5-10.11.11-MariaDB-0+deb12u1\0"[..],
            &[31, 0, 0, 0],
            b"$RnY#o{T\0",
            &[0xfe, 0xf7, 0x2d, 2, 0, 0xff, 0x81, 21, 0, 0, 0, 0, 0, 0, 0x1d, 0, 0, 0],
            b"9GW`I*:L2Xp>\0mysql_native_password\0",
        ];
        Packet { sequence: 0, payload: payload.concat() }
    }

    #[test]
    fn a_greeting_is_shown_as_it_is_but_for_tls() {
        let plain = greeting();
        let Ok(Opening::Greeting(shown)) = Opening::read(plain.clone()) else {
            panic!("a greeting")
        };
        let pairs = plain.payload.iter().zip(&shown.payload);
        let changed: Vec<_> = pairs.filter(|(before, after)| before != after).collect();
        assert_eq!(changed, [(&0xf7, &0xff)]);
        assert_eq!(
            Opening::read(shown.clone()),
            Ok(Opening::Greeting(shown)),
            "nothing is added twice"
        );
    }

    #[test]
    fn the_challenge_is_found_in_greetings_and_in_requests_for_another_method() {
        let challenge = Challenge::of_greeting(&greeting());
        assert_eq!(challenge.method, b"mysql_native_password");
        assert_eq!(challenge.nonce, b"$RnY#o{T9GW`I*:L2Xp>");
        let challenge = Challenge::of_switch(b"caching_sha2_password\0nonce\0");
        assert_eq!((&challenge.method[..], &challenge.nonce[..]), (SHA2, &b"nonce"[..]));
        for length in 0..greeting().payload.len() - 22 {
            let payload = greeting().payload[..length].to_vec();
            let challenge = Challenge::of_greeting(&Packet { sequence: 0, payload });
            assert!(challenge.method.is_empty(), "{length}");
        }
        assert_eq!(Challenge::of_switch(b""), Challenge::default());
    }

    const SHA2: &[u8] = b"caching_sha2_password";

    #[test]
    fn a_backend_that_refuses_is_heard() {
        let payload = b"\xff\x6a\x04Host 'h' is not allowed to connect".to_vec();
        let packet = Packet { sequence: 0, payload };
        assert_eq!(Opening::read(packet.clone()), Ok(Opening::Refusal(packet)));
    }

    #[test]
    fn other_protocols_are_no_greeting() {
        for payload in [&b""[..], b"\x09", b"\x0a5.5", b"\x0a5.5\0\0\0\0\0", b"220 ready\r\n"] {
            let packet = Packet { sequence: 0, payload: payload.to_vec() };
            assert_eq!(Opening::read(packet), Err(NotMysql), "{payload:?}");
        }
        let mut old = greeting();
        old.sequence = 1;
        assert_eq!(Opening::read(old), Err(NotMysql));
        for length in 0..49 {
            let payload = greeting().payload[..length].to_vec();
            assert_eq!(Opening::read(Packet { sequence: 0, payload }), Err(NotMysql), "{length}");
        }
    }
}
