//! Files of ticket keys, and tickets that clients bring.
//!
//! Owns the calls, and what holds of them: no ticket opens but one that was sealed, and that opens
//! whole.

#![no_main]

mod context;

use std::sync::{Arc, LazyLock};

use context::CONTEXT;
use libfuzzer_sys::fuzz_target;
use portunus_certs::tickets::{FileKeys, KEYS_MAX, RingOptions, ScopedTicketer, TicketKeys};
use rustls::time_provider::DefaultTimeProvider;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keys) = FileKeys::parse(bytes) {
        assert!((1..=KEYS_MAX).contains(&keys.count()));
    }
    let ticketer = || ScopedTicketer::new(Arc::clone(&KEYS), *CONTEXT, None);
    assert!(ticketer().open_at(bytes, KEYS.now()).is_err());
    let Some(ticket) = ticketer().seal_at(bytes, KEYS.now()) else { return };
    let opened = ticketer().open_at(&ticket, KEYS.now()).expect("what was sealed opens");
    assert_eq!(&opened[..], bytes);
    let [high, low, change, ..] = bytes else { return };
    let place = usize::from(u16::from_be_bytes([*high, *low])) % ticket.len();
    if *change != 0 {
        let mut changed = ticket.clone();
        changed[place] ^= change;
        assert!(ticketer().open_at(&changed, KEYS.now()).is_err());
    }
    assert!(ticketer().open_at(&ticket[..place], KEYS.now()).is_err());
});

static KEYS: LazyLock<Arc<TicketKeys>> = LazyLock::new(|| {
    let record: Vec<u8> = (0..80).collect();
    let keys = FileKeys::parse(&record).expect("a record of nginx");
    let clock = Arc::new(DefaultTimeProvider);
    Arc::new(TicketKeys::of_file(RingOptions::default(), clock, &keys))
});
