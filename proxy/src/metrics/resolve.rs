//! From families to handles: whoever counts gets numbers with their labels already resolved.
//!
//! Owns which family stands behind which field of a handle, and the numbers that the system has of
//! the process. Refuses to know names and help texts. Read next: `handles`, the result.

use super::families::Families;
use super::handles::{
    BackendMetrics, Counters, Gauges, Histograms, ListenerMetrics, Occasional, Pairs,
    ProcessMetrics,
};
use super::process::Usage;

impl Families {
    /// Has stand at zero what could first be seen at one, where nobody sees it rise.
    pub(super) fn begin(&self) {
        let results: [(_, &[&str]); 5] = [
            (&self.certificate_reloads, &["changed", "partial", "unchanged"]),
            (&self.client_auth_reloads, &["changed", "failed", "unchanged"]),
            (&self.config_reloads, &["changed", "rejected", "unchanged"]),
            (&self.traces_exported, &["failed", "refused", "rejected", "taken"]),
            (&self.upgrades, &["done", "failed", "refused", "rolled_back"]),
        ];
        for (family, results) in results {
            for result in results {
                // To resolve it is enough.
                family.with_label_values(&[result]);
            }
        }
        // Which of them it is shows with the first watch, which a scrape may come before.
        for mode in ["events", "poll"] {
            self.certificate_watch_mode.with_label_values(&[mode]);
        }
    }

    /// Lets go of the series of an endpoint.
    pub(super) fn forget_endpoint(&self, backend: &str, endpoint: &str) {
        self.endpoint_up.remove_label_values(&[backend, endpoint]);
    }

    pub(super) fn listener(&self, name: &str) -> ListenerMetrics {
        ListenerMetrics {
            connections: self.connections.with_label_values(&[name]),
            connections_active: self.connections_active.with_label_values(&[name]),
            connections_closed: Counters::resolve(&self.connections_closed, name),
            connection_duration: self.connection_duration.with_label_values(&[name]),
            bytes: Counters::resolve(&self.bytes, name),
            handshakes: Pairs::resolve(&self.handshakes, name),
            handshakes_not_resumed: Counters::resolve(&self.handshakes_not_resumed, name),
            handshake_failures: Counters::resolve(&self.handshake_failures, name),
            passed_through: self.passed_through.unseen(&[name]),
            tls_eof_without_notify: self.tls_eof_without_notify.unseen(&[name]),
            starttls: Counters::resolve(&self.starttls, name),
            handshake_duration: Histograms::resolve(&self.handshake_duration, name),
            key_exchanges: Counters::resolve(&self.key_exchanges, name),
            ciphers: Counters::resolve(&self.ciphers, name),
            proxy_headers: Counters::resolve(&self.proxy_headers, name),
            http_requests: Pairs::resolve(&self.http_requests, name),
            http_rejects: Counters::resolve(&self.http_rejects, name),
            http2_defences: Counters::resolve(&self.http2_defences, name),
        }
    }

    pub(super) fn backend(&self, name: &str) -> BackendMetrics {
        BackendMetrics {
            name: name.into(),
            connections_active: self.backend_connections_active.with_label_values(&[name]),
            connections_limit: self.backend_connections_limit.with_label_values(&[name]),
            responses: Counters::resolve(&self.backend_responses, name),
            connect_duration: self.backend_connect_duration.with_label_values(&[name]),
            errors: Counters::resolve(&self.backend_errors, name),
            retries: self.backend_retries.with_label_values(&[name]),
            tls_handshakes: Counters::resolve(&self.backend_tls_handshakes, name),
            proxy_tlvs_omitted: self.proxy_tlvs_omitted.unseen(&[name]),
            tls_eof_without_notify: self.backend_tls_eof_without_notify.unseen(&[name]),
            request_duration: self.http_request_duration.unseen(&[name]),
            endpoint_up: self.endpoint_up.clone(),
            credential_not_before: self.backend_credential_not_before.clone(),
            credential_not_after: self.backend_credential_not_after.clone(),
            crl_this_update: self.crl_this_update.clone(),
            crl_next_update: self.crl_next_update.clone(),
            endpoints: Gauges::resolve(&self.endpoints, name),
            ejections: self.backend_ejections.unseen(&[name]),
            health_checks: Counters::resolve(&self.health_checks, name),
            resolutions: Counters::resolve(&self.backend_resolutions, name),
            resolve_age: self.backend_resolve_age.unseen(&[name]),
        }
    }

