//! `portunus certs`: what is loaded and what is not, and who gets what.

use portunus_tests::{Key, Proxy, authority, echo, https, tls};

use super::{err, out, portunus};

#[tokio::test]
async fn certs_says_who_gets_what_and_why() {
    let folder = Proxy::builder()
        .listener(https("app.example").site("*.wild.example", "app"))
        .certificate("ecdsa", &authority().issue(&["app.example", "*.wild.example"]))
        .certificate("rsa", &authority().issue_with(Key::Rsa, &["app.example"]))
        .backend(echo())
        .write();
    let list = portunus(folder.path(), &["certs"]);
    assert_eq!(list.status.code(), Some(0), "{}", err(&list));
    for word in ["ecdsa.pem", "rsa.pem", "app.example", "*.wild.example"] {
        assert!(out(&list).contains(word), "{word}: {}", out(&list));
    }
    let name = portunus(folder.path(), &["certs", "App.Example."]);
    assert_eq!(name.status.code(), Some(0), "{}", err(&name));
    for word in ["ecdsa", "rsa"] {
        assert!(out(&name).contains(word), "{word}: {}", out(&name));
    }
    let wild = portunus(folder.path(), &["certs", "a.wild.example"]);
    assert!(out(&wild).contains("ecdsa"), "{}", out(&wild));
    let nobody = portunus(folder.path(), &["certs", "nobody.example"]);
    assert_eq!(nobody.status.code(), Some(1), "{}", out(&nobody));

    let nobody = portunus(folder.path(), &["certs", "nobody.example", "--json"]);
    assert_eq!(nobody.status.code(), Some(1), "the same code as in words");
    let no_name = portunus(folder.path(), &["certs", "a b"]);
    assert_eq!(no_name.status.code(), Some(64));
    assert!(err(&no_name).contains("`a b`"), "{}", err(&no_name));

    for arguments in [&["certs", "--json"][..], &["certs", "app.example", "--json"]] {
        let json = portunus(folder.path(), arguments);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert!(json.is_object(), "{json}");
    }
}

#[tokio::test]
async fn certs_answers_for_each_listener_as_the_handshake_does() {
    let folder = Proxy::builder()
        .listener(tls("app.example").named("strict").with("no_sni", "\"reject\""))
        .listener(tls("other.example").named("open"))
        .certificate("a", &authority().issue(&["app.example"]))
        .certificate("b", &authority().issue(&["other.example"]))
        .certificate("c", &authority().issue(&["loaded.example"]))
        .backend(echo())
        .write();
    let certs = |name| {
        let output = portunus(folder.path(), &["certs", name, "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let file = |listener: usize, client: usize| {
            let file = &json["listeners"][listener]["clients"][client]["certificate"]["chain_file"];
            file.as_str().and_then(|file| file.rsplit('/').next()).map(str::to_owned)
        };
        let files = [0, 1].map(|listener| [0, 2].map(|client| file(listener, client)));
        (output.status.code(), files)
    };
    let file = |name: &str| Some(name.to_owned());
    let expected = [[file("a.pem"), None], [None, file("b.pem")]];
    assert_eq!(certs("app.example"), (Some(0), expected));
    let expected = [[None, None], [file("b.pem"), file("b.pem")]];
    assert_eq!(certs("other.example"), (Some(0), expected));
    let expected = [[None, None], [None, file("b.pem")]];
    assert_eq!(certs("loaded.example"), (Some(1), expected), "loaded, but the name of no site");

    let words = portunus(folder.path(), &["certs", "loaded.example"]);
    assert_eq!(words.status.code(), Some(1));
    for word in ["`strict`", "`open`", "no site", "no_sni", "unrecognized_name", "first site"] {
        assert!(out(&words).contains(word), "{word}: {}", out(&words));
    }
}

#[tokio::test]
async fn certs_lists_everything_with_what_an_operator_looks_for() {
    let good = authority().issue(&["app.example", "*.app.example"]);
    let folder = Proxy::builder()
        .listener(tls("app.example"))
        .file("certs.d/a.crt", &good.chain)
        .file("certs.d/a.key", &good.key)
        .file("certs.d/bad\u{1b}[31m.pem", "")
        .backend(echo())
        .write();
    let list = out(&portunus(folder.path(), &["certs"]));
    let expected = [
        "as a new process would serve the files; `portunus status` tells what is kept",
        "loaded: 1 certificate",
        "  certs.d/a.crt",
        "    names    app.example, *.app.example",
        "    key      ECDSA P-256, in certs.d/a.key",
        "    issuer   CN=Portunus test suite",
        "    expires  2106-02-07 06:28 UTC, in 79 years",
        "skipped: 1 file",
        r"  certs.d/bad\u{1b}[31m.pem",
        "    reason   is empty; copy it again, whole",
    ];
    let lines: Vec<_> = list.lines().filter(|line| !line.is_empty()).collect();
    let years = |line: &str| line.split(", in ").next().unwrap_or_default().to_owned();
    let (lines, expected) = (lines.into_iter().map(years), expected.into_iter().map(years));
    assert_eq!(lines.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{list}");
}

#[tokio::test]
async fn certs_explains_in_words_that_need_no_dictionary() {
    let folder = Proxy::builder()
        .listener(https("app.example"))
        .certificate("ecdsa", &authority().issue(&["app.example"]))
        .certificate("rsa", &authority().issue_with(Key::Rsa, &["app.example"]))
        .backend(echo())
        .write();
    let words = out(&portunus(folder.path(), &["certs", "app.example"]));
    for word in [
        "listener `https`, for app.example",
        "modern client (TLS 1.3, and checks ECDSA and RSA)",
        "gets     certs.d/ecdsa.pem (ECDSA P-256, until ",
        "because  the certificate states this name; ECDSA P-256 goes before RSA 2048",
        "RSA-only client (TLS 1.2, and checks RSA only)",
        "gets     certs.d/rsa.pem (RSA 2048, until ",
        "this client cannot verify ECDSA P-256 of certs.d/ecdsa.pem",
        "client without SNI (does not say which name it wants)",
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    let nobody = out(&portunus(folder.path(), &["certs", "nobody.example"]));
    assert!(nobody.contains("gets     nothing but the alert unrecognized_name"), "{nobody}");
}
