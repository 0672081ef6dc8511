//! A proxy that has something to tell about everything.
//!
//! Owns its configuration and the traffic. What is asked of it is the tests' own.

use std::fs;

use portunus_tests::{
    ClientAuthority, Credential, Flaw, Key, Proxy, Wallet, authority, clear, echo, http, https,
    now, tls, unreachable, write,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::staple;

/// A name that would be a tag, if a page were careless.
pub(crate) const EVIL: &str = "<script>alert(1)</script>";

/// Sites with and without certificates of clients, each kind of listener, backends of which one is
/// away, a shared tier; certificates that are good, about to end, stapled, pending and bad; clients
/// that came, came back and failed; a configuration that was rejected.
pub(crate) async fn rich() -> Proxy {
    let clients = ClientAuthority::new("clients");
    let revoked = clients.issue("mallory", Flaw::Nothing);
    let soon =
        authority().issue_between(Key::Rsa, &["soon.example"], now() - 80 * DAY, now() + DAY);
    let stapled = authority().issue(&["app.example"]);
    let auth = "client_auth = { ca = \"clients.pem\", crl = [\"clients.crl\"] }";
    let site = https("app.example").site_with("vip.example", "app", auth);
    let builder = Proxy::builder()
        .listener(site)
        .listener(tls("mail.example").named("mail").with("starttls", "\"smtp\"").to("mail"))
        .listener(clear("out", "away"))
        .backend(http())
        .endpoints("mail", &[&echo().endpoint().replace("127.0.0.1", "localhost")])
        .set("backend.app.health", "{ path = \"/\", interval = \"1s\" }")
        .backend_named("away", unreachable())
        .set("backend.away.tls", "{ ca = \"ca.pem\" }")
        .set("resumption.shared", SHARED)
        .set("server.memory_max", "\"2 GiB\"")
        .set("server.sandbox", "\"auto\"")
        .file("sealing.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
        .file("clients.pem", &clients.pem())
        .file("clients.crl", &clients.crl(&[&revoked]))
        .certificate("app", &stapled)
        .certificate("mail", &authority().issue(&["mail.example", "vip.example"]))
        .certificate("soon", &soon)
        .file(&format!("certs.d/{}.pem", EVIL.replace('/', "\u{2215}")), "")
        .taking_orders();
    let proxy = builder.start().await;
    staple_it(&proxy, &stapled).await;
    visit(&proxy).await;
    renew_too_early(&proxy).await;
    reject(&proxy).await;
    proxy
}

async fn staple_it(proxy: &Proxy, credential: &Credential) {
    let aside = tempfile::tempdir().unwrap();
    let good = staple::response(aside.path(), credential, "V\t400101000000Z\t").await;
    let Some(response) = good else { return };
    fs::write(proxy.folder().join("certs.d/app.ocsp"), response).unwrap();
    let until = "portunus_certificate_staple_next_update_seconds";
    proxy.wait_for_metric(until, &[], |end| end > 0.0).await;
}

/// Somebody comes, comes back, and asks for names that are not served or are none.
async fn visit(proxy: &Proxy) {
    let client =
        || proxy.client("app.example").alpn(&["http/1.1"]).resumption(Wallet::new().sessions());
    for client in [client(), client().tls12()] {
        for _ in 0..2 {
            let mut client = client.connect().await;
            client.ticket().await;
            client.send(GET).await;
            client.receive_all().await.unwrap();
        }
    }
    proxy.client("nobody.example").try_connect().await.unwrap_err();
    let hello = proxy.client("nobody.example").hello();
    let place = hello.windows(14).position(|bytes| bytes == b"nobody.example").unwrap();
    let hello = [&hello[..place], b"<script>alert(", &hello[place + 14..]].concat();
    let mut tcp = proxy.client("nobody.example").tcp().await;
    tcp.write_all(&hello).await.unwrap();
    let _ = tcp.read_to_end(&mut Vec::new()).await;
    let failures = "portunus_handshake_failures_total";
    proxy.wait_for_metric(failures, &[], |count| count == 2.0).await;
}

/// A certificate comes whose time has not come.
async fn renew_too_early(proxy: &Proxy) {
    let (from, to) = (now() + DAY, now() + 90 * DAY);
    let early = authority().issue_between(Key::Ecdsa, &["soon.example"], from, to);
    write(&proxy.folder().join("certs.d/soon.pem"), &early.pem());
    let pending = [("state", "pending")];
    proxy.wait_for_metric("portunus_certificates", &pending, |count| count == 1.0).await;
}

/// A configuration with errors is read, and stays where it is.
async fn reject(proxy: &Proxy) {
    let path = proxy.folder().join("config.toml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{good}\n[backend.{EVIL:?}]\nendpoints = []\n")).unwrap();
    assert_eq!(proxy.order("/reload").await.0, 409);
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";
const DAY: i64 = 24 * 60 * 60;
const SHARED: &str =
    "{ url = \"file:sessions\", sealing_key = \"file:sealing.key\", timeout = \"20ms\" }";