    pub(super) fn process(&self) -> ProcessMetrics {
        ProcessMetrics {
            build_info: self.build_info.clone(),
            phase: self.phase.clone(),
            workers: self.workers.clone(),
            connections_limit: self.connections_limit.clone(),
            handshakes_limit: self.handshakes_limit.clone(),
            handshakes_pending: self.handshakes_pending.clone(),
            dialogues_pending: self.dialogues_pending.clone(),
            tasks: self.tasks.clone(),
            drain_forced: self.drain_forced.clone(),
            worker_stalls: self.worker_stalls.clone(),
            workers_stalled: self.workers_stalled.clone(),
            limit_hits: Counters::resolve_plain(&self.limit_hits),
            memory_pressure: self.memory_pressure.clone(),
            memory_used: self.memory_used.clone(),
            memory_available: self.memory_available.clone(),
            panics: self.panics.clone(),
            log_dropped: self.log_dropped.clone(),
            log_suppressed: self.log_suppressed.clone(),
            traces_exported: Counters::resolve_plain(&self.traces_exported),
            traces_dropped: self.traces_dropped.clone(),
            resumption_lookups: self.resumption_lookups.clone(),
            resumption_shared_up: Occasional::new(&self.resumption_shared_up),
            resumption_shared_stored: self.resumption_shared_stored.clone(),
            resumption_shared_dropped: self.resumption_shared_dropped.clone(),
            resumption_shared_lost: self.resumption_shared_lost.clone(),
            resumption_shared_errors: self.resumption_shared_errors.clone(),
            ticket_key_age: self.ticket_key_age.clone(),
            ticket_key_rotation: Occasional::new(&self.ticket_key_rotation),
            key_files_bad: self.key_files_bad.clone(),
            sessions: self.sessions.clone(),
            session_bytes: self.session_bytes.clone(),
            session_limit: self.session_limit.clone(),
            session_evictions: self.session_evictions.clone(),
            certificate_not_after: self.certificate_not_after.clone(),
            certificate_not_before: self.certificate_not_before.clone(),
            staple_next_update: self.staple_next_update.clone(),
            certificates: self.certificates.clone(),
            certificate_watch_mode: self.certificate_watch_mode.clone(),
            certificate_watch_overflows: self.certificate_watch_overflows.clone(),
            client_auth_reloads: self.client_auth_reloads.clone(),
            crl_this_update: self.crl_this_update.clone(),
            crl_next_update: self.crl_next_update.clone(),
            certificate_reloads: self.certificate_reloads.clone(),
            certificate_reload_success: self.certificate_reload_success.clone(),
            config_generation: self.config_generation.clone(),
            upgrades: self.upgrades.clone(),
            config_reloads: self.config_reloads.clone(),
            config_reload_success: self.config_reload_success.clone(),
            config_reload_successful: self.config_reload_successful.clone(),
        }
    }

    /// Reads what the system knows of the process; what it does not tell keeps its last value.
    pub(super) fn read_process(&self) {
        let Some(usage) = Usage::read() else { return };
        self.process_cpu.inc_by((usage.cpu_seconds - self.process_cpu.get()).max(0.0));
        self.process_open_fds.set(usage.open_fds);
        self.process_max_fds.set(usage.max_fds);
        self.process_resident.set(usage.resident_bytes);
        self.process_virtual.set(usage.virtual_bytes);
        self.process_start_time.set(usage.start_time_seconds);
        self.process_threads.set(usage.threads);
    }
}
