//! Who the client is: what backends hear of it, and which hosts a connection is good for.

use http::Request;
use hyper_util::rt::TokioExecutor;
use portunus_certs::client_auth::ClientIdentity;
use portunus_certs::issue::DevelopmentCa;
use portunus_certs::name::HostName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::h2::{Client2, get};
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\n\r\n";

/// `app.example` and `api.example` ask the same of clients, `open.example` nothing, and
/// `other.example` something else.
fn places(forward: ClientCertForward) -> [Place; 4] {
    let place = |host, client_auth, forward| Place { host, client_auth, forward };
    [
        place("app.example", Some(0), forward),
        place("open.example", None, ClientCertForward::None),
        place("*.api.example", Some(0), forward),
        place("other.example", Some(1), ClientCertForward::Chain),
    ]
}

/// A client who has shown its certificate and, behind it, so many of others.
fn identity(others: usize) -> Arc<ClientIdentity> {
    let now = UnixTime::now();
    let authority = DevelopmentCa::new(now).unwrap();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let leaf = der(&authority.issue_client("someone", now).unwrap().chain_pem);
    let others = vec![der(authority.certificate_pem()); others];
    let chain: Vec<_> = std::iter::once(leaf).chain(others).collect();
    Arc::new(ClientIdentity::new(&chain).unwrap())
}

/// A connection that was established for `host`.
fn facts_of(host: &str, identity: Option<Arc<ClientIdentity>>) -> ConnectionFacts {
    let site = sites(&places(ClientCertForward::None)).of_host(host).unwrap();
    ConnectionFacts { site, identity, server_name: Some(host.into()), ..facts() }
}

async fn client_told(
    forward: ClientCertForward,
    identity: Option<Arc<ClientIdentity>>,
    script: Vec<Step>,
) -> Client {
    let mut behind = config::Behind::forwarding(0);
    behind.routes[0].trailers = true;
    let make = |addr: &str| service_of(addr, |_| {}, &places(forward), &behind, |_| {});
    Client::at(vec![script], make, facts_of("app.example", identity)).await
}

/// An answer of ours, which ends with the id of the request.
pub(super) async fn page(client: &mut Client) -> String {
    let mut text = String::new();
    while !text.contains("Request id: ") {
        let more = client.read_until("\n").await;
        assert!(more.ends_with('\n'), "not an answer of ours: {text}{more}");
        text.push_str(&more);
    }
    text
}

/// The lines of `head` that speak of the client's certificate, in any spelling.
fn told(head: &str) -> Vec<&str> {
    let says = |line: &&str| {
        let line = line.to_ascii_lowercase().replace('_', "-");
        line.contains("client-cert") || line.contains("ssl-client")
    };
    head.split("\r\n").filter(says).collect()
}

/// A request that claims to be from somebody, in the spellings that backends confuse.
const FORGED: &str = "GET / HTTP/1.1\r\nHost: app.example\r\nClient-Cert: :Zm9yZ2Vk:\r\n\
    client_cert: :Zm9yZ2Vk:\r\nCLIENT-CERT-CHAIN: :Zm9yZ2Vk:\r\nX-Client-Cert-DN: CN=root\r\n\
    X-SSL-Client-Verify: SUCCESS\r\nSSL_CLIENT_S_DN: CN=root\r\n\
    X-Forwarded-Client-Cert: Hash=1\r\n\r\n";

#[tokio::test]
async fn a_backend_hears_what_was_verified_and_never_what_was_claimed() {
    let identity = identity(2);
    for forward in [ClientCertForward::None, ClientCertForward::Leaf, ClientCertForward::Chain] {
        for known in [None, Some(&identity)] {
            let mut client = client_told(forward, known.cloned(), vec![say(OK); 2]).await;
            for _ in 0..2 {
                client.send(FORGED).await;
                client.read_until("ok").await;
            }
            let received = client.backend_received();
            assert!(!received.contains("Zm9yZ2Vk"), "{received}");
            let names: Vec<_> =
                told(&received).iter().map(|line| line.split(": ").next().unwrap()).collect();
            let expected: &[&str] = match (forward, known) {
                (ClientCertForward::None, _) | (_, None) => &[],
                (ClientCertForward::Leaf, Some(_)) => &["client-cert"],
                (ClientCertForward::Chain, Some(_)) => &["client-cert", "client-cert-chain"],
            };
            // Of both requests alike.
            assert_eq!(names, [expected, expected].concat(), "{forward:?}");
        }
    }
}

#[tokio::test]
async fn the_fields_are_the_last_of_the_head() {
    let mut client = client_told(ClientCertForward::Chain, Some(identity(1)), vec![say(OK)]).await;
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\nX-Late: 1\r\n\r\n").await;
    client.read_until("ok").await;
    let received = client.backend_received();
    let head: Vec<_> = received.trim_end().split("\r\n").collect();
    let last: Vec<_> =
        head[head.len() - 2..].iter().map(|l| l.split(": ").next().unwrap()).collect();
    assert_eq!(last, ["client-cert", "client-cert-chain"]);
}

#[tokio::test]
async fn a_certificate_is_told_in_a_websocket_handshake_and_not_in_trailers() {
    let known = Some(identity(0));
    let mut client = client_told(ClientCertForward::Leaf, known.clone(), vec![say(AGREE)]).await;
    let ask = FORGED.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    client.send(&ask).await;
    client.read_until("\r\n\r\n").await;
    assert_eq!(told(&client.backend_received()).len(), 1);

    let answer = say(OK).after("0\r\nx-sum: 1\r\n\r\n");
    let mut client = client_told(ClientCertForward::Leaf, known, vec![answer]).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\
             Trailer: x-sum, client-cert\r\n\r\n0\r\nx-sum: 1\r\nClient-Cert: :Zm9yZ2Vk:\r\n\
             client_cert_chain: :Zm9yZ2Vk:\r\n\r\n",
        )
        .await;
    client.read_until("ok").await;
    assert!(!client.backend_received().contains("Zm9yZ2Vk"));
}

