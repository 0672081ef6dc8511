//! Endpoints that are asked for TLS, by us: what they say in the clear reaches nobody.
//!
//! Owns endpoints that say too much, or no. Refuses to know what is said behind TLS.

use portunus_tests::{Backend, Proxy, clear, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bytes::{at_once, expect, say};
use super::{NAME, starttls};

/// What an endpoint says first, and what it answers to each of our words.
type Words = &'static [&'static [u8]];

const LDAP_CONSENT: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
const LDAP_CONSENT_AND_MORE: &[u8] =
    b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30";
const LDAP_NO: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00";

/// What a client of PostgreSQL begins with; to those of other protocols it is as good as anything.
const STARTUP: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0ann\0\0";

/// What a server of PostgreSQL says that wants no password.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0";

/// Endpoints that are no partners: their protocol and their words.
const STRANGERS: &[(&str, Words)] = &[
    // They say no.
    ("postgresql", &[b"", b"N"]),
    ("ldap", &[b"", LDAP_NO]),
    ("smtp", &[b"220 mx.test ESMTP\r\n", b"250 mx.test\r\n"]),
    ("imap", &[b"* OK ready\r\n", b"A1 BAD unknown command\r\n"]),
    ("pop3", &[b"+OK ready\r\n", b"-ERR unknown command\r\n"]),
    // They say something behind their consent, for a client to take for theirs under TLS.
    ("postgresql", &[b"", b"SE\0\0\0\x0cFATAL"]),
    ("ldap", &[b"", LDAP_CONSENT_AND_MORE]),
    (
        "smtp",
        &[b"220 mx.test ESMTP\r\n", b"250-mx.test\r\n250 STARTTLS\r\n", b"220 go\r\n250 mx\r\n"],
    ),
    ("imap", &[b"* OK ready\r\n", b"A1 OK begin\r\n* 1 EXISTS\r\n"]),
    ("pop3", &[b"+OK ready\r\n", b"+OK begin\r\n+OK evil\r\n"]),
    // They know the client already.
    ("imap", &[b"* PREAUTH you are the admin\r\n"]),
];

/// An endpoint that says these words in turn, and then listens.
fn endpoint(words: Words) -> Backend {
    raw(move |mut stream, _| async move {
        let mut buffer = [0; 4096];
        for (turn, words) in words.iter().enumerate() {
            if turn > 0 && !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                return;
            }
            let _ = stream.write_all(words).await;
        }
        while let Ok(1..) = stream.read(&mut buffer).await {}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_come_to_tls_as_it_should_is_no_partner() {
    for (protocol, words) in STRANGERS {
        let backend = endpoint(words);
        let builder = Proxy::builder().listener(clear("app", "app")).backend(&backend);
        let builder = builder
            .set("backend.app.tls.starttls", &format!("{protocol:?}"))
            .set("backend.app.tls.server_name", &format!("{NAME:?}"));
        let proxy = builder.start().await;
        let heard = at_once(&proxy, b"word").await;
        for words in words.iter().filter(|words| !words.is_empty()) {
            let leaked = heard.windows(words.len()).any(|part| part == *words);
            assert!(!leaked, "{protocol}: {words:?} in {heard:?}");
        }
        let labels = [("backend", "app"), ("reason", "starttls")];
        let errors = "portunus_backend_errors_total";
        proxy.wait_for_metric(errors, &labels, |count| count >= 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_to_tls_is_talked_to_under_it() {
    assert_eq!(LDAP_CONSENT_AND_MORE.strip_prefix(LDAP_CONSENT), Some(&b"\x30"[..]));
    for protocol in ["postgresql", "ldap"] {
        let backend = raw(|mut stream, _| async move {
            let mut heard = vec![0; STARTUP.len()];
            if stream.read_exact(&mut heard).await.is_ok() && heard == STARTUP {
                let _ = stream.write_all(WELCOME).await;
            }
            let _ = stream.read(&mut [0]).await;
        });
        let far = Proxy::builder().listener(starttls(protocol)).backend(backend).start().await;
        let near = Proxy::builder()
            .listener(clear("app", "app"))
            .endpoints("app", &[&far.first_address().to_string()])
            .set("backend.app.tls.starttls", &format!("{protocol:?}"))
            .set("backend.app.tls.ca", &format!("{:?}", far.ca()))
            .set("backend.app.tls.server_name", &format!("{NAME:?}"))
            .start()
            .await;
        let mut tcp = near.client(NAME).tcp().await;
        say(&mut tcp, STARTUP).await;
        expect(&mut tcp, WELCOME).await;
        super::count(&far, "upgraded", 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_without_tls_is_not_asked_for_what_needs_it() {
    let offer = |ways: &[&str]| {
        let ways: Vec<u8> = ways.iter().flat_map(|way| [way.as_bytes(), b"\0"].concat()).collect();
        let length = u32::try_from(ways.len() + 9).unwrap().to_be_bytes();
        [&b"R"[..], &length, &[0, 0, 0, 10], &ways, &[0]].concat()
    };
    let said = offer(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    let backend = raw(move |mut stream, _| {
        let said = said.clone();
        async move {
            let mut heard = vec![0; STARTUP.len()];
            if stream.read_exact(&mut heard).await.is_ok() && heard == STARTUP {
                let _ = stream.write_all(&said).await;
            }
            let _ = stream.read(&mut [0]).await;
        }
    });
    let far = Proxy::builder().listener(starttls("postgresql")).backend(backend).start().await;
    let near = Proxy::builder()
        .listener(starttls("postgresql").with("require_tls", "false"))
        .endpoints("app", &[&far.first_address().to_string()])
        .set("backend.app.tls.starttls", "\"postgresql\"")
        .set("backend.app.tls.ca", &format!("{:?}", far.ca()))
        .set("backend.app.tls.server_name", &format!("{NAME:?}"))
        .start()
        .await;
    let mut tcp = near.client(NAME).tcp().await;
    say(&mut tcp, STARTUP).await;
    expect(&mut tcp, &offer(&["SCRAM-SHA-256"])).await;
}
