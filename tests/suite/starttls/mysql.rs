//! MySQL before TLS and behind it: the backend speaks first, and hears a client without TLS.

use portunus_tests::{Backend, Proxy, authority, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bytes::{at_once, encrypt_at_once, expect, is_not_heard_as_clear, say};
use super::{NAME, count, encrypt, failed, starttls};

/// A packet with a place in its exchange.
fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

/// A greeting whose server has the capabilities of these two bytes, and no others.
fn greeting(capabilities: [u8; 2]) -> Vec<u8> {
    let start = b"\x0a8.0.0-test\0\x07\0\0\0nonce678\0";
    let rest = b"\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0nonce9012345\0mysql_native_password\0";
    packet(0, &[&start[..], &capabilities, rest].concat())
}

/// That of the server of these tests, and as clients see it: with `CLIENT_SSL`.
const PLAIN: [u8; 2] = [0xfe, 0xf7];
const SHOWN: [u8; 2] = [0xfe, 0xff];

/// What begins both a login and a request for TLS, with and without `CLIENT_SSL`.
const WITH_TLS: &[u8; 32] =
    b"\x05\xae\x0f\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const WITHOUT_TLS: &[u8; 32] =
    b"\x05\xa6\x0f\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const OK: &[u8] = b"\0\0\0\x02\0\0\0";

fn login(start: &[u8; 32]) -> Vec<u8> {
    [&start[..], b"ann\0\x04mix!"].concat()
}

/// A database that greets, changes the method, says more without being asked, lets the client in,
/// and gives back what it gets. What is not as it should be ends it.
fn database() -> Backend {
    raw(|mut stream, _| async move {
        let hears = async |stream: &mut TcpStream, expected: Vec<u8>| {
            let mut heard = vec![0; expected.len()];
            stream.read_exact(&mut heard).await.is_ok() && heard == expected
        };
        let _ = stream.write_all(&greeting(PLAIN)).await;
        if !hears(&mut stream, packet(1, &login(WITHOUT_TLS))).await {
            return;
        }
        let _ = stream.write_all(&packet(2, b"\xfecaching_sha2_password\0nonce")).await;
        if !hears(&mut stream, packet(3, b"another mix")).await {
            return;
        }
        let _ = stream.write_all(&[packet(4, b"\x01\x03"), packet(5, OK)].concat()).await;
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let _ = stream.write_all(&buffer[..count]).await;
        }
    })
}

