//! What a second reading changes, and what it may never change.

use std::fs;
use std::process::Command;

use portunus_certs::client_auth::{ClientAuth, Rejection, TrustReport};

use super::authority::{Authority, valid_list};
use super::{Folder, at, bundle, pem, rejection, sentence};

fn failures(folder: &Folder, report: &TrustReport) -> Vec<String> {
    report.failures.iter().map(|error| sentence(error, folder.dir.path())).collect()
}

/// A policy of one authority and one list, open, with somebody for each answer.
struct Scene {
    folder: Folder,
    root: Authority,
    auth: ClientAuth,
}

impl Scene {
    fn new() -> Self {
        let (folder, root) = (Folder::new(), Authority::root("root"));
        folder.write("ca.pem", &root.pem);
        folder.write("root.crl", root.crl(&[13]));
        let (auth, report) = folder.open(&["root.crl"]);
        assert!(report.changed && report.news && report.failures.is_empty());
        Self { folder, root, auth }
    }

    /// The last good stays as it was: the same answers, and nobody anonymous.
    fn assert_as_before(&self) {
        let trust = self.auth.load();
        let stranger = Authority::root("root").client(1);
        assert!(trust.verifier().offer_client_auth() && trust.verifier().client_auth_mandatory());
        assert_eq!(rejection(&trust, &[self.root.client(1)]), None);
        assert_eq!(rejection(&trust, &[self.root.client(13)]), Some(Rejection::Revoked));
        assert_eq!(rejection(&trust, &[stranger]), Some(Rejection::Signature));
        assert_eq!(trust.authorities().len(), 1);
    }
}

#[test]
fn nothing_to_tell_where_nothing_changed() {
    let scene = Scene::new();
    let (before, digest) = (scene.auth.load(), *scene.auth.load().digest());
    for _ in 0..3 {
        let report = scene.auth.reload(at(0));
        assert!(!report.changed && !report.news && report.failures.is_empty());
    }
    // Written anew with the same content, by another name first, as careful programs write.
    scene.folder.write("new", &scene.root.pem);
    fs::rename(scene.folder.path("new"), scene.folder.path("ca.pem")).unwrap();
    let report = scene.auth.reload(at(0));
    assert!(!report.changed && !report.news);
    assert_eq!(before.digest(), &digest);
    assert_eq!(scene.auth.load().digest(), &digest);
}

#[test]
fn another_bundle_takes_effect_as_a_whole() {
    let scene = Scene::new();
    let other = Authority::root("other");
    scene.folder.write("ca.pem", &other.pem);
    scene.folder.write("root.crl", other.crl(&[]));
    let before = scene.auth.load();
    let report = scene.auth.reload(at(0));
    assert!(report.changed && report.news && report.failures.is_empty());
    let trust = scene.auth.load();
    assert_ne!(trust.digest(), before.digest());
    assert_eq!(rejection(&trust, &[other.client(1)]), None);
    assert_eq!(rejection(&trust, &[scene.root.client(1)]), Some(Rejection::UnknownIssuer));
    // Whoever took the trust before keeps it.
    assert_eq!(rejection(&before, &[scene.root.client(1)]), None);
}

#[test]
fn whatever_happens_to_the_bundle_the_last_good_stays() {
    let scene = Scene::new();
    let (good, root) = (&scene.folder, &scene.root);
    let key = root.issuer.key().serialize_pem();
    let cases: [(&str, Vec<u8>); 8] = [
        ("is empty", Vec::new()),
        ("has no end", root.pem.as_bytes()[..root.pem.len() / 2].to_vec()),
        ("holds no certificate", b"# nothing".to_vec()),
        ("is DER", root.der.to_vec()),
        ("a private key", format!("{}{key}", root.pem).into_bytes()),
        ("no authority", pem("CERTIFICATE", &root.client(1)).into_bytes()),
        ("cannot be read", pem("CERTIFICATE", b"garbage").into_bytes()),
        ("is UTF-16", b"\xff\xfe".to_vec()),
    ];
    for (expected, bytes) in cases {
        good.write("ca.pem", bytes);
        let report = scene.auth.reload(at(0));
        assert!(!report.changed && report.news, "{expected}");
        let said = failures(good, &report);
        assert!(said.len() == 1 && said[0].contains(expected), "{said:?}");
        scene.assert_as_before();
        // It is said once.
        let again = scene.auth.reload(at(0));
        assert!(!again.news && failures(good, &again) == said);
    }
    good.write("ca.pem", &root.pem);
    let report = scene.auth.reload(at(0));
    assert!(!report.changed && report.news && report.failures.is_empty());
}

