//! The status page for people: the facts of `/status` as HTML.
//!
//! Owns the order on the page: first what is wrong, then how much is used, then each part by
//! itself, its worst first. It holds no script and fetches nothing, and its policy (CSP Level 3)
//! allows neither: the one style is named by its digest, and the icon stands in the page. Every
//! text is escaped by `markup`, since names come from certificates and thereby from anybody. It is
//! read in the light and in the dark, on a phone, on paper, and aloud. Refuses to know how the
//! facts come about. Read next: `overview`, then `traffic`, `keys` and `past`.

mod keys;
mod markup;
mod overview;
mod past;
mod table;
mod traffic;
mod words;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use markup::Markup;

/// How a page is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refresh {
    /// It is fetched anew after so many seconds.
    Every(u32),
    /// It stays as it is, so that somebody can read.
    Off,
}

impl Refresh {
    /// What the reader asks for in the query: `?refresh=off`, or a number of seconds.
    pub(super) fn asked(query: Option<&str>) -> Self {
        match query {
            Some("off") => Self::Off,
            Some(seconds) => {
                let seconds = seconds.parse().unwrap_or(REFRESH_SECONDS);
                Self::Every(seconds.clamp(2, 3600))
            }
            None => Self::Every(REFRESH_SECONDS),
        }
    }
}

/// The page that shows `status`, as it was told at `now` in seconds since 1970.
pub(super) fn page(status: &Value, now: i64, refresh: Refresh) -> String {
    Markup::new()
        .raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">")
        .add(&overview::head(status, refresh))
        .raw("<style>")
        .raw(STYLE)
        .raw("</style></head><body>")
        .add(&overview::header(status, now, refresh))
        .raw("<main>")
        .add(&overview::verdict(status))
        .add(&overview::tiles(status, now))
        .add(&traffic::listeners(status))
        .add(&traffic::backends(status))
        .add(&keys::certificates(status, now))
        .add(&keys::clients(status, now))
        .add(&keys::resumption(status))
        .add(&past::failures(status, now))
        .add(&past::reloads(status, now))
        .raw("</main>")
        .add(&overview::footer(status))
        .raw("</body></html>\n")
        .into_text()
}

/// What a browser may do with the page.
pub(super) fn policy() -> String {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}

/// A part of the page, under its heading.
fn section(id: &'static str, heading: &'static str, inner: &Markup) -> Markup {
    Markup::new()
        .raw("<section aria-labelledby=\"")
        .raw(id)
        .raw("\"><h2 id=\"")
        .raw(id)
        .raw("\">")
        .raw(heading)
        .raw("</h2>")
        .add(inner)
        .raw("</section>")
}

/// A sentence under a heading.
fn sentence(words: &str) -> Markup {
    Markup::new().raw("<p>").text(words).raw("</p>")
}

const STYLE: &str = include_str!("style.css");
/// Often enough to see what happens, seldom enough to cost nothing.
const REFRESH_SECONDS: u32 = 10;

#[cfg(test)]
mod tests;
