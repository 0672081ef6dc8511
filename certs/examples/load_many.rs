//! How long many certificates take to load, and what a look-up among them costs.
//!
//! `cargo run --release -p portunus-certs --example load_many -- 100000`

#![expect(clippy::print_stdout, reason = "an example prints what it measures")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Instant;

use portunus_certs::{CertificateStore, DevelopmentCa, HostName, Offer, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::{CipherSuite, SignatureScheme};

#[expect(clippy::disallowed_methods, reason = "an example that measures")]
fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let now = UnixTime::now();
    let authority = DevelopmentCa::new(now)?;
    for number in 0..count {
        let issued = authority.issue(&[&format!("host{number}.example")], now)?;
        let text = format!("{}{}", issued.chain_pem, *issued.key_pem);
        let path = folder.path().join(format!("host{number}.pem"));
        fs::write(&path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }

    let before = resident_kib();
    let options = StoreOptions {
        paths: vec![folder.path().to_path_buf()],
        strict_permissions: false,
        provider: Arc::new(aws_lc_rs::default_provider()),
    };
    let start = Instant::now();
    let (store, report) = CertificateStore::open(options, now);
    println!("open: {report} in {:?}", start.elapsed());
    println!("memory: {} MiB", resident_kib().saturating_sub(before) / 1024);
    let start = Instant::now();
    let report = store.reload(now);
    println!("reload of the same: {report} in {:?}", start.elapsed());
    println!("memory: {} MiB", resident_kib().saturating_sub(before) / 1024);

    let offer = Offer {
        signature_schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256],
        cipher_suites: &[CipherSuite::TLS13_AES_128_GCM_SHA256],
    };
    let index = store.load();
    let names: Vec<_> = (0..count)
        .map(|number| HostName::parse(&format!("host{}.example", number * 7919 % count)))
        .collect::<Result<_, _>>()?;
    let start = Instant::now();
    for name in &names {
        black_box(index.select(Some(name), &offer).ok_or("not found")?);
    }
    println!("select: {:?} each", start.elapsed() / u32::try_from(count)?);
    Ok(())
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