#[test]
fn a_bundle_that_is_gone_or_no_file_leaves_the_last_good() {
    let scene = Scene::new();
    let path = scene.folder.path("ca.pem");
    fs::remove_file(&path).unwrap();
    assert!(failures(&scene.folder, &scene.auth.reload(at(0)))[0].contains("does not exist"));
    scene.assert_as_before();
    fs::create_dir(&path).unwrap();
    assert!(failures(&scene.folder, &scene.auth.reload(at(0)))[0].contains("not a regular file"));
    scene.assert_as_before();
    fs::remove_dir(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(failures(&scene.folder, &scene.auth.reload(at(0)))[0].contains("not a regular file"));
    scene.assert_as_before();
}

#[test]
fn whatever_happens_to_a_list_the_last_good_stays() {
    let scene = Scene::new();
    let root = &scene.root;
    let good = root.crl(&[13]);
    let mut flipped = good.clone();
    let middle = flipped.len() - 5;
    flipped[middle] ^= 1;
    let foreign = Authority::root("root").crl(&[]);
    let cases: [(&str, Vec<u8>); 7] = [
        ("is empty", Vec::new()),
        ("no revocation list, or not all of one", good[..good.len() / 2].to_vec()),
        ("holds no revocation list", b"# nothing".to_vec()),
        ("holds no revocation list", root.pem.clone().into_bytes()),
        ("line 1: the bytes are no", pem("X509 CRL", b"garbage").into_bytes()),
        ("does not bear the signature", flipped),
        ("does not bear the signature", foreign),
    ];
    for (expected, bytes) in cases {
        scene.folder.write("root.crl", bytes);
        let report = scene.auth.reload(at(0));
        let said = failures(&scene.folder, &report);
        assert!(!report.changed && said.len() == 1 && said[0].contains(expected), "{said:?}");
        scene.assert_as_before();
    }
    scene.folder.remove("root.crl");
    assert!(failures(&scene.folder, &scene.auth.reload(at(0)))[0].contains("does not exist"));
    scene.assert_as_before();
}

#[test]
fn a_good_list_takes_effect_beside_a_bad_bundle() {
    let scene = Scene::new();
    scene.folder.write("ca.pem", "damaged");
    let newer = scene.root.crl_with(&[13, 14], |params| params.crl_number = 8_u64.into());
    scene.folder.write("root.crl", newer);
    let report = scene.auth.reload(at(0));
    assert!(report.changed && report.failures.len() == 1);
    let trust = scene.auth.load();
    assert_eq!(rejection(&trust, &[scene.root.client(14)]), Some(Rejection::Revoked));
    assert_eq!(rejection(&trust, &[scene.root.client(1)]), None);
}

#[test]
fn a_good_bundle_takes_effect_beside_a_bad_list_and_lets_nobody_in_unchecked() {
    let scene = Scene::new();
    let other = Authority::root("other");
    scene.folder.write("ca.pem", bundle(&[&scene.root, &other]));
    scene.folder.write("root.crl", "damaged");
    let report = scene.auth.reload(at(0));
    assert!(report.changed && report.failures.len() == 1);
    let trust = scene.auth.load();
    assert_eq!(rejection(&trust, &[scene.root.client(13)]), Some(Rejection::Revoked));
    assert_eq!(rejection(&trust, &[other.client(1)]), Some(Rejection::UnknownRevocation));
}

#[test]
fn every_bad_file_is_named() {
    let scene = Scene::new();
    scene.folder.write("ca.pem", "");
    scene.folder.write("root.crl", "");
    let report = scene.auth.reload(at(0));
    let paths: Vec<_> = report.failures.iter().map(|error| error.path().to_path_buf()).collect();
    assert_eq!(paths, scene.auth.paths().collect::<Vec<_>>());
}

#[test]
fn a_list_that_goes_backwards_is_not_taken() {
    let scene = Scene::new();
    let number = |number: u64, from: i64| {
        scene.root.crl_with(&[], |params| {
            valid_list(params, from, 99);
            params.crl_number = number.into();
        })
    };
    for older in [number(6, -1), number(7, -2), number(6, 0), number(8, -2)] {
        scene.folder.write("root.crl", older);
        let report = scene.auth.reload(at(0));
        let said = failures(&scene.folder, &report);
        assert!(!report.changed && said[0].contains("older than the one in use, which stays"));
        scene.assert_as_before();
    }
    // Numbers are not compared as text, nor cut off at 64 bits.
    let long = scene.root.crl_with(&[], |params| params.crl_number = vec![1; 20].into());
    scene.folder.write("root.crl", long);
    assert!(scene.auth.reload(at(0)).changed);
    scene.folder.write("root.crl", number(9, -1));
    assert!(!scene.auth.reload(at(0)).changed);
    assert_eq!(rejection(&scene.auth.load(), &[scene.root.client(13)]), None);
}

#[test]
fn older_lists_may_stand_beside_the_newest() {
    let scene = Scene::new();
    let older = scene.root.crl_with(&[], |params| valid_list(params, -9, 9));
    let newer = scene.root.crl_with(&[13, 14], |params| params.crl_number = 8_u64.into());
    let both = format!("{}{}", pem("X509 CRL", &older), pem("X509 CRL", &newer));
    scene.folder.write("root.crl", both);
    assert!(scene.auth.reload(at(0)).changed);
    let trust = scene.auth.load();
    assert_eq!(rejection(&trust, &[scene.root.client(14)]), Some(Rejection::Revoked));
}

#[test]
fn a_change_of_key_heals_in_whatever_order_the_files_come() {
    let rekeyed = Authority::root("root");
    for list_first in [true, false] {
        let scene = Scene::new();
        let bundle = || scene.folder.write("ca.pem", &rekeyed.pem);
        // A new key counts its lists from one.
        let list = || {
            let list = rekeyed.crl_with(&[13], |params| params.crl_number = 1_u64.into());
            scene.folder.write("root.crl", list);
        };
        if list_first {
            list()
        } else {
            bundle()
        }
        let report = scene.auth.reload(at(0));
        assert_eq!(report.failures.len(), usize::from(list_first));
        let client = [rekeyed.client(1)];
        let refused = rejection(&scene.auth.load(), &client).unwrap();
        let told = if list_first { Rejection::Signature } else { Rejection::UnknownRevocation };
        assert_eq!(refused, told);
        if list_first {
            bundle()
        } else {
            list()
        }
        let report = scene.auth.reload(at(0));
        assert!(report.failures.is_empty() && report.warnings.is_empty(), "{report:?}");
        assert_eq!(rejection(&scene.auth.load(), &client), None);
        let revoked = rejection(&scene.auth.load(), &[rekeyed.client(13)]);
        assert_eq!(revoked, Some(Rejection::Revoked));
    }
}
