//! Ten thousand clients that take their time, all at once: each costs little, and whoever is not
//! slow is served as if they were not there.

use std::time::Duration;

use hyper::Method;
use portunus_tests::wait::within;
use portunus_tests::{Backend, Proxy, Version, foreign, https, raw};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// The name that the load generator asks for.
const NAME: &str = "bench.test";
const CLIENTS: usize = 10_000;
/// What a connection of HTTP/1.1 may cost at the most, in KiB.
const COST_MAX_KIB: usize = 256;
/// What a slow one should cost, in KiB: a few buffers of TLS, and what waits for it.
const COST_KIB: usize = 96;

/// Has two mebibytes for who asks for much, takes whatever is uploaded, and greets the others.
fn patient() -> Backend {
    raw(|mut stream, _| async move {
        // What the kernel holds for slow readers is not what this is about.
        SockRef::from(&stream).set_send_buffer_size(32 << 10).unwrap();
        let mut head = [0; 2048];
        while let Ok(count @ 1..) = stream.read(&mut head).await {
            let large = head[..count].starts_with(b"GET /large");
            if head[..count].starts_with(b"POST") {
                while let Ok(1..) = stream.read(&mut head).await {}
                return;
            }
            let length = if large { 2 << 20 } else { 5 };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            for _ in 0..length / 1024 {
                if stream.write_all(&[b'x'; 1024]).await.is_err() {
                    return;
                }
            }
            if !large && stream.write_all(b"hello").await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_slow_clients_cost_little_and_hold_up_nobody() {
    let patience = "\"600s\"";
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(patient())
        .set("server.max_connections", "15000")
        .set("limits.handshakes_per_source", "1000")
        .set("limits.connects", "5000")
        // A reader whose window opens too seldom is as good as dead to the kernel.
        .set("limits.tcp_user_timeout", patience)
        .set("limits.http.request_head_timeout", patience)
        .set("limits.http.request_body_timeout", patience)
        .set("limits.http.request_body_rate", "\"0 B\"")
        .set("limits.http.response_head_timeout", patience)
        .set("limits.http.write_timeout", patience)
        .set("limits.http.keepalive_timeout", patience)
        .set("log.level", "\"portunus=info\"")
        .under(&["sh", "-c", "ulimit -n $(ulimit -Hn) && exec \"$0\" \"$@\""])
        .start()
        .await;
    let mut asker = proxy.client(NAME).asker(Version::One).await.unwrap();
    assert_eq!(asker.ask(Method::GET, "/", &[], "").await.unwrap().status, 200);
    let before = memory(&proxy);
    let load = foreign::load().arg("slow").args(["--parallel", "64"]);
    let load = load.args(["--address", &proxy.first_address().to_string()]);
    let load = load.args(["--count", &CLIENTS.to_string(), "--certificate"]);
    let load = load.arg(proxy.folder().join(format!("certs.d/{NAME}.pem")));
    let mut load = load.patience(Duration::from_secs(250)).start();
    load.hear("ready").await;
    load.say(b"go\n").await;
    load.hear(&format!("\"done\":{CLIENTS}")).await;
    let open = CLIENTS as f64;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count >= open).await;
    let grown = memory(&proxy).saturating_sub(before);
    let (cost, most) = (grown / CLIENTS, COST_MAX_KIB * CLIENTS);
    assert!(grown < most && cost < COST_KIB, "{grown} KiB for {CLIENTS} clients: {cost} each");
    for version in [Version::One, Version::Two] {
        let begin = Instant::now();
        let mut asker = proxy.client(NAME).asker(version).await.unwrap();
        for _ in 0..100 {
            let answer = asker.ask(Method::GET, "/", &[], "").await.unwrap();
            assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{version:?}: {:?}", begin.elapsed());
    }
    load.say(b"enough\n").await;
    within("the end of the slow ones", load.finish()).await.expect_success();
    drop(asker);
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count <= 1.0).await;
}

/// The memory that the proxy has, in KiB.
fn memory(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.process().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}
