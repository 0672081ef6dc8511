//! The files of keys that seal sessions and tickets, read again when they change.
//!
//! Owns the watch over them: what is good takes effect, and of what is bad the last good stays. The
//! log says so once, and whoever asks later hears it for as long as it is so. An event is a hint
//! and the poll is the truth, as for certificates. Nothing that stands in the files is ever shown.
//! Refuses to know what the keys seal.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{self, SHA256};
use portunus_certs::session::seal::SealingKeys;
use portunus_certs::session::shared::SharedTier;
use portunus_certs::tickets::{FileKeys, TicketKeys};
use portunus_certs::watch::Watch;
use prometheus::IntGauge;
use tokio::time::sleep;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::{Certificates, Config, TicketKeySource};
use crate::drain::DrainWatch;
use crate::history::{self, History, Reading, Subject};
use crate::log::Chain;

use super::hints::{self, Hints};

/// Reads and parses a file of keys.
pub(super) fn read<K, E: Error + Send + Sync + 'static>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<K, E>,
) -> Result<K, KeyFileError> {
    parse_bytes(path, &bytes(path)?, parse)
}

fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |cause| KeyFileError::Read { path: path.to_owned(), cause };
    // A pipe would keep whoever opens it waiting.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(KeyFileError::NoFile { path: path.to_owned() });
    }
    // In one piece from the start, so that no copy is left where it grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    let mut file = File::open(path).map_err(failed)?.take(FILE_BYTES_MAX as u64 + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(KeyFileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn parse_bytes<K, E: Error + Send + Sync + 'static>(
    path: &Path,
    bytes: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<K, E>,
) -> Result<K, KeyFileError> {
    let failed = |cause| KeyFileError::Parse { path: path.to_owned(), cause: Box::new(cause) };
    parse(bytes).map_err(failed)
}

/// The files of keys that are followed.
#[derive(Debug)]
pub(super) struct KeyFiles(Arc<Mutex<Followed>>);

#[derive(Debug)]
struct Followed {
    files: Vec<KeyFile>,
    watch: Option<Watch>,
    ears: Ears,
}

/// Who hears of readings besides the log.
#[derive(Debug)]
pub(super) struct Ears {
    /// Files that are bad now.
    pub(super) bad: IntGauge,
    pub(super) history: Arc<History>,
}

/// A file, what its keys are for, and what was last seen and said of it.
#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    target: Target,
    seen: Option<[u8; 32]>,
    said: Option<String>,
}

/// What the keys of a file are for.
#[derive(Debug)]
enum Target {
    Sealing(Arc<SharedTier>),
    Tickets(Arc<TicketKeys>),
}

impl KeyFiles {
    /// The files of `config`, of which there may be none.
    pub(super) fn new(
        config: &Config,
        shared: Option<Arc<SharedTier>>,
        tickets: Option<Arc<TicketKeys>>,
        ears: Ears,
    ) -> Self {
        let resumption = &config.resumption;
        let mut files = Vec::new();
        if let (Some(config), Some(shared)) = (&resumption.shared, shared) {
            files.push(KeyFile::new(&config.sealing_key, Target::Sealing(shared)));
        }
        if let (TicketKeySource::File(path), Some(tickets)) = (&resumption.tickets.keys, tickets) {
            files.push(KeyFile::new(path, Target::Tickets(tickets)));
        }
        Self(Arc::new(Mutex::new(Followed { files, watch: None, ears })))
    }

    /// Reads again what changed, until the drain or, where there are none, until that is told.
    pub(super) async fn follow(self, config: Certificates, mut watch: DrainWatch) {
        let hints = Arc::new(Hints::default());
        let are_none = locked(&self.0).files.is_empty();
        loop {
            let (files, receiver) = (Arc::clone(&self.0), Arc::clone(&hints));
            // The files are small and few, so all of them are looked at each time. A look that
            // panicked was reported, and the next one is none the worse for it.
            let look = move || locked(&files).look(&receiver);
            tokio::select! {
                () = watch.finish() => return,
                _ = tokio::task::spawn_blocking(look) => {}
            }
            if are_none {
                return;
            }
            tokio::select! {
                () = watch.finish() => return,
                () = hints.arrived() => hints.settle(config.settle).await,
                () = sleep(config.poll_interval) => {}
            }
        }
    }
}

