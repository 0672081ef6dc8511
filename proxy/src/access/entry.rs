//! What is said about a request, in text and in JSON.
//!
//! Owns [`Entry`] and the two forms of a line. Text:
//!
//! ```text
//! 2026-03-01T12:00:00.123Z 203.0.113.7 "GET /path HTTP/2" 200 5120 listener=https
//!     host=app.example.com duration_ms=12.345 head_ms=11.200 backend=app
//!     endpoint=10.0.0.7:3000 request_id=… end=complete
//! ```
//!
//! in one line: the moment of the end in UTC; the client; method, path and version; the status, `-`
//! if there was none; the bytes of the response body that the client was given; the name of the
//! listener; the host that was asked for; the time from the request head to the end; the time to
//! the head of the response; the backend and the endpoint, `-` if none was asked; the id that the
//! backend has got as well; and how it ended: `complete`, `cut` (the client went away, or we did),
//! `backend` (it broke the response off) or `timeout` (it fell silent within the response); before
//! that, if it is wanted to be known, which software the client is like, as `ja4=`. JSON has the
//! same as `timestamp`, `client`, `method`, `path`, `version`, `status`, `sent`, `listener`,
//! `host`, `duration_ms`, `head_ms`, `backend`, `endpoint`, `request_id`, `ja4`, `end`; what there
//! is none of is null. A request that could not be read is `"-"`, and in JSON has no method and
//! path. One that becomes a tunnel ends with the head of the response.
//!
//! A query string may hold secrets, and is never there; nor is any other field of the request.
//! Whatever a client has written is escaped, so that a line is a line, and cut behind 256 bytes, so
//! that a line has an end: `...` stands for the rest. Refuses to know requests beyond their head.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Version};
use tokio::time::Instant;

use super::words::{
    begin_object, begin_text, put, put_endpoint, put_endpoint_member, put_member, put_millis,
    put_optional, put_word,
};
use crate::log::Format;
use crate::net::{ClientAddr, EndpointAddr};
use crate::outcome::BackendFailure;

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When its head was there.
    pub started: Instant,
    /// How long it took, to the end of the response.
    pub duration: Duration,
    /// How long it took to the head of the response.
    pub head: Option<Duration>,
    /// How long it took to the end of what the backend sent, if that came.
    pub received: Option<Duration>,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// On whose behalf it came; `None` before that is known.
    pub client: Option<ClientAddr>,
    /// What was to be done; `None` if the request could not be read.
    pub method: Option<Method>,
    /// The request target, whose path alone is shown.
    pub target: Option<PathAndQuery>,
    /// The version that the client spoke.
    pub version: Version,
    /// The host that was asked for, as the client has written it.
    pub host: Option<HeaderValue>,
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// Bytes of the response body that the client was given.
    pub sent: u64,
    /// The name of the backend, if one was asked.
    pub backend: Option<Arc<str>>,
    /// The endpoint that answered, or was asked last.
    pub endpoint: Option<EndpointAddr>,
    /// What went wrong with the backend, if anything did.
    pub failure: Option<BackendFailure>,
    /// What the request is called.
    pub request_id: Option<HeaderValue>,
    /// Which software the client is like, if that is told.
    pub ja4: Option<Arc<str>>,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The backend broke the response off.
    Backend,
    /// The connection of the client has got all of the response.
    Complete,
    /// The connection of the client ended before.
    Cut,
    /// The backend fell silent within the response.
    Timeout,
}

impl End {
    /// The word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Timeout => "timeout",
        }
    }
}

impl Entry {
    pub(super) fn of<B>(request: &Request<B>, started: Instant) -> Self {
        let uri = request.uri();
        // What stands before an `@` are credentials.
        let host = |authority: &str| {
            let host = authority.rsplit('@').next().unwrap_or_default();
            HeaderValue::from_str(host).ok()
        };
        let authority = uri.authority().and_then(|authority| host(authority.as_str()));
        Self {
            method: Some(request.method().clone()),
            target: uri.path_and_query().cloned(),
            version: request.version(),
            host: authority.or_else(|| host(request.headers().get(HOST)?.to_str().ok()?)),
            ..Self::unread(started)
        }
    }

