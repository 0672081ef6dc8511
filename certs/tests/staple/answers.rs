//! Which staple is sent for whom, and when.

use portunus_certs::{CertificateStatus, Warning};
use proptest::prelude::*;

use super::{Authority, DAY, DAYS, at, credential, folder_of, good, now, revoked, sent};

#[test]
fn a_good_staple_is_sent_whatever_its_file_is_called() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.serve("b", 0x1002, "");
    let staple = authority.answer("a", &good(0x1001));
    authority.write("somebody.OCSP", &staple);
    let (store, report) = authority.open();
    assert_eq!(authority.said(&report), Vec::<String>::new());
    assert_eq!(sent(&store, "a", now()), Some(staple));
    assert_eq!(sent(&store, "b", now()), None);
    let a = credential(&store, "a");
    assert_eq!(a.key().ocsp, None);
    assert_eq!(folder_of(&a.staple().unwrap().path), "somebody.OCSP");
}

#[test]
fn one_response_may_answer_for_several_certificates_and_by_either_hash() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.serve("b", 0x00ff_1002, "");
    let question = "-sha256 -issuer ca.pem -cert a.pem -sha1 -cert b.pem -sha384 -serial 77";
    let index = good(0x1001) + &good(0x00ff_1002);
    let staple = authority.sign(&index, question, "ca", "-ndays 7");
    authority.write("all.ocsp", &staple);
    let (store, report) = authority.open();
    assert_eq!(authority.said(&report), Vec::<String>::new());
    for name in ["a", "b"] {
        assert_eq!(sent(&store, name, now()).as_ref(), Some(&staple), "{name}");
    }
}

#[test]
fn a_staple_is_sent_in_no_second_in_which_it_is_not_valid() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let before = now();
    authority.write("a.ocsp", authority.answer("a", &good(0x1001)));
    let after = now();
    let (store, _) = authority.open();
    let credential = credential(&store, "a");
    let facts = credential.staple().unwrap();
    // The clock that openssl asks is up to a tick behind ours.
    assert!((before - 1..=after).contains(&facts.this_update), "{facts:?}");
    assert_eq!(facts.next_update - facts.this_update, DAYS * DAY);
    let (first, end) = (facts.this_update, facts.next_update);
    for (now, expected) in
        [(first - 1, false), (first, true), (end - 1, true), (end, false), (i64::MAX, false)]
    {
        assert_eq!(credential.key_at(now).ocsp.is_some(), expected, "{}", now - first);
    }
    proptest!(|(now in first - 9 * DAY..end + 9 * DAY)| {
        let expected = first <= now && now < end;
        prop_assert_eq!(credential.key_at(now).ocsp.is_some(), expected);
        prop_assert_eq!(&credential.key_at(now).cert, &credential.key().cert);
    });
}

#[test]
fn a_staple_that_is_stale_or_early_is_warned_of_and_not_sent() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.write("a.ocsp", authority.answer("a", &good(0x1001)));
    let (store, _) = authority.open();
    for (later, word) in [(DAYS * DAY + 60, "is stale"), (-DAY / 48, "is not valid yet")] {
        let report = store.reload(at(now() + later));
        let said = authority.said(&report);
        let about_staple: Vec<_> = said.iter().filter(|line| line.contains("OCSP")).collect();
        assert!(matches!(&*about_staple, [line] if line.contains(word)), "{said:?}");
        assert_eq!(sent(&store, "a", now() + later), None);
        assert!(sent(&store, "a", now()).is_some());
    }
}

#[test]
fn a_staple_that_says_revoked_or_unknown_is_warned_of_and_not_sent() {
    for (index, status, word) in [
        (revoked(0x1001), CertificateStatus::Revoked, "revoked"),
        (good(0x1002), CertificateStatus::Unknown, "no such serial"),
    ] {
        let authority = Authority::new();
        authority.serve("a", 0x1001, "");
        authority.write("a.ocsp", authority.answer("a", &index));
        let (store, report) = authority.open();
        let said = authority.said(&report);
        assert!(matches!(&*said, [line] if line.starts_with("a.pem: ") && line.contains(word)));
        assert_eq!(credential(&store, "a").staple().unwrap().status, status);
        assert_eq!(sent(&store, "a", now()), None);
    }
}

