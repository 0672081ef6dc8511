//! Requests: which are refused, and what of the others reaches the backend.

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use super::client::{Client, Sender};
use super::edit::edit;
use super::forwarded::{Proto, tell};
use super::host::{Host, HostError};
use super::identity::ClientCert;
use super::length::{BadLength, length, straighten};
use super::refusal::{Refusal, TARGET_TOO_LONG, UNKNOWN_CODING, UNKNOWN_EXPECTATION};
use super::response::Trailers;
use super::tls::TlsFields;
use crate::config::{FieldEdit, ForwardedFields, HttpLimits, HttpListener};
use crate::field::{Fate, fate, is_hop, is_protected};
use crate::metrics::HttpReject;

/// A request that may be forwarded.
#[derive(Debug)]
pub struct Vetted {
    /// Whom it is for.
    pub host: Host,
    /// What it asks to speak.
    pub protocol: Protocol,
}

/// What a request asks to speak after the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP, like before.
    Http,
    /// WebSocket (RFC 6455), if the backend agrees.
    WebSocket,
}

/// Decides whether a request may be forwarded. `fallback` is the host of a request of HTTP/1.0
/// without a `Host` field, which that version allows.
pub fn vet(
    parts: &Parts,
    fallback: Option<&str>,
    limits: &HttpLimits,
    listener: &HttpListener,
) -> Result<Vetted, Refusal> {
    if parts.method == Method::CONNECT {
        let allow = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
        return Err(Refusal::not_allowed(allow, "CONNECT is not served here."));
    }
    let host = host(parts, fallback)?;
    check_target(&parts.uri, &parts.method, limits)?;
    check_framing(parts)?;
    if parts.version == Version::HTTP_2 {
        check_values(&parts.headers)?;
    }
    if parts.headers.len() > limits.header_fields_max {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal::new(
            status,
            HttpReject::HeadTooLarge,
            "The request has too many header fields.",
        ));
    }
    check_nominees(&parts.headers)?;
    if listener.reject_underscores && parts.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(Refusal::malformed("The name of a header field has an underscore."));
    }
    Ok(Vetted { host, protocol: protocol(parts) })
}

fn host(parts: &Parts, fallback: Option<&str>) -> Result<Host, Refusal> {
    let uri = &parts.uri;
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Refusal::host("The request has more than one Host field."));
    }
    let Some(authority) = uri.authority() else {
        return match (field, fallback) {
            (Some(value), _) => Ok(Host::new(value.clone())?),
            (None, Some(name)) if parts.version == Version::HTTP_10 => Ok(host_of_text(name)?),
            (None, _) => Err(Refusal::host("The request has no Host field.")),
        };
    };
    // The request target `name` without a scheme belongs to CONNECT alone (RFC 9112 §3.2.3).
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(Refusal::host("The request target is neither a path nor a URL."));
    }
    match field {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            Err(Refusal::host("The request target and the Host field differ."))
        }
        None if parts.version < Version::HTTP_2 => {
            Err(Refusal::host("The request has no Host field."))
        }
        Some(value) => Ok(Host::new(value.clone())?),
        None => Ok(host_of_text(authority.as_str())?),
    }
}

fn host_of_text(text: &str) -> Result<Host, HostError> {
    Host::new(HeaderValue::from_str(text).map_err(|_| HostError)?)
}

fn check_target(uri: &Uri, method: &Method, limits: &HttpLimits) -> Result<(), Refusal> {
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    match target.as_bytes() {
        [b'/', ..] => {}
        b"*" if *method == Method::OPTIONS => {}
        _ => {
            return Err(Refusal::malformed("The request target is neither a path nor a URL."));
        }
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::malformed("The request target has characters that no URL has."));
    }
    if target.len() > limits.uri_bytes_max {
        return Err(TARGET_TOO_LONG);
    }
    Ok(())
}

/// Both codecs refuse a doubtful framing before, and HTTP/2 has no codings. What is forwarded must
/// not depend on that: two lengths smuggle, and a backend takes coded bytes for plain ones if
/// only `chunked` is undone. Expectations in HTTP/2 are looked at nowhere else.
fn check_framing(parts: &Parts) -> Result<(), Refusal> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() {
            return Err(Refusal::framing("The request has more than one Transfer-Encoding field."));
        }
        if parts.headers.contains_key(CONTENT_LENGTH) {
            return Err(Refusal::framing("The request has two lengths."));
        }
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(UNKNOWN_CODING);
        }
    }
    match parts.headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(UNKNOWN_EXPECTATION)
        }
        _ => Ok(()),
    }
}

