//! A process and those that it hands over to: whoever runs with one configuration.
//!
//! Owns the folder, by which they are known, and their end: a test that is over leaves none behind.
//! Refuses to know which of them serves.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Everybody who runs with the configuration in a folder.
#[derive(Debug)]
pub(super) struct Kin {
    /// `None` once it was taken out.
    folder: Option<TempDir>,
}

impl Kin {
    pub(super) fn of(folder: TempDir) -> Self {
        Self { folder: Some(folder) }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it was not taken out").path()
    }

    /// Who is alive and serves or drains, the oldest first: not who only waits for orders to start
    /// another one.
    pub(super) fn generations(&self) -> Vec<u32> {
        let runs = |&id: &u32| words(id).get(1).is_some_and(|word| word == "run");
        self.alive().into_iter().filter(runs).collect()
    }

    /// Who is alive, the oldest first.
    fn alive(&self) -> Vec<u32> {
        let mut found: Vec<_> = fs::read_dir("/proc")
            .expect("this is Linux")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((started(id)?, id)))
            .filter(|&(_, id)| self.is_ours(id))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Ends everybody, and gives the folder back.
    pub(super) fn disband(mut self) -> TempDir {
        self.end();
        self.folder.take().expect("it was not taken out")
    }

    fn is_ours(&self, id: u32) -> bool {
        let words = words(id);
        let runs = words.iter().any(|word| word == "run");
        runs && words.iter().any(|word| Path::new(word).starts_with(self.folder()))
    }

    fn end(&self) {
        for id in self.alive() {
            // It may have ended by itself meanwhile.
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {id} 2>&1")]).output();
        }
    }
}

impl Drop for Kin {
    fn drop(&mut self) {
        if self.folder.is_some() {
            self.end();
        }
    }
}

/// What a process was started with.
fn words(id: u32) -> Vec<OsString> {
    let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    command.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

/// When a process was started, in ticks since the machine was; `None` if it runs no more.
fn started(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program stands in brackets and may have any bytes.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18)?.parse().ok())?
}
