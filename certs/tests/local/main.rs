//! The sessions folder as several processes have it open at once: real ones, which are stopped and
//! killed. This binary is its own helper: [`process`] runs it again as another process.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step is the failure of the test, and helpers speak through their output"
)]

mod death;
mod folder;
mod process;
mod sharing;
mod space;
