//! `openssl s_client -starttls` for every protocol that both know.

use portunus_tests::foreign::s_client;
use portunus_tests::peers::mariadb;
use portunus_tests::{Proxy, authority, echo, greeter, tls};

use super::HOST;

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_through_every_dialogue_to_tls() {
    // What the service says first, and has to be there for us to read before the client hears it.
    let dialogues = [
        ("smtp", "smtp", "220 backend.example ESMTP\r\n"),
        ("smtp", "lmtp", "220 backend.example LMTP\r\n"),
        ("imap", "imap", "* OK ready\r\n"),
        ("pop3", "pop3", "+OK ready\r\n"),
        ("postgresql", "postgres", ""),
        ("ldap", "ldap", ""),
        ("xmpp", "xmpp", ""),
        ("xmpp", "xmpp-server", ""),
    ];
    for (ours, theirs, greeting) in dialogues {
        let backend = if greeting.is_empty() { echo() } else { greeter(greeting) };
        let proxy = Proxy::builder()
            .listener(tls(HOST).with("starttls", &format!("{ours:?}")))
            .backend(backend)
            .start()
            .await;
        converse(&proxy, theirs).await;
        let labels = [("listener", "tls"), ("outcome", "upgraded")];
        let _ =
            proxy.wait_for_metric("portunus_starttls_total", &labels, |value| value == 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_through_the_dialogue_of_mysql_to_tls() {
    let Some(peer) = mariadb(None).await else { return };
    let proxy = Proxy::builder()
        .listener(tls(HOST).without_sites().with("starttls", "\"mysql\""))
        .certificate(HOST, &authority().issue(&[HOST]))
        .endpoints("app", &[&peer.endpoint("mysql")])
        .start()
        .await;
    let Some(client) = s_client(&proxy, HOST) else { return };
    let client = client.args(["-starttls", "mysql", "-verify_hostname", HOST]);
    let said = client.run().await.everything();
    assert!(said.contains("Verification: OK"), "{said}");
}

/// Has openssl speak `protocol` up to TLS, and say something under TLS that comes back.
async fn converse(proxy: &Proxy, protocol: &str) {
    let Some(client) = s_client(proxy, HOST) else { return };
    let client = client.args(["-starttls", protocol, "-verify_hostname", HOST, "-ign_eof"]);
    let mut client = client.start();
    client.hear("Verification: OK").await;
    client.hear("Verified peername: localhost").await;
    client.say(b"there and back\n").await;
    client.hear("there and back").await;
}
