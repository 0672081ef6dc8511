//! The binary: everything is in the library, so that tests can run the same `main`.

use std::process::ExitCode;

fn main() -> ExitCode {
    portunus::main()
}
