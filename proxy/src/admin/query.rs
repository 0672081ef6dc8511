//! Values in the query of a request target.
//!
//! Owns the parting and the decoding (RFC 3986 §2.1, §3.4). Refuses to know what they mean.

use http::Uri;

/// The first value with this name, decoded; `None` if there is none, or if it is not UTF-8.
pub(super) fn value(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = uri.query()?.split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    decoded(value)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        let uri: Uri =
            "/x?ab=1&a=%5B::1%5D%3a80&a=2&c=%zz&d=%f&e=%ff&f=".parse().expect("a target");
        let value = |name| value(&uri, name);
        assert_eq!(value("a").as_deref(), Some("[::1]:80"));
        assert_eq!(value("ab").as_deref(), Some("1"));
        assert_eq!(value("f").as_deref(), Some(""));
        for name in ["b", "c", "d", "e"] {
            assert_eq!(value(name), None, "{name}");
        }
    }
}
