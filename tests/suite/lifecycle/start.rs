//! Beginnings: addresses of every kind, and starts that fail whole and in words.

use std::net::TcpListener;

use portunus_tests::foreign::curl;
use portunus_tests::{Builder, Client, Proxy, echo, http, https, tls};

const NAME: &str = "app.example";

/// Runs a proxy that cannot start, and says how it ended and what it said.
async fn failed(builder: Builder) -> (Option<i32>, String) {
    let (_folder, process) = builder.spawn();
    let code = process.exit().await.code();
    // The last words come through a pipe that is read by somebody else.
    let words =
        process.line("words about it", |line| line.text().contains("error").then(|| line.text()));
    words.await;
    (code, process.text().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let first = tls(NAME).named("first");
    let second = tls(NAME).named("second").at(&[&address]);
    let builder = Proxy::builder().listener(first).listener(second).backend(echo());
    let (code, words) = failed(builder).await;
    assert_eq!(code, Some(1));
    for word in [&address, "`second`", "hint: "] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert!(!words.contains("\"ready\""), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_port_in_use_is_named_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = format!("{address:?}");
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo()).set("admin.listen", &listen);
    let (code, words) = failed(builder).await;
    assert_eq!(code, Some(1));
    for word in [&address, "admin", "hint: "] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_configuration_is_said_at_once() {
    let builder = Proxy::builder()
        .listener(tls(NAME).with("lisen", "[]").site("b.example", "ap"))
        .backend(echo())
        .set("server.drain_timeout", "10")
        .set("server.wrokers", "2")
        .set("limits.handshake_timeout", "\"soon\"");
    let (code, words) = failed(builder).await;
    assert_eq!(code, Some(64));
    let expected = [
        "lisen",
        "listen",
        "`ap`",
        "drain_timeout",
        "10s",
        "wrokers",
        "workers",
        "handshake_timeout",
    ];
    for word in expected.into_iter().chain(["config.toml:"]) {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_stays_on_this_machine_unless_it_has_a_token() {
    let everywhere = |builder: Builder| builder.set("admin.listen", "\"0.0.0.0:0\"");
    let plain = || Proxy::builder().listener(tls(NAME)).backend(echo());
    let (code, words) = failed(everywhere(plain())).await;
    assert_eq!(code, Some(64));
    assert!(words.contains("token"), "{words}");
    let (_folder, process) =
        everywhere(plain()).set("admin.token", "\"sesame-open-sesame\"").spawn();
    process.line("readiness", |line| line.says("ready", &[]).then_some(())).await;
    assert!(!process.text().join("\n").contains("sesame"), "a secret is never printed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listener_waits_at_several_addresses_of_both_families() {
    let addresses = ["127.0.0.1:0", "[::1]:0", "[::]:0"];
    let listener = https(NAME).at(&addresses);
    let backend = http();
    let proxy = Proxy::builder().listener(listener).backend(&backend).start().await;
    let bound = proxy.addresses("https");
    assert_eq!(bound.len(), 3, "{bound:?}");
    let port = bound[2].rsplit(':').next().unwrap();
    let dual = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    for address in bound[..2].iter().chain(&dual) {
        let client = Client::new(address.parse().unwrap(), NAME);
        let mut client = client.alpn(&["http/1.1"]).connect().await;
        client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        let answer = portunus_tests::read_response(&mut client, &mut Vec::new()).await.unwrap();
        assert_eq!(answer.status, 200, "{address}");
        // A mapped address would be another client than the same one on the other family.
        let expected = if address.starts_with('[') { "::1" } else { "127.0.0.1" };
        assert_eq!(backend.last().field("x-forwarded-for"), expected, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_may_be_a_unix_socket_and_is_again_after_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("https.sock");
    let address = format!("unix:{}", path.display());
    for _ in 0..2 {
        let listener = https(NAME).at(&[&address]);
        let proxy = Proxy::builder().listener(listener).backend(http()).start().await;
        assert_eq!(proxy.addresses("https"), [address.as_str()]);
        let Some(curl) = curl() else { return };
        let curl = curl.arg("--cacert").arg(proxy.ca()).arg("--unix-socket").arg(&path);
        let output = curl.arg(format!("https://{NAME}/")).run().await;
        assert_eq!(output.expect_success(), "hello from the backend\n");
        // The first one is not given the time to tidy up.
        proxy.process().signal("KILL");
        proxy.exit().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_serves_everything_as_well_as_many() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .listener(https("web.example").site("web2.example", "web"))
        .backend(echo())
        .backend_named("web", http())
        .set("server.workers", "1")
        .start()
        .await;
    let bytes = vec![7; 1 << 20];
    let exchange = |mut client: portunus_tests::Tls| {
        let bytes = bytes.clone();
        async move { client.exchange(&bytes, 16_411, bytes.len()).await == bytes }
    };
    let (one, two) = (proxy.client(NAME).connect().await, proxy.client(NAME).connect().await);
    assert_eq!(tokio::join!(exchange(one), exchange(two)), (true, true));
    let web = proxy.client("web2.example").at(proxy.address("https")).alpn(&["http/1.1"]);
    let mut web = web.connect().await;
    web.send(b"GET /bytes/1000000 HTTP/1.1\r\nHost: web2.example\r\n\r\n").await;
    let answer = portunus_tests::read_response(&mut web, &mut Vec::new()).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 1_000_000));
    drop(web);
    assert_eq!(proxy.drain().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_tls_ends_here_no_certificate_is_needed_to_be_ready() {
    let through = "passthrough = true\n";
    let proxy = Proxy::builder()
        .listener(tls(NAME).named("out").without_sites().with("clear", "true"))
        .listener(tls("x.example").named("through").site_with(NAME, "plain", through))
        .backend(echo())
        .endpoints("plain", &["127.0.0.1:1"])
        .set("backend.app.tls", "{ server_name = \"app.example\" }")
        .file("nothing", "")
        .start()
        .await;
    assert_eq!(proxy.admin("/readyz").await.status, 503, "a site of the second one is ours");

    let proxy = Proxy::builder()
        .listener(tls(NAME).named("out").without_sites().with("clear", "true"))
        .backend(echo())
        .set("backend.app.tls", "{ server_name = \"app.example\" }")
        .file("nothing", "")
        .start()
        .await;
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    let exit = proxy.drain().await;
    assert_eq!(exit.code, Some(0));
    assert!(!exit.log.iter().any(|line| line.contains("certificate is loaded")), "{:?}", exit.log);
}
