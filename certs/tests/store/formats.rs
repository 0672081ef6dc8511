//! Which files give a credential, and what is said of those that do not.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use portunus_certs::{CertificateStore, DevelopmentCa};

use super::{Folder, both, file_for, lines, now, options, served};

#[test]
fn keys_are_found_by_match_in_whatever_file_they_are() {
    let folder = Folder::new();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| folder.issue(name));
    folder.write("one.pem", both(&a));
    folder.write("two.crt", &b.chain_pem);
    folder.write("unrelated-name.key", &*b.key_pem);
    folder.write("keys-first.pem", format!("{}{}", *c.key_pem, c.chain_pem));
    folder.write("several.pem", format!("{}{}", both(&folder.issue("e")), both(&d)));
    folder.write("notes.txt", "not a certificate");
    folder.write(".hidden.pem", "not a certificate");
    let (store, report) = folder.open();
    assert_eq!(lines(&report, &folder), Vec::<String>::new());
    assert_eq!(report.loaded, 5);
    let files = ["a", "b", "c", "d", "e"].map(|name| file_for(&store, name).unwrap());
    assert_eq!(files, ["one.pem", "two.crt", "keys-first.pem", "several.pem", "several.pem"]);
    let labels: Vec<_> = store.load().credentials().map(|c| c.label().to_string()).collect();
    assert!(labels.iter().any(|label| label.ends_with("several.pem#2")), "{labels:?}");
}

#[test]
fn every_form_of_a_key_and_every_harmless_oddity_is_accepted() {
    let folder = Folder::new();
    let a = folder.issue("a");
    for (name, text) in [
        ("crlf.pem", both(&a).replace('\n', "\r\n")),
        ("bom.pem", format!("\u{feff}{}", both(&a))),
        ("text.pem", format!("subject=a\nissuer=b\n\n{}\ntrailing words", both(&a))),
        ("blanks.pem", both(&a).replace('\n', "  \n")),
        ("params.pem", format!("{EC_PARAMETERS}{}", both(&a))),
        ("no-last-newline.pem", both(&a).trim_end().to_owned()),
    ] {
        folder.write(name, text);
        let (store, report) = folder.open();
        assert_eq!(lines(&report, &folder), Vec::<String>::new(), "{name}");
        assert_eq!(file_for(&store, "a").as_deref(), Some(name));
        folder.remove(name);
    }
    // OpenSSL's own forms: PKCS#1, SEC1, PKCS#8, and a chain it signed.
    for arguments in [
        "-newkey rsa:2048",
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
        "-newkey ec -pkeyopt ec_paramgen_curve:P-384",
        "-newkey ed25519",
    ] {
        let folder = Folder::new();
        openssl(
            &folder,
            &format!(
                "req -x509 {arguments} -noenc -days 9000 -subj /CN=x \
                 -addext subjectAltName=DNS:x.example \
             -keyout x.key -out x.pem"
            ),
        );
        let (store, report) = folder.open();
        assert_eq!(report.skipped.len(), 0, "{arguments}: {:?}", lines(&report, &folder));
        assert!(store.load().len() == 1, "{arguments}");
        if !arguments.contains("ed25519") {
            openssl(&folder, "pkey -in x.key -traditional -out y.key");
            fs::rename(folder.path().join("y.key"), folder.path().join("x.key")).unwrap();
            assert!(fs::read_to_string(folder.path().join("x.key")).unwrap().contains("BEGIN "));
            assert!(store.reload(now()).skipped.is_empty(), "{arguments}");
            assert_eq!(folder.open().1.loaded, 1, "{arguments}");
        }
    }
}

fn openssl(folder: &Folder, arguments: &str) {
    let output = std::process::Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn what_is_bad_is_named_with_its_line_and_its_reason() {
    let folder = Folder::new();
    let a = folder.issue("a");
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let truncated: String = a.chain_pem.lines().take(5).map(|line| format!("{line}\n")).collect();
    let broken = format!("words\n{begin}MII*\n-----END CERTIFICATE-----\n");
    let garbage = format!("{begin}AAAA\n-----END CERTIFICATE-----\n");
    let wrong_end = format!("{begin}AAAA\n-----END PRIVATE KEY-----\n");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "is empty"),
        (b"hello\n".to_vec(), "neither a certificate nor a private key"),
        (truncated.into_bytes(), "line 1: the section `CERTIFICATE` has no end"),
        (broken.into_bytes(), "line 2: the section `CERTIFICATE` is not valid base64"),
        (garbage.into_bytes(), "line 1: the certificate cannot be read"),
        (wrong_end.into_bytes(), "line 1: the section `CERTIFICATE` has no end"),
        (b"-----BEGIN CERT".to_vec(), "line 1: a BEGIN or END line is damaged"),
        (b"\xff\xfe-\0-\0".to_vec(), "is UTF-16"),
        (b"\x30\x82\x01\x00".to_vec(), "is DER"),
        (vec![b'x'; (1 << 20) + 1], "has 1048577 bytes"),
        (PKCS8_ENCRYPTED.as_bytes().to_vec(), "line 1: the private key is encrypted"),
        (LEGACY_ENCRYPTED.as_bytes().to_vec(), "line 1: the private key is encrypted"),
        (DSA.as_bytes().to_vec(), "line 1: DSA keys are not supported"),
    ];
    for (bytes, reason) in cases {
        folder.write("x.pem", &bytes);
        let (store, report) = folder.open();
        let said = lines(&report, &folder);
        assert!(
            matches!(&*said, [line] if line.starts_with("certs.d/x.pem: ")
            && line.contains(reason)),
            "{said:?} instead of {reason}"
        );
        assert!(store.load().is_empty());
    }
}

