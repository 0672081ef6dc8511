//! Files of ticket keys: what is read, what is refused, and in which words.

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;

/// As many bytes as `openssl rand` would give, each time the same ones.
fn record(length: usize, seed: u8) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[seed]);
    let blocks = (0..).flat_map(|block: u8| hmac::sign(&key, &[block]).as_ref().to_vec());
    blocks.take(length).collect()
}

fn base64(record: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(record)
}

fn file_names(bytes: &[u8]) -> Vec<key::KeyName> {
    let file = FileKeys::parse(bytes).unwrap();
    let keys = TicketKeys::of_file(RingOptions::default(), clock(START), &file);
    let (sealing, opening) = names(&keys, at(START));
    assert_eq!(sealing, opening.first().copied(), "the first key seals");
    opening
}

#[test]
fn binary_records_and_lines_of_base64_give_the_same_keys() {
    for length in [80, 48] {
        let records = [1, 2, 3].map(|seed| record(length, seed));
        let binary = file_names(&records.concat()[..2 * length]);
        let lines = records.each_ref().map(|record| base64(record));
        let text =
            format!("# ours\n{}\r\n\n  {} # the next one: geht später\n", lines[0], lines[1]);
        assert_eq!(binary.len(), 2);
        assert_eq!(file_names(text.as_bytes()), binary);
    }
}

#[test]
fn a_file_that_can_be_cut_both_ways_holds_records_of_80_bytes() {
    assert_eq!(FileKeys::parse(&record(240, 1)).unwrap().count(), 3);
    assert_eq!(FileKeys::parse(&record(144, 1)).unwrap().count(), 3);
}

/// An independent way to the key: HKDF-Extract as RFC 5869 has it, over what follows the name.
#[test]
fn the_whole_secret_goes_into_the_key_and_the_name_of_the_record_does_not() {
    let one = record(80, 1);
    let name = |record: &[u8]| file_names(record)[0];
    let mut renamed = one.clone();
    renamed[3] ^= 1;
    assert_eq!(name(&renamed), name(&one));
    assert_ne!(name(&one)[..], one[..16]);
    for place in 16..80 {
        let mut other = one.clone();
        other[place] ^= 1;
        assert_ne!(name(&other), name(&one), "byte {place} does not count");
    }
    let salt = hmac::Key::new(hmac::HMAC_SHA256, b"portunus ticket key file v1");
    let extracted: [u8; 32] = hmac::sign(&salt, &one[16..]).as_ref().try_into().unwrap();
    let expected = SealKey::new(&extracted).unwrap();
    assert_eq!(name(&one)[..], expected.digest(&[b"portunus ticket key name v1"])[..16]);
}

#[test]
fn a_bad_key_is_refused_by_its_place_and_never_shown() {
    use FileKeysError as Error;
    let good = [1, 2, 3].map(|seed| record(80, seed));
    let mut zero = record(80, 9);
    zero[16..].fill(0);
    let mut few = record(48, 9);
    few.iter_mut().for_each(|byte| *byte %= 7);
    let mut renamed = good[0].clone();
    renamed[0] ^= 1;
    let lines = |records: &[&[u8]]| records.iter().map(|r| base64(r) + "\n").collect::<String>();
    let cases: Vec<(Vec<u8>, Error)> = vec![
        (vec![], Error::Empty),
        (b" \n # nothing\n".to_vec(), Error::Empty),
        (record(81, 1), Error::NoRecords { bytes: 81 }),
        ([&good[0][..], &zero].concat(), Error::Weak { place: Place::Record(2) }),
        (vec![0; 80], Error::Weak { place: Place::Record(1) }),
        (few.clone(), Error::Weak { place: Place::Record(1) }),
        ([&good[0][..], &good[1], &renamed].concat(), Error::Twice { place: Place::Record(3) }),
        (
            lines(&[&good[0], &good[1][..47]]).into_bytes(),
            Error::Length { place: Place::Line(2), bytes: 47 },
        ),
        (lines(&[&good[0], &zero]).into_bytes(), Error::Weak { place: Place::Line(2) }),
        (lines(&[&good[0], &good[0]]).into_bytes(), Error::Twice { place: Place::Line(2) }),
        ((lines(&[&good[0]]) + "secret words").into_bytes(), Error::NotBase64 { line: 2 }),
        ((0..17).flat_map(|seed| record(80, seed)).collect(), Error::TooMany),
    ];
    for (bytes, expected) in cases {
        let error = FileKeys::parse(&bytes).unwrap_err();
        assert_eq!(error, expected);
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    assert_eq!(
        FileKeys::parse(&(0..16).flat_map(|s| record(80, s)).collect::<Vec<_>>()).unwrap().count(),
        16
    );
}

#[test]
fn a_rotated_file_forgets_what_is_gone_and_counts_age_from_the_change_of_what_seals() {
    let [old, new] = [1, 2].map(|seed| record(80, seed));
    let parse = |records: &[&[u8]]| FileKeys::parse(&records.concat()).unwrap();
    let keys = TicketKeys::empty(RingOptions::default(), Source::File, clock(START));
    let start = at(START);
    keys.replace(&parse(&[&old]), start);
    let after = |hours| at(start.steady + hours * HOUR);
    let gone = Arc::downgrade(&keys.ring().keys()[0]);
    let first = names(&keys, start).0;
    assert_eq!(keys.age(after(5)), Some(5 * HOUR));
    // Announced, then in use, then alone.
    keys.replace(&parse(&[&old, &new]), after(5));
    assert_eq!((names(&keys, after(6)).0, keys.age(after(6))), (first, Some(6 * HOUR)));
    keys.replace(&parse(&[&new, &old]), after(6));
    assert_ne!(names(&keys, after(6)).0, first);
    assert_eq!(names(&keys, after(6)).1.len(), 2);
    assert_eq!(keys.age(after(7)), Some(HOUR));
    keys.replace(&parse(&[&new]), after(7));
    assert_eq!(names(&keys, after(7)).1.len(), 1);
    assert!(gone.upgrade().is_none());
    // A file may be as old as its owner wants; it only shows.
    assert!(keys.is_usable(after(1000)));
    keys.advance(after(1000)).unwrap();
    assert_eq!(keys.age(after(1000)), Some(994 * HOUR));
}

proptest! {
    #[test]
    fn whatever_a_file_contains_it_is_keys_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        text in "[A-Za-z0-9+/=#\n ]{0,400}",
    ) {
        let _keys_or_error = FileKeys::parse(&bytes);
        let _keys_or_error = FileKeys::parse(text.as_bytes());
    }
}
