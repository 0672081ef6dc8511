//! The file behind the access log.
//!
//! Owns opening, opening anew, and writing: a fault of the disk is said once, costs the lines that
//! it hits, and nothing else; the next line that can be written begins a line. Refuses to know what
//! the lines say.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use tracing::{info, warn};

use super::{AccessLogError, Target};

/// What lines are written to.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    file: File,
    /// What kept the last lines from being written.
    trouble: Option<io::ErrorKind>,
    /// Whether the last line is not complete.
    is_torn: bool,
}

impl Sink {
    pub(super) fn open(target: Target) -> Result<Self, AccessLogError> {
        let file = match &target {
            Target::File(path) => open_file(path)?,
            Target::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                File::from(stdout.map_err(AccessLogError::Stdout)?)
            }
        };
        Ok(Self { target, file, trouble: None, is_torn: false })
    }

    /// Goes on in the file that has the name now; if that cannot be opened, in the one so far.
    pub(super) fn reopen(&mut self) {
        let Target::File(path) = &self.target else { return };
        match open_file(path) {
            Ok(file) => {
                self.file = file;
                self.is_torn = false;
                info!(path = %path.display(), "the access log was opened anew");
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                warn!(error, "the access log stays in the file so far");
            }
        }
    }

    /// Writes `lines`, and says how many were lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        let mut rest = lines;
        if self.is_torn && !rest.is_empty() {
            // Nothing is known of what follows the torn line before it ends.
            match self.file.write_all(b"\n") {
                Ok(()) => self.is_torn = false,
                Err(error) => return self.lose(rest, &error),
            }
        }
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return self.lose(rest, &io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let (written, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                    self.is_torn = written.last() != Some(&b'\n');
                    rest = behind;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose(rest, &error),
            }
        }
        if self.trouble.take().is_some() {
            info!("the access log is written again");
        }
        0
    }

    /// Counts the lines that `rest` is made of, the torn one among them.
    fn lose(&mut self, rest: &[u8], error: &io::Error) -> u64 {
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            warn!(%error, "the access log cannot be written; lines are lost");
        }
        rest.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

/// Opens a file for appending; it can be read by its group.
fn open_file(path: &Path) -> Result<File, AccessLogError> {
    // A pipe would be waited for, perhaps for ever.
    if std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()) {
        return Err(AccessLogError::Pipe { path: path.to_owned() });
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    opened.map_err(|source| AccessLogError::Open { path: path.to_owned(), source })
}
