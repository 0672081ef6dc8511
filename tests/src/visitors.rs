//! Clients that come, are served and leave, one after the other, until they are told to stop.
//!
//! Owns what "nobody was refused" means for those who come anew while something changes. Refuses to
//! know what changes. What goes on at the same time on connections that last is in `traffic`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::client::Client;
use crate::wait::eventually;

impl Client {
    /// Connects to an echo, is served and leaves in good order.
    pub async fn visit(&self) {
        let mut tls = self.connect().await;
        tls.send(b"hello").await;
        tls.expect(b"hello").await;
        tls.close_notify().await;
        tls.receive_all().await.expect("the end of a connection in good order");
    }
}

/// Visits that are going on to an echo.
#[derive(Debug)]
pub struct Visitors {
    tasks: JoinSet<()>,
    are_enough: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

impl Visitors {
    /// Has so many come at a time as `client` does.
    #[must_use]
    pub fn start(count: usize, client: &Client) -> Self {
        let are_enough = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (client, are_enough, served) = (client.clone(), are_enough.clone(), served.clone());
            tasks.spawn(async move {
                while !are_enough.load(Ordering::Relaxed) {
                    client.visit().await;
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { tasks, are_enough, served }
    }

    /// Waits until so many more were served.
    pub async fn more(&self, count: usize) {
        let wanted = self.served.load(Ordering::Relaxed) + count;
        eventually("service of who comes then", async || {
            (self.served.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Lets the last ones leave, and says how many there were. Panics if anybody was refused, reset
    /// or kept waiting.
    pub async fn leave(self) -> usize {
        self.are_enough.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.served.load(Ordering::Relaxed)
    }
}