#[tokio::test]
async fn a_client_that_cannot_be_told_of_is_not_served() {
    // Every certificate is some hundred bytes.
    let identity = identity(100);
    for (forward, status) in
        [(ClientCertForward::Chain, "502 Bad Gateway"), (ClientCertForward::Leaf, "200 OK")]
    {
        let mut client = client_told(forward, Some(Arc::clone(&identity)), vec![say(OK)]).await;
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").await;
        let answer = client.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert_eq!(client.backend_received().is_empty(), forward == ClientCertForward::Chain);
    }
}

#[tokio::test]
async fn a_connection_is_good_for_the_hosts_of_its_policy_and_for_no_others() {
    for (connection, good) in [
        ("app.example", &["app.example", "v1.api.example"][..]),
        ("v2.api.example", &["app.example", "v1.api.example"]),
        ("open.example", &["open.example"]),
        ("other.example", &["other.example"]),
    ] {
        for host in ["app.example", "v1.api.example", "open.example", "other.example"] {
            let make = |addr: &str| service_with(addr, |_| {}, &places(ClientCertForward::None));
            let facts = facts_of(connection, None);
            let mut client = Client::at(vec![vec![say(OK); 2]], make, facts).await;
            client.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            if good.contains(&host) {
                client.read_until("ok").await;
                continue;
            }
            let answer = page(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 421 "), "{connection} {host}: {answer}");
            assert!(answer.contains("on its own"), "{answer}");
            assert_eq!(client.backend_received(), "", "{connection} {host}");
            // The connection goes on.
            client.send(&format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", good[0])).await;
            client.read_until("ok").await;
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_server_name_is_good_for_the_policy_of_the_first_site() {
    let facts = ConnectionFacts { server_name: None, ..facts_of("app.example", None) };
    let make = |addr: &str| service_with(addr, |_| {}, &places(ClientCertForward::None));
    let mut client = Client::at(vec![vec![say(OK)]], make, facts).await;
    for host in ["open.example", "other.example", "nobody.example", "192.0.2.1", "[::1]:443"] {
        client.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = page(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
    }
    assert_eq!(client.backend_received(), "");
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    client.read_until("ok").await;
}

#[tokio::test]
async fn streams_of_one_connection_are_told_of_and_turned_away_alike() {
    let make = |addr: &str| service_with(addr, |_| {}, &places(ClientCertForward::Leaf));
    let facts = facts_of("app.example", Some(identity(0)));
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let mut client = Client2::at(vec![vec![say(OK); 2]], builder, make, facts).await;
    for (authority, status) in [
        ("app.example", 200),
        ("open.example", 421),
        ("V3.API.EXAMPLE.:443", 200),
        ("other.example", 421),
    ] {
        let mut request: Request<_> = get(&format!("https://{authority}/"));
        request.headers_mut().insert("client-cert", ":Zm9yZ2Vk:".parse().unwrap());
        assert_eq!(client.ask(request).await.status(), status, "{authority}");
    }
    let received = client.mock.received().concat();
    assert_eq!(told(&received).len(), 2, "{received}");
    assert!(!received.contains("Zm9yZ2Vk"), "{received}");
}

mod spellings {
    use proptest::prelude::*;

    use super::*;
    use crate::forward::header::Host;
    use crate::route::Misdirected;

    /// Ways to write one and the same host.
    fn spelled(host: &str) -> impl Strategy<Value = String> + use<> {
        let host = host.to_owned();
        let cases = prop::collection::vec(any::<bool>(), host.len());
        let port = prop::option::of(any::<u16>());
        (cases, any::<bool>(), port).prop_map(move |(cases, dot, port)| {
            let letters = host
                .chars()
                .zip(cases)
                .map(|(letter, upper)| if upper { letter.to_ascii_uppercase() } else { letter });
            let name: String = letters.collect();
            let dot = if dot { "." } else { "" };
            port.map_or(format!("{name}{dot}"), |port| format!("{name}{dot}:{port}"))
        })
    }

    const CONNECTIONS: [&str; 3] = ["app.example", "open.example", "other.example"];

    fn host() -> impl Strategy<Value = (&'static str, String)> {
        let hosts = ["app.example", "open.example", "v1.api.example", "other.example", "x.example"];
        prop::sample::select(hosts.to_vec())
            .prop_flat_map(|host| spelled(host).prop_map(move |spelled| (host, spelled)))
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_host_changes_which_connections_it_is_served_on(
            (plain, spelled) in host(),
            connection in prop::sample::select(CONNECTIONS.to_vec()),
        ) {
            let places = places(ClientCertForward::None);
            let (service, _) = service_with("h:1", |_| {}, &places);
            let site = sites(&places).of_name(&HostName::parse(connection).unwrap()).unwrap();
            let vetted = Host::new(spelled.parse().unwrap()).unwrap();
            let judge = |name: &str| service.routes.of_host(name, site).map(|_| ());
            prop_assert_eq!(judge(vetted.name()), judge(plain));
            let policy = |host: &str| match host {
                "app.example" | "v1.api.example" => Some(0),
                "other.example" => Some(1),
                _ => None,
            };
            let expected = match plain {
                "x.example" => Err(Misdirected::Unknown),
                host if policy(host) == policy(connection) => Ok(()),
                _ => Err(Misdirected::OtherPolicy),
            };
            prop_assert_eq!(judge(plain), expected);
        }
    }
}
