//! Metrics, as the real Prometheus understands them.
//!
//! `numbers` is about the numbers themselves, `formats` about how they are written.

mod formats;
mod numbers;
