//! The login of a client of MySQL: what it says under TLS, as a backend without TLS has to hear it.
//!
//! Owns the rewriting. The client's request for TLS took a place in the exchange that the backend
//! never saw, so that what the client counts is one more than what the backend counts; and the
//! login itself says that TLS is spoken, which it is not behind us. That ends with the backend's
//! verdict: the commands that follow count anew, and nothing of them is touched. Refuses to know
//! passwords: what a method of authentication says goes by unread. Read next: `packet`.
//!
//! Methods that mix the password with the nonce, or send it in the clear under TLS, work.
//! `caching_sha2_password` and `sha256_password` do not let a backend that is reached over TCP
//! without TLS take a password in the clear, as the client sends it when its own connection has
//! TLS: such a backend has to be reached by a unix socket, which it trusts, or has to have the
//! password in its cache.

use super::greeting::{ERROR, PROTOCOL_41, TLS};
use super::packet::Packet;

/// The exchange from the login to the verdict.
#[derive(Debug)]
pub struct Login {
    /// How the client counts the next packet, whosever it is.
    next: u8,
    packets: u32,
    /// Whether the client's login has been seen.
    has_begun: bool,
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
    /// The exchange of a client whose request for TLS was granted.
    pub fn new() -> Self {
        Self { next: 2, packets: 0, has_begun: false }
    }

    /// A packet of the client, as the backend has to get it.
    pub fn of_client(&mut self, mut packet: Packet) -> Result<Packet, LoginError> {
        self.count(packet.sequence)?;
        if !self.has_begun {
            let [low, high, ..] = &mut packet.payload[..] else {
                return Err(LoginError::NoLogin);
            };
            let capabilities = u16::from_le_bytes([*low, *high]);
            if capabilities & PROTOCOL_41 == 0 {
                return Err(LoginError::NoLogin);
            }
            [*low, *high] = (capabilities & !TLS).to_le_bytes();
            self.has_begun = true;
        }
        packet.sequence = packet.sequence.wrapping_sub(1);
        Ok(packet)
    }

    /// A packet of the backend, as the client has to get it.
    pub fn of_backend(&mut self, mut packet: Packet) -> Result<(Packet, Verdict), LoginError> {
        packet.sequence = packet.sequence.wrapping_add(1);
        if packet.payload.first() == Some(&ERROR) {
            // It may come at any time.
            return Ok((packet, Verdict::Given));
        }
        self.count(packet.sequence)?;
        match packet.payload.first() {
            Some(_) if !self.has_begun => Err(LoginError::OutOfOrder),
            Some(&OK) => Ok((packet, Verdict::Given)),
            _ => Ok((packet, Verdict::Pending)),
        }
    }

    fn count(&mut self, sequence: u8) -> Result<(), LoginError> {
        if sequence != self.next {
            return Err(LoginError::OutOfOrder);
        }
        self.next = self.next.wrapping_add(1);
        self.packets += 1;
        if self.packets > PACKETS_MAX { Err(LoginError::TooMany) } else { Ok(()) }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a login cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoginError {
    /// The client's first packet under TLS is not a login of MySQL 4.1 or later.
    #[error("the client does not log in as those of MySQL 4.1 and later do")]
    NoLogin,
    /// A packet is not the next one.
    #[error("a packet of the login is out of order")]
    OutOfOrder,
    /// There is no end to it.
    #[error("the login has more than {PACKETS_MAX} packets")]
    TooMany,
}

/// The first byte of the packet that lets the client in.
const OK: u8 = 0;

/// Packets of a login, both sides' together. Methods that ask questions ask a few.
const PACKETS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u8, payload: &[u8]) -> Packet {
        Packet { sequence, payload: payload.to_vec() }
    }

    fn login(sequence: u8) -> Packet {
        packet(sequence, b"\x85\xae\xff\x19\0\0\0\x01\x2drest of it")
    }

    #[test]
    fn the_backend_hears_a_login_without_tls_and_one_earlier() {
        let mut exchange = Login::new();
        let heard = exchange.of_client(login(2)).unwrap();
        assert_eq!(heard, packet(1, b"\x85\xa6\xff\x19\0\0\0\x01\x2drest of it"));
        let ok = exchange.of_backend(packet(2, b"\0\0\0\x02\0\0\0"));
        assert_eq!(ok, Ok((packet(3, b"\0\0\0\x02\0\0\0"), Verdict::Given)));
    }

    #[test]
    fn every_packet_up_to_the_verdict_is_counted_on() {
        let mut exchange = Login::new();
        exchange.of_client(login(2)).unwrap();
        // Another method, its answer, more data without an answer in between, and the verdict.
        let switch = b"\xfemysql_native_password\0nonce";
        assert_eq!(
            exchange.of_backend(packet(2, switch)),
            Ok((packet(3, switch), Verdict::Pending))
        );
        assert_eq!(exchange.of_client(packet(4, b"scramble")), Ok(packet(3, b"scramble")));
        let more = b"\x01\x03";
        assert_eq!(exchange.of_backend(packet(4, more)), Ok((packet(5, more), Verdict::Pending)));
        assert_eq!(exchange.of_backend(packet(5, b"\0")), Ok((packet(6, b"\0"), Verdict::Given)));
    }

    #[test]
    fn an_error_is_the_verdict_whenever_it_comes() {
        let error = b"\xff\x15\x04#28000Access denied";
        for at in [1, 2, 0] {
            let mut exchange = Login::new();
            let verdict = exchange.of_backend(packet(at, error));
            assert_eq!(verdict, Ok((packet(at + 1, error), Verdict::Given)));
        }
    }

    #[test]
    fn what_is_out_of_order_ends_the_login() {
        for sequence in [0, 1, 3, 255] {
            let heard = Login::new().of_client(login(sequence));
            assert_eq!(heard, Err(LoginError::OutOfOrder), "{sequence}");
        }
        let unasked = Login::new().of_backend(packet(1, b"\0"));
        assert_eq!(unasked, Err(LoginError::OutOfOrder));
        for bad in [&b""[..], b"\x85", b"\x05\xac\xff\x19"] {
            let heard = Login::new().of_client(packet(2, bad));
            assert_eq!(heard, Err(LoginError::NoLogin), "{bad:?}");
        }
    }

    #[test]
    fn a_login_without_end_is_ended() {
        let mut exchange = Login::new();
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
}
