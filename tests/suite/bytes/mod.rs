//! Bytes in every way there is: TLS that ends here, that passes through, that begins here, and
//! that does both.
//!
//! Owns the [`Way`]s, so that what is promised of one is asked of all. `passing` is about names
//! whose TLS ends elsewhere, `ends` about how each side learns of the other's, `flow` about when
//! bytes travel, `volume` about many of them, `silence` about sides that say nothing any more,
//! `turnover` about many connections.

mod ends;
mod flow;
mod passing;
mod silence;
mod turnover;
mod volume;

use std::sync::Arc;

use portunus_tests::wait::within;
use portunus_tests::{Backend, Builder, Proxy, authority, tls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const NAME: &str = "app.example";

/// How bytes get from a client to a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// The client comes without TLS, which begins here and ends at a second proxy.
    Begun,
    /// The client's TLS ends at a second proxy.
    PassedThrough,
    /// The client's TLS ends here, and another one at a second proxy.
    Reencrypted,
    /// The client's TLS ends here.
    Terminated,
}

impl Way {
    const ALL: [Self; 4] = [Self::Begun, Self::PassedThrough, Self::Reencrypted, Self::Terminated];
}

/// A way with everything on it.
struct Path {
    way: Way,
    /// The one that the client speaks to.
    near: Proxy,
    /// The one behind it, if there is one.
    far: Option<Proxy>,
}

/// What a client or a backend has in its hand.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Path {
    /// The way to `backend`.
    async fn start(way: Way, backend: Backend) -> Self {
        Self::start_with(way, backend, |builder| builder).await
    }

    /// The same; `tweak` is done to the proxy that the client speaks to.
    async fn start_with(
        way: Way,
        backend: Backend,
        tweak: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        if way == Way::Terminated {
            let near = tweak(Proxy::builder().listener(tls(NAME)).backend(backend)).start().await;
            return Self { way, near, far: None };
        }
        let far = Proxy::builder().listener(tls(NAME)).backend(backend).start().await;
        let listener = match way {
            Way::PassedThrough => tls("here.example").site_with(NAME, "app", "passthrough = true"),
            Way::Begun => tls(NAME).without_sites().with("clear", "true"),
            Way::Reencrypted | Way::Terminated => tls(NAME),
        };
        let mut near = Proxy::builder()
            .listener(listener)
            .endpoints("app", &[&far.first_address().to_string()]);
        if way != Way::PassedThrough {
            near = near
                .set("backend.app.tls.ca", &format!("{:?}", far.ca()))
                .set("backend.app.tls.server_name", &format!("{NAME:?}"));
        }
        Self { way, near: tweak(near).start().await, far: Some(far) }
    }

    /// A connection that is established as far as the client can know.
    async fn connect(&self) -> Box<dyn Wire> {
        self.connect_over(self.near.client(NAME).tcp().await).await
    }

    /// The same over a connection that was made.
    async fn connect_over(&self, tcp: TcpStream) -> Box<dyn Wire> {
        match self.way {
            // The client knows nothing of the TLS that begins here.
            Way::Begun => Box::new(tcp),
            Way::PassedThrough | Way::Reencrypted | Way::Terminated => Box::new(encrypt(tcp).await),
        }
    }
}

/// TLS over `tcp`, for [`NAME`].
async fn encrypt(tcp: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
    let config =
        ClientConfig::builder().with_root_certificates(authority().roots()).with_no_client_auth();
    let name = ServerName::try_from(NAME).unwrap();
    let connect = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    within("a handshake", connect).await.unwrap()
}
