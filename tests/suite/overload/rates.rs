//! Handshakes of one source, and who goes first when there are many.

use std::net::SocketAddr;

use portunus_tests::wait::eventually;
use portunus_tests::{Client, Key, Proxy, Tls, Wallet, authority, echo, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{NAME, quantile, timed};

const FAILURES: &str = "portunus_handshake_failures_total";
const HITS: &str = "portunus_limit_hits_total";

#[tokio::test(flavor = "multi_thread")]
async fn full_handshakes_of_one_source_have_a_rate_and_who_resumes_is_free() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.handshake_rate_per_source", "1")
        .start()
        .await;
    let wallet = Wallet::new();
    let client = proxy.client(NAME);
    let known = client.clone().resumption(wallet.sessions());
    known.connect().await.ticket().await;
    let tries = std::iter::repeat_n(client.clone(), 8);
    let tries: JoinSet<_> = tries.map(|client| async move { client.try_connect().await }).collect();
    let tried = tries.join_all().await;
    let refused = tried.iter().filter(|tried| tried.is_err()).count();
    assert!(refused >= 1, "eight at once are too many");
    for _ in 0..10 {
        let mut resumed = known.connect().await;
        assert!(resumed.resumed());
        resumed.ticket().await;
    }
    let reason = [("reason", "source_rate")];
    assert_eq!(proxy.metric(FAILURES, &reason).await, refused as f64);
    let limit = [("limit", "handshake_rate_per_source")];
    assert_eq!(proxy.metric(HITS, &limit).await, refused as f64);
    from_elsewhere(&proxy, &client).await.handshake().await.expect("another source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_only_fails_is_not_heard_for_a_while_and_no_other_suffers() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.handshake_rate_per_source", "1")
        .start()
        .await;
    let client = proxy.client(NAME);
    let limit = [("limit", "handshake_rate_per_source")];
    // It has paid its debt after some seconds, which a machine may need for anything.
    eventually("a source in debt", async || {
        let failing = std::iter::repeat_n(proxy.first_address(), 16).map(fail);
        failing.collect::<JoinSet<_>>().join_all().await;
        let is_refused = client.try_connect().await.is_err();
        (is_refused && proxy.metric(HITS, &limit).await > 0.0).then_some(())
    })
    .await;
    from_elsewhere(&proxy, &client).await.handshake().await.expect("another source");
}

/// Says what is not TLS; whoever is not heard is reset at once, and that is no matter here.
async fn fail(address: SocketAddr) {
    let Ok(mut tcp) = TcpStream::connect(address).await else { return };
    let _ = tcp.write_all(b"not TLS").await;
    let _ = tcp.read_to_end(&mut Vec::new()).await;
}

/// A connection of the same client from another address.
async fn from_elsewhere(proxy: &Proxy, client: &Client) -> Tls {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let tcp: TcpStream = socket.connect(proxy.first_address()).await.unwrap();
    Tls::new(tcp, client.tls(), usize::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_full_handshakes_lets_those_pass_who_resume() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        // A signature with it costs much more to make than to check.
        .certificate("app", &authority().issue_with(Key::Rsa, &[NAME]))
        .set("limits.handshakes_per_source", "1000")
        .set("log.level", "\"info\"")
        .start()
        .await;
    let wallet = Wallet::new();
    let client = proxy.client(NAME);
    let known = client.clone().resumption(wallet.sessions());
    known.connect().await.ticket().await;
    let mut flood = JoinSet::new();
    for _ in 0..48 {
        let client = client.clone();
        flood.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..12 {
                times.push(timed(client.connect()).await.0);
            }
            times
        });
    }
    let mut resumed = Vec::new();
    while !flood.is_empty() && resumed.len() < 40 {
        let (time, mut connection) = timed(known.connect()).await;
        assert!(connection.resumed());
        connection.ticket().await;
        resumed.push(time);
    }
    let mut full: Vec<_> = flood.join_all().await.into_iter().flatten().collect();
    let (resumed, full) = (quantile(&mut resumed, 0.5), quantile(&mut full, 0.5));
    println!("median of a resumed handshake {resumed:?}, of a full one {full:?}");
    assert!(resumed < full, "{resumed:?} {full:?}");
}
