//! What the first reading of a bundle takes, and what it says of one that it does not take.

use std::fs;
use std::process::Command;

use portunus_certs::client_auth::{ClientAuth, ClientAuthError, check_bundle};
use rcgen::{IsCa, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;

use super::authority::{Authority, openssl, valid};
use super::{Folder, at, bundle, pem, rejection, trust};

#[test]
fn a_bundle_that_is_not_good_refuses_to_open_and_says_why() {
    let root = Authority::root("root");
    let leaf = root.client(1);
    let key = root.issuer.key().serialize_pem();
    let half = &root.pem[..root.pem.len() / 2];
    let crl = pem("X509 CRL", &root.crl(&[]));
    let after_root = |text: &str| format!("{}{text}", root.pem).into_bytes();
    let garbage = pem("CERTIFICATE", b"garbage");
    let signer = Authority::root_with("signer", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let cases = [
        (Vec::new(), "is empty"),
        (b"no PEM at all".to_vec(), "holds no certificate in PEM; put the certificates"),
        (crl.clone().into_bytes(), "line 1: a revocation list stands there, where it would have"),
        (after_root(&crl), "a revocation list stands there"),
        (half.as_bytes().to_vec(), "line 1: the section `CERTIFICATE` has no end"),
        (after_root(half), "the section `CERTIFICATE` has no end"),
        (root.der.to_vec(), "is DER, not PEM; convert it with `openssl x509 -inform der`"),
        (after_root(&garbage), "the certificate cannot be read: the bytes between BEGIN and END"),
        (after_root(&key), "a private key stands there, which is neither needed nor safe"),
        (
            after_root(&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
            "a private key stands there",
        ),
        (after_root(&pem("CERTIFICATE", &leaf)), "of CN=client is no authority, since it does not"),
        (
            signer.pem.into_bytes(),
            "line 1: the certificate of CN=signer is no authority, since its",
        ),
        (b"\xff\xfe-\0-\0".to_vec(), "is UTF-16"),
        (vec![b' '; (8 << 20) + 1], "has 8388609 bytes; 8388608 is the most"),
    ];
    for (bytes, expected) in cases {
        let folder = Folder::new();
        folder.write("ca.pem", bytes);
        let refusal = folder.refusal(&[]);
        let start = "F/ca.pem: the authorities of clients cannot be taken from it: ";
        assert!(refusal.starts_with(start), "{refusal}");
        assert!(refusal.contains(expected), "{refusal}\nshould say: {expected}");
    }
}

#[test]
fn a_bundle_that_is_no_file_refuses_to_open_and_does_not_wait() {
    let folder = Folder::new();
    assert!(folder.refusal(&[]).contains("does not exist; create it, or correct the path"));
    fs::create_dir(folder.path("ca.pem")).unwrap();
    assert!(folder.refusal(&[]).contains("is not a regular file"));
    fs::remove_dir(folder.path("ca.pem")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path("ca.pem")).status().unwrap().success());
    assert!(folder.refusal(&[]).contains("is not a regular file"));
    folder.remove("ca.pem");
    std::os::unix::fs::symlink(folder.path("nowhere"), folder.path("ca.pem")).unwrap();
    assert!(folder.refusal(&[]).contains("does not exist"));

    let mut options = folder.options(&[]);
    folder.write("file", "");
    options.ca = folder.path("file").join("ca.pem");
    let error = ClientAuth::open(options, at(0)).unwrap_err();
    assert_eq!(error.path(), folder.path("file").join("ca.pem"));
    assert!(matches!(error, ClientAuthError::Bundle { .. }));
}

/// The kind of certificate that `openssl x509 -req` makes where nobody says otherwise.
#[test]
fn a_certificate_of_version_1_is_no_authority() {
    let folder = Folder::new();
    let key = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
    folder.write("key.pem", &key);
    let key_path = folder.path("key.pem");
    let key_path = key_path.to_str().unwrap();
    let request = openssl(&["req", "-new", "-key", key_path, "-subj", "/CN=old"], b"");
    let old = openssl(&["x509", "-req", "-signkey", key_path], request.as_bytes());
    assert!(openssl(&["x509", "-noout", "-text"], old.as_bytes()).contains("Version: 1"));
    folder.write("ca.pem", old);
    let refusal = folder.refusal(&[]);
    assert!(refusal.contains("CN=old is no authority, since its version, older than 3"));
}

#[test]
fn roots_of_openssl_are_authorities_unless_their_keys_are_of_no_use_here() {
    let folder = Folder::new();
    folder.write("openssl.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
    let config = folder.path("openssl.cnf");
    let config = config.to_str().unwrap();
    let root = |key: &[&str]| {
        let extension = "basicConstraints=critical,CA:TRUE";
        let request = ["req", "-x509", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=theirs"];
        let rest = ["-config", config, "-addext", extension, "-newkey"];
        openssl(&[&request[..], &rest[..], key].concat(), b"")
    };
    let curve = |name: &str| root(&["ec", "-pkeyopt", &format!("ec_paramgen_curve:{name}")]);
    for good in [root(&["rsa:2048"]), curve("P-256"), curve("P-384"), root(&["ed25519"])] {
        folder.write("ca.pem", good);
        assert_eq!(&*folder.open(&[]).0.load().authorities()[0].subject, "CN=theirs");
    }
    folder.write("ca.pem", curve("secp256k1"));
    let refusal = folder.refusal(&[]);
    assert!(refusal.contains("nothing can be verified here with a key of its kind"), "{refusal}");
}

#[test]
fn a_root_whose_own_signature_does_not_fit_is_damaged() {
    let (root, namesake) = (Authority::root("root"), Authority::root("root"));
    let folder = Folder::new();
    // The name of one, the key of the other, the signature of the first.
    let key = namesake.issuer.key();
    let public_key = rcgen::PublicKeyData::subject_public_key_info(key);
    let theirs = rcgen::PublicKeyData::subject_public_key_info(root.issuer.key());
    let at_byte = root.der.windows(theirs.len()).position(|part| part == theirs).unwrap();
    let mut forged = root.der.to_vec();
    forged[at_byte..at_byte + public_key.len()].copy_from_slice(&public_key);
    folder.write("ca.pem", pem("CERTIFICATE", &forged));
    let refusal = folder.refusal(&[]);
    assert!(refusal.contains("does not bear the signature of CN=root that it claims"), "{refusal}");
}

#[test]
fn what_stands_around_certificates_and_line_ends_do_not_matter() {
    let root = Authority::root("root");
    let folder = Folder::new();
    let text = format!("\u{feff}Our root:\n\n{}\nthe end\n", root.pem).replace('\n', "\r\n");
    folder.write("ca.pem", text);
    let (auth, report) = folder.open(&[]);
    assert!(report.warnings.is_empty());
    assert_eq!(auth.load().digest(), trust(&[&root], &[]).digest());
}

#[test]
fn an_intermediate_may_be_an_authority_without_its_root() {
    let intermediate = Authority::root("root").intermediate("intermediate", 2);
    let trust = trust(&[&intermediate], &[]);
    assert_eq!(rejection(&trust, &[intermediate.client(1)]), None);
}

#[test]
fn a_certificate_that_stands_there_twice_counts_once_and_is_warned_of() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let folder = Folder::new();
    folder.write("ca.pem", bundle(&[&root, &other, &root]));
    let (auth, report) = folder.open(&[]);
    assert_eq!(auth.load().authorities().len(), 2);
    assert_eq!(report.warnings.len(), 1);
    assert!(report.warnings[0].ends_with("1 of the certificates stand there more than once"));
    assert_eq!(auth.load().digest(), trust(&[&other, &root], &[]).digest());
}

#[test]
fn authorities_near_their_end_are_warned_of_and_still_vouch() {
    let root = |from, to| Authority::root_with("root", |params| valid(params, from, to));
    let provider = aws_lc_rs::default_provider();
    for (from, to, expected) in [
        (-70, 30, None),
        (-80, 20, Some("the authority CN=root expires on ")),
        (-100, -1, Some("the authority CN=root has expired on ")),
        (1, 100, Some("the authority CN=root is not valid before ")),
    ] {
        let root = root(from, to);
        assert_eq!(check_bundle(root.pem.as_bytes(), &provider).unwrap(), 1);
        let folder = Folder::new();
        folder.write("ca.pem", &root.pem);
        let (auth, report) = folder.open(&[]);
        assert_eq!(report.warnings.len(), usize::from(expected.is_some()), "{from} to {to}");
        let warned = report.warnings.iter().zip(expected);
        assert!(warned.into_iter().all(|(line, expected)| line.contains(expected)));
        assert_eq!(rejection(&auth.load(), &[root.client(1)]), None);
    }
}

#[test]
fn more_authorities_than_the_bound_are_refused() {
    let root = Authority::root("root");
    let provider = aws_lc_rs::default_provider();
    // One that stands there often is one; the bound is on those that differ.
    let many = root.pem.repeat(5000);
    assert_eq!(check_bundle(many.as_bytes(), &provider).unwrap(), 1);
    let params = |index: usize| {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.serial_number = Some(rcgen::SerialNumber::from(index as u64));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{index}"));
        params
    };
    // Signed by one, so that making them is quick.
    let make = |count: usize| -> String {
        let signed = |index| params(index).signed_by(root.issuer.key(), &root.issuer).unwrap();
        (0..count).map(|index| signed(index).pem()).collect()
    };
    let refusal = check_bundle(make(4097).as_bytes(), &provider).unwrap_err().to_string();
    assert!(refusal.starts_with("holds more than 4096 authorities"), "{refusal}");
}
