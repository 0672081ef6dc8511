//! Routes: one for each path, one action for each route, and nothing that leads elsewhere than
//! the operator meant.
//!
//! Owns the rules of paths, redirects and fixed responses. A redirect whose host the client could
//! choose is refused here, so that no request has to be looked at for it. Read next: `fields`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::super::error::RouteProblem;
use super::super::list::Entry;
use super::super::schema::{RedirectSection, RespondSection, RouteSection};
use super::super::section::Reader;
use super::super::text::Written;
use super::super::value::Located;
use super::super::{Action, Behind, Mode, PathMatch, Rewrite, Route};
use super::backend_index;
use super::fields::{Direction, edits};
use super::http::only_http;

/// What was written of what is behind a site, or a listener without any.
pub(super) struct Beyond<'a> {
    pub(super) mode: Mode,
    pub(super) backend: Option<&'a Written>,
    pub(super) routes: &'a [Entry<RouteSection>],
    pub(super) hsts: Option<&'a Written>,
}

impl Beyond<'_> {
    /// Whether it leads nowhere.
    pub(super) fn is_nothing(&self) -> bool {
        self.backend.is_none() && self.routes.is_empty()
    }
}

/// What is behind a site; none if that is nothing.
pub(super) fn behind(
    written: &Beyond<'_>,
    backends: &HashMap<&str, usize>,
    reader: &mut Reader<'_>,
) -> Option<Behind> {
    if written.mode == Mode::Tcp {
        let routes = written.routes.first().map(|entry| &entry.place);
        let hsts = written.hsts.map(|written| &written.place);
        for place in [routes, hsts].into_iter().flatten() {
            only_http(place, reader);
        }
    }
    let backend = written.backend.and_then(|name| backend_index(name, backends, reader));
    let mut routes = Vec::new();
    let mut seen = HashSet::new();
    if let Some(backend) = backend {
        routes.extend(Behind::forwarding(backend).routes);
    }
    if written.backend.is_some() {
        seen.insert(("/", PathMatch::Prefix));
    }
    for entry in written.routes {
        let section = &entry.section;
        let matching = if section.exact { PathMatch::Exact } else { PathMatch::Prefix };
        let path = section.path.as_ref();
        if let Some(path) = path
            && !seen.insert((path.text.as_str(), matching))
        {
            let problem = RouteProblem::Duplicate(path.quote());
            reader.errors.report(&path.place, problem, || None);
        }
        routes.extend(route(entry, matching, backends, reader));
    }
    let hsts = written.hsts.and_then(|written| hsts(written, reader));
    (!routes.is_empty()).then_some(Behind { routes, hsts })
}

fn route(
    entry: &Entry<RouteSection>,
    matching: PathMatch,
    backends: &HashMap<&str, usize>,
    reader: &mut Reader<'_>,
) -> Option<Route> {
    let section = &entry.section;
    let path = section.path.as_ref().and_then(|path| plain_path(path, reader));
    let action = action(entry, matching, backends, reader);
    let time = |written: &Option<Located<Duration>>| written.as_ref().map(|written| written.value);
    let request = section.request_headers.as_ref();
    let response = section.response_headers.as_ref();
    Some(Route {
        request_fields: edits(request, Direction::Request, reader),
        response_fields: edits(response, Direction::Response, reader),
        path: path?,
        matching,
        action: action?,
        body_bytes_max: section.max_body.as_ref().map(|written| written.value),
        response_head_timeout: time(&section.response_head_timeout),
        response_body_timeout: time(&section.response_body_timeout),
        request_body_timeout: time(&section.request_body_timeout),
        trailers: section.trailers.value,
    })
}

/// The path of a route, or what is put in its place.
fn plain_path(written: &Written, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = written.text.as_str();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    if !text.starts_with('/') || !text.bytes().all(is_plain) {
        let hint = || {
            let escape = "write it percent-encoded, as clients send it".to_owned();
            (!text.is_ascii() || text.contains(' ')).then_some(escape)
        };
        reader.errors.report(&written.place, RouteProblem::Path(written.quote()), hint);
        return None;
    }
    if text.len() > PATH_BYTES_MAX {
        reader.errors.report(&written.place, RouteProblem::TooLong(PATH_BYTES_MAX), || None);
    }
    Some(text.into())
}

fn action(
    entry: &Entry<RouteSection>,
    matching: PathMatch,
    backends: &HashMap<&str, usize>,
    reader: &mut Reader<'_>,
) -> Option<Action> {
    let section = &entry.section;
    match (&section.backend, &section.redirect, &section.respond) {
        (Some(name), None, None) => {
            let rewrite = rewrite(section, matching, reader);
            Some(Action::Forward { backend: backend_index(name, backends, reader)?, rewrite })
        }
        (None, Some(redirect), None) => {
            check_forward_only(section, reader);
            redirection(&redirect.section, reader)
        }
        (None, None, Some(respond)) => {
            check_forward_only(section, reader);
            response(&respond.section, reader)
        }
        (None, None, None) => {
            let is_blamed = ["backend", "redirect", "respond"].iter().any(|key| {
                let key = entry.place.below(key, None).key;
                reader.errors.is_blamed(&key)
            });
            if !is_blamed {
                reader.errors.report(&entry.place, RouteProblem::NoAction, || None);
            }
            None
        }
        _ => {
            reader.errors.report(&entry.place, RouteProblem::ManyActions, || None);
            None
        }
    }
}

