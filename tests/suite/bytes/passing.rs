//! Names whose TLS ends elsewhere, beside names whose TLS ends here, on one port.

use portunus_tests::wait::within;
use portunus_tests::{Proxy, authority, echo, foreign, greeter, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::NAME;

const FAR: &str = "far.example";
const PASSED: &str = "portunus_passed_through_total";

/// A proxy that terminates `far.example`, and one that passes it through to there while it
/// terminates `app.example`.
async fn mixed(far_at: &str) -> (Proxy, Proxy) {
    let far = tls(FAR).at(&[far_at]);
    let far = Proxy::builder().listener(far).backend(greeter("far\n")).start().await;
    let near = Proxy::builder()
        .listener(tls(NAME).site_with(FAR, "far", "passthrough = true"))
        .endpoints("far", &[&far.addresses("tls")[0]])
        .backend(greeter("here\n"))
        // What passes through needs no certificate.
        .certificate(NAME, &authority().issue(&[NAME]))
        .start()
        .await;
    (near, far)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_has_names_whose_tls_ends_here_and_names_whose_tls_ends_elsewhere() {
    let (near, far) = mixed("127.0.0.1:0").await;
    let direct = far.client(FAR).connect().await.leaf();
    for client in [near.client(FAR), near.client(FAR).tls12()] {
        let mut passed = client.connect().await;
        assert_eq!(passed.leaf(), direct, "the certificate is the endpoint's own");
        passed.expect(b"far\n").await;
        passed.send(b"and back").await;
        passed.expect(b"and back").await;
        passed.close_notify().await;
        assert_eq!(passed.receive_all().await.unwrap(), b"");
        near.client(NAME).connect().await.expect(b"here\n").await;
    }
    near.wait_for_metric(PASSED, &[("listener", "tls")], |count| count == 2.0).await;
    near.wait_for_metric("portunus_handshakes_total", &[], |count| count == 2.0).await;
    near.wait_for_log("closed", &[("sni", FAR), ("reason", "done")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_passes_through_whole_in_whatever_pieces_it_comes() {
    let (near, _far) = mixed("127.0.0.1:0").await;
    // With its post-quantum key share a hello is more than a segment of most networks holds.
    assert!(near.client(FAR).hello().len() > 1400);
    for piece in [1, 7, 1400] {
        let mut passed = near.client(FAR).writing_at_most(piece).connect().await;
        passed.expect(b"far\n").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_through_resumes_where_its_tls_ends() {
    let (near, far) = mixed("127.0.0.1:0").await;
    let client = near.client(FAR);
    for resumed in [false, true, true] {
        let mut passed = client.connect().await;
        passed.expect(b"far\n").await;
        passed.ticket().await;
        assert_eq!(passed.resumed(), resumed);
    }
    assert!(far.metric("portunus_handshakes_total", &[("kind", "stateful")]).await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_passed_through_too() {
    let (near, far) = mixed("127.0.0.1:0").await;
    let Some(openssl) = foreign::openssl() else { return };
    let address = near.first_address().to_string();
    let (ca, what) = (far.ca(), ["s_client", "-brief", "-verify_return_error", "-servername", FAR]);
    let mut openssl =
        openssl.args(what).arg("-CAfile").arg(ca).args(["-connect", &address]).start();
    openssl.hear("far\n").await;
    assert!(openssl.finish().await.everything().contains("Verification: OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_site_names_is_refused_beside_what_passes_through() {
    let (near, _far) = mixed("127.0.0.1:0").await;
    for name in ["other.example", "sub.far.example"] {
        let error = near.client(name).try_connect().await.unwrap_err();
        assert!(format!("{error:?}").contains("UnrecognisedName"), "{name}: {error:?}");
    }
    let mut http = TcpStream::connect(near.first_address()).await.unwrap();
    http.write_all(b"GET / HTTP/1.1\r\nHost: far.example\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within("an answer", http.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
    near.wait_for_metric("portunus_handshake_failures_total", &[], |count| count == 3.0).await;
    assert_eq!(near.metric(PASSED, &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_lead_elsewhere_for_each_protocol() {
    let far = Proxy::builder().listener(tls(NAME)).backend(greeter("far\n")).start().await;
    let near = Proxy::builder()
        .listener(
            tls("first.example")
                .site_with(NAME, "mail", "alpn = [\"imap\", \"pop3\"]")
                .site_with(NAME, "far", "alpn = [\"postgresql\"]\npassthrough = true")
                .site(NAME, "rest")
                .site_with("strict.example", "mail", "alpn = [\"imap\"]"),
        )
        .endpoints("mail", &[greeter("mail\n").endpoint()])
        .endpoints("far", &[&far.first_address().to_string()])
        .endpoints("rest", &[greeter("rest\n").endpoint()])
        .backend(echo())
        .start()
        .await;
    for (offered, greeting, agreed) in [
        (&["pop3"][..], "mail\n", Some("pop3")),
        (&["h2", "imap"], "mail\n", Some("imap")),
        (&["postgresql"], "far\n", None),
        (&["h2"], "rest\n", None),
        (&[], "rest\n", None),
    ] {
        let mut client = near.client(NAME).alpn(offered).connect().await;
        client.expect(greeting.as_bytes()).await;
        assert_eq!(client.protocol().as_deref(), agreed, "{offered:?}");
    }
    for offered in [&["pop3"][..], &[]] {
        let client = near.client("strict.example").alpn(offered);
        let error = client.try_connect().await.unwrap_err();
        assert!(format!("{error:?}").contains("NoApplicationProtocol"), "{offered:?}: {error:?}");
    }
    let labels = [("reason", "no_alpn")];
    near.wait_for_metric("portunus_handshake_failures_total", &labels, |n| n == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_may_be_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("unix:{}", folder.path().join(name).display());
    let (near, far) = mixed(&path("far")).await;
    near.client(FAR).connect().await.expect(b"far\n").await;
    // In front of it, one that begins TLS for those who come by a unix socket.
    let front = Proxy::builder()
        .listener(tls(FAR).without_sites().with("clear", "true").at(&[&path("front")]))
        .endpoints("app", &[&path("far")])
        .set("backend.app.tls.ca", &format!("{:?}", far.ca()))
        .set("backend.app.tls.server_name", &format!("{FAR:?}"))
        .start()
        .await;
    let mut client = UnixStream::connect(folder.path().join("front")).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = Vec::new();
    within("all", client.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"far\nhello");
    front.wait_for_log("closed", &[("peer", "unix"), ("reason", "done")]).await;
}
