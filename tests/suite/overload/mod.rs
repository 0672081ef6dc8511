//! Too much of something: clients, panics, handshakes, memory. What is hit says so, the rest goes
//! on, and it passes by itself.
//!
//! `panics` is about bugs of our own, `rates` about sources that cost too much, `crowd` about
//! clients that are in the way, `descriptors` about a minute without any, `memory` about the end of
//! it. `lifecycle::scarcity` and `handshake::limits` have the caps themselves.

mod crowd;
mod descriptors;
mod hashing;
mod memory;
mod panics;
mod rates;

use std::time::Duration;

use tokio::time::Instant;

/// The host that all of them serve.
const NAME: &str = "app.example";

/// A number of seconds that the environment may raise, for the full length of what the suite does
/// for a short while.
fn seconds(variable: &str, otherwise: u64) -> Duration {
    let wanted = std::env::var(variable).ok().and_then(|value| value.parse().ok());
    Duration::from_secs(wanted.unwrap_or(otherwise))
}

/// How long `work` takes.
async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let done = work.await;
    (start.elapsed(), done)
}

/// The duration that `share` of `times` do not exceed.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let place = (times.len() as f64 * share).ceil() as usize;
    times[place.clamp(1, times.len()) - 1]
}
