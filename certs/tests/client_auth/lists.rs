//! Revocation lists at the first reading, and what time does to them.

use portunus_certs::client_auth::{ClientAuthError, CrlError, check_crl, read_crls};
use rcgen::{CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope};

use super::authority::{Authority, openssl, valid_list};
use super::{DAY, Folder, NOW, at, at_second, bundle, pem, rejection, trust};

#[test]
fn lists_are_read_as_der_and_as_pem_and_several_of_a_file() {
    let (one, other) = (Authority::root("one"), Authority::root("other"));
    let folder = Folder::new();
    folder.write("ca.pem", bundle(&[&one, &other]));
    let (first, second) = (pem("X509 CRL", &one.crl(&[1])), other.crl(&[2]));
    let label = |label| format!("{first}{}", pem(label, &second));
    folder.write("der", one.crl(&[1]));
    folder.write("pem", format!("{}text\n{}", one.pem, label("X509 CRL")).replace('\n', "\r\n"));
    folder.write("old", label("CRL"));
    assert_eq!(folder.open(&["der"]).0.load().crls().len(), 1);
    let pem = folder.open(&["pem"]).0.load();
    let old = folder.open(&["old"]).0.load();
    assert_eq!((pem.crls().len(), pem.digest()), (2, old.digest()));
    assert!(rejection(&pem, &[other.client(2)]).is_some());
    assert_eq!(rejection(&pem, &[other.client(1)]), None);
}

#[test]
fn what_a_list_says_of_itself_is_told() {
    let root = Authority::root("root");
    let crl = root.crl(&[1, 2, 3]);
    let trust = trust(&[&root], std::slice::from_ref(&crl));
    let facts = &trust.crls()[0];
    assert_eq!((&*facts.issuer, facts.revoked), ("CN=root", 3));
    assert_eq!((facts.this_update, facts.next_update), (NOW - DAY, Some(NOW + 99 * DAY)));
    let theirs = openssl(&["crl", "-inform", "der", "-noout", "-text"], &crl);
    assert_eq!(theirs.matches("Serial Number:").count(), facts.revoked);
    assert!(theirs.contains("Next Update: Apr 24 08:00:00 2027 GMT"), "{theirs}");
}

#[test]
fn lists_for_others_than_clients_come_with_the_newest_first_and_each_once() {
    let (one, other) = (Authority::root("one"), Authority::root("other"));
    let folder = Folder::new();
    let made = |authority: &Authority, day: i64| {
        authority.crl_with(&[], |params| valid_list(params, day, 99))
    };
    let [old, between, new] = [made(&one, -3), made(&other, -2), made(&one, -1)];
    folder.write("old.crl", &old);
    folder.write("new.crl", [&between, &new].map(|der| pem("X509 CRL", der)).concat());
    let paths = ["old.crl", "new.crl", "old.crl"].map(|name| folder.path(name));
    let lists = read_crls(&paths).unwrap();
    let order: Vec<_> =
        lists.iter().map(|(facts, _)| (&*facts.issuer, facts.this_update)).collect();
    let day = |day: i64| NOW + day * DAY;
    assert_eq!(order, [("CN=one", day(-1)), ("CN=other", day(-2)), ("CN=one", day(-3))]);
    let ders: Vec<_> = lists.iter().map(|(_, der)| der.as_ref().to_vec()).collect();
    assert!(ders == [new, between, old]);
    folder.write("new.crl", "no PEM at all");
    let error = read_crls(&paths).unwrap_err();
    assert!(error.to_string().contains("new.crl"), "{error}");
}

#[test]
fn a_list_that_is_not_good_refuses_to_open_and_says_why() {
    let root = Authority::root("root");
    let key = root.issuer.key().serialize_pem();
    let good = root.crl(&[]);
    let text = pem("X509 CRL", &good);
    let cases = [
        (Vec::new(), "is empty"),
        (b"no PEM at all".to_vec(), "holds no revocation list, neither in DER nor as `X509 CRL`"),
        (good[..good.len() - 1].to_vec(), "the bytes are no revocation list, or not all of one"),
        ([&good[..], b"\0"].concat(), "the bytes are no revocation list"),
        (text.as_bytes()[..text.len() / 2].to_vec(), "line 1: the section `X509 CRL` has no end"),
        (format!("{text}{key}").into_bytes(), "a private key stands there"),
        (Authority::root("root").crl(&[]), "does not bear the signature of the authority"),
        (root.der.to_vec(), "the bytes are no revocation list"),
    ];
    for (bytes, expected) in cases {
        let folder = Folder::new();
        folder.write("ca.pem", &root.pem);
        folder.write("root.crl", bytes);
        let refusal = folder.refusal(&["root.crl"]);
        let start = "F/root.crl: the revocation list cannot be taken from it: ";
        assert!(refusal.starts_with(start), "{refusal}");
        assert!(refusal.contains(expected), "{refusal}\nshould say: {expected}");
    }
    let folder = Folder::new();
    folder.write("ca.pem", &root.pem);
    assert!(folder.refusal(&["root.crl"]).contains("does not exist"));
    std::fs::File::create(folder.path("root.crl")).unwrap().set_len((32 << 20) + 1).unwrap();
    assert!(folder.refusal(&["root.crl"]).contains("33554432 is the most"));
}

