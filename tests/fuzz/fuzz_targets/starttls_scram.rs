//! PostgreSQL for clients without TLS before a backend with it, from both sides.
//!
//! Owns the calls, and what holds of them: a backend hears what the client said and nothing else, a
//! client hears of a backend's messages what can be read again, and how they are cut changes
//! nothing. The first byte is the size of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus::starttls::scram::{Doorstep, Message, Request, Verdict};

fuzz_target!(|bytes: &[u8]| {
    let (size, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let size = 1 + usize::from(*size);
    hear_client(bytes, bytes.len().max(1));
    hear_client(bytes, size);
    assert_eq!(hear_backend(bytes, size), hear_backend(bytes, usize::MAX), "in pieces of {size}");
});

/// Leads the begin of a session. A client that does not wait for an answer is refused, so cuts may
/// change what comes of it.
fn hear_client(bytes: &[u8], size: usize) {
    let mut doorstep = Doorstep::default();
    let (mut fed, mut declined) = (0, 0);
    for piece in bytes.chunks(size) {
        fed += piece.len();
        match doorstep.feed(piece) {
            Ok(Request::Declined(answer)) => {
                assert!(answer.iter().all(|byte| *byte == b'N'));
                declined += answer.len();
                assert!(declined <= 2, "{declined} requests declined");
                assert!(fed <= PACKET_BYTES_MAX + 16, "{fed} bytes held");
            }
            Ok(Request::Other(said) | Request::Session(said)) => {
                assert_eq!(said, bytes[8 * declined..fed]);
                return;
            }
            Err(_) => return,
        }
    }
}

/// What a client hears of a backend's messages, and whether one of them decided.
fn hear_backend(bytes: &[u8], size: usize) -> (Vec<u8>, Verdict) {
    let mut heard = Vec::new();
    let mut message = Message::default();
    let mut rest = bytes;
    loop {
        let missing = match message.missing() {
            Ok(0) => {
                let (words, verdict) = message.finish();
                check(&words, verdict);
                heard.extend(words);
                if verdict == Verdict::Given {
                    return (heard, verdict);
                }
                continue;
            }
            Ok(missing) => missing,
            Err(_) => return (heard, Verdict::Pending),
        };
        assert!(missing <= PACKET_BYTES_MAX, "{missing} bytes are waited for");
        let (piece, later) = rest.split_at(missing.min(size).min(rest.len()));
        if piece.is_empty() {
            return (heard, Verdict::Pending);
        }
        message.take(piece);
        rest = later;
    }
}

/// The message is whole, and nothing more is to be left out of it.
fn check(words: &[u8], verdict: Verdict) {
    let length = words[1..].first_chunk().map(|length| u32::from_be_bytes(*length));
    assert_eq!(length.map(|length| length as usize), Some(words.len() - 1));
    let mut again = Message::default();
    again.take(words);
    assert_eq!(again.finish(), (words.to_vec(), verdict));
}

/// What is read of one packet, at most, without the kind of it.
const PACKET_BYTES_MAX: usize = 10_000;
