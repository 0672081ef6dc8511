//! The numbers that are read rather than counted, before each scrape.
//!
//! Owns which of them come from what is served now: what its limits are, where the process stands,
//! and what sessions and backends say when they are asked. Refuses to know who asks. Read next:
//! `resumption::numbers`.

use std::sync::Arc;

use crate::config::TicketKeySource;
use crate::metrics::ProcessMetrics;
use crate::phase::Phase;

use super::generation::Generation;
use super::world::World;

/// Has the metrics say what is so when they are asked.
pub(super) fn show(world: &World) {
    let metrics = &world.common().metrics;
    let (process, generations, phase) = (metrics.process(), world.generations(), world.phase());
    process.build_info.with_label_values(&[VERSION, COMMIT, TLS]).set(1);
    process.config_reload_successful.set(1);
    // However it is configured later, there are as many as there were at the start.
    let workers = world.current().config.server.workers.get();
    process.workers.set(i64::try_from(workers).unwrap_or(i64::MAX));
    metrics.on_scrape(move || {
        for one in Phase::ALL {
            let gauge = process.phase.with_label_values(&[one.label()]);
            gauge.set(i64::from(one == phase.now()));
        }
        let now = Arc::clone(&generations.borrow());
        show_limits(&process, &now);
        now.sessions.show(&process);
        now.backends.iter().for_each(|backend| backend.refresh_metrics());
    });
}

fn show_limits(process: &ProcessMetrics, now: &Generation) {
    let config = &now.config;
    let limits = [
        (&process.connections_limit, config.server.connections_max),
        (&process.handshakes_limit, config.limits.handshakes_max),
        (&process.session_limit, config.resumption.memory),
    ];
    for (gauge, limit) in limits {
        gauge.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    let tickets = &config.resumption.tickets;
    match &tickets.keys {
        TicketKeySource::Generated | TicketKeySource::Shared if now.sessions.seals_tickets() => {
            process.ticket_key_rotation.shown().set(tickets.rotation.as_secs_f64());
        }
        _ => process.ticket_key_rotation.hide(),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the build was told of it, or found out.
const COMMIT: &str = env!("PORTUNUS_COMMIT");

const TLS: &str = "rustls+aws-lc";