#[test]
fn an_expired_list_opens_and_is_warned_of() {
    let root = Authority::root("root");
    let folder = Folder::new();
    folder.write("ca.pem", &root.pem);
    folder.write("root.crl", root.crl_with(&[], |params| valid_list(params, -9, -1)));
    let (_, report) = folder.open(&["root.crl"]);
    let line = &report.warnings[0];
    assert!(line.contains("the list of CN=root has expired on"), "{line}");
    assert!(line.ends_with("is refused until the next one is installed"), "{line}");
}

/// From a hundred days of life: the last quarter, the end, and each at its second.
#[test]
fn the_moment_at_which_there_is_something_else_to_say_is_foretold() {
    let root = Authority::root("root");
    let folder = Folder::new();
    folder.write("ca.pem", &root.pem);
    folder.write("root.crl", root.crl_with(&[], |params| valid_list(params, 1, 101)));
    let (auth, report) = folder.open(&["root.crl"]);
    let mut next = report.next_change;
    assert!(report.warnings[0].contains("was made in the future"), "{:?}", report.warnings);
    for (day, expected) in
        [(1, None), (76, Some("CN=root expires on")), (101, Some("CN=root has expired on"))]
    {
        let moment = next.unwrap();
        assert_eq!(moment, NOW + day * DAY);
        let before = auth.reload(at_second(moment - 1));
        assert!(!before.news && before.next_change == Some(moment));
        let report = auth.reload(at_second(moment));
        assert!(report.news && !report.changed);
        assert_eq!(report.warnings.len(), usize::from(expected.is_some()));
        let said = report.warnings.iter().zip(expected);
        assert!(said.into_iter().all(|(line, expected)| line.contains(expected)));
        next = report.next_change;
    }
    // Then comes the authority's turn: 4000 days of life, of which 3000 are to come.
    assert_eq!(next, Some(NOW + 2000 * DAY));
    let far = auth.reload(at(4000));
    assert_eq!((far.warnings.len(), far.next_change), (2, None));
}

#[test]
fn a_list_of_nobody_in_the_bundle_is_warned_of() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let folder = Folder::new();
    folder.write("ca.pem", &root.pem);
    folder.write("other.crl", other.crl(&[]));
    let (_, report) = folder.open(&["other.crl"]);
    assert!(report.warnings[0].contains("no authority of the bundle is called CN=other"));
}

#[test]
fn two_lists_of_one_issuer_are_warned_of_and_the_same_list_twice_is_not() {
    let root = Authority::root("root");
    let folder = Folder::new();
    folder.write("ca.pem", &root.pem);
    folder.write("a.crl", root.crl(&[]));
    folder.write("b.crl", root.crl_with(&[], |params| valid_list(params, -9, 99)));
    let (_, report) = folder.open(&["a.crl", "b.crl"]);
    assert!(report.warnings[0].contains("several lists of CN=root; only the newest counts"));
    let (auth, report) = folder.open(&["a.crl", "a.crl"]);
    assert!(report.warnings.is_empty());
    assert_eq!(auth.load().digest(), folder.open(&["a.crl"]).0.load().digest());
}

#[test]
fn lists_for_some_of_an_issuers_certificates_stand_side_by_side() {
    let root = Authority::root("root");
    let intermediate = root.intermediate("intermediate", 13);
    let scoped = |revoked: &[u64], scope| {
        root.crl_with(revoked, |params| {
            let uris = vec!["http://example.org/list".to_owned()];
            let distribution_point = CrlDistributionPoint { uris };
            let scope = Some(scope);
            params.issuing_distribution_point =
                Some(CrlIssuingDistributionPoint { distribution_point, scope });
        })
    };
    let lists = [
        scoped(&[1], CrlScope::UserCertsOnly),
        scoped(&[13], CrlScope::CaCertsOnly),
        intermediate.crl(&[]),
    ];
    let trust = trust(&[&root], &lists);
    assert_eq!(rejection(&trust, &[root.client(13)]), None);
    assert!(rejection(&trust, &[root.client(1)]).is_some());
    assert!(rejection(&trust, &[intermediate.client(2), intermediate.der.clone()]).is_some());
}

#[test]
fn more_lists_than_the_bound_are_refused() {
    let text = pem("X509 CRL", &Authority::root("root").crl(&[]));
    assert_eq!(check_crl(text.repeat(1024).as_bytes()).unwrap(), 1024);
    assert!(matches!(check_crl(text.repeat(1025).as_bytes()), Err(CrlError::TooMany)));
}

#[test]
fn the_error_names_the_file_that_it_is_about() {
    let root = Authority::root("root");
    let folder = Folder::new();
    folder.write("ca.pem", &root.pem);
    folder.write("a.crl", root.crl(&[]));
    folder.write("b.crl", "");
    let options = folder.options(&["a.crl", "b.crl"]);
    let error = portunus_certs::client_auth::ClientAuth::open(options, at(0)).unwrap_err();
    assert!(matches!(error, ClientAuthError::Crl { .. }));
    assert_eq!(error.path(), folder.path("b.crl"));
}
