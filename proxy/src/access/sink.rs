//! The file behind the access log.
//!
//! Owns opening, opening anew, and writing: a fault of the disk is said once, costs the lines that
//! it hits, and nothing else; the next line that can be written begins a line. Refuses to know what
//! the lines say.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use tracing::{info, warn};

use super::{AccessLogError, Target};
use crate::log;
use crate::log::file::{LineFile, Loss};

/// What lines are written to.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    file: LineFile,
    /// What kept the last lines from being written.
    trouble: Option<io::ErrorKind>,
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
        Ok(Self { target, file: LineFile::new(file), trouble: None })
    }
}

impl log::queue::Sink for Sink {
    /// If the file cannot be opened, lines go on into the one so far.
    fn reopen(&mut self) {
        let Target::File(path) = &self.target else { return };
        match open_file(path) {
            Ok(file) => {
                self.file = LineFile::new(file);
                info!(path = %path.display(), "the access log was opened anew");
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                warn!(error, "the access log stays in the file so far");
            }
        }
    }

    fn write(&mut self, lines: &[u8]) -> u64 {
        if let Err(Loss { lines, error }) = self.file.write(lines) {
            if self.trouble.replace(error.kind()) != Some(error.kind()) {
                warn!(%error, "the access log cannot be written; lines are lost");
            }
            return lines;
        }
        if self.trouble.take().is_some() {
            info!("the access log is written again");
        }
        0
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