/// What the codec of HTTP/2 lets through, and HTTP/1.1 would read in another way: white space
/// around a value (RFC 9113 §8.2.1), and a length that is no number, or that stands there twice.
fn check_values(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_padded = |value: &HeaderValue| {
        let ends = [value.as_bytes().first(), value.as_bytes().last()];
        ends.into_iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
    };
    if headers.values().any(is_padded) {
        return Err(Refusal::malformed("A header field begins or ends with white space."));
    }
    match length(headers) {
        Ok(_) => Ok(()),
        Err(BadLength) => Err(Refusal::framing("The length of the request is not a number.")),
    }
}

fn check_nominees(headers: &HeaderMap) -> Result<(), Refusal> {
    if nominees(headers).any(is_protected) {
        return Err(Refusal::malformed(
            "The Connection field names a field that it must not name.",
        ));
    }
    Ok(())
}

/// The names in `Connection` fields.
pub(super) fn nominees(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter();
    // Bytes beyond ASCII cannot name a field.
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

fn protocol(parts: &Parts) -> Protocol {
    let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let mut upgrades = parts.headers.get_all(UPGRADE).iter();
    let is_upgrade = parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && upgrades.next().is_some_and(asks)
        && upgrades.next().is_none()
        && !has_framing(&parts.headers)
        && nominees(&parts.headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    if is_upgrade { Protocol::WebSocket } else { Protocol::Http }
}

/// Whether a body follows, in which the first bytes of another protocol could hide.
fn has_framing(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// What we say about a request to the backend, and what the operator does.
#[derive(Debug)]
pub struct Ours<'a> {
    /// Who sent it.
    pub sender: &'a Sender,
    /// On whose behalf.
    pub client: &'a Client,
    /// The fields that tell of them.
    pub family: ForwardedFields,
    /// How the sender asked.
    pub proto: Proto,
    /// The port that the sender connected to, if there is one.
    pub port: Option<&'a HeaderValue>,
    /// The id of the request.
    pub request_id: HeaderValue,
    /// What the client has proved.
    pub client_cert: &'a ClientCert,
    /// How the connection was established.
    pub tls: &'a TlsFields,
    /// What the operator changes.
    pub edits: &'a [FieldEdit],
    /// What becomes of trailer fields of the request.
    pub request_trailers: Trailers,
    /// The same of the response.
    pub response_trailers: Trailers,
}

/// Turns the head of a vetted request into what the backend gets: origin form, HTTP/1.1, without
/// what is for one hop or reserved, with the operator's changes and behind them our own fields.
/// `has_body` says whether anything follows.
pub fn forward(parts: &mut Parts, vetted: &Vetted, ours: Ours<'_>, has_body: bool) {
    if parts.uri.authority().is_some() {
        let target = std::mem::take(&mut parts.uri).into_parts().path_and_query;
        parts.uri = target.map_or_else(Uri::default, Uri::from);
    }
    let accepts_trailers =
        ours.response_trailers == Trailers::Pass && accepts_trailers(&parts.headers);
    strip(&mut parts.headers);
    let headers = &mut parts.headers;
    if ours.request_trailers == Trailers::Drop {
        headers.remove(TRAILER);
    }
    edit(headers, ours.edits);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    straighten(headers);
    if has_body {
        if !headers.contains_key(CONTENT_LENGTH) {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    } else if parts.version == Version::HTTP_2 && expects_body(&parts.method) {
        // Without a length some backends answer 411 to a request that HTTP/2 frames as empty.
        headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
    }
    if vetted.protocol == Protocol::WebSocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if accepts_trailers {
        // RFC 9110 §10.1.4: whoever sends TE says that it is for this connection.
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.insert(HOST, vetted.host.value().clone());
    tell(headers, ours.family, ours.sender, ours.client, &vetted.host, (ours.proto, ours.port));
    headers.insert(X_REQUEST_ID, ours.request_id);
    for (name, value) in ours.client_cert.fields() {
        headers.insert(name, value.clone());
    }
    for (name, value) in ours.tls.fields() {
        headers.insert(name, value.clone());
    }
    parts.version = Version::HTTP_11;
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
}

fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Removes what is for one hop, what `Connection` names, and what is reserved.
fn strip(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = nominees(headers)
        .filter(|name| !is_hop(&name.to_ascii_lowercase()) && !name.eq_ignore_ascii_case("close"))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    let doomed = |name: &&HeaderName| fate(name.as_str()) != Fate::Pass;
    let stripped: Vec<HeaderName> = headers.keys().filter(doomed).cloned().collect();
    for name in nominated.iter().chain(&stripped) {
        headers.remove(name);
    }
}

/// HTTP/2 allows a cookie in several fields, HTTP/1.1 does not (RFC 9113 §8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Values joined by a valid separator are a valid value.
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Whether the message belongs to gRPC, which ends with trailer fields in any case.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    kind.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

const GRPC: &[u8] = b"application/grpc";
/// Names a request in answers of ours, and to the backend.
pub(in crate::forward) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
