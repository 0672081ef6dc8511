//! OCSP staples on the wire, as OpenSSL sees them.

use std::fs;
use std::path::Path;

use portunus_tests::foreign::{openssl, s_client};
use portunus_tests::wait::eventually;
use portunus_tests::{Credential, Proxy, authority, echo, tls};

const NAME: &str = "app.example";

/// What the authority says of `credential`: the file of the response, in a folder of its own.
pub(crate) async fn response(
    folder: &Path,
    credential: &Credential,
    status: &str,
) -> Option<Vec<u8>> {
    let at = |name: &str| folder.join(name);
    fs::write(at("issuer.pem"), authority().pem()).unwrap();
    fs::write(at("issuer.key"), authority().key_pem()).unwrap();
    let line = format!("{status}\t{:04X}\tunknown\t/CN=leaf\n", credential.serial);
    fs::write(at("index.txt"), line).unwrap();
    let mut command = openssl()?.args(["ocsp", "-no_nonce", "-ndays", "2"]);
    for (option, file) in [
        ("-index", "index.txt"),
        ("-CA", "issuer.pem"),
        ("-issuer", "issuer.pem"),
        ("-rsigner", "issuer.pem"),
        ("-rkey", "issuer.key"),
        ("-respout", "response"),
    ] {
        command = command.arg(option).arg(at(file));
    }
    command.args(["-serial", &credential.serial.to_string()]).run().await.expect_success();
    Some(fs::read(at("response")).unwrap())
}

/// What s_client tells of the staple.
async fn told(proxy: &Proxy) -> Option<String> {
    let output = s_client(proxy, NAME)?.args(["-status"]).run().await;
    Some(output.expect_success())
}

/// Waits until s_client tells `text`.
async fn tells(proxy: &Proxy, text: &str) {
    eventually("another staple", async || {
        told(proxy).await.is_none_or(|told| told.contains(text)).then_some(())
    })
    .await;
}

/// The response as OpenSSL prints it, with its signature, which is another one each time.
fn printed(told: &str) -> Option<&str> {
    let (_, rest) = told.split_once("OCSP Response Data:")?;
    rest.split_once("\n======").map(|(response, _)| response)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staple_beside_its_certificate_is_sent_replaced_and_withdrawn() {
    let credential = authority().issue(&[NAME]);
    let chain = credential.pem() + &authority().pem();
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let proxy = builder.file("certs.d/app.pem", &chain).start().await;
    let Some(first) = told(&proxy).await else { return };
    assert!(first.contains("OCSP response: no response sent"), "{first}");

    let aside = tempfile::tempdir().unwrap();
    let file = proxy.folder().join("certs.d/app.ocsp");
    let put = |response: &[u8]| {
        let whole = file.with_extension("aside");
        fs::write(&whole, response).unwrap();
        fs::rename(&whole, &file).unwrap();
    };
    let good = "V\t400101000000Z\t";
    let Some(one) = response(aside.path(), &credential, good).await else { return };
    put(&one);
    tells(&proxy, "Cert Status: good").await;
    let before = told(&proxy).await.unwrap();
    assert!(before.contains("OCSP Response Status: successful"), "{before}");

    let until = "portunus_certificate_staple_next_update_seconds";
    let of_this_century = |seconds| seconds > 1.5e9;
    proxy.wait_for_metric(until, &[], of_this_century).await;
    let stapled = async |count: f64| {
        let state = [("state", "stapled")];
        proxy.wait_for_metric("portunus_certificates", &state, |stapled| stapled == count).await
    };
    stapled(1.0).await;

    let two = response(aside.path(), &credential, good).await.unwrap();
    put(&two);
    eventually("the next staple", async || {
        let now = told(&proxy).await?;
        assert!(now.contains("Cert Status: good"), "{now}");
        (printed(&now).unwrap() != printed(&before).unwrap()).then_some(())
    })
    .await;

    // What is damaged is not sent, and does not take away what is good.
    put(&one[..one.len() / 2]);
    proxy.wait_for_log("file skipped", &[]).await;
    tells(&proxy, "Cert Status: good").await;

    let revoked = "R\t400101000000Z\t260101000000Z";
    put(&response(aside.path(), &credential, revoked).await.unwrap());
    tells(&proxy, "OCSP response: no response sent").await;
    stapled(0.0).await;
    put(&two);
    tells(&proxy, "Cert Status: good").await;
    fs::remove_file(&file).unwrap();
    tells(&proxy, "OCSP response: no response sent").await;
    proxy.wait_for_metric(until, &[], |seconds| seconds == 0.0).await;
}
