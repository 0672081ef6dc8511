//! Which series stand at zero: those that the configuration lets happen.
//!
//! Owns what a listener or a backend can come to count for what it is. A counter that is first seen
//! at one has risen for nobody, so what can happen is shown from the start; what cannot is left
//! out, and would still be shown if it did. Groups and cipher suites are shown with the first
//! handshake that has them. Refuses to know the configuration: `runtime::expected` reads it.

use super::families::Families;
use super::labels::{CodeClass, HandshakeKind, TlsVersion};
use super::vector::{IntCounterVec, Vector};
use crate::outcome::{BackendFailure, CloseReason, HandshakeFailure, Label};

/// What a listener is, as far as it says what can happen to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListenerTrait {
    /// Clients are asked for certificates.
    ClientAuth,
    /// Clients begin with TLS.
    Hello,
    /// HTTP is spoken.
    Http,
    /// Some TLS ends at endpoints.
    PassThrough,
    /// Connections begin with a PROXY header.
    ProxyHeader,
    /// TLS 1.2 resumes by session id.
    SessionIds,
    /// A dialogue comes before TLS.
    Starttls,
    /// TLS 1.3 resumes sessions that are kept here.
    Stateful,
    /// Bytes are forwarded.
    Tcp,
    /// Clients keep sealed sessions.
    Tickets,
    /// TLS of some clients ends here.
    Tls,
    /// TLS 1.2 is spoken.
    Tls12,
}

impl ListenerTrait {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::ClientAuth,
        Self::Hello,
        Self::Http,
        Self::PassThrough,
        Self::ProxyHeader,
        Self::SessionIds,
        Self::Starttls,
        Self::Stateful,
        Self::Tcp,
        Self::Tickets,
        Self::Tls,
        Self::Tls12,
    ];
}

/// What a backend is, as far as it says what can happen to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackendTrait {
    /// Endpoints that fail are left out for a while.
    Ejection,
    /// Endpoints are asked whether they are well.
    Health,
    /// Requests go there.
    Http,
    /// Endpoints have names that are resolved.
    Names,
    /// Endpoints hear of clients by a PROXY header.
    SendProxy,
    /// A dialogue comes before TLS.
    Starttls,
    /// Endpoints are spoken to by TLS.
    Tls,
}

impl BackendTrait {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Ejection,
        Self::Health,
        Self::Http,
        Self::Names,
        Self::SendProxy,
        Self::Starttls,
        Self::Tls,
    ];
}

impl Families {
    /// Shows what the listener `name`, being all of this, can count.
    pub(super) fn expect_listener(&self, name: &str, traits: &[ListenerTrait]) {
        use ListenerTrait as Is;
        let is = |one| traits.contains(&one);
        each(&self.connections_closed, name, |reason| match reason {
            CloseReason::Handshake => is(Is::Hello),
            CloseReason::ProxyHeader => is(Is::ProxyHeader),
            CloseReason::Truncated => is(Is::Tcp),
            _ => true,
        });
        each(&self.handshake_failures, name, |reason: HandshakeFailure| {
            is(Is::Hello) && (is(Is::ClientAuth) || !reason.label().starts_with("client_cert_"))
        });
        let of_version = |version, kind| match (version, kind) {
            (TlsVersion::V1_2, HandshakeKind::Full) => is(Is::Tls12),
            (TlsVersion::V1_2, HandshakeKind::SessionId) => is(Is::Tls12) && is(Is::SessionIds),
            (TlsVersion::V1_2, HandshakeKind::Ticket) => is(Is::Tls12) && is(Is::Tickets),
            (TlsVersion::V1_3, HandshakeKind::Full) => true,
            (TlsVersion::V1_3, HandshakeKind::Stateful) => is(Is::Stateful),
            (TlsVersion::V1_3, HandshakeKind::Ticket) => is(Is::Tickets),
            _ => false,
        };
        for kind in HandshakeKind::ALL.iter().filter(|_| is(Is::Tls)) {
            let versions = TlsVersion::ALL.iter().filter(|version| of_version(**version, *kind));
            for version in versions {
                self.handshakes.with_label_values(&[name, version.label(), kind.label()]);
                self.handshake_duration.with_label_values(&[name, kind.label()]);
            }
        }
        each(&self.handshakes_not_resumed, name, |_: super::NotResumed| is(Is::Tls));
        one(&self.passed_through, name, is(Is::PassThrough));
        one(&self.tls_eof_without_notify, name, is(Is::Tcp) && is(Is::Tls));
        each(&self.starttls, name, |_: crate::outcome::StarttlsOutcome| is(Is::Starttls));
        each(&self.proxy_headers, name, |_: super::Heard| is(Is::ProxyHeader));
        for version in super::HttpVersion::ALL.iter().filter(|_| is(Is::Http)) {
            for code in CodeClass::ALL.iter().filter(|code| is_final(**code)) {
                self.http_requests.with_label_values(&[name, version.label(), code.label()]);
            }
        }
        each(&self.http_rejects, name, |_: super::HttpReject| is(Is::Http));
        each(&self.http2_defences, name, |_: super::Http2Defence| is(Is::Http));
    }

    /// Shows what the backend `name`, being all of this, can count.
    pub(super) fn expect_backend(&self, name: &str, traits: &[BackendTrait]) {
        use BackendTrait as Is;
        let is = |one| traits.contains(&one);
        each(&self.backend_responses, name, |code| is(Is::Http) && is_final(code));
        each(&self.backend_errors, name, |reason: BackendFailure| match reason {
            BackendFailure::BadResponse => is(Is::Http),
            BackendFailure::Resolve => is(Is::Names),
            BackendFailure::Starttls => is(Is::Starttls),
            _ => is(Is::Tls) || !reason.label().starts_with("tls"),
        });
        each(&self.backend_tls_handshakes, name, |_: super::BackendHandshake| is(Is::Tls));
        one(&self.proxy_tlvs_omitted, name, is(Is::SendProxy));
        one(&self.backend_tls_eof_without_notify, name, is(Is::Tls));
        one(&self.http_request_duration, name, is(Is::Http));
        one(&self.backend_ejections, name, is(Is::Ejection));
        each(&self.health_checks, name, |_: super::CheckResult| is(Is::Health));
        each(&self.backend_resolutions, name, |_: super::ResolveResult| is(Is::Names));
        one(&self.backend_resolve_age, name, is(Is::Names));
    }
}

/// Interim answers are rarely counted.
fn is_final(code: CodeClass) -> bool {
    code != CodeClass::Informational
}

/// Shows the counters of `name` for what can happen.
fn each<K: Label>(family: &IntCounterVec, name: &str, can_be: impl Fn(K) -> bool) {
    for key in K::ALL.iter().filter(|key| can_be(**key)) {
        family.with_label_values(&[name, key.label()]);
    }
}

/// Shows the number of `name` if it can be.
fn one<N: Clone>(family: &Vector<N>, name: &str, can_be: bool) {
    if can_be {
        family.with_label_values(&[name]);
    }
}
