//! Waiting without hoping: every wait has a deadline and says what it waited for.
//!
//! Owns the only interval of the harness. Refuses to know what is waited for.

use std::time::Duration;

/// How long anything may take that should take no time at all; generous, since the machine may be
/// busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(20);

/// Awaits `future`, and fails if that takes longer than [`PATIENCE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Probes again and again until there is something, and fails after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    })
    .await
}
