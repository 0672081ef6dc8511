//! The product under the name that the suite runs.
//!
//! Owns nothing: it is the same `main` as that of `portunus`, built in the tests' own package so
//! that cargo builds it before the suite and tells the suite where it lies.

fn main() -> std::process::ExitCode {
    portunus::main()
}
