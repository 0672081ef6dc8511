//! Entries by chance: they open where they belong and nowhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

const HERE: ContextId = ContextId([1; 32]);
const THERE: ContextId = ContextId([2; 32]);

fn line(first: u8) -> String {
    let mut bytes = [7; KEY_BYTES];
    bytes[0] = first;
    STANDARD.encode(bytes)
}

fn keys(firsts: &[u8]) -> SealingKeys {
    let lines: Vec<_> = firsts.iter().map(|first| line(*first)).collect();
    SealingKeys::parse(lines.join("\n").as_bytes()).unwrap()
}

fn id(byte: u8) -> SessionId {
    SessionId([byte; 32])
}

#[test]
fn a_key_file_is_read_line_by_line_and_its_faults_name_the_line_and_not_the_key() {
    let text = format!("# made by hand\n\n  {}  # the first\r\n{}\n", line(1), line(2));
    assert_eq!(SealingKeys::parse(text.as_bytes()).unwrap().0.len(), 2);
    let fault = |text: &str| SealingKeys::parse(text.as_bytes()).map(|_| ()).unwrap_err();
    assert_eq!(fault(""), SealingKeyError::Empty);
    assert_eq!(fault("# nothing\n\n"), SealingKeyError::Empty);
    assert_eq!(fault("\nsecret words"), SealingKeyError::NotBase64 { line: 2 });
    assert_eq!(fault("c2hvcnQ="), SealingKeyError::Length { line: 1, bytes: 5 });
    assert_eq!(fault(&STANDARD.encode([0; 32])), SealingKeyError::Weak { line: 1 });
    let twice = format!("{}\n{}", line(1), line(1));
    assert_eq!(fault(&twice), SealingKeyError::Twice { line: 2 });
    let many: Vec<_> = (1..5).map(line).collect();
    assert_eq!(fault(&many.join("\n")), SealingKeyError::TooMany);
    assert!(!fault("secret words").to_string().contains("secret"));
}

#[test]
fn after_a_rotation_entries_of_the_old_key_still_open_and_new_ones_get_the_new_key() {
    let (old, both) = (keys(&[1]), keys(&[2, 1]));
    let (entry_key, entry) = old.seal(Use::Single, &HERE, &id(9), 5, b"session").unwrap();
    assert!(both.entry_keys(Use::Single, &id(9)).any(|key| key == entry_key));
    let opened = both.open(Use::Single, &HERE, &id(9), &entry).unwrap();
    assert_eq!((opened.issued_at, &opened.session[..]), (5, &b"session"[..]));
    let (entry_key, entry) = both.seal(Use::Single, &HERE, &id(9), 5, b"session").unwrap();
    assert_eq!(both.entry_keys(Use::Single, &id(9)).next(), Some(entry_key));
    let unknown = old.open(Use::Single, &HERE, &id(9), &entry);
    assert_eq!(unknown, Err(OpenError::UnknownKey));
    let text = old.seal_text(b"label", b"text").unwrap();
    assert_eq!(both.open_text(b"label", &text).as_deref(), Some(&b"text".to_vec()));
    assert_eq!(both.open_text(b"other", &text), None);
}

#[test]
fn the_store_sees_neither_ids_nor_sessions_nor_which_contexts_are_equal() {
    let keys = keys(&[1]);
    let secret = [0x5a; 48];
    let (one_key, one) = keys.seal(Use::Single, &HERE, &id(0x33), 5, &secret).unwrap();
    let (_, two) = keys.seal(Use::Single, &HERE, &id(0x33), 5, &secret).unwrap();
    for shown in [&one_key[..], &one, &two] {
        assert!(!shown.windows(8).any(|window| window == [0x33; 8] || window == [0x5a; 8]));
    }
    let shared = 1 + NAME_BYTES;
    assert_eq!(one[..shared], two[..shared]);
    assert_ne!(one[shared..shared + TAG_BYTES], two[shared..shared + TAG_BYTES]);
    assert_eq!(one.len(), secret.len() + ENTRY_OVERHEAD_BYTES);
}

proptest! {
    #[test]
    fn an_entry_opens_under_its_own_id_context_and_use_and_untouched(
        session in proptest::collection::vec(any::<u8>(), 0..300),
        issued_at in any::<u64>(),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let keys = keys(&[1, 2]);
        let (_, entry) = keys.seal(Use::Single, &HERE, &id(1), issued_at, &session).unwrap();
        let opened = keys.open(Use::Single, &HERE, &id(1), &entry).unwrap();
        prop_assert_eq!((opened.issued_at, opened.session.to_vec()), (issued_at, session));
        prop_assert_eq!(keys.open(Use::Single, &THERE, &id(1), &entry), Err(OpenError::Policy));
        prop_assert_eq!(keys.open(Use::Single, &HERE, &id(2), &entry), Err(OpenError::Damaged));
        prop_assert_eq!(keys.open(Use::Repeated, &HERE, &id(1), &entry), Err(OpenError::Damaged));
        let place = place.index(entry.len());
        let mut touched = entry.clone();
        touched[place] ^= 1 << bit;
        prop_assert!(keys.open(Use::Single, &HERE, &id(1), &touched).is_err());
        prop_assert!(keys.open(Use::Single, &HERE, &id(1), &entry[..place]).is_err());
    }

    #[test]
    fn no_bytes_whatever_make_opening_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        version in 0..3_u8,
    ) {
        let keys = keys(&[1]);
        let mut entry = vec![version];
        entry.extend_from_slice(&keys.0[0].name);
        entry.extend_from_slice(&bytes);
        prop_assert!(keys.open(Use::Single, &HERE, &id(1), &entry).is_err());
        prop_assert!(keys.open(Use::Single, &HERE, &id(1), &bytes).is_err());
        prop_assert_eq!(keys.open_text(b"", &entry), None);
    }
}
