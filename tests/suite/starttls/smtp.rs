//! SMTP before TLS and behind it.

use portunus_tests::wait::within;
use portunus_tests::{Proxy, Tls, raw, unreachable};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{
    NAME, by_the_book, count, encrypt, failed, hear, hear_all, said_at_once, say, starttls,
};

const GREETING: &str = "220 mx.test ESMTP\r\n";
const HELLO: &str = "250-mx.test\r\n250 STARTTLS\r\n";
const CONSENT: &str = "220 2.0.0 Ready to start TLS\r\n";

/// Goes up to the consent, in the clear.
async fn ask_for_tls(proxy: &Proxy) -> TcpStream {
    let mut tcp = proxy.client(NAME).tcp().await;
    assert_eq!(hear(&mut tcp, "\n").await, GREETING);
    say(&mut tcp, "EHLO client.test\r\n").await;
    assert_eq!(hear(&mut tcp, "250 STARTTLS\r\n").await, HELLO);
    say(&mut tcp, "STARTTLS\r\n").await;
    assert_eq!(hear(&mut tcp, "\n").await, CONSENT);
    tcp
}

async fn come_to_tls(proxy: &Proxy) -> Tls {
    encrypt(&proxy.client(NAME), ask_for_tls(proxy).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_a_client_talks_to_the_backend_and_hears_no_second_greeting() {
    let backend = by_the_book(
        "220-mda.test\r\n220 ESMTP\r\n",
        &[
            ("EHLO client.test\r\n", "250-mda.test\r\n250 AUTH PLAIN\r\n"),
            ("QUIT\r\n", "221 Bye\r\n"),
        ],
    );
    let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
    let tcp = ask_for_tls(&proxy).await;
    assert_eq!(backend.connections(), 0, "the backend hears nothing of what is in the clear");
    let mut tls = encrypt(&proxy.client(NAME), tcp).await;
    tls.send(b"EHLO client.test\r\n").await;
    tls.expect(b"250-mda.test\r\n250 AUTH PLAIN\r\n").await;
    tls.send(b"QUIT\r\n").await;
    tls.expect(b"221 Bye\r\n").await;
    count(&proxy, "upgraded", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_starttls_reaches_nobody() {
    let backend = by_the_book("220 mda.test\r\n", &[]);
    let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
    let heard = said_at_once(&proxy, "EHLO c\r\nSTARTTLS\r\nMAIL FROM:<evil@c.test>\r\n").await;
    let words = "503 5.5.1 Nothing may follow STARTTLS before TLS\r\n";
    assert_eq!(heard, format!("{GREETING}{HELLO}{words}"));
    count(&proxy, "injected", 1.0).await;
    // In a segment of its own, once there is consent, it is no more than a bad hello.
    let mut tcp = ask_for_tls(&proxy).await;
    say(&mut tcp, "MAIL FROM:<evil@c.test>\r\n").await;
    let mut alert = Vec::new();
    within("the end", tcp.read_to_end(&mut alert)).await.unwrap();
    assert_eq!(alert[0], 21, "an alert and nothing else: {alert:?}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_mailed_without_tls() {
    let backend = by_the_book("220 mda.test\r\n", &[]);
    let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
    let heard = said_at_once(&proxy, "EHLO c\r\nMAIL FROM:<a@c.test>\r\nQUIT\r\n").await;
    let words = "530 5.7.0 Must issue a STARTTLS command first\r\n221 2.0.0 Bye\r\n";
    assert_eq!(heard, format!("{GREETING}{HELLO}{words}"));
    count(&proxy, "no_tls", 1.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_browsers_are_cut_off() {
    let backend = by_the_book("220 mda.test\r\n", &[]);
    let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
    let heard = said_at_once(&proxy, &"NOOP\r\n".repeat(10_000)).await;
    assert_eq!(heard.matches("250 2.0.0 Ok\r\n").count(), 20);
    assert!(heard.ends_with("421 4.7.0 Too much before STARTTLS\r\n"), "{heard}");
    let heard = said_at_once(&proxy, &"x".repeat(60_000)).await;
    assert_eq!(heard, format!("{GREETING}421 4.7.0 Too much before STARTTLS\r\n"));
    count(&proxy, "flooded", 2.0).await;
    let heard = said_at_once(&proxy, "POST / HTTP/1.1\r\nHost: mx.test\r\n\r\nQUIT\r\n").await;
    assert_eq!(heard, format!("{GREETING}500 5.5.2 This is SMTP, in lines that end in CRLF\r\n"));
    count(&proxy, "not_the_protocol", 1.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_another_protocol_in_tls_is_refused() {
    let backend = by_the_book("220 mda.test\r\n", &[("EHLO c\r\n", "250 mda.test\r\n")]);
    let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
    let tcp = ask_for_tls(&proxy).await;
    let client = proxy.client(NAME).alpn(&["h2", "http/1.1"]);
    let mut tls = Tls::new(tcp, client.tls(), usize::MAX);
    let error = tls.handshake().await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    assert_eq!(backend.connections(), 0);
    let tcp = ask_for_tls(&proxy).await;
    let mut tls = encrypt(&proxy.client(NAME).alpn(&["smtp"]), tcp).await;
    tls.send(b"EHLO c\r\n").await;
    tls.expect(b"250 mda.test\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_with_its_session() {
    let backend = by_the_book("220 mda.test\r\n", &[("EHLO c\r\n", "250 mda.test\r\n")]);
    let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
    for client in [proxy.client(NAME), proxy.client(NAME).tls12()] {
        for resumed in [false, true] {
            let mut tls = encrypt(&client, ask_for_tls(&proxy).await).await;
            assert_eq!(tls.resumed(), resumed);
            tls.ticket().await;
            tls.send(b"EHLO c\r\n").await;
            tls.expect(b"250 mda.test\r\n").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_want_the_client_says_so_to_it() {
    for (words, heard) in [
        (
            "554-5.7.1 You are\r\n554 5.7.1 not wanted\r\n",
            "554-5.7.1 You are\r\n554 5.7.1 not wanted\r\n",
        ),
        ("SSH-2.0-x\r\n", "421 4.3.2 The mail service is not available\r\n"),
    ] {
        let backend = by_the_book(words, &[]);
        let proxy = Proxy::builder().listener(starttls("smtp")).backend(&backend).start().await;
        let mut tls = come_to_tls(&proxy).await;
        tls.send(b"EHLO client.test\r\n").await;
        assert_eq!(String::from_utf8(tls.receive_all().await.unwrap()).unwrap(), heard);
        proxy.wait_for_log("closed", &[("reason", "backend_error")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_backend_is_away_hears_so_in_its_own_words() {
    let closing = raw(|_stream, _| async {});
    for backend in [unreachable(), closing] {
        let proxy = Proxy::builder().listener(starttls("smtp")).backend(backend).start().await;
        let mut tls = come_to_tls(&proxy).await;
        tls.send(b"EHLO client.test\r\n").await;
        let heard = String::from_utf8(tls.receive_all().await.unwrap()).unwrap();
        assert_eq!(heard, "421 4.3.2 The mail service is not available\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_mail_comes_from_everywhere_it_may_come_without_tls() {
    let backend = by_the_book(
        "220 mda.test\r\n",
        &[
            (
                "EHLO client.test\r\n",
                "250-mda.test\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 SIZE\r\n",
            ),
            ("MAIL FROM:<a@client.test>\r\nRCPT TO:<b@mx.test>\r\n", "250 Ok\r\n250 Ok\r\n"),
        ],
    );
    let listener = starttls("smtp").with("require_tls", "false");
    let proxy = Proxy::builder().listener(listener).backend(&backend).start().await;
    let hello = "250-mda.test\r\n250-SIZE\r\n250 STARTTLS\r\n";
    let mut tcp = proxy.client(NAME).tcp().await;
    assert_eq!(hear(&mut tcp, "\n").await, GREETING);
    say(&mut tcp, "EHLO client.test\r\n").await;
    assert_eq!(hear(&mut tcp, "STARTTLS\r\n").await, hello);
    say(&mut tcp, "MAIL FROM:<a@client.test>\r\nRCPT TO:<b@mx.test>\r\n").await;
    assert_eq!(hear(&mut tcp, "250 Ok\r\n250 Ok\r\n").await, "250 Ok\r\n250 Ok\r\n");
    assert_eq!(backend.connections(), 1);
    count(&proxy, "clear", 1.0).await;
    // Who asks for TLS after all gets a connection on which nothing was said.
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, "EHLO client.test\r\n").await;
    hear(&mut tcp, "250 STARTTLS\r\n").await;
    say(&mut tcp, "STARTTLS\r\n").await;
    hear(&mut tcp, CONSENT).await;
    let mut tls = encrypt(&proxy.client(NAME), tcp).await;
    tls.send(b"EHLO client.test\r\n").await;
    tls.expect(b"250-mda.test\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 SIZE\r\n").await;
    assert_eq!(backend.connections(), 3);
    count(&proxy, "upgraded", 1.0).await;
    let heard = said_at_once(&proxy, "AUTH PLAIN AGEAYg==\r\nQUIT\r\n").await;
    assert!(heard.contains("538 5.7.11"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_does_not_need_ehlo() {
    let backend = by_the_book("220 mda.test\r\n", &[("HELO c\r\n", "250 mda.test\r\n")]);
    let listener = starttls("smtp").with("require_tls", "false");
    let proxy = Proxy::builder().listener(listener).backend(&backend).start().await;
    let mut tcp = proxy.client(NAME).tcp().await;
    hear(&mut tcp, GREETING).await;
    say(&mut tcp, "HELO c\r\n").await;
    assert_eq!(hear(&mut tcp, "\n").await, "250 mda.test\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_may_do_without_tls_is_told_that_the_backend_is_away() {
    let listener = starttls("smtp").with("require_tls", "false");
    let proxy = Proxy::builder().listener(listener).backend(unreachable()).start().await;
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, "EHLO c\r\n").await;
    let client = tcp.local_addr().unwrap().to_string();
    let heard = hear_all(&mut tcp).await;
    assert_eq!(heard, format!("{GREETING}421 4.3.2 The mail service is not available\r\n"));
    count(&proxy, "backend", 1.0).await;
    proxy.wait_for_log("no backend to ask", &[("client", &client)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greeting_has_the_name_that_is_configured() {
    let listener = starttls("smtp").with("greeting_name", "\"mail.example.com\"");
    let backend = by_the_book("", &[]);
    let proxy = Proxy::builder().listener(listener).backend(backend).start().await;
    let mut tcp = proxy.client(NAME).tcp().await;
    assert_eq!(hear(&mut tcp, "\n").await, "220 mail.example.com ESMTP\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_answer_is_known_for_it() {
    let listener = starttls("smtp").with("require_tls", "false");
    let builder = Proxy::builder().listener(listener).backend(portunus_tests::silent());
    let proxy = builder.set("limits.starttls_timeout", "\"1s\"").start().await;
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, "EHLO c\r\n").await;
    let heard = hear_all(&mut tcp).await;
    assert_eq!(heard, format!("{GREETING}421 4.3.2 The mail service is not available\r\n"));
    failed(&proxy, "timeout").await;
    count(&proxy, "backend", 1.0).await;
    proxy.wait_for_log("closed", &[("reason", "backend_error")]).await;
}