async fn start(require_tls: &str, backend: &Backend) -> Proxy {
    let listener = starttls("mysql").with("require_tls", require_tls).without_sites();
    let credential = authority().issue(&[NAME]);
    let builder = Proxy::builder().listener(listener).certificate("mysql", &credential);
    builder.backend(backend).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_under_tls_is_one_without_tls_to_the_database() {
    let proxy = start("true", &database()).await;
    let client = proxy.client(NAME);
    for is_patient in [false, true] {
        let mut tcp = client.tcp().await;
        expect(&mut tcp, &greeting(SHOWN)).await;
        let request = packet(1, WITH_TLS);
        // Clients do not wait before their hello, since there is no answer to wait for.
        let mut tls = if is_patient {
            say(&mut tcp, &request).await;
            encrypt(&client, tcp).await
        } else {
            encrypt_at_once(&client, tcp, &request).await
        };
        tls.send(&packet(2, &login(WITH_TLS))).await;
        tls.expect(&packet(3, b"\xfecaching_sha2_password\0nonce")).await;
        tls.send(&packet(4, b"another mix")).await;
        tls.expect(&[packet(5, b"\x01\x03"), packet(6, OK)].concat()).await;
        // What follows is not looked at: here it is no packet at all.
        tls.send(b"\xff\xff\xff\0 and so on").await;
        tls.expect(b"\xff\xff\xff\0 and so on").await;
    }
    count(&proxy, "upgraded", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_clear_is_refused_where_tls_is_required() {
    let proxy = start("true", &database()).await;
    let heard = at_once(&proxy, &packet(1, &login(WITHOUT_TLS))).await;
    let answer = heard.strip_prefix(&greeting(SHOWN)[..]).expect("the greeting comes first");
    assert!(answer[3..].starts_with(b"\x02\xff\x57\x0c#HY000"), "{answer:?}");
    count(&proxy, "no_tls", 1.0).await;
    // A login that says that it is a request for TLS.
    let heard = at_once(&proxy, &packet(1, &login(WITH_TLS))).await;
    assert!(heard.ends_with(b"#08S01Bad handshake"), "{heard:?}");
    count(&proxy, "injected", 1.0).await;
    at_once(&proxy, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    count(&proxy, "not_the_protocol", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_request_for_tls_is_read_as_tls_and_as_nothing_else() {
    let proxy = start("true", &database()).await;
    for is_at_once in [true, false] {
        let mut tcp = proxy.client(NAME).tcp().await;
        expect(&mut tcp, &greeting(SHOWN)).await;
        let (request, login) = (packet(1, WITH_TLS), packet(2, &login(WITH_TLS)));
        if is_at_once {
            is_not_heard_as_clear(tcp, &[request, login].concat()).await;
        } else {
            say(&mut tcp, &request).await;
            is_not_heard_as_clear(tcp, &login).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_the_clear_is_passed_on_whole_where_it_may_be() {
    let proxy = start("false", &database()).await;
    let mut tcp = proxy.client(NAME).tcp().await;
    expect(&mut tcp, &greeting(SHOWN)).await;
    say(&mut tcp, &packet(1, &login(WITHOUT_TLS))).await;
    expect(&mut tcp, &packet(2, b"\xfecaching_sha2_password\0nonce")).await;
    say(&mut tcp, &packet(3, b"another mix")).await;
    expect(&mut tcp, &[packet(4, b"\x01\x03"), packet(5, OK)].concat()).await;
    count(&proxy, "clear", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_want_the_client_says_so_to_it() {
    let refusal = packet(0, b"\xff\x10\x04Too many connections");
    let said = refusal.clone();
    let backend = raw(move |mut stream, _| {
        let said = said.clone();
        async move { drop(stream.write_all(&said).await) }
    });
    let proxy = start("true", &backend).await;
    assert_eq!(at_once(&proxy, b"").await, refusal);
    failed(&proxy, "bad_response").await;
    proxy.wait_for_log("closed", &[("reason", "backend_error")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_login_reaches_the_client() {
    let denied = b"\xff\x15\x04#28000Access denied";
    let backend = raw(move |mut stream, _| async move {
        let _ = stream.write_all(&greeting(PLAIN)).await;
        let mut heard = vec![0; packet(1, &login(WITHOUT_TLS)).len()];
        let _ = stream.read_exact(&mut heard).await;
        let _ = stream.write_all(&packet(2, denied)).await;
    });
    let proxy = start("true", &backend).await;
    let mut tcp = proxy.client(NAME).tcp().await;
    expect(&mut tcp, &greeting(SHOWN)).await;
    let mut tls = encrypt_at_once(&proxy.client(NAME), tcp, &packet(1, WITH_TLS)).await;
    tls.send(&packet(2, &login(WITH_TLS))).await;
    assert_eq!(tls.receive_all().await.unwrap(), packet(3, denied));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_ends_the_connection() {
    let backend = portunus_tests::greeter("220 mail.test ESMTP\r\n");
    let proxy = start("true", &backend).await;
    assert_eq!(at_once(&proxy, b"").await, b"");
    failed(&proxy, "bad_response").await;
    proxy.wait_for_log("closed", &[("reason", "backend_error")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_silent_costs_other_listeners_no_handshake() {
    let listener = starttls("mysql").named("mysql").without_sites();
    let silent = portunus_tests::silent();
    let proxy = Proxy::builder()
        .listener(listener)
        .backend(&silent)
        .listener(portunus_tests::tls(NAME).named("other").without_sites())
        .certificate("mysql", &authority().issue(&[NAME]))
        .set("limits.handshakes", "2")
        .set("limits.connect_timeout", "\"20s\"")
        .start()
        .await;
    let pending = "portunus_starttls_pending";
    let to_mysql = proxy.client(NAME).at(proxy.address("mysql"));
    let clients = [to_mysql.tcp().await, to_mysql.tcp().await];
    proxy.wait_for_metric(pending, &[], |pending| pending == 2.0).await;
    assert_eq!(proxy.metric("portunus_handshakes_pending", &[]).await, 0.0);
    proxy.client(NAME).at(proxy.address("other")).connect().await;
    // And nobody waits for a greeting on behalf of a client that is gone.
    drop(clients);
    proxy.wait_for_metric(pending, &[], |pending| pending == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_silent_is_known_for_it() {
    let listener = starttls("mysql").without_sites();
    let silent = portunus_tests::silent();
    let builder = Proxy::builder().listener(listener).backend(&silent);
    let builder = builder.certificate("mysql", &authority().issue(&[NAME]));
    let proxy = builder.set("limits.connect_timeout", "\"200ms\"").start().await;
    assert_eq!(at_once(&proxy, b"").await, b"");
    failed(&proxy, "timeout").await;
    count(&proxy, "backend", 1.0).await;
    proxy.wait_for_log("closed", &[("reason", "timeout")]).await;
}
