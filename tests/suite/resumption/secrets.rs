//! What a thief learns who has the whole store, or everything that was ever said: nothing.

use std::path::Path;

use portunus_tests::foreign::openssl;
use portunus_tests::{
    Client, ClientAuthority, Credential, Flaw, Proxy, Wallet, authority, greeter, tls,
};

use super::fleet::{Kind, PASSWORD, Store};
use super::openssl::visit;
use super::wire::offered;

const SECRET: &str = "planted-name.example";
const GUARDED: &str = "planted-guard.example";
const AUTHORITY: &str = "planted authority of clients";

/// What must not be found, and what it is.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, what: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        assert!(bytes.len() >= 16, "{what}: too short to be found only where it is");
        self.0.push((what.to_owned(), bytes));
    }

    /// None of them stands there as it is.
    fn are_not_in(&self, place: &str, bytes: &[u8]) {
        // A character for each byte, since text is searched faster.
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        let all = text(bytes);
        for (what, secret) in &self.0 {
            // Half of it would be too much.
            for part in [&secret[..secret.len() / 2], &secret[secret.len() / 2..]] {
                assert!(!all.contains(&text(part)), "{what} stands in {place}");
            }
        }
    }

    /// The same for text, in which bytes could stand in other forms.
    async fn are_not_said(&self, place: &str, text: &str) {
        self.are_not_in(place, text.as_bytes());
        let folded = text.to_lowercase();
        for (what, secret) in &self.0 {
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let listed: Vec<_> = secret.iter().map(u8::to_string).collect();
            let base64 = openssl().unwrap().args(["base64", "-A"]).input(secret).run().await;
            let base64 = base64.expect_success();
            // The last group depends on what follows.
            let base64 = &base64.trim_end_matches(['=', '\n'])[..secret.len()];
            let url = base64.replace('+', "-").replace('/', "_");
            assert!(!folded.contains(&hex[..32]), "{what} stands in {place}, in hexadecimal");
            assert!(!text.contains(&listed[..8].join(", ")), "{what} stands in {place}, as a list");
            assert!(!text.contains(base64), "{what} stands in {place}, in Base64");
            assert!(!text.contains(&url), "{what} stands in {place}, in Base64 for URLs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_store_and_everything_that_is_said_hold_no_secret() {
    for kind in [Kind::Redis, Kind::Local] {
        let Some(store) = Store::start(kind).await else { continue };
        let clients = ClientAuthority::new(AUTHORITY);
        let credential = clients.issue("planted client", Flaw::Nothing);
        let proxy = proxy(&store, &clients).await;
        let mut secrets = Secrets(Vec::new());
        traffic(&proxy, &store, &credential, &mut secrets).await;
        plant(&store, &mut secrets);
        let said = proxy.process().text().join("\n");
        assert!(said.contains(SECRET), "there is something to be read");
        let metrics = proxy.admin("/metrics").await.text();
        let status = proxy.admin("/status").await.text();
        for (place, text) in [("the log", said), ("metrics", metrics), ("the status", status)] {
            let secrets =
                Secrets(secrets.0.iter().filter(|(what, _)| what != NAME_KIND).cloned().collect());
            secrets.are_not_said(place, &text).await;
        }
        let dump = dump(&store).await;
        assert!(dump.len() > 1_000, "{kind:?}: only {} bytes to be stolen", dump.len());
        secrets.are_not_in(&format!("{kind:?}"), &dump);
    }
}

async fn proxy(store: &Store, clients: &ClientAuthority) -> Proxy {
    let guarded = "client_auth = { ca = \"clients.pem\", resumption = \"revalidate\" }";
    store
        .builder()
        .listener(tls(SECRET).site_with(GUARDED, "app", guarded))
        .certificate("all", &authority().issue(&[SECRET, GUARDED]))
        .file("clients.pem", &clients.pem())
        .backend(greeter("\nhello"))
        .set("log.level", "\"trace\"")
        .set("resumption.mode", "\"stateful\"")
        .set("resumption.ticket_keys", "\"shared\"")
        .start()
        .await
}

/// Sessions of both versions and kinds of clients; their ids and secrets by the clients' own word.
async fn traffic(proxy: &Proxy, store: &Store, credential: &Credential, secrets: &mut Secrets) {
    let before = proxy.metric(super::fleet::STORED, &[]).await;
    for kind in super::openssl::KINDS {
        let file = store.file(kind[0]);
        visit(proxy, SECRET, kind, None, Some(&file)).await;
        for (what, bytes) in openssl_knows(&file).await {
            secrets.add(&what, bytes);
        }
    }
    for client in [proxy.client(GUARDED).tls12(), proxy.client(GUARDED)] {
        let client = client.certificate(credential).resumption(Wallet::new().sessions());
        connect(&client).await;
        for id in offered(&client.hello()) {
            secrets.add("the id of a session", id);
        }
    }
    proxy.wait_for_metric(super::fleet::STORED, &[], |stored| stored >= before + 4.0).await;
    secrets.add("the certificate of a client", credential.leaf.clone());
}

async fn connect(client: &Client) {
    let mut client = client.connect().await;
    client.ticket().await;
    client.expect(b"\nhello").await;
}

/// What stands in a session file of OpenSSL: the id of TLS 1.2 or the ticket, and the secret.
async fn openssl_knows(file: &Path) -> Vec<(String, Vec<u8>)> {
    let asked = openssl().unwrap().args(["sess_id", "-noout", "-text", "-in"]).arg(file);
    let text = asked.run().await.expect_success();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
    };
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((what, value)) = line.trim().split_once(": ") else { continue };
        if ["Session-ID", "Master-Key", "Resumption PSK"].contains(&what) {
            found.push((what.to_owned(), bytes(value.trim())));
        }
    }
    let ticket = text.lines().skip_while(|line| !line.contains("TLS session ticket:")).skip(1);
    let ticket = ticket.take_while(|line| line.contains(" - ")).map(|line| {
        let (_, rest) = line.split_once(" - ").unwrap();
        rest.get(..47).unwrap_or(rest).replace(['-', ' '], "")
    });
    let ticket = bytes(&ticket.collect::<String>());
    if !ticket.is_empty() {
        found.push(("a ticket".to_owned(), ticket));
    }
    assert!(found.len() >= 2, "{text}");
    found
}

fn plant(store: &Store, secrets: &mut Secrets) {
    let key = std::fs::read_to_string(store.file("sealing.key")).unwrap();
    secrets.add("the sealing key", key.trim());
    secrets.add(NAME_KIND, SECRET);
    secrets.add(NAME_KIND, GUARDED);
    secrets.add(NAME_KIND, AUTHORITY);
    secrets.add("the password", PASSWORD);
}

/// Everything that lies in the store.
async fn dump(store: &Store) -> Vec<u8> {
    let Some(redis) = &store.redis else {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(store.file("store")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            // Most of it was never written.
            let is_written = |page: &&[u8]| page.iter().any(|byte| *byte != 0);
            all.extend(bytes.chunks(PAGE_BYTES).filter(is_written).flatten());
        }
        return all;
    };
    redis.ask(&["CONFIG", "SET", "rdbcompression", "no"]).await.expect_ok();
    redis.ask(&["SAVE"]).await.expect_ok();
    let folder = redis.ask(&["CONFIG", "GET", "dir"]).await.texts().pop().unwrap();
    std::fs::read(Path::new(&folder).join("dump.rdb")).unwrap()
}

const PAGE_BYTES: usize = 4096;
/// Names are no secret to those who read the log.
const NAME_KIND: &str = "a name";
