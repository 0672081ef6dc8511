//! Clients with a certificate that resume: what they showed is judged again, by what counts now,
//! before the backend hears of them; and the backend hears the same as the first time.

use portunus_tests::wait::eventually;
use portunus_tests::{
    Builder, Client, ClientAuthority, Credential, Flaw, Http, Proxy, Wallet, authority, greeter,
    http, https, now, read_response, tls, write_and_rename,
};

use super::fleet::{Kind, NAME, Store};
use crate::client_auth::{GREETING, is_let_in};

const REVALIDATE: &str = "client_auth = { ca = \"clients.pem\", crl = [\"list.pem\"], \
                          resumption = \"revalidate\" }";

/// The same, of a listener for HTTP.
const FORWARDED: &str = "client_auth = { ca = \"clients.pem\", crl = [\"list.pem\"], \
                         resumption = \"revalidate\", forward = \"chain\" }";

/// How sessions are kept, and where.
const MODES: [&str; 2] = ["\"stateful\"", "\"tickets\""];

/// Two processes that let the clients of one authority in, and what they forward.
struct Guarded {
    proxies: [Proxy; 2],
    backend: portunus_tests::Backend,
    clients: ClientAuthority,
    _store: Store,
}

impl Guarded {
    async fn start(mode: &str) -> Option<Self> {
        let store = Store::start(Kind::Local).await?;
        let clients = ClientAuthority::new("clients");
        let backend = greeter(GREETING);
        let builder = || {
            let builder = guarded(&store, mode, &clients);
            builder.listener(tls("open.example").site_with(NAME, "app", REVALIDATE))
        };
        let proxies =
            [builder().backend(&backend).start().await, builder().backend(&backend).start().await];
        Some(Self { proxies, backend, clients, _store: store })
    }

    /// Clients of both versions that have been let in before and resumed since.
    async fn regulars(&self, credential: &Credential) -> Vec<Client> {
        self.try_regulars(credential).await.expect("they are let in")
    }

    /// The same; none if one of them is not let in.
    async fn try_regulars(&self, credential: &Credential) -> Option<Vec<Client>> {
        let mut regulars = Vec::new();
        for proxy in &self.proxies {
            let client = proxy.client(NAME);
            for client in [client.clone(), client.tls12()] {
                let client = client.certificate(credential);
                let client = client.resumption(Wallet::new().sessions());
                let first = is_resumed(&client).await?;
                assert!(!first, "nobody was here before");
                // Not in the moment in which the session is on its way to the store.
                let comes_back = eventually("a client that resumes", async || {
                    let resumed = is_resumed(&client).await;
                    (resumed != Some(false)).then_some(resumed)
                });
                comes_back.await?;
                regulars.push(client);
            }
        }
        Some(regulars)
    }

    /// Writes a file of each process anew, and has it read.
    async fn write(&self, file: &str, text: &str) {
        for proxy in &self.proxies {
            write_and_rename(&proxy.folder().join(file), text);
            proxy.reload().await;
        }
    }

    /// None of them is let in, at any process, and the backend hears of none.
    async fn are_kept_out(&self, regulars: Vec<Client>, what: &str) {
        for client in regulars {
            eventually("a change that counts", async || {
                let before = self.backend.connections();
                let is_in = is_let_in(&client).await;
                assert!(is_in || self.backend.connections() == before, "{what}: forwarded");
                (!is_in).then_some(())
            })
            .await;
            for proxy in &self.proxies {
                let before = self.backend.connections();
                let client = client.clone().at(proxy.first_address());
                assert!(!is_let_in(&client).await, "{what}");
                assert_eq!(self.backend.connections(), before, "{what}: forwarded");
            }
        }
    }
}

fn guarded(store: &Store, mode: &str, clients: &ClientAuthority) -> Builder {
    store
        .builder()
        .certificate("all", &authority().issue(&[NAME, "open.example"]))
        .file("clients.pem", &clients.pem())
        .file("list.pem", &clients.crl(&[]))
        .set("resumption.mode", mode)
        .set("resumption.ticket_keys", "\"shared\"")
}

