//! What may be written: every section, every key, its kind, bounds, default and meaning.
//!
//! Owns the one declaration of each key, from which come the reader, the errors about unknown
//! keys, the defaults and the JSON schema. The bounds are those within which nothing behind the
//! configuration can panic, overflow or be refused by the kernel. `config.toml` at the root shows
//! the same keys with their defaults; a test compares them. Refuses to know what keys mean for
//! each other. Read next: `validate`.
//!
//! A number that is 0 where that makes no sense stands for a value worked out at start.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use portunus_certs::client_auth::{CrlDepth, Demand};

use super::list::{Entry, Named, Perhaps, Repeated, Texts};
use super::number::{Count, Size, Time};
use super::resumption::TicketKeysText;
use super::section::{Key, Properties, Reader, Section, Table, section};
use super::text::{Choice, Flag, Hidden, HiddenText, KeyFile, SecretText, Text, Written};
use super::value::{Kind, Located, Where, Within};
use super::{
    ClientCertForward, ClientResumption, LogFormat, Mode, NoSni, ResumptionMode, Secret,
    TicketKeySource, TlsVersion,
};

section! {
    /// The whole file.
    Root {
        /// The process.
        server: ServerSection = within();
        /// What is logged, and how.
        log: LogSection = within();
        /// The admin listener: metrics and probes.
        admin: AdminSection = within();
        /// Where certificates come from.
        certificates: CertificatesSection = within();
        /// Sessions kept for resumption.
        resumption: ResumptionSection = within();
        /// Every timeout and cap.
        limits: LimitsSection = within();
        /// Named sets of listening sockets with one protocol.
        listener: Vec<Entry<ListenerSection>> = Named {
            max: 1_024,
            example: "[listener.https]",
            section: PhantomData,
        };
        /// Named groups of endpoints.
        backend: Vec<Entry<BackendSection>> = Named {
            max: 16_384,
            example: "[backend.app]",
            section: PhantomData,
        };
    }
}

section! {
    /// `[server]`
    ServerSection {
        /// Worker threads; 0 = as many as the CPUs that this process may use.
        workers: usize = Count(0, 1_024).or(0);
        /// Connections held at once; 0 = 50,000, or fewer if the open files allow only fewer.
        max_connections: usize = Count(0, 10_000_000).or(0);
        /// How long connections are still accepted after readiness became false.
        drain_delay: Duration = Time(NOTHING, HOUR).or(secs(5));
        /// How long connections get to finish after the listeners closed.
        drain_timeout: Duration = Time(NOTHING, DAY).or(secs(20));
    }
}

section! {
    /// `[log]`
    LogSection {
        /// off, error, warn, info, debug, trace, or a list of target=level.
        level: Written = Text.or(Written::default("log.level", "info"));
        /// text for people, json for machines.
        format: LogFormat = Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
            .or(LogFormat::Text);
    }
}

section! {
    /// `[admin]`
    AdminSection {
        /// An address, unix:PATH, or off.
        listen: Written = Text.or(Written::default("admin.listen", "127.0.0.1:9090"));
        /// Bearer token; needed if other machines can reach the address. May be file:PATH.
        token: Option<Secret> = SecretText.optional();
    }
}

section! {
    /// `[certificates]`
    CertificatesSection {
        /// Files and folders.
        paths: Vec<Written> = Texts(1_024)
            .or(vec![Written::default("certificates.paths[0]", "certs.d")]);
        /// How often contents are compared even if no event told of a change.
        poll_interval: Duration = Time(SECOND, DAY).or(secs(60));
        /// How long files must have been quiet before they are read.
        settle: Duration = Time(NOTHING, MINUTE).or(millis(500));
        /// Refuse private keys that others can read, instead of warning.
        strict_permissions: bool = Flag.or(false);
    }
}

