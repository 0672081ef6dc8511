//! Log lines that nobody reads, that cannot be written, that are too many, or that lie.

use std::time::Duration;

use portunus_tests::foreign::{s_client, shell};
use portunus_tests::wait::eventually;
use portunus_tests::{Client, Proxy, echo, http, https, own_address, tls};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{NAME, UNREAD};

/// Calls the first listener with what is no TLS, over and over.
async fn flood(proxy: &Proxy, calls: usize) {
    for _ in 0..calls {
        if let Ok(mut stream) = TcpStream::connect(proxy.first_address()).await {
            let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_the_log_holds_up_nobody() {
    if shell().is_none() {
        return;
    }
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.handshakes_per_source", "10000")
        .under(&UNREAD)
        .start()
        .await;
    // What a pipe holds is 64 KiB; each of these is a line of a hundred bytes and more.
    let before = proxy.metric("portunus_connections_total", &[]).await;
    flood(&proxy, 1_200).await;
    let enough = before + 1_200.0;
    proxy.wait_for_metric("portunus_connections_total", &[], |count| count >= enough).await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    drop(client);
    let asked = Instant::now();
    assert_eq!(proxy.drain().await.code, Some(0), "nor the end");
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_lines_of_the_log_and_nothing_else() {
    let (address, admin) = (own_address(), own_address());
    let full = ["sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"];
    let (_folder, process) = Proxy::builder()
        .listener(tls(NAME).at(&[&address.to_string()]))
        .backend(echo())
        .set("admin.listen", &format!("\"{admin}\""))
        .under(&full)
        .spawn();
    let client = Client::new(address, NAME);
    let mut client = eventually("service", async || client.try_connect().await.ok()).await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    let dropped = async || {
        let page = portunus_tests::get(admin, "/metrics").await.ok()?.text();
        let line = page.lines().find(|line| line.starts_with("portunus_log_dropped_total "));
        line?.rsplit(' ').next()?.parse::<f64>().ok().filter(|count| *count >= 2.0)
    };
    eventually("lines that are counted", dropped).await;
    drop(client);
    process.signal("TERM");
    assert_eq!(process.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_kind_of_line_is_held_back_and_told_of() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.handshakes_per_source", "10000")
        .start()
        .await;
    let calls = || flood(&proxy, 1_500);
    tokio::join!(calls(), calls(), calls(), calls());
    let told = "lines of this kind came too often and were held back";
    let line = proxy.wait_for_log(told, &[]).await;
    assert!(line.field("suppressed").parse::<u64>().unwrap() > 0, "{}", line.text());
    assert!(!line.field("line").is_empty(), "{}", line.text());
    proxy.wait_for_metric("portunus_log_suppressed_total", &[], |count| count > 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_cannot_forge_a_line_or_steer_a_terminal() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let forged = "a\u{1b}[2J\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}";
    for name in [forged, &"x".repeat(250)] {
        let Some(openssl) = s_client(&proxy, name) else { return };
        openssl.run().await;
    }
    let closed = |line: &portunus_tests::Line| line.text().contains("reason").then_some(());
    proxy.process().line("the end of the connections", closed).await;
    let exit = proxy.drain().await;
    for line in &exit.log {
        assert!(!line.contains(['\u{1b}', '\r']), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_ne!(read["message"], "forged");
        assert!(line.len() < 1_500, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_that_was_moved_away_is_opened_anew_at_sigusr1_too() {
    let builder = Proxy::builder().listener(https(NAME)).backend(http());
    let proxy = builder.set("log.access", "\"access.log\"").start().await;
    let (path, moved) = (proxy.folder().join("access.log"), proxy.folder().join("access.log.1"));
    std::fs::rename(&path, &moved).unwrap();
    proxy.process().signal("USR1");
    proxy.wait_for_log("the access log was opened anew", &[]).await;
    assert!(path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn level_and_form_of_the_lines_are_those_of_the_configuration_that_is_served() {
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo()).taking_orders();
    let proxy = builder.start().await;
    let path = proxy.folder().join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let set = |text: &str, key: &str, value: &str| {
        let lines = text.lines().map(|line| match line.starts_with(&format!("{key} = ")) {
            true => format!("{key} = {value:?}\n"),
            false => format!("{line}\n"),
        });
        lines.collect::<String>()
    };
    std::fs::write(&path, set(&set(&text, "level", "info"), "format", "text")).unwrap();
    let (status, told) = proxy.order("/reload").await;
    // Whether by this order, or because the file was seen to change before.
    assert_eq!((status, &told["generation"]), (200, &2.into()), "{told}");
    let info = |line: &portunus_tests::Line| line.text().contains("Z  INFO ").then_some(());
    proxy.process().line("a line of text", info).await;
    let before = proxy.process().line_count();
    flood(&proxy, 20).await;
    proxy.wait_for_metric("portunus_connections_total", &[], |count| count >= 20.0).await;
    let said = proxy.process().text().split_off(before);
    assert!(!said.iter().any(|line| line.contains("DEBUG")), "{said:?}");
}
