//! The one connection that there is, or the one attempt at it.
//!
//! Owns when a connection is made and when it is given up. The first caller starts the attempt, and
//! everybody who comes meanwhile waits for the same one and shares its failure. An attempt goes on
//! when its callers are gone, since they wait for milliseconds and it may need more; its own limit
//! is a fraction of a second, and it ends with the link. Paces nothing: whoever calls too often
//! has a breaker.
//!
//! There is one and not several: a second one takes a fifth off the cost of a look-up through a
//! socket and nothing over TCP, and doubles what a store behind many machines has to hold.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::dial::{Connection, Dialer};
use super::failure::Failure;
use crate::session::engine::ErrorKind;

/// A connection while there is one.
#[derive(Debug)]
pub(super) struct Link {
    dialer: Arc<Dialer>,
    live: Arc<ArcSwapOption<Connection>>,
    attempt: Mutex<Option<Attempt>>,
}

/// What became of an attempt, for everybody who waits.
type Outcome = Option<Result<Arc<Connection>, Failure>>;

#[derive(Debug)]
struct Attempt {
    outcome: watch::Receiver<Outcome>,
    task: AbortHandle,
}

impl Link {
    pub(super) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, live: Arc::default(), attempt: Mutex::default() }
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The connection, made if there is none.
    pub(super) async fn get(&self) -> Result<Arc<Connection>, Failure> {
        match self.usable() {
            Some(connection) => Ok(connection),
            None => self.wait().await,
        }
    }

    /// Gives this connection up; the next call makes another one.
    pub(super) fn give_up(&self, connection: &Arc<Connection>) {
        self.live.compare_and_swap(Arc::as_ptr(connection), None);
    }

    fn usable(&self) -> Option<Arc<Connection>> {
        self.live.load_full().filter(|connection| !connection.is_closed())
    }

    async fn wait(&self) -> Result<Arc<Connection>, Failure> {
        let mut outcome = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(connection) = self.usable() {
                return Ok(connection);
            }
            // One that has ended is not what this caller asks for.
            match attempt.as_ref().filter(|attempt| attempt.outcome.borrow().is_none()) {
                Some(attempt) if !attempt.task.is_finished() => attempt.outcome.clone(),
                Some(_) | None => attempt.insert(self.start()).outcome.clone(),
            }
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(cut_short())),
            Err(_) => Err(cut_short()),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it lasts for the fraction of a second that `Dialer::limit` says, and ends with us"
    )]
    fn start(&self) -> Attempt {
        let (sender, outcome) = watch::channel(None);
        let (dialer, live) = (Arc::clone(&self.dialer), Arc::clone(&self.live));
        let task = tokio::spawn(async move {
            let dialed = dialer.dial().await.map(Arc::new);
            if let Ok(connection) = &dialed {
                live.store(Some(Arc::clone(connection)));
            }
            sender.send_replace(Some(dialed));
        });
        Attempt { outcome, task: task.abort_handle() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let attempt = self.attempt.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = attempt {
            attempt.task.abort();
        }
    }
}

fn cut_short() -> Failure {
    Failure::new(ErrorKind::Unreachable, "the attempt to connect was cut short")
}
