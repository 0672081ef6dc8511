//! Who gets which certificate, of which kind of key, and from which kind of file.

use portunus_tests::foreign::{openssl, s_client};
use portunus_tests::{Key, Proxy, authority, echo, tls};

use super::served;

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn of_two_kinds_of_key_the_client_gets_the_one_that_it_can_check() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("rsa", &authority().issue_with(Key::Rsa, &[NAME]))
        .certificate("ecdsa", &authority().issue_with(Key::Ecdsa, &[NAME]))
        .backend(echo())
        .start()
        .await;
    let cases: [(&[&str], &str); 5] = [
        (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA384"], "RSA-PSS"),
        (&["-tls1_3", "-sigalgs", "ECDSA+SHA256"], "ECDSA"),
        (&["-tls1_3"], "ECDSA"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "RSA"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDSA"),
    ];
    for (options, kind) in cases {
        let Some(client) = s_client(&proxy, NAME) else { return };
        // The authority's own signature is ECDSA, which such a client cannot check.
        let output = client.args(options).run().await.text();
        let signature = output.lines().find(|line| line.starts_with("Peer signature type: "));
        assert!(signature.is_some_and(|line| line.contains(kind)), "{options:?}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_common_form_of_a_key_is_read() {
    let kinds = [("rsa.example", Key::Rsa), ("ecdsa.example", Key::Ecdsa)];
    let mut builder = Proxy::builder().backend(echo());
    let mut leaves = Vec::new();
    for (name, key) in kinds {
        let credential = authority().issue_with(key, &[name]);
        let Some(openssl) = openssl() else { return };
        let old = openssl.args(["pkey", "-traditional"]).input(&credential.key).run().await;
        let old = old.expect_success();
        assert!(old.contains(" PRIVATE KEY-----") && !old.contains("BEGIN PRIVATE"), "{old}");
        // Neither the names of the files nor their order says what belongs together.
        builder = builder.file(&format!("certs.d/zz-{name}.crt"), &credential.chain);
        builder = builder.file(&format!("certs.d/a-key-{}.pem", leaves.len()), &old);
        leaves.push((name, credential.leaf));
    }
    let listener = tls("ecdsa.example").site("rsa.example", "app");
    let proxy = builder.listener(listener).start().await;
    for (name, leaf) in leaves {
        assert_eq!(served(&proxy, name).await, leaf, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sites_every_certificate_is_served_by_one_backend() {
    let wild = authority().issue(&["*.wild.example"]);
    let proxy = Proxy::builder()
        .listener(tls(NAME).without_sites())
        .certificate("app", &authority().issue(&[NAME]))
        .certificate("wild", &wild)
        .backend(echo())
        .start()
        .await;
    assert_eq!(served(&proxy, "any.wild.example").await, wild.leaf);
    served(&proxy, NAME).await;
    proxy.client("nobody.example").try_connect().await.unwrap_err();
}
