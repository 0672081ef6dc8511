//! A side that fell silent, as one does whose machine lost its power: it is noticed, and what it
//! held is free again.
//!
//! A filter on the socket of that side drops whatever comes, before its kernel acknowledges it.

use portunus_tests::wait::within;
use portunus_tests::{Builder, echo, raw};
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{NAME, Path, Way};

/// What the silence is noticed by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    /// Probes, while there is nothing to say (RFC 9293 §3.8.4).
    Keepalive,
    /// What was sent and not acknowledged (RFC 9293 §3.9.1, user timeout).
    UserTimeout,
}

impl By {
    const BOTH: [Self; 2] = [Self::Keepalive, Self::UserTimeout];

    fn limits(self, builder: Builder) -> Builder {
        let idle = match self {
            Self::Keepalive => "\"1s\"",
            Self::UserTimeout => "\"3600s\"",
        };
        builder
            .set("limits.tcp_keepalive_idle", idle)
            .set("limits.tcp_keepalive_interval", "\"1s\"")
            .set("limits.tcp_user_timeout", "\"1s\"")
    }
}

/// Has the kernel drop whatever comes for `socket`.
fn deafen(socket: &TcpStream) {
    let drop_all = SockFilter::new(RETURN_CONSTANT, 0, 0, 0);
    SockRef::from(socket).attach_filter(&[drop_all]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_fell_silent_is_given_up() {
    for by in By::BOTH {
        let path = Path::start_with(Way::Begun, echo(), |builder| by.limits(builder)).await;
        let mut client = path.near.client(NAME).tcp().await;
        client.write_all(b"hello").await.unwrap();
        within("an echo", client.read_exact(&mut [0; 5])).await.unwrap();
        deafen(&client);
        if by == By::UserTimeout {
            // It can be heard, but not be told.
            client.write_all(b"is anybody there?").await.unwrap();
        }
        path.near.wait_for_log("closed", &[("reason", "timeout")]).await;
        path.near.wait_for_metric("portunus_connections_active", &[], |n| n == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fell_silent_is_given_up() {
    for by in By::BOTH {
        let backend = raw(|mut stream, _| async move {
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(&hello).await.unwrap();
            deafen(&stream);
            stream.write_all(b"!").await.unwrap();
            std::future::pending::<()>().await;
        });
        let path = Path::start_with(Way::Terminated, backend, |builder| by.limits(builder)).await;
        let mut client = path.connect().await;
        client.write_all(b"hello").await.unwrap();
        within("an echo", client.read_exact(&mut [0; 6])).await.unwrap();
        if by == By::UserTimeout {
            client.write_all(b"is anybody there?").await.unwrap();
        }
        let end = within("an end", client.read(&mut [0; 8])).await.unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset, "{by:?}");
        path.near.wait_for_log("closed", &[("reason", "backend_error")]).await;
        let active = "portunus_backend_connections_active";
        path.near.wait_for_metric(active, &[], |count| count == 0.0).await;
    }
}

/// `BPF_RET | BPF_K`, of which 0 is to keep nothing.
const RETURN_CONSTANT: u16 = 6;
