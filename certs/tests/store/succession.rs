//! When the new replaces the old, and when the old stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use portunus_certs::store::Look;
use portunus_certs::{CertificateStore, HostName, KeyChoice};

use super::{Folder, at, both, file_for, lines, now, options, served};

#[test]
fn the_same_state_again_changes_nothing() {
    let folder = Folder::new();
    folder.write("a.pem", both(&folder.issue("a")));
    folder.write("bad.pem", "bad");
    let (store, first) = folder.open();
    assert!(first.changed && first.news);
    let index = store.load();
    let again = store.reload(at(60));
    assert!(!again.changed && !again.news);
    assert!(Arc::ptr_eq(&index, &store.load()));
    folder.write("bad.pem", "bad in another way -----BEGIN\n");
    assert!(!store.reload(at(60)).changed);
    folder.write("b.pem", both(&folder.issue("b")));
    let added = store.reload(at(60));
    assert_eq!((added.changed, added.updated.len(), added.removed.len()), (true, 1, 0));
    // What did not change is the object that it was.
    let kept = index.credentials().next().unwrap();
    assert!(store.load().credentials().any(|credential| Arc::ptr_eq(credential, kept)));
}

#[test]
fn the_last_good_stays_until_the_new_is_good() {
    let folder = Folder::new();
    let (old, new) = (folder.issue("a"), folder.issue("a"));
    folder.write("a.pem", &old.chain_pem);
    folder.write("a.key", &*old.key_pem);
    let (store, _) = folder.open();
    let before = served(&store, "a");

    for broken in ["", "-----BEGIN CERTIFICATE-----\nMII", &*new.chain_pem] {
        folder.write("a.pem", broken);
        let report = store.reload(now());
        assert!(!report.changed && report.kept == 1 && !report.skipped.is_empty(), "{report:?}");
        assert_eq!(served(&store, "a"), before);
    }
    fs::set_permissions(folder.path().join("a.key"), fs::Permissions::from_mode(0o000)).unwrap();
    store.reload(now());
    assert_eq!(served(&store, "a"), before);
    folder.remove("a.key");
    folder.write("a.key", &*new.key_pem);
    let report = store.reload(now());
    assert_eq!((report.changed, report.kept, report.skipped.len()), (true, 0, 0));
    assert_ne!(served(&store, "a"), before);
}

#[test]
fn what_is_deleted_whole_goes_and_what_is_deleted_by_half_stays() {
    let folder = Folder::new();
    for name in ["a", "b", "c"] {
        let issued = folder.issue(name);
        folder.write(&format!("{name}.pem"), &issued.chain_pem);
        folder.write(&format!("{name}.key"), &*issued.key_pem);
    }
    let (store, _) = folder.open();
    folder.remove("a.pem");
    folder.remove("a.key");
    folder.remove("b.pem");
    folder.remove("c.key");
    let report = store.reload(now());
    assert_eq!((report.loaded, report.kept, report.removed.len()), (2, 2, 1), "{report:?}");
    assert_eq!(served(&store, "a"), None);
    assert!(served(&store, "b").is_some() && served(&store, "c").is_some());
    folder.remove("b.key");
    assert_eq!(store.reload(now()).loaded, 1);
    assert_eq!(served(&store, "b"), None);
}

#[test]
fn a_renamed_certificate_is_not_served_twice() {
    let folder = Folder::new();
    let (a, newer) = (folder.issue("a"), folder.issue("a"));
    folder.write("a.pem", &a.chain_pem);
    folder.write("a.key", &*a.key_pem);
    let (store, _) = folder.open();
    fs::rename(folder.path().join("a.pem"), folder.path().join("b.pem")).unwrap();
    let report = store.reload(now());
    assert_eq!((report.loaded, report.kept), (1, 0), "{report:?}");
    assert_eq!(file_for(&store, "a").as_deref(), Some("b.pem"));
    // A pair becomes two, and one again.
    folder.write("b.pem", format!("{}{}", a.chain_pem, both(&newer)));
    assert_eq!(store.reload(now()).loaded, 2);
    folder.write("b.pem", both(&newer));
    folder.remove("a.key");
    assert_eq!(store.reload(now()).loaded, 1);
}

#[test]
fn a_folder_that_vanishes_takes_nothing_away() {
    let folder = Folder::new();
    let inner = folder.path().join("inner");
    folder.issue("a").write(&inner, "a").unwrap();
    folder.issue("b").write(&inner, "b").unwrap();
    let (store, _) = CertificateStore::open(options(vec![inner.clone()]), now());
    fs::rename(&inner, folder.path().join("elsewhere")).unwrap();
    let report = store.reload(now());
    assert_eq!((report.changed, report.loaded, report.skipped.len()), (false, 2, 1));
    assert_eq!(report.kept, 2, "all of them are the last good");
    fs::create_dir(&inner).unwrap();
    let report = store.reload(now());
    assert_eq!((report.changed, report.loaded, report.kept), (false, 2, 2), "{report:?}");
    folder.issue("b").write(&inner, "b").unwrap();
    let report = store.reload(now());
    assert_eq!((report.loaded, report.kept), (1, 0));
    assert_eq!(served(&store, "a"), None);
}

