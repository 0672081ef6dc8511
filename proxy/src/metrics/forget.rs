//! How a vector lets go of the series of what is gone.
//!
//! Owns the search among its series: their other labels need not be known. Whoever still holds a
//! handle counts on, and nobody sees it. Refuses to know what is gone.

use std::collections::HashMap;

use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use prometheus::{Counter, Gauge, IntCounter, IntGauge};

/// A vector that can let go of series, or a single number, which never does.
pub(super) trait Forget {
    /// Lets go of the series that have this value of this label.
    fn forget(&self, _label: &str, _value: &str) {}
}

impl Forget for Counter {}
impl Forget for Gauge {}
impl Forget for IntCounter {}
impl Forget for IntGauge {}

impl<T: MetricVecBuilder> Forget for MetricVec<T> {
    fn forget(&self, label: &str, value: &str) {
        for family in self.collect() {
            for series in family.get_metric() {
                let labels = series.get_label().iter();
                let labels: HashMap<_, _> = labels.map(|one| (one.name(), one.value())).collect();
                if labels.get(label) == Some(&value) {
                    // It can only fail if somebody else was faster.
                    let _ = self.remove(&labels);
                }
            }
        }
    }
}
