//! What the backend is told of the client, which it may believe: the certificate as it was sent
//! (RFC 9440), and never anything that the client said of itself.

use std::sync::{Arc, Mutex};

use portunus_tests::foreign::{curl_for, openssl, url};
use portunus_tests::{
    Builder, ClientAuthority, Credential, Flaw, Listener, Proxy, authority, http, https, raw,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{caller, identity_file};

const OPEN: &str = "open.example";
const LEAF: &str = "leaf.example";
const CHAIN: &str = "chain.example";
const SILENT: &str = "silent.example";

fn site(listener: Listener, name: &str, forward: &str) -> Listener {
    let keys = format!(
        "client_auth = {{ mode = \"request\", ca = \"clients.pem\", forward = {forward:?} }}"
    );
    listener.site_with(name, "app", &keys)
}

fn proxy(clients: &ClientAuthority) -> Builder {
    let listener = site(site(https(OPEN), LEAF, "leaf"), CHAIN, "chain");
    Proxy::builder()
        .listener(site(listener, SILENT, "none"))
        .certificate("all", &authority().issue(&[OPEN, LEAF, CHAIN, SILENT]))
        .file("clients.pem", &clients.pem())
}

/// The certificate as a structured field, by OpenSSL's word: binary content stands between colons
/// (RFC 8941 §3.3.5).
async fn field(pem: &str) -> Option<String> {
    let der = openssl()?.args(["x509", "-outform", "der"]).input(pem).run().await;
    assert!(der.status.success(), "{}", der.everything());
    let text = openssl()?.args(["base64", "-A"]).input(&der.out).run().await.expect_success();
    Some(format!(":{}:", text.trim()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_gets_the_certificate_that_was_sent_and_none_if_none_was() {
    let clients = ClientAuthority::new("clients");
    let below = clients.intermediate("clients, below");
    let credential = below.issue("Zoë", Flaw::Nothing);
    let backend = http();
    let proxy = proxy(&clients).backend(&backend).start().await;
    let Some(leaf) = field(&credential.chain).await else { return };
    let rest = credential.chain.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
    let rest = field(rest).await.unwrap();
    let whole = proxy.folder().join("whole.pem");
    // For curl, what stands behind the leaf is the rest of the chain.
    portunus_tests::write(&whole, &credential.pem());
    for option in ["--http1.1", "--http2"] {
        for (name, shown, expected) in [
            (LEAF, true, (leaf.as_str(), "")),
            (CHAIN, true, (leaf.as_str(), rest.as_str())),
            (SILENT, true, ("", "")),
            (LEAF, false, ("", "")),
            (CHAIN, false, ("", "")),
            (OPEN, true, ("", "")),
        ] {
            let Some(mut curl) = curl_for(&proxy, name) else { return };
            if shown {
                curl = curl.arg("--cert").arg(&whole);
            }
            curl.args([option, &url(&proxy, name, "/")]).run().await.expect_success();
            let seen = backend.last();
            let got = (seen.field("client-cert"), seen.field("client-cert-chain"));
            assert_eq!((got.0.as_str(), got.1.as_str()), expected, "{option} {name} {shown}");
            // No field at all, rather than an empty one.
            assert_eq!(seen.headers.contains_key("client-cert"), !expected.0.is_empty());
            assert_eq!(seen.headers.contains_key("client-cert-chain"), !expected.1.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_itself_does_not_reach_the_backend() {
    const FORGED: [&str; 8] = [
        "Client-Cert",
        "client-cert-chain",
        "Client_Cert",
        "CLIENT_CERT_CHAIN",
        "X-Client-Cert-Subject",
        "X-SSL-Client-Verify",
        "X-SSL-Client-S-DN",
        "SSL_CLIENT_CERT",
    ];
    let clients = ClientAuthority::new("clients");
    let credential = clients.issue("client", Flaw::Nothing);
    let backend = http();
    let proxy = proxy(&clients).backend(&backend).start().await;
    let Some(leaf) = field(&credential.chain).await else { return };
    let file = identity_file(&proxy, &credential);
    for option in ["--http1.1", "--http2"] {
        for (name, shown) in [(LEAF, true), (CHAIN, true), (LEAF, false), (OPEN, false)] {
            let Some(mut curl) = curl_for(&proxy, name) else { return };
            for field in FORGED {
                curl = curl.args(["-H", &format!("{field}: forged")]);
            }
            if shown {
                curl = curl.arg("--cert").arg(&file);
            }
            curl.args([option, &url(&proxy, name, "/")]).run().await.expect_success();
            let seen = backend.last();
            let forged = seen.headers.values().any(|value| value.as_bytes() == b"forged");
            assert!(!forged, "{option} {name}: {:?}", seen.headers);
            let expected = if shown { leaf.as_str() } else { "" };
            assert_eq!(seen.field("client-cert"), expected, "{option} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_websocket_carries_the_certificate_as_well() {
    let clients = ClientAuthority::new("clients");
    let credential = clients.issue("client", Flaw::Nothing);
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    let backend = raw(move |mut stream, _| {
        let kept = Arc::clone(&kept);
        async move {
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.ends_with(b"\r\n\r\n")
                && let Ok(count @ 1..) = stream.read(&mut buffer).await
            {
                head.extend(&buffer[..count]);
            }
            *kept.lock().unwrap() = String::from_utf8_lossy(&head).into_owned();
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                          Upgrade: websocket\r\n\r\nwelcome";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = stream.read(&mut buffer).await;
        }
    });
    let proxy = proxy(&clients).backend(backend).start().await;
    let Some(expected) = field(&credential.chain).await else { return };
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {LEAF}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Client-Cert: :Zm9yZ2Vk:\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    for (shown, expected) in [(Some(&credential), Some(expected)), (None::<&Credential>, None)] {
        let Some(client) = caller(&proxy, LEAF, shown) else { return };
        let mut client = client.args(["-alpn", "http/1.1"]).start();
        client.say(request.as_bytes()).await;
        client.hear("welcome").await;
        client.finish().await;
        let head = heard.lock().unwrap().clone();
        let values = head.lines().filter_map(|line| line.split_once(": "));
        let values = values.filter(|(name, _)| name.eq_ignore_ascii_case("client-cert"));
        let values: Vec<_> = values.map(|(_, value)| value.to_owned()).collect();
        assert_eq!(values, expected.into_iter().collect::<Vec<_>>(), "{head}");
    }
}
