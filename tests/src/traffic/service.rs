//! What stands behind the proxy: pages with a WebSocket among them, and a place for bytes. Both can
//! be begun anew as services are in a roll-out: what is begun is finished, what is new is refused
//! until the next one listens.
//!
//! Owns the addresses for as long as it lives. Refuses to remember requests: traffic has no end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes as Content, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::bulk::first_difference;
use super::socket::{ACCEPT, CLOSE};
use crate::backend::http::filler;
use crate::reserved::own_address;
use crate::wait::eventually;

/// Pages: `/bytes/N` so many bytes, `/echo` the request's own, `/socket` a WebSocket that echoes.
#[derive(Debug)]
pub struct Pages(Service);

/// A place for bytes: the first one says whether they come back or are only compared.
#[derive(Debug)]
pub struct Bytes(Service);

#[derive(Debug)]
struct Service {
    address: SocketAddr,
    kind: Kind,
    /// Tells the one that runs to finish; `None` between two of them.
    running: Mutex<Option<watch::Sender<bool>>>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bytes,
    Pages,
}

/// Pages, served.
pub async fn pages() -> Pages {
    Pages(Service::begin(Kind::Pages).await)
}

/// A place for bytes.
pub async fn bytes() -> Bytes {
    Bytes(Service::begin(Kind::Bytes).await)
}

macro_rules! service {
    ($name:ident) => {
        impl $name {
            /// Its address, as the configuration names it.
            pub fn endpoint(&self) -> String {
                self.0.address.to_string()
            }

            /// Listens no more, and finishes what it has begun.
            pub fn leave(&self) {
                self.0.leave();
            }

            /// Listens again, where it did.
            pub async fn come_back(&self) {
                self.0.come_back().await;
            }
        }
    };
}

service!(Pages);
service!(Bytes);

impl Service {
    async fn begin(kind: Kind) -> Self {
        let listener = TcpListener::bind(own_address()).await.expect("it is its own");
        let address = listener.local_addr().expect("it is bound");
        Self { address, kind, running: Mutex::new(Some(run(listener, kind))) }
    }

    fn leave(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        running.expect("it runs").send_replace(true);
    }

    async fn come_back(&self) {
        let listener = eventually("the address of before", async || {
            TcpListener::bind(self.address).await.ok()
        });
        let running = run(listener.await, self.kind);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }
}

fn run(listener: TcpListener, kind: Kind) -> watch::Sender<bool> {
    let (leave, mut leaving) = watch::channel(false);
    let told = leave.subscribe();
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = leaving.wait_for(|leaving| *leaving) => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            // Without this every small write would wait for the one before it.
            let _ = stream.set_nodelay(true);
            match kind {
                Kind::Bytes => drop(tokio::spawn(take(stream))),
                Kind::Pages => drop(tokio::spawn(serve(stream, told.clone()))),
            }
        }
    });
    leave
}

/// Serves pages until the connection ends. Once it is told to leave, every answer is the last one
/// of its connection and says so; a connection on which nothing is asked just stays, since to end
/// it would cut off whoever is asking at that moment.
async fn serve(stream: TcpStream, leaving: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let leaving = leaving.clone();
        async move {
            let mut answer = answer(request).await;
            if *leaving.borrow() && answer.status() == 200 {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A proxy that breaks off is noticed by the client.
    let _ = connection.with_upgrades().await;
}

async fn answer(mut request: Request<Incoming>) -> Response<Full<Content>> {
    let path = request.uri().path().to_owned();
    let mut segments = path.split('/').skip(1);
    let whole = |bytes: Content| Response::new(Full::new(bytes));
    match segments.next() {
        Some("bytes") => {
            let size = segments.next().and_then(|size| size.parse().ok()).unwrap_or(0);
            whole(filler(size))
        }
        Some("socket") => {
            tokio::spawn(talk(hyper::upgrade::on(&mut request)));
            let answer = Response::builder()
                .status(101)
                .header(CONNECTION, "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-accept", ACCEPT);
            answer.body(Full::default()).expect("an answer is one")
        }
        _ => match request.into_body().collect().await {
            Ok(body) => whole(body.to_bytes()),
            Err(_) => Response::builder().status(400).body(Full::default()).expect("it is one"),
        },
    }
}

async fn talk(upgrade: OnUpgrade) {
    if let Ok(upgraded) = upgrade.await {
        let _ = frames(TokioIo::new(upgraded)).await;
    }
}

/// Sends every frame back, without its mask, up to the farewell (RFC 6455 §5.2).
async fn frames(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    loop {
        let mut head = [0; 2];
        socket.read_exact(&mut head).await?;
        let mut answer = vec![head[0], head[1] & 0x7f];
        let length = match head[1] & 0x7f {
            126 => {
                let mut length = [0; 2];
                socket.read_exact(&mut length).await?;
                answer.extend(length);
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut mask = [0; 4];
        socket.read_exact(&mut mask).await?;
        let mut content = vec![0; length];
        socket.read_exact(&mut content).await?;
        answer.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        socket.write_all(&answer).await?;
        if head[0] & 0x0f == CLOSE {
            return socket.shutdown().await;
        }
    }
}

/// Gives bytes back, or compares them and says how many were as they have to be.
async fn take(mut stream: TcpStream) -> std::io::Result<()> {
    if stream.read_u8().await? == b'E' {
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await?;
        return to.shutdown().await;
    }
    let length = usize::try_from(stream.read_u64().await?).unwrap_or(0);
    let (mut taken, mut wrong) = (0, None);
    let mut piece = vec![0; 64 << 10];
    while taken < length {
        let room = piece.len().min(length - taken);
        let count = stream.read(&mut piece[..room]).await?;
        if count == 0 {
            return Ok(());
        }
        wrong = wrong.or_else(|| first_difference(taken, &piece[..count]));
        taken += count;
    }
    stream.write_u64(wrong.unwrap_or(taken) as u64).await?;
    let _ = stream.read(&mut piece).await?;
    stream.shutdown().await
}
