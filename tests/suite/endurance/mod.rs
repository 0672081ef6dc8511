//! Changes without end under traffic without end: nothing is refused, reset, cut short or wrong,
//! sessions are taken up again, and the process is no larger afterwards.
//!
//! `witness` proves that the traffic notices what it has to.

mod witness;

use portunus_tests::traffic::{Bytes, Pages, bytes, pages, road_builder};

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