section! {
    /// `[resumption]`
    ResumptionSection {
        /// stateful: sessions are kept on our side; tickets: clients carry them; both:
        /// session ids for TLS 1.2 and tickets for TLS 1.3; off: every handshake is a full one.
        mode: ResumptionMode = RESUMPTION_MODE.or(ResumptionMode::Stateful);
        /// Memory for all sessions of the process.
        memory: usize = Size(MIB_USIZE, 1 << 40).or(64 * MIB_USIZE);
        /// How long a session can be resumed; RFC 8446 allows seven days at most.
        lifetime: Duration = Time(SECOND, WEEK).or(HOUR);
        /// The largest session that is kept.
        max_session: usize = Size(1_024, 64 * 1_024).or(8 * 1_024);
        /// How long a ticket key seals; it opens until its last ticket expires.
        ticket_rotation: Duration = Time(secs(600), WEEK).or(HOUR);
        /// file:PATH, or shared: through the shared store; without it, random in each process.
        ticket_keys: Option<Located<TicketKeySource>> = Where(TicketKeysText).optional();
        /// The store that processes and machines share.
        shared: Option<Entry<SharedSection>> = Perhaps(PhantomData);
    }
}

section! {
    /// `shared` of `[resumption]`
    SharedSection {
        /// redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://, or file:PATH.
        url: Option<Hidden> = HiddenText.required();
        /// file:PATH of the keys that sessions are sealed with; the store never sees them.
        sealing_key: Option<PathBuf> = KeyFile.required_with(SEALING_KEY_HINT);
        /// How long a handshake waits for the store.
        timeout: Duration = Time(MOMENT, millis(20)).or(millis(5));
        /// Sessions that wait to be stored; beyond it they stay in this process.
        queue: usize = Count(1, 1 << 20).or(8_192);
        /// Handshakes that wait for the store at once; further ones do without it.
        in_flight: usize = Count(1, 65_536).or(1_024);
        /// How large the store may grow; only for file:PATH.
        size: Located<usize> = Where(Size(MIB_USIZE, 1 << 40))
            .or(Located { value: 64 * MIB_USIZE, place: None });
        /// PEM bundle of the authorities of the store; only for rediss://, which else trusts those
        /// of the system.
        ca: Option<Written> = Text.optional();
        /// What the names of all entries begin with; not for file:PATH.
        prefix: Written = Text.or(Written::default("resumption.shared.prefix", "portunus"));
    }
}

section! {
    /// `[limits]`
    LimitsSection {
        /// From accept to the complete ClientHello.
        client_hello_timeout: Duration = Time(MOMENT, HOUR).or(secs(5));
        /// Bytes of TLS records until the ClientHello is complete.
        client_hello_size: usize = Size(1_024, 64 * 1_024).or(16 * 1_024);
        /// From accept to the finished handshake.
        handshake_timeout: Duration = Time(MOMENT, HOUR).or(secs(10));
        /// Certificates that a client may show, its own included.
        client_chain_certificates: usize = Count(1, 16).or(8);
        /// Bytes of all certificates that a client may show.
        client_chain_size: usize = Size(1_024, 64 * 1_024).or(32 * 1_024);
        /// Handshakes going on at once; further connections are reset. 0 = 1024 per worker.
        handshakes: usize = Count(0, 10_000_000).or(0);
        /// Handshakes going on at once from one IPv4 address or IPv6 /64.
        handshakes_per_source: usize = Count(1, 10_000_000).or(64);
        /// To connect to one endpoint.
        connect_timeout: Duration = Time(MOMENT, HOUR).or(secs(3));
        /// Endpoints tried for one connection or request.
        connect_attempts: usize = Count(1, 64).or(2);
        /// Connection attempts going on at once, for each backend; further ones wait their turn.
        connects: usize = Count(1, 65_536).or(256);
        /// Nothing moved in either direction of a tunnel.
        tunnel_idle_timeout: Duration = Time(MOMENT, MONTH).or(HOUR);
        /// Nothing moved in the remaining direction after the other has ended.
        half_close_timeout: Duration = Time(MOMENT, MONTH).or(secs(60));
        /// TCP: silence before the first keepalive probe, in whole seconds.
        tcp_keepalive_idle: Duration = Time(SECOND, TCP_TIME_MAX).or(secs(60));
        /// TCP: time between keepalive probes, in whole seconds.
        tcp_keepalive_interval: Duration = Time(SECOND, TCP_TIME_MAX).or(secs(10));
        /// TCP: unanswered probes before the connection is given up.
        tcp_keepalive_probes: u32 = Count(1, 127).or(6);
        /// TCP: how long sent data may stay unacknowledged.
        tcp_user_timeout: Duration = Time(SECOND, TCP_TIME_MAX).or(secs(30));
        /// Timeouts and caps of HTTP listeners.
        http: HttpSection = within();
    }
}

