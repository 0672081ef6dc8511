//! What each path of the admin listener answers, and to whom.
//!
//! Owns the paths. What changes something is asked for by POST, and only by those who show the
//! token, or who may open the unix socket; `guard` tells web pages from people and programs.
//! Refuses to know sockets.

mod guard;

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use crate::backend::Draining;
use crate::control::{Order, Verdict};
use crate::net;

use super::{About, accept, html, query, status};
use guard::Scheme;

/// What the paths answer from.
#[derive(Debug)]
pub(super) struct Pages {
    about: About,
    place: Place,
}

/// Where the admin listener listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Where every process that reaches the port can ask.
    Port,
    /// Where only those can ask who may open the file.
    File,
}

impl Pages {
    pub(super) fn new(about: About, place: Place) -> Self {
        Self { about, place }
    }

    /// The answer to a request; its body is not read.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        match order(uri) {
            Some(order) if method == Method::POST => match self.refusal(headers) {
                Some(refusal) => refusal,
                None => self.carry_out(order).await,
            },
            _ => self.answer_to(method, uri, headers),
        }
    }

    /// Has an order carried out; the answer is what came of it.
    async fn carry_out(&self, order: Order) -> Response<Full<Bytes>> {
        let (status, told) = match self.about.orders.give(order).await {
            Some(Verdict::Done(told)) => (StatusCode::OK, told),
            Some(Verdict::Refused(told)) => (StatusCode::CONFLICT, told),
            None => {
                return text(StatusCode::SERVICE_UNAVAILABLE, "the process is ending or busy\n");
            }
        };
        respond(status, "application/json", Bytes::from(format!("{told}\n")))
    }

    /// The answer to those who may not change anything.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let view = self.about.view.load();
        let token = view.token.as_ref();
        if guard::is_foreign(headers, token) {
            Some(text(StatusCode::FORBIDDEN, "not for web pages\n"))
        } else if !guard::has_token(headers, token, Scheme::Bearer) {
            Some(unauthorized(Scheme::Bearer))
        } else if token.is_none() && self.place == Place::Port {
            let words = "only with `admin.token` or over a unix socket\n";
            Some(text(StatusCode::FORBIDDEN, words))
        } else {
            None
        }
    }

    fn answer_to(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let view = self.about.view.load();
        let token = view.token.as_ref();
        if guard::is_foreign(headers, token) {
            return text(StatusCode::FORBIDDEN, "not for web pages\n");
        }
        let path = uri.path();
        match (path, method) {
            ("/endpoints/drain", &Method::POST) => {
                return self.set_draining(uri, headers, Draining::On);
            }
            ("/endpoints/resume", &Method::POST) => {
                return self.set_draining(uri, headers, Draining::Off);
            }
            ("/endpoints/drain" | "/endpoints/resume" | "/reload" | "/drain" | "/upgrade", _) => {
                return text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n");
            }
            (_, &Method::GET | &Method::HEAD) => {}
            _ => return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
        }
        match path {
            "/livez" if self.about.is_alive() => text(StatusCode::OK, "alive\n"),
            "/livez" => text(StatusCode::SERVICE_UNAVAILABLE, "a worker has stalled\n"),
            "/readyz" if self.about.is_ready() => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            _ if !guard::has_token(headers, token, Scheme::Any) => unauthorized(Scheme::Any),
            "/metrics" => self.metrics(headers),
            "/status" => self.status(),
            "/" => self.page(uri),
            _ => text(StatusCode::NOT_FOUND, PATHS),
        }
    }

    /// Has endpoints drain, or no longer, if whoever asks may say so.
    fn set_draining(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        draining: Draining,
    ) -> Response<Full<Bytes>> {
        if let Some(refusal) = self.refusal(headers) {
            return refusal;
        }
        let (backend, endpoint) = (query::value(uri, "backend"), query::value(uri, "endpoint"));
        let (Some(backend), Some(endpoint)) = (backend, endpoint) else {
            return text(StatusCode::BAD_REQUEST, "expected ?backend=NAME&endpoint=NAME\n");
        };
        let view = self.about.view.load();
        let meant = view.backends.iter().find(|one| **one.name() == *backend);
        match meant.and_then(|meant| meant.set_draining(&endpoint, draining)) {
            Some(addresses) => {
                tracing::info!(
                    backend,
                    endpoint,
                    "{}",
                    match draining {
                        Draining::On => "endpoint drains, as the operator asked",
                        Draining::Off => "endpoint takes requests again, as the operator asked",
                    }
                );
                let answer = format!("{}\n", json!({ "addresses": addresses }));
                respond(StatusCode::OK, "application/json", Bytes::from(answer))
            }
            None => text(StatusCode::NOT_FOUND, "there is no such backend or endpoint\n"),
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let exposition = accept::exposition(headers);
        let text = self.about.metrics.encode(exposition);
        respond(StatusCode::OK, exposition.content_type(), Bytes::from(text))
    }

    fn page(&self, uri: &Uri) -> Response<Full<Bytes>> {
        let refresh = html::Refresh::asked(query::value(uri, "refresh").as_deref());
        let page = Bytes::from(html::page(&self.facts(), now(), refresh));
        let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", page);
        if let Ok(policy) = http::HeaderValue::try_from(html::policy()) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    fn status(&self) -> Response<Full<Bytes>> {
        let facts = Bytes::from(format!("{}\n", self.facts()));
        respond(StatusCode::OK, "application/json", facts)
    }

    fn facts(&self) -> Value {
        self.about.metrics.refresh();
        let (index, report) = (self.about.certificates.load(), self.about.certificates.report());
        let view = self.about.view.load();
        let (now, uptime) = (now(), self.about.phase.uptime().as_secs());
        let listeners = view.listeners.facts();
        let connections = listeners.as_array().into_iter().flatten();
        let connections =
            connections.filter_map(|one| one.pointer("/connections/active")?.as_i64());
        let mut facts = json!({
            "machine": net::host_name(),
            "time": now,
            "started": now.saturating_sub_unsigned(uptime),
            "uptime_seconds": uptime,
            "generation": view.generation,
            "version": env!("CARGO_PKG_VERSION"),
            "phase": self.about.phase.now().label(),
            "ready": self.about.is_ready(),
            "resources": view.resources.facts(connections.sum()),
            "listeners": listeners,
            "reloads": status::reloads(&self.about.history),
            "certificates": status::certificates(&index, &report, now, ENTRIES_SHOWN_MAX),
            "client_auth": status::client_auth(&view.client_policies),
            "resumption": view.resumption.facts(),
            "backends": status::backends(&view.backends, ENTRIES_SHOWN_MAX),
            "failures": status::failures(&self.about.failures.recent()),
            "confinement": self.about.confinement.as_deref().map(status::confinement),
        });
        let attention = status::attention(&facts, now);
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("attention".to_owned(), attention);
        }
        facts
    }
}

