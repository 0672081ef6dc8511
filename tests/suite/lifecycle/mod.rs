//! The life of the process: how it starts, what it is bound to, what it survives, how it ends.
//!
//! `start` is about beginnings that fail and addresses, `drain` about ends, `leaving` about what
//! clients see of them, `signals` about those who ask for them, `supervisor` about whoever started
//! the process, `watchdog` about workers that get nowhere, `scarcity` about too few descriptors and
//! slots, `demo` about the command that needs nothing.

mod demo;
mod drain;
mod leaving;
mod scarcity;
mod signals;
mod start;
mod supervisor;
mod watchdog;
