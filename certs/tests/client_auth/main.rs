//! Who is let in as a client, who is not, and what damage to the files behind it may do.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed step is the failure of the test"
)]

mod authority;
mod files;
mod identity;
mod lists;
mod odd;
mod properties;
mod rejections;
mod reload;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::client_auth::{
    ChainBounds, ClientAuth, ClientAuthError, ClientAuthOptions, ClientTrust, CrlDepth, Demand,
    Rejection, TrustReport,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};

use authority::Authority;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// Days from the moment that the tests call now.
fn at(days: i64) -> UnixTime {
    at_second(NOW + days * DAY)
}

fn at_second(second: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(second).unwrap()))
}

/// A folder with the files of one policy.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("clients").tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// The policy of `ca.pem` and of the lists that are named.
    fn options(&self, crls: &[&str]) -> ClientAuthOptions {
        ClientAuthOptions {
            demand: Demand::Require,
            ca: self.path("ca.pem"),
            crls: crls.iter().map(|name| self.path(name)).collect(),
            crl_depth: CrlDepth::Chain,
            bounds: ChainBounds { certificates_max: 8, bytes_max: 32 << 10 },
            provider: Arc::new(aws_lc_rs::default_provider()),
        }
    }

    fn open(&self, crls: &[&str]) -> (ClientAuth, TrustReport) {
        ClientAuth::open(self.options(crls), at(0)).unwrap()
    }

    fn refusal(&self, crls: &[&str]) -> String {
        let error = ClientAuth::open(self.options(crls), at(0)).unwrap_err();
        sentence(&error, self.dir.path())
    }
}

/// A trust in these authorities and these lists.
fn trust(authorities: &[&Authority], crls: &[Vec<u8>]) -> Arc<ClientTrust> {
    trust_with(authorities, crls, |_| {})
}

fn trust_with(
    authorities: &[&Authority],
    crls: &[Vec<u8>],
    change: impl FnOnce(&mut ClientAuthOptions),
) -> Arc<ClientTrust> {
    let folder = Folder::new();
    folder.write("ca.pem", bundle(authorities));
    let names: Vec<_> = (0..crls.len()).map(|index| format!("{index}.crl")).collect();
    names.iter().zip(crls).for_each(|(name, crl)| folder.write(name, crl));
    let mut options = folder.options(&names.iter().map(String::as_str).collect::<Vec<_>>());
    change(&mut options);
    ClientAuth::open(options, at(0)).unwrap().0.load()
}

fn bundle(authorities: &[&Authority]) -> String {
    authorities.iter().map(|authority| authority.pem.as_str()).collect()
}

/// What the verifier makes of a chain, leaf first, at a moment.
fn verdict(
    trust: &ClientTrust,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let (leaf, intermediates) = chain.split_first().unwrap();
    trust.verifier().verify_client_cert(leaf, intermediates, now).map(drop)
}

fn rejection(trust: &ClientTrust, chain: &[CertificateDer<'_>]) -> Option<Rejection> {
    let error = verdict(trust, chain, at(0)).err()?;
    Some(Rejection::of(&error).unwrap())
}

/// An error with its causes, as an operator sees it.
fn sentence(error: &ClientAuthError, folder: &Path) -> String {
    let mut sentence = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        sentence = format!("{sentence}: {error}");
        cause = error.source();
    }
    sentence.replace(&folder.display().to_string(), "F")
}

/// PEM of bytes that need not be what the label says.
fn pem(label: &str, der: &[u8]) -> String {
    let text = authority::openssl(&["base64"], der);
    format!("-----BEGIN {label}-----\n{text}-----END {label}-----\n")
}