/// What makes sense only if there is a backend behind the route.
fn check_forward_only(section: &RouteSection, reader: &mut Reader<'_>) {
    let time = |written: &Option<Located<Duration>>| written.as_ref()?.place.clone();
    let places = [
        section.strip.place.clone(),
        section.replace.as_ref().map(|written| written.place.clone()),
        section.request_headers.as_ref().map(|entry| entry.place.clone()),
        section.max_body.as_ref().and_then(|written| written.place.clone()),
        time(&section.response_head_timeout),
        time(&section.response_body_timeout),
        time(&section.request_body_timeout),
        section.trailers.place.clone(),
    ];
    for place in places.iter().flatten() {
        reader.errors.report(place, RouteProblem::ForwardOnly, || None);
    }
}

fn rewrite(section: &RouteSection, matching: PathMatch, reader: &mut Reader<'_>) -> Rewrite {
    let strip = section.strip.place.as_ref().filter(|_| section.strip.value);
    match (strip, &section.replace) {
        (None, None) => Rewrite::Keep,
        (None, Some(written)) => {
            plain_path(written, reader).map_or(Rewrite::Keep, Rewrite::Replace)
        }
        (Some(place), Some(_)) => {
            let hint = || Some("`strip` alone is enough if nothing takes its place".to_owned());
            reader.errors.report(place, RouteProblem::StripAndReplace, hint);
            Rewrite::Keep
        }
        (Some(place), None) => {
            if matching == PathMatch::Exact {
                let hint = || Some("say what takes its place: `replace = \"/…\"`".to_owned());
                reader.errors.report(place, RouteProblem::StripExact, hint);
            }
            Rewrite::Replace("".into())
        }
    }
}

fn redirection(section: &RedirectSection, reader: &mut Reader<'_>) -> Option<Action> {
    let status = StatusCode::from_u16(section.status.value).ok();
    let status = status.filter(|status| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308));
    if let (None, Some(place)) = (status, &section.status.place) {
        let problem = RouteProblem::RedirectStatus(section.status.value);
        reader.errors.report(place, problem, || None);
    }
    let written = section.to.as_ref()?;
    match check_place(&written.text) {
        Ok(()) => Some(Action::Redirect { status: status?, to: written.text.as_str().into() }),
        Err(problem) => {
            let hint = match problem {
                RouteProblem::OpenRedirect(_) => "put a host before it, as `https://{host}{path}`",
                _ => "as `https://www.example.com{path}`",
            };
            let problem = problem.of(written.quote());
            reader.errors.report(&written.place, problem, || Some(hint.to_owned()));
            None
        }
    }
}

/// Checks where a redirect leads: the host is the operator's or that of the request, never a part
/// of its path.
fn check_place(text: &str) -> Result<(), RouteProblem> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\');
    if !text.bytes().all(plain) || text.len() > PATH_BYTES_MAX {
        return Err(RouteProblem::Place(String::new()));
    }
    let without = text.replace("{host}", "").replace("{path}", "").replace("{rest}", "");
    if without.contains(['{', '}']) {
        return Err(RouteProblem::Placeholder(String::new()));
    }
    let behind_scheme = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = behind_scheme else {
        return match text.as_bytes() {
            // `//host` is a place elsewhere, and what a client sends can begin with a slash.
            [b'/', b'/' | b'{', ..] => Err(RouteProblem::OpenRedirect(String::new())),
            [b'/', ..] => Ok(()),
            [b'{', ..] => Err(RouteProblem::OpenRedirect(String::new())),
            _ => Err(RouteProblem::Place(String::new())),
        };
    };
    // A path begins with `/` and ends the host; the rest of one may not.
    let end = ["/", "?", "#", "{path}"].iter().filter_map(|end| rest.find(end)).min();
    let host = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    match host {
        "" => Err(RouteProblem::Place(String::new())),
        host if host.contains("{rest}") || host.contains('@') => {
            Err(RouteProblem::OpenRedirect(String::new()))
        }
        _ => Ok(()),
    }
}

fn response(section: &RespondSection, reader: &mut Reader<'_>) -> Option<Action> {
    let status = StatusCode::from_u16(section.status.value).ok()?;
    if matches!(status.as_u16(), 204 | 205 | 304) && !section.body.text.is_empty() {
        let problem = RouteProblem::NoContent(status.as_u16());
        reader.errors.report(&section.body.place, problem, || None);
    }
    if section.body.text.len() > CONTENT_BYTES_MAX {
        let problem = RouteProblem::TooLong(CONTENT_BYTES_MAX);
        reader.errors.report(&section.body.place, problem, || None);
    }
    let content_type = super::fields::value(&section.content_type, reader)?;
    Some(Action::Respond { status, body: section.body.text.as_str().into(), content_type })
}

/// The policy of RFC 6797 §6.1: `max-age` first, since nothing holds without it.
fn hsts(written: &Written, reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let mut directives = written.text.split(';').map(str::trim);
    let seconds = directives.next().and_then(|first| first.strip_prefix("max-age="));
    let is_number = |text: &str| {
        (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut seen = HashSet::new();
    let good = seconds.is_some_and(is_number)
        && directives
            .all(|word| matches!(word, "includeSubDomains" | "preload") && seen.insert(word));
    let value = HeaderValue::from_str(&written.text).ok().filter(|_| good);
    if value.is_none() {
        let hint = || Some("as `max-age=31536000; includeSubDomains`".to_owned());
        reader.errors.report(&written.place, RouteProblem::Hsts, hint);
    }
    value
}

/// Longer than any path that is meant.
const PATH_BYTES_MAX: usize = 2_048;

/// Content that is worth a file has a backend.
const CONTENT_BYTES_MAX: usize = 64 << 10;
