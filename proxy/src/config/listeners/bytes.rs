//! What only listeners of bytes have: STARTTLS, ALPN, TLS that passes through; and
//! what connections without TLS cannot have in either mode.
//!
//! Owns which of these keys go together. What they become is in `before`, what they mean for
//! backends in `between` of the parent. Refuses to know HTTP.

use portunus_certs::client_auth::Demand;
use portunus_certs::name::HostName;

use super::super::error::{BytesProblem, Place, Problem};
use super::super::list::Entry;
use super::super::schema::{ListenerSection, SiteSection};
use super::super::section::Reader;
use super::super::{Mode, StarttlsProtocol, Truncation};

/// Reports keys that cannot stand in this listener, or not together.
pub(super) fn check(entry: &Entry<ListenerSection>, reader: &mut Reader<'_>) {
    let section = &entry.section;
    if let (Some(place), true) = (&section.clear.place, section.clear.value) {
        check_clear(place, section, reader);
    }
    if section.mode == Mode::Http {
        return check_http(section, reader);
    }
    match section.starttls.as_ref().map(|written| written.value) {
        Some(protocol) => check_starttls(section, protocol, reader),
        None if reader.errors.is_blamed(&entry.place.below("starttls", None).key) => {}
        None => {
            let name = section.greeting_name.as_ref().map(|written| &written.place);
            let optional =
                section.require_tls.place.as_ref().filter(|_| !section.require_tls.value);
            for place in [optional, name].into_iter().flatten() {
                let hint = || Some("leave it out, or add `starttls = \"…\"`".to_owned());
                reader.errors.report(place, BytesProblem::OnlyStarttls, hint);
            }
        }
    }
    for site in &section.site {
        check_passthrough(&site.section, section, reader);
    }
}

/// Nothing of this is in HTTP, where saying so once more does no harm.
fn check_http(section: &ListenerSection, reader: &mut Reader<'_>) {
    let starttls = section.starttls.as_ref().and_then(|written| written.place.as_ref());
    let (optional, truncation) = (&section.require_tls, &section.on_truncation);
    let name = section.greeting_name.as_ref().map(|written| &written.place);
    let places = [
        starttls,
        // One fault, one error: these two are nothing without `starttls`.
        optional.place.as_ref().filter(|_| !optional.value && starttls.is_none()),
        name.filter(|_| starttls.is_none()),
        truncation.place.as_ref().filter(|_| truncation.value != Truncation::End),
        section.tls.alpn.as_ref().and_then(|written| written.place.as_ref()),
    ];
    let sites = section.site.iter().flat_map(|site| {
        let alpn = site.section.alpn.as_ref().and_then(|written| written.place.as_ref());
        let passthrough = &site.section.passthrough;
        [alpn, passthrough.place.as_ref().filter(|_| passthrough.value)]
    });
    for place in places.into_iter().chain(sites).flatten() {
        let hint = || Some("leave it out, or set `mode = \"tcp\"` for the listener".to_owned());
        reader.errors.report(place, BytesProblem::OnlyTcp, hint);
    }
}

fn check_starttls(section: &ListenerSection, protocol: StarttlsProtocol, reader: &mut Reader<'_>) {
    if let (Some(place), false) = (&section.require_tls.place, section.require_tls.value) {
        check_without_tls(place, section, protocol, reader);
    }
    if let Some(written) = &section.greeting_name {
        if !matches!(protocol, StarttlsProtocol::Smtp | StarttlsProtocol::Xmpp) {
            let hint = || Some("leave it out; it is for `smtp` and `xmpp`".to_owned());
            let problem = BytesProblem::Greeting(protocol.name());
            reader.errors.report(&written.place, problem, hint);
        } else if let Err(reason) = HostName::parse(&written.text) {
            let problem = Problem::Host { written: written.quote(), reason };
            reader.errors.report(&written.place, problem, || None);
        }
    }
    if let (StarttlsProtocol::Mysql, Some(site)) = (protocol, section.site.first()) {
        let hint = || Some("give the listener a `backend` instead".to_owned());
        reader.errors.report(&site.place, BytesProblem::MysqlSites, hint);
    }
}

