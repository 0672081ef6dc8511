//! Metrics, as the real Prometheus understands them.
//!
//! `numbers` is about the numbers themselves.

mod numbers;
