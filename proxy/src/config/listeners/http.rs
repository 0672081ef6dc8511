//! What listeners have besides sites, and only for HTTP.
//!
//! Owns that a listener of bytes has none of it. Refuses to know sites. Read next: `routes`.

use super::super::error::{Place, Problem};
use super::super::list::Entry;
use super::super::schema::{ListenerSection, RedirectHttpSection};
use super::super::section::Reader;
use super::super::{HttpListener, Mode, RedirectListener};
use super::address::{Taken, listen_addr, networks};

/// What `section` says of HTTP.
pub(super) fn http(
    section: &ListenerSection,
    taken: &mut Taken,
    reader: &mut Reader<'_>,
) -> HttpListener {
    if section.mode == Mode::Tcp {
        let places = [
            section.trusted_peers.as_ref().and_then(|written| written.place.as_ref()),
            section.forwarded.place.as_ref(),
            section.tls_headers.place.as_ref(),
            section.unknown_host.place.as_ref(),
            section.reject_underscores.place.as_ref(),
            section.extended_connect.place.as_ref(),
            section.redirect_http.as_ref().map(|entry| &entry.place),
        ];
        for place in places.into_iter().flatten() {
            only_http(place, reader);
        }
    }
    let trusted = section.trusted_peers.as_ref();
    let trusted = trusted.map(|written| written.value.as_slice()).unwrap_or_default();
    HttpListener {
        trusted_peers: networks(trusted, reader),
        forwarded: section.forwarded.value,
        tls_fields: section.tls_headers.value,
        unknown_host: section.unknown_host.value,
        reject_underscores: section.reject_underscores.value,
        extended_connect: section.extended_connect.value,
        redirect: section.redirect_http.as_ref().map(|entry| redirect(entry, taken, reader)),
    }
}

/// Reports a key that a listener of bytes cannot have.
pub(super) fn only_http(place: &Place, reader: &mut Reader<'_>) {
    let hint = || Some("leave it out, or set `mode = \"http\"` for the listener".to_owned());
    reader.errors.report(place, Problem::OnlyHttp, hint);
}

fn redirect(
    entry: &Entry<RedirectHttpSection>,
    taken: &mut Taken,
    reader: &mut Reader<'_>,
) -> RedirectListener {
    let section = &entry.section;
    let written = section.listen.iter().flatten();
    RedirectListener {
        addresses: written.filter_map(|text| listen_addr(text, taken, reader)).collect(),
        port: section.port,
        challenges: section.challenges.as_ref().and_then(|written| written.path(reader)),
    }
}
