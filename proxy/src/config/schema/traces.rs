//! `[traces]`: where spans go, and which traces are recorded.
//!
//! Owns the keys. Read next: `traces`, what they mean together.

use std::time::Duration;

use super::super::TraceParents;
use super::super::number::{Share, Time};
use super::super::section::{Key, Properties, Reader, Section, Table, section};
use super::super::text::{Choice, Hidden, HiddenText, Text, Written};
use super::super::traces::HiddenMap;
use super::super::value::Kind;
use super::{MINUTE, millis, secs};

section! {
    /// `[traces]`
    TracesSection {
        /// Where spans go: the URL of a collector that takes OTLP over HTTP; without it, traces are
        /// off.
        endpoint: Option<Hidden> = HiddenText.optional();
        /// PEM bundle of the authorities of the collector; only for https://, which else trusts
        /// those of the system.
        ca: Option<Written> = Text.optional();
        /// Of traces that begin here, the share that is recorded, from 0 to 1; of others, whoever
        /// began them has decided.
        sample: f64 = Share.or(1.0);
        /// Whose traces are continued: trusted, those of trusted_peers; accept, those of everybody;
        /// ignore, nobody's.
        parent: TraceParents = Choice(&[
            ("trusted", TraceParents::Trusted),
            ("accept", TraceParents::Accept),
            ("ignore", TraceParents::Ignore),
        ])
        .or(TraceParents::Trusted);
        /// What spans say of who made them.
        service_name: Written = Text.or(Written::default("traces.service_name", "portunus"));
        /// Fields of each request to the collector. May be file:PATH, for what is secret.
        headers: Option<Vec<(String, Hidden)>> = HiddenMap(64).optional();
        /// How long the collector may take to answer.
        timeout: Duration = Time(millis(10), MINUTE).or(secs(10));
    }
}
