//! Every metric family: name, help, kind, labels, buckets. The one place where names are written.

use prometheus::{Counter, Gauge, IntGauge};

use super::exposition::Page;
use super::vector::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Numbers as _};
use crate::count::IntCounter;

/// A family as the reference and whoever scrapes see it.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
}

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// Declares the struct of vectors, and the table behind it.
macro_rules! families {
    ($(
        $field:ident: $type:ident, $kind:expr, $name:literal, [$($label:literal),*], $help:literal;
    )+) => {
        /// The vectors, from which handles are resolved.
        pub(super) struct Families { $(pub(super) $field: $type,)+ }

        /// Every family, in the order in which they are told.
        pub(super) const TABLE: &[Family] = &[
            $(Family { name: $name, help: $help, kind: $kind, labels: &[$($label),*] },)+
        ];

        impl Families {
            /// Every family, without any series that has labels.
            pub(super) fn new() -> Self {
                let mut families = TABLE.iter();
                let mut next = || families.next().expect("there are as many as fields");
                Self { $($field: <$type>::create(next()),)+ }
            }

            /// Writes all of them down.
            pub(super) fn tell(&self, page: &mut Page) {
                let mut families = TABLE.iter();
                let mut next = || families.next().expect("there are as many as fields");
                $(self.$field.tell_all(&mut page.sheet(next()));)+
            }

            /// Lets go of the series that have this value of this label.
            pub(super) fn forget(&self, label: &str, value: &str) {
                $(self.$field.forget(label, value);)+
            }
        }
    };
}

