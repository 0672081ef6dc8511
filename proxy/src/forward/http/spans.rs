//! What traces say of a request: one span for what the client asked, one for what a backend did.
//!
//! Owns the attributes, by OpenTelemetry's conventions for HTTP as far as these have a name, and
//! when a span counts as failed: that of the client's request if it is our side's fault, that of
//! the backend's call for every answer that is not good. A query string may hold secrets, and is
//! never there. Refuses to know how spans are sent. Read next: `trace`.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::USER_AGENT;
use http::{HeaderValue, Method, Request, Version};

use super::state::Connection;
use crate::access::{End, Entry, Witness};
use crate::forward::header::Proto;
use crate::metrics::HandshakeKind;
use crate::net::EndpointAddr;
use crate::outcome::Label as _;
use crate::trace::{Attributes, Kind, Recording, Span};

/// Writes down a request that is over.
#[derive(Debug)]
pub(super) struct Spans {
    recording: Box<Recording>,
    connection: Arc<Connection>,
    user_agent: Option<HeaderValue>,
}

impl Spans {
    /// Hears of `request`, which came over `connection`.
    pub(super) fn witness<B>(
        recording: Box<Recording>,
        connection: &Arc<Connection>,
        request: &Request<B>,
    ) -> Box<dyn Witness> {
        let user_agent = request.headers().get(USER_AGENT).cloned();
        Box::new(Self { recording, connection: Arc::clone(connection), user_agent })
    }

    /// What the client asked.
    fn serve(&self, entry: &Entry, start: SystemTime) {
        let status = entry.status.map(Status::of);
        let failed = match (entry.end, &status) {
            (End::Backend | End::Timeout, _) => Some(entry.end.label()),
            (_, Some(status)) if status.number >= 500 => Some(status.text()),
            _ => None,
        };
        let span = Span {
            kind: Kind::Service,
            name: method(entry.method.as_ref()).0,
            start,
            end: start + entry.duration,
            failed,
        };
        self.recording.tell(&span, |about| {
            about_method(entry, about);
            about.text("url.path", entry.path());
            about.text("url.scheme", scheme(self.connection.proto));
            about.text("network.protocol.version", version(entry.version));
            if let Some(host) = entry.host.as_ref().and_then(|host| host.to_str().ok()) {
                let (name, port) = name_and_port(host);
                about.text("server.address", name);
                if let Some(port) = port {
                    about.number("server.port", port.into());
                }
            }
            if let Some(client) = entry.client.and_then(|client| client.ip()) {
                about.text("client.address", &client.to_string());
            }
            about.text_if_any("user_agent.original", text(self.user_agent.as_ref()));
            if let Some(status) = &status {
                about.number("http.response.status_code", status.number.into());
            }
            about.number("http.response.body.size", entry.sent);
            about.text_if_any("error.type", failed);
            self.about_tls(about);
            about.text("portunus.listener", &entry.listener);
            about.text_if_any("portunus.backend", entry.backend.as_deref());
            about.text_if_any("portunus.request_id", text(entry.request_id.as_ref()));
            about.text("portunus.end", entry.end.label());
        });
    }

    fn about_tls(&self, about: &mut Attributes<'_>) {
        let Some(facts) = &self.connection.tls_facts else { return };
        about.text("tls.protocol.version", facts.version.label());
        about.text("tls.cipher", facts.suite.label());
        about.truth("tls.resumed", facts.kind != HandshakeKind::Full);
        about.text_if_any("tls.client.server_name", self.connection.server_name.as_deref());
    }

    /// What the backend did, if one was asked.
    fn call(&self, entry: &Entry, start: SystemTime) {
        let Some(backend) = &entry.backend else { return };
        // An answer of ours stands for what the backend did not do.
        let answered = entry.failure.is_none() || entry.end != End::Complete;
        let status = entry.status.filter(|_| answered).map(Status::of);
        let bad = status.as_ref().filter(|status| status.number >= 400);
        let failed = match entry.failure {
            Some(failure) => Some(failure.label()),
            None => bad.map(Status::text),
        };
        let took = entry.received.unwrap_or(entry.duration);
        let name = method(entry.method.as_ref()).0;
        let span = Span { kind: Kind::Call, name, start, end: start + took, failed };
        self.recording.tell(&span, |about| {
            about_method(entry, about);
            match &entry.endpoint {
                Some(EndpointAddr::Tcp(addr)) => {
                    about.text("server.address", &addr.ip().to_string());
                    about.number("server.port", addr.port().into());
                }
                Some(EndpointAddr::Unix(path)) => {
                    about.text("network.transport", "unix");
                    about.text("server.address", &path.to_string_lossy());
                }
                None => {}
            }
            if let Some(status) = &status {
                about.number("http.response.status_code", status.number.into());
            }
            about.text_if_any("error.type", failed);
            about.text("portunus.backend", backend);
        });
    }
}

impl Witness for Spans {
    fn hear(&self, entry: &Entry) {
        let now = SystemTime::now();
        let start = now.checked_sub(entry.duration).unwrap_or(now);
        self.serve(entry, start);
        self.call(entry, start);
    }
}

/// A status, and how it is written.
struct Status {
    number: u16,
    text: [u8; 3],
}

impl Status {
    fn of(number: u16) -> Self {
        let digit = |place: u16| b'0' + (number / place % 10) as u8;
        Self { number, text: [digit(100), digit(10), digit(1)] }
    }

    fn text(&self) -> &str {
        // Digits are text.
        str::from_utf8(&self.text).unwrap_or_default()
    }
}

/// What a span of `method` is called, and what of the method is shown as it is. Whoever asks must
/// not choose how many names there are.
fn method(method: Option<&Method>) -> (&str, &str) {
    match method {
        Some(method) if KNOWN.contains(method) => (method.as_str(), method.as_str()),
        Some(_) | None => ("HTTP", "_OTHER"),
    }
}

fn about_method(entry: &Entry, about: &mut Attributes<'_>) {
    let (_, shown) = method(entry.method.as_ref());
    about.text("http.request.method", shown);
    if let (Some(written), "_OTHER") = (&entry.method, shown) {
        about.text("http.request.method_original", written.as_str());
    }
}

fn scheme(proto: Proto) -> &'static str {
    match proto {
        Proto::Http => "http",
        Proto::Https => "https",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// The two parts of a `Host`.
fn name_and_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

/// The methods that everybody knows (RFC 9110 §9, RFC 5789).
const KNOWN: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];
