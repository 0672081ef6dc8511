//! Where spans go, and how that becomes somewhere else while requests come.
//!
//! Owns [`Traces`]: the tracer that all generations share, and the one task that sends. What is new
//! in a configuration is opened before anything is served, so that a bad file of authorities
//! refuses it. Whoever sent to the collector of before sends what is left and ends; so does the
//! last one, when all requests are over. Refuses to know what a span says. Read next: `export`.

mod collector;
mod export;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backend::{Backend, Resolver, random};
use crate::config::{self, Config, TraceParents};
use crate::drain::{Drain, DrainWatch};
use crate::metrics::{Metrics, ProcessMetrics};
use crate::trace::{Live, Parents, Queue, Tracer};

use super::super::RunError;
use collector::Collector;
use export::Export;

/// Where spans go.
pub(in crate::runtime) struct Traces {
    tracer: Tracer,
    process: ProcessMetrics,
    /// Ends whoever sends; apart, so that the end never waits for a reload that goes on.
    sending: Mutex<Option<Drain>>,
}

/// What a configuration asks for, ready to begin.
pub(super) struct Opened(Option<Sender>);

struct Sender {
    config: config::Traces,
    backend: Arc<Backend>,
}

/// Makes ready what `config` asks for. It reads files.
pub(super) fn open(config: &Config) -> Result<Opened, RunError> {
    let Some(traces) = &config.traces else { return Ok(Opened(None)) };
    // A collector is no backend of anybody's: what is counted of it is `portunus_traces_…`.
    let unseen = Metrics::new().map_err(RunError::Metrics)?.backend(&traces.collector.name);
    let backend = Backend::new(&traces.collector, Arc::clone(&config.limits), unseen);
    let name = &traces.collector.name;
    let backend = backend
        .map_err(|cause| RunError::Trust { backend: Arc::clone(name), cause: Box::new(cause) })?;
    Ok(Opened(Some(Sender { config: traces.clone(), backend })))
}

impl Traces {
    /// Nothing is traced yet.
    pub(super) fn new(process: ProcessMetrics) -> Self {
        Self { tracer: Tracer::default(), process, sending: Mutex::default() }
    }

    /// What decides which requests are traced.
    pub(in crate::runtime) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// From now on it is as `opened` says. What waits for the collector of before is sent there, in
    /// a task of `watch`.
    pub(super) fn serve(&self, opened: Opened, resolver: &Arc<Resolver>, watch: &DrainWatch) {
        let began = opened.0.map(|sender| self.begin(sender, resolver));
        let (live, drain) = began.unzip();
        self.tracer.become_other(live);
        if let Some(before) = self.exchange(drain) {
            watch.spawn(async move {
                before.drain(LAST_WORDS).await;
            });
        }
    }

    /// Sends what is left. To be called when all requests are over.
    pub(super) async fn close(&self) {
        if let Some(drain) = self.exchange(None) {
            drain.drain(LAST_WORDS).await;
        }
    }

    fn begin(&self, sender: Sender, resolver: &Arc<Resolver>) -> (Live, Drain) {
        let Sender { config, backend } = sender;
        let queue = Arc::new(Queue::new(self.process.traces_dropped.clone()));
        let live = Live {
            share: config.share,
            parents: match config.parents {
                TraceParents::Accept => Parents::All,
                TraceParents::Ignore => Parents::None,
                TraceParents::Trusted => Parents::Trusted,
            },
            chance: random,
            queue: Arc::clone(&queue),
        };
        // One of its own: it is not among those that the end of requests waits for.
        let (drain, watch) = Drain::new();
        let kept = Arc::clone(&backend);
        let maintained = kept.maintain_while(Arc::clone(resolver), watch.clone(), watch.clone());
        watch.spawn(maintained);
        let resolver = Arc::clone(resolver);
        let export = Export {
            service: Arc::clone(&config.service),
            timeout: config.timeout,
            collector: Collector::new(config, Arc::clone(&backend)),
            queue,
            exported: self.process.traces_exported.clone(),
            is_failing: false,
        };
        let ending = watch.clone();
        watch.spawn(async move {
            backend.resolve_now(&resolver).await;
            export.run(ending).await;
        });
        (live, drain)
    }

    fn exchange(&self, drain: Option<Drain>) -> Option<Drain> {
        std::mem::replace(&mut *self.sending.lock().unwrap_or_else(PoisonError::into_inner), drain)
    }
}

/// What a collector gets for the last spans.
const LAST_WORDS: Duration = Duration::from_secs(2);
