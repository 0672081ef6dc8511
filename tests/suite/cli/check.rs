//! `portunus check`: each thing that is wrong in a line of its own, and a code for scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use portunus_tests::foreign::openssl;
use portunus_tests::{Key, Proxy, authority, echo, https, tls, write};

use super::{err, out, portunus};

#[tokio::test]
async fn check_accepts_what_is_good_and_runs_nothing() {
    let folder = Proxy::builder().listener(tls("app.example")).backend(echo()).write();
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(!err(&output).contains("warning"), "{}", err(&output));
    let named = portunus(Path::new("/"), &["check", "--config", &in_folder(folder.path())]);
    assert_eq!(named.status.code(), Some(0), "{}", err(&named));
}

#[tokio::test]
async fn check_names_every_file_that_is_bad_and_warns_of_what_will_hurt() {
    let good = authority().issue(&["app.example"]);
    let other = authority().issue(&["other.example"]);
    let folder = Proxy::builder()
        .listener(tls("app.example").site("bare.example", "app"))
        .certificate("good", &good)
        .file("certs.d/empty.pem", "")
        .file("certs.d/half.pem", &good.pem()[..300])
        .file("certs.d/lonely.crt", &other.chain)
        .backend(echo())
        .write();
    let open = folder.path().join("certs.d/good.pem");
    fs::set_permissions(open, fs::Permissions::from_mode(0o644)).unwrap();
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    for file in ["empty.pem", "half.pem", "lonely.crt"] {
        let named = |line: &str| line.starts_with("error: ") && line.contains(file);
        assert!(err(&output).lines().any(named), "{file}: {}", err(&output));
    }
    for word in ["good.pem", "bare.example"] {
        let warned = |line: &str| line.starts_with("warning: ") && line.contains(word);
        assert!(err(&output).lines().any(warned), "{word}: {}", err(&output));
    }
}

#[tokio::test]
async fn check_fails_where_there_is_nothing_to_show_to_clients() {
    let folder = Proxy::builder()
        .listener(tls("app.example").without_sites())
        .file("certs.d/app.example/fullchain.pem", "in a subfolder")
        .backend(echo())
        .write();
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("no certificate is loaded"), "{}", err(&output));
    assert!(err(&output).contains("`certificates.paths`"), "{}", err(&output));
}

#[tokio::test]
async fn check_says_every_error_with_its_line_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[server]\nwrokers = 2\n[listener.https]\nlisten = [\"everywhere\"]\n\
                  backend = \"ap\"\n[backend.app]\nendpoints = [\"127.0.0.1\"]\n\
                  [limits]\nhandshake_timeout = 5\n";
    write(&folder.path().join("config.toml"), config);
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(64));
    let lines = [(2, "workers"), (4, "everywhere"), (5, "`app`"), (7, "127.0.0.1"), (9, "\"5s\"")];
    for (line, word) in lines {
        let place = format!("config.toml:{line}:");
        let said = err(&output);
        let place = said.find(&place).unwrap_or_else(|| panic!("line {line}: {said}"));
        assert!(said[place..].contains(word), "line {line}, {word}: {said}");
    }
}

#[tokio::test]
async fn check_says_what_will_hurt_requests() {
    let route = "[[listener.https.site.routes]]\npath = \"/old\"\n\
                 redirect = { to = \"https://{host}{path}\" }\n";
    let listener = https("app.example")
        .site_with("b.example", "app", route)
        .with("trusted_peers", "[\"0.0.0.0/0\", \"10.0.0.0/8\"]")
        .with("redirect_http", "{ listen = [\"127.0.0.1:0\"], challenges = \"acme\" }");
    let folder = Proxy::builder()
        .listener(listener)
        .backend(echo())
        .endpoints("spare", &["127.0.0.1:1"])
        .set("backend.spare.tls", "{ ca = \"backend-ca.pem\" }")
        .set("log.access", "\"logs/access.log\"")
        .write();
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    for (severity, words) in [
        ("error", "logs/access.log: there is no folder for the access log"),
        ("error", "backend `spare`: "),
        ("error", "backend-ca.pem does not exist; create it"),
        ("warning", "`trusted_peers` has `0.0.0.0/0`, so everybody is believed"),
        ("warning", "acme` for challenges"),
        ("warning", "the redirect of `/old` leads to where the client has come from"),
        ("warning", "backend `spare`: nothing leads to it"),
        ("warning", "backend `spare`: the certificate of `127.0.0.1:1` must bear that address"),
    ] {
        let said = |line: &str| line.starts_with(severity) && line.contains(words);
        assert!(err(&output).lines().any(said), "{words}: {}", err(&output));
    }
    assert!(!err(&output).contains("10.0.0.0/8"), "{}", err(&output));
}

