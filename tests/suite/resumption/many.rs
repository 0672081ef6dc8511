//! A ClientHello that offers more sessions than anyone could have: rustls never writes one.
//!
//! Owns the surgery on bytes. RFC 8446 §4.2.11: the extension `pre_shared_key` is the last one; its
//! binders are checked only after the look-up, so anything will do for them.

/// `hello`, one record with a ClientHello without `pre_shared_key`, with `count` identities of 32
/// bytes, no two alike, as several records where needed.
pub(super) fn with_identities(hello: &[u8], count: u16) -> Vec<u8> {
    let message = &hello[5..];
    let extensions_at = extensions_at(message);
    let mut extensions = message[extensions_at + 2..].to_vec();
    assert!(super::wire::offered(hello).len() <= 1, "it offers something itself");
    let identity =
        |number: u16| [&[0, 32], &number.to_be_bytes()[..], &[0xa5; 30], &[0, 0, 0, 1]].concat();
    let identities: Vec<_> = (0..count).flat_map(identity).collect();
    let binder = [&[32], &[0x5a; 32][..]].concat();
    let binders = binder.repeat(count.into());
    let body = [prefixed(&identities), prefixed(&binders)].concat();
    extensions.extend([0, 41]);
    extensions.extend(prefixed(&body));
    let inside = [&message[4..extensions_at], &prefixed(&extensions)].concat();
    let length = u32::try_from(inside.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &inside].concat();
    let records =
        message.chunks(16_000).flat_map(|part| [&[22, 3, 1], &prefixed(part)[..]].concat());
    records.collect()
}

/// Where the length of the extensions stands in a ClientHello (RFC 8446 §4.1.2).
fn extensions_at(message: &[u8]) -> usize {
    let session_at = 4 + 2 + 32;
    let suites_at = session_at + 1 + usize::from(message[session_at]);
    let suites = usize::from(u16::from_be_bytes([message[suites_at], message[suites_at + 1]]));
    let compressions_at = suites_at + 2 + suites;
    compressions_at + 1 + usize::from(message[compressions_at])
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}
