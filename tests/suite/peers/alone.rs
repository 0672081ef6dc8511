//! The servers that others wrote, alone: each serves its own client, in clear and under TLS.
//!
//! What fails here fails without Portunus, and every test that uses that server says nothing.

use super::{ca, mail_client, mariadb_client, psql};
use portunus_tests::foreign::openssl;
use portunus_tests::peers::{
    ADMINISTRATOR, NAME, PASSWORD, Peer, USER, client, credential, dovecot, haproxy, mariadb,
    nginx, postfix, postgresql, prosody, slapd, stunnel,
};
use portunus_tests::wait::eventually;
use portunus_tests::{authority, echo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn postfix_takes_mail() {
    for credential in [None, Some(credential())] {
        let Some(peer) = postfix(credential.as_ref()).await else { return };
        let Some(swaks) = client("swaks") else { return };
        let swaks = swaks.args(["--server", &peer.endpoint("smtp"), "--to", "a@example.test"]);
        let swaks = swaks.args(["--from", "b@example.test", "--body", "how do you do?"]);
        let swaks = if credential.is_some() { swaks.arg("--tls") } else { swaks };
        let said = swaks.run().await.expect_success();
        assert!(said.contains("250 2.0.0 Ok: queued"), "{said}");
        eventually("the mail", async || {
            let entries = std::fs::read_dir(peer.path("spool/inbox/new")).ok()?;
            let mut mails = entries.flatten().map(|entry| std::fs::read_to_string(entry.path()));
            mails.any(|mail| mail.is_ok_and(|mail| mail.contains("how do you do?"))).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_lets_mail_be_read() {
    let ca = ca();
    for (credential, ways) in
        [(Some(credential()), ["upgrade", "tls"].as_slice()), (None, &["clear"])]
    {
        let Some(peer) = dovecot(credential.as_ref()).await else { return };
        for protocol in ["imap", "pop3"] {
            for &way in ways {
                let port = if way == "tls" { format!("{protocol}s") } else { protocol.to_owned() };
                let Some(client) = mail_client(protocol, way, peer.port(&port), ca.path()) else {
                    return;
                };
                client.args([USER, PASSWORD]).run().await.expect_success();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_answers_psql() {
    for (credential, mode) in [(None, "disable"), (Some(credential()), "verify-full")] {
        let Some(peer) = postgresql(credential.as_ref()).await else { return };
        let ca = ca();
        let Some(psql) = psql(peer.port("postgresql")) else { return };
        let psql = psql.env("PGSSLMODE", mode).env("PGSSLROOTCERT", ca.path());
        let said = psql.args(["-Atc", "select 6 * 7"]).run().await.expect_success();
        assert_eq!(said.trim(), "42");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_answers_its_client() {
    for (credential, tls) in
        [(None, "--skip-ssl"), (Some(credential()), "--ssl-verify-server-cert")]
    {
        let Some(peer) = mariadb(credential.as_ref()).await else { return };
        let ca = ca();
        let Some(client) = mariadb_client(peer.port("mysql"), ca.path()) else { return };
        let said = client.args([tls, "-e", "select 6 * 7"]).run().await.expect_success();
        assert_eq!(said.trim(), "42");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_answers_ldapsearch() {
    let Some(peer) = slapd(Some(&credential())).await else { return };
    let ca = ca();
    for (scheme, options) in [("ldap", &[][..]), ("ldap", &["-ZZ"]), ("ldaps", &[])] {
        let Some(search) = client("ldapsearch") else { return };
        let url = format!("{scheme}://{}", peer.endpoint(scheme));
        let search = search.args(["-x", "-LLL", "-H", &url, "-b", "dc=example"]).args(options);
        let search = search.args(["-D", ADMINISTRATOR, "-w", PASSWORD]);
        let said = search.env("LDAPTLS_CACERT", ca.path()).run().await.expect_success();
        assert!(said.contains("dn: dc=example"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prosody_knows_its_user() {
    let Some(peer) = prosody(Some(&credential())).await else { return };
    let ca = ca();
    for options in [&["-starttls", "xmpp", "-xmpphost", "example.test"][..], &[]] {
        let Some(openssl) = openssl() else { return };
        let port = if options.is_empty() { "xmpps" } else { "xmpp" };
        let openssl = openssl.args(["s_client", "-quiet", "-verify_return_error", "-CAfile"]);
        let openssl = openssl.arg(ca.path()).args(["-verify_hostname", NAME]).args(options);
        let mut openssl = openssl.args(["-connect", &peer.endpoint(port)]).start();
        openssl
            .say(
                b"<stream:stream to='example.test' xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
            )
            .await;
        openssl.hear("<mechanism>PLAIN</mechanism>").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_nginx_and_stunnel_carry_bytes() {
    let backend = echo();
    let endpoint = backend.endpoint().to_owned();
    let Some(mut haproxy) = haproxy() else { return };
    let port = haproxy.port("in");
    let section = format!("listen a\n bind 127.0.0.1:{port}\n server s {endpoint}");
    carries(haproxy.start(&section).await).await;
    let Some(mut nginx) = nginx() else { return };
    let port = nginx.port("in");
    let server = format!("server {{ listen 127.0.0.1:{port}; proxy_pass {endpoint}; }}");
    carries(nginx.start(&format!("stream {{ {server} }}")).await).await;

    // Two of them, since one alone has nobody who understands it.
    let (Some(mut near), Some(mut far)) = (stunnel(), stunnel()) else { return };
    let (inner, outer) = (far.port("in"), near.port("in"));
    let pem = far.file("both.pem", &credential().pem());
    let service =
        format!("[a]\naccept = 127.0.0.1:{inner}\nconnect = {endpoint}\ncert = {}", pem.display());
    let _far = far.start(&service).await;
    let ca = near.file("ca.pem", &authority().pem());
    let service = format!(
        "[a]\nclient = yes\naccept = 127.0.0.1:{outer}\nconnect = 127.0.0.1:{inner}\n\
         verifyChain = yes\nCAfile = {}\ncheckHost = {NAME}",
        ca.display()
    );
    carries(near.start(&service).await).await;
}

async fn carries(peer: Peer) {
    let mut stream = TcpStream::connect(peer.endpoint("in")).await.unwrap();
    stream.write_all(b"there and back").await.unwrap();
    let mut back = [0; 14];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"there and back");
}
