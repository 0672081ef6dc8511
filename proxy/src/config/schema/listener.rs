//! `[listener.NAME]`: sockets, the policy of TLS, sites, and what is asked of clients.
//!
//! Owns the keys. Read next: `route`.

use std::marker::PhantomData;

use portunus_certs::client_auth::{CrlDepth, Demand};

use super::super::list::{Entry, Perhaps, Repeated, Texts};
use super::super::number::Count;
use super::super::section::{Key, Properties, Reader, Section, Table, section};
use super::super::starttls::StarttlsText;
use super::super::text::{Choice, Flag, Text, Written};
use super::super::value::{Kind, Located, Where};
use super::super::{
    ClientCertForward, ClientResumption, ForwardedFields, Mode, NoSni, ResumptionMode,
    StarttlsProtocol, TlsVersion, Truncation, UnknownHost,
};
use super::route::RouteSection;
use super::{RESUMPTION_MODE, within};

section! {
    /// `[listener.NAME]`
    ListenerSection {
        /// IP address with port ([::] is IPv4 as well), unix:PATH, or fd:NAME for sockets of a
        /// supervisor; several are possible.
        listen: Option<Vec<Written>> = Texts(64).required();
        /// http (HTTP/1.1 and HTTP/2 by ALPN) or tcp (bytes).
        mode: Mode = Choice(&[("http", Mode::Http), ("tcp", Mode::Tcp)]).or(Mode::Http);
        /// Peers that say who the client is by a PROXY header; nobody else may connect.
        proxy_protocol: Option<Entry<ProxyProtocolSection>> = Perhaps(PhantomData);
        /// What is spoken before TLS: smtp, imap, pop3, postgresql, mysql, ldap or xmpp.
        starttls: Option<Located<StarttlsProtocol>> = Where(StarttlsText).optional();
        /// Whether a client that does not ask for TLS is refused; only with starttls.
        require_tls: Located<bool> = Where(Flag).or(Located { value: true, place: None });
        /// What the listener calls itself before TLS, in SMTP and XMPP; without it the first host
        /// of a site, or that of the machine.
        greeting_name: Option<Written> = Text.optional();
        /// Connections come in without TLS, for backends that are reached over TLS.
        clear: Located<bool> = Where(Flag).or(Located { value: false, place: None });
        /// What it means if a side ends without saying so under TLS: end, or reset, which tells the
        /// other side that something may be missing.
        on_truncation: Located<Truncation> = Where(Choice(&[
            ("end", Truncation::End),
            ("reset", Truncation::Reset),
        ]))
        .or(Located { value: Truncation::End, place: None });
        /// The policy of TLS.
        tls: TlsSection = within();
        /// What a client without a server name gets: the first certificate, or an alert.
        no_sni: Located<NoSni> =
            Where(Choice(&[("default", NoSni::Default), ("reject", NoSni::Reject)]))
                .or(Located { value: NoSni::Default, place: None });
        /// As resumption.mode, which it overrides.
        resumption: Option<Located<ResumptionMode>> = Where(RESUMPTION_MODE).optional();
        /// The backend of every name and path; instead of sites.
        backend: Option<Written> = Text.optional();
        /// What happens to some paths, the longest first; instead of sites.
        routes: Vec<Entry<RouteSection>> = Repeated(65_536, PhantomData);
        /// Strict-Transport-Security of every response, as max-age=31536000.
        hsts: Option<Written> = Text.optional();
        /// What is asked of clients; a listener with sites has it there only.
        client_auth: Option<Entry<ClientAuthSection>> = Perhaps(PhantomData);
        /// Peers whose word about the client is believed, as 10.0.0.0/8.
        trusted_peers: Option<Located<Vec<Written>>> = Where(Texts(1_024)).optional();
        /// Which fields tell backends of the client: x-forwarded (X-Forwarded-For, -Host, -Port,
        /// -Proto) or forwarded (RFC 7239).
        forwarded: Located<ForwardedFields> = Where(Choice(&[
            ("x-forwarded", ForwardedFields::XForwarded),
            ("forwarded", ForwardedFields::Forwarded),
        ]))
        .or(Located { value: ForwardedFields::XForwarded, place: None });
        /// Tell backends of TLS: X-Tls-Version, -Cipher, -Sni, -Resumed.
        tls_headers: Located<bool> = Where(Flag).or(Located { value: false, place: None });
        /// The answer to a request for a host that is not served: 421 or 404.
        unknown_host: Located<UnknownHost> = Where(Choice(&[
            ("421", UnknownHost::Misdirected),
            ("404", UnknownHost::NotFound),
        ]))
        .or(Located { value: UnknownHost::Misdirected, place: None });
        /// Refuse requests with _ in the name of a field.
        reject_underscores: Located<bool> = Where(Flag).or(Located { value: false, place: None });
        /// Let clients open WebSockets over HTTP/2 (RFC 8441).
        extended_connect: Located<bool> = Where(Flag).or(Located { value: false, place: None });
        /// Addresses where requests in the clear are answered with a redirect to HTTPS.
        redirect_http: Option<Entry<RedirectHttpSection>> = Perhaps(PhantomData);
        /// The names served here and what is behind them; instead of one backend for all.
        site: Vec<Entry<SiteSection>> = Repeated(65_536, PhantomData);
    }
}