families! {
    build_info: IntGaugeVec, Kind::Gauge, "portunus_build_info", ["version", "commit", "tls"],
        "Always 1; the labels say which version runs, which commit it was built of, as far as that \
        was known, and which TLS library it has.";
    phase: IntGaugeVec, Kind::Gauge, "portunus_phase", ["phase"],
        "1 for the phase that the process is in, 0 for all others: starting, running, leaving, \
        draining.";
    workers: IntGauge, Kind::Gauge, "portunus_workers", [],
        "Threads that serve; together they can use as many processors.";
    connections: IntCounterVec, Kind::Counter, "portunus_connections_total", ["listener"],
        "Connections accepted.";
    connections_active: IntGaugeVec, Kind::Gauge, "portunus_connections_active", ["listener"],
        "Connections open now, including those in their handshake.";
    connections_limit: IntGauge, Kind::Gauge, "portunus_connections_limit", [],
        "Connections that may be open at once, by `server.max_connections` or by the number of \
        file descriptors.";
    connections_closed: IntCounterVec, Kind::Counter, "portunus_connections_closed_total",
        ["listener", "reason"], "Connections ended, by reason.";
    connection_duration: HistogramVec, Kind::Histogram(CONNECTION_SECONDS),
        "portunus_connection_duration_seconds", ["listener"], "Time from accept to close.";
    bytes: IntCounterVec, Kind::Counter, "portunus_bytes_total", ["listener", "direction"],
        "Bytes of clear text that passed: downstream to clients, upstream to backends.";
    handshakes: IntCounterVec, Kind::Counter, "portunus_handshakes_total",
        ["listener", "version", "kind"], "TLS handshakes finished, by version and kind.";
    handshakes_not_resumed: IntCounterVec, Kind::Counter,
        "portunus_handshakes_not_resumed_total", ["listener", "reason"],
        "Full handshakes of clients that offered a session, by why it was not resumed.";
    handshake_failures: IntCounterVec, Kind::Counter, "portunus_handshake_failures_total",
        ["listener", "reason"], "TLS handshakes that failed, by reason.";
    passed_through: IntCounterVec, Kind::Counter, "portunus_passed_through_total", ["listener"],
        "Connections whose TLS passes through, to end at the endpoint.";
    tls_eof_without_notify: IntCounterVec, Kind::Counter,
        "portunus_tls_eof_without_notify_total", ["listener"],
        "Connections of mode tcp that clients ended without close_notify.";
    starttls: IntCounterVec, Kind::Counter, "portunus_starttls_total",
        ["listener", "outcome"], "Dialogues before TLS, by what came of them.";
    handshake_duration: HistogramVec, Kind::Histogram(HANDSHAKE_SECONDS),
        "portunus_handshake_duration_seconds", ["listener", "kind"],
        "Time from accept, or the end of what comes before TLS, to the finished handshake, network \
        round trips included.";
    key_exchanges: IntCounterVec, Kind::Counter, "portunus_handshake_key_exchanges_total",
        ["listener", "group"], "Key exchanges of finished handshakes, by named group.";
    ciphers: IntCounterVec, Kind::Counter, "portunus_handshake_ciphers_total",
        ["listener", "suite"], "Finished handshakes, by cipher suite.";
    proxy_headers: IntCounterVec, Kind::Counter, "portunus_proxy_header_total",
        ["listener", "result"], "Connections that had to begin with a PROXY header, by what came: \
        accepted (an address), local and unknown (none) are served, all others closed.";
    handshakes_pending: IntGauge, Kind::Gauge, "portunus_handshakes_pending", [],
        "Handshakes going on now.";
    handshakes_limit: IntGauge, Kind::Gauge, "portunus_handshakes_limit", [],
        "Handshakes that may go on at once, and as many dialogues before TLS: `limits.handshakes`.";
    dialogues_pending: IntGauge, Kind::Gauge, "portunus_starttls_pending", [],
        "Dialogues before TLS going on now.";
    tasks: IntGauge, Kind::Gauge, "portunus_tasks", [],
        "Tasks that run now: one for each connection, and a few for the process itself.";
    drain_forced: IntCounter, Kind::Counter, "portunus_drain_forced_total", [],
        "Connections that a drain cut by a reset, since they had not finished in its time.";
    worker_stalls: IntCounter, Kind::Counter, "portunus_worker_stalls_total", [],
        "How often a worker got nowhere for a fifth of server.watchdog; all of it is the end.";
    workers_stalled: IntGauge, Kind::Gauge, "portunus_workers_stalled", [],
        "Workers that get nowhere now.";
    resumption_lookups: IntCounterVec, Kind::Counter, "portunus_resumption_lookups_total",
        ["tier", "result"], "Look-ups of sessions that clients offered, by tier and result.";
    resumption_shared_up: IntGaugeVec, Kind::Gauge, "portunus_resumption_shared_up", [],
        "1 while the shared tier is used, 0 while it is away and memory alone serves; absent \
        without one.";
    resumption_shared_stored: IntCounter, Kind::Counter,
        "portunus_resumption_shared_stored_total", [], "Sessions handed over to the shared tier.";
    resumption_shared_dropped: IntCounter, Kind::Counter,
        "portunus_resumption_shared_dropped_total", [],
        "Sessions that stayed in memory alone, since too many waited for the shared tier.";
    resumption_shared_lost: IntCounter, Kind::Counter,
        "portunus_resumption_shared_lost_total", [],
        "Sessions that the shared tier may or may not have taken, and which are given up for that.";
    resumption_shared_errors: IntCounterVec, Kind::Counter,
        "portunus_resumption_shared_errors_total", ["kind"],
        "Failures of the shared tier, by kind; clients notice none of them.";
    ticket_key_age: Gauge, Kind::Gauge, "portunus_ticket_key_age_seconds", [],
        "Since when the ticket key in use has sealed tickets; absent or 0 without tickets.";
    ticket_key_rotation: GaugeVec, Kind::Gauge, "portunus_ticket_key_rotation_seconds", [],
        "For how long a ticket key shall seal; absent without tickets, and where a file says which \
        keys there are.";
    key_files_bad: IntGauge, Kind::Gauge, "portunus_resumption_key_files_bad", [],
        "Files of sealing keys and ticket keys that cannot be used now, so that the keys of before \
        stay in use.";
    sessions: IntGauge, Kind::Gauge, "portunus_sessions", [],
        "Sessions in the memory tier.";
    session_bytes: IntGauge, Kind::Gauge, "portunus_session_bytes", [],
        "Bytes that the memory tier accounts for its sessions.";
    session_limit: IntGauge, Kind::Gauge, "portunus_session_limit_bytes", [],
        "Bytes that the memory tier may have: `resumption.memory`.";
    session_evictions: IntCounter, Kind::Counter, "portunus_session_evictions_total", [],
        "Sessions that made room for newer ones before they expired.";
    certificate_not_after: GaugeVec, Kind::Gauge, "portunus_certificate_not_after_seconds",
        ["certificate"], "End of validity of a loaded certificate, in seconds since 1970; \
        absent once it has expired and another one serves its names.";
    certificate_not_before: GaugeVec, Kind::Gauge, "portunus_certificate_not_before_seconds",
        ["certificate"], "Begin of validity of a loaded certificate, in seconds since 1970; \
        absent once it has expired and another one serves its names.";
    staple_next_update: GaugeVec, Kind::Gauge,
        "portunus_certificate_staple_next_update_seconds", ["certificate"],
        "Until when the OCSP staple of a loaded certificate is sent, in seconds since 1970; absent \
        as the end of the certificate is.";
    certificates: IntGaugeVec, Kind::Gauge, "portunus_certificates", ["state"],
        "Certificates, by state: loaded, of these kept (the last good, as the files are bad), \
        expired, superseded (expired, and others serve their names), stapled and staple_stale; \
        pending (not yet valid); skipped.";
    certificate_reloads: IntCounterVec, Kind::Counter, "portunus_certificate_reloads_total",
        ["result"], "Readings of the certificate paths: changed, unchanged, partial (something \
        was skipped).";
    certificate_reload_success: Gauge, Kind::Gauge,
        "portunus_certificate_reloads_last_success_timestamp_seconds", [],
        "When the certificate paths were last read without anything skipped.";
    certificate_watch_mode: IntGaugeVec, Kind::Gauge, "portunus_certificate_watch_mode", ["mode"],
        "How changes of certificates are noticed: 1 at events (and poll as a safety net), or at \
        poll alone.";
    certificate_watch_overflows: IntCounter, Kind::Counter,
        "portunus_certificate_watch_overflows_total", [],
        "How often the kernel lost events of the watch; everything is looked at then.";
    client_auth_reloads: IntCounterVec, Kind::Counter, "portunus_client_auth_reloads_total",
        ["result"], "Readings of authorities and revocation lists for clients: changed, \
        unchanged, failed (the last good stays).";
    crl_this_update: GaugeVec, Kind::Gauge, "portunus_crl_this_update_seconds", ["crl"],
        "When a revocation list was made, in seconds since 1970.";
    crl_next_update: GaugeVec, Kind::Gauge, "portunus_crl_next_update_seconds", ["crl"],
        "Until when a revocation list holds, in seconds since 1970; past it, whom it speaks for is \
        refused.";
    upgrades: IntCounterVec, Kind::Counter, "portunus_upgrades_total", ["result"],
        "Orders to hand over to a new process, by what came of them: done, failed, refused, \
         rolled_back.";
    config_reloads: IntCounterVec, Kind::Counter, "portunus_config_reloads_total", ["result"],
        "Readings of the configuration after the start: changed, unchanged, rejected.";
    config_reload_success: Gauge, Kind::Gauge,
        "portunus_config_last_reload_success_timestamp_seconds", [],
        "When the configuration was last read without an error, in seconds since 1970.";
    config_reload_successful: IntGauge, Kind::Gauge,
        "portunus_config_last_reload_successful", [],
        "1 if the configuration that was read last is in use, 0 if it was rejected and the one of \
        before stays.";
    config_generation: IntGauge, Kind::Gauge, "portunus_config_generation", [],
        "Number of the configuration in use, counted from 1 at start.";
    http_requests: IntCounterVec, Kind::Counter, "portunus_http_requests_total",
        ["listener", "version", "code"], "Requests answered, by HTTP version and class of status.";
    http_rejects: IntCounterVec, Kind::Counter, "portunus_http_rejects_total",
        ["listener", "reason"], "Requests that were refused for what the client did, by reason.";
    http2_defences: IntCounterVec, Kind::Counter, "portunus_http2_defences_total",
        ["listener", "defence"], "Connections and streams of HTTP/2 that cost too much, ended.";
    http_request_duration: HistogramVec, Kind::Histogram(REQUEST_SECONDS),
        "portunus_http_request_duration_seconds", ["backend"],
        "Time from the request head to the response head.";
    backend_connections_active: IntGaugeVec, Kind::Gauge,
        "portunus_backend_connections_active", ["backend"],
        "Connections open to a backend, including those that wait in the pool.";
    backend_connections_limit: IntGaugeVec, Kind::Gauge, "portunus_backend_connections_limit",
        ["backend"], "Connections that the endpoints of a backend may have together: \
        `max_connections` for each address.";
    backend_responses: IntCounterVec, Kind::Counter, "portunus_backend_responses_total",
        ["backend", "code"], "Responses that endpoints of a backend gave, by class of status.";
    backend_connect_duration: HistogramVec, Kind::Histogram(CONNECT_SECONDS),
        "portunus_backend_connect_duration_seconds", ["backend"],
        "Time to connect to an endpoint.";
    backend_errors: IntCounterVec, Kind::Counter, "portunus_backend_errors_total",
        ["backend", "reason"], "What went wrong with a backend, by reason.";
    backend_retries: IntCounterVec, Kind::Counter, "portunus_backend_retries_total", ["backend"],
        "Connections or requests that were tried again at another endpoint.";
    backend_credential_not_before: GaugeVec, Kind::Gauge,
        "portunus_backend_credential_not_before_seconds", ["backend"],
        "Begin of validity of what a backend shows its endpoints of itself, in seconds since 1970.";
    backend_credential_not_after: GaugeVec, Kind::Gauge,
        "portunus_backend_credential_not_after_seconds", ["backend"],
        "End of validity of what a backend shows its endpoints of itself, in seconds since 1970.";
    backend_tls_eof_without_notify: IntCounterVec, Kind::Counter,
        "portunus_backend_tls_eof_without_notify_total", ["backend"],
        "Tunnels in which an endpoint ended its direction without `close_notify`, as an attacker \
        could.";
    backend_tls_handshakes: IntCounterVec, Kind::Counter,
        "portunus_backend_tls_handshakes_total", ["backend", "kind"],
        "TLS handshakes with endpoints finished, by kind: full or resumed.";
    proxy_tlvs_omitted: IntCounterVec, Kind::Counter,
        "portunus_backend_proxy_tlvs_omitted_total", ["backend"], "What PROXY headers for a \
        backend did not say, since they would have been longer than 4096 bytes.";
    endpoint_up: IntGaugeVec, Kind::Gauge, "portunus_endpoint_up", ["backend", "endpoint"],
        "1 if the last attempt to connect to the endpoint, or its last health check, succeeded.";
    endpoints: IntGaugeVec, Kind::Gauge, "portunus_endpoints", ["backend", "standing"],
        "Addresses of endpoints, by how they stand: usable, ejected (failed in use), unhealthy \
        (fails its health checks), draining (the operator's wish).";
    backend_ejections: IntCounterVec, Kind::Counter, "portunus_backend_ejections_total",
        ["backend"], "Endpoints left out for a while, since they failed in use.";
    health_checks: IntCounterVec, Kind::Counter, "portunus_health_checks_total",
        ["backend", "result"], "Answers of endpoints to health checks, by result.";
    backend_resolutions: IntCounterVec, Kind::Counter, "portunus_backend_resolutions_total",
        ["backend", "result"], "Look-ups of the names of endpoints, by result; whatever it is, the \
        last good addresses stay.";
    backend_resolve_age: GaugeVec, Kind::Gauge, "portunus_backend_resolve_age_seconds",
        ["backend"], "Since when a name of the backend was last resolved, the oldest of all; 0 \
        without names.";
    limit_hits: IntCounterVec, Kind::Counter, "portunus_limit_hits_total", ["limit"],
        "How often a limit said no.";
    memory_pressure: IntGauge, Kind::Gauge, "portunus_memory_pressure", [],
        "How short memory is: 1, connections end after what they are at; 2, nothing new is \
        accepted; 3, the largest connections are reset.";
    memory_used: IntGauge, Kind::Gauge, "portunus_memory_used_bytes", [],
        "Memory in use, as far as it counts for the limit; in a control group the program's code \
        counts and other files do not. Absent or 0 without a limit.";
    memory_available: IntGauge, Kind::Gauge, "portunus_memory_limit_bytes", [],
        "What may be used of memory: `server.memory_max`, or what the control group allows, less \
        a tenth of it, at most 16 MiB, that is kept free.";
    panics: IntCounter, Kind::Counter, "portunus_panics_total", [],
        "Panics, each a bug: a task ended, its connection was reset, the process goes on.";
    log_dropped: IntCounter, Kind::Counter, "portunus_log_dropped_total", [],
        "Lines of the log and of the access log that were left out: more came than could be \
        written.";
    log_suppressed: IntCounter, Kind::Counter, "portunus_log_suppressed_total", [],
        "Lines of the log that were held back, since their kind came too often.";
    traces_exported: IntCounterVec, Kind::Counter, "portunus_traces_exported_total", ["result"],
        "Spans that were sent to the collector of traces, by what became of them: taken, rejected \
        (not wanted), refused (the whole batch), failed (it did not answer well in time).";
    traces_dropped: IntCounter, Kind::Counter, "portunus_traces_dropped_total", [],
        "Spans that were left out: more came than the collector took.";
    process_cpu: Counter, Kind::Counter, "process_cpu_seconds_total", [],
        "CPU time of the process, user and system.";
    process_open_fds: IntGauge, Kind::Gauge, "process_open_fds", [],
        "File descriptors open.";
    process_max_fds: IntGauge, Kind::Gauge, "process_max_fds", [],
        "File descriptors that the process may have open.";
    process_resident: IntGauge, Kind::Gauge, "process_resident_memory_bytes", [],
        "Memory of the process that is in RAM.";
    process_virtual: IntGauge, Kind::Gauge, "process_virtual_memory_bytes", [],
        "Address space of the process.";
    process_start_time: Gauge, Kind::Gauge, "process_start_time_seconds", [],
        "When the process started, in seconds since 1970.";
    process_threads: IntGauge, Kind::Gauge, "process_threads", [],
        "Threads of the process.";
}

/// From a resumption on the same machine to a client on a bad radio link.
const HANDSHAKE_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// From a probe to a tunnel of a day.
const CONNECTION_SECONDS: &[f64] =
    &[0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14_400.0, 86_400.0];

/// From a cache on the same machine to the longest wait for a response.
const REQUEST_SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// From the same machine to the connect timeout.
const CONNECT_SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0,
    10.0,
];