#[test]
fn an_expired_one_does_not_replace_a_valid_one_and_an_early_one_waits() {
    let folder = Folder::new();
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -10, 10)));
    let (store, _) = folder.open();
    let before = served(&store, "a");
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -20, -1)));
    let report = store.reload(now());
    assert!(!report.changed && report.kept == 1);
    assert_eq!(served(&store, "a"), before);

    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, 1, 30)));
    let report = store.reload(now());
    assert_eq!((report.changed, report.pending.len()), (false, 1));
    assert_eq!(served(&store, "a"), before);
    let report = store.reload(at(86_401));
    assert_eq!((report.changed, report.pending.len()), (true, 0));
    assert_ne!(served(&store, "a"), before);

    // At start there is nothing better, so it is served, with a warning.
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -20, -1)));
    let (store, report) = folder.open();
    assert!(served(&store, "a").is_some());
    assert_eq!((report.skipped.len(), report.warnings.len()), (0, 1));
}

#[test]
fn two_files_with_one_name_have_a_winner_and_a_warning() {
    let folder = Folder::new();
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -1, 10)));
    folder.write("b.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -1, 20)));
    folder.write("c.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, 1, 90)));
    let (store, report) = folder.open();
    assert_eq!(file_for(&store, "a").as_deref(), Some("b.pem"));
    let said = lines(&report, &folder);
    assert!(
        said.contains(
            &"certs.d/a.pem: a is served from certs.d/b.pem, which also has it".to_owned()
        ),
        "{said:?}"
    );
    // When the one that is served expires, the next reload serves another without any event.
    assert!(store.reload(at(25 * 86_400)).changed);
    assert_eq!(file_for(&store, "a").as_deref(), Some("c.pem"));
}

#[test]
fn of_two_kinds_the_valid_one_is_served() {
    let folder = Folder::new();
    folder.write("ec.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -20, -1)));
    folder.write("rsa.pem", both(&folder.issue_for("a", KeyChoice::Rsa2048, -1, 20)));
    let (store, _) = folder.open();
    assert_eq!(file_for(&store, "a").as_deref(), Some("rsa.pem"));
    folder.write("ec.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -1, 20)));
    store.reload(now());
    assert_eq!(file_for(&store, "a").as_deref(), Some("ec.pem"));
}

#[test]
fn a_successor_that_ends_earlier_is_taken_and_told_of_once() {
    let folder = Folder::new();
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -1, 90)));
    let (store, _) = folder.open();
    let before = served(&store, "a");
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -1, 30)));
    let report = store.reload(now());
    assert!(report.changed && report.news);
    assert_eq!(
        lines(&report, &folder),
        ["certs.d/a.pem: ends 60 days before the certificate that it replaced"]
    );
    assert_ne!(served(&store, "a"), before);
    let again = store.reload(now());
    assert!(!again.news && again.warnings.is_empty());
}

#[test]
fn an_expired_exact_name_yields_to_a_valid_wildcard_and_an_expired_key_to_its_twin() {
    let folder = Folder::new();
    folder.write("exact.pem", both(&folder.issue_for("a.example", KeyChoice::EcdsaP256, -9, 1)));
    folder.write("star.pem", both(&folder.issue_for("*.example", KeyChoice::EcdsaP256, -9, 9)));
    folder.write("ecdsa.pem", both(&folder.issue_for("b", KeyChoice::EcdsaP256, -9, 1)));
    folder.write("rsa.pem", both(&folder.issue_for("b", KeyChoice::Rsa2048, -9, 9)));
    let (store, report) = folder.open();
    let expiry = report.next_change.unwrap();
    assert_eq!(expiry, i64::try_from(super::NOW).unwrap() + super::DAY + 1);
    assert_eq!(file_for(&store, "a.example").as_deref(), Some("exact.pem"));
    assert_eq!(file_for(&store, "b").as_deref(), Some("ecdsa.pem"));
    // By time alone: no file is said to have changed.
    let told = store.look(&Look::At([].into()), at(expiry.unsigned_abs() - super::NOW));
    assert!(told.changed && told.news);
    let ended =
        |file: &str| format!("certs.d/{file}: has expired, and another one is served; delete it");
    let mut words = lines(&told, &folder);
    words.retain(|line| line.contains("expired"));
    assert_eq!(words, ["ecdsa.pem", "exact.pem"].map(ended));
    assert_eq!(file_for(&store, "a.example").as_deref(), Some("star.pem"));
    assert_eq!(file_for(&store, "b").as_deref(), Some("rsa.pem"));
    let moment = at(expiry.unsigned_abs() - super::NOW);
    for (name, file) in [("a.example", "exact.pem"), ("b", "ecdsa.pem")] {
        let answers = store.load().explain(&HostName::parse(name).unwrap(), moment);
        let reason = answers.into_iter().next().unwrap().reason;
        assert!(reason.ends_with(&format!("{file} has expired")), "{reason}");
    }
}

#[test]
fn a_renewed_certificate_comes_in_at_the_start_of_its_validity() {
    let folder = Folder::new();
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, -9, 9)));
    let (store, _) = folder.open();
    let before = served(&store, "a");
    folder.write("a.pem", both(&folder.issue_for("a", KeyChoice::EcdsaP256, 2, 90)));
    let report = store.reload(now());
    let start = i64::try_from(super::NOW).unwrap() + 2 * super::DAY;
    assert_eq!((report.pending.len(), report.next_change), (1, Some(start)));
    let early = store.look(&Look::At([].into()), at(2 * super::DAY.unsigned_abs() - 1));
    assert!(!early.changed && served(&store, "a") == before);
    let due = store.look(&Look::At([].into()), at(2 * super::DAY.unsigned_abs()));
    assert!(due.changed && due.pending.is_empty() && served(&store, "a") != before);
}
