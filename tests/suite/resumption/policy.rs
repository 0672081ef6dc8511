//! Whose session may be resumed where: only one's own, in the same place.

use portunus_tests::foreign::s_client;
use portunus_tests::{Proxy, authority, echo, greeter, tls};

use super::openssl::{KINDS, visit};

#[tokio::test(flavor = "multi_thread")]
async fn no_session_crosses_from_one_site_to_another() {
    // One certificate for all of them: what differs is the site alone.
    let hosts = ["a.example", "b.example", "c.example"];
    let proxy = Proxy::builder()
        .listener(hosts[2..].iter().fold(tls("a.example"), |listener, host| {
            listener.site("b.example", "app").site(host, "other")
        }))
        .certificate("all", &authority().issue(&hosts))
        .backend(echo())
        .backend_named("other", echo())
        .start()
        .await;
    let session = proxy.folder().join("session");
    for kind in KINDS {
        for from in hosts {
            for to in hosts {
                let made = visit(&proxy, from, kind, None, Some(&session)).await;
                let Some(resumed) = made else { return };
                assert!(!resumed);
                let resumed = visit(&proxy, to, kind, Some(&session), None).await;
                assert_eq!(resumed, Some(from == to), "{kind:?} of {from} at {to}");
            }
        }
    }
    // Each of them was offered and looked up; it was the policy that said no.
    let count = async |result| {
        proxy.metric("portunus_resumption_lookups_total", &[("result", result)]).await
    };
    assert_eq!((count("hit").await, count("policy").await), (6.0, 12.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_crosses_from_one_listener_to_another() {
    let proxy = Proxy::builder()
        .listener(tls("app.example").named("one"))
        .listener(tls("app.example").named("two").with("tls", "{ profile = \"modern\" }"))
        .listener(tls("app.example").named("three"))
        .backend(echo())
        .start()
        .await;
    let session = proxy.folder().join("session");
    let name = "app.example";
    for kind in KINDS {
        for listener in ["two", "three"] {
            let Some(_) = visit(&proxy, name, kind, None, Some(&session)).await else { return };
            let Some(client) = s_client(&proxy, name) else { return };
            let address = proxy.address(listener).to_string();
            let client = client.args(kind).args(["-connect", &address]).arg("-sess_in");
            let output = client.arg(&session).run().await.everything();
            assert!(!output.contains("\nReused, "), "{kind:?} at {listener}: {output}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_client_without_a_name_is_for_clients_without_a_name() {
    let proxy = Proxy::builder()
        .listener(tls("app.example").named("tls"))
        .backend(greeter("hi\n"))
        .start()
        .await;
    let session = proxy.folder().join("session");
    for kind in KINDS {
        let Some(client) = s_client(&proxy, "app.example") else { return };
        let client = client.args(kind).arg("-sess_out").arg(&session);
        let mut client = client.start();
        client.hear("\nhi").await;
        client.finish().await.expect_success();
        let Some(client) = portunus_tests::foreign::openssl() else { return };
        let address = proxy.address("tls").to_string();
        let client = client.args(["s_client", "-connect", &address, "-noservername", "-CAfile"]);
        let client = client.arg(proxy.ca()).args(kind).arg("-sess_in").arg(&session);
        let output = client.run().await.expect_success();
        assert!(output.contains("\nNew, "), "{kind:?}: {output}");
    }
}
