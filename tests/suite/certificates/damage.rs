//! Bad changes: what was good goes on being served, and the log says which file is why.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use portunus_tests::{Credential, Proxy, authority, echo, tls, write};

use super::{becomes, served};

const NAME: &str = "app.example";

/// A proxy whose certificate and key lie in files of their own.
async fn paired(credential: &Credential) -> Proxy {
    Proxy::builder()
        .listener(tls(NAME))
        .file("certs.d/app.crt", &credential.chain)
        .file("certs.d/app.key", &credential.key)
        .backend(echo())
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_match_keeps_the_last_good_pair() {
    let (old, new) = (authority().issue(&[NAME]), authority().issue(&[NAME]));
    let proxy = paired(&old).await;
    let folder = proxy.folder().join("certs.d");
    write(&folder.join("app.key"), &new.key);
    proxy.reload().await;
    assert_eq!(served(&proxy, NAME).await, old.leaf);
    proxy.wait_for_metric("portunus_certificates", &[("state", "skipped")], |n| n >= 1.0).await;
    let named = |line: &portunus_tests::Line| line.field("path").contains("app.").then_some(());
    proxy.process().line("the pair that does not match", named).await;
    // The rest of the rotation arrives.
    write(&folder.join("app.crt"), &new.chain);
    becomes(&proxy, NAME, &new.leaf).await;
    proxy.wait_for_metric("portunus_certificates", &[("state", "skipped")], |n| n == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_waits_for_its_key_keeps_the_last_good_pair() {
    let (old, new) = (authority().issue(&[NAME]), authority().issue(&[NAME]));
    let proxy = paired(&old).await;
    let folder = proxy.folder().join("certs.d");
    write(&folder.join("app.crt"), &new.chain);
    proxy.reload().await;
    assert_eq!(served(&proxy, NAME).await, old.leaf);
    write(&folder.join("app.key"), &new.key);
    becomes(&proxy, NAME, &new.leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_keeps_the_last_good_one_and_is_named() {
    let old = authority().issue(&[NAME]);
    let proxy =
        Proxy::builder().listener(tls(NAME)).certificate("app", &old).backend(echo()).start().await;
    let file = proxy.folder().join("certs.d/app.pem");
    let pem = old.pem();
    let damages = [
        String::new(),
        pem[..pem.len() / 2].to_owned(),
        "not a certificate at all\n".to_owned(),
        pem.replace("-----END", "----END"),
        pem.replacen('M', "!", 3),
    ];
    for damage in &damages {
        write(&file, damage);
        proxy.reload().await;
        assert_eq!(served(&proxy, NAME).await, old.leaf, "{damage:?}");
        let skipped = proxy.wait_for_log("file skipped", &[]).await;
        assert!(skipped.field("path").ends_with("certs.d/app.pem"), "{}", skipped.text());
        assert!(!skipped.field("error").is_empty(), "{}", skipped.text());
    }
    let new = authority().issue(&[NAME]);
    write(&file, &new.pem());
    becomes(&proxy, NAME, &new.leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_at_the_start_is_skipped_and_the_others_are_served() {
    let good = authority().issue(&[NAME]);
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("good", &good)
        .file("certs.d/bad.pem", "-----BEGIN CERTIFICATE-----\n")
        .file("certs.d/empty.pem", "")
        .file("certs.d/notes.txt", "nobody reads this")
        .backend(echo())
        .start()
        .await;
    assert_eq!(served(&proxy, NAME).await, good.leaf);
    let lines = proxy.process().lines();
    let skipped = |name: &str| {
        let ours = |line: &&portunus_tests::Line| line.field("path").ends_with(name);
        lines.iter().filter(ours).filter(|line| line.says("file skipped", &[])).count()
    };
    assert_eq!((skipped("bad.pem"), skipped("empty.pem"), skipped("notes.txt")), (1, 1, 0));
    assert_eq!(proxy.metric("portunus_certificates", &[("state", "skipped")]).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_keeps_the_last_good_one() {
    let old = authority().issue(&[NAME]);
    let proxy = paired(&old).await;
    let key = proxy.folder().join("certs.d/app.key");
    // Root may read everything, so what cannot be read here is what is not a file.
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    proxy.reload().await;
    assert_eq!(served(&proxy, NAME).await, old.leaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_permissions_forbid_to_read_keeps_the_last_good_one_until_they_allow_it() {
    let old = authority().issue(&[NAME]);
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("app", &old)
        .backend(echo())
        .unprivileged()
        .start()
        .await;
    let new = authority().issue(&[NAME]);
    let file = proxy.folder().join("certs.d/app.pem");
    let aside = file.with_extension("aside");
    write(&aside, &new.pem());
    let mode = |mode| fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    fs::set_permissions(&aside, Permissions::from_mode(0o000)).unwrap();
    fs::rename(&aside, &file).unwrap();
    proxy.reload().await;
    assert_eq!(served(&proxy, NAME).await, old.leaf);
    let skipped = proxy.wait_for_log("file skipped", &[]).await;
    assert!(skipped.field("path").ends_with("certs.d/app.pem"), "{}", skipped.text());
    assert!(skipped.field("error").contains("Permission denied"), "{}", skipped.text());
    // Nothing but the mode changes: the bytes are those that could not be read.
    mode(0o644);
    becomes(&proxy, NAME, &new.leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carriage_returns_and_words_between_sections_are_no_damage() {
    let good = authority().issue(&[NAME]);
    let pem = format!("\u{feff}subject=CN = {NAME}\n{}\nsome words\n{}", good.chain, good.key);
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .file("certs.d/app.pem", &pem.replace('\n', "\r\n"))
        .backend(echo())
        .start()
        .await;
    assert_eq!(served(&proxy, NAME).await, good.leaf);
}
