//! Programs that know no TLS, before servers that want it: Portunus between them speaks TLS for
//! the one and believes only the other.

use portunus_tests::peers::{
    ADMINISTRATOR, NAME, PASSWORD, Peer, USER, client, credential, dovecot, nginx, postfix,
    postgresql, slapd, stunnel,
};
use portunus_tests::{Builder, Proxy, authority, clear, echo, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ca, mail_client, psql};

/// How TLS begins at a port of a peer.
const AT_ONCE: &str = "";

/// Adds a listener in the clear that leads to the port `port` of `peer`, both under `name`. With
/// `protocol` TLS is asked for in it.
fn way(builder: Builder, name: &str, peer: &Peer, port: &str, protocol: &str) -> Builder {
    let asked = match protocol {
        AT_ONCE => String::new(),
        protocol => format!(", starttls = {protocol:?}"),
    };
    let keys = format!("{{ ca = \"ca.pem\", server_name = {NAME:?}{asked} }}");
    builder
        .listener(clear(name, name))
        .endpoints(name, &[&peer.endpoint(port)])
        .set(&format!("backend.{name}.tls"), &keys)
}

/// How many handshakes there were with the endpoints of a backend.
async fn handshakes(proxy: &Proxy, backend: &str) -> f64 {
    let name = "portunus_backend_tls_handshakes_total";
    let full = proxy.metric(name, &[("backend", backend), ("kind", "full")]).await;
    full + proxy.metric(name, &[("backend", backend), ("kind", "resumed")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_read_over_tls_by_who_knows_none() {
    let Some(peer) = dovecot(Some(&credential())).await else { return };
    let mut builder = Proxy::builder();
    for protocol in ["imap", "pop3"] {
        let tls_port = format!("{protocol}s");
        builder = way(builder, &tls_port, &peer, &tls_port, AT_ONCE);
        builder = way(builder, protocol, &peer, protocol, protocol);
    }
    let proxy = builder.start().await;
    for (name, protocol) in
        [("imap", "imap"), ("imaps", "imap"), ("pop3", "pop3"), ("pop3s", "pop3")]
    {
        let (port, ca) = (proxy.address(name).port(), ca());
        let Some(client) = mail_client(protocol, "clear", port, ca.path()) else { return };
        client.args([USER, PASSWORD]).run().await.expect_success();
        assert!(handshakes(&proxy, name).await >= 1.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_over_tls_by_who_knows_none() {
    let Some(peer) = postfix(Some(&credential())).await else { return };
    let builder = way(Proxy::builder(), "smtps", &peer, "smtps", AT_ONCE);
    let proxy = way(builder, "smtp", &peer, "smtp", "smtp").start().await;
    for name in ["smtps", "smtp"] {
        let (port, ca) = (proxy.address(name).port(), ca());
        let Some(client) = mail_client("smtp", "clear", port, ca.path()) else { return };
        client.run().await.expect_success();
        assert!(handshakes(&proxy, name).await >= 1.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_asked_over_tls_by_who_knows_none() {
    let Some(peer) = postgresql(Some(&credential())).await else { return };
    let proxy = way(Proxy::builder(), "db", &peer, "postgresql", "postgresql").start().await;
    let question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    // What clients do without being told is `prefer`.
    for mode in ["disable", "allow", "prefer"] {
        let Some(psql) = psql(proxy.address("db").port()) else { return };
        let said = psql.env("PGSSLMODE", mode).args(["-c", question]).run().await;
        assert_eq!(said.expect_success().trim(), "t", "sslmode={mode}");
    }
    let Some(psql) = psql(proxy.address("db").port()) else { return };
    let said = psql.env("PGSSLMODE", "require").args(["-c", question]).run().await;
    assert!(!said.status.success(), "there is no TLS to be had: {}", said.everything());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_searched_over_tls_by_who_knows_none() {
    let Some(peer) = slapd(Some(&credential())).await else { return };
    let builder = way(Proxy::builder(), "ldaps", &peer, "ldaps", AT_ONCE);
    let proxy = way(builder, "ldap", &peer, "ldap", "ldap").start().await;
    for name in ["ldaps", "ldap"] {
        let Some(search) = client("ldapsearch") else { return };
        let url = format!("ldap://{}", proxy.address(name));
        let search = search.args(["-x", "-LLL", "-H", &url, "-b", "dc=example"]);
        let said = search.args(["-D", ADMINISTRATOR, "-w", PASSWORD]).run().await.expect_success();
        assert!(said.contains("dn: dc=example"), "{said}");
        assert_eq!(handshakes(&proxy, name).await, 1.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stunnel_serves_is_carried_whole_and_its_sessions_are_resumed() {
    let backend = echo();
    let Some(mut server) = stunnel() else { return };
    let port = server.port("tls");
    let own = server.file("own.pem", &credential().pem());
    let service = format!(
        "[a]\naccept = 127.0.0.1:{port}\nconnect = {}\ncert = {}",
        backend.endpoint(),
        own.display()
    );
    let peer = server.start(&service).await;
    let proxy = way(Proxy::builder(), "out", &peer, "tls", AT_ONCE).start().await;
    let bytes = pattern(1 << 20);
    for round in 0..3 {
        let stream = TcpStream::connect(proxy.address("out")).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let sent = bytes.clone();
        let writing = tokio::spawn(async move {
            for piece in sent.chunks(65_521) {
                writer.write_all(piece).await.unwrap();
            }
            writer
        });
        let mut back = vec![0; bytes.len()];
        reader.read_exact(&mut back).await.unwrap();
        assert!(back == bytes, "round {round}");
        // Not sooner: stunnel forgets what it has not sent when its own backend ends.
        writing.await.unwrap().shutdown().await.unwrap();
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0, "the end comes back as well");
    }
    let labels = [("backend", "out"), ("kind", "resumed")];
    let resumed = proxy.metric("portunus_backend_tls_handshakes_total", &labels).await;
    assert_eq!(resumed, 2.0, "each but the first");
    assert_eq!(proxy.metric("portunus_backend_errors_total", &[("backend", "out")]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_ended_still_gets_all_of_its_answer() {
    let far = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let keys = format!("{{ ca = \"ca.pem\", server_name = {NAME:?} }}");
    let near = Proxy::builder()
        .listener(clear("out", "app"))
        .endpoints("app", &[&far.first_address().to_string()])
        .set("backend.app.tls", &keys)
        .start()
        .await;
    let bytes = pattern(2 << 20);
    for _ in 0..4 {
        let stream = TcpStream::connect(near.address("out")).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let sent = bytes.clone();
        let writing = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
            writer
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        writing.await.unwrap();
        assert!(back == bytes, "{} bytes came back", back.len());
    }
    let ragged = "portunus_backend_tls_eof_without_notify_total";
    assert_eq!(near.metric(ragged, &[("backend", "app")]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_hears_of_the_client_before_its_tls() {
    let Some(mut server) = nginx() else { return };
    let port = server.port("tls");
    let own = server.file("own.pem", &credential().pem());
    let own = own.display();
    let block = format!(
        "stream {{ server {{ listen 127.0.0.1:{port} ssl proxy_protocol; ssl_certificate {own}; \
         ssl_certificate_key {own}; ssl_protocols TLSv1.3; \
         return '$proxy_protocol_addr:$proxy_protocol_port $ssl_protocol'; }} }}"
    );
    let peer = server.start(&block).await;
    for version in ["v1", "v2"] {
        let builder = way(Proxy::builder(), "out", &peer, "tls", AT_ONCE);
        let proxy = builder.set("backend.out.send_proxy", &format!("{version:?}")).start().await;
        let mut stream = TcpStream::connect(proxy.address("out")).await.unwrap();
        let expected = format!("{} TLSv1.3", stream.local_addr().unwrap());
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, expected, "{version}");
    }
}

/// So many words that are all different.
fn pattern(words: u32) -> Vec<u8> {
    (0..words).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_another_one_gets_not_a_byte() {
    let backend = echo();
    let Some(mut server) = nginx() else { return };
    let port = server.port("tls");
    let stranger = authority().issue(&["other.example"]);
    let own = server.file("own.pem", &stranger.pem());
    let own = own.display();
    let block = format!(
        "stream {{ server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {own}; \
         ssl_certificate_key {own}; proxy_pass {}; }} }}",
        backend.endpoint()
    );
    let peer = server.start(&block).await;
    let proxy = way(Proxy::builder(), "out", &peer, "tls", AT_ONCE).start().await;
    let mut stream = TcpStream::connect(proxy.address("out")).await.unwrap();
    stream.write_all(b"secret").await.unwrap();
    let mut back = Vec::new();
    // Our bytes that nobody read make the end of it a reset, sometimes.
    let _ = stream.read_to_end(&mut back).await;
    assert_eq!(back, b"");
    let labels = [("backend", "out"), ("reason", "tls_wrong_name")];
    proxy.wait_for_metric("portunus_backend_errors_total", &labels, |count| count == 1.0).await;
    proxy.wait_for_log("closed", &[("reason", "backend_unreachable")]).await;
    assert_eq!(backend.connections(), 0);
}
