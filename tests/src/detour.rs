//! A way to a service that can be made slow, and cut.
//!
//! Owns a port and the two directions of every connection through it. What goes through is held
//! back, not thinned: each piece comes as long after it was sent as the detour takes at that time.
//! Refuses to know what is said.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A way to a service, which lives in the runtime of its test.
#[derive(Debug)]
pub struct Detour {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

/// What the way is like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct State {
    delay: Duration,
    /// How often every connection was cut.
    cuts: usize,
}

impl Detour {
    /// A way to `service` that takes no time.
    pub async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(watch::channel(State::default()).0);
        let news = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, service, news.subscribe()));
            }
        });
        Self { address, state }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has everything take this long from now on, in each direction.
    pub fn takes(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Cuts every connection that there is.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

async fn pass(near: TcpStream, service: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(far) = TcpStream::connect(service).await else { return };
    // Without this every small piece would wait for the one before it.
    let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    let cuts = state.borrow().cuts;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = carry(near_read, far_write, state.clone()) => {}
        () = carry(far_read, near_write, state.clone()) => {}
        // An error means that the detour is gone.
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

/// Carries what comes from one side to the other, until one of them ends.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: watch::Receiver<State>) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let taking = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + state.borrow().delay;
            if sender.send((due, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let giving = async {
        while let Some((due, piece)) = pieces.recv().await {
            // A delay is what this is for, not a wait for something.
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(taking, giving);
}

/// Pieces on their way in one direction.
const PIECES_MAX: usize = 1_024;