section! {
    /// `tls` of a listener
    TlsSection {
        /// The oldest version that is accepted.
        min_version: Located<TlsVersion> = Where(Choice(&[
            ("1.2", TlsVersion::V1_2),
            ("1.3", TlsVersion::V1_3),
        ]))
        .or(Located { value: TlsVersion::V1_2, place: None });
        /// default, or modern: TLS 1.3 only.
        profile: Located<Profile> =
            Where(Choice(&[("default", Profile::Default), ("modern", Profile::Modern)]))
                .or(Located { value: Profile::Default, place: None });
        /// Compress certificates for clients that offer it: zlib or brotli, TLS 1.3 only.
        certificate_compression: Located<bool> =
            Where(Flag).or(Located { value: true, place: None });
        /// The protocols that are agreed on by ALPN where bytes are forwarded, the better one
        /// first; a client that offers others is refused.
        alpn: Option<Located<Vec<Written>>> = Where(Texts(16)).optional();
    }
}

section! {
    /// `proxy_protocol` of a listener
    ProxyProtocolSection {
        /// Who is believed, as 10.0.0.0/8; unix stands for whoever can open a unix socket.
        from: Option<Vec<Written>> = Texts(1_024).required();
    }
}

section! {
    /// `redirect_http` of a listener
    RedirectHttpSection {
        /// IP address with port, unix:PATH, or fd:NAME; several are possible.
        listen: Option<Vec<Written>> = Texts(64).required();
        /// The port of the URL that clients are sent to.
        port: u16 = Count(1, 65_535).or(443);
        /// The folder with the files of /.well-known/acme-challenge/ (RFC 8555).
        challenges: Option<Written> = Text.optional();
    }
}

section! {
    /// `[[listener.NAME.site]]`
    SiteSection {
        /// Names, and wildcards for one label (*.example.com).
        hosts: Option<Vec<Written>> = Texts(65_536).required();
        /// Only clients that offer one of these by ALPN; where bytes are forwarded.
        alpn: Option<Located<Vec<Written>>> = Where(Texts(16)).optional();
        /// Give endpoints what clients send as it is: TLS ends there; where bytes are forwarded.
        passthrough: Located<bool> = Where(Flag).or(Located { value: false, place: None });
        /// The backend of these names: of every path that no route is for.
        backend: Option<Written> = Text.optional();
        /// What happens to some paths, the longest first.
        routes: Vec<Entry<RouteSection>> = Repeated(65_536, PhantomData);
        /// Strict-Transport-Security of every response, as max-age=31536000.
        hsts: Option<Written> = Text.optional();
        /// What is asked of clients of these names.
        client_auth: Option<Entry<ClientAuthSection>> = Perhaps(PhantomData);
    }
}

section! {
    /// `client_auth` of a site, or of a listener without sites
    ClientAuthSection {
        /// require, or request: a client may do without a certificate.
        mode: Demand = Choice(&[("require", Demand::Require), ("request", Demand::Request)])
            .or(Demand::Require);
        /// PEM bundle of the authorities whose clients are let in; no others are.
        ca: Option<Written> = Text.required();
        /// Revocation lists, PEM or DER; without any, nothing is ever revoked.
        crl: Option<Vec<Written>> = Texts(64).optional();
        /// chain: every certificate must be known not to be revoked; leaf: the client's own.
        crl_depth: Located<CrlDepth> =
            Where(Choice(&[("chain", CrlDepth::Chain), ("leaf", CrlDepth::Leaf)]))
                .or(Located { value: CrlDepth::Chain, place: None });
        /// What backends hear (RFC 9440): none, leaf (Client-Cert), chain (Client-Cert-Chain too).
        forward: Located<ClientCertForward> = Where(Choice(&[
            ("none", ClientCertForward::None),
            ("leaf", ClientCertForward::Leaf),
            ("chain", ClientCertForward::Chain),
        ]))
        .or(Located { value: ClientCertForward::None, place: None });
        /// off, or revalidate: these clients resume, and what they showed is verified again.
        resumption: Located<ClientResumption> = Where(Choice(&[
            ("off", ClientResumption::Off),
            ("revalidate", ClientResumption::Revalidate),
        ]))
        .or(Located { value: ClientResumption::Off, place: None });
    }
}

/// A set of TLS settings with one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::config) enum Profile {
    /// TLS 1.2 and 1.3.
    Default,
    /// TLS 1.3 only.
    Modern,
}
