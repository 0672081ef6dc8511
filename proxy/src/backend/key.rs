//! What makes two requests belong to the same endpoint.
//!
//! Owns the digest of a client address, a request field or a cookie. It is the same in every
//! process and on every machine, so that several of them send a client to the same endpoint; it
//! hides nothing and withstands nobody. Refuses to know endpoints. Read next: `balance`.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;

use super::random::mix;
use crate::config::Balance;
use crate::net::ClientAddr;

/// What `balance` goes by for a request; `None` if it goes by nothing, or if that is not there.
pub(super) fn of(balance: &Balance, client: ClientAddr, headers: &HeaderMap) -> Option<u64> {
    match balance {
        Balance::P2c | Balance::RoundRobin | Balance::Least => None,
        Balance::HashClient => match client.ip()? {
            IpAddr::V4(ip) => Some(digest(&ip.octets())),
            IpAddr::V6(ip) => Some(digest(&ip.octets())),
        },
        Balance::HashHeader(name) => headers.get(name).map(|value| digest(value.as_bytes())),
        Balance::HashCookie(name) => cookie(headers, name.as_bytes()).map(digest),
    }
}

/// The value of the first cookie with this name (RFC 6265 §5.4). HTTP/2 may have parted the field
/// (RFC 9113 §8.2.3).
fn cookie<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii_start().strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value.trim_ascii_end())
    })
}

/// FNV-1a, with its bits mixed: what differs in one byte differs everywhere.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::net::PeerAddr;

    fn headers(cookies: &[&'static str]) -> HeaderMap {
        cookies.iter().map(|text| (COOKIE, HeaderValue::from_static(text))).collect()
    }

    fn client(addr: &str) -> ClientAddr {
        PeerAddr::new(addr.parse().unwrap()).into()
    }

    #[test]
    fn a_cookie_is_found_wherever_it_stands() {
        let by = Balance::HashCookie("id".into());
        let nobody = client("192.0.2.1:1");
        let expected = Some(digest(b"7"));
        for cookies in [
            &["id=7"][..],
            &["a=b; id=7"],
            &["id=7; a=b"],
            &["a=b;id=7 ;c=d"],
            &["a=b", "id=7"],
            &["myid=1; ID=2; id=7; id=8"],
        ] {
            assert_eq!(of(&by, nobody, &headers(cookies)), expected, "{cookies:?}");
        }
        for cookies in [&[][..], &["a=id"], &["id"], &["idx=7"], &["x id=7"]] {
            assert_eq!(of(&by, nobody, &headers(cookies)), None, "{cookies:?}");
        }
    }

    #[test]
    fn a_client_is_its_address_without_the_port() {
        let of = |addr| of(&Balance::HashClient, client(addr), &HeaderMap::new()).unwrap();
        assert_eq!(of("192.0.2.1:1"), of("192.0.2.1:2"));
        assert_eq!(of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:2"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8::2]:1"));
        let unix = ClientAddr::from(PeerAddr::UNIX);
        assert_eq!(super::of(&Balance::HashClient, unix, &HeaderMap::new()), None);
    }

    #[test]
    fn a_request_field_is_taken_as_it_is() {
        let by = Balance::HashHeader(http::HeaderName::from_static("x-user"));
        let mut headers = HeaderMap::new();
        assert_eq!(of(&by, client("192.0.2.1:1"), &headers), None);
        headers.insert("x-user", HeaderValue::from_static("Ann"));
        assert_eq!(of(&by, client("192.0.2.1:1"), &headers), Some(digest(b"Ann")));
        assert_ne!(digest(b"Ann"), digest(b"ann"));
    }
}
