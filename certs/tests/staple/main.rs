//! What the store makes of OCSP staples, which a real `openssl ocsp` signs.
//!
//! Owns the authority that answers. `answers` is about which staple is sent for whom, `damage`
//! about staples that cannot be used, `change` about files that come, go and change.

#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

mod answers;
mod change;
mod damage;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::{CertificateStore, Credential, ReloadReport, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

const DAY: i64 = 86_400;
/// How long a staple is good if nothing else is asked for.
const DAYS: i64 = 7;

fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap()
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
}

/// An authority with what it has issued, and beside it the folder that the store watches.
struct Authority {
    dir: tempfile::TempDir,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("ocsp").tempdir().unwrap();
        fs::create_dir(dir.path().join("certs.d")).unwrap();
        let authority = Self { dir, provider: Arc::new(aws_lc_rs::default_provider()) };
        authority.root("ca");
        authority
    }

    /// A root with the one name that all of them have.
    fn root(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 {EC} -noenc -days 90 -subj /CN=root -keyout {name}.key -out {name}.pem \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign"
        ));
    }

    /// A certificate of `issuer`; with what else stands in it.
    fn issue(&self, issuer: &str, name: &str, serial: u32, extensions: &str) {
        self.openssl(&format!(
            "req -new {EC} -noenc -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        fs::write(self.path("ext"), format!("subjectAltName=DNS:{name}\n{extensions}")).unwrap();
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -days 60 \
             -set_serial {serial} -extfile ext -out {name}.pem"
        ));
    }

    /// Issues and installs a certificate, with its root behind it.
    fn serve(&self, name: &str, serial: u32, extensions: &str) {
        self.issue("ca", name, serial, extensions);
        self.install(name);
    }

    fn install(&self, name: &str) {
        let read = |file: &str| fs::read_to_string(self.path(file)).unwrap();
        let pem = ["key", "pem"].map(|end| read(&format!("{name}.{end}"))).concat();
        self.write(&format!("{name}.pem"), pem + &read("ca.pem"));
    }

    /// Writes into the folder that the store watches.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path("certs.d").join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn remove_if_there(&self, name: &str) {
        let _ = fs::remove_file(self.path("certs.d").join(name));
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path("certs.d").join(name)).unwrap();
    }

    /// What the authority says of `name` when `index` is what it knows.
    fn answer(&self, name: &str, index: &str) -> Vec<u8> {
        self.sign(index, &format!("-issuer ca.pem -cert {name}.pem"), "ca", "-ndays 7")
    }

    /// A response to `question`, signed by `signer`.
    fn sign(&self, index: &str, question: &str, signer: &str, options: &str) -> Vec<u8> {
        fs::write(self.path("index.txt"), index).unwrap();
        self.openssl(&format!(
            "ocsp -index index.txt -CA ca.pem -rsigner {signer}.pem -rkey {signer}.key \
             {question} -no_nonce -respout response {options}"
        ));
        fs::read(self.path("response")).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {said}");
    }

    fn open(&self) -> (CertificateStore, ReloadReport) {
        let options = StoreOptions {
            paths: vec![self.path("certs.d")],
            strict_permissions: true,
            provider: Arc::clone(&self.provider),
        };
        CertificateStore::open(options, at(now()))
    }

    /// What a report says, without the folder.
    fn said(&self, report: &ReloadReport) -> Vec<String> {
        let folder = format!("{}/", self.path("certs.d").display());
        let lines = report.lines().map(|line| line.replace(&folder, ""));
        lines.map(|line| line.replace(folder.trim_end_matches('/'), "certs.d")).collect()
    }
}

/// A line of the index: the certificate of this serial is good.
fn good(serial: u32) -> String {
    format!("V\t400101000000Z\t\t{serial:04X}\tunknown\t/CN={serial}\n")
}

fn revoked(serial: u32) -> String {
    format!("R\t400101000000Z\t260101000000Z\t{serial:04X}\tunknown\t/CN={serial}\n")
}

fn credential(store: &CertificateStore, name: &str) -> Arc<Credential> {
    let index = store.load();
    let found = index.credentials().find(|c| c.names().iter().any(|n| n.to_string() == name));
    Arc::clone(found.unwrap())
}

/// What a client that comes at `now` gets stapled.
fn sent(store: &CertificateStore, name: &str, now: i64) -> Option<Vec<u8>> {
    credential(store, name).key_at(now).ocsp.clone()
}

fn folder_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