/// What is asked for by this target, if it is an order.
fn order(uri: &Uri) -> Option<Order> {
    match uri.path() {
        "/reload" if query::value(uri, "dry").as_deref() == Some("true") => Some(Order::Rehearse),
        "/reload" => Some(Order::Reload),
        "/drain" => Some(Order::Drain),
        "/upgrade" => Some(Order::Upgrade),
        _ => None,
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn unauthorized(scheme: Scheme) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::UNAUTHORIZED, "the token of `admin.token` is asked for\n");
    let challenges: &[_] = match scheme {
        Scheme::Any => &[BASIC, BEARER],
        Scheme::Bearer => &[BEARER],
    };
    for challenge in challenges {
        let challenge = http::HeaderValue::from_static(challenge);
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    for (name, value) in FOR_BROWSERS {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    response
}

const PATHS: &str = "paths: / /livez /metrics /readyz /status; \
    by POST: /drain /endpoints/drain /endpoints/resume /reload /upgrade\n";

/// How a browser is asked for the token, and how a program is.
const BASIC: &str = "Basic realm=\"Portunus: the token as the password, any user\"";
const BEARER: &str = "Bearer";

/// What keeps an answer out of the hands of other web pages.
const FOR_BROWSERS: [(&str, &str); 4] = [
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// Entries of each list of `/status`: some hundred kilobytes, made in milliseconds.
const ENTRIES_SHOWN_MAX: usize = 1000;

#[cfg(test)]
mod tests;
