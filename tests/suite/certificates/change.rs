//! Good changes: every manner in which files change ends in the new certificate, without a signal.

use std::fs;

use portunus_tests::wait::eventually;
use portunus_tests::{Credential, Proxy, authority, echo, tls, write, write_and_rename};

use super::volume::Volume;
use super::{becomes, served};

const NAME: &str = "app.example";

/// A proxy that finds changes by being told of them: the poll is too far away to help.
async fn watching() -> Proxy {
    Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("certificates.poll_interval", "\"1h\"")
        .start()
        .await
}

fn renewed() -> Credential {
    authority().issue(&[NAME])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_renamed_over_the_old_one_is_served() {
    let proxy = watching().await;
    for _ in 0..3 {
        let new = renewed();
        write_and_rename(&proxy.folder().join("certs.d/app.example.pem"), &new.pem());
        becomes(&proxy, NAME, &new.leaf).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_place_is_served() {
    let proxy = watching().await;
    for _ in 0..3 {
        let new = renewed();
        write(&proxy.folder().join("certs.d/app.example.pem"), &new.pem());
        becomes(&proxy, NAME, &new.leaf).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_and_made_again_is_served() {
    let proxy = watching().await;
    let file = proxy.folder().join("certs.d/app.example.pem");
    for _ in 0..3 {
        let new = renewed();
        fs::remove_file(&file).unwrap();
        write(&file, &new.pem());
        becomes(&proxy, NAME, &new.leaf).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_deleted_and_made_again_is_served() {
    let proxy = watching().await;
    let folder = proxy.folder().join("certs.d");
    for _ in 0..3 {
        let new = renewed();
        fs::remove_dir_all(&folder).unwrap();
        write(&folder.join("other-name.pem"), &new.pem());
        becomes(&proxy, NAME, &new.leaf).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_turned_as_kubernetes_does_is_served() {
    let first = renewed();
    let volume = Volume::new(&first);
    let paths = format!("[{:?}]", volume.path());
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .file("unused", "")
        .backend(echo())
        .set("certificates.paths", &paths)
        .set("certificates.poll_interval", "\"1h\"")
        .start()
        .await;
    assert_eq!(served(&proxy, NAME).await, first.leaf);
    for generation in 2..5 {
        let new = renewed();
        volume.turn(generation, &new);
        becomes(&proxy, NAME, &new.leaf).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_added_is_served_and_one_that_is_removed_is_not() {
    let both = tls(NAME).site("new.example", "app");
    let proxy =
        Proxy::builder().listener(both).certificate(NAME, &renewed()).backend(echo()).start().await;
    proxy.client("new.example").try_connect().await.unwrap_err();
    let new = authority().issue(&["new.example"]);
    let file = proxy.folder().join("certs.d/new.pem");
    write_and_rename(&file, &new.pem());
    eventually("the new name", async || proxy.client("new.example").try_connect().await.ok()).await;
    fs::remove_file(&file).unwrap();
    eventually("the end of the name", async || {
        proxy.client("new.example").try_connect().await.err()
    })
    .await;
    served(&proxy, NAME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_goes_on_and_on_and_says_only_what_is_new() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("certificates.poll_interval", "\"1s\"")
        .start()
        .await;
    let name = "portunus_certificate_reloads_total";
    let (unchanged, changed) = ([("result", "unchanged")], [("result", "changed")]);
    let before = proxy.metric(name, &changed).await;
    let new = renewed();
    write_and_rename(&proxy.folder().join("certs.d/app.example.pem"), &new.pem());
    becomes(&proxy, NAME, &new.leaf).await;
    // It is counted a moment after it is served.
    let count = proxy.wait_for_metric(name, &changed, |count| count > before).await;
    let before = proxy.metric(name, &unchanged).await;
    // Most of the readings find nothing, and say nothing.
    proxy.wait_for_metric(name, &unchanged, |count| count >= before + 2.0).await;
    assert_eq!(proxy.metric(name, &changed).await, count);
    let lines = proxy.process().lines();
    let said = lines.iter().filter(|line| line.says("certificates read", &[])).count();
    assert_eq!(said, 2, "once at the start, once for the change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_signal_reads_the_certificates_and_says_so() {
    let proxy = watching().await;
    let before = served(&proxy, NAME).await;
    let said = |proxy: &Proxy| {
        let lines = proxy.process().lines();
        lines.iter().filter(|line| line.says("certificates read", &[])).count()
    };
    let count = said(&proxy);
    proxy.reload().await;
    // A line is written a moment after what it tells of.
    let told = eventually("the reading to be told", async || {
        let told = said(&proxy);
        (told > count).then_some(told)
    });
    assert_eq!(told.await, count + 1);
    assert_eq!(served(&proxy, NAME).await, before);
}
