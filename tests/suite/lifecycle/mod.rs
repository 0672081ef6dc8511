//! The life of the process: how it starts, what it is bound to, what it survives, how it ends.
//!
//! `start` is about beginnings that fail and addresses, `drain` about ends, `scarcity` about too
//! few descriptors and slots, `demo` about the command that needs nothing.

mod demo;
mod drain;
mod scarcity;
mod start;
