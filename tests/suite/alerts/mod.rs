//! What Prometheus tells people of Portunus: the rules that ship.
//!
//! `rules` is about the files: that they are sound, that each alert has its cases and its section
//! of the runbook. What a rule does with numbers that a test wrote stands in its cases, in
//! `dashboards/prometheus/tests`.

mod rules;
