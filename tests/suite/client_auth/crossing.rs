//! Sites that share a listener: who came in by one of them does not go out by another that asks
//! more, or asks somebody else, however its name is written.

use std::path::Path;

use portunus_tests::foreign::{curl_for, s_client, url};
use portunus_tests::{
    ClientAuthority, Credential, Flaw, Http, Proxy, authority, greeter, http, https, read_response,
    tls,
};

use super::{GREETING, Outcome, REQUEST, REQUIRE, caller, identity_file, outcome};

const OPEN: &str = "open.example";
const SECRET: &str = "secret.example";
const SAME: &str = "same.example";
const OTHER: &str = "other.example";
const WILD: &str = "*.wild.example";

/// Five sites with one certificate; the secret ones let a client in that shows `credential`.
struct Shared {
    proxy: Proxy,
    backend: Http,
    credential: Credential,
}

impl Shared {
    async fn start() -> Self {
        let clients = ClientAuthority::new("clients");
        let others = "client_auth = { ca = \"others.pem\" }";
        let listener = https(OPEN)
            .site_with(SECRET, "app", REQUIRE)
            .site_with(SAME, "app", REQUIRE)
            .site_with(WILD, "app", REQUIRE)
            .site_with(OTHER, "app", others);
        let backend = http();
        let proxy = Proxy::builder()
            .listener(listener)
            .certificate("all", &authority().issue(&[OPEN, SECRET, SAME, OTHER, WILD]))
            .file("clients.pem", &clients.pem())
            .file("others.pem", &ClientAuthority::new("others").pem())
            .backend(&backend)
            .start()
            .await;
        Self { proxy, backend, credential: clients.issue("client", Flaw::Nothing) }
    }

    /// The status of a request for `host` on a connection to the site `sni`.
    async fn http1(&self, sni: &str, host: &str) -> u16 {
        let client = self.proxy.client(sni).certificate(&self.credential).alpn(&["http/1.1"]);
        let mut client = client.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
        read_response(&mut client, &mut Vec::new()).await.map_or(0, |answer| answer.status)
    }

    /// The same over HTTP/2, where the host is the authority.
    async fn http2(&self, sni: &str, host: &str) -> Option<u16> {
        let curl = curl_for(&self.proxy, sni)?.arg("--cert");
        let curl = curl.arg(identity_file(&self.proxy, &self.credential));
        let host = format!("Host: {host}");
        let words =
            ["--http2", "-H", &host, "-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
        let output = curl.args(words).arg(url(&self.proxy, sni, "/")).run().await;
        let said = output.expect_success();
        let code = said.strip_prefix("2 ").unwrap_or_else(|| panic!("not HTTP/2: {said}"));
        Some(code.parse().unwrap())
    }
}

/// The ways in which a client may write a name.
fn spellings(name: &str) -> Vec<String> {
    let upper = name.to_uppercase();
    let mixed: String = name
        .chars()
        .enumerate()
        .map(|(place, c)| if place % 2 == 0 { c.to_ascii_uppercase() } else { c })
        .collect();
    vec![
        name.to_owned(),
        format!("{name}:443"),
        format!("{name}:8443"),
        format!("{name}."),
        format!("{name}.:443"),
        upper.clone(),
        format!("{upper}.:443"),
        mixed,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_site_of_another_policy_is_misdirected_however_it_is_written() {
    let shared = Shared::start().await;
    for (sni, host) in [
        (OPEN, SECRET),
        (OPEN, "any.wild.example"),
        (OPEN, OTHER),
        (SECRET, OPEN),
        (SECRET, OTHER),
        ("any.wild.example", OPEN),
    ] {
        for host in spellings(host) {
            assert_eq!(shared.http1(sni, &host).await, 421, "HTTP/1.1, {host} by way of {sni}");
            let Some(status) = shared.http2(sni, &host).await else { return };
            assert_eq!(status, 421, "HTTP/2, {host} by way of {sni}");
        }
    }
    assert!(shared.backend.seen().is_empty(), "{:?}", shared.backend.seen());
    assert_eq!(shared.backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_site_of_the_same_policy_is_served_on_the_same_connection() {
    let shared = Shared::start().await;
    for (sni, host) in [
        (OPEN, OPEN),
        (SECRET, SECRET),
        (SECRET, SAME),
        (SAME, "any.wild.example"),
        ("any.wild.example", "other.wild.example"),
    ] {
        for host in spellings(host) {
            assert_eq!(shared.http1(sni, &host).await, 200, "HTTP/1.1, {host} by way of {sni}");
            let Some(status) = shared.http2(sni, &host).await else { return };
            assert_eq!(status, 200, "HTTP/2, {host} by way of {sni}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_misdirected_request_the_connection_serves_its_own_site() {
    let shared = Shared::start().await;
    let client = shared.proxy.client(OPEN).alpn(&["http/1.1"]);
    let mut client = client.connect().await;
    let mut buffer = Vec::new();
    for (host, status) in [(OPEN, 200), (SECRET, 421), (OPEN, 200)] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
        let answer = read_response(&mut client, &mut buffer).await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_crosses_between_sites_that_ask_and_sites_that_do_not() {
    let clients = ClientAuthority::new("clients");
    let credential = clients.issue("client", Flaw::Nothing);
    let sites = [OPEN, "request.example", SECRET, SAME];
    let proxy = Proxy::builder()
        .listener(
            tls(OPEN)
                .site_with("request.example", "app", REQUEST)
                .site_with(SECRET, "app", REQUIRE)
                .site_with(SAME, "app", REQUIRE),
        )
        .certificate("all", &authority().issue(&sites))
        .file("clients.pem", &clients.pem())
        .backend(greeter(GREETING))
        .start()
        .await;
    if s_client(&proxy, OPEN).is_none() {
        return;
    }
    let session = proxy.folder().join("session");
    for version in [&["-tls1_2", "-no_ticket"][..], &["-tls1_2"], &["-tls1_3"]] {
        for from in sites {
            for to in sites {
                let call = |name| {
                    let client = caller(&proxy, name, Some(&credential));
                    client.expect("it was found before").args(version)
                };
                let first = outcome(call(from).arg("-sess_out").arg(&session)).await;
                assert_eq!(first, Outcome::LetIn { resumed: false });
                let again = with_session(call(to), &session);
                let resumed = from == OPEN && to == OPEN;
                let context = format!("{version:?} of {from} at {to}");
                assert_eq!(outcome(again).await, Outcome::LetIn { resumed }, "{context}");
                let _ = std::fs::remove_file(&session);
            }
        }
    }
}

/// Where no session was given, there is none to offer.
fn with_session(
    client: portunus_tests::foreign::Foreign,
    session: &Path,
) -> portunus_tests::foreign::Foreign {
    if session.exists() { client.arg("-sess_in").arg(session) } else { client }
}
