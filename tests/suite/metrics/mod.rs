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