fn locked(files: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Followed {
    /// Looks at each, and watches over them from before that on.
    fn look(&mut self, hints: &Arc<Hints>) {
        match &mut self.watch {
            Some(watch) => watch.refresh(),
            None if self.files.is_empty() => {}
            None => {
                let paths: Vec<_> = self.files.iter().map(|file| file.path.clone()).collect();
                self.watch = Some(hints::watch(&paths, hints));
            }
        }
        let mut changes = Vec::new();
        let mut is_news = false;
        for file in &mut self.files {
            if file.look() {
                is_news = true;
                let good =
                    file.said.is_none().then(|| format!("{} is in use", file.path.display()));
                changes.extend(good);
            }
        }
        let errors: Vec<_> = self.files.iter().filter_map(|file| file.said.clone()).collect();
        self.ears.bad.set(errors.len() as i64);
        // What was bad may be gone with its configuration, which is no news of any file.
        if is_news || (errors.is_empty() && self.ears.have_heard_of_bad()) {
            self.ears.note(changes, errors);
        }
    }
}

impl Ears {
    fn have_heard_of_bad(&self) -> bool {
        let readings = self.history.last();
        let newest = readings.iter().find(|reading| reading.subject == Subject::Keys);
        newest.is_some_and(|reading| !reading.errors.is_empty())
    }

    fn note(&self, changes: Vec<String>, errors: Vec<String>) {
        let result = history::result(errors.is_empty(), !changes.is_empty());
        self.history.note(Reading { changes, errors, ..Reading::now(Subject::Keys, result) });
    }
}

impl KeyFile {
    fn new(path: &Path, target: Target) -> Self {
        Self { path: path.to_owned(), target, seen: None, said: None }
    }

    /// Takes what the file holds, if it is something else than before. Returns whether there is
    /// anything to tell.
    fn look(&mut self) -> bool {
        let outcome = bytes(&self.path).and_then(|bytes| {
            let mut digest = [0; 32];
            digest.copy_from_slice(digest::digest(&SHA256, &bytes).as_ref());
            if self.seen == Some(digest) {
                return Ok(false);
            }
            match &self.target {
                Target::Sealing(shared) => {
                    let keys = parse_bytes(&self.path, &bytes, SealingKeys::parse)?;
                    shared.replace_keys(keys);
                }
                Target::Tickets(tickets) => {
                    let keys = parse_bytes(&self.path, &bytes, FileKeys::parse)?;
                    tickets.replace(&keys, tickets.now());
                }
            }
            Ok(self.seen.replace(digest).is_some())
        });
        let file = self.path.display();
        match outcome {
            Ok(is_news) => {
                let was_bad = self.said.take().is_some();
                let is_news = is_news || was_bad;
                if is_news {
                    info!(%file, "the keys of the file are in use");
                }
                is_news
            }
            Err(error) => {
                let words = Chain(&error).to_string();
                let is_news = self.said.as_ref() != Some(&words);
                if is_news {
                    warn!(error = words, "the keys that were there before stay in use");
                    self.said = Some(words);
                }
                is_news
            }
        }
    }
}

/// Why the keys of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// What stands in it is not what has to.
    #[error("{}: cannot be used as a file of keys", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why; it shows nothing of the keys.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// It is a folder, a pipe or a device.
    #[error("{}: not a file", path.display())]
    NoFile {
        /// What it is called.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is no file of keys.
    #[error("{}: larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Many times what keys take.
const FILE_BYTES_MAX: usize = 64 << 10;