/// Whether clients may go on in the clear. They are taken to the first site.
fn check_without_tls(
    place: &Place,
    section: &ListenerSection,
    protocol: StarttlsProtocol,
    reader: &mut Reader<'_>,
) {
    match protocol {
        // RFC 8314 §3 and RFC 6120 §5.2.
        StarttlsProtocol::Imap | StarttlsProtocol::Pop3 | StarttlsProtocol::Xmpp => {
            let hint = || Some(format!("leave it out; {OPTIONAL} can have it"));
            reader.errors.report(place, BytesProblem::AlwaysTls(protocol.name()), hint);
        }
        StarttlsProtocol::Ldap
        | StarttlsProtocol::Mysql
        | StarttlsProtocol::Postgresql
        | StarttlsProtocol::Smtp => {
            let site = section.site.first().and_then(|site| site.section.client_auth.as_ref());
            let auth = section.client_auth.as_ref().or(site);
            if auth.is_some_and(|auth| auth.section.mode == Demand::Require) {
                let hint = || Some("leave it out, or set `client_auth.mode = \"request\"`".into());
                reader.errors.report(place, BytesProblem::Bypass, hint);
            }
        }
    }
}

/// What has no meaning in a listener without TLS.
fn check_clear(clear: &Place, section: &ListenerSection, reader: &mut Reader<'_>) {
    if section.starttls.is_some() {
        let hint = || Some("leave one of them out".to_owned());
        reader.errors.report(clear, BytesProblem::ClearStarttls, hint);
    }
    if let (Mode::Tcp, Some(site)) = (section.mode, section.site.first()) {
        let hint = || Some("give the listener a `backend` instead".to_owned());
        reader.errors.report(&site.place, BytesProblem::ClearSites, hint);
    }
    let sites = section.site.iter().flat_map(|site| {
        let auth = site.section.client_auth.as_ref().map(|entry| &entry.place);
        [auth, site.section.hsts.as_ref().map(|written| &written.place)]
    });
    let tls = &section.tls;
    let places = [
        tls.min_version.place.as_ref(),
        tls.profile.place.as_ref(),
        tls.certificate_compression.place.as_ref(),
        tls.alpn.as_ref().and_then(|written| written.place.as_ref()),
        section.no_sni.place.as_ref(),
        section.resumption.as_ref().and_then(|written| written.place.as_ref()),
        section.client_auth.as_ref().map(|entry| &entry.place),
        section.hsts.as_ref().map(|written| &written.place),
        section.redirect_http.as_ref().map(|entry| &entry.place),
        section.tls_headers.place.as_ref().filter(|_| section.tls_headers.value),
        section.extended_connect.place.as_ref().filter(|_| section.extended_connect.value),
    ];
    for place in places.into_iter().chain(sites).flatten() {
        let hint = || Some("leave it out".to_owned());
        reader.errors.report(place, BytesProblem::WithoutTls, hint);
    }
}

fn check_passthrough(site: &SiteSection, listener: &ListenerSection, reader: &mut Reader<'_>) {
    let (Some(place), true) = (&site.passthrough.place, site.passthrough.value) else { return };
    if let Some(auth) = &site.client_auth {
        let hint = || Some("leave it out, and let the backend ask for certificates".to_owned());
        reader.errors.report(&auth.place, BytesProblem::PassthroughAuth, hint);
    }
    if listener.starttls.is_some() {
        let hint = || Some("leave it out: TLS behind `starttls` ends here".to_owned());
        reader.errors.report(place, BytesProblem::PassthroughStarttls, hint);
    }
}

/// The protocols whose clients may have no TLS.
const OPTIONAL: &str = "`smtp`, `postgresql`, `mysql` and `ldap`";
