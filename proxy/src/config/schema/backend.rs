//! `[backend.NAME]`: endpoints, how they are spoken to, chosen, watched and given up.
//!
//! Owns the keys. Read next: `backends`, what they mean together.

use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::list::{Entry, Perhaps, Several, Texts};
use super::super::mixed::{Codes, Mixed, Switch, SwitchKey, TextOr};
use super::super::number::{Count, Time};
use super::super::section::{Key, Properties, Reader, Section, Table, section};
use super::super::text::{Choice, Flag, Text, Written};
use super::super::value::{Kind, Located, Where};
use super::super::{BackendProtocol, ProxyTlv, ProxyVersion, StarttlsProtocol};
use super::{DAY, HOUR, MINUTE, MOMENT, MONTH, NOTHING, SECOND, secs};

section! {
    /// `[backend.NAME]`
    BackendSection {
        /// HOST:PORT, unix:PATH or srv:_http._tcp.NAME; or sections with address, weight and
        /// backup.
        endpoints: Option<Vec<TextOr<EndpointSection>>> =
            Mixed(1_024, PhantomData, "address").required();
        /// http1; http2, in the clear with prior knowledge (h2c is the same); auto: what ALPN
        /// says, only with tls.
        protocol: Located<BackendProtocol> = Where(Choice(&[
            ("http1", BackendProtocol::Http1),
            ("http2", BackendProtocol::Http2),
            ("h2c", BackendProtocol::Http2),
            ("auto", BackendProtocol::Auto),
        ]))
        .or(Located { value: BackendProtocol::Http1, place: None });
        /// Encrypt connections to endpoints and verify who they are.
        tls: Option<Entry<BackendTlsSection>> = Perhaps(PhantomData);
        /// Tell endpoints of the client by a PROXY header: v1 or v2. Only where bytes are
        /// forwarded.
        send_proxy: Option<Located<ProxyVersion>> =
            Where(Choice(&[("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)])).optional();
        /// What a PROXY header of version 2 says besides addresses, as far as it is known;
        /// client-cert stands within ssl. Without it alpn, authority and ssl.
        proxy_tlvs: Option<Located<Vec<Located<ProxyTlv>>>> = Where(Several(Choice(&[
            ("alpn", ProxyTlv::Alpn),
            ("authority", ProxyTlv::Authority),
            ("unique-id", ProxyTlv::UniqueId),
            ("ssl", ProxyTlv::Ssl),
            ("client-cert", ProxyTlv::ClientCert),
        ])))
        .optional();
        /// p2c: the less busy one of two that chance names; round-robin: one after the other;
        /// least: the least busy one; hash-client, hash-header:NAME, hash-cookie:NAME: always the
        /// same for the same client address, request field or cookie.
        balance: Written = Text.or(Written::default("balance", "p2c"));
        /// Ask endpoints whether they are well.
        health: Option<Entry<HealthSection>> = Perhaps(PhantomData);
        /// When an endpoint that fails is left out for a while; or off.
        ejection: Switch<EjectionSection> = SwitchKey(PhantomData);
        /// How long an endpoint that came back gets less than its share; 0s = not at all.
        slow_start: Duration = Time(NOTHING, HOUR).or(NOTHING);
        /// Connections to one endpoint; further exchanges wait, no longer than connect_timeout.
        max_connections: usize = Count(1, 1 << 20).or(65_536);
        /// The age at which a connection is not used again.
        connection_age: Duration = Time(SECOND, MONTH).or(HOUR);
        /// HTTP/2: exchanges at once on one connection.
        streams: usize = Count(1, 65_536).or(100);
        /// The longest that an answer of DNS is believed, whatever it says of itself.
        resolve_interval: Duration = Time(SECOND, DAY).or(secs(30));
        /// How long the last good answer is used if there is no new one.
        stale_max: Duration = Time(NOTHING, MONTH).or(DAY);
        /// Where addresses may lie that come out of DNS, as 10.0.0.0/8; without it anywhere.
        allow: Option<Vec<Written>> = Texts(256).optional();
    }
}

section! {
    /// An endpoint that says more than its address
    EndpointSection {
        /// HOST:PORT, unix:PATH or srv:_http._tcp.NAME.
        address: Option<Written> = Text.required();
        /// Its share beside the others'.
        weight: u16 = Count(1, 256).or(1);
        /// Used only if no other can be.
        backup: bool = Flag.or(false);
    }
}

section! {
    /// `tls` of a backend
    BackendTlsSection {
        /// PEM bundle of the authorities that endpoints are believed from; without it those of
        /// the system.
        ca: Option<Written> = Text.optional();
        /// The name in their certificates; without it that of the endpoint.
        server_name: Option<Written> = Text.optional();
        /// What we show of ourselves: a PEM file with chain and key.
        credential: Option<Written> = Text.optional();
        /// Revocation lists, PEM or DER; without any, nothing is ever revoked.
        crl: Option<Vec<Written>> = Texts(64).optional();
        /// What is offered by ALPN where bytes are forwarded.
        alpn: Option<Located<Vec<Written>>> = Where(Texts(16)).optional();
        /// What is spoken before TLS: smtp, imap, pop3, postgresql or ldap.
        starttls: Option<Located<StarttlsProtocol>> = Where(Choice(&[
            ("smtp", StarttlsProtocol::Smtp),
            ("imap", StarttlsProtocol::Imap),
            ("pop3", StarttlsProtocol::Pop3),
            ("postgresql", StarttlsProtocol::Postgresql),
            ("ldap", StarttlsProtocol::Ldap),
        ]))
        .optional();
    }
}

section! {
    /// `health` of a backend
    HealthSection {
        /// What is asked for with GET; without it endpoints only have to accept a connection.
        path: Option<Written> = Text.optional();
        /// The Host of the request; without it the name of the endpoint.
        host: Option<Written> = Text.optional();
        /// Status codes that are good, as 204 or "200-299".
        expect: Located<Vec<RangeInclusive<u16>>> = Where(Codes(1, 64))
            .or(Located { value: vec![200..=299], place: None });
        /// From one answer to the next question, give or take a tenth.
        interval: Duration = Time(TENTH, HOUR).or(secs(5));
        /// How long an answer may take.
        timeout: Duration = Time(MOMENT, MINUTE).or(secs(2));
        /// Good answers in a row that make an endpoint healthy.
        rise: u32 = Count(1, 100).or(2);
        /// Bad answers in a row that make it unhealthy.
        fall: u32 = Count(1, 100).or(3);
    }
}

section! {
    /// `ejection` of a backend
    EjectionSection {
        /// Failures in a row.
        failures: u32 = Count(1, 1_000_000).or(5);
        /// How long, the first time; twice as long each further time.
        base: Located<Duration> = Where(Time(TENTH, HOUR))
            .or(Located { value: secs(10), place: None });
        /// How long at most.
        longest: Located<Duration> = Where(Time(TENTH, DAY))
            .or(Located { value: secs(300), place: None });
        /// The percentage of the endpoints that may be left out at once; one always stays.
        share: u8 = Count(1, 100).or(50);
        /// Status codes that are failures, as 503 or "502-504"; what breaks off always is one.
        statuses: Vec<RangeInclusive<u16>> = Codes(0, 64).or(vec![502..=502, 504..=504]);
    }
}

/// Of a second: nothing is asked more often, and nobody is left out for less.
const TENTH: Duration = Duration::from_millis(100);
