//! What the files of a configuration were when they were last looked at.
//!
//! Owns the comparison: of what is served, what the files hold; of a configuration that was
//! rejected, whether anybody touched what it refers to, since any of it may have been the reason.
//! Refuses to know what is in the files, and what follows from a difference.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};

use crate::config;

/// What files held when they were last read; nothing for one that could not be.
pub(super) type Contents = Vec<(PathBuf, Option<[u8; 32]>)>;

/// What the files at `paths` hold.
pub(super) fn contents(paths: Vec<PathBuf>) -> Contents {
    let contents = paths.into_iter().map(|path| {
        let digest = config::read_file(&path).ok().map(|text| {
            let mut sum = [0; 32];
            sum.copy_from_slice(digest::digest(&SHA256, text.as_bytes()).as_ref());
            sum
        });
        (path, digest)
    });
    contents.collect()
}

/// A file or folder, by what changes when anybody touches it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Trace {
    pub(super) path: PathBuf,
    /// Of it, and of what lies in it; nothing, if it is not there.
    marks: Vec<Mark>,
}

type Mark = (u64, u64, u64, [i64; 4]);

impl Trace {
    /// What is at `path` now.
    pub(super) fn of(path: &Path) -> Self {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().take(ENTRIES_MAX);
        let entries = entries.map(|entry| entry.path());
        let marks = [path.to_owned()].into_iter().chain(entries);
        let marks = marks.filter_map(|path| fs::metadata(path).ok()).map(|found| mark(&found));
        Self { path: path.to_owned(), marks: marks.collect() }
    }
}

fn mark(found: &Metadata) -> Mark {
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    (found.dev(), found.ino(), found.len(), times)
}

/// Of a folder with more, what comes and goes is noticed all the same.
const ENTRIES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_touches_a_file_leaves_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let both = || [Trace::of(&file), Trace::of(folder.path())];
        let nothing = both();
        assert_eq!(nothing, both());
        fs::write(&file, "one").unwrap();
        let one = both();
        assert!(one.iter().zip(&nothing).all(|(one, nothing)| one != nothing));
        assert_eq!(one, both());
        fs::write(&file, "another").unwrap();
        assert!(both().iter().zip(&one).all(|(now, one)| now != one));
    }
}
