//! What may be written: every section, every key, its kind, bounds, default and meaning.
//!
//! Owns the one declaration of each key, from which come the reader, the errors about unknown
//! keys, the defaults and the JSON schema. The bounds are those within which nothing behind the
//! configuration can panic, overflow or be refused by the kernel. `config.toml` at the root shows
//! the same keys with their defaults; a test compares them. Refuses to know what keys mean for
//! each other. Read next: `validate`.
//!
//! A number that is 0 where that makes no sense stands for a value worked out at start.

mod backend;
mod limits;
mod listener;
mod route;
mod traces;

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

pub(super) use self::backend::{
    BackendSection, BackendTlsSection, EjectionSection, EndpointSection, HealthSection,
};
pub(super) use self::limits::{HttpSection, LimitsSection};
pub(super) use self::listener::{
    ClientAuthSection, ListenerSection, Profile, ProxyProtocolSection, RedirectHttpSection,
    SiteSection, TlsSection,
};
pub(super) use self::route::{FieldsSection, RedirectSection, RespondSection, RouteSection};
pub(super) use self::traces::TracesSection;
use super::list::{Entry, Named, Perhaps, Texts};
use super::number::{Count, Size, Time};
use super::resumption::TicketKeysText;
use super::section::{Key, Properties, Reader, Section, Table, section};
use super::text::{Choice, Flag, Hidden, HiddenText, KeyFile, SecretText, Text, Written};
use super::value::{Kind, Located, Where, Within};
use super::{LogFormat, ResumptionMode, Sandbox, Secret, TicketKeySource};

section! {
    /// The whole file.
    Root {
        /// The process.
        server: ServerSection = within();
        /// What is logged, and how.
        log: LogSection = within();
        /// The admin listener: metrics and probes.
        admin: AdminSection = within();
        /// Which requests are followed from program to program, and who hears of it.
        traces: TracesSection = within();
        /// Where certificates come from.
        certificates: CertificatesSection = within();
        /// Sessions kept for resumption.
        resumption: ResumptionSection = within();
        /// Every timeout and cap.
        limits: LimitsSection = within();
        /// Who is asked for the addresses of endpoints.
        resolver: ResolverSection = within();
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
        /// Who the process becomes once its sockets are open: user, user:group, or their numbers.
        user: Option<Written> = Text.optional();
        /// Whether the process gives up what it does not need: auto, as far as the kernel can;
        /// require, or not start; off.
        sandbox: Sandbox = Choice(&[
            ("auto", Sandbox::Auto),
            ("require", Sandbox::Require),
            ("off", Sandbox::Off),
        ])
        .or(Sandbox::Auto);
        /// Memory that the process keeps within; 0 = what its control group allows.
        memory_max: u64 = Size(0, 1 << 50).or(0);
        /// How long a worker may get nowhere before the process ends itself; 0s = for ever.
        watchdog: Duration = Time(NOTHING, HOUR).or(secs(5));
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
        /// A line about each request, or each connection of mode tcp: off, stdout, or a file, which
        /// is opened anew at SIGHUP and SIGUSR1.
        access: Written = Text.or(Written::default("log.access", "off"));
        /// Adds the JA4 fingerprint of clients to the lines of the access log, and to what the log
        /// says at debug of a connection.
        ja4: bool = Flag.or(false);
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
        /// How long files must have been quiet before they are read unasked.
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
    /// `[resolver]`
    ResolverSection {
        /// IP addresses, with a port if it is not 53; without it what the system has.
        nameservers: Option<Vec<Written>> = Texts(8).optional();
    }
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
