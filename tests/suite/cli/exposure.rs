//! `portunus check` about listeners of bytes: who is believed, who may come without TLS, and for
//! what there has to be a certificate.

use portunus_tests::{Proxy, authority, echo, tls};

use super::{err, out, portunus};

/// The listener `name` of bytes, without sites.
fn bytes(name: &str) -> portunus_tests::Listener {
    tls("app.example").named(name).without_sites()
}

#[tokio::test]
async fn check_says_who_is_let_in_too_far() {
    let folder = Proxy::builder()
        .listener(bytes("any").with("proxy_protocol.from", "[\"0.0.0.0/0\", \"10.0.0.0/8\"]"))
        .listener(bytes("mx").with("starttls", "\"smtp\"").with("require_tls", "false"))
        .listener(bytes("db").with("starttls", "\"mysql\"").with("require_tls", "false"))
        .listener(bytes("ldap").with("starttls", "\"ldap\"").with("require_tls", "false"))
        .listener(bytes("imap").with("starttls", "\"imap\""))
        .listener(
            tls("app.example")
                .named("people")
                .site("app.example.org", "ldapi")
                .with("starttls", "\"ldap\""),
        )
        .endpoints("ldapi", &["unix:/run/slapd/ldapi"])
        .listener(
            tls("x")
                .named("out")
                .without_sites()
                .at(&["[::]:0", "127.0.0.1:0"])
                .with("clear", "true"),
        )
        .backend(echo())
        .set("backend.app.tls", "{ server_name = \"app.example\" }")
        .certificate("good", &authority().issue(&["app.example", "app.example.org"]))
        .write();
    let output = portunus(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = err(&output);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    let expected = [
        "warning: backend `app`, behind listener `db`: may block all clients once many have left \
         before they logged in; add `send_proxy = \"v2\"` if it is MariaDB, or have a large \
         `max_connect_errors`",
        "warning: backend `app`: does not hear who the client of listener `mx` is, and may relay \
         mail for whoever comes from here; add `send_proxy = \"v2\"`, or see that it trusts no \
         address",
        "warning: backend `ldapi`, behind listener `people`: takes the user that portunus runs as \
         for every client; lead to a TCP endpoint, as `slapd -h pldap://127.0.0.1:10389/` is",
        "warning: listener `any`: `proxy_protocol.from` has `0.0.0.0/0`, so everybody may say who \
         the client is; name the load balancers in front of it",
        "warning: listener `db`: clients of `mysql` may go on without TLS, and show their \
         passwords; leave `require_tls` out once all of them speak TLS",
        "warning: listener `ldap`: a client that says anything before StartTLS is taken for one \
         without TLS, and cannot have it any more; leave `require_tls` out",
        "warning: listener `ldap`: clients of `ldap` may go on without TLS, and show their \
         passwords; leave `require_tls` out once all of them speak TLS",
        "warning: listener `out`: takes connections without TLS at `[::]:0`, where other machines \
         can connect; listen on 127.0.0.1 or unix:PATH",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn check_asks_for_certificates_only_where_tls_ends() {
    let through = "passthrough = true\n";
    let clear = bytes("out").with("clear", "true").at(&["127.0.0.1:0"]);
    let folder = Proxy::builder()
        .listener(tls("ours.example").named("mixed").site_with("b.example", "plain", through))
        .endpoints("plain", &["127.0.0.1:1"])
        .listener(clear)
        .backend(echo())
        .set("backend.app.tls", "{ server_name = \"app.example\" }")
        .certificate("good", &authority().issue(&["other.example"]))
        .write();
    let output = portunus(folder.path(), &["check"]);
    let expected = "warning: listener `mixed`: no certificate for `ours.example`; clients that ask \
                    for it are refused\n";
    assert_eq!(err(&output), expected);

    let none = tempfile::tempdir().unwrap();
    let config = "[listener.out]\nlisten = [\"127.0.0.1:0\"]\nmode = \"tcp\"\nclear = true\n\
                  backend = \"app\"\n[backend.app]\nendpoints = [\"localhost:1\"]\n\
                  tls = {}\n";
    portunus_tests::write(&none.path().join("config.toml"), config);
    let output = portunus(none.path(), &["check"]);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
    assert!(out(&output).contains("no certificates"), "{}", out(&output));
}
