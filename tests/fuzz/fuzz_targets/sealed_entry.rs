//! What comes back from a store that others can write to, and the file of the keys.
//!
//! Owns the calls, and what holds of them: whatever the store gives, nothing opens but what was
//! sealed, and that opens whole, where it belongs.

#![no_main]

mod context;

use std::sync::LazyLock;

use context::CONTEXT;
use libfuzzer_sys::fuzz_target;
use portunus_certs::session::id::{SessionId, Use};
use portunus_certs::session::seal::SealingKeys;

fuzz_target!(|bytes: &[u8]| {
    let _ = SealingKeys::parse(bytes);
    let (keys, context, id) = (&*KEYS, &*CONTEXT, SessionId::from([8; 32]));
    for usage in [Use::Single, Use::Repeated] {
        assert!(keys.open(usage, context, &id, bytes).is_err());
    }
    assert!(keys.open_text(bytes, bytes).is_none());

    let (_, entry) = keys.seal(Use::Single, context, &id, 5, bytes).expect("randomness");
    let opened = keys.open(Use::Single, context, &id, &entry).expect("what was sealed opens");
    assert_eq!((opened.issued_at, &opened.session[..]), (5, bytes));
    let text = keys.seal_text(bytes, bytes).expect("randomness");
    assert_eq!(keys.open_text(bytes, &text).as_deref().map(Vec::as_slice), Some(bytes));

    // The input says what is done to it on the way.
    let [high, low, change, ..] = bytes else { return };
    let place = usize::from(u16::from_be_bytes([*high, *low]));
    let opens = |sealed: &[u8]| keys.open(Use::Single, context, &id, sealed).is_ok();
    for damaged in damaged(&entry, place, *change) {
        assert!(!opens(&damaged));
    }
    for damaged in damaged(&text, place, *change) {
        assert!(keys.open_text(bytes, &damaged).is_none());
    }
});

/// Shorter, longer, and with a byte changed.
fn damaged(sealed: &[u8], place: usize, change: u8) -> Vec<Vec<u8>> {
    let place = place % sealed.len();
    let mut all = vec![sealed[..place].to_vec(), [sealed, &[change]].concat()];
    if change != 0 {
        let mut changed = sealed.to_vec();
        changed[place] ^= change;
        all.push(changed);
    }
    all
}

static KEYS: LazyLock<SealingKeys> = LazyLock::new(|| {
    let lines = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
                  ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";
    SealingKeys::parse(lines).expect("two keys")
});
