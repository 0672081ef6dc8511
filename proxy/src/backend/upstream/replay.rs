//! A request, read back from the bytes that became of it.
//!
//! Owns [`read_back`], for the rare case that a connection which has waited turns out to be gone
//! when a request without a body was written to it: to keep a copy of each request would cost more
//! than to keep its bytes. They are our own, so that anything odd means that they are not complete.
//! Refuses to know whether the request may be sent again.

use http::{HeaderName, HeaderValue, Method, Request, Uri};

use crate::backend::upload::Upload;

/// The request that `bytes` are the head of, if they are all of it.
pub(super) fn read_back(bytes: &[u8]) -> Option<Request<Upload>> {
    let text = bytes.strip_suffix(b"\r\n\r\n")?;
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if version != b"HTTP/1.1" || words.next().is_some() {
        return None;
    }
    let mut request = Request::new(Upload::none());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
        request.headers_mut().append(HeaderName::from_bytes(name).ok()?, value);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /a%2F?b HTTP/1.1\r\nhost: app.example\r\nx-two: 1\r\nx-two: 2\r\n\
                        x-empty: \r\nx-colon: a: b\r\n\r\n";

    #[test]
    fn a_request_is_what_it_was() {
        let request = read_back(HEAD.as_bytes()).unwrap();
        assert_eq!((request.method(), request.uri().to_string()), (&Method::GET, "/a%2F?b".into()));
        let fields: Vec<_> = request.headers().iter().map(|(n, v)| (n.as_str(), v)).collect();
        let expected = [
            ("host", "app.example"),
            ("x-two", "1"),
            ("x-two", "2"),
            ("x-empty", ""),
            ("x-colon", "a: b"),
        ];
        assert_eq!(fields.len(), expected.len());
        for (have, want) in fields.iter().zip(expected) {
            assert_eq!((have.0, have.1.to_str().unwrap()), want);
        }
    }

    #[test]
    fn a_part_of_a_request_is_none() {
        for length in 0..HEAD.len() {
            assert!(read_back(&HEAD.as_bytes()[..length]).is_none(), "{length}");
        }
    }
}
