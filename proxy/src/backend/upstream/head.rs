//! The head of a request as HTTP/2 has it.
//!
//! Owns the translation of a head that was made for HTTP/1.1: the `Host` becomes the `:authority`,
//! and what is said about the connection, or about framing, goes (RFC 9113 §8.2.2, §8.3.1).
//! Refuses to decide what a backend is told: the head is final but for its form.

use http::header::{CONNECTION, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Uri, Version, uri};

/// The head to send over HTTP/2 for one that was made for HTTP/1.1.
pub(super) fn translate(parts: &Parts, scheme: &Scheme) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_2;
    // Without an authority, `h2` refuses the request.
    *request.uri_mut() = absolute(&parts.uri, parts.headers.get(HOST), scheme).unwrap_or_default();
    *request.headers_mut() = fields(&parts.headers);
    request
}

fn absolute(target: &Uri, host: Option<&HeaderValue>, scheme: &Scheme) -> Option<Uri> {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(Authority::try_from(host?.as_bytes()).ok()?);
    let path = target.path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).ok()
}

fn fields(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE] {
        headers.remove(name);
    }
    headers
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(target: &str) -> Parts {
        let request = Request::get(target)
            .header("host", "app.example:8443")
            .header("connection", "te")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("x-own", "1");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_becomes_the_authority() {
        let request = translate(&parts("/a%2F/b?c=d"), &Scheme::HTTP);
        assert_eq!(request.uri().to_string(), "http://app.example:8443/a%2F/b?c=d");
        assert!(!request.headers().contains_key(HOST));
    }

    #[test]
    fn the_target_of_the_whole_server_stays_a_star() {
        let request = translate(&parts("*"), &Scheme::HTTPS);
        assert_eq!(request.uri().path(), "*");
    }

    #[test]
    fn nothing_is_said_about_a_connection_but_that_trailers_are_welcome() {
        let request = translate(&parts("/"), &Scheme::HTTP);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["te", "x-own"]);
    }
}
