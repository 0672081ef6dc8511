//! Staples come, go and change, by themselves and together with their certificates.

use std::sync::Arc;

use super::{Authority, at, credential, good, now, revoked, sent};

#[test]
fn a_staple_that_comes_is_sent_and_one_that_goes_is_not() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let (store, _) = authority.open();
    let first = authority.answer("a", &good(0x1001));
    authority.write("a.ocsp", &first);
    assert!(store.reload(at(now())).changed);
    assert_eq!(sent(&store, "a", now()), Some(first));
    let held = credential(&store, "a");
    assert!(!store.reload(at(now())).changed);
    assert!(Arc::ptr_eq(&held, &credential(&store, "a")));
    let second = authority.answer("a", &good(0x1001));
    authority.write("a.ocsp", &second);
    assert!(store.reload(at(now())).changed);
    assert_eq!(sent(&store, "a", now()), Some(second));
    authority.remove("a.ocsp");
    assert!(store.reload(at(now())).changed);
    assert_eq!(sent(&store, "a", now()), None);
}

#[test]
fn a_renewed_certificate_comes_with_its_staple_or_without_but_never_with_the_old_one() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let old = authority.answer("a", &good(0x1001));
    authority.write("a.ocsp", &old);
    let (store, _) = authority.open();
    authority.issue("ca", "a", 0x1002, "");
    let new = authority.answer("a", &good(0x1002));
    // Together.
    authority.install("a");
    authority.write("a.ocsp", &new);
    let report = store.reload(at(now()));
    assert_eq!(authority.said(&report), Vec::<String>::new());
    assert_eq!(sent(&store, "a", now()).as_ref(), Some(&new));
    // The certificate first.
    authority.issue("ca", "a", 0x1003, "");
    authority.install("a");
    let report = store.reload(at(now()));
    assert!(authority.said(&report).iter().any(|line| line.contains("answers no certificate")));
    assert_eq!(sent(&store, "a", now()), None);
    let third = authority.answer("a", &good(0x1003));
    authority.write("a.ocsp", &third);
    store.reload(at(now()));
    assert_eq!(sent(&store, "a", now()).as_ref(), Some(&third));
    // The staple first: the certificate in use keeps its own until its successor is there.
    authority.issue("ca", "a", 0x1004, "");
    let fourth = authority.answer("a", &good(0x1004));
    authority.write("a.ocsp", &fourth);
    store.reload(at(now()));
    assert_eq!(sent(&store, "a", now()), Some(third));
    authority.install("a");
    store.reload(at(now()));
    assert_eq!(sent(&store, "a", now()), Some(fourth));
}

#[test]
fn a_certificate_that_was_revoked_meanwhile_is_stapled_as_good_no_longer() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.write("a.ocsp", authority.answer("a", &good(0x1001)));
    let (store, _) = authority.open();
    assert!(sent(&store, "a", now()).is_some());
    authority.write("a.ocsp", authority.answer("a", &revoked(0x1001)));
    store.reload(at(now()));
    assert_eq!(sent(&store, "a", now()), None);
}
