//! What is not there at the start: IPv6, the right to a port, names, stores, backends, room beside
//! another instance.

use std::time::Duration;

use portunus_tests::foreign::network_namespaces;
use portunus_tests::{Builder, Process, Proxy, echo, http, https, tls};
use tempfile::TempDir;
use tokio::time::Instant;

use super::NAME;

/// 32 bytes in Base64.
const SEALING_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// What a proxy says that does not start, and that it ends with 1.
async fn refusal((_folder, process): (TempDir, Process)) -> String {
    let code = process.exit().await.code();
    let words = process.text().join("\n");
    assert_eq!(code, Some(1), "{words}");
    assert!(!words.contains("\"ready\""), "no start in part: {words}");
    words
}

fn builder(listen: &str) -> Builder {
    Proxy::builder().listener(tls(NAME).at(&[listen])).backend(echo())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ipv6_the_address_is_named_with_a_hint() {
    if !network_namespaces() {
        return;
    }
    let none = "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6; exec \"$0\" \"$@\"";
    let under = ["unshare", "-Urn", "sh", "-c", none];
    let words = refusal(builder("[::1]:8443").under(&under).spawn()).await;
    for word in ["[::1]:8443", "`tls`", "hint: "] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_without_the_right_to_it_is_named_with_a_hint() {
    if !network_namespaces() {
        return;
    }
    let under = ["unshare", "-Urn", "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"];
    let words = refusal(builder("0.0.0.0:443").under(&under).spawn()).await;
    for word in ["0.0.0.0:443", "`tls`", "CAP_NET_BIND_SERVICE"] {
        assert!(words.contains(word), "{word}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_says_that_the_first_is_there_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("tls.sock").display());
    let first = Proxy::builder()
        .listener(tls(NAME).at(&["127.0.0.1:0", &unix]))
        .backend(echo())
        .start()
        .await;
    let address = first.address("tls").to_string();
    for taken in [&address, &unix] {
        let words = refusal(builder(taken).spawn()).await;
        let shown = taken.trim_start_matches("unix:");
        for word in [shown, "`tls`", "hint: "] {
            assert!(words.contains(word), "{word}: {words}");
        }
    }
    let path = folder.path().join("tls.sock");
    assert!(std::os::unix::net::UnixStream::connect(path).is_ok(), "the first one has it still");
    let mut client = first.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_behind_it_away_it_starts_and_serves_what_it_can() {
    let listener = https(NAME).site("name.example", "name").site("well.example", "well");
    let asked = Instant::now();
    let proxy = Proxy::builder()
        .listener(listener)
        .endpoints("app", &["127.0.0.1:1"])
        .endpoints("name", &["nowhere.invalid:80"])
        .backend_named("well", http())
        .set("resolver.nameservers", "[\"127.0.0.1:1\"]")
        .set("resumption.shared", "{ url = \"redis://127.0.0.1:1\", sealing_key = \"file:seal\" }")
        .certificate("app", &portunus_tests::authority().issue(&[NAME]))
        .certificate("name", &portunus_tests::authority().issue(&["name.example"]))
        .certificate("well", &portunus_tests::authority().issue(&["well.example"]))
        .file("seal", SEALING_KEY)
        .start()
        .await;
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    for (name, statuses) in
        [(NAME, &[502, 503, 504][..]), ("name.example", &[502, 503, 504]), ("well.example", &[200])]
    {
        let mut client = proxy.client(name).alpn(&["http/1.1"]).connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).await;
        let answer = portunus_tests::read_response(&mut client, &mut Vec::new()).await.unwrap();
        assert!(statuses.contains(&answer.status), "{name}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_again_and_again_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("tls.sock").display());
    let store = format!(
        "{{ url = \"file:{}\", sealing_key = \"file:seal\" }}",
        folder.path().join("sessions").display()
    );
    for _ in 0..5 {
        let proxy = Proxy::builder()
            .listener(tls(NAME).at(&["127.0.0.1:0", &unix]))
            .backend(echo())
            .set("resumption.shared", &store)
            .certificate("app", &portunus_tests::authority().issue(&[NAME]))
            .file("seal", SEALING_KEY)
            .start()
            .await;
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        proxy.process().signal("KILL");
        proxy.exit().await;
    }
}
