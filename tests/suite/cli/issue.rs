//! `portunus issue`: a certificate for development, and the authority behind it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use portunus_tests::foreign::openssl;

use super::{err, out, portunus};
use crate::tidy::root;

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
