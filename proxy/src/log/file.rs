//! A file that lines are added to, which may refuse them.
//!
//! Owns that a line that was written in part costs no other: the next one that can be written
//! begins a line. Refuses to know what the lines say, and who is told of a fault.

use std::fs::File;
use std::io::{self, Write as _};

/// What lines are written to.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    /// Whether the last line is not complete.
    is_torn: bool,
}

/// Lines that were lost, and why.
#[derive(Debug)]
pub struct Loss {
    /// How many, the torn one among them.
    pub lines: u64,
    /// What the system says.
    pub error: io::Error,
}

impl LineFile {
    /// Nothing is known to be torn in `file`.
    pub fn new(file: File) -> Self {
        Self { file, is_torn: false }
    }

    /// Writes `lines`, as far as that can be done.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Loss> {
        let mut rest = lines;
        if self.is_torn && !rest.is_empty() {
            // Nothing is known of what follows the torn line before it ends.
            match self.file.write_all(b"\n") {
                Ok(()) => self.is_torn = false,
                Err(error) => return Err(loss(rest, error)),
            }
        }
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(loss(rest, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    let (written, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                    self.is_torn = written.last() != Some(&b'\n');
                    rest = behind;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(loss(rest, error)),
            }
        }
        Ok(())
    }
}

/// The lines that `rest` is made of.
fn loss(rest: &[u8], error: io::Error) -> Loss {
    Loss { lines: rest.iter().filter(|byte| **byte == b'\n').count() as u64, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_lost_are_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let loss = LineFile::new(full).write(b"one\ntwo\n").unwrap_err();
        assert_eq!((loss.lines, loss.error.kind()), (2, io::ErrorKind::StorageFull));
    }

    #[test]
    fn after_a_torn_line_the_next_one_begins_a_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut lines = LineFile { file: file.reopen().unwrap(), is_torn: true };
        lines.write(b"whole\n").unwrap();
        lines.write(b"torn").unwrap();
        lines.write(b"whole\n").unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "\nwhole\ntorn\nwhole\n");
    }
}
