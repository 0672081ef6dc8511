//! Clients that are in the way: they cost themselves time, and nobody else.

use std::time::Duration;

use portunus_tests::{Client, Proxy, echo, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::{NAME, quantile, timed};

/// Says nothing, and comes again when it is closed.
async fn stay_silent(client: Client) {
    loop {
        let mut tcp = client.tcp().await;
        let _ = tcp.read_u8().await;
    }
}

/// Says something that is not TLS, again and again.
async fn talk_nonsense(client: Client) {
    // A thousand in a second, of all together.
    let mut turns = interval(Duration::from_millis(20));
    loop {
        turns.tick().await;
        let mut tcp = client.tcp().await;
        let _ = tcp.write_all(&[0x5a; 600]).await;
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
    }
}

async fn handshakes(client: &Client, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let (time, connection) = timed(client.connect()).await;
        times.push(time);
        drop(connection);
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_silent_and_twenty_garbage_clients_delay_nobody() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.client_hello_timeout", "\"5s\"")
        .set("limits.handshakes_per_source", "100")
        .set("log.level", "\"info\"")
        .start()
        .await;
    let client = proxy.client(NAME);
    handshakes(&client, 20).await;
    let mut rounds = Vec::new();
    for _ in 0..8 {
        let mut alone = handshakes(&client, 100).await;
        let mut crowd = JoinSet::new();
        for _ in 0..40 {
            crowd.spawn(stay_silent(client.clone()));
        }
        for _ in 0..20 {
            crowd.spawn(talk_nonsense(client.clone()));
        }
        let pending = "portunus_handshakes_pending";
        proxy.wait_for_metric(pending, &[], |pending| pending >= 40.0).await;
        let mut beside = handshakes(&client, 100).await;
        crowd.shutdown().await;
        proxy.wait_for_metric(pending, &[], |pending| pending == 0.0).await;
        rounds.push((quantile(&mut alone, 0.99), quantile(&mut beside, 0.99)));
        // What a busy machine does meanwhile only ever adds to one of the two.
        if rounds.iter().any(|(alone, beside)| *beside <= 2 * *alone) {
            break;
        }
    }
    println!("the 99th of a hundred handshakes, alone and beside the others: {rounds:?}");
    // Sixty clients on two processors take their share of them; whoever waited for one of them
    // would wait for its time-out.
    let within_bounds = |(alone, beside): &(Duration, Duration)| {
        *beside <= (2 * *alone).max(Duration::from_millis(500))
    };
    assert!(rounds.iter().any(within_bounds), "{rounds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_connections_do_not_keep_new_ones_waiting() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        // The one that accepts is the one that forwards.
        .set("server.workers", "1")
        .set("log.level", "\"info\"")
        .start()
        .await;
    let client = proxy.client(NAME);
    let mut bulk = JoinSet::new();
    for _ in 0..8 {
        let mut connection = client.connect().await;
        bulk.spawn(async move {
            let bytes = vec![7; 1 << 18];
            loop {
                connection.exchange(&bytes, 1 << 14, bytes.len()).await;
            }
        });
    }
    let mut times = handshakes(&client, 60).await;
    let (most, slowest) = (quantile(&mut times, 0.95), quantile(&mut times, 1.0));
    println!("sixty handshakes beside eight busy connections: most in {most:?}, all {slowest:?}");
    assert!(most < Duration::from_secs(3), "{most:?}");
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    assert_eq!(bulk.len(), 8);
    assert!(bulk.try_join_next().is_none(), "the others go on");
}
