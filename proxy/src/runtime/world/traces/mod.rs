//! Where spans go, and how that becomes somewhere else while requests come.
//!
//! Owns [`Traces`]: the tracer that all generations share, and the one task that sends. Whoever
//! sent to the collector of before sends what is left and ends; so does the last one, when all
//! requests are over. Refuses to know what a span says. Read next: `export`.

mod collector;
mod export;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backend::{Backend, Resolver, random};
use crate::config::{self, TraceParents};
use crate::drain::{Drain, DrainWatch};
use crate::metrics::ProcessMetrics;
use crate::trace::{Live, Parents, Queue, Tracer};

use super::super::generation::Generation;
use collector::Collector;
use export::Export;

/// Where spans go.
pub(in crate::runtime) struct Traces {
    tracer: Tracer,
    process: ProcessMetrics,
    /// Ends whoever sends; apart, so that the end never waits for a reload that goes on.
    sending: Mutex<Option<Drain>>,
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

    /// From now on it is as `now` says, unless that is as before. What waits for the collector of
    /// before is sent there, in a task of `watch`.
    pub(super) fn serve(
        &self,
        before: &Generation,
        now: &Generation,
        resolver: &Arc<Resolver>,
        watch: &DrainWatch,
    ) {
        let collectors = (&before.collector, &now.collector);
        match collectors {
            (None, None) => return,
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => return,
            _ => {}
        }
        let asked = now.config.traces.as_ref().zip(now.collector.as_ref());
        let (live, drain) = asked.map(|(traces, to)| self.begin(traces, to, resolver)).unzip();
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

    fn begin(
        &self,
        config: &config::Traces,
        backend: &Arc<Backend>,
        resolver: &Arc<Resolver>,
    ) -> (Live, Drain) {
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
        let (backend, kept) = (Arc::clone(backend), Arc::clone(backend));
        let maintained = kept.maintain_while(Arc::clone(resolver), watch.clone(), watch.clone());
        watch.spawn(maintained);
        let resolver = Arc::clone(resolver);
        let export = Export {
            service: Arc::clone(&config.service),
            timeout: config.timeout,
            collector: Collector::new(config.clone(), Arc::clone(&backend)),
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
