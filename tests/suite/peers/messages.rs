//! Messages: Prosody, which knows nothing of TLS here, and a client that is OpenSSL's up to TLS.

use portunus_tests::foreign::{Conversation, s_client};
use portunus_tests::peers::prosody;
use portunus_tests::{Proxy, tls};

use super::HOST;

#[tokio::test(flavor = "multi_thread")]
async fn prosody_is_reached_under_starttls() {
    let Some(peer) = prosody(None).await else { return };
    let proxy = Proxy::builder()
        .listener(tls(HOST).with("starttls", "\"xmpp\"").with("greeting_name", "\"example.test\""))
        .endpoints("app", &[&peer.endpoint("xmpp")])
        .start()
        .await;
    let Some(client) = s_client(&proxy, HOST) else { return };
    let client = client.args(["-quiet", "-starttls", "xmpp", "-xmpphost", "example.test"]);
    let mut client = client.args(["-verify_hostname", HOST]).start();
    open_stream(&mut client).await;
    client.hear("<mechanism>PLAIN</mechanism>").await;
    assert!(!client.heard().contains("<starttls"), "{}", client.heard());
    // The user and the password of `portunus_tests::peers`, as SASL PLAIN has them.
    client
        .say(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
            AHNvbWVib2R5AHNlY3JldA==</auth>",
        )
        .await;
    client.hear("<success").await;
    open_stream(&mut client).await;
    client.hear("urn:ietf:params:xml:ns:xmpp-bind").await;
    client
        .say(b"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        .await;
    client.hear("<jid>somebody@example.test/").await;
}

async fn open_stream(client: &mut Conversation) {
    client
        .say(
            b"<stream:stream to='example.test' xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        )
        .await;
}
