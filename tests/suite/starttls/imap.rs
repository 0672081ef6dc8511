//! IMAP before TLS and behind it.

use portunus_tests::{Proxy, Tls};

use super::{NAME, by_the_book, count, encrypt, hear, said_at_once, say, starttls};

const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mx.test ready\r\n";

async fn come_to_tls(proxy: &Proxy) -> Tls {
    let mut tcp = proxy.client(NAME).tcp().await;
    assert_eq!(hear(&mut tcp, "\n").await, GREETING);
    say(&mut tcp, "a STARTTLS\r\n").await;
    assert_eq!(hear(&mut tcp, "\n").await, "a OK Begin TLS negotiation now\r\n");
    encrypt(&proxy.client(NAME), tcp).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_a_client_talks_to_the_backend_and_hears_no_second_greeting() {
    let capabilities = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nb OK done\r\n";
    let backend = by_the_book(
        "* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n",
        &[("b CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nb OK done\r\n")],
    );
    let proxy = Proxy::builder().listener(starttls("imap")).backend(&backend).start().await;
    let mut tls = come_to_tls(&proxy).await;
    tls.send(b"b CAPABILITY\r\n").await;
    tls.expect(capabilities.as_bytes()).await;
    count(&proxy, "upgraded", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_without_tls_and_nothing_is_smuggled_into_it() {
    let backend = by_the_book("* OK ready\r\n", &[]);
    let proxy = Proxy::builder().listener(starttls("imap")).backend(&backend).start().await;
    let heard = said_at_once(&proxy, "a LOGIN user secret\r\nb LOGOUT\r\n").await;
    let words =
        "a NO [PRIVACYREQUIRED] Issue STARTTLS first\r\n* BYE Logging out\r\nb OK Completed\r\n";
    assert_eq!(heard, format!("{GREETING}{words}"));
    count(&proxy, "no_tls", 1.0).await;
    let heard = said_at_once(&proxy, "a STARTTLS\r\nb LOGIN evil evil\r\n").await;
    let words = "a BAD Nothing may follow STARTTLS before TLS\r\n* BYE Closing\r\n";
    assert_eq!(heard, format!("{GREETING}{words}"));
    count(&proxy, "injected", 1.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_everybody_for_somebody_gets_nobody() {
    let ours = "* BYE [UNAVAILABLE] The mail service is not available\r\n";
    for (words, heard) in [
        ("* PREAUTH Welcome\r\n", ours),
        ("* BYE [UNAVAILABLE] Busy\r\n", "* BYE [UNAVAILABLE] Busy\r\n"),
    ] {
        let backend = by_the_book(words, &[]);
        let proxy = Proxy::builder().listener(starttls("imap")).backend(&backend).start().await;
        let mut tls = come_to_tls(&proxy).await;
        assert_eq!(String::from_utf8(tls.receive_all().await.unwrap()).unwrap(), heard);
        proxy.wait_for_log("closed", &[("reason", "backend_error")]).await;
    }
}