fn in_folder(folder: &Path) -> String {
    folder.join("config.toml").display().to_string()
}

/// Has `openssl` do these things in `folder`; `false` if it is not here.
fn openssl_in(folder: &Path, steps: &[&str]) -> bool {
    let is_here = openssl().is_some();
    for step in steps.iter().filter(|_| is_here) {
        let mut openssl = Command::new("openssl");
        let done = openssl.args(step.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{step}: {}", err(&done));
    }
    is_here
}

/// What `check` says of `certs.d` in `folder`, without the path before the names of the files.
fn findings(folder: &Path) -> (Option<i32>, Vec<String>) {
    let output = portunus(folder, &["check"]);
    let lines = err(&output).lines().map(|line| line.replace("certs.d/", "")).collect();
    (output.status.code(), lines)
}

#[tokio::test]
async fn check_gives_the_exact_reason_for_each_kind_of_bad_file() {
    let good = authority().issue(&["app.example"]);
    let pem = good.pem();
    let reversed = format!("{}{pem}", authority().pem());
    let leaf = authority().pem().lines().count() + 1;
    let reversed_reason = format!(
        "line 1: an authority stands before the certificate of line {leaf} that it issued; the \
         leaf must come first"
    );
    let again = "copy it again, whole";
    let no_end = format!("line 1: the section `CERTIFICATE` has no end; {again}");
    let cases = [
        ("empty.pem", String::new(), format!("is empty; {again}")),
        ("half.pem", pem[..300].to_owned(), no_end.clone()),
        ("mark.pem", pem.replacen("TE-----\n", "TE----\n", 1), {
            format!("line 1: a BEGIN or END line is damaged or stands alone; {again}")
        }),
        ("end.pem", pem.replacen("END CERTIFICATE-----", "END CERTIFICATE----", 1), no_end),
        ("base64.pem", pem.replacen("MII", "M!I", 1), {
            format!("line 1: the section `CERTIFICATE` is not valid base64; {again}")
        }),
        ("words.pem", "nothing but words\n".to_owned(), {
            "holds neither a certificate nor a private key in PEM; delete it, or give it another \
             extension"
                .to_owned()
        }),
        ("reversed.pem", reversed, reversed_reason),
        ("lost.key", authority().issue(&["lost.example"]).key, {
            "no certificate in certs.d matches its private key; put its certificate there, or \
             delete it"
                .to_owned()
        }),
        ("lost.crt", authority().issue(&["lost.example"]).chain, {
            "no private key in certs.d matches its certificate; put its key there, or delete it"
                .to_owned()
        }),
    ];
    let mut proxy = Proxy::builder()
        .listener(tls("app.example"))
        .certificate("good", &good)
        .set("certificates.paths", "[\"certs.d\"]")
        .backend(echo());
    for (name, text, _) in &cases {
        proxy = proxy.file(&format!("certs.d/{name}"), text);
    }
    let folder = proxy.write();
    let (code, lines) = findings(folder.path());
    assert_eq!(code, Some(1));
    for (name, _, reason) in cases {
        let expected = format!("error: {name}: {reason}");
        assert!(lines.contains(&expected), "{expected}\n{lines:#?}");
    }
    assert_eq!(lines.len(), 9, "a line each, and no more: {lines:#?}");
}

#[tokio::test]
async fn check_names_the_algorithms_that_are_not_served_or_not_accepted() {
    let folder = Proxy::builder()
        .listener(tls("app.example"))
        .certificate("good", &authority().issue(&["app.example"]))
        .file("san.cnf", "subjectAltName=DNS:old.example\n")
        .backend(echo())
        .write();
    let files = folder.path();
    let steps = [
        "req -x509 -newkey rsa:2048 -noenc -keyout own.key -subj /CN=Own -out own.pem -days 9",
        "req -newkey rsa:2048 -noenc -keyout certs.d/old.key -subj /CN=old -out old.csr",
        "x509 -req -in old.csr -CA own.pem -CAkey own.key -CAcreateserial -sha1 -days 300 \
         -extfile san.cnf -out certs.d/old.pem",
        "x509 -in certs.d/good.pem -outform der -out certs.d/der.crt",
        "pkey -in certs.d/good.pem -aes256 -passout pass:x -out certs.d/secret.key",
        "genpkey -algorithm ed448 -out certs.d/ed448.key",
        "genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:1024 -out certs.d/small.key",
    ];
    if !openssl_in(files, &steps) {
        return;
    }
    for file in fs::read_dir(files.join("certs.d")).unwrap() {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(file.unwrap().path(), mode).unwrap();
    }
    let (code, lines) = findings(files);
    assert_eq!(code, Some(1));
    let use_these = "use ECDSA on P-256 or RSA with 2048 bits";
    let expected = [
        "error: der.crt: is DER, not PEM; convert it with `openssl x509 -inform der` or `openssl \
         pkey`"
            .to_owned(),
        format!("error: ed448.key: line 1: Ed448 keys are not supported; {use_these}"),
        "error: secret.key: line 1: the private key is encrypted; decrypt it with `openssl pkey`"
            .to_owned(),
        format!("error: small.key: line 1: 1024-bit RSA keys are not supported; {use_these}"),
        "warning: old.pem: is signed with SHA-1, which clients reject; have it issued again with \
         SHA-256"
            .to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn check_tells_what_dates_and_doubles_mean_for_clients() {
    let double = authority().issue(&["app.example", "b.example", "c.example", "d.example"]);
    let folder = Proxy::builder()
        .listener(tls("app.example").site("*.wild.example", "app"))
        .certificate("double", &double)
        .certificate("first", &authority().issue(&["app.example", "b.example", "c.example"]))
        .certificate("rsa", &authority().issue_with(Key::Rsa, &["app.example"]))
        .certificate("one", &authority().issue(&["one.wild.example"]))
        .file("san.cnf", "subjectAltName=DNS:late.example\n")
        .backend(echo())
        .write();
    let (code, lines) = findings(folder.path());
    let expected = [
        "warning: first.pem: app.example, b.example, c.example are served from double.pem; delete \
         the one that is not needed",
        "warning: listener `tls`: no certificate for `*.wild.example`; of its names only those \
         are served that a certificate states one by one",
    ];
    assert_eq!((code, lines), (Some(0), expected.map(str::to_owned).to_vec()), "no error, code 0");

    let files = folder.path();
    let steps = [
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout certs.d/late.key \
         -subj /CN=late -out late.csr",
        // With a day of life that ended before it began, as some tools and clocks manage.
        "x509 -req -in late.csr -signkey certs.d/late.key -days -1 -extfile san.cnf -out \
         certs.d/late.crt",
    ];
    if !openssl_in(files, &steps) {
        return;
    }
    let (code, lines) = findings(files);
    assert_eq!(code, Some(1));
    let expired = |line: &&String| line.starts_with("error: late.crt: expired on 20");
    let line = lines.iter().find(expired).unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(line.ends_with(", 24 hours ago, and clients refuse it; renew it"), "{line}");
}

#[tokio::test]
async fn check_counts_in_words_and_obeys_no_file_name() {
    let good = authority().issue(&["app.example"]);
    let folder = Proxy::builder()
        .listener(tls("app.example"))
        .certificate("good", &good)
        .file("certs.d/\u{1b}[2J\nerror: all is well\u{202e}.pem", "")
        .backend(echo())
        .write();
    let output = portunus(folder.path(), &["check"]);
    let (out, err) = (out(&output), err(&output));
    assert!(out.contains(": 1 listener, 1 backend, 1 certificate: 1 error, no warnings"), "{out}");
    let escaped = r"certs.d/\u{1b}[2J\nerror: all is well\u{202e}.pem: is empty";
    assert!(err.starts_with("error: ") && err.contains(escaped), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}
