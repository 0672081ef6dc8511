//! How many series there are, and what it costs to tell them: both follow from the configuration.
//!
//! The number of names that clients make up is small here; `PORTUNUS_TEST_NAMES=1000000` makes it
//! as large as one likes.

use std::fs;
use std::time::Instant;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Client, Proxy, http, https, read_response, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::tidy::root;

const NAME: &str = "app.example";

/// Callers at once.
const CALLERS: usize = 8;

/// How many names are made up of each kind.
fn names() -> usize {
    std::env::var("PORTUNUS_TEST_NAMES").ok().map_or(400, |count| count.parse().unwrap())
}

/// A name that nobody else has, always of one length.
fn name(number: usize) -> String {
    format!("n{number:07}.example")
}

async fn series(proxy: &Proxy) -> (usize, String) {
    let text = proxy.admin("/metrics").await.text();
    (text.lines().filter(|line| !line.starts_with('#')).count(), text)
}

/// Greets by every `CALLERS`th name from `first` on: a hello in which the name alone differs.
async fn greet(client: Client, first: usize, count: usize) {
    let template = client.hello();
    let place = name(0).into_bytes();
    let place = template.windows(place.len()).position(|window| window == place).unwrap();
    for number in (first..count).step_by(CALLERS) {
        let (mut hello, own) = (template.clone(), name(number));
        hello[place..place + own.len()].copy_from_slice(own.as_bytes());
        let mut tcp = client.tcp().await;
        tcp.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        within("an alert", tcp.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer.first(), Some(&21), "an alert, for nobody serves {own}");
    }
}

