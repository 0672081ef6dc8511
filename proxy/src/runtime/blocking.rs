//! Work on files, which a file system that is gone makes wait, perhaps for ever.
//!
//! Owns the bound on that: whoever asked is told that it takes too long, and what hangs is left to
//! itself on a thread of its own, of which there are few. Refuses to know what the work is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

/// Where such work is done.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    places: Arc<Semaphore>,
}

impl Desk {
    /// One at which nothing hangs yet.
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// What `work` comes to. Who gives up waiting for it leaves it to itself.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DeskError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| DeskError::Full)?;
        let work = spawn_blocking(move || {
            let _place = place;
            work()
        });
        Ok(timeout(wait_max(), work).await.map_err(|_| DeskError::Late)??)
    }
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    /// Too much hangs already.
    #[error(
        "files that were to be read before still cannot be: look for a file system that hangs, \
         and end the process if it does not come back"
    )]
    Full,
    /// It takes too long.
    #[error(
        "the files cannot be read within {} s: look for a file system that hangs",
        wait_max().as_secs()
    )]
    Late,
    /// The work is faulty.
    #[error(transparent)]
    Panicked(#[from] JoinError),
}

/// How long anybody waits; shorter where a test asks for it.
fn wait_max() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(asked) = std::env::var("PORTUNUS_FILES_WAIT_MS").ok().and_then(|it| it.parse().ok())
    {
        return Duration::from_millis(asked);
    }
    WAIT_MAX
}

/// How long anybody waits: longer than a hundred thousand certificates take.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Threads that may hang at once.
const PLACES: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_left_to_itself_and_takes_few_threads() {
        let desk = Desk::new();
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        for _ in 0..PLACES {
            let ended = Arc::clone(&ended);
            let hang = desk.run(move || ended.lock().unwrap().recv().is_err());
            // While somebody works, the clock of a test stands still.
            let (late, ()) = tokio::join!(hang, tokio::time::advance(WAIT_MAX));
            assert!(matches!(late, Err(DeskError::Late)));
        }
        assert!(matches!(desk.run(|| ()).await, Err(DeskError::Full)));
        drop(end);
        while desk.places.available_permits() < PLACES {
            tokio::task::yield_now().await;
        }
        assert_eq!(desk.run(|| 7).await.unwrap(), 7);
        let panics = desk.run(|| panic!("at work"));
        assert!(matches!(panics.await, Err::<(), _>(DeskError::Panicked(_))));
    }
}
