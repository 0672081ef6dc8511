//! Endpoints that are not who they should be: refused, counted under their name, and told of with
//! what to do.

use portunus_tests::{ClientAuthority, Credential, Proxy, authority, foreign, now, tls};

use super::{SERVICE, Server, ask, services};

/// What is wrong, the certificate that has it, the reason in metrics, and the way out in the log.
type Case = (&'static str, Credential, &'static str, &'static str);

fn cases(services: &ClientAuthority, own: &Credential, revoked: &Credential) -> Vec<Case> {
    let issue = |names: &[&str], from, to| services.issue_server(names, now() + from, now() + to);
    let stranger = ClientAuthority::new("strangers");
    let stranger = stranger.issue_server(&[SERVICE], now() - 60, now() + 3_600);
    vec![
        ("expired", issue(&[SERVICE], -7_200, -3_600), "tls_expired", "have it renewed"),
        ("early", issue(&[SERVICE], 3_600, 7_200), "tls_not_yet_valid", "compare the clocks"),
        ("wrong", issue(&["other.example"], -60, 3_600), "tls_wrong_name", "tls.server_name"),
        ("hostless", issue(&[], -60, 3_600), "tls_wrong_name", "not valid for any names"),
        ("stranger", stranger, "tls_untrusted", "tls.ca"),
        ("self", own.clone(), "tls_untrusted", "have one issued"),
        ("revoked", revoked.clone(), "tls_revoked", "have another one issued"),
    ]
}

/// What people make first: one command, no authority.
async fn self_signed() -> Option<Credential> {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let made = foreign::openssl()?
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=service.example", "-addext", "subjectAltName=DNS:service.example"])
        .args(["-keyout", &place("key"), "-out", &place("chain"), "-days", "1"]);
    made.run().await.expect_success();
    let read = |name: &str| std::fs::read_to_string(place(name)).unwrap();
    Some(Credential { chain: read("chain"), key: read("key"), serial: 0, leaf: Vec::new() })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_who_it_should_be_is_refused_and_the_log_says_what_to_do() {
    let Some(own) = self_signed().await else { return };
    let (services, good) = services();
    let revoked = services.issue_server(&[SERVICE], now() - 60, now() + 3_600);
    let cases = cases(&services, &own, &revoked);
    let names: Vec<_> = cases.iter().map(|(name, ..)| format!("{name}.example")).collect();
    let mut hosts: Vec<_> = names.iter().map(String::as_str).collect();
    hosts.push("good.example");
    let tls_keys =
        format!("{{ ca = \"services.pem\", crl = [\"list.pem\"], server_name = \"{SERVICE}\" }}");
    let mut listener = tls("good.example");
    let mut builder = Proxy::builder()
        .certificate("own", &authority().issue(&hosts))
        .file("services.pem", &services.pem())
        .file("list.pem", &services.crl(&[&revoked]));
    let mut servers = Vec::new();
    let all = cases.iter().map(|(name, credential, ..)| (*name, credential));
    for (name, credential) in all.chain([("app", &good)]) {
        let Some(server) = Server::start(credential, &[]).await else { return };
        builder = builder
            .endpoints(name, &[&server.address])
            .set(&format!("backend.{name}.tls"), &tls_keys);
        if name != "app" {
            listener = listener.site(&format!("{name}.example"), name);
        }
        servers.push(server);
    }
    let proxy = builder.listener(listener).start().await;
    assert!(ask(&proxy, "good.example").await.contains("HTTP/1.0 200"));
    for (name, _, reason, words) in cases {
        assert_eq!(ask(&proxy, &format!("{name}.example")).await, "", "{name}");
        let labels = [("backend", name), ("reason", reason)];
        let count = proxy.metric("portunus_backend_errors_total", &labels).await;
        assert_eq!(count, 1.0, "{name} is not counted as {reason}");
        let line = proxy.wait_for_log("endpoint is down", &[("backend", name)]).await;
        let error = line.field("error");
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_fails_closed() {
    let (services, good) = services();
    let stale = services.crl_between(&[], now() - 7_200, now() - 3_600);
    let of_others = ClientAuthority::new("others").crl(&[]);
    for list in [stale, of_others] {
        let Some(server) = Server::start(&good, &[]).await else { return };
        let keys = format!(
            "{{ ca = \"services.pem\", crl = [\"list.pem\"], server_name = \"{SERVICE}\" }}"
        );
        let proxy = Proxy::builder()
            .listener(tls("app.example"))
            .certificate("own", &authority().issue(&["app.example"]))
            .file("services.pem", &services.pem())
            .file("list.pem", &list)
            .endpoints("app", &[&server.address])
            .set("backend.app.tls", &keys)
            .start()
            .await;
        assert_eq!(ask(&proxy, "app.example").await, "");
        let labels = [("backend", "app"), ("reason", "tls_unknown_revocation")];
        assert_eq!(proxy.metric("portunus_backend_errors_total", &labels).await, 1.0);
    }
}
