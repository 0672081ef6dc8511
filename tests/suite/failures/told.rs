//! What operators get to read of handshakes that failed.

use std::time::Instant;

use portunus_tests::foreign::{program, python_of};
use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, command, echo, tls};
use tokio::io::AsyncWriteExt as _;

use super::{failures, newest};

const NAME: &str = "app.example";

async fn fail(proxy: &Proxy, name: &str) {
    let before = failures(proxy).await.len();
    proxy.client(name).alpn(&["h2"]).try_connect().await.unwrap_err();
    newest(proxy, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_the_failures_of_late_the_newest_first() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    for name in ["first.example", "second.example"] {
        fail(&proxy, name).await;
    }
    let told = failures(&proxy).await;
    assert_eq!(told.len(), 2);
    let newest = &told[0];
    for (key, value) in [
        ("listener", "tls"),
        ("server_name", "second.example"),
        ("reason", "unknown_name"),
        ("words", "the name that the client asks for is not served here"),
    ] {
        assert_eq!(newest[key], value, "{newest}");
    }
    assert_eq!(newest["versions"], serde_json::json!(["1.3", "1.2"]));
    assert_eq!(newest["alpn"], serde_json::json!(["h2"]));
    let ja4 = newest["ja4"].as_str().unwrap();
    assert!(ja4.starts_with("t13d") && ja4.len() == 36, "{ja4}");
    assert_eq!(newest["ja4"], told[1]["ja4"], "the same software");
    assert!(newest["time"].as_f64() >= told[1]["time"].as_f64());
    assert!(newest["error"].as_str().unwrap().contains("belongs to no site"), "{newest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_why_clients_fail_and_what_can_be_done() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let config = proxy.folder().join("status.toml");
    let text = std::fs::read_to_string(proxy.folder().join("config.toml")).unwrap();
    let (nowhere, admin) = ("listen = \"127.0.0.1:0\"", proxy.address("admin"));
    portunus_tests::write(&config, &text.replacen(nowhere, &format!("listen = \"{admin}\""), 1));
    let ask = |options: &'static [&'static str]| {
        let mut status = command();
        status.args(["status", "--failures"]).args(options).arg("--config").arg(&config);
        let output = status.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask(&[]), "no failed handshakes of late\n");
    for _ in 0..3 {
        fail(&proxy, "other.example").await;
    }
    let text = ask(&[]);
    assert!(text.starts_with("3 failed handshakes of late\n\nunknown_name, 3 of them: "), "{text}");
    assert_eq!(text.matches("\n  hint: ").count(), 1, "{text}");
    assert_eq!(text.matches(" unknown_name, asks for other.example, TLS 1.3 1.2").count(), 3);
    let json: serde_json::Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_failures_is_told_of_in_a_few_lines_with_their_number() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("log.level", "\"info\"")
        .start()
        .await;
    let begin = Instant::now();
    for _ in 0..30 {
        fail(&proxy, "other.example").await;
    }
    let told = || {
        let lines = proxy.process().lines();
        lines.iter().filter(|line| line.says("handshake failed", &[])).count()
    };
    eventually("lines about some of them", async || (told() >= 10).then_some(())).await;
    // Behind the first ones there is one each ten seconds.
    let (told, most) = (told(), 20 + begin.elapsed().as_secs() as usize / 10);
    assert!(told <= most, "{told} lines for 30 failures");
    assert_eq!(failures(&proxy).await.len(), 30, "and all are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fingerprints_of_clients_are_those_that_others_make() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let Some(python) = python_of("python-of-ja4") else { return };
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let ours = [proxy.client("other.example"), proxy.client("other.example").tls12()];
    let ours = ours.map(|client| digits(&client.alpn(&["http/1.1"]).hello()) + "\n").concat();
    let python = python.arg(program("ja4.py")).arg("other.example").input(ours);
    let said = python.run().await.expect_success();
    let mut seen = std::collections::BTreeSet::new();
    for line in said.lines() {
        let (expected, hello) = line.split_once(' ').unwrap();
        let octet = |place| u8::from_str_radix(&hello[place..place + 2], 16).unwrap();
        let hello: Vec<u8> = (0..hello.len()).step_by(2).map(octet).collect();
        let before = failures(&proxy).await.len();
        let mut tcp = proxy.client(NAME).tcp().await;
        tcp.write_all(&hello).await.unwrap();
        // One who names nobody is served, and goes away.
        drop(tcp);
        assert_eq!(newest(&proxy, before).await["ja4"], expected);
        seen.insert(expected);
    }
    assert!(seen.len() > 20, "{seen:?}");
}
