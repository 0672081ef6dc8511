//! How numbers of each type come about.
//!
//! Owns [`Create`], so that the table of families can name a type and nothing else. Refuses to know
//! any name: those are in `families`.

use prometheus::{
    Counter, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

use super::families::Kind;

/// How a vector or a single number of each type is made.
pub(super) trait Create: Sized {
    fn create(
        name: &str,
        help: &str,
        kind: Kind,
        labels: &[&str],
    ) -> Result<Self, prometheus::Error>;
}

macro_rules! create {
    ($($type:ident => |$opts:ident, $kind:ident, $labels:ident| $make:expr;)+) => {
        $(impl Create for $type {
            fn create(
                name: &str,
                help: &str,
                $kind: Kind,
                $labels: &[&str],
            ) -> Result<Self, prometheus::Error> {
                let $opts = Opts::new(name, help);
                $make
            }
        })+
    };
}

create! {
    Counter => |opts, _kind, _labels| Self::with_opts(opts);
    Gauge => |opts, _kind, _labels| Self::with_opts(opts);
    GaugeVec => |opts, _kind, labels| Self::new(opts, labels);
    HistogramVec => |opts, kind, labels| {
        let buckets = match kind {
            Kind::Histogram(buckets) => buckets.to_vec(),
            Kind::Counter | Kind::Gauge => Vec::new(),
        };
        Self::new(HistogramOpts::from(opts).buckets(buckets), labels)
    };
    IntCounter => |opts, _kind, _labels| Self::with_opts(opts);
    IntCounterVec => |opts, _kind, labels| Self::new(opts, labels);
    IntGauge => |opts, _kind, _labels| Self::with_opts(opts);
    IntGaugeVec => |opts, _kind, labels| Self::new(opts, labels);
}
