//! What stands behind the proxy: plaintext services that do as the test says and remember.
//!
//! Owns the sockets. A backend lives in the runtime of its test and ends with it. Refuses to know
//! HTTP, which is `http`'s, and TLS, which no backend has.

pub(crate) mod doomed;
pub(crate) mod http;
pub(crate) mod ledger;

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::reserved::Reserved;

/// A service.
#[derive(Clone, Debug)]
pub struct Backend {
    endpoint: String,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Its address, as the configuration names it.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Serves every connection by `serve`, which gets the number of the connection, counted from 0.
pub fn raw<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
) -> Backend {
    let listener = StdListener::bind("127.0.0.1:0").expect("there is a free port");
    let endpoint = listener.local_addr().expect("it is bound").to_string();
    listener.set_nonblocking(true).expect("the socket is open");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        let listener = TcpListener::from_std(listener).expect("there is a runtime");
        while let Ok((stream, _)) = listener.accept().await {
            // Without this every write of a test would wait for the one before it.
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream, counted.fetch_add(1, Ordering::SeqCst)));
        }
    });
    Backend { endpoint, connections }
}

/// Gives back what it gets, and ends its direction when the other has ended.
pub fn echo() -> Backend {
    raw(|mut stream, _| async move { give_back(&mut stream).await })
}

/// Says `greeting` before it has heard anything, and then is an echo.
pub fn greeter(greeting: &'static str) -> Backend {
    raw(move |mut stream, _| async move {
        if stream.write_all(greeting.as_bytes()).await.is_ok() {
            give_back(&mut stream).await;
        }
    })
}

/// Takes everything and never says anything.
pub fn silent() -> Backend {
    raw(|mut stream, _| async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(1..) = stream.read(&mut buffer).await {}
        // The end of one direction is not yet a reason to end the other.
        std::future::pending::<()>().await;
    })
}

/// An address at which nobody listens while the tests run: connections are refused.
pub fn unreachable() -> Backend {
    static RESERVED: Mutex<Vec<Reserved>> = Mutex::new(Vec::new());
    let reserved = Reserved::new();
    let endpoint = format!("127.0.0.1:{}", reserved.number());
    RESERVED.lock().expect("nobody panicked").push(reserved);
    Backend { endpoint, connections: Arc::default() }
}

async fn give_back(stream: &mut TcpStream) {
    let (mut from, mut to) = stream.split();
    // A client that broke off is a client that the test let break off.
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}
