//! Bundles and lists that are bad at the start: the proxy refuses to run, and says which file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use portunus_tests::{Builder, ClientAuthority, Flaw, Proxy, command, greeter, tls, write};

use super::GREETING;

const NAME: &str = "app.example";

/// A proxy that needs `ca` and `crl`, which are paths.
fn proxy(ca: &str, crl: &str) -> Builder {
    let keys = format!("client_auth = {{ ca = {ca:?}, crl = [{crl:?}] }}");
    let credential = portunus_tests::authority().issue(&[NAME]);
    let listener = tls("open.example").site_with(NAME, "app", &keys);
    Proxy::builder().listener(listener).certificate("app", &credential).backend(greeter(GREETING))
}

/// It ends with code 1 and names the file, and `check` says the same without running it.
async fn refuses(builder: Builder, file: &str, what: &str) {
    let folder = builder.write();
    let config = folder.path().join("config.toml");
    let checked = command().arg("check").arg("--config").arg(&config).stdin(Stdio::null()).output();
    let checked = checked.unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    // Root may read what nobody else may.
    if !what.contains("unreadable") {
        assert_eq!(checked.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains(file), "{what}: {said}");
    }
    let (_folder, process) = builder.spawn();
    let status = process.exit().await;
    let log = process.text().join("\n");
    assert_eq!(status.code(), Some(1), "{what}: {log}");
    assert!(log.contains(file), "{what}: {log}");
    assert!(!log.contains("\"listening\""), "{what}: it listened first: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_bundle_or_list_is_named_and_nothing_is_served() {
    let clients = ClientAuthority::new("clients");
    let (ca, crl) = (clients.pem(), clients.crl(&[]));
    let leaf = clients.issue("client", Flaw::Nothing);
    let half = |text: &str| text[..text.len() / 2].to_owned();
    for (what, text) in [
        ("an empty bundle", String::new()),
        ("half a bundle", half(&ca)),
        ("a bundle and a half", format!("{ca}{}", half(&ca))),
        ("a key for a bundle", leaf.key.clone()),
        ("words for a bundle", "nobody is trusted here\n".to_owned()),
        ("a list for a bundle", crl.clone()),
    ] {
        let builder = proxy("clients.pem", "list.pem");
        let builder = builder.file("clients.pem", &text).file("list.pem", &crl);
        refuses(builder, "clients.pem", what).await;
    }
    for (what, text) in [
        ("an empty list", String::new()),
        ("half a list", half(&crl)),
        ("a list and a half", format!("{crl}{}", half(&crl))),
        ("a bundle for a list", ca.clone()),
        ("words for a list", "nobody is revoked\n".to_owned()),
    ] {
        let builder = proxy("clients.pem", "list.pem");
        let builder = builder.file("clients.pem", &ca).file("list.pem", &text);
        refuses(builder, "list.pem", what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_or_list_that_is_missing_or_no_file_is_named_and_nothing_is_served() {
    let clients = ClientAuthority::new("clients");
    let (ca, crl) = (clients.pem(), clients.crl(&[]));
    let with_ca = || proxy("clients.pem", "list.pem").file("clients.pem", &ca);
    let with_crl = || proxy("clients.pem", "list.pem").file("list.pem", &crl);
    refuses(with_crl(), "clients.pem", "no bundle").await;
    refuses(with_ca(), "list.pem", "no list").await;
    let inside = |path| format!("{path}/inside.pem");
    refuses(with_crl().file(&inside("clients.pem"), &ca), "clients.pem", "a folder").await;
    refuses(with_ca().file(&inside("list.pem"), &crl), "list.pem", "a folder").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_or_list_that_permissions_forbid_to_read_is_named_and_nothing_is_served() {
    let clients = ClientAuthority::new("clients");
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        write(&path, text);
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, crl) = (clients.pem(), clients.crl(&[]));
    let (secret_ca, secret_crl) = (put("clients.pem", &ca), put("list.pem", &crl));
    let builder = proxy(&secret_ca, "list.pem").file("list.pem", &crl).unprivileged();
    refuses(builder, &secret_ca, "an unreadable bundle").await;
    let builder = proxy("clients.pem", &secret_crl).file("clients.pem", &ca).unprivileged();
    refuses(builder, &secret_crl, "an unreadable list").await;
}
