//! Files that go bad, or whose time is over: certificates, authorities, lists, the configuration.

use std::fs;
use std::path::Path;

use portunus_tests::{
    ClientAuthority, Flaw, Key, Proxy, authority, echo, greeter, now, tls, unreachable, write,
};

use super::{NAME, watch};

const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_told_of_in_time_by_their_own_lifetimes() {
    let between = |name: &str, from: i64, to: i64| {
        authority().issue_between(Key::Ecdsa, &[name], now() + from, now() + to)
    };
    let proxy = Proxy::builder()
        .listener(tls(NAME).without_sites())
        .certificate("fresh", &between(NAME, -60 * DAY, 30 * DAY))
        .certificate("late", &between("late.example", -80 * DAY, 15 * DAY))
        .certificate("short", &between("short.example", -22 * 3600, 2 * 3600))
        .certificate("over", &between("over.example", -90 * DAY, 12))
        .backend(echo())
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.fires("PortunusCertificateNotRenewed").await;
    watch.fires("PortunusCertificateEnding").await;
    watch.fires("PortunusCertificateExpired").await;
    let told = async |name: &str| {
        let alerts = watch.server.alerts().await.into_iter().filter(|alert| alert.name == name);
        let mut told: Vec<_> = alerts.map(|alert| alert.labels["certificate"].clone()).collect();
        told.sort();
        let stem = |label: &String| Path::new(label).file_stem().unwrap().display().to_string();
        told.iter().map(stem).collect::<Vec<_>>()
    };
    assert_eq!(told("PortunusCertificateNotRenewed").await, ["late", "short"]);
    assert_eq!(told("PortunusCertificateEnding").await, ["short"]);
    assert_eq!(told("PortunusCertificateExpired").await, ["over"]);
    for (file, name) in [("late", "late.example"), ("short", "short.example")] {
        proxy.replace_certificate(file, &between(name, -DAY, 89 * DAY)).await;
    }
    watch.is_over("PortunusCertificateNotRenewed").await;
    watch.is_over("PortunusCertificateEnding").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_certificate_is_told_of_until_it_is_mended() {
    let good = authority().issue(&[NAME]);
    let proxy = Proxy::builder().listener(tls(NAME)).certificate("app", &good).backend(echo());
    let proxy = proxy.start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let file = proxy.folder().join("certs.d/app.pem");
    write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n");
    watch.fires("PortunusLastGoodCertificates").await;
    assert!(!watch.firing().await.contains("PortunusCertificateFilesSkipped"), "told of once");
    // What is there no more to keep is a file that was never good.
    write(&proxy.folder().join("certs.d/other.pem"), "no certificate\n");
    write(&file, &good.pem());
    watch.is_over("PortunusLastGoodCertificates").await;
    watch.fires("PortunusCertificateFilesSkipped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_rejected_is_told_of_and_so_is_an_upgrade_to_it() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).taking_orders().start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let path = proxy.folder().join("config.toml");
    let good = fs::read_to_string(&path).unwrap();
    write(&path, &good.replace("[server]", "[server]\nwrokers = 1"));
    watch.fires("PortunusConfigurationRejected").await;
    let (status, told) = proxy.order("/upgrade").await;
    assert_ne!(status, 200, "{told}");
    watch.fires("PortunusUpgradeFailed").await;
    write(&path, &good);
    proxy.order("/reload").await;
    watch.is_over("PortunusConfigurationRejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decides_who_is_let_in_is_told_of_before_it_ends_and_afterwards() {
    let clients = ClientAuthority::new("clients");
    let (over, soon) = (now() + 12, now() + 3600);
    let revoked = clients.issue("revoked", Flaw::Nothing);
    let list = clients.crl_between(&[&revoked], now() - DAY, over);
    let others = ClientAuthority::new("others");
    let of_others = others.crl_between(&[&revoked], now() - DAY, soon);
    let keys = "client_auth = { ca = \"clients.pem\", crl = [\"over.pem\", \"soon.pem\"] }";
    let tls_keys = "{ ca = \"clients.pem\", credential = \"own.pem\" }";
    let proxy = Proxy::builder()
        .listener(tls("open.example").site_with(NAME, "app", keys))
        .certificate("open", &authority().issue(&["open.example", NAME]))
        .file("clients.pem", &format!("{}{}", clients.pem(), others.pem()))
        .file("over.pem", &list)
        .file("soon.pem", &of_others)
        .file("own.pem", &clients.issue_until("we", now() + 3600).pem())
        .backend(greeter("welcome"))
        .backend_named("safe", unreachable())
        .set("backend.safe.tls", tls_keys)
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    let ending = watch.fires("PortunusRevocationListEnding").await;
    assert!(ending.labels["crl"].ends_with(".pem"), "{:?}", ending.labels);
    for alert in ["PortunusBackendCredentialNotRenewed", "PortunusBackendCredentialEnding"] {
        assert_eq!(watch.fires(alert).await.labels["backend"], "safe");
    }
    let expired = watch.fires("PortunusRevocationListExpired").await;
    assert!(expired.labels["crl"].ends_with("over.pem"), "{:?}", expired.labels);
    write(&proxy.folder().join("clients.pem"), "nobody\n");
    watch.fires("PortunusClientAuthoritiesUnread").await;
    let longer = clients.crl_between(&[&revoked], now() - DAY, now() + 30 * DAY);
    write(&proxy.folder().join("over.pem"), &longer);
    watch.is_over("PortunusRevocationListExpired").await;
}
