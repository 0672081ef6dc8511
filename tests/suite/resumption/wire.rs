//! What of resumption can be read on the wire: what a client offers, and whether a server takes it.
//!
//! Owns the little of RFC 5246 §7.4.1 and RFC 8446 §4.1 that this needs.

/// Every session id and every identity in a ClientHello, which stands in one record.
pub(super) fn offered(hello: &[u8]) -> Vec<Vec<u8>> {
    let message = &hello[5..];
    let (id, rest) = short(&message[4 + 2 + 32..]);
    let (_suites, rest) = long(rest);
    let (_compressions, rest) = short(rest);
    let mut found = vec![id.to_vec()];
    if let Some(keys) = extension(long(rest).0, PRE_SHARED_KEY) {
        let mut identities = long(keys).0;
        while !identities.is_empty() {
            let (identity, rest) = long(identities);
            found.push(identity.to_vec());
            // Behind it stands its age.
            identities = &rest[4..];
        }
    }
    found.retain(|one| !one.is_empty());
    found
}

/// Whether a server, with these first bytes, resumes by a ticket of TLS 1.3; none if they are too
/// few to tell.
pub(super) fn resumes_tls13(answer: &[u8]) -> Option<bool> {
    let [22, 3, 3, high, low, record @ ..] = answer else { return None };
    let message = record.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    assert_eq!(message[0], 2, "not a ServerHello");
    let (_id, rest) = short(&message[4 + 2 + 32..]);
    let extensions = long(&rest[2 + 1..]).0;
    Some(extension(extensions, PRE_SHARED_KEY).is_some())
}

fn extension(mut extensions: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [high, low, rest @ ..] = extensions {
        let (body, behind) = long(rest);
        if u16::from_be_bytes([*high, *low]) == wanted {
            return Some(body);
        }
        extensions = behind;
    }
    None
}

/// What stands behind a length of one byte, and the rest.
fn short(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes[1..].split_at(usize::from(bytes[0]))
}

/// What stands behind a length of two bytes, and the rest.
fn long(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes[2..].split_at(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

const PRE_SHARED_KEY: u16 = 41;
