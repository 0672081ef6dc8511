//! Changes without end under traffic without end: nothing is refused, reset, cut short or wrong,
//! sessions are taken up again, and the process is no larger afterwards.
//!
//! `witness` proves that the traffic notices what it has to; `reloads`, `upgrades` and `soak` are
//! the changes. Each is short here and long by a variable, which its file names.

mod reloads;
mod soak;
mod upgrades;
mod witness;

use portunus_tests::Proxy;
use portunus_tests::traffic::{Bytes, Pages, Road, Traffic, bytes, pages, road_builder};
use portunus_tests::wait::eventually;

const NAME: &str = "app.example";

/// What stands behind a proxy under traffic.
struct Services {
    pages: Pages,
    bytes: Bytes,
}

impl Services {
    async fn begin() -> Self {
        Self { pages: pages().await, bytes: bytes().await }
    }

    /// A proxy before them.
    fn builder(&self) -> portunus_tests::Builder {
        let (pages, bytes) = (self.pages.endpoint(), self.bytes.endpoint());
        road_builder(NAME, &[&pages], &[&bytes])
    }
}

/// What a process has taken of the machine, by its own count, but for the sessions that it keeps:
/// of these there is one for each newcomer, for an hour.
#[derive(Clone, Copy, Debug)]
struct Size {
    memory: f64,
    files: f64,
}

impl Size {
    async fn of(proxy: &Proxy) -> Self {
        let memory = proxy.metric("process_resident_memory_bytes", &[]).await;
        let files = proxy.metric("process_open_fds", &[]).await;
        let sessions = proxy.metric("portunus_session_bytes", &[]).await;
        Self { memory: memory - sessions, files }
    }

    /// When traffic has come and gone, so that everything has its room.
    async fn after_traffic(proxy: &Proxy) -> Self {
        let traffic = Traffic::of_all(Road::to(proxy, NAME));
        for _ in 0..3 {
            traffic.round().await;
        }
        traffic.end().await.expect_flawless();
        proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
        Self::of(proxy).await
    }

    /// Whether it is larger than `before` by no more than chance: a few connections that are kept
    /// to services, and what an allocator keeps.
    fn is_no_more_than(self, before: Self) -> bool {
        let most = before.memory * 1.25 + 8.0 * 1024.0 * 1024.0;
        self.files <= before.files + 8.0 && self.memory <= most
    }

    /// Waits until a process whose traffic has gone is no larger than that.
    async fn comes_back(proxy: &Proxy, before: Self) {
        let what = format!("a process of {before:?} again, instead of {:?}", Self::of(proxy).await);
        eventually(&what, async || Self::of(proxy).await.is_no_more_than(before).then_some(()))
            .await;
    }
}

/// A number from the environment, for who has more time than the suite.
fn often(variable: &str, otherwise: usize) -> usize {
    let told = std::env::var(variable).ok();
    told.map_or(otherwise, |text| text.parse().expect("the variable is a number"))
}