#[test]
fn unsupported_algorithms_are_refused_by_name() {
    for (arguments, reason) in [
        ("req -x509 -newkey rsa:1024 -noenc", "1024-bit RSA"),
        ("req -x509 -newkey ed448 -noenc", "Ed448"),
        ("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -noenc", "ECDSA on curve"),
    ] {
        let folder = Folder::new();
        openssl(&folder, &format!("{arguments} -days 9000 -subj /CN=x -keyout x.key -out x.pem"));
        let (store, report) = folder.open();
        let said = lines(&report, &folder);
        assert!(said.iter().any(|line| line.contains(reason)), "{said:?}");
        assert!(store.load().is_empty());
    }
}

#[test]
fn a_missing_half_is_said_in_words() {
    let folder = Folder::new();
    folder.write("a.pem", folder.issue("a").chain_pem);
    folder.write("b.key", &*folder.issue("b").key_pem);
    let said = lines(&folder.open().1, &folder);
    assert_eq!(
        said,
        [
            "no private key in certs.d matches the certificate in certs.d/a.pem",
            "no certificate in certs.d matches the private key in certs.d/b.key",
        ]
    );
}

#[test]
fn an_authority_in_the_folder_is_left_alone_and_its_key_too() {
    let folder = Folder::new();
    let authority = DevelopmentCa::load_or_create(folder.path(), now()).unwrap();
    authority.issue(&["localhost", "127.0.0.1"], now()).unwrap().write(folder.path(), "z").unwrap();
    let (store, report) = folder.open();
    assert_eq!(lines(&report, &folder), Vec::<String>::new());
    assert_eq!(store.load().len(), 1);
    assert_eq!(file_for(&store, "localhost").as_deref(), Some("z.pem"));
}

#[test]
fn the_leaf_must_come_first() {
    let folder = Folder::new();
    let a = folder.issue("a");
    let ca = folder.authority.certificate_pem();
    folder.write("a.pem", format!("{ca}{}{}", a.chain_pem, *a.key_pem));
    let said = lines(&folder.open().1, &folder);
    assert!(matches!(&*said, [line] if line.contains("the leaf must come first")), "{said:?}");
    folder.write("a.pem", format!("{}{ca}{}", a.chain_pem, *a.key_pem));
    let (store, report) = folder.open();
    assert_eq!(lines(&report, &folder), Vec::<String>::new());
    assert_eq!(store.load().credentials().next().unwrap().key().cert.len(), 2);
}

#[test]
fn the_same_leaf_in_two_files_is_one_credential_with_the_longer_chain() {
    let folder = Folder::new();
    let a = folder.issue("a");
    folder.write("cert.pem", &a.chain_pem);
    folder.write("chain.pem", folder.authority.certificate_pem());
    folder.write("fullchain.pem", format!("{}{}", a.chain_pem, folder.authority.certificate_pem()));
    folder.write("privkey.pem", &*a.key_pem);
    let (store, report) = folder.open();
    assert_eq!(lines(&report, &folder), Vec::<String>::new());
    assert_eq!(store.load().len(), 1);
    assert_eq!(file_for(&store, "a").as_deref(), Some("fullchain.pem"));
}

#[test]
fn a_key_that_others_may_read_is_a_warning_or_a_refusal() {
    let folder = Folder::new();
    let path = folder.write("a.pem", both(&folder.issue("a")));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (store, report) = folder.open();
    assert_eq!((report.warnings.len(), store.load().len()), (1, 1));
    let mut strict = options(vec![folder.path().to_path_buf()]);
    strict.strict_permissions = true;
    let (store, report) = CertificateStore::open(strict, now());
    let said = lines(&report, &folder);
    assert!(matches!(&*said, [line] if line.contains("its mode is 0644")), "{said:?}");
    assert!(store.load().is_empty());
}

#[test]
fn kubernetes_links_are_followed_and_named_files_may_have_any_extension() {
    let folder = Folder::new();
    let (old, new) = (folder.issue("a"), folder.issue("a"));
    for (version, issued) in [("..1", &old), ("..2", &new)] {
        fs::create_dir(folder.path().join(version)).unwrap();
        folder.write(&format!("{version}/tls.crt"), &issued.chain_pem);
        folder.write(&format!("{version}/tls.key"), &*issued.key_pem);
    }
    symlink("..1", folder.path().join("..data")).unwrap();
    symlink("..data/tls.crt", folder.path().join("tls.crt")).unwrap();
    symlink("..data/tls.key", folder.path().join("tls.key")).unwrap();
    let (store, report) = folder.open();
    assert_eq!((report.loaded, report.skipped.len()), (1, 0), "{report:?}");
    let before = served(&store, "a");
    symlink("..2", folder.path().join("..new")).unwrap();
    fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
    assert!(store.reload(now()).changed);
    assert_ne!(served(&store, "a"), before);

    let odd = folder.write("bundle", both(&folder.issue("odd")));
    let (store, report) = CertificateStore::open(options(vec![odd, "missing.pem".into()]), now());
    assert_eq!((report.loaded, report.skipped.len()), (1, 1));
    assert!(served(&store, "odd").is_some());
}

const EC_PARAMETERS: &str =
    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
const PKCS8_ENCRYPTED: &str =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
const LEGACY_ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
    DEK-Info: AES-128-CBC,00\n\nMIAA\n-----END RSA PRIVATE KEY-----\n";
const DSA: &str = "-----BEGIN DSA PRIVATE KEY-----\nMIAA\n-----END DSA PRIVATE KEY-----\n";
