//! The load generator of the system benchmark: clients and the plaintext backend behind a server.
//!
//! Owns the entry into [`load`] and the way in which its errors are shown. It never knows which
//! server it talks to: `tests/bench/compare` starts the servers, and measures them while this
//! runs. Read next: `tests/src/load/mod.rs`.

#[path = "../load/mod.rs"]
mod load;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match load::run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("portunus-load: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                text.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}
