//! What traces say of a connection whose bytes are forwarded.
//!
//! Owns the attributes of its one span, by OpenTelemetry's conventions as far as these have a name,
//! and that it counts as failed if it did not end as the two sides wanted. No trace comes with
//! bytes and none goes on with them: each connection begins its own. Refuses to know how spans are
//! sent. Read next: `trace`.

use std::time::{Duration, SystemTime};

use super::report::Report;
use crate::metrics::{Direction, HandshakeKind};
use crate::outcome::{CloseReason, Label as _};
use crate::snapshot::Service;
use crate::trace::{Kind, Span};

/// Writes down a connection that is over and has `lasted` so long.
pub(super) fn tell(report: &Report<'_>, lasted: Duration) {
    if let Service::Http(_) = report.snapshot.service {
        return;
    }
    let Some(recording) = report.snapshot.tracer.begin_alone() else { return };
    let end = SystemTime::now();
    let start = end.checked_sub(lasted).unwrap_or(end);
    let failed = is_failure(report.reason).then(|| report.reason.label());
    let span = Span { kind: Kind::Service, name: "tcp", start, end, failed };
    recording.tell(&span, |about| {
        about.text("network.transport", "tcp");
        for (name, ip) in
            [("client.address", report.client.ip()), ("network.peer.address", report.peer.ip())]
        {
            if let Some(ip) = ip {
                about.text(name, &ip.to_string());
            }
        }
        if let Some(port) = report.peer.addr().map(|addr| addr.port()) {
            about.number("network.peer.port", port.into());
        }
        about.text_if_any("error.type", failed);
        let server_name = report.server_name.as_ref();
        about.text_if_any("tls.client.server_name", server_name.map(|name| name.as_str()));
        if let Some(kind) = report.handshake {
            about.truth("tls.resumed", kind != HandshakeKind::Full);
            about.text("portunus.handshake", kind.label());
        }
        about.text("portunus.listener", &report.snapshot.listener);
        about.text("portunus.reason", report.reason.label());
        about.number("portunus.bytes_downstream", report.meter.total(Direction::Downstream));
        about.number("portunus.bytes_upstream", report.meter.total(Direction::Upstream));
    });
}

/// Whether somebody has to look at it.
fn is_failure(reason: CloseReason) -> bool {
    match reason {
        CloseReason::BackendError
        | CloseReason::BackendUnreachable
        | CloseReason::Internal
        | CloseReason::Memory
        | CloseReason::Timeout
        | CloseReason::Truncated => true,
        CloseReason::ClientError
        | CloseReason::ClientReset
        | CloseReason::Done
        | CloseReason::Drain
        | CloseReason::Handshake
        | CloseReason::Idle
        | CloseReason::ProxyHeader => false,
    }
}
