//! The command line: words for people, data for programs, and a code for both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use portunus_tests::foreign::openssl;
use portunus_tests::{Key, Proxy, authority, command, echo, https, tls, write};

use crate::tidy::root;

/// Runs the product in `folder` to its end.
fn portunus(folder: &Path, arguments: &[&str]) -> Output {
    command().args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_arguments_there_is_help() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["--help"], &["help"]] {
        let output = portunus(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        for command in ["demo", "run", "check", "issue", "certs", "completions", "man"] {
            assert!(out(&output).contains(command), "{command}: {}", out(&output));
        }
    }
    let version = portunus(folder.path(), &["--version"]);
    assert_eq!(out(&version), format!("portunus {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_64() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["rnu"][..], &["run", "--cofnig", "x"], &["issue"], &["run"], &["check"]] {
        let output = portunus(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", err(&output));
        assert!(out(&output).is_empty() && !err(&output).is_empty(), "{arguments:?}");
    }
    assert!(err(&portunus(folder.path(), &["run"])).contains("config.toml"), "the file is named");
}

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
async fn the_reference_runs_as_it_is_with_an_issued_certificate() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("config.toml"), folder.path().join("config.toml")).unwrap();
    let issued = portunus(folder.path(), &["issue", "localhost", "--out", "certs.d"]);
    assert_eq!(issued.status.code(), Some(0), "{}", err(&issued));
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let files: Vec<_> = out(&issued).lines().map(|line| folder.path().join(line)).collect();
    let [chain, key, ca] = files.as_slice() else { panic!("{files:?}") };
    let mode = fs::metadata(key).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the key: {mode:o}");
    let Some(openssl) = openssl() else { return };
    let verify = openssl.args(["verify", "-purpose", "sslserver", "-verify_hostname", "localhost"]);
    verify.arg("-CAfile").arg(ca).arg(chain).run().await.expect_success();
}

#[test]
fn one_authority_issues_for_many_names_and_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let issue = |names: &[&str]| {
        let output = portunus(folder.path(), &[&["issue", "--out", "d"], names].concat());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        fs::read(folder.path().join(out(&output).lines().nth(2).unwrap())).unwrap()
    };
    let first = issue(&["localhost", "*.dev.example", "127.0.0.1", "::1"]);
    assert_eq!(issue(&["other.example"]), first, "the authority stays the same");
}

#[test]
fn a_name_that_is_none_is_wrong_usage_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for names in [&["not a name"][..], &["good.example", "a..b"]] {
        let output = portunus(folder.path(), &[&["issue", "--out", "d"], names].concat());
        assert_eq!(output.status.code(), Some(64), "{}", err(&output));
        let quoted = format!("`{}`", names.last().unwrap());
        assert!(err(&output).contains(&quoted), "{}", err(&output));
        assert!(!folder.path().join("d").exists(), "nothing is left behind");
    }
    let address = portunus(folder.path(), &["issue", "--out", "d", "::1"]);
    let chain = out(&address).lines().next().unwrap().to_owned();
    assert!(folder.path().join(&chain).is_file() && !chain.contains(':'), "{chain}");
}

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

#[test]
fn completions_and_the_manual_are_made_from_the_same_definitions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = portunus(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(out(&output).contains("completions"), "{shell}");
    }
    let manual = portunus(folder.path(), &["man"]);
    assert_eq!(manual.status.code(), Some(0));
    assert!(out(&manual).contains(".TH portunus"), "{}", out(&manual));
    assert_eq!(out(&manual).matches(".TH").count(), 1, "one page");
    let plain = out(&manual).replace('\\', "");
    for word in ["--config", "PORTUNUS_CONFIG", "--out", "--json", "--port", "--admin-port"] {
        assert!(plain.contains(word), "{word}: {plain}");
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
async fn output_that_nobody_takes_is_no_panic() {
    let folder = Proxy::builder().listener(tls("app.example")).backend(echo()).write();
    for arguments in EVERYTHING_THAT_PRINTS {
        let mut full = command();
        full.args(*arguments).current_dir(folder.path());
        let device = fs::File::options().write(true).open("/dev/full").unwrap();
        let full = full.stdout(device).output().unwrap();
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {}", err(&full));
        let said = "error: cannot write to standard output: ";
        assert!(err(&full).contains(said), "{arguments:?}: {}", err(&full));

        let mut left = command();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = left.args(*arguments).current_dir(folder.path()).stdout(writer);
        let left = left.output().unwrap();
        assert_eq!(left.status.code(), Some(0), "{arguments:?}: {}", err(&left));
        assert!(!err(&left).contains("error"), "{arguments:?}: {}", err(&left));
    }
    let device = fs::File::options().write(true).open("/dev/full").unwrap();
    let mute = command().args(["check", "--config", "none"]).stderr(device).status().unwrap();
    assert_eq!(mute.code(), Some(64), "nor is it one where errors go");
}

#[tokio::test]
async fn a_variable_that_says_nothing_is_as_good_as_none() {
    let folder = Proxy::builder().listener(tls("app.example")).backend(echo()).write();
    let mut check = command();
    check.arg("check").current_dir(folder.path());
    let empty = check.env("PORTUNUS_CONFIG", "").output().unwrap();
    assert_eq!(empty.status.code(), Some(0), "{}", err(&empty));
    let other = check.env("PORTUNUS_CONFIG", "other.toml").output().unwrap();
    assert_eq!(other.status.code(), Some(64), "{}", err(&other));
    assert!(err(&other).contains("other.toml"), "{}", err(&other));
}

fn in_folder(folder: &Path) -> String {
    folder.join("config.toml").display().to_string()
}

const EVERYTHING_THAT_PRINTS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["certs"],
    &["certs", "app.example"],
    &["certs", "--json"],
    &["check"],
    &["completions", "bash"],
    &["man"],
];
