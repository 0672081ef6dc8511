//! A service that keeps count of who asked, and that can be ended and begun again where it was.
//!
//! Owns its address for as long as it lives, and the counts. Every request names itself in
//! `x-id` and is answered by that name. Refuses to know which requests there were to be.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::asker::Version;
use crate::reserved::own_address;
use crate::wait::eventually;

/// The service.
#[derive(Debug)]
pub struct Ledger {
    address: SocketAddr,
    version: Version,
    counts: Counts,
    running: Mutex<AbortHandle>,
}

type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// A service that runs and speaks this version.
pub async fn ledger(version: Version) -> Ledger {
    let listener = TcpListener::bind(own_address()).await.expect("it is its own");
    let address = listener.local_addr().expect("it is bound");
    let counts = Counts::default();
    let running = Mutex::new(run(listener, version, &counts));
    Ledger { address, version, counts, running }
}

impl Ledger {
    /// Its address, as the configuration names it.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Ends it, with every connection, in the middle of whatever they do.
    pub fn kill(&self) {
        self.running().abort();
    }

    /// Begins it again, where it was.
    pub async fn revive(&self) {
        let listener = eventually("the address of before", async || {
            TcpListener::bind(self.address).await.ok()
        });
        *self.running() = run(listener.await, self.version, &self.counts);
    }

    /// How often the request with this name came.
    pub fn count(&self, id: &str) -> usize {
        lock(&self.counts).get(id).copied().unwrap_or(0)
    }

    fn running(&self) -> MutexGuard<'_, AbortHandle> {
        lock(&self.running)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(listener: TcpListener, version: Version, counts: &Counts) -> AbortHandle {
    let counts = Arc::clone(counts);
    let accepting = async move {
        // Dropped with this task, and they with it.
        let mut connections = JoinSet::new();
        for number in 0_usize.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let _ = stream.set_nodelay(true);
            if number.is_multiple_of(2) {
                // Every other one ends by a reset.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            connections.spawn(serve(stream, version, Arc::clone(&counts)));
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::spawn(accepting).abort_handle()
}

async fn serve(stream: TcpStream, version: Version, counts: Counts) {
    let service = service_fn(|request| answer(request, Arc::clone(&counts)));
    let io = TokioIo::new(stream);
    // A proxy that breaks off is nothing to complain about here.
    match version {
        Version::One => {
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(io, service).await;
        }
        Version::Two => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(io, service).await;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    counts: Counts,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request.headers().get("x-id").map(|id| Bytes::copy_from_slice(id.as_bytes()));
    let id = id.unwrap_or_default();
    let name = String::from_utf8_lossy(&id).into_owned();
    *lock(&counts).entry(name).or_default() += 1;
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(id)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
