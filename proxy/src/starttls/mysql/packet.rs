//! Packets of MySQL: three bytes of length, one of sequence, and the payload.
//!
//! Owns how a packet is gathered out of pieces without taking a byte too much, and how one is
//! written. Refuses to know what is in it. The format is that of the chapter "Client/Server
//! Protocol" of MySQL's documentation, which MariaDB shares. Read next: `greeting`.

/// A whole packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Its place in the exchange that it belongs to.
    pub sequence: u8,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The bytes of the packet; its `payload` is below 64 KiB, as all before the login is.
    pub fn bytes(&self) -> Vec<u8> {
        let [low, middle, high, ..] = (self.payload.len() as u32).to_le_bytes();
        [&[low, middle, high, self.sequence], &self.payload[..]].concat()
    }
}

/// A packet on its way: what came of it is kept, and nothing of the next one.
#[derive(Debug, Default)]
pub struct Gathering(Vec<u8>);

impl Gathering {
    /// How many bytes more are wanted for certain: no more may be taken.
    pub fn missing(&self) -> Result<usize, TooLarge> {
        let whole = match self.0.first_chunk::<HEAD_BYTES>() {
            Some(head) => HEAD_BYTES + length(head),
            None => HEAD_BYTES,
        };
        match whole > HEAD_BYTES + PAYLOAD_BYTES_MAX {
            true => Err(TooLarge),
            false => Ok(whole.saturating_sub(self.0.len())),
        }
    }

    /// Whether nothing of a packet came yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes what belongs to the packet from the front of `bytes`, and returns how much that was.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, TooLarge> {
        let mut rest = bytes;
        loop {
            let missing = self.missing()?.min(rest.len());
            if missing == 0 {
                return Ok(bytes.len() - rest.len());
            }
            let (taken, behind) = rest.split_at_checked(missing).unwrap_or_default();
            self.0.extend_from_slice(taken);
            rest = behind;
        }
    }

    /// The packet, if it is whole; the next one begins.
    pub fn finish(&mut self) -> Option<Packet> {
        let &[low, middle, high, sequence] = self.0.first_chunk::<HEAD_BYTES>()?;
        if self.0.len() < HEAD_BYTES + length(&[low, middle, high, sequence]) {
            return None;
        }
        let payload = self.0.split_off(HEAD_BYTES);
        self.0.clear();
        Some(Packet { sequence, payload })
    }
}

fn length(head: &[u8; HEAD_BYTES]) -> usize {
    let [low, middle, high, _] = *head;
    u32::from_le_bytes([low, middle, high, 0]) as usize
}

/// A packet that is longer than any may be before the client is logged in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a packet is longer than {PAYLOAD_BYTES_MAX} bytes before the client is logged in")]
pub struct TooLarge;

/// Length and sequence.
pub(super) const HEAD_BYTES: usize = 4;

/// The payload of a packet before the client is logged in: with its head 64 KiB. A token of
/// Kerberos is the longest thing that is said there, beside what a client tells of itself.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024 - HEAD_BYTES;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_are_gathered_whole_and_to_the_byte(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
            sequence: u8,
            piece in 1_usize..400,
        ) {
            let packet = |payload: &Vec<u8>| Packet { sequence, payload: payload.clone() };
            let packets: Vec<_> = payloads.iter().map(packet).collect();
            let bytes: Vec<u8> = packets.iter().flat_map(Packet::bytes).collect();
            let mut gathering = Gathering::default();
            let mut found = Vec::new();
            for mut piece in bytes.chunks(piece) {
                while !piece.is_empty() {
                    let taken = gathering.take(piece).unwrap();
                    piece = &piece[taken..];
                    found.extend(gathering.finish());
                }
            }
            prop_assert_eq!(found, packets);
            prop_assert!(gathering.is_empty());
        }
    }

    #[test]
    fn a_packet_that_is_too_long_is_known_by_its_head() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.take(&[0xfd, 0xff, 0, 0]), Err(TooLarge));
        let mut gathering = Gathering::default();
        assert_eq!(gathering.take(&[0xfc, 0xff, 0, 0]), Ok(4));
        assert_eq!(gathering.missing(), Ok(PAYLOAD_BYTES_MAX));
    }
}
