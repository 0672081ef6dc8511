//! What the development authority issues, judged by OpenSSL.

#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use portunus_certs::{DevelopmentCa, IssueError, KeyChoice};
use rustls::pki_types::UnixTime;

fn openssl(folder: &Path, arguments: &str) -> String {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn openssl_accepts_every_kind_of_name_and_of_key() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let now = UnixTime::now();
    let authority = DevelopmentCa::load_or_create(dir, now).unwrap();
    let names = ["localhost", "*.app.example", "127.0.0.1", "::1", "UPPER.example."];
    let (chain, key) = authority.issue(&names, now).unwrap().write(dir, "site").unwrap();
    assert_eq!((mode(&chain), mode(&key), mode(&dir.join("ca.key"))), (0o644, 0o600, 0o600));
    for check in [
        "-verify_hostname localhost",
        "-verify_hostname a.app.example",
        "-verify_hostname upper.example",
        "-verify_ip 127.0.0.1",
        "-verify_ip ::1",
    ] {
        openssl(
            dir,
            &format!("verify -x509_strict -purpose sslserver -CAfile ca.pem {check} site.pem"),
        );
    }
    let text = openssl(dir, "x509 -in site.pem -noout -text");
    for part in ["Authority Key Identifier", "TLS Web Server Authentication", "DNS:localhost"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let seconds = i64::try_from(now.as_secs()).unwrap();
    for kind in [KeyChoice::EcdsaP384, KeyChoice::Ed25519, KeyChoice::Rsa2048] {
        let issued =
            authority.issue_with(&["x.example"], kind, seconds - 60, seconds + 60).unwrap();
        issued.write(dir, "other").unwrap();
        openssl(dir, "verify -x509_strict -purpose sslserver -CAfile ca.pem other.pem");
        // OpenSSL 3.0 cannot read the newer form of PKCS#8 that Ed25519 keys come in.
        if kind != KeyChoice::Ed25519 {
            openssl(dir, "pkey -in other.key -noout -check");
        }
    }
    authority.issue_client("somebody", now).unwrap().write(dir, "client").unwrap();
    openssl(dir, "verify -x509_strict -purpose sslclient -CAfile ca.pem client.pem");
    let left_behind = fs::read_dir(dir).unwrap().flatten();
    let left_behind = left_behind.filter(|e| e.file_name().as_encoded_bytes().starts_with(b"."));
    assert_eq!(left_behind.count(), 0);
}

#[test]
fn an_authority_is_made_once_and_never_by_half() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("made");
    let first = DevelopmentCa::load_or_create(&dir, UnixTime::now()).unwrap();
    let again = DevelopmentCa::load_or_create(&dir, UnixTime::now()).unwrap();
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    again.issue(&["localhost"], UnixTime::now()).unwrap().write(&dir, "site").unwrap();
    openssl(&dir, "verify -x509_strict -CAfile ca.pem site.pem");
    fs::remove_file(dir.join("ca.key")).unwrap();
    let half = DevelopmentCa::load_or_create(&dir, UnixTime::now()).unwrap_err();
    assert!(
        matches!(half, IssueError::HalfAuthority { missing, .. } if missing.ends_with("ca.key"))
    );
}

#[test]
fn what_cannot_be_issued_is_refused() {
    let authority = DevelopmentCa::new(UnixTime::now()).unwrap();
    assert!(matches!(authority.issue(&[], UnixTime::now()), Err(IssueError::NoNames)));
    let error = authority.issue(&["a", "b c"], UnixTime::now()).unwrap_err();
    assert_eq!(error.to_string(), "`b c` is no host name");
    let long = ["a".repeat(60), "b".repeat(60), "example".to_owned()].join(".");
    assert!(authority.issue(&[&long], UnixTime::now()).is_ok());
}

/// A folder in which `a.pem` and `a.key` are what the authority of `ca` issued.
fn issued(dir: &Path) -> DevelopmentCa {
    let authority = DevelopmentCa::load_or_create(&dir.join("ca"), UnixTime::now()).unwrap();
    authority.issue(&["a"], UnixTime::now()).unwrap().write(dir, "a").unwrap();
    authority
}

fn both(dir: &Path) -> [Option<String>; 2] {
    ["a.pem", "a.key"].map(|name| fs::read_to_string(dir.join(name)).ok())
}

