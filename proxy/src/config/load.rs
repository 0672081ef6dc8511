//! How the configuration file is found and read.
//!
//! Owns the file system's part: the default name, the cap on its size, errors that name the path.
//! What a text means is `validate`'s business. Refuses to know environment variables and the
//! command line; whoever calls has decided which file it is.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::{Config, ConfigErrors};

/// The file that is read if none is named.
pub const FILE_DEFAULT: &str = "config.toml";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file was read; these are its faults, a line each.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl LoadError {
    /// What to do, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        self.is_missing().then_some("name another file with `--config FILE`")
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read(ReadError::Open { source, .. })
            if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not there, not allowed, not a file.
    #[error("cannot read `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody might never write to it.
    #[error("`{}` is a pipe; a file is needed", path.display())]
    Pipe {
        /// The pipe.
        path: PathBuf,
    },
    /// Larger than anything that is meant.
    #[error("`{}` is larger than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        max: u64,
    },
    /// Not text.
    #[error("`{}` is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl Config {
    /// Reads `path`, or `config.toml` in the working directory. Relative paths in the file are
    /// relative to the folder that it is in.
    pub fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let path = path.unwrap_or(Path::new(FILE_DEFAULT));
        let text = read_text(path, FILE_BYTES_MAX)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = Self::parse(&text, &path.display().to_string(), folder)?;
        Ok(Self { path: Some(path.to_owned()), ..config })
    }
}

/// Reads a file that a configuration may stand in, or something that it refers to.
pub fn read_file(path: &Path) -> Result<String, ReadError> {
    read_text(path, FILE_BYTES_MAX)
}

/// Reads a text file of at most `max` bytes.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String, ReadError> {
    let failed = |source| ReadError::Open { path: path.to_owned(), source };
    // A pipe would be waited for, perhaps for ever.
    if std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()) {
        return Err(ReadError::Pipe { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    // One byte more than is allowed tells that there are more.
    let mut file = File::open(path).map_err(failed)?.take(max.saturating_add(1));
    let length = file.read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length > max) {
        return Err(ReadError::TooLarge { path: path.to_owned(), max });
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText { path: path.to_owned() })
}

/// How many files this process may have open: the hard limit, as Linux tells it, to which a process
/// that serves raises its own.
pub(super) fn open_files() -> u64 {
    let limits = read_text(Path::new("/proc/self/limits"), 64 << 10).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().nth(1)) {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().unwrap_or(OPEN_FILES_DEFAULT),
        None => OPEN_FILES_DEFAULT,
    }
}

/// A hundred thousand sites fit; a wrong file, a log or a device, does not.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What most systems grant.
const OPEN_FILES_DEFAULT: u64 = 1_024;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_missing_file_is_named_with_what_to_do() {
        let error = Config::load(Some(Path::new("/nowhere/config.toml"))).unwrap_err();
        assert_eq!(error.to_string(), "cannot read `/nowhere/config.toml`");
        assert!(error.source().unwrap().to_string().contains("No such file"));
        assert!(error.hint().unwrap().contains("--config FILE"));
    }

    #[test]
    fn a_file_that_cannot_be_a_configuration_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("binary.toml");
        std::fs::write(&binary, b"\xff\xfe").unwrap();
        let error = Config::load(Some(&binary)).unwrap_err();
        assert!(error.to_string().ends_with("is not UTF-8 text"), "{error}");
        let error = Config::load(Some(Path::new("/dev/zero"))).unwrap_err();
        assert_eq!(error.to_string(), "`/dev/zero` is larger than 4194304 bytes");
        let error = Config::load(Some(folder.path())).unwrap_err();
        assert!(error.to_string().starts_with("cannot read"), "{error}");
        assert!(error.hint().is_none());
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = "[listener.a]\nlisten = ['unix:a.sock']\nbackend = 'b'\n\
                    [backend.b]\nendpoints = ['unix:run/b.sock', 'unix:/run/c.sock']\n";
        std::fs::write(&path, text).unwrap();
        let config = Config::load(Some(&path)).unwrap();
        assert_eq!(config.certificates.paths, [folder.path().join("certs.d")]);
        let listen = format!("unix:{}", folder.path().join("a.sock").display());
        assert_eq!(config.listeners[0].addresses[0].to_string(), listen);
        let endpoint = format!("unix:{}", folder.path().join("run/b.sock").display());
        assert_eq!(config.backends[0].endpoints[0].name.to_string(), endpoint);
        assert_eq!(config.backends[0].endpoints[1].name.to_string(), "unix:/run/c.sock");
    }

    #[test]
    fn the_open_files_of_this_process_are_known() {
        assert!(open_files() >= 16);
    }
}