#[test]
fn a_staple_for_another_serial_or_another_issuer_is_for_nobody() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.issue("ca", "b", 0x1002, "");
    authority.root("twin");
    let other_serial = authority.answer("b", &good(0x1002));
    // The same name and the same serial, but another key.
    let question = "-issuer twin.pem -serial 0x1001";
    let other_key = authority.sign(&good(0x1001), question, "ca", "-ndays 7");
    for staple in [other_serial, other_key] {
        authority.write("a.ocsp", staple);
        let (store, report) = authority.open();
        let said = authority.said(&report);
        assert!(
            matches!(&*said, [line] if line.starts_with("a.ocsp: ")
                && line.contains("answers no certificate here")),
            "{said:?}"
        );
        assert_eq!(sent(&store, "a", now()), None);
    }
}

#[test]
fn a_responder_that_the_issuer_appointed_may_sign_and_nobody_else() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.root("twin");
    authority.issue("ca", "responder", 1, "extendedKeyUsage=OCSPSigning");
    authority.issue("ca", "server", 2, "extendedKeyUsage=serverAuth");
    authority.issue("twin", "stranger", 3, "extendedKeyUsage=OCSPSigning");
    let question = "-issuer ca.pem -cert a.pem";
    for (signer, options, right) in [
        ("responder", "-ndays 7", true),
        ("server", "-ndays 7", false),
        ("stranger", "-ndays 7", false),
        ("ca", "-ndays 7 -badsig", false),
        ("responder", "-ndays 7 -badsig", false),
        // Its certificate is not in the response, so nobody can verify it.
        ("responder", "-ndays 7 -resp_no_certs", false),
    ] {
        let staple = authority.sign(&good(0x1001), question, signer, options);
        authority.write("a.ocsp", &staple);
        let (store, report) = authority.open();
        let said = authority.said(&report);
        let wrong = matches!(&*said, [line] if line.starts_with("a.ocsp: the signature"));
        assert_eq!((wrong, said.is_empty()), (!right, right), "{signer} {options}: {said:?}");
        assert_eq!(sent(&store, "a", now()), right.then_some(staple), "{signer} {options}");
    }
}

#[test]
fn a_staple_ends_with_the_certificate_of_its_responder() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    authority.issue("ca", "responder", 1, "extendedKeyUsage=OCSPSigning");
    let question = "-issuer ca.pem -cert a.pem";
    let staple = authority.sign(&good(0x1001), question, "responder", "-ndays 365");
    authority.write("a.ocsp", staple);
    let (store, _) = authority.open();
    let credential = credential(&store, "a");
    let end = credential.staple().unwrap().next_update;
    assert!((59 * DAY..61 * DAY).contains(&(end - now())), "{}", end - now());
    assert!(credential.key_at(end - 1).ocsp.is_some() && credential.key_at(end).ocsp.is_none());
}

#[test]
fn a_certificate_that_must_be_stapled_and_is_not_is_warned_of() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "tlsfeature=status_request");
    authority.serve("b", 0x1002, "tlsfeature=17");
    let (store, report) = authority.open();
    let label = credential(&store, "a").label().clone();
    assert_eq!(report.warnings, [Warning::MustStapleWithoutStaple { label }]);
    assert!(credential(&store, "a").must_staple() && !credential(&store, "b").must_staple());
    authority.write("a.ocsp", authority.answer("a", &good(0x1001)));
    assert_eq!(authority.said(&store.reload(at(now()))), Vec::<String>::new());
    let stale = store.reload(at(now() + DAYS * DAY + 60));
    let said = authority.said(&stale);
    assert!(said.iter().any(|line| line.contains("must be stapled")), "{said:?}");
}

#[test]
fn of_two_staples_the_fresher_one_is_sent_and_a_good_one_before_the_others() {
    let authority = Authority::new();
    authority.serve("a", 0x1001, "");
    let question = "-issuer ca.pem -cert a.pem";
    let refused = authority.sign(&revoked(0x1001), question, "ca", "-ndays 9");
    let older = authority.sign(&good(0x1001), question, "ca", "-ndays 9");
    // Two seconds: the clock of time(2), which openssl asks, is up to a tick behind ours.
    let start = now();
    while now() < start + 2 {
        std::thread::yield_now();
    }
    let newer = authority.sign(&good(0x1001), question, "ca", "-ndays 7");
    for names in [["1.ocsp", "2.ocsp", "3.ocsp"], ["3.ocsp", "2.ocsp", "1.ocsp"]] {
        for (name, staple) in names.iter().zip([&older, &newer, &refused]) {
            authority.write(name, staple);
        }
        let (store, report) = authority.open();
        assert_eq!(authority.said(&report), Vec::<String>::new());
        assert_eq!(sent(&store, "a", now()).as_ref(), Some(&newer));
        // What was made later ends sooner: from then on the other one is of more use.
        store.reload(at(now() + 8 * DAY));
        assert_eq!(sent(&store, "a", now() + 8 * DAY).as_ref(), Some(&older));
    }
}
