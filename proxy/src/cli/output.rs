//! How the command line writes: data to standard output, words to people to standard error.
//!
//! Owns what happens when nobody takes the words: a reader that has left wanted no more, and a full
//! disk is an error like any other. Refuses to know what is written.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::{DONE, FAILED, fail};
pub(super) use crate::log::plain;

/// Writes `text` and the end of a line to standard output; the exit code says whether it is there.
pub(super) fn print(text: impl Display) -> u8 {
    let mut stdout = io::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Writes what was rendered before to standard output.
pub(super) fn print_bytes(bytes: &[u8]) -> u8 {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// The exit code of something that was written to standard output.
pub(super) fn written(result: io::Result<()>) -> u8 {
    match result {
        Ok(()) => DONE,
        // `portunus certs | head -1` has what it asked for.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(error) => fail(&OutputError(error), None),
    }
}

/// Writes a line for people to standard error. If nobody takes it, there is nobody to tell.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// `1 listener`, `2 listeners`; `no listeners` if there are none.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// Standard output does not take what is written to it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct OutputError(#[source] io::Error);

// Codes are combined by the larger one: a failure is never hidden by what went well.
const _: () = assert!(DONE < FAILED, "a failure is the larger code");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let counts = [0, 1, 2].map(|number| count(number, "listener"));
        assert_eq!(counts, ["no listeners", "1 listener", "2 listeners"]);
    }
}
