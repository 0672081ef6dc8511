//! How each side learns of the other's end: an orderly one, a break, and one that nobody vouches
//! for.

use std::io::ErrorKind;
use std::time::Duration;

use portunus_tests::wait::within;
use portunus_tests::{Backend, Proxy, raw, tls};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::{NAME, Path, Way};

const TRUNCATED: &str = "portunus_tls_eof_without_notify_total";
const ACTIVE: &str = "portunus_connections_active";

/// What a backend heard, and how that ended.
type Heard = (usize, Result<(), ErrorKind>);

/// A backend that hears everything and tells of it, and then says goodbye.
fn hearer() -> (Backend, mpsc::Receiver<Heard>) {
    let (tell, told) = mpsc::channel(64);
    let backend = raw(move |mut stream, _| {
        let tell = tell.clone();
        async move {
            let mut count = 0;
            let mut buffer = vec![0; 16 * 1024];
            let end = loop {
                match stream.read(&mut buffer).await {
                    Ok(0) => break Ok(()),
                    Ok(more) => count += more,
                    Err(error) => break Err(error.kind()),
                }
            };
            tell.send((count, end)).await.unwrap();
            let _ = stream.write_all(b"goodbye").await;
        }
    });
    (backend, told)
}

/// Has the connection end in a reset when it is dropped.
fn reset_at_drop(socket: &tokio::net::TcpStream) {
    SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_the_client_is_one_for_the_backend_whatever_the_way() {
    for way in Way::ALL {
        let (backend, mut told) = hearer();
        let path = Path::start(way, backend).await;
        for _ in 0..10 {
            let tcp = path.near.client(NAME).tcp().await;
            reset_at_drop(&tcp);
            let mut client = path.connect_over(tcp).await;
            client.write_all(b"half of it").await.unwrap();
            client.flush().await.unwrap();
            drop(client);
            let heard = within("the end at the backend", told.recv()).await.unwrap();
            assert_eq!(heard, (10, Err(ErrorKind::ConnectionReset)), "{way:?}");
        }
        path.near.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
        let closed = "portunus_connections_closed_total";
        let labels = [("reason", "client_reset")];
        path.near.wait_for_metric(closed, &labels, |count| count == 10.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_the_backend_is_one_for_the_client_whatever_the_way() {
    for way in Way::ALL {
        let backend = raw(|mut stream, _| async move {
            stream.write_all(b"half of it").await.unwrap();
            let _ = stream.read_exact(&mut [0; 2]).await;
            reset_at_drop(&stream);
        });
        let path = Path::start(way, backend).await;
        for _ in 0..10 {
            let mut client = path.connect().await;
            let mut half = [0; 10];
            within("half of it", client.read_exact(&mut half)).await.unwrap();
            client.write_all(b"go").await.unwrap();
            let end = within("an end", client.read(&mut half)).await;
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset, "{way:?}");
        }
        path.near.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn last_words_of_a_backend_that_breaks_reach_a_client_that_talks_whatever_the_way() {
    for way in Way::ALL {
        let backend = raw(|mut stream, _| async move {
            stream.read_exact(&mut [0; 1024]).await.unwrap();
            // The rest is left unread, so that this is followed by a reset.
            stream.write_all(b"552 bye").await.unwrap();
        });
        let path = Path::start(way, backend).await;
        for _ in 0..20 {
            let (mut hear, mut say) = tokio::io::split(path.connect().await);
            let talk = async { while say.write_all(&[7; 4096]).await.is_ok() {} };
            let mut words = [0; 7];
            let listen = hear.read_exact(&mut words);
            // Which ends, since the connection is reset.
            let both = async { tokio::join!(talk, listen) };
            let ((), heard) = within("the last words", both).await;
            assert_eq!((heard.ok(), &words), (Some(7), b"552 bye"), "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_said_before_its_reset_reaches_a_backend_that_is_slow() {
    static GO: Semaphore = Semaphore::const_new(0);
    for way in Way::ALL {
        let (tell, mut told) = mpsc::channel(1);
        let backend = raw(move |mut stream, _| {
            let tell = tell.clone();
            async move {
                GO.acquire().await.unwrap().forget();
                let mut all = Vec::new();
                let end = stream.read_to_end(&mut all).await.map_err(|error| error.kind());
                tell.send((all.len(), end)).await.unwrap();
            }
        });
        let path = Path::start(way, backend).await;
        let tcp = path.near.client(NAME).tcp().await;
        reset_at_drop(&tcp);
        let mut client = path.connect_over(tcp).await;
        // Until there is room nowhere on the way.
        let full = Duration::from_millis(500);
        while timeout(full, client.write_all(&[7; 65_536])).await.is_ok() {}
        drop(client);
        GO.add_permits(1);
        let (heard, end) = within("the end at the backend", told.recv()).await.unwrap();
        path.near.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{way:?}");
        if way != Way::PassedThrough {
            let taken = path.near.metric("portunus_bytes_total", &[("direction", "upstream")]);
            assert_eq!(heard as f64, taken.await, "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_close_notify_is_one_like_any_other_and_counted() {
    for version in ["1.3", "1.2"] {
        let (backend, mut told) = hearer();
        let proxy = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
        let client = || match version {
            "1.3" => proxy.client(NAME),
            _ => proxy.client(NAME).tls12(),
        };
        let mut orderly = client().connect().await;
        orderly.send(b"all of it").await;
        orderly.close_notify().await;
        assert_eq!(orderly.receive_all().await.unwrap(), b"goodbye");
        assert_eq!(within("an end", told.recv()).await.unwrap(), (9, Ok(())));
        assert_eq!(proxy.metric(TRUNCATED, &[("listener", "tls")]).await, 0.0);

        let mut truncated = client().connect().await;
        truncated.send(b"some of it").await;
        truncated.shut_down();
        assert_eq!(truncated.receive_all().await.unwrap(), b"goodbye");
        assert_eq!(within("an end", told.recv()).await.unwrap(), (10, Ok(())));
        proxy.wait_for_metric(TRUNCATED, &[("listener", "tls")], |count| count == 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_close_notify_may_be_a_reset_for_the_backend() {
    let (backend, mut told) = hearer();
    let listener = tls(NAME).with("on_truncation", "\"reset\"");
    let proxy = Proxy::builder().listener(listener).backend(backend).start().await;
    let mut orderly = proxy.client(NAME).connect().await;
    orderly.send(b"all of it").await;
    orderly.close_notify().await;
    assert_eq!(orderly.receive_all().await.unwrap(), b"goodbye");
    assert_eq!(within("an end", told.recv()).await.unwrap(), (9, Ok(())));

    let mut truncated = proxy.client(NAME).connect().await;
    truncated.send(b"some of it").await;
    truncated.shut_down();
    let heard = within("an end", told.recv()).await.unwrap();
    assert_eq!(heard, (10, Err(ErrorKind::ConnectionReset)));
    // It gets no better end than it gave.
    assert_eq!(truncated.receive_all().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    proxy.wait_for_metric(TRUNCATED, &[], |count| count == 1.0).await;
    proxy.wait_for_log("closed", &[("reason", "truncated")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_for_itself_whatever_the_way() {
    for way in Way::ALL {
        let backend = raw(|mut stream, _| async move {
            stream.write_all(b"first").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"second");
        });
        let path = Path::start(way, backend).await;
        let mut client = path.connect().await;
        let mut all = Vec::new();
        within("the end of one direction", client.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all, b"first", "{way:?}");
        client.write_all(b"second").await.unwrap();
        client.shutdown().await.unwrap();
        path.near.wait_for_log("closed", &[("reason", "done")]).await;

        let (backend, mut told) = hearer();
        let path = Path::start(way, backend).await;
        let mut client = path.connect().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = Vec::new();
        within("the answer", client.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all, b"goodbye", "{way:?}");
        assert_eq!(within("an end", told.recv()).await.unwrap(), (8, Ok(())), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_tunnel_is_closed_whatever_the_way() {
    let [a, b, c, d] = Way::ALL.map(an_idle_tunnel_is_closed);
    tokio::join!(a, b, c, d);
}

async fn an_idle_tunnel_is_closed(way: Way) {
    let path = Path::start_with(way, portunus_tests::echo(), |builder| {
        // So long that neither the handshake nor the client's word come too late for it.
        builder.set("limits.tunnel_idle_timeout", "\"4s\"")
    });
    let path = path.await;
    let mut client = path.connect().await;
    client.write_all(b"hello").await.unwrap();
    let mut all = Vec::new();
    let end = within("the end", client.read_to_end(&mut all)).await;
    // Nobody but its endpoint can say `close_notify` in TLS that passes through.
    assert_eq!(end.is_ok(), way != Way::PassedThrough, "{way:?}: {end:?}");
    assert_eq!(all, b"hello", "{way:?}");
    path.near.wait_for_log("closed", &[("reason", "idle")]).await;
    if let Some(far) = path.far.filter(|_| way != Way::PassedThrough) {
        far.wait_for_metric(ACTIVE, &[], |count| count == 0.0).await;
        assert_eq!(far.metric(TRUNCATED, &[("listener", "tls")]).await, 0.0, "{way:?}");
    }
}
