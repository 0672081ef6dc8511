//! Spans are sent, one batch after the other.
//!
//! Owns the rhythm: a batch is what has gathered within a second, or enough of it; one that the
//! collector does not take is sent again, more and more slowly, for a bounded time, while further
//! spans gather behind it or are left out. What becomes of each span is counted, and a collector
//! that fails is told of once, until it takes something again. Refuses to know how anything is
//! posted. Read next: `collector`, then `trace::otlp`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::collector::{Collector, PostError};
use crate::backend::random;
use crate::drain::DrainWatch;
use crate::log::Chain;
use crate::metrics::{Counters, SpanResult};
use crate::net::host_name;
use crate::trace::otlp::{self, Resource, Verdict};
use crate::trace::{Batch, Queue};

/// Whoever sends.
pub(super) struct Export {
    pub(super) service: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) collector: Collector,
    pub(super) queue: Arc<Queue>,
    /// Spans, by what became of them.
    pub(super) exported: Counters<SpanResult>,
    pub(super) is_failing: bool,
}

/// Why a batch is not there.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Post(PostError),
    #[error("the collector says {0}")]
    Status(StatusCode),
}

impl Export {
    /// Sends until the end is near, and then what is left.
    pub(super) async fn run(mut self, mut watch: DrainWatch) {
        let resource = (host_name(), format!("{:016x}", random()));
        loop {
            tokio::select! {
                biased;
                () = watch.finish() => break,
                () = gather(&self.queue) => {}
            }
            let batch = self.queue.take();
            self.send(batch, &resource, &mut watch).await;
        }
        let batch = self.queue.take();
        self.send(batch, &resource, &mut watch).await;
    }

    /// Sends `batch`, several times if need be.
    async fn send(&mut self, batch: Batch, resource: &(String, String), watch: &mut DrainWatch) {
        if batch.spans == 0 {
            return;
        }
        let message = otlp::request(
            &Resource {
                service: &self.service,
                version: env!("CARGO_PKG_VERSION"),
                host: &resource.0,
                instance: &resource.1,
            },
            &batch,
        );
        let spans = batch.spans;
        drop(batch);
        let message = Bytes::from(message);
        let patience = Instant::now() + PATIENCE.max(self.timeout);
        let mut pause = PAUSE_MIN;
        loop {
            let (error, wish) = match self.attempt(&message).await {
                Ok(rejected) => {
                    let rejected = rejected.min(spans);
                    self.count(SpanResult::Taken, spans - rejected);
                    self.count(SpanResult::Rejected, rejected);
                    return self.recover();
                }
                Err((error, wish)) => (error, wish),
            };
            self.complain(&error);
            let Some(wish) = wish else { return self.count(SpanResult::Refused, spans) };
            // Nobody comes back at the same moment as all others.
            let pause_now = wish.unwrap_or(pause.mul_f64(1.0 + random() as f64 / u64::MAX as f64));
            pause = (pause * 2).min(PAUSE_MAX);
            let is_over = Instant::now() + pause_now > patience;
            // What comes meanwhile gathers, if the collector wants to be left alone.
            let is_left = !is_over || wish.is_some();
            let is_ending = tokio::select! {
                () = sleep(pause_now), if is_left => false,
                () = watch.finish(), if is_left => true,
                else => false,
            };
            if is_over || is_ending {
                return self.count(SpanResult::Failed, spans);
            }
        }
    }

    /// How many spans were not wanted; or why it failed, and when to try again if that may help.
    async fn attempt(
        &mut self,
        message: &Bytes,
    ) -> Result<u64, (ExportError, Option<Option<Duration>>)> {
        let posted = self.collector.post(message).await;
        let answer = posted.map_err(|error| (ExportError::Post(error), Some(None)))?;
        let failed = ExportError::Status(answer.status());
        match otlp::verdict(answer.status(), answer.headers(), answer.body()) {
            Verdict::Taken { rejected } => Ok(rejected),
            Verdict::Later(when) => Err((failed, Some(when))),
            Verdict::Refused => Err((failed, None)),
        }
    }

    fn count(&self, result: SpanResult, spans: u64) {
        self.exported.of(result).inc_by(spans);
    }

    fn complain(&mut self, error: &ExportError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(error = %Chain(error), "spans cannot be sent; requests do not wait for them");
        }
    }

    fn recover(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            info!("spans are sent again");
        }
    }
}

/// Waits for spans, and then for a while for more of them.
async fn gather(queue: &Queue) {
    queue.changed().await;
    let _ = timeout(GATHER, async {
        while !queue.has_enough() {
            queue.changed().await;
        }
    })
    .await;
}

/// How long spans gather.
const GATHER: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a batch is sent again, and holds up those behind it.
const PATIENCE: Duration = Duration::from_secs(30);
