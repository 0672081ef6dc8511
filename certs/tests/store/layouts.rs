//! The folders that certificate tools leave, in which not every file is half of a credential.

use std::fs;

use portunus_certs::CertificateStore;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, IsCa, Issuer,
    KeyPair,
};

use super::{Folder, both, file_for, lines, now, options};

/// A root, an intermediate and a leaf, as a private authority makes them: no key usage.
struct Chain {
    root: Certificate,
    intermediate: Certificate,
    leaf: Certificate,
    key: KeyPair,
}

fn chain(with_location: bool) -> Chain {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (params, key) = authority("root");
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let (params, key) = authority("intermediate");
    let intermediate = params.signed_by(&key, &issuer).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a");
    if with_location {
        params.custom_extensions.push(location());
    }
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Chain { root, intermediate, leaf, key }
}

/// Authority information access (RFC 5280 section 4.2.2.1): caIssuers at `http://x`.
fn location() -> CustomExtension {
    let entry = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x08http://x";
    let mut der = vec![0x30, 0x16, 0x30, 0x14];
    der.extend_from_slice(entry);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], der)
}

#[test]
fn the_folders_of_certbot_and_of_cert_manager_have_nothing_skipped() {
    let Chain { root, intermediate, leaf, key } = chain(true);
    let full = format!("{}{}", leaf.pem(), intermediate.pem());
    let folder = Folder::new();
    folder.write("cert.pem", leaf.pem());
    folder.write("chain.pem", intermediate.pem());
    folder.write("fullchain.pem", &full);
    folder.write("privkey.pem", key.serialize_pem());
    let (store, report) = folder.open();
    assert_eq!(lines(&report, &folder), Vec::<String>::new());
    assert_eq!(file_for(&store, "a").as_deref(), Some("fullchain.pem"));

    let folder = Folder::new();
    folder.write("ca.crt", root.pem());
    folder.write("tls.crt", &full);
    folder.write("tls.key", key.serialize_pem());
    let (store, report) = folder.open();
    assert_eq!(lines(&report, &folder), Vec::<String>::new());
    assert_eq!((report.loaded, store.load().len()), (1, 1));
}

#[test]
fn a_self_signed_server_that_calls_itself_an_authority_is_told_of_its_lost_key() {
    let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let folder = Folder::new();
    folder.write("a.pem", params.self_signed(&key).unwrap().pem());
    let said = lines(&folder.open().1, &folder);
    assert_eq!(said, ["no private key in certs.d matches the certificate in certs.d/a.pem"]);
}

#[test]
fn an_authority_that_is_served_and_loses_its_key_stays_and_is_told_of() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let folder = Folder::new();
    folder.write("a.pem", params.self_signed(&key).unwrap().pem());
    folder.write("a.key", key.serialize_pem());
    let (store, report) = folder.open();
    assert_eq!((report.loaded, report.skipped.len()), (1, 0));
    folder.remove("a.key");
    let report = store.reload(now());
    assert_eq!((report.changed, report.kept, report.skipped.len()), (false, 1, 1), "{report:?}");
}

#[test]
fn a_copy_of_what_is_served_from_another_file_is_not_missed() {
    let folder = Folder::new();
    let a = folder.issue("a");
    folder.write("fullchain.pem", format!("{}{}", a.chain_pem, folder.authority.certificate_pem()));
    folder.write("privkey.pem", &*a.key_pem);
    let (store, _) = folder.open();
    folder.write("cert.pem", &a.chain_pem);
    folder.remove("privkey.pem");
    // The last good stays, and the one line is of the file that it came from.
    let said = lines(&store.reload(now()), &folder);
    let line = "no private key in certs.d matches the certificate in certs.d/fullchain.pem";
    assert_eq!(said, [line]);
}

#[test]
fn a_missing_intermediate_is_warned_of_where_it_is_known_to_be_one() {
    let warned = |with_location: bool, beside: fn(&Chain) -> String| {
        let chain = chain(with_location);
        let folder = Folder::new();
        folder.write("tls.crt", chain.leaf.pem());
        folder.write("tls.key", chain.key.serialize_pem());
        folder.write("beside.crt", beside(&chain));
        let (_, report) = folder.open();
        assert_eq!(report.skipped.len(), 0, "{report:?}");
        lines(&report, &folder)
    };
    let line = "certs.d/tls.crt: holds only the leaf; clients will miss its issuer CN=intermediate";
    // The root of another name says nothing; the intermediate itself says enough.
    assert_eq!(warned(true, |chain| chain.root.pem()), [line]);
    assert_eq!(warned(false, |chain| chain.root.pem()), [""; 0]);
    assert_eq!(warned(false, |chain| chain.intermediate.pem()), [line]);
    // A private root that issues leaves and says where it is to be had.
    let folder = Folder::new();
    let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
    params.custom_extensions.push(location());
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "private root");
    let [root_key, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    folder.write("ca.crt", root.self_signed(&root_key).unwrap().pem());
    let leaf = params.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    folder.write("tls.pem", format!("{}{}", leaf.pem(), key.serialize_pem()));
    assert_eq!(lines(&folder.open().1, &folder), [""; 0]);
}

#[test]
fn nothing_at_all_is_told_and_a_path_that_does_not_exist_has_a_hint() {
    let folder = Folder::new();
    let missing = folder.path().join("missing");
    let (_, report) = CertificateStore::open(options(vec![missing]), now());
    assert!(report.is_empty());
    let line = "certs.d/missing: does not exist; create it, or correct the path in the \
                configuration";
    assert_eq!(lines(&report, &folder), [line]);
    let inner = folder.path().join("a.example");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("a.pem"), both(&folder.issue("a"))).unwrap();
    assert!(folder.open().1.is_empty());
    folder.write("a.pem", both(&folder.issue("a")));
    assert!(!folder.open().1.is_empty());
}

#[test]
fn of_a_link_to_nothing_it_is_said_what_it_points_to() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("../gone/a.pem", folder.path().join("a.pem")).unwrap();
    let (store, report) = folder.open();
    let line = "certs.d/a.pem: is a link to ../gone/a.pem, which does not exist";
    assert_eq!(lines(&report, &folder), [line]);
    let options = options(vec![folder.path().join("a.pem")]);
    let (_, report) = CertificateStore::open(options, now());
    assert_eq!(lines(&report, &folder), [line], "the same of a configured path");
    assert!(store.load().is_empty());
}

#[test]
fn junk_is_described_in_words_and_not_in_the_parsers_own() {
    let folder = Folder::new();
    let begin = "-----BEGIN CERTIFICATE-----\n";
    for junk in ["AAAA", "MAA=", "MIIB", "MAMCAQE="] {
        folder.write("junk.pem", format!("{begin}{junk}\n-----END CERTIFICATE-----\n"));
        let said = lines(&folder.open().1, &folder);
        let line = "certs.d/junk.pem: line 1: the certificate cannot be read: the bytes between \
                    BEGIN and END are no certificate, or not all of one";
        assert_eq!(said, [line], "{junk}");
    }
}
