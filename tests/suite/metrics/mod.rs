//! Metrics, as the real Prometheus understands them, and the dashboards that show them.
//!
//! `numbers` is about the numbers themselves, `formats` about how they are written, `dashboards`
//! about the files for Grafana, `live` about what Prometheus answers to all that they ask, which
//! `queries` reads out of them, and `series` about how many of them there are.

mod dashboards;
mod formats;
mod live;
mod numbers;
mod queries;
mod series;

use std::collections::BTreeMap;

use portunus_tests::prometheus::PrometheusServer;

/// Nothing is wrong with any target: a scrape that came too late is followed by one in time.
async fn all_is_well(server: &PrometheusServer) {
    let mut errors = server.target_errors().await;
    for _ in 0..10 {
        if errors.is_empty() {
            break;
        }
        server.scrapes(1).await;
        errors = server.target_errors().await;
    }
    assert_eq!(errors, BTreeMap::new());
}
