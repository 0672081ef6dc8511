//! What a backend does in the background, for as long as the process lives.
//!
//! Owns that all of it goes on at the same time, and ends together; and the sweeping of the pools.
//! Refuses to know what the rest of it is. Read next: `resolve`, `health`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Backend, Resolver};
use crate::drain::DrainWatch;

impl Backend {
    /// Keeps addresses fresh, the pool small, and an eye on health, until the process finishes.
    pub fn maintain(
        self: Arc<Self>,
        resolver: Arc<Resolver>,
        mut watch: DrainWatch,
    ) -> impl Future<Output = ()> {
        // A backend is maintained once.
        let _ = self.watch.set(watch.downgrade());
        async move {
            tokio::select! {
                () = watch.finish() => {}
                () = self.refresh(&resolver) => {}
                () = self.sweep() => {}
                () = self.watch_health() => {}
            }
        }
    }

    async fn sweep(&self) {
        let period = (self.means.limits.http.pool_idle_timeout / 4).max(PERIOD_MIN);
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.members.sweep(ticks.tick().await);
        }
    }
}

/// A period of zero would spin.
const PERIOD_MIN: Duration = Duration::from_millis(100);
