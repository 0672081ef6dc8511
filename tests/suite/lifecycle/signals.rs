//! The signals of a process, each before and during its end.

use std::time::Duration;

use portunus_tests::wait::eventually;
use portunus_tests::{Builder, Proxy, echo, tls};
use tokio::net::TcpStream;
use tokio::time::Instant;

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_that_ends_lets_everything_finish() {
    for signal in ["TERM", "INT", "QUIT"] {
        let proxy = service().start().await;
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        proxy.process().signal(signal);
        no_longer_accepts(&proxy).await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        client.close_notify().await;
        client.receive_all().await.unwrap();
        assert_eq!(proxy.exit().await.code, Some(0), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts_at_once_by_resets_also_during_the_delay() {
    for (second, delay) in [("TERM", "0s"), ("QUIT", "0s"), ("INT", "60s")] {
        let set = format!("\"{delay}\"");
        let proxy = service().set("server.drain_delay", &set).start().await;
        let mut client = proxy.client(NAME).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        proxy.process().signal("TERM");
        proxy.wait_for_log("leaving: not ready any more; another signal ends at once", &[]).await;
        let asked = Instant::now();
        proxy.process().signal(second);
        let exit = proxy.exit().await;
        assert_eq!(exit.code, Some(1), "{second}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{second}: {:?}", asked.elapsed());
        assert!(exit.log.iter().any(|line| line.contains("\"left\":1")), "{:?}", exit.log);
        let error = client.receive_all().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_is_said_and_changes_nothing() {
    let proxy = service().start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    proxy.process().signal("TERM");
    no_longer_accepts(&proxy).await;
    for signal in ["HUP", "USR2"] {
        proxy.process().signal(signal);
        let name = format!("SIG{signal}");
        proxy.wait_for_log("ignored: the process is leaving", &[("signal", &name)]).await;
    }
    // Neither a pipe that broke nor a child that ended is a reason to end.
    for signal in ["PIPE", "CHLD", "WINCH", "URG"] {
        proxy.process().signal(signal);
    }
    client.send(b"hello").await;
    client.expect(b"hello").await;
    client.close_notify().await;
    client.receive_all().await.unwrap();
    assert_eq!(proxy.exit().await.code, Some(0));
}

fn service() -> Builder {
    Proxy::builder().listener(tls(NAME)).backend(echo())
}

/// Waits until connections are refused.
async fn no_longer_accepts(proxy: &Proxy) {
    let address = proxy.first_address();
    eventually("the listener to be closed", async || TcpStream::connect(address).await.err()).await;
}
