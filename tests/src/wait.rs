//! Waiting without hoping: every wait has a deadline and says what it waited for.
//!
//! Owns the only interval of the harness, and the few tries of what a busy machine may spoil.
//! Refuses to know what is waited for.

use std::time::Duration;

/// How long anything may take that should take no time at all; generous, since the machine may be
/// busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(20);

/// Awaits `future`, and fails if that takes longer than [`PATIENCE`].
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    within_time(what, PATIENCE, future)
}

async fn within_time<F: Future>(what: &str, patience: Duration, future: F) -> F::Output {
    match tokio::time::timeout(patience, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {patience:?}"),
    }
}

/// Probes again and again until there is something, and fails after [`PATIENCE`].
pub fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    patiently(what, PATIENCE, probe)
}

/// The same for what has a clock of its own, which may take longer.
pub async fn patiently<T>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    within_time(what, patience, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    })
    .await
}

/// What succeeds once in a few tries: a busy machine may have no time for one while it counts.
/// Fails with what was wrong in each of them.
pub async fn best_of<T>(tries: usize, mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut failures = Vec::new();
    for _ in 0..tries {
        match attempt().await {
            Ok(success) => return success,
            Err(why) => failures.push(why),
        }
    }
    panic!("in no attempt: {failures:?}");
}
