//! What is agreed on: versions, key exchange, protocols, and who is served under which name.

use portunus_tests::foreign::s_client;
use portunus_tests::{Proxy, echo, greeter, http, https, tls};
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_echoed_over_tls_1_2_and_1_3() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let Some(client) = s_client(&proxy, "app.example") else { return };
        let mut client = client.args(["-brief", option]).start();
        client.say(b"hello\n").await;
        client.hear("hello").await;
        let output = client.finish().await;
        output.expect_success();
        assert!(output.everything().contains(version), "{}", output.everything());
    }
    for version in ["1.2", "1.3"] {
        let labels = [("listener", "tls"), ("version", version), ("kind", "full")];
        proxy.wait_for_metric("portunus_handshakes_total", &labels, |count| count == 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_get_the_alert_protocol_version() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let Some(client) = s_client(&proxy, "app.example") else { return };
    let output = client.args(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).run().await;
    assert!(!output.status.success());
    assert!(output.everything().contains("alert protocol version"), "{}", output.everything());
    proxy.wait_for_log("handshake failed", &[("reason", "no_version")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modern_profile_refuses_tls_1_2() {
    let listener = tls("app.example").with("tls", "{ profile = \"modern\" }");
    let proxy = Proxy::builder().listener(listener).backend(echo()).start().await;
    proxy.client("app.example").connect().await;
    let refused = proxy.client("app.example").tls12().try_connect().await.unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_is_spoken_the_post_quantum_one_as_well() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let groups = [
        (X25519MLKEM768, "x25519mlkem768"),
        (X25519, "x25519"),
        (SECP256R1, "secp256r1"),
        (SECP384R1, "secp384r1"),
    ];
    for (group, label) in groups {
        let mut client = proxy.client("app.example").group(group).connect().await;
        assert_eq!(
            client.tls().negotiated_key_exchange_group().map(|group| group.name()),
            Some(group.name())
        );
        client.send(b"hello").await;
        client.expect(b"hello").await;
        let labels = [("group", label)];
        let name = "portunus_handshake_key_exchanges_total";
        proxy.wait_for_metric(name, &labels, |count| count == 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_chooses_its_version_by_alpn() {
    let proxy = Proxy::builder().listener(https("app.example")).backend(http()).start().await;
    let offers: [(&[&str], Option<&str>); 4] = [
        (&["h2", "http/1.1"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["unheard-of", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ];
    for (offer, chosen) in offers {
        let client = proxy.client("app.example").alpn(offer).connect().await;
        assert_eq!(client.protocol().as_deref(), chosen, "{offer:?}");
    }
    let client = proxy.client("app.example").alpn(&["unheard-of"]);
    let refused = client.try_connect().await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    proxy.wait_for_log("handshake failed", &[("reason", "no_alpn")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_gets_the_alert_unrecognized_name() {
    let backend = echo();
    let proxy = Proxy::builder().listener(tls("app.example")).backend(&backend).start().await;
    for client in [proxy.client("other.example"), proxy.client("other.example").tls12()] {
        let refused = client.try_connect().await.unwrap_err();
        assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    }
    let line = [("reason", "unknown_name"), ("sni", "other.example"), ("listener", "tls")];
    let line = proxy.wait_for_log("handshake failed", &line).await;
    assert!(line.field("peer").starts_with("127.0.0.1:"), "{}", line.text());
    assert!(!line.field("error").is_empty(), "{}", line.text());
    let labels = [("listener", "tls"), ("reason", "unknown_name")];
    let failures = "portunus_handshake_failures_total";
    proxy.wait_for_metric(failures, &labels, |count| count == 2.0).await;
    assert_eq!(backend.connections(), 0);

    let Some(client) = s_client(&proxy, "other.example") else { return };
    let output = client.run().await;
    assert!(output.everything().contains("unrecognized name"), "{}", output.everything());
    assert!(output.text().contains("no peer certificate available"), "{}", output.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_name_gets_what_the_listener_says() {
    let proxy = Proxy::builder()
        .listener(tls("app.example").named("open"))
        .listener(tls("app.example").named("strict").with("no_sni", "\"reject\""))
        .backend(echo())
        .start()
        .await;
    for client in [proxy.client("app.example"), proxy.client("app.example").tls12()] {
        let client = client.without_sni();
        let mut open = client.clone().at(proxy.address("open")).connect().await;
        open.send(b"hello").await;
        open.expect(b"hello").await;
        let strict = client.at(proxy.address("strict")).try_connect().await;
        let refused = strict.unwrap_err().to_string();
        assert!(refused.contains("UnrecognisedName"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_and_a_trailing_dot_do_not_change_a_name() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    for name in ["APP.Example", "app.example.", "App.eXample."] {
        let Some(client) = s_client(&proxy, name) else { return };
        let mut client = client.start();
        client.say(b"hello\n").await;
        client.hear("\nhello").await;
        client.finish().await.expect_success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_stands_for_exactly_one_label_and_yields_to_an_exact_name() {
    let (wild, exact) = (greeter("wild\n"), greeter("exact\n"));
    let proxy = Proxy::builder()
        .listener(tls("*.example.com").site("app.example.com", "exact"))
        .backend(wild)
        .backend_named("exact", exact)
        .start()
        .await;
    for (name, greeting) in [("a.example.com", "wild\n"), ("app.example.com", "exact\n")] {
        let mut client = proxy.client(name).connect().await;
        client.expect(greeting.as_bytes()).await;
    }
    for name in ["a.b.example.com", "example.com"] {
        let refused = proxy.client(name).try_connect().await.unwrap_err();
        assert!(refused.to_string().contains("UnrecognisedName"), "{name}: {refused}");
    }
}