/// Whether the session was an old one; none if the client was not let in.
async fn is_resumed(client: &Client) -> Option<bool> {
    let mut client = client.try_connect().await.ok()?;
    client.ticket().await;
    let greeting = client.receive().await.ok()?;
    (greeting == GREETING.as_bytes()).then(|| client.resumed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_authority_is_gone_does_not_come_back_by_a_session() {
    for mode in MODES {
        let Some(guarded) = Guarded::start(mode).await else { return };
        let credential = guarded.clients.issue("own", Flaw::Nothing);
        let regulars = guarded.regulars(&credential).await;
        let others = ClientAuthority::new("others");
        guarded.write("list.pem", &(guarded.clients.crl(&[]) + &others.crl(&[]))).await;
        guarded.write("clients.pem", &others.pem()).await;
        guarded.are_kept_out(regulars, mode).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_revoked_does_not_come_back_by_a_session() {
    for mode in MODES {
        let Some(guarded) = Guarded::start(mode).await else { return };
        let credential = guarded.clients.issue("own", Flaw::Nothing);
        let regulars = guarded.regulars(&credential).await;
        guarded.write("list.pem", &guarded.clients.crl(&[&credential])).await;
        guarded.are_kept_out(regulars, mode).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_certificate_expires_does_not_come_back_by_a_session() {
    let expires = async |mode| {
        let Some(guarded) = Guarded::start(mode).await else { return };
        // A machine that is busy may need more time before it.
        for seconds in [4, 10, 20] {
            let end = now() + seconds;
            let credential = guarded.clients.issue_until("own", end);
            let Some(regulars) = guarded.try_regulars(&credential).await else {
                assert!(now() >= end, "kept out before its time");
                continue;
            };
            guarded.are_kept_out(regulars, mode).await;
            assert!(now() >= end, "kept out before its time");
            return;
        }
        panic!("{mode}: nobody was let in in time");
    };
    // Most of it is the wait for the time to come.
    tokio::join!(Box::pin(expires(MODES[0])), Box::pin(expires(MODES[1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_told_of_a_client_that_resumes_what_it_was_told_before() {
    for mode in MODES {
        let Some(store) = Store::start(Kind::Local).await else { return };
        let clients = ClientAuthority::new("clients");
        let below = clients.intermediate("clients, below");
        let credential = below.issue("Zoë", Flaw::Nothing);
        let backend = http();
        let builder = || {
            let listener = https("open.example").site_with(NAME, "app", FORWARDED);
            guarded(&store, mode, &clients)
                .file("list.pem", &(clients.crl(&[]) + &below.crl(&[])))
                .listener(listener)
                .backend(&backend)
        };
        let proxies = [builder().start().await, builder().start().await];
        for client in [proxies[0].client(NAME), proxies[0].client(NAME).tls12()] {
            let client = client.certificate(&credential).resumption(Wallet::new().sessions());
            let (resumed, full) = told(&client, &backend).await;
            assert!(!resumed);
            assert!(full.iter().all(|field| !field.is_empty()), "{full:?}");
            for proxy in [&proxies[0], &proxies[1], &proxies[0]] {
                let client = client.clone().at(proxy.first_address());
                eventually("a resumption", async || {
                    let (resumed, told) = told(&client, &backend).await;
                    assert_eq!(told, full, "{mode}");
                    resumed.then_some(())
                })
                .await;
            }
        }
    }
}

/// Whether a client resumed, and who the backend was told that it is.
async fn told(client: &Client, backend: &Http) -> (bool, [String; 2]) {
    let mut client = client.connect().await;
    client.ticket().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await;
    let answer = read_response(&mut client, &mut Vec::new()).await;
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    let seen = backend.last();
    (client.resumed(), ["client-cert", "client-cert-chain"].map(|name| seen.field(name)))
}