section! {
    /// `[limits.http]`
    HttpSection {
        /// From the first wait for a request head to its end.
        request_head_timeout: Duration = Time(MOMENT, HOUR).or(secs(10));
        /// Silence between two requests of a client.
        keepalive_timeout: Duration = Time(MOMENT, DAY).or(secs(75));
        /// Requests on one connection of HTTP/1.1.
        requests: u64 = Count(1, 1 << 53).or(1_000);
        /// The age of a connection at which it ends after what is going on.
        connection_age: Duration = Time(SECOND, MONTH).or(HOUR);
        /// Fields of a request head.
        header_fields: usize = Count(8, 1_024).or(100);
        /// Bytes of a request head.
        header_size: usize = Size(8 * 1_024, MIB_USIZE).or(32 * 1_024);
        /// Bytes of a request target.
        uri_size: usize = Size(256, 65_534).or(8 * 1_024);
        /// Silence within a request body.
        request_body_timeout: Duration = Time(MOMENT, DAY).or(secs(30));
        /// What a request body must bring per second after its first ten seconds; 0 B = anything.
        request_body_rate: u64 = Size(0, 1 << 30).or(500);
        /// From the complete request to the head of the response.
        response_head_timeout: Duration = Time(MOMENT, DAY).or(secs(60));
        /// Silence within a response body of a backend.
        response_body_timeout: Duration = Time(MOMENT, MONTH).or(secs(300));
        /// The client takes nothing of what is there for it.
        write_timeout: Duration = Time(MOMENT, DAY).or(secs(30));
        /// How long a connection to an endpoint waits for its next request.
        pool_idle_timeout: Duration = Time(MOMENT, DAY).or(secs(50));
        /// Connections that wait, per endpoint.
        pool_idle: usize = Count(0, 65_536).or(64);
        /// Concurrent HTTP/2 streams of one connection.
        h2_streams: u32 = Count(1, 65_536).or(100);
        /// Flow-control window of an HTTP/2 stream.
        h2_stream_window: u32 = Size(16 * 1_024, WINDOW_MAX).or(64 * 1_024);
        /// Flow-control window of an HTTP/2 connection.
        h2_connection_window: u32 = Size(64 * 1_024, WINDOW_MAX).or(1 << 20);
        /// Response bytes that wait for the window of an HTTP/2 stream.
        h2_send_buffer: usize = Size(16 * 1_024, 64 * MIB_USIZE).or(64 * 1_024);
        /// Requests on one connection of HTTP/2.
        h2_requests: u64 = Count(1, 1 << 30).or(10_000);
        /// Streams that a client may reset within ten seconds.
        h2_resets: u32 = Count(1, 1 << 20).or(200);
        /// Frames that a client may send within ten seconds without asking or sending anything.
        h2_control_frames: u32 = Count(16, 1 << 20).or(1_000);
        /// Silence before an HTTP/2 client with open streams is asked whether it still lives.
        h2_ping_interval: Duration = Time(SECOND, DAY).or(secs(30));
        /// How long it may take to say so.
        h2_ping_timeout: Duration = Time(MOMENT, HOUR).or(secs(20));
    }
}

