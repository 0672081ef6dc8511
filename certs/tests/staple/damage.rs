//! Staples that cannot be used: named, never sent, and never the end of anything.

use proptest::prelude::*;

use super::{Authority, at, good, now, sent};

#[test]
fn what_is_bad_is_named_with_its_reason() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let staple = authority.answer("a", &good(0x1001));
    let endless = authority.sign(&good(0x1001), "-issuer ca.pem -cert a.pem", "ca", "");
    let foreign_hash =
        authority.sign(&good(0x1001), "-sha512 -issuer ca.pem -cert a.pem", "ca", "-ndays 7");
    let mut other_type = staple.clone();
    let basic = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let place = staple.windows(9).position(|window| window == basic).unwrap();
    other_type[place + 8] = 2;
    let cases: [(Vec<u8>, &str); 13] = [
        (Vec::new(), "is empty"),
        (b"hello\n".to_vec(), "no OCSP response, or not all of one"),
        (b"-----BEGIN OCSP RESPONSE-----\n".to_vec(), "it is PEM, not DER"),
        (staple[..staple.len() - 1].to_vec(), "no OCSP response, or not all of one"),
        ([&staple[..], b"\n"].concat(), "bytes follow its end"),
        (vec![0x30; (64 << 10) + 1], "more than 64 KiB"),
        (vec![0x30; (1 << 20) + 1], "has 1048577 bytes"),
        (vec![0x30, 3, 10, 1, 3], "asks to try again later"),
        (vec![0x30, 3, 10, 1, 6], "does not answer for this certificate"),
        (vec![0x30, 3, 10, 1, 0], "its structure is damaged"),
        (other_type, "a type other than id-pkix-ocsp-basic"),
        (endless, "no nextUpdate"),
        (foreign_hash, "neither SHA-1 nor SHA-256"),
    ];
    for (bytes, reason) in cases {
        authority.write("a.ocsp", &bytes);
        let (store, report) = authority.open();
        let said = authority.said(&report);
        assert!(
            matches!(&*said, [line] if line.starts_with("a.ocsp: ") && line.contains(reason)),
            "{said:?} instead of {reason}"
        );
        assert_eq!((store.load().len(), sent(&store, "a", now())), (1, None));
    }
}

#[test]
fn a_response_that_ends_early_at_whatever_byte_is_refused_and_the_last_good_one_stays() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let staple = authority.answer("a", &good(0x1001));
    authority.write("a.ocsp", &staple);
    let (store, _) = authority.open();
    for length in 0..staple.len() {
        authority.write("a.ocsp", &staple[..length]);
        let report = store.reload(at(now()));
        assert_eq!((report.skipped.len(), report.changed), (1, false), "{length}");
        assert_eq!(sent(&store, "a", now()).as_ref(), Some(&staple), "{length}");
    }
}

#[test]
fn a_response_of_which_one_bit_differs_outside_of_what_is_signed_is_refused() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let question = "-issuer ca.pem -cert a.pem";
    let staple = authority.sign(&good(0x1001), question, "ca", "-ndays 7 -resp_no_certs");
    let (store, _) = authority.open();
    // As far as the type of the response and the octets that hold it, which nobody signs.
    for (place, bit) in (0..30).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut bytes = staple.clone();
        bytes[place] ^= 1 << bit;
        authority.write("a.ocsp", &bytes);
        store.reload(at(now()));
        assert_eq!(sent(&store, "a", now()), None, "bit {bit} of byte {place}");
    }
}

#[test]
fn of_whatever_bytes_are_there_only_the_response_itself_is_sent() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    // Without certificates, which nobody needs and no signature covers.
    let question = "-issuer ca.pem -cert a.pem";
    let staple = authority.sign(&good(0x1001), question, "ca", "-ndays 7 -resp_no_certs");
    let (store, _) = authority.open();
    let spots = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    proptest!(ProptestConfig::with_cases(2_000), |(spots in spots, cut in any::<Option<u16>>())| {
        let mut bytes = staple.clone();
        for (spot, byte) in spots {
            bytes[spot.index(staple.len())] = byte;
        }
        if let Some(at) = cut {
            let at = usize::from(at) % bytes.len();
            bytes.insert(at, 0x30);
        }
        authority.remove_if_there("a.ocsp");
        store.reload(at(now()));
        authority.write("a.ocsp", &bytes);
        store.reload(at(now()));
        let sent = sent(&store, "a", now());
        prop_assert_eq!(sent.is_some(), bytes == staple);
        prop_assert!(sent.is_none_or(|sent| sent == staple));
    });
}
