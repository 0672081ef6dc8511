//! TLS towards endpoints: who is believed, what is remembered of them, what is shown to them.
//!
//! `openssl s_server` plays the endpoints, and says what it saw of us: the version, whether the
//! session was an old one, and whose certificate came. Read next: `faults`, then `life`.

mod faults;
mod life;

use portunus_tests::foreign::{self, Conversation};
use portunus_tests::wait::eventually;
use portunus_tests::{ClientAuthority, Credential, Proxy, now};
use tempfile::TempDir;

/// The name that the certificates of endpoints should be for.
const SERVICE: &str = "service.example";

/// An endpoint that answers to a GET of HTTP/1.0 with all that it knows of the connection.
struct Server {
    address: String,
    _running: Conversation,
    _folder: TempDir,
}

impl Server {
    /// Runs one that shows `credential`, if there is an openssl here.
    async fn start(credential: &Credential, more: &[&str]) -> Option<Self> {
        Self::start_with_files(credential, &[], more).await
    }

    /// The same with further files, which `more` names by `FOLDER`.
    async fn start_with_files(
        credential: &Credential,
        files: &[(&str, &str)],
        more: &[&str],
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let own = credential.pem();
        for (name, text) in files.iter().chain([&("own.pem", own.as_str())]) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let more = more.iter().map(|word| word.replace("FOLDER", &place("")));
        let own = place("own.pem");
        let mut running = foreign::openssl()?
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(["-cert", &own, "-cert_chain", &own, "-key", &own])
            .args(more)
            .start();
        running.hear("ACCEPT ").await;
        let address = eventually("the address of a server", async || {
            let heard = running.heard();
            let (_, rest) = heard.split_once("ACCEPT ")?;
            Some(rest.split_once('\n')?.0.trim().to_owned())
        });
        Some(Self { address: address.await, _running: running, _folder: folder })
    }
}

/// An authority for services, and what it issues without a flaw.
fn services() -> (ClientAuthority, Credential) {
    let services = ClientAuthority::new("services");
    let good = services.issue_server(&[SERVICE], now() - 60, now() + 3_600);
    (services, good)
}

/// What the endpoint behind `host` says of the connection from us.
async fn ask(proxy: &Proxy, host: &str) -> String {
    let mut client = proxy.client(host).connect().await;
    client.send(b"GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.receive_all().await.unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}
