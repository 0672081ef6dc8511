//! Files on disk: which of them count, their bytes, and whether they are still the same.
//!
//! Owns the listing of the configured paths, the bounded reading of one file, and [`Stamp`], by
//! which a file that nobody touched is recognised without being read. Refuses to know what is in
//! the files; that is [`super`].

use std::collections::HashSet;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::UnixTime;
use zeroize::Zeroizing;

use super::{LoadError, STAPLE_EXTENSION};

/// The files that the configured paths stand for, and the paths that could not be looked at.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Each once, in no particular order.
    pub(crate) files: HashSet<PathBuf>,
    /// Paths of the configuration that are missing or unreadable.
    pub(crate) unseen: Vec<(PathBuf, LoadError)>,
}

/// Lists `paths`: a named file always, with the staple beside it; of a folder the files whose
/// extension says certificate, key or staple. Names that start with a dot are left alone;
/// Kubernetes keeps its own state in such.
pub(crate) fn list(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => match folder(path) {
                Ok(files) => listing.files.extend(files),
                Err(error) => listing.unseen.push((path.clone(), error.into())),
            },
            Ok(_) => {
                listing.files.extend(staples_beside(path).into_iter().filter(|path| path.exists()));
                listing.files.insert(path.clone());
            }
            Err(error) => listing.unseen.push((path.clone(), fault(path, error))),
        }
    }
    listing
}

/// Whether [`list`] would find `path` if it is there.
pub(crate) fn is_listed(paths: &[PathBuf], path: &Path) -> bool {
    let in_folder = || {
        let parent = path.parent();
        let named = path.file_name().is_some_and(|name| is_ours(Path::new(name)));
        named && paths.iter().any(|root| Some(root.as_path()) == parent) && !path.is_dir()
    };
    paths.iter().any(|root| root == path) || in_folder()
}

/// Where the staple of a certificate that is named by its file may lie: `a.pem.ocsp`, `a.ocsp`.
fn staples_beside(path: &Path) -> [PathBuf; 2] {
    let mut appended = path.as_os_str().to_owned();
    appended.push(".");
    appended.push(STAPLE_EXTENSION);
    [appended.into(), path.with_extension(STAPLE_EXTENSION)]
}

fn folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if is_ours(Path::new(&entry.file_name())) && !is_folder(&entry) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Whether the name of a file in a folder says that it is for us.
fn is_ours(name: &Path) -> bool {
    let hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
    let extension = name.extension().map(|extension| extension.to_ascii_lowercase());
    !hidden && extension.is_some_and(|extension| EXTENSIONS.iter().any(|ours| extension == *ours))
}

/// What is not known to be a folder is read, so that a dangling link is reported.
fn is_folder(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_file() => false,
        Ok(kind) if kind.is_dir() => true,
        _ => fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()),
    }
}

/// The bytes of a file as they are on disk, wiped when dropped.
pub(crate) struct Contents {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Permission bits; zero where the platform has none.
    pub(crate) mode: u32,
    /// `None` if the file was so young that a further change could leave the stamp as it is.
    pub(crate) stamp: Option<Stamp>,
}

/// Reads a file of at most `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Contents, LoadError> {
    // A FIFO would block the opening for ever; a folder is no file either.
    let metadata = fs::metadata(path).map_err(|error| fault(path, error))?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile);
    }
    let too_large = |bytes: u64| LoadError::TooLarge { bytes, bytes_max };
    if metadata.len() > bytes_max {
        return Err(too_large(metadata.len()));
    }
    let file = File::open(path)?;
    // One allocation, with room to notice growth: a buffer that grows leaves copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large(bytes.len() as u64));
    }
    let stamp = Stamp::of(&metadata).filter(|stamp| stamp.is_old(UnixTime::now()));
    Ok(Contents { bytes, mode: mode(&metadata), stamp })
}

/// Why nothing is known of `path`. Of a link, what is missing is what it points to.
fn fault(path: &Path, error: io::Error) -> LoadError {
    match (error.kind(), fs::read_link(path)) {
        (io::ErrorKind::NotFound, Ok(target)) => LoadError::Dangling { target },
        _ => error.into(),
    }
}

/// What changes when a file is written, replaced or given to somebody else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Set by the kernel alone: no tool that preserves times can preserve this one.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file that `path` leads to now; `None` for what cannot be looked at, and
    /// where the platform has no such fields.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        Self::of(&fs::metadata(path).ok()?)
    }

    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    fn of(_metadata: &Metadata) -> Option<Self> {
        None
    }

    /// Kernels keep the time of a file in steps of some milliseconds: within one step a second
    /// change shows no more than the first.
    fn is_old(&self, now: UnixTime) -> bool {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        now.saturating_sub(self.changed.0) >= YOUNG_SECONDS
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_metadata: &Metadata) -> u32 {
    0
}

/// Of a folder, only these are read.
pub const EXTENSIONS: [&str; 6] = ["pem", "crt", "cer", "key", "cert", STAPLE_EXTENSION];
/// Above any step in which a file system counts time, FAT's two seconds included.
const YOUNG_SECONDS: i64 = 3;