#[test]
fn its_own_certificate_is_replaced_by_the_same_authority_and_by_it_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let fresh = issued(dir);
    for authority in
        [fresh, DevelopmentCa::load_or_create(&dir.join("ca"), UnixTime::now()).unwrap()]
    {
        let before = both(dir);
        authority.issue(&["b"], UnixTime::now()).unwrap().write(dir, "a").unwrap();
        assert_ne!(both(dir), before);
        openssl(dir, "verify -CAfile ca/ca.pem a.pem");
        // One half that is gone is no loss either, if it is the key.
        fs::remove_file(dir.join("a.key")).unwrap();
        authority.issue(&["b"], UnixTime::now()).unwrap().write(dir, "a").unwrap();
    }
}

#[test]
fn nothing_that_somebody_else_made_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let authority = issued(dir);
    let other = DevelopmentCa::new(UnixTime::now()).unwrap();
    let foreign = other.issue(&["a"], UnixTime::now()).unwrap();
    let own = both(dir).map(Option::unwrap);
    let ca = authority.certificate_pem();
    let with_key = format!("{}{}", own[0], own[1]);
    for (chain, key, named) in [
        (Some("precious"), Some("precious key"), "a.pem"),
        (Some(&*foreign.chain_pem), Some(&**foreign.key_pem), "a.pem"),
        (Some(&*foreign.chain_pem), None, "a.pem"),
        (Some(&*own[0]), Some(&**foreign.key_pem), "a.key"),
        (Some(&*own[0]), Some("precious key"), "a.key"),
        (Some(&*with_key), None, "a.pem"),
        (Some(ca), None, "a.pem"),
        (None, Some(&**foreign.key_pem), "a.key"),
        (None, Some(&*own[1]), "a.key"),
    ] {
        for (name, text) in [("a.pem", chain), ("a.key", key)] {
            let _ = fs::remove_file(dir.join(name));
            if let Some(text) = text {
                fs::write(dir.join(name), text).unwrap();
            }
        }
        let before = both(dir);
        let renewed = authority.issue(&["a"], UnixTime::now()).unwrap();
        let error = renewed.write(dir, "a").unwrap_err();
        assert!(matches!(&error, IssueError::Foreign { path } if *path == dir.join(named)));
        let way_out = "choose another folder, or remove the file";
        assert!(error.to_string().contains(way_out), "{error}");
        assert_eq!(both(dir), before);
    }
}

#[test]
fn a_damaged_authority_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let shown = dir.display().to_string();
    let other = folder.path().join("other");
    for made in [dir, &other] {
        DevelopmentCa::load_or_create(made, UnixTime::now()).unwrap();
    }
    let [pem, key] = ["ca.pem", "ca.key"].map(|name| fs::read_to_string(dir.join(name)).unwrap());
    let other_key = fs::read_to_string(other.join("ca.key")).unwrap();
    let way_out = "to have a new authority made";
    let unmatched = "is not the key of DIR/ca.pem; restore the right one, or remove both";
    for (name, text, said) in [
        ("ca.pem", "junk", "is damaged; restore it, or remove it and DIR/ca.key"),
        ("ca.key", "junk", "is damaged; restore it, or remove it and DIR/ca.pem"),
        ("ca.key", &other_key, unmatched),
    ] {
        fs::write(dir.join(name), text).unwrap();
        let error = DevelopmentCa::load_or_create(dir, UnixTime::now()).unwrap_err();
        let error = error.to_string().replace(&shown, "DIR");
        assert_eq!(error, format!("DIR/{name} {said} {way_out}"));
        fs::write(dir.join("ca.pem"), &pem).unwrap();
        fs::write(dir.join("ca.key"), &key).unwrap();
    }
    fs::remove_file(dir.join("ca.pem")).unwrap();
    let error = DevelopmentCa::load_or_create(dir, UnixTime::now()).unwrap_err();
    let said = "DIR/ca.pem is missing while DIR/ca.key is there; restore the one, or remove the \
                other to have a new authority made";
    assert_eq!(error.to_string().replace(&shown, "DIR"), said);
    // Made by hand: root, who runs many tests, is denied nothing.
    let denied = IssueError::File {
        path: "DIR/ca".into(),
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    let said = "cannot use DIR/ca; choose another folder, or change its owner or mode";
    assert_eq!(denied.to_string(), said);
}