    /// A request of which nothing is known, but that it was one.
    pub(super) fn unread(started: Instant) -> Self {
        Self {
            started,
            duration: Duration::ZERO,
            head: None,
            received: None,
            listener: Arc::default(),
            client: None,
            method: None,
            target: None,
            version: Version::HTTP_11,
            host: None,
            status: None,
            sent: 0,
            backend: None,
            endpoint: None,
            failure: None,
            request_id: None,
            ja4: None,
            end: End::Cut,
        }
    }

    /// The head of the response is there, or that of an answer of ours.
    pub fn answer(&mut self, status: u16) {
        self.status = Some(status);
        self.head = Some(self.started.elapsed());
    }

    /// All of the response is there.
    pub fn receive(&mut self) {
        self.received = Some(self.started.elapsed());
    }

    /// Adds the line to `line`, with its end.
    pub(super) fn write(&self, format: Format, now: SystemTime, line: &mut Vec<u8>) {
        match format {
            Format::Json => self.write_json(now, line),
            Format::Text => self.write_text(now, line),
        }
    }

    /// The path that was asked for, without a query.
    pub fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    fn write_text(&self, now: SystemTime, line: &mut Vec<u8>) {
        begin_text(line, now, self.client);
        line.extend_from_slice(b" \"");
        match &self.method {
            Some(method) => {
                put_word(line, method.as_str());
                line.push(b' ');
                put_word(line, self.path());
                line.push(b' ');
                line.extend_from_slice(version(self.version).as_bytes());
            }
            None => line.push(b'-'),
        }
        match self.status {
            Some(status) => put(line, format_args!("\" {status}")),
            None => line.extend_from_slice(b"\" -"),
        }
        put(line, format_args!(" {} listener={} host=", self.sent, self.listener));
        put_optional(line, value(self.host.as_ref()));
        line.extend_from_slice(b" duration_ms=");
        put_millis(line, self.duration);
        line.extend_from_slice(b" head_ms=");
        match self.head {
            Some(head) => put_millis(line, head),
            None => line.push(b'-'),
        }
        line.extend_from_slice(b" backend=");
        put_optional(line, self.backend.as_deref());
        line.extend_from_slice(b" endpoint=");
        put_endpoint(line, self.endpoint.as_ref());
        line.extend_from_slice(b" request_id=");
        put_optional(line, value(self.request_id.as_ref()));
        if let Some(ja4) = &self.ja4 {
            put(line, format_args!(" ja4={ja4}"));
        }
        put(line, format_args!(" end={}\n", self.end.label()));
    }

    fn write_json(&self, now: SystemTime, line: &mut Vec<u8>) {
        begin_object(line, now, self.client);
        put_member(line, "method", self.method.as_ref().map(Method::as_str));
        put_member(line, "path", self.method.as_ref().map(|_| self.path()));
        put_member(line, "version", Some(version(self.version)));
        match self.status {
            Some(status) => put(line, format_args!(",\"status\":{status}")),
            None => line.extend_from_slice(b",\"status\":null"),
        }
        put(line, format_args!(",\"sent\":{}", self.sent));
        put_member(line, "listener", Some(&self.listener));
        put_member(line, "host", value(self.host.as_ref()));
        line.extend_from_slice(b",\"duration_ms\":");
        put_millis(line, self.duration);
        line.extend_from_slice(b",\"head_ms\":");
        match self.head {
            Some(head) => put_millis(line, head),
            None => line.extend_from_slice(b"null"),
        }
        put_member(line, "backend", self.backend.as_deref());
        put_endpoint_member(line, self.endpoint.as_ref());
        put_member(line, "request_id", value(self.request_id.as_ref()));
        put_member(line, "ja4", self.ja4.as_deref());
        put_member(line, "end", Some(self.end.label()));
        line.extend_from_slice(b"}\n");
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn value(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}
