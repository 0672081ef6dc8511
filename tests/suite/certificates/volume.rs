//! A secret as Kubernetes mounts it: links through `..data` to a folder for each generation.
//!
//! Owns the order in which the kubelet does things; refuses to know what is in the files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use portunus_tests::{Credential, write};

/// The folder of the mount.
pub(super) struct Volume {
    folder: tempfile::TempDir,
}

impl Volume {
    /// The first generation.
    pub(super) fn new(credential: &Credential) -> Self {
        let volume = Self { folder: tempfile::tempdir().unwrap() };
        volume.turn(1, credential);
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), volume.path().join(file)).unwrap();
        }
        volume
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The next generation: written aside, turned to by one renaming, and the one before removed.
    pub(super) fn turn(&self, generation: usize, credential: &Credential) {
        let folder = self.path();
        let name = |generation| format!("..2026_{generation}");
        write(&folder.join(name(generation)).join("tls.crt"), &credential.chain);
        write(&folder.join(name(generation)).join("tls.key"), &credential.key);
        symlink(name(generation), folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        if generation > 1 {
            fs::remove_dir_all(folder.join(name(generation - 1))).unwrap();
        }
    }
}
