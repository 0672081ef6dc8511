//! Configurations that cannot be had: everything that is wrong is told, and nothing changes.

use std::net::TcpListener;

use portunus_tests::{Proxy, echo, tls};

use super::{NAME, add, builder, edit, generation, refused, reload};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_every_error_is_told() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut open = proxy.client(NAME).connect().await;
    edit(
        &proxy,
        &[("backend = \"app\"", "backend = \"ap\""), ("mode = \"tcp\"", "mode = \"ftp\"")],
    );
    let errors = refused(&proxy).await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|error| error.contains("config.toml:")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("did you mean `app`")), "{errors:?}");
    open.send(b"still here").await;
    open.expect(b"still here").await;
    proxy.client(NAME).connect().await;
    assert_eq!(generation(&proxy).await, 1.0);
    let rejected = [("result", "rejected")];
    assert_eq!(proxy.metric("portunus_config_reloads_total", &rejected).await, 1.0);
    edit(
        &proxy,
        &[("backend = \"ap\"", "backend = \"app\""), ("mode = \"ftp\"", "mode = \"tcp\"")],
    );
    assert_eq!(reload(&proxy).await["result"], "unchanged");
    assert_eq!(generation(&proxy).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_addresses_that_cannot_be_had_are_all_told_and_nothing_is_served_of_it() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = somebody.local_addr().unwrap();
    add(
        &proxy,
        &format!(
            "[listener.hopeful]\nlisten = ['127.0.0.1:0']\nmode = 'tcp'\nbackend = 'app'\n\
             [listener.guarded]\nlisten = ['{taken}']\nmode = 'tcp'\nbackend = 'app'\n\
             client_auth.ca = 'nobody.pem'\n\
             [backend.far]\nendpoints = ['127.0.0.1:1']\ntls.ca = 'nowhere.pem'\n"
        ),
    );
    let errors = refused(&proxy).await;
    for part in ["nobody.pem", "nowhere.pem", &taken.to_string()] {
        assert!(errors.iter().any(|error| error.contains(part)), "no {part} in {errors:?}");
    }
    let numbers = proxy.admin("/metrics").await.text();
    for name in ["hopeful", "guarded", "far"] {
        assert!(!numbers.contains(&format!("\"{name}\"")), "{name} never was");
    }
    proxy.client(NAME).connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_beyond_every_limit_is_an_error_like_any_other() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    let hosts: String = (0..200_000).map(|n| format!("\"host-{n}.example\", ")).collect();
    edit(&proxy, &[("hosts = [\"app.example\"]", &format!("hosts = [{hosts}\"app.example\"]"))]);
    let errors = refused(&proxy).await;
    assert!(errors[0].contains("larger than"), "{errors:?}");
    proxy.client(NAME).connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_certificates_does_not_take_the_place_of_one_that_has_them() {
    let proxy = builder().listener(tls(NAME)).backend(echo()).start().await;
    portunus_tests::write(&proxy.folder().join("empty/notes.txt"), "");
    edit(&proxy, &[("paths = [\"certs.d\"]", "paths = [\"empty\"]")]);
    let errors = refused(&proxy).await;
    assert!(errors[0].contains("certificates"), "{errors:?}");
    proxy.client(NAME).connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_mended_is_read_without_being_asked_to() {
    let proxy = Proxy::builder()
        .taking_orders()
        .set("certificates.settle", "\"10ms\"")
        .set("certificates.poll_interval", "\"1h\"")
        .listener(tls(NAME))
        .backend(echo())
        .start()
        .await;
    let rejected = "portunus_config_reloads_total";
    let count = async |count: f64| {
        let wanted = move |value: f64| value >= count;
        proxy.wait_for_metric(rejected, &[("result", "rejected")], wanted).await
    };
    // A file that is bad, one that is not there, and one that is read with the configuration.
    portunus_tests::write(&proxy.folder().join("clients.pem"), "nothing yet");
    portunus_tests::write(&proxy.folder().join("later/notes.txt"), "a folder");
    let text = std::fs::read_to_string(proxy.folder().join("config.toml")).unwrap();
    let token = text.split_once("token = \"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    edit(&proxy, &[(token, "file:later/token")]);
    count(1.0).await;
    add(
        &proxy,
        "[listener.more]\nlisten = ['127.0.0.1:0']\n\
         mode = 'tcp'\nbackend = 'app'\nclient_auth.ca = 'clients.pem'\n\
         [backend.far]\nendpoints = ['127.0.0.1:1']\ntls.ca = 'later/ca.pem'\n",
    );
    count(2.0).await;
    portunus_tests::write(&proxy.folder().join("later/token"), token);
    count(3.0).await;
    let ca = std::fs::read_to_string(proxy.ca()).unwrap();
    portunus_tests::write(&proxy.folder().join("later/ca.pem"), &ca);
    count(4.0).await;
    portunus_tests::write_and_rename(&proxy.folder().join("clients.pem"), &ca);
    proxy.wait_for_metric("portunus_config_generation", &[], |number| number == 2.0).await;
}
