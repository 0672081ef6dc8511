//! ClientHellos, in TLS records.
//!
//! Owns the one call, and what holds of its answer: how a hello is cut into records, and what comes
//! behind it, changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus::handshake::hello::offer::{OfferKind, ResumptionOffer};

fuzz_target!(|bytes: &[u8]| {
    let offer = ResumptionOffer::parse(bytes);
    let looked_up = offer.offered.ids().count();
    match offer.kind {
        OfferKind::None | OfferKind::Ticket => assert_eq!(looked_up, 0),
        OfferKind::SessionId => assert!(looked_up <= 1 && !offer.tls13),
        OfferKind::Psk => assert!(looked_up <= offer.identities.min(2) && offer.tls13),
    }
    let Some((message, is_all)) = message(bytes) else { return };
    // Where more stands in the records than the hello, an empty offer may be about that.
    if is_all || offer != ResumptionOffer::default() {
        let size = 1 + usize::from(bytes.last().copied().unwrap_or_default());
        for size in [1, size, 1 << 14] {
            let mut records = in_records(&message, size);
            assert_eq!(ResumptionOffer::parse(&records), offer);
            records.extend([23, 3, 3, 0, 1, 0]);
            assert_eq!(ResumptionOffer::parse(&records), offer);
            records.extend(bytes);
            assert_eq!(ResumptionOffer::parse(&records), offer);
        }
    }
});

/// The first message out of well-formed records, and whether nothing else is in them.
fn message(mut records: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut all = Vec::new();
    while let [22, 3, _, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > 1 << 14 {
            break;
        }
        let Some((fragment, rest)) = rest.split_at_checked(length) else { break };
        all.extend_from_slice(fragment);
        records = rest;
    }
    let length = match all.get(..4)? {
        [_, lengths @ ..] => lengths.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        [] => return None,
    };
    let is_all = records.is_empty() && all.len() == 4 + length;
    let message = all.get(..4 + length)?.to_vec();
    Some((message, is_all))
}

fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| {
        let length = u16::try_from(fragment.len()).expect("a record is not longer");
        [&[22, 3, 1][..], &length.to_be_bytes(), fragment].concat()
    };
    message.chunks(size).flat_map(record).collect()
}
