//! What the store makes of the files that people and machines leave in a folder.

#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

mod formats;
mod layouts;
mod succession;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::{
    CertificateStore, ClientKind, DevelopmentCa, HostName, Issued, KeyChoice, ReloadReport,
    StoreOptions,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

const NOW: u64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn now() -> UnixTime {
    at(0)
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW + seconds))
}

struct Folder {
    dir: tempfile::TempDir,
    authority: DevelopmentCa,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("certs").tempdir().unwrap();
        Self { dir, authority: DevelopmentCa::new(now()).unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn issue(&self, name: &str) -> Issued {
        self.authority.issue(&[name], now()).unwrap()
    }

    /// Issues with dates in days from now.
    fn issue_for(&self, name: &str, key: KeyChoice, from: i64, to: i64) -> Issued {
        let now = i64::try_from(NOW).unwrap();
        self.authority.issue_with(&[name], key, now + from * DAY, now + to * DAY).unwrap()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    fn open(&self) -> (CertificateStore, ReloadReport) {
        CertificateStore::open(options(vec![self.path().to_path_buf()]), now())
    }
}

fn options(paths: Vec<PathBuf>) -> StoreOptions {
    let provider = Arc::new(aws_lc_rs::default_provider());
    StoreOptions { paths, strict_permissions: false, provider }
}

fn both(issued: &Issued) -> String {
    format!("{}{}", issued.chain_pem, *issued.key_pem)
}

/// File name and fingerprint of what a modern client gets.
fn served(store: &CertificateStore, name: &str) -> Option<(String, String)> {
    let name = HostName::parse(name).unwrap();
    let answers = store.load().explain(&name, now());
    let modern = answers.into_iter().find(|answer| answer.client == ClientKind::Modern);
    let credential = modern.unwrap().credential?;
    let file = credential.chain_path().file_name().unwrap().to_string_lossy().into_owned();
    Some((file, credential.fingerprint()))
}

fn file_for(store: &CertificateStore, name: &str) -> Option<String> {
    served(store, name).map(|(file, _)| file)
}

fn lines(report: &ReloadReport, folder: &Folder) -> Vec<String> {
    let prefix = folder.path().display().to_string();
    let public_key = |line: String| match line.split_once(" (public key ") {
        Some((words, _)) => words.to_owned(),
        None => line,
    };
    report.lines().map(|line| public_key(line.replace(&prefix, "certs.d"))).collect()
}
