//! Mail: Postfix and Dovecot, which know nothing of TLS here, and clients that insist on it.

use portunus_tests::foreign::{curl, s_client};
use portunus_tests::peers::{PASSWORD, Peer, USER, client, dovecot, postfix};
use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, tls};

use super::{HOST, ca, mail_client};

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_to_postfix_under_starttls() {
    let Some(peer) = postfix(None).await else { return };
    let proxy = Proxy::builder()
        .listener(tls(HOST).named("strict").with("starttls", "\"smtp\""))
        .listener(tls(HOST).named("mx").with("starttls", "\"smtp\"").with("require_tls", "false"))
        .listener(tls(HOST).named("smtps"))
        .endpoints("app", &[&peer.endpoint("smtp")])
        .start()
        .await;
    let ca = ca();
    let talk = async |listener: &str, way: &str| {
        let port = proxy.address(listener).port();
        Some(mail_client("smtp", way, port, ca.path())?.run().await.expect_success())
    };

    for way in ["upgrade", "stripped"] {
        let Some(said) = talk("strict", way).await else { return };
        let (before, after) = said.trim_end().split_once('\n').unwrap();
        // What the other side may not have is not promised before it was asked.
        assert!(before.split(' ').any(|word| word == "starttls"), "{said}");
        assert!(!before.contains("auth") && !before.contains("pipelining"), "{said}");
        assert!(after.contains("pipelining") && after.contains("size"), "{said}");
    }
    // A mail exchanger has to take mail in the clear as well, and offers more to those who can.
    let said = talk("mx", "clear").await.unwrap();
    assert!(said.contains("starttls") && said.contains("size"), "{said}");
    talk("mx", "upgrade").await;
    talk("smtps", "tls").await;
    delivered(&peer, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_sends_under_starttls_and_is_told_to_if_it_does_not() {
    let Some(peer) = postfix(None).await else { return };
    let proxy = Proxy::builder()
        .listener(tls(HOST).with("starttls", "\"smtp\""))
        .endpoints("app", &[&peer.endpoint("smtp")])
        .start()
        .await;
    let swaks = || {
        let swaks = client("swaks")?.args(["--server", &proxy.first_address().to_string()]);
        Some(swaks.args(["--to", "a@example.test", "--from", "b@example.test", "--timeout", "20"]))
    };
    let Some(with) = swaks() else { return };
    let with = with.args(["--tls", "--tls-verify", "--tls-sni", HOST]).arg("--tls-ca-path");
    let said = with.arg(proxy.ca()).run().await.expect_success();
    assert!(said.contains("250 2.0.0 Ok: queued"), "{said}");
    let said = swaks().unwrap().run().await;
    assert!(!said.status.success(), "{}", said.everything());
    assert!(said.text().contains("530 5.7.0 Must issue a STARTTLS command first"), "{said:?}");
    delivered(&peer, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_read_from_dovecot_under_starttls_and_tls() {
    let Some(peer) = dovecot(None).await else { return };
    let mut builder = Proxy::builder();
    for protocol in ["imap", "pop3"] {
        let upgrade = tls(HOST).named(protocol).to(protocol);
        let upgrade = upgrade.with("starttls", &format!("{protocol:?}"));
        let implicit = tls(HOST).named(&format!("{protocol}s")).to(protocol);
        builder = builder.listener(upgrade).listener(implicit);
        builder = builder.endpoints(protocol, &[&peer.endpoint(protocol)]);
    }
    let proxy = builder.start().await;
    let ca = ca();
    for protocol in ["imap", "pop3"] {
        for way in ["upgrade", "stripped", "tls"] {
            let listener = if way == "tls" { format!("{protocol}s") } else { protocol.to_owned() };
            let port = proxy.address(&listener).port();
            let Some(client) = mail_client(protocol, way, port, ca.path()) else { return };
            let said = client.args([USER, PASSWORD]).run().await.expect_success();
            let offered = if protocol == "imap" { "STARTTLS" } else { "STLS" };
            assert_eq!(said.contains(offered), way != "tls", "{protocol} {way}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_and_reads_mail_under_starttls() {
    let (Some(postfix), Some(dovecot)) = (postfix(None).await, dovecot(None).await) else { return };
    let mut builder = Proxy::builder();
    for protocol in ["smtp", "imap", "pop3"] {
        let peer = if protocol == "smtp" { &postfix } else { &dovecot };
        let listener = tls(HOST).named(protocol).to(protocol);
        builder = builder.listener(listener.with("starttls", &format!("{protocol:?}")));
        builder = builder.endpoints(protocol, &[&peer.endpoint(protocol)]);
    }
    let proxy = builder.start().await;
    let ask = |protocol: &str, path: &str| {
        let url = format!("{protocol}://{HOST}:{}/{path}", proxy.address(protocol).port());
        Some(curl()?.arg("--ssl-reqd").arg("--cacert").arg(proxy.ca()).arg(url))
    };
    let Some(send) = ask("smtp", "client.example") else { return };
    let send = send.args(["--mail-from", "a@example.test", "--mail-rcpt", "b@example.test"]);
    send.args(["--upload-file", "-"])
        .input("Subject: x\r\n\r\nhello\r\n")
        .run()
        .await
        .expect_success();
    delivered(&postfix, 1).await;

    let login = format!("{USER}:{PASSWORD}");
    let mail = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(mail.path(), "Subject: x\r\n\r\nhow do you do?\r\n").unwrap();
    let store = ask("imap", "INBOX").unwrap().args(["-u", &login, "--upload-file"]);
    store.arg(mail.path()).run().await.expect_success();
    for (protocol, path) in [("imap", "INBOX;MAILINDEX=1"), ("pop3", "1")] {
        let said = ask(protocol, path).unwrap().args(["-u", &login]).run().await;
        assert!(said.expect_success().contains("how do you do?"), "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_at_a_mail_server_gets_nothing() {
    let Some(peer) = dovecot(None).await else { return };
    let alpn = "{ alpn = [\"imap\"] }";
    let proxy = Proxy::builder()
        .listener(tls(HOST).named("starttls").with("starttls", "\"imap\""))
        .listener(tls(HOST).named("imaps").with("tls", alpn))
        .endpoints("app", &[&peer.endpoint("imap")])
        .start()
        .await;
    let to = |scheme: &str, listener: &str| {
        let url = format!("{scheme}://{HOST}:{}/", proxy.address(listener).port());
        Some(curl()?.args(["--http0.9", "--data", "a LOGIN somebody secret", "-k", &url]))
    };
    for (scheme, listener) in [("http", "starttls"), ("https", "starttls"), ("https", "imaps")] {
        let Some(curl) = to(scheme, listener) else { return };
        let said = curl.run().await;
        assert!(!said.text().contains("Dovecot"), "{scheme} {listener}: {said:?}");
        assert!(!said.text().contains("a OK") && !said.text().contains("a NO"), "{said:?}");
    }
    // Those who say under TLS what they have come for, and mean something else, are told so.
    let Some(client) = s_client(&proxy, HOST) else { return };
    let client = client.args(["-starttls", "imap", "-alpn", "http/1.1"]).run().await.everything();
    assert!(client.contains("alert no application protocol"), "{client}");
    assert!(!peer.log().contains("Login: user="), "{}", peer.log());
}

/// Waits until so many mails lie there.
async fn delivered(peer: &Peer, count: usize) {
    eventually("the mails", async || {
        let entries = std::fs::read_dir(peer.path("spool/inbox/new")).ok()?;
        (entries.count() == count).then_some(())
    })
    .await;
}
