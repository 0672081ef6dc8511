//! Reload after reload: of certificates, of the configuration, of both at once.
//!
//! `PORTUNUS_TEST_RELOADS=1000` for as many of each as have to be a matter of course.

use portunus_tests::traffic::{Road, Traffic};
use portunus_tests::{Builder, Credential, Proxy, authority, https, write_and_rename};
use serde_json::Value;

use super::{NAME, Services, Size, often};

#[tokio::test(flavor = "multi_thread")]
async fn reloads_of_certificates_disturb_nobody() {
    Run::begin().await.over(&[What::Certificate]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_of_the_configuration_disturb_nobody() {
    Run::begin().await.over(&[What::Configuration]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_of_both_at_once_disturb_nobody() {
    Run::begin().await.over(&[What::Certificate, What::Configuration]).await;
}

/// What is reloaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Certificate,
    Configuration,
}

/// A proxy, with all that it is told to be in turn.
struct Run {
    services: Services,
    proxy: Proxy,
    issued: Vec<Credential>,
}

impl Run {
    async fn begin() -> Self {
        let issued: Vec<_> = (0..20).map(|_| authority().issue(&[NAME])).collect();
        let services = Services::begin().await;
        let proxy = builder(&services, &issued[0]).start().await;
        Self { services, proxy, issued }
    }

    async fn over(&self, what: &[What]) {
        let Self { proxy, .. } = self;
        let before = Size::after_traffic(proxy).await;
        let generation = async || proxy.metric("portunus_config_generation", &[]).await;
        let first = generation().await;
        let traffic = Traffic::of_all(Road::to(proxy, NAME));
        traffic.round().await;
        let count = often("PORTUNUS_TEST_RELOADS", 20);
        for number in 1..=count {
            if what.contains(&What::Certificate) {
                self.replace_certificate(number).await;
            }
            if what.contains(&What::Configuration) {
                self.replace_configuration(number).await;
            }
            traffic.round().await;
            let so_far = traffic.so_far();
            assert_eq!(so_far.failed, 0, "reload {number}: {so_far}");
        }
        let tally = traffic.end().await;
        tally.expect_flawless();
        if what.contains(&What::Configuration) {
            assert_eq!(generation().await - first, count as f64, "each was another generation");
        }
        let after = Size::after_traffic(proxy).await;
        eprintln!("{tally}before {before:?}\nafter  {after:?}");
        Size::comes_back(proxy, before).await;
    }

    /// Puts a certificate in the place of that of before, and waits until it was read.
    async fn replace_certificate(&self, number: usize) {
        let (reloads, changed) = ("portunus_certificate_reloads_total", [("result", "changed")]);
        let before = self.proxy.metric(reloads, &changed).await;
        let credential = &self.issued[number % self.issued.len()];
        let file = self.proxy.folder().join("certs.d/app.pem");
        write_and_rename(&file, &credential.pem());
        self.proxy.wait_for_metric(reloads, &changed, |count| count > before).await;
    }

    /// Puts another configuration in the place of that of before, and has it read.
    async fn replace_configuration(&self, number: usize) {
        let builder = variant(builder(&self.services, &self.issued[0]), number);
        write_and_rename(&self.proxy.folder().join("config.toml"), &builder.toml());
        let (status, told) = self.proxy.order("/reload").await;
        assert_eq!(status, 200, "{told}");
        // The watch of the file may have been faster.
        let results = ["changed", "unchanged"].map(Value::from);
        assert!(results.contains(&told["result"]), "{told}");
    }
}

/// A proxy that reads what has changed at once.
fn builder(services: &Services, credential: &Credential) -> Builder {
    let builder = services.builder().certificate("app", credential);
    builder.set("certificates.settle", "\"0s\"").taking_orders()
}

/// The configuration that stands in the file for the reload of this number: each differs from that
/// of before in another way.
fn variant(builder: Builder, number: usize) -> Builder {
    match number % 7 {
        0 => builder,
        // A listener that there was not, and that is gone with the next one.
        1 => builder.listener(https(NAME).named("another")),
        // A listener, by a key of its own.
        2 => builder.set("limits.http.keepalive_timeout", "\"70s\""),
        // A backend.
        3 => builder.set("backend.app.balance", "\"least\""),
        // Both backends, and what connections may do.
        4 => builder
            .set("backend.app.balance", "\"round-robin\"")
            .set("backend.bytes.balance", "\"round-robin\"")
            .set("limits.handshakes_per_source", "900"),
        // A site more.
        5 => builder.listener(https("other.example").named("another").site(NAME, "app")),
        // What reaches no connection.
        _ => builder.set("log.level", "\"warn\""),
    }
}
