//! Services under TLS of their own, and Portunus before them: what they know of it, and whether
//! clients, with TLS up to us or without any, get on with them as if we were not there.

use portunus_tests::peers::{
    NAME, PASSWORD, Peer, USER, credential, dovecot, haproxy, nginx, postfix, postgresql,
};
use portunus_tests::wait::eventually;
use portunus_tests::{Builder, Proxy, clear, echo, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{HOST, ca, mail_client, psql};

/// The listener `name` in the clear before a backend of the same name under TLS.
fn with(builder: Builder, name: &str, endpoint: &str, starttls: Option<&str>) -> Builder {
    let builder = builder.listener(clear(name, name)).endpoints(name, &[endpoint]);
    under_tls(builder, name, starttls)
}

/// The backend `name` is reached under TLS, and has to be [`NAME`].
fn under_tls(builder: Builder, name: &str, starttls: Option<&str>) -> Builder {
    let builder = builder
        .set(&format!("backend.{name}.tls.ca"), "\"ca.pem\"")
        .set(&format!("backend.{name}.tls.server_name"), &format!("{NAME:?}"));
    match starttls {
        Some(protocol) => {
            builder.set(&format!("backend.{name}.tls.starttls"), &format!("{protocol:?}"))
        }
        None => builder,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_is_reached_under_its_own_tls() {
    let Some(peer) = dovecot(Some(&credential())).await else { return };
    let mut builder = Proxy::builder();
    for protocol in ["imap", "pop3"] {
        builder = with(builder, protocol, &peer.endpoint(protocol), Some(protocol));
        let implicit = format!("{protocol}s");
        builder = with(builder, &implicit, &peer.endpoint(&implicit), None);
        // Both sides: encrypted by us, and again by the endpoint.
        let both = tls(HOST).named(&format!("{protocol}-both")).to(protocol);
        builder = builder.listener(both.with("starttls", &format!("{protocol:?}")));
    }
    let proxy = builder.start().await;
    let ca = ca();
    for protocol in ["imap", "pop3"] {
        for (kind, way) in [("", "clear"), ("s", "clear"), ("-both", "upgrade")] {
            let port = proxy.address(&format!("{protocol}{kind}")).port();
            let Some(client) = mail_client(protocol, way, port, ca.path()) else { return };
            let said = client.args([USER, PASSWORD]).run().await;
            assert!(said.status.success(), "{protocol}{kind}: {}", said.everything());
        }
    }
    // It knows which of its logins came under TLS: all.
    let logins = eventually("six logins in its log", async || {
        let log = peer.log();
        let logins = log.lines().filter(|line| line.contains("Login: user="));
        let logins: Vec<_> = logins.map(str::to_owned).collect();
        (logins.len() >= 6).then_some(logins)
    })
    .await;
    assert!(logins.len() == 6 && logins.iter().all(|line| line.contains("TLS")), "{logins:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_is_reached_under_its_own_tls() {
    let Some(peer) = postfix(Some(&credential())).await else { return };
    let builder = with(Proxy::builder(), "smtp", &peer.endpoint("smtp"), Some("smtp"));
    let builder = with(builder, "smtps", &peer.endpoint("smtps"), None);
    let both = tls(HOST).named("both").to("smtp").with("starttls", "\"smtp\"");
    let proxy = builder.listener(both).start().await;
    let ca = ca();
    for (listener, way) in [("smtp", "clear"), ("smtps", "clear"), ("both", "upgrade")] {
        let port = proxy.address(listener).port();
        let Some(client) = mail_client("smtp", way, port, ca.path()) else { return };
        let said = client.run().await;
        assert!(said.status.success(), "{listener}: {}", said.everything());
    }
    // What it writes into mail is how it got it.
    eventually("six mails that came under TLS", async || {
        let entries = std::fs::read_dir(peer.path("spool/inbox/new")).ok()?;
        let mails =
            entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        (mails.filter(|mail| mail.contains("(using TLSv1.3 with cipher")).count() == 6)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_reached_under_its_own_tls() {
    let Some(peer) = postgresql(Some(&credential())).await else { return };
    let builder =
        with(Proxy::builder(), "postgresql", &peer.endpoint("postgresql"), Some("postgresql"));
    let both = tls(HOST).named("both").to("postgresql").with("starttls", "\"postgresql\"");
    let proxy = builder.listener(both).start().await;
    let query = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
    // Without TLS of its own a client need not know that there is any, nor ask for none.
    for (listener, mode) in
        [("postgresql", "disable"), ("postgresql", "prefer"), ("both", "require")]
    {
        let Some(psql) = psql(proxy.address(listener).port()) else { return };
        let psql = psql.env("PGSSLMODE", mode).args(["-c", query]);
        // SCRAM can bind a login to the certificate that the client sees, which is ours.
        let binding = if listener == "both" { "disable" } else { "prefer" };
        let said = psql.env("PGCHANNELBINDING", binding).run().await;
        assert_eq!(said.expect_success(), "t|TLSv1.3\n", "{listener} {mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_and_nginx_are_reached_under_their_own_tls() {
    let backend = echo();
    let endpoint = backend.endpoint();
    let pem = credential().pem();
    let (Some(mut haproxy), Some(mut nginx)) = (haproxy(), nginx()) else { return };
    let (port, file) = (haproxy.port("in"), haproxy.file("both.pem", &pem));
    let section = format!(
        "listen a\n bind 127.0.0.1:{port} ssl crt {}\n server s {endpoint}",
        file.display()
    );
    let haproxy = haproxy.start(&section).await;
    let (port, file) = (nginx.port("in"), nginx.file("both.pem", &pem));
    let block = format!(
        "stream {{ server {{ listen 127.0.0.1:{port} ssl; proxy_pass {endpoint}; \
         ssl_certificate {0}; ssl_certificate_key {0}; }} }}",
        file.display()
    );
    let nginx = nginx.start(&block).await;
    let mut builder = Proxy::builder();
    let peers: [(&str, &Peer); 2] = [("haproxy", &haproxy), ("nginx", &nginx)];
    for (name, peer) in peers {
        builder = with(builder, name, &peer.endpoint("in"), None);
    }
    let proxy = builder.start().await;
    for (name, _) in peers {
        let sent: Vec<u8> = (0..3_000_017_u32).map(|place| place.to_le_bytes()[0] ^ 0x5a).collect();
        let stream = TcpStream::connect(proxy.address(name)).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let sending = async {
            to.write_all(&sent).await.unwrap();
            // An nginx that is told of the end of one direction ends both at once.
            if name != "nginx" {
                to.shutdown().await.unwrap();
            }
        };
        let mut back = vec![0; sent.len()];
        let ((), read) = tokio::join!(sending, from.read_exact(&mut back));
        read.unwrap();
        assert!(back == sent, "{name}");
        drop(to);
        let rest = from.read_to_end(&mut back).await;
        assert!(matches!(rest, Ok(0)), "{name}: {rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_password_who_is_not_whom_he_should_be() {
    let impostor = portunus_tests::authority().issue(&["other.example"]);
    let (Some(mail), Some(database)) =
        (dovecot(Some(&impostor)).await, postgresql(Some(&impostor)).await)
    else {
        return;
    };
    let builder = with(Proxy::builder(), "imap", &mail.endpoint("imap"), Some("imap"));
    let builder = with(builder, "imaps", &mail.endpoint("imaps"), None);
    let endpoint = database.endpoint("postgresql");
    let proxy = with(builder, "postgresql", &endpoint, Some("postgresql")).start().await;
    let ca = ca();
    for listener in ["imap", "imaps"] {
        let port = proxy.address(listener).port();
        let Some(client) = mail_client("imap", "clear", port, ca.path()) else { return };
        let said = client.args([USER, PASSWORD]).run().await;
        assert!(!said.status.success(), "{listener}: {}", said.everything());
    }
    let Some(psql) = psql(proxy.address("postgresql").port()) else { return };
    let said = psql.env("PGSSLMODE", "disable").args(["-c", "select 1"]).run().await;
    assert!(!said.status.success(), "{}", said.everything());
    for backend in ["imap", "imaps", "postgresql"] {
        let labels = [("backend", backend), ("reason", "tls_wrong_name")];
        let failures = "portunus_backend_errors_total";
        proxy.wait_for_metric(failures, &labels, |value| value >= 1.0).await;
    }
    assert!(!mail.log().contains("Login: user="), "{}", mail.log());
}
