//! A directory: slapd, which knows nothing of TLS here, and OpenLDAP's own clients.

use portunus_tests::foreign::Foreign;
use portunus_tests::peers::{ADMINISTRATOR, PASSWORD, client, slapd};
use portunus_tests::{Proxy, authority, tls};

use super::HOST;

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_openldap_are_served_under_starttls() {
    let Some(peer) = slapd(None).await else { return };
    let either = tls(HOST).named("either").with("require_tls", "false");
    // For these clients `localhost` is the name of the machine, of which nobody knows it.
    let credential = authority().issue(&[HOST, "127.0.0.1"]);
    let proxy = Proxy::builder()
        .certificate(HOST, &credential)
        .listener(tls(HOST).named("strict").with("starttls", "\"ldap\""))
        .listener(either.with("starttls", "\"ldap\""))
        .listener(tls(HOST).named("ldaps"))
        .endpoints("app", &[&peer.endpoint("ldap")])
        .start()
        .await;
    let ldap = |program: &'static str, scheme: &str, listener: &str| -> Option<Foreign> {
        let url = format!("{scheme}://{}", proxy.address(listener));
        let client = client(program)?.args(["-x", "-H", &url, "-D", ADMINISTRATOR]);
        Some(client.args(["-w", PASSWORD]).env("LDAPTLS_CACERT", proxy.ca()))
    };

    let Some(add) = ldap("ldapadd", "ldap", "strict") else { return };
    let entry = "dn: cn=a,dc=example\nobjectClass: device\ncn: a\ndescription: ";
    let entry = format!("{entry}{}\n", "x".repeat(100_000));
    add.arg("-ZZ").input(&entry).run().await.expect_success();
    for (listener, scheme, option) in [
        ("strict", "ldap", "-ZZ"),
        ("either", "ldap", "-ZZ"),
        ("either", "ldap", "-x"),
        ("ldaps", "ldaps", "-x"),
    ] {
        let search = ldap("ldapsearch", scheme, listener).unwrap();
        let search = search.args([option, "-LLL", "-o", "ldif-wrap=no", "-b", "dc=example"]);
        let said = search.arg("(cn=a)").run().await.expect_success();
        assert!(said.contains(&"x".repeat(100_000)), "{listener} {option}");
    }

    // Bound without TLS, the password would have been said already; the refusal is all the same
    // for those who go on asking for TLS only if they get it.
    for option in ["-x", "-Z"] {
        let search = ldap("ldapsearch", "ldap", "strict").unwrap();
        let said = search.args([option, "-LLL", "-b", "dc=example"]).run().await;
        if option == "-x" {
            assert_eq!(said.status.code(), Some(13), "{}", said.everything());
            assert!(said.everything().contains("Confidentiality required"), "{said:?}");
        } else {
            said.expect_success();
        }
    }
}
