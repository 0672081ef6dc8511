//! Each reason, caused by a client that somebody else wrote.

use portunus_tests::foreign::{Foreign, curl, openssl, program, python};
use portunus_tests::{ClientAuthority, Proxy, echo, http, https, now, tls, write};
use serde_json::Value;

use super::{FAILURES, failures, newest};

const NAME: &str = "app.example";

/// A way to fail, the reason that it has, and whether the client had told who it is.
type Case = (Foreign, &'static str, Told);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Nothing,
    Profile,
}

/// Has every client fail, and looks at what is counted, kept and logged of it.
async fn expect(proxy: &Proxy, cases: Vec<Case>) {
    for (client, reason, told) in cases {
        let labels = [("reason", reason)];
        let (before, all) =
            (proxy.metric(FAILURES, &labels).await, proxy.metric(FAILURES, &[]).await);
        let kept = failures(proxy).await.len();
        let said = client.run().await.everything();
        let counted = |count: f64| count > before;
        // Whoever is told of another reason sees which.
        proxy.wait_for_metric(FAILURES, &[], |count| count > all).await;
        let now = proxy.metric(FAILURES, &labels).await;
        let failure = newest(proxy, kept).await;
        assert!(counted(now), "{reason}, but {failure}: {said}");
        assert_eq!(failure["reason"], reason, "{said}");
        assert!(failure["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{failure}");
        assert!(failure["hint"].as_str().unwrap().len() > 20, "{failure}");
        assert_eq!(failure["ja4"].is_string(), told == Told::Profile, "{failure}");
        assert_eq!(failure["versions"] != Value::Array(vec![]), told == Told::Profile, "{failure}");
        let line = proxy.wait_for_log("handshake failed", &labels).await;
        assert_eq!(line.field("ja4").is_empty(), told == Told::Nothing, "{}", line.text());
    }
}

/// The client of ours that speaks Python, if there is one.
fn failing(proxy: &Proxy, way: &str) -> Foreign {
    let port = proxy.first_address().port().to_string();
    let python = python().expect("it was found before");
    python.arg(program("failing.py")).args([way, &port, NAME])
}

/// `openssl s_client` that asks `listener` for `name`, if it is one.
fn s_client(proxy: &Proxy, listener: &str, name: &str) -> Foreign {
    let address = proxy.address(listener).to_string();
    let openssl = openssl().expect("it was found before");
    let client = openssl.args(["s_client", "-connect", &address]);
    if name.is_empty() { client } else { client.args(["-servername", name]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_or_breaks_the_rules_has_its_reason() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    if python().is_none() {
        return;
    }
    use Told::{Nothing, Profile};
    let cases = [
        ("silent", "client_silent", Nothing),
        ("vanish", "client_silent", Nothing),
        ("half", "client_closed", Nothing),
        ("reset", "client_reset", Profile),
        ("other", "not_tls", Nothing),
        ("large", "hello_too_large", Nothing),
        ("broken", "client_protocol", Profile),
    ];
    let cases = cases.map(|(way, reason, told)| (failing(&proxy, way), reason, told));
    expect(&proxy, cases.into()).await;
    let Some(curl) = curl() else { return };
    let curl = curl.arg(format!("http://{}/", proxy.first_address()));
    expect(&proxy, vec![(curl, "plaintext_http", Nothing)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_too_slow_has_its_reason() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.client_hello_timeout", "\"1s\"")
        .set("limits.handshake_timeout", "\"2s\"")
        .start()
        .await;
    if python().is_none() {
        return;
    }
    let cases = vec![
        (failing(&proxy, "stall"), "timeout_hello", Told::Nothing),
        (failing(&proxy, "stall-behind"), "timeout", Told::Profile),
    ];
    expect(&proxy, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_of_a_client_says_what_it_did_not_like() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    if python().is_none() {
        return;
    }
    let alerts = [
        (40, "handshake_failure"),
        (42, "bad_certificate"),
        (43, "unsupported_certificate"),
        (44, "certificate_revoked"),
        (45, "certificate_expired"),
        (46, "certificate_unknown"),
        (48, "unknown_ca"),
        (49, "other"),
        (50, "protocol"),
        (51, "protocol"),
        (70, "protocol_version"),
        (71, "handshake_failure"),
        (80, "internal_error"),
        (113, "staple"),
    ];
    for (alert, word) in alerts {
        let reason = format!("client_alert_{word}");
        let kept = failures(&proxy).await.len();
        let said = failing(&proxy, &format!("alert-{alert}")).run().await.everything();
        proxy.wait_for_metric(FAILURES, &[("reason", &reason)], |count| count >= 1.0).await;
        let failure = newest(&proxy, kept).await;
        assert_eq!(failure["reason"], reason, "{alert}: {said}");
        assert_eq!(failure["versions"], serde_json::json!(["1.2"]), "{failure}");
        assert_eq!(failure["alpn"], serde_json::json!(["http/1.1"]), "{failure}");
    }
    let count = proxy.metric(FAILURES, &[]).await;
    assert_eq!(count, alerts.len() as f64, "each is counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_our_certificate_says_why() {
    let authority = ClientAuthority::new("Portunus suite, failures");
    let own = authority.issue_server(&[NAME], now() - 1000, now() + 1000);
    let proxy =
        Proxy::builder().listener(tls(NAME)).certificate("own", &own).backend(echo()).start().await;
    let (ca, crl) = (proxy.folder().join("own-ca.pem"), proxy.folder().join("own.crl"));
    write(&ca, &authority.pem());
    write(&crl, &authority.crl(&[&own]));
    if openssl().is_none() {
        return;
    }
    let ways: [(&[&str], &str); 5] = [
        (&["-verify_hostname", "other.example"], "client_alert_bad_certificate"),
        (&["-attime", "4000000000"], "client_alert_certificate_expired"),
        (&["-purpose", "sslclient"], "client_alert_unsupported_certificate"),
        (&["-crl_check", "-CRL", &crl.display().to_string()], "client_alert_certificate_revoked"),
        (&["-no-CAfile", "-no-CApath", "-no-CAstore"], "client_alert_unknown_ca"),
    ];
    let mut cases = Vec::new();
    for (options, reason) in ways {
        for version in ["-tls1_2", "-tls1_3"] {
            let client = s_client(&proxy, "tls", NAME).args([version, "-verify_return_error"]);
            let trusts = !reason.ends_with("unknown_ca");
            let client = if trusts { client.arg("-CAfile").arg(&ca) } else { client };
            cases.push((client.args(options), reason, Told::Profile));
        }
    }
    expect(&proxy, cases).await;
    let Some(curl) = curl() else { return };
    let port = proxy.first_address().port();
    let curl = curl.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), "--noproxy", "*"]);
    let curl = curl.arg(format!("https://{NAME}:{port}/"));
    expect(&proxy, vec![(curl, "client_alert_unknown_ca", Told::Profile)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_agreed_on_has_its_reason() {
    let proxy = Proxy::builder()
        .listener(https(NAME).site("bare.example", "app"))
        .listener(tls(NAME).named("modern").with("tls", "{ profile = \"modern\" }").to("echo"))
        .listener(tls(NAME).named("strict").with("no_sni", "\"reject\"").to("echo"))
        .certificate("app", &portunus_tests::authority().issue(&[NAME]))
        .backend(http())
        .backend_named("echo", echo())
        .start()
        .await;
    if openssl().is_none() {
        return;
    }
    let ways: [(&str, &str, &[&str], &str); 11] = [
        ("https", NAME, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "no_version"),
        ("modern", NAME, &["-tls1_2"], "no_version"),
        ("https", NAME, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "no_cipher"),
        // RSA alone, whose key exchange knows no groups.
        ("https", NAME, &["-tls1_2", "-cipher", "AES128-SHA"], "no_group"),
        ("https", NAME, &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "no_cipher"),
        ("https", NAME, &["-tls1_3", "-groups", "P-521"], "no_group"),
        ("https", NAME, &["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "no_signature_scheme"),
        ("https", NAME, &["-alpn", "unheard-of"], "no_alpn"),
        ("https", "other.example", &[], "unknown_name"),
        ("https", "bare.example", &[], "no_certificate"),
        ("strict", "", &["-noservername"], "no_name"),
    ];
    let case = |(listener, name, options, reason): (&str, &str, &[&str], &'static str)| {
        let client = s_client(&proxy, listener, name);
        (client.args(options), reason, Told::Profile)
    };
    expect(&proxy, ways.map(case).into()).await;
}