/// Asks for every `CALLERS`th host and path from `first` on, each time as another agent.
async fn ask(client: Client, first: usize, count: usize) {
    let mut link = client.connect().await;
    let mut buffer = Vec::new();
    for number in (first..count).step_by(CALLERS) {
        let own = name(number);
        let host = if number % 2 == 0 { NAME } else { &own };
        let target = format!("/{own}?{own}");
        let fields = format!("Host: {host}\r\nUser-Agent: {own}\r\nX-{number}: y\r\n");
        let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
        link.send(request.as_bytes()).await;
        if read_response(&mut link, &mut buffer).await.is_none() {
            link = client.connect().await;
            buffer.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_paths_that_clients_make_up_make_no_series() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(http())
        .set("log.level", "\"info\"")
        .set("limits.handshakes_per_source", "1000")
        .start()
        .await;
    let mut first = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    first.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").await;
    first.receive_all().await.unwrap();
    let (before, _) = series(&proxy).await;
    let count = names();
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for first in 0..CALLERS {
        let stranger = proxy.client(&name(0));
        let guest = proxy.client(NAME).alpn(&["http/1.1"]);
        callers.spawn(async move {
            greet(stranger, first, count).await;
            ask(guest, first, count).await;
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    let (after, text) = series(&proxy).await;
    assert_eq!(after, before, "as many series as before {count} names of each kind");
    assert!(!text.contains("n0000"), "and none of them has such a name");
    let unknown = [("reason", "unknown_name")];
    let refused = proxy.metric("portunus_handshake_failures_total", &unknown).await;
    assert!(refused >= count as f64, "{refused} of {count} were refused by their name");
    println!("{count} names, hosts and paths in {:?}: {after} series", begin.elapsed());
}

/// A proxy with 100 listeners, 1,000 certificates and 500 endpoints.
async fn large() -> Proxy {
    let endpoints = |backend: usize| -> Vec<String> {
        (0..50).map(|one| format!("127.90.{backend}.{}:9", one + 1)).collect()
    };
    let mut builder = Proxy::builder().set("log.level", "\"info\"");
    for backend in 0..10 {
        let endpoints = endpoints(backend);
        let endpoints: Vec<_> = endpoints.iter().map(String::as_str).collect();
        builder = builder.endpoints(&format!("backend{backend}"), &endpoints);
    }
    for number in 0..100 {
        let host = |site: usize| format!("site{site}.listener{number}.example");
        let backend = format!("backend{}", number % 10);
        let first = https(&host(0)).named(&format!("listener{number}")).to(&backend);
        builder = builder
            .listener((1..10).fold(first, |listener, site| listener.site(&host(site), &backend)));
    }
    builder.start().await
}

/// How many series METRICS.md reckons for each `what`.
fn reckoned(what: &str) -> usize {
    let text = fs::read_to_string(root().join("dashboards/METRICS.md")).unwrap();
    let row = text.lines().find_map(|line| line.strip_prefix(&format!("| {what} | ")));
    row.and_then(|row| row.strip_suffix(" |")).unwrap().parse().unwrap()
}

/// How many series of `text` have this value of this label.
fn of(text: &str, label: &str, value: &str) -> usize {
    let wanted = format!("{label}=\"{value}\"");
    text.lines().filter(|line| !line.starts_with('#') && line.contains(&wanted)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_series_as_the_reference_reckons_from_the_configuration() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls("raw.example").named("raw").to("bytes"))
        .backend(http())
        .endpoints("bytes", &["127.0.0.1:9", "127.0.0.2:9"])
        .start()
        .await;
    let (all, text) = series(&proxy).await;
    let endpoints = |backend| {
        let lines = text.lines().filter(|line| line.starts_with("portunus_endpoint_up{"));
        lines.filter(|line| line.contains(&format!("backend=\"{backend}\""))).count()
    };
    let found = [
        ("a listener of `mode = \"http\"`", of(&text, "listener", "https")),
        ("a listener of `mode = \"tcp\"`", of(&text, "listener", "raw")),
        (
            "a backend of listeners of `mode = \"http\"`",
            of(&text, "backend", "app") - endpoints("app"),
        ),
        (
            "a backend of listeners of `mode = \"tcp\"`",
            of(&text, "backend", "bytes") - endpoints("bytes"),
        ),
    ];
    for (what, count) in found {
        assert_eq!(count, reckoned(what), "{what}");
    }
    assert_eq!((endpoints("app"), endpoints("bytes")), (1, 2));
    assert_eq!(reckoned("an endpoint"), 1);
    let certificates = text.lines().filter(|line| line.contains("{certificate=")).count();
    assert_eq!(certificates, 2 * reckoned("a certificate"));
    let process = all - found.iter().map(|(_, count)| count).sum::<usize>() - 3 - certificates;
    let most = reckoned("the process, at most");
    assert!((most / 2..most).contains(&process), "{process} of {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_rules_out_is_not_shown_until_a_reload_allows_it() {
    let proxy = Proxy::builder()
        .listener(tls(NAME).to("app"))
        .backend(http())
        .set("resumption.mode", "\"off\"")
        .start()
        .await;
    let shown = async |name: &str| series(&proxy).await.1.contains(&format!("\n{name}"));
    let absent = ["portunus_http_rejects_total{", "portunus_starttls_total{"];
    for name in absent {
        assert!(!shown(name).await, "{name}");
    }
    assert!(shown("portunus_tls_eof_without_notify_total{listener=\"tls\"} 0").await);
    let kinds = "portunus_handshakes_total{listener=\"tls\",version=\"1.3\",kind=\"";
    assert!(shown(&format!("{kinds}full\"}} 0")).await);
    assert!(!shown(&format!("{kinds}ticket")).await);
    let path = proxy.folder().join("config.toml");
    let text = fs::read_to_string(&path).unwrap().replace("mode = \"off\"", "mode = \"tickets\"");
    fs::write(&path, text).unwrap();
    proxy.reload().await;
    eventually("tickets are counted", async || {
        shown(&format!("{kinds}ticket\"}} 0")).await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_a_large_configuration_takes_little_cpu_time() {
    let proxy = large().await;
    let loaded = proxy.metric("portunus_certificates", &[("state", "loaded")]).await;
    assert_eq!(loaded, 1000.0);
    let (count, _) = series(&proxy).await;
    let mut each = f64::INFINITY;
    // Of a processor that is shared more is counted: the best round tells what it takes.
    for _ in 0..4 {
        each = cost(&proxy).await.min(each);
        if each < SCRAPE_SECONDS_MAX {
            break;
        }
    }
    assert!(each < SCRAPE_SECONDS_MAX, "{:.1} ms for {count} lines", each * 1e3);
    assert!(count < LINES_MAX, "{count} lines");
}

/// The seconds of CPU that a scrape takes.
async fn cost(proxy: &Proxy) -> f64 {
    let scraper = proxy.address("admin");
    let cpu = async || proxy.metric("process_cpu_seconds_total", &[]).await;
    let before = cpu().await;
    let mut bytes = 0;
    for _ in 0..SCRAPES {
        let mut stream = TcpStream::connect(scraper).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\
                       Accept: application/openmetrics-text\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within("a scrape", stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.ends_with(b"\n# EOF\n"));
        bytes = answer.len();
    }
    // The scrape that tells the time is one of them.
    let each = (cpu().await - before) / (SCRAPES + 1) as f64;
    println!("{bytes} bytes: {:.1} ms of CPU for each scrape", each * 1e3);
    each
}

const SCRAPES: usize = 20;

/// What a scrape may take of a CPU; a build without optimisation takes about ten times as long.
const SCRAPE_SECONDS_MAX: f64 = if cfg!(debug_assertions) { 0.1 } else { 0.01 };

/// For 100 listeners, 10 backends, 500 endpoints and 1,000 certificates.
const LINES_MAX: usize = 22_000;
