//! Endpoints that are told of clients: everything that is known, and nothing that is not so.

use portunus::proxy_protocol::{Decoded, Ends, Introduction, Shown, decode};
use portunus_tests::foreign::openssl;
use portunus_tests::{Backend, ClientAuthority, Flaw, Proxy, Wallet, raw, tls};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{FROM, LINE, NAME, after};

const ALL: &str = "[\"alpn\", \"authority\", \"client-cert\", \"ssl\", \"unique-id\"]";

/// A backend that says what it was told, and then a word to the client.
fn listening() -> (Backend, mpsc::Receiver<Introduction>) {
    let (heard, hearing) = mpsc::channel(16);
    let backend = raw(move |mut stream, _| {
        let heard = heard.clone();
        async move {
            let mut bytes = Vec::new();
            loop {
                assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{bytes:?}");
                if let Decoded::Complete { introduction, .. } = decode(&bytes).unwrap() {
                    heard.send(*introduction).await.unwrap();
                    break;
                }
            }
            stream.write_all(b"hello").await.unwrap();
            let _ = stream.read_to_end(&mut bytes).await;
        }
    });
    (backend, hearing)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handshake_made_known_is_told() {
    let (backend, mut hearing) = listening();
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(&backend)
        .set("backend.app.send_proxy", "\"v2\"")
        .set("backend.app.proxy_tlvs", ALL)
        .start()
        .await;
    for (client, version, cipher) in [
        (proxy.client(NAME), "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        (proxy.client(NAME).tls12(), "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ] {
        let tcp = client.tcp().await;
        let source = tcp.local_addr().unwrap();
        let mut stream = super::over(tcp, &client).await;
        stream.expect(b"hello").await;
        let told = hearing.recv().await.unwrap();
        assert_eq!(told.ends, Ends::Tcp { source, destination: proxy.first_address() });
        assert_eq!(told.authority.as_deref(), Some(NAME));
        let tls = told.tls.unwrap();
        assert_eq!(tls.version.as_deref(), Some(version));
        assert_eq!(tls.cipher.as_deref(), Some(cipher));
        assert!(tls.group.is_some());
        assert_eq!((tls.shown, tls.certificate), (Shown::Never, None));
        assert_ne!(tls.verify, 0, "nothing was verified");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_served_is_told_in_the_words_of_openssl() {
    let (backend, mut hearing) = listening();
    let ec = |curve| format!("ec -pkeyopt ec_paramgen_curve:{curve} -sha");
    // The specification's own examples come first; where HAProxy has no word, nothing is said.
    for (key, expected) in [
        ("rsa:2048 -sha256".to_owned(), [Some("RSA2048"), Some("RSA-SHA256")]),
        ("rsa:3072 -sha384".to_owned(), [Some("RSA3072"), Some("RSA-SHA384")]),
        (ec("P-256") + "256", [Some("EC256"), Some("ecdsa-with-SHA256")]),
        (ec("P-384") + "512", [Some("EC384"), Some("ecdsa-with-SHA512")]),
        ("ed25519".to_owned(), [None, Some("ED25519")]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let Some(request) = openssl() else { return };
        let request = request
            .args(["req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=app", "-newkey"])
            .args(key.split(' '))
            .args(["-addext", &format!("subjectAltName=DNS:{NAME}")])
            .args(["-keyout", &place("key"), "-out", &place("chain")]);
        request.run().await.expect_success();
        let read = |name: &str| std::fs::read_to_string(place(name)).unwrap();
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .backend(&backend)
            .set("backend.app.send_proxy", "\"v2\"")
            .file("certs.d/own.pem", &(read("chain") + &read("key")))
            .start()
            .await;
        let Some(client) = openssl() else { return };
        let address = proxy.first_address().to_string();
        let client = client.args(["s_client", "-connect", &address, "-servername", NAME]);
        client.run().await.expect_success();
        let tls = hearing.recv().await.unwrap().tls.unwrap();
        let told = [tls.key_algorithm.as_deref(), tls.signature_algorithm.as_deref()];
        assert_eq!(told, expected, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_earlier_connection_is_not_passed_off_as_one_of_this() {
    let clients = ClientAuthority::new("clients");
    let ann = clients.issue("ann", Flaw::Nothing);
    let leaf = CertificateDer::from_pem_slice(ann.chain.as_bytes()).unwrap();
    let (backend, mut hearing) = listening();
    let auth = "client_auth = { ca = \"clients.pem\", resumption = \"revalidate\" }";
    let proxy = Proxy::builder()
        .listener(tls(NAME).site_with("other.example", "app", auth))
        .backend(&backend)
        .set("backend.app.send_proxy", "\"v2\"")
        .set("backend.app.proxy_tlvs", ALL)
        .file("clients.pem", &clients.pem())
        .certificate("app", &portunus_tests::authority().issue(&[NAME, "other.example"]))
        .start()
        .await;
    for is_tls12 in [false, true] {
        let wallet = Wallet::new();
        let client = proxy.client("other.example");
        let client = if is_tls12 { client.tls12() } else { client };
        let client = client.certificate(&ann).resumption(wallet.sessions());
        let mut ids = Vec::new();
        for shown in [Shown::Now, Shown::Once] {
            let mut stream = client.connect().await;
            stream.expect(b"hello").await;
            assert_eq!(stream.resumed(), shown == Shown::Once);
            stream.close_notify().await;
            let _ = stream.receive_all().await;
            let told = hearing.recv().await.unwrap();
            let tls = told.tls.unwrap();
            assert_eq!((tls.shown, tls.verify), (shown, 0));
            assert_eq!(tls.certificate.as_deref(), Some(&*leaf));
            assert_eq!(tls.common_name.as_deref(), Some("ann"));
            ids.push(told.unique_id.unwrap());
        }
        assert_ne!(ids.first(), ids.last(), "each connection has a name of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_were_told_of_a_client_is_passed_on_through_a_chain() {
    let (backend, mut hearing) = listening();
    let inner = Proxy::builder()
        .listener(tls(NAME).with(FROM.0, FROM.1))
        .backend(&backend)
        .set("backend.app.send_proxy", "\"v2\"")
        .set("backend.app.proxy_tlvs", ALL)
        .start()
        .await;
    // The outer one passes TLS through, and tells the inner one of the name.
    let outer = Proxy::builder()
        .listener(tls("unused.example").with(FROM.0, FROM.1).site_with(
            NAME,
            "app",
            "passthrough = true",
        ))
        .endpoints("app", &[&inner.first_address().to_string()])
        .set("backend.app.send_proxy", "\"v2\"")
        .set("backend.app.proxy_tlvs", ALL)
        .start()
        .await;
    let id = b"\x05\0\x04name";
    let binary = [&super::BINARY[..15], &[0x0c + 7], &super::BINARY[16..], id].concat();
    for (header, is_named) in [(LINE.to_vec(), false), (binary, true)] {
        let mut stream = after(&header, &inner.client(NAME).at(outer.first_address())).await;
        stream.expect(b"hello").await;
        let told = hearing.recv().await.unwrap();
        let expected = Ends::Tcp {
            source: "192.0.2.1:1000".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        };
        assert_eq!(told.ends, expected);
        assert_eq!(told.authority.as_deref(), Some(NAME));
        assert_eq!(told.unique_id.as_deref() == Some(b"name"), is_named);
        assert_eq!(told.tls.unwrap().version.as_deref(), Some("TLSv1.3"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_configuration_names_is_told() {
    let (backend, mut hearing) = listening();
    for (version, keys, tls_is_told, name_is_told) in [
        ("v1", None, false, false),
        ("v2", Some("[]"), false, false),
        ("v2", None, true, true),
        ("v2", Some("[\"authority\"]"), false, true),
    ] {
        let proxy = Proxy::builder()
            .listener(tls(NAME))
            .backend(&backend)
            .set("backend.app.send_proxy", &format!("{version:?}"));
        let proxy = match keys {
            Some(keys) => proxy.set("backend.app.proxy_tlvs", keys),
            None => proxy,
        };
        let proxy = proxy.start().await;
        let mut stream = proxy.client(NAME).connect().await;
        stream.expect(b"hello").await;
        let told = hearing.recv().await.unwrap();
        assert_eq!((told.tls.is_some(), told.authority.is_some()), (tls_is_told, name_is_told));
        assert_eq!((told.unique_id, told.alpn), (None, None));
    }
}
