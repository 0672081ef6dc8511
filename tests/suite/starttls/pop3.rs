//! POP3 before TLS and behind it.

use portunus_tests::{Proxy, Tls};

use super::{NAME, by_the_book, count, encrypt, hear, said_at_once, say, starttls};

const GREETING: &str = "+OK mx.test ready\r\n";

async fn come_to_tls(proxy: &Proxy) -> Tls {
    let mut tcp = proxy.client(NAME).tcp().await;
    assert_eq!(hear(&mut tcp, "\n").await, GREETING);
    say(&mut tcp, "STLS\r\n").await;
    assert_eq!(hear(&mut tcp, "\n").await, "+OK Begin TLS negotiation\r\n");
    encrypt(&proxy.client(NAME), tcp).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_a_client_talks_to_the_backend_and_hears_no_second_greeting() {
    let backend = by_the_book(
        "+OK POP3 ready <1896.697170952@mda.test>\r\n",
        &[("USER somebody\r\n", "+OK\r\n"), ("PASS secret\r\n", "+OK Logged in.\r\n")],
    );
    let proxy = Proxy::builder().listener(starttls("pop3")).backend(&backend).start().await;
    let mut tls = come_to_tls(&proxy).await;
    tls.send(b"USER somebody\r\n").await;
    tls.expect(b"+OK\r\n").await;
    tls.send(b"PASS secret\r\n").await;
    tls.expect(b"+OK Logged in.\r\n").await;
    count(&proxy, "upgraded", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_without_tls_and_nothing_is_smuggled_into_it() {
    let backend = by_the_book("+OK ready\r\n", &[]);
    let proxy = Proxy::builder().listener(starttls("pop3")).backend(&backend).start().await;
    let heard = said_at_once(&proxy, "USER somebody\r\nQUIT\r\n").await;
    assert_eq!(heard, format!("{GREETING}-ERR Issue STLS first\r\n+OK Bye\r\n"));
    count(&proxy, "no_tls", 1.0).await;
    let heard = said_at_once(&proxy, "STLS\r\nUSER evil\r\n").await;
    assert_eq!(heard, format!("{GREETING}-ERR Nothing may follow STLS before TLS\r\n"));
    count(&proxy, "injected", 1.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_busy_says_so_to_the_client() {
    let backend = by_the_book("-ERR Busy\r\n", &[]);
    let proxy = Proxy::builder().listener(starttls("pop3")).backend(&backend).start().await;
    let mut tls = come_to_tls(&proxy).await;
    tls.send(b"USER somebody\r\n").await;
    assert_eq!(tls.receive_all().await.unwrap(), b"-ERR Busy\r\n");
}