section! {
    /// `[listener.NAME]`
    ListenerSection {
        /// IP address with port ([::] is IPv4 as well), or unix:PATH; several are possible.
        listen: Option<Vec<Written>> = Texts(64).required();
        /// http (HTTP/1.1 and HTTP/2 by ALPN) or tcp (bytes).
        mode: Mode = Choice(&[("http", Mode::Http), ("tcp", Mode::Tcp)]).or(Mode::Http);
        /// The policy of TLS.
        tls: TlsSection = within();
        /// What a client without a server name gets: the first certificate, or an alert.
        no_sni: NoSni = Choice(&[("default", NoSni::Default), ("reject", NoSni::Reject)])
            .or(NoSni::Default);
        /// As resumption.mode, which it overrides.
        resumption: Option<ResumptionMode> = RESUMPTION_MODE.optional();
        /// The backend of every name; instead of sites.
        backend: Option<Written> = Text.optional();
        /// What is asked of clients; a listener with sites has it there only.
        client_auth: Option<Entry<ClientAuthSection>> = Perhaps(PhantomData);
        /// The names served here and their backends; instead of one backend for all.
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
        profile: Profile = Choice(&[("default", Profile::Default), ("modern", Profile::Modern)])
            .or(Profile::Default);
        /// Compress certificates for clients that offer it: zlib or brotli, TLS 1.3 only.
        certificate_compression: bool = Flag.or(true);
    }
}

section! {
    /// `[[listener.NAME.site]]`
    SiteSection {
        /// Names, and wildcards for one label (*.example.com).
        hosts: Option<Vec<Written>> = Texts(65_536).required();
        /// The backend of these names.
        backend: Option<Written> = Text.required();
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

section! {
    /// `[backend.NAME]`
    BackendSection {
        /// HOST:PORT or unix:PATH.
        endpoints: Option<Vec<Written>> = Texts(1_024).required();
        /// p2c: the less busy one of two that chance names; round-robin: one after the other.
        balance: Way = Choice(&[("p2c", Way::P2c), ("round-robin", Way::RoundRobin)])
            .or(Way::P2c);
        /// How often names of endpoints are resolved again.
        resolve_interval: Duration = Time(SECOND, DAY).or(secs(30));
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Two that chance names.
    P2c,
    /// In turn.
    RoundRobin,
}

/// A set of TLS settings with one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Profile {
    /// TLS 1.2 and 1.3.
    Default,
    /// TLS 1.3 only.
    Modern,
}

fn within<S: Section>() -> Within<S> {
    Within(PhantomData)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const RESUMPTION_MODE: Choice<ResumptionMode> = Choice(&[
    ("stateful", ResumptionMode::Stateful),
    ("tickets", ResumptionMode::Tickets),
    ("both", ResumptionMode::Both),
    ("off", ResumptionMode::Off),
]);
const SEALING_KEY_HINT: &str =
    "make one with `openssl rand -base64 32 > PATH`, the same for all, and name it `file:PATH`";

const NOTHING: Duration = Duration::ZERO;
/// The least that a timeout can be: none may be zero, since that would refuse everyone.
const MOMENT: Duration = millis(1);
const SECOND: Duration = secs(1);
const MINUTE: Duration = secs(60);
const HOUR: Duration = secs(3_600);
const DAY: Duration = secs(86_400);
const WEEK: Duration = secs(7 * 86_400);
const MONTH: Duration = secs(30 * 86_400);
/// The most that Linux takes for `TCP_KEEPIDLE` and `TCP_KEEPINTVL` is 32,767 seconds.
const TCP_TIME_MAX: Duration = secs(9 * 3_600);

const MIB_USIZE: usize = 1 << 20;
/// RFC 9113 §6.9.1.
const WINDOW_MAX: u32 = (1 << 31) - 1;
