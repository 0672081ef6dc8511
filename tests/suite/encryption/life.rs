//! What an endpoint sees of us as time goes on: versions, sessions that come back, a certificate of
//! ours that is replaced, and a list that grows.

use portunus_tests::{
    ClientAuthority, Credential, Flaw, Proxy, authority, now, tls, write_and_rename,
};

use super::{SERVICE, Server, ask, services};

const NAME: &str = "app.example";

/// A proxy in front of one server that `services` vouches for.
async fn before(server: &Server, services: &ClientAuthority, own: &Credential) -> Proxy {
    let keys = format!(
        "{{ ca = \"services.pem\", crl = [\"list.pem\"], credential = \"own.pem\", \
         server_name = \"{SERVICE}\" }}"
    );
    Proxy::builder()
        .listener(tls(NAME))
        .certificate("own", &authority().issue(&[NAME]))
        .file("services.pem", &services.pem())
        .file("list.pem", &services.crl(&[]))
        .file("own.pem", &own.pem())
        .endpoints("app", &[&server.address])
        .set("backend.app.tls", &keys)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_one_version_alone_are_spoken_with_and_resume_our_sessions() {
    let (services, good) = services();
    let clients = ClientAuthority::new("clients");
    for (switch, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let Some(server) = Server::start(&good, &[switch]).await else { return };
        let own = clients.issue("portunus", Flaw::Nothing);
        let proxy = before(&server, &services, &own).await;
        for kind in ["New", "Reused", "Reused"] {
            let answer = ask(&proxy, NAME).await;
            assert!(answer.contains(&format!("{kind}, {version}, Cipher is")), "{answer}");
        }
        for (kind, count) in [("full", 1.0), ("resumed", 2.0)] {
            let labels = [("backend", "app"), ("kind", kind)];
            let counted = proxy.metric("portunus_backend_tls_handshakes_total", &labels).await;
            assert_eq!(counted, count, "{version} {kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ours_that_is_replaced_is_shown_from_the_next_connection() {
    let (services, good) = services();
    let clients = ClientAuthority::new("clients");
    let authorities = clients.pem();
    let files = [("clients.pem", authorities.as_str())];
    let more = ["-Verify", "3", "-verify_return_error", "-CAfile", "FOLDER/clients.pem"];
    let Some(server) = Server::start_with_files(&good, &files, &more).await else { return };
    let first = clients.issue("first", Flaw::Nothing);
    let proxy = before(&server, &services, &first).await;
    let subject = |name: &str| format!("Subject: CN={name}\n");
    let answer = ask(&proxy, NAME).await;
    assert!(answer.contains(&subject("first")) && answer.contains("New, TLSv1.3"), "{answer}");
    let second = clients.issue_until("second", now() + 1_000);
    write_and_rename(&proxy.folder().join("own.pem"), &second.pem());
    let end = (now() + 1_000) as f64;
    let gauge = "portunus_backend_credential_not_after_seconds";
    proxy.wait_for_metric(gauge, &[("backend", "app")], |seen| (end - seen).abs() < 60.0).await;
    let answer = ask(&proxy, NAME).await;
    assert!(answer.contains(&subject("second")), "{answer}");
    assert!(answer.contains("New, TLSv1.3"), "the session of the first one is not shown: {answer}");
    let bad = ClientAuthority::new("clients").issue("stranger", Flaw::Nothing);
    write_and_rename(&proxy.folder().join("own.pem"), &bad.pem());
    proxy.wait_for_metric(gauge, &[("backend", "app")], |seen| (end - seen).abs() > 60.0).await;
    assert_eq!(ask(&proxy, NAME).await, "", "the server believes another authority");
    let labels = [("backend", "app"), ("reason", "tls_refused")];
    proxy.wait_for_metric("portunus_backend_errors_total", &labels, |count| count == 1.0).await;
    let line = proxy.wait_for_log("endpoint is down", &[("backend", "app")]).await;
    assert!(line.field("error").contains("tls.credential"), "{}", line.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_revoked_while_we_run_is_refused_even_if_it_has_a_session() {
    let (services, good) = services();
    let own = ClientAuthority::new("clients").issue("portunus", Flaw::Nothing);
    let Some(server) = Server::start(&good, &[]).await else { return };
    let proxy = before(&server, &services, &own).await;
    assert!(ask(&proxy, NAME).await.contains("New, TLSv1.3"));
    let list = services.crl_between(&[&good], now() - 60, now() + 2_000);
    let path = proxy.folder().join("list.pem");
    write_and_rename(&path, &list);
    let end = (now() + 2_000) as f64;
    let gauge = "portunus_crl_next_update_seconds";
    let label = [("crl", path.to_str().unwrap())];
    proxy.wait_for_metric(gauge, &label, |seen| (end - seen).abs() < 60.0).await;
    assert_eq!(ask(&proxy, NAME).await, "");
    let labels = [("backend", "app"), ("reason", "tls_revoked")];
    assert_eq!(proxy.metric("portunus_backend_errors_total", &labels).await, 1.0);
}
