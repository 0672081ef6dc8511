//! Clients that have to show who they are: who is let in, what the others are told, and what the
//! backend may believe.
//!
//! `matrix` is about every flaw in every way of calling, `files` about bundles and lists that are
//! bad at the start, `reload` about those that go bad later, `identity` about what the backend is
//! told, `crossing` about sites that share a listener with others that ask nothing.

mod crossing;
mod files;
mod identity;
mod matrix;
mod reload;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use portunus_tests::foreign::{Foreign, s_client};
use portunus_tests::{Client, Credential, Proxy, write};

/// What the backend says first, so that a client knows that it was let in.
pub(crate) const GREETING: &str = "welcome";

/// The setting of a site whose clients must show a certificate of `ca.clients.pem`.
pub(crate) const REQUIRE: &str = "client_auth = { ca = \"clients.pem\" }";

/// The same, of clients that may.
pub(crate) const REQUEST: &str = "client_auth = { mode = \"request\", ca = \"clients.pem\" }";

/// `openssl s_client` that shows `credential` to the site `name`. What it says of an alert stands
/// on stderr.
pub(crate) fn caller(
    proxy: &Proxy,
    name: &str,
    credential: Option<&Credential>,
) -> Option<Foreign> {
    let client = s_client(proxy, name)?;
    let Some(credential) = credential else { return Some(client) };
    let file = identity_file(proxy, credential);
    let client = client.arg("-cert").arg(&file).arg("-key").arg(&file);
    let (_, rest) = split(&credential.chain);
    if rest.is_empty() {
        return Some(client);
    }
    Some(client.arg("-cert_chain").arg(caller_file(proxy, "chain", rest)))
}

/// What came of a call.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The backend's greeting came; was the session an old one?
    LetIn { resumed: bool },
    /// The number of the alert.
    Alert(u8),
    /// Neither.
    Other(String),
}

/// Calls, listens until there is a greeting or an end, and says which.
pub(crate) async fn outcome(client: Foreign) -> Outcome {
    let mut client = client.start();
    // In TLS 1.3 the client believes to be connected before the server has looked at it: it has
    // to stay and listen.
    let greeted = client.hears_before_its_end(GREETING).await;
    let output = client.finish().await;
    let all = output.everything();
    if greeted {
        return Outcome::LetIn { resumed: all.contains("\nReused, ") };
    }
    let alert = all.rsplit_once("SSL alert number ");
    let number = alert.and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    number.map_or(Outcome::Other(all), Outcome::Alert)
}

/// Whether our own client, with or without a certificate, gets the greeting at `name`.
pub(crate) async fn is_let_in(client: &Client) -> bool {
    let Ok(mut client) = client.try_connect().await else { return false };
    // A refusal of TLS 1.3 comes behind the handshake.
    client.receive().await.is_ok_and(|bytes| bytes == GREETING.as_bytes())
}

/// A file with the leaf and the key.
pub(crate) fn identity_file(proxy: &Proxy, credential: &Credential) -> PathBuf {
    let (leaf, _) = split(&credential.chain);
    caller_file(proxy, "pem", &format!("{leaf}{}", credential.key))
}

/// A file that nobody else reads or writes.
fn caller_file(proxy: &Proxy, extension: &str, text: &str) -> PathBuf {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = FILES.fetch_add(1, Ordering::Relaxed).to_string();
    let path = proxy.folder().join("callers").join(name).with_extension(extension);
    write(&path, text);
    path
}

/// The first certificate, and those behind it.
fn split(chain: &str) -> (&str, &str) {
    const END: &str = "-----END CERTIFICATE-----\n";
    let end = chain.find(END).map_or(chain.len(), |place| place + END.len());
    chain.split_at(end)
}
