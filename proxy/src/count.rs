//! The numbers that events change: counters and histograms, as the data plane holds them.
//!
//! Owns one door to prometheus' own, behind which counting can be left out to see what it costs:
//! `RUSTFLAGS="--cfg portunus_uncounted"` builds a process that counts nothing. That is for
//! measuring alone; no configuration and no feature of a package comes to it. Gauges stay, since
//! limits and drains go by some of them. Refuses to know names and labels. Read next:
//! `metrics`.

use prometheus::HistogramOpts;
use prometheus::core::Metric as _;
use prometheus::proto;

/// Whether anything is counted.
pub(crate) const COUNTS: bool = !cfg!(portunus_uncounted);

/// A number that only grows.
#[derive(Clone, Debug)]
pub struct IntCounter(prometheus::IntCounter);

impl IntCounter {
    /// Counts one.
    pub fn inc(&self) {
        if COUNTS {
            self.0.inc();
        }
    }

    /// Counts as many.
    pub fn inc_by(&self, more: u64) {
        if COUNTS {
            self.0.inc_by(more);
        }
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// At zero, and shown nowhere.
impl Default for IntCounter {
    fn default() -> Self {
        Self(prometheus::IntCounter::new(NAME, NAME).expect("the name is one"))
    }
}

/// How often something took how long.
#[derive(Clone, Debug)]
pub struct Histogram(prometheus::Histogram);

impl Histogram {
    /// One without anything in it, with buckets up to these bounds, which ascend.
    pub(crate) fn new(bounds: &[f64]) -> Self {
        let opts = HistogramOpts::new(NAME, NAME).buckets(bounds.to_vec());
        Self(prometheus::Histogram::with_opts(opts).expect("bounds ascend"))
    }

    /// Counts one that took this many seconds.
    pub fn observe(&self, seconds: f64) {
        if COUNTS {
            self.0.observe(seconds);
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.get_sample_count()
    }

    /// All buckets of one moment.
    pub(crate) fn read(&self) -> proto::Metric {
        self.0.metric()
    }
}

/// What each is called within; whoever shows it has a name for it.
const NAME: &str = "n";
