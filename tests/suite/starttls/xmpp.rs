//! XMPP before TLS and behind it.

use portunus_tests::{Backend, Proxy, echo};

use super::{NAME, count, encrypt, hear, said_at_once, say, starttls};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='talk.test' version='1.0'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

async fn start() -> (Proxy, Backend) {
    let backend = echo();
    let proxy = Proxy::builder().listener(starttls("xmpp")).backend(&backend).start().await;
    (proxy, backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_the_stream_is_a_new_one_with_the_backend() {
    let (proxy, _) = start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut tcp = proxy.client(NAME).tcp().await;
        say(&mut tcp, HEADER).await;
        let heard = hear(&mut tcp, "</stream:features>").await;
        assert!(heard.contains(" from='talk.test' "), "{heard}");
        assert!(heard.contains("<required/>"), "{heard}");
        let id = heard.split(" id='").nth(1).and_then(|rest| rest.split('\'').next());
        ids.push(id.unwrap().to_owned());
        say(&mut tcp, STARTTLS).await;
        assert_eq!(hear(&mut tcp, "/>").await, PROCEED);
        let mut tls = encrypt(&proxy.client(NAME), tcp).await;
        tls.send(HEADER.as_bytes()).await;
        tls.expect(HEADER.as_bytes()).await;
    }
    assert_ne!(ids[0], ids[1], "nobody can guess the id of another stream");
    count(&proxy, "upgraded", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_without_tls_and_nothing_is_smuggled_into_it() {
    let (proxy, backend) = start().await;
    let login = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    let heard = said_at_once(&proxy, &format!("{HEADER}{login}")).await;
    assert!(heard.ends_with("<encryption-required/></failure></stream:stream>"), "{heard}");
    count(&proxy, "no_tls", 1.0).await;
    let heard = said_at_once(&proxy, &format!("{HEADER}{STARTTLS}<presence/>")).await;
    assert!(!heard.contains("<proceed"), "{heard}");
    assert!(heard.ends_with("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"));
    count(&proxy, "injected", 1.0).await;
    assert_eq!(said_at_once(&proxy, "GET / HTTP/1.1\r\n\r\n").await, "");
    count(&proxy, "not_the_protocol", 1.0).await;
    let flood = format!("<a b='{}", "x".repeat(1 << 20));
    assert!(said_at_once(&proxy, &flood).await.contains("<policy-violation "));
    count(&proxy, "flooded", 1.0).await;
    assert_eq!(backend.connections(), 0);
}
