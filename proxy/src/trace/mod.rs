//! Traces: which requests are told of as spans, and what backends hear of it.
//!
//! Owns [`Tracer`], the one place where it is decided whether a trace is recorded, and
//! [`Recording`], by which spans are written down when they are over: as bytes of OTLP, into a
//! bounded queue, and never at the cost of a request. While traces are off, none of this is
//! touched. `context` is what travels from one program to the next, `span` what a span says, `otlp`
//! how a collector is spoken to. Refuses to know requests, connections, and how anything reaches a
//! collector. Read next: `context`, then `span`.

mod context;
pub mod otlp;
mod proto;
mod queue;
mod span;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;

pub use self::context::Told;
pub use self::queue::{Batch, Queue};
pub use self::span::{Attributes, Kind, Span};

use self::context::{Context, Trail};
use self::proto::Writer;

/// Where spans go and which are recorded, the same for all clones. Cheap to clone; the default is
/// that there are none.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Arc<ArcSwapOption<Live>>);

/// What is recorded, and where it goes.
#[derive(Clone, Debug)]
pub struct Live {
    /// Of traces that begin here, the share that is recorded, from 0 to 1.
    pub share: f64,
    /// Whose traces are continued.
    pub parents: Parents,
    /// Random numbers, which need not be secret.
    pub chance: fn() -> u64,
    /// Where spans go.
    pub queue: Arc<Queue>,
}

/// Whose traces are continued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parents {
    /// Those of everybody.
    All,
    /// Nobody's: each trace begins here.
    None,
    /// Those of peers who are believed about clients as well.
    Trusted,
}

/// Whether the one who asks is believed about others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is not.
    Stranger,
    /// It is.
    Trusted,
}

/// What was decided about a request when it came.
#[derive(Debug, Default)]
pub struct Begun {
    /// What the backend is told; without it, what the request says passes as it is.
    pub told: Option<Told>,
    /// Where spans are written down, if the trace is recorded.
    pub recording: Option<Box<Recording>>,
}

impl Tracer {
    /// From now on it is as `live` says, for all clones; without it, traces are off.
    pub fn become_other(&self, live: Option<Live>) {
        self.0.store(live.map(Arc::new));
    }

    /// A request with `headers` has come from one of this `standing`.
    pub fn begin(&self, headers: &HeaderMap, standing: Standing) -> Begun {
        match &*self.0.load() {
            Some(live) => self.begin_with(live, headers, standing),
            None => Begun::default(),
        }
    }

    /// Something has come that no trace comes with.
    pub fn begin_alone(&self) -> Option<Box<Recording>> {
        let live = self.0.load();
        let live = live.as_ref()?;
        let context = Context::new(live.chance, live.share);
        context.is_recorded().then(|| self.recording(live, context, None))
    }

    fn begin_with(&self, live: &Live, headers: &HeaderMap, standing: Standing) -> Begun {
        let is_heard = match live.parents {
            Parents::All => true,
            Parents::None => false,
            Parents::Trusted => standing == Standing::Trusted,
        };
        let Some(parent) = Context::of(headers).filter(|_| is_heard) else {
            let context = Context::new(live.chance, live.share);
            if !context.is_recorded() {
                return Begun { told: Some(Told::first(context)), recording: None };
            }
            let recording = self.recording(live, context, None);
            let told = Told::first(recording.outgoing());
            return Begun { told: Some(told), recording: Some(recording) };
        };
        // Whoever decided against it has said so already, and goes on saying it.
        if !parent.is_recorded() {
            return Begun::default();
        }
        let trail = Trail { parent: parent.span(), state: context::state(headers) };
        let recording = self.recording(live, parent.child(live.chance), Some(trail));
        let told = Told::next(recording.outgoing());
        Begun { told: Some(told), recording: Some(recording) }
    }

    fn recording(&self, live: &Live, context: Context, trail: Option<Trail>) -> Box<Recording> {
        let call = context.child(live.chance);
        Box::new(Recording { tracer: self.clone(), context, call, trail })
    }
}

/// A trace that is recorded, as far as it is ours: what was asked of us, and what we ask for that.
#[derive(Debug)]
pub struct Recording {
    /// Where its spans go is what this says when they are over.
    tracer: Tracer,
    context: Context,
    call: Context,
    trail: Option<Trail>,
}

impl Recording {
    /// Writes `span` down. It is over.
    pub fn tell(&self, span: &Span<'_>, about: impl FnOnce(&mut Attributes<'_>)) {
        let Some(live) = &*self.tracer.0.load() else { return };
        BYTES.with_borrow_mut(|bytes| {
            bytes.clear();
            let mut writer = Writer::new(bytes);
            span::write(&mut writer, span, self, about);
            live.queue.push(bytes);
        });
    }

    /// What the backend is told of.
    fn outgoing(&self) -> Context {
        self.call
    }
}

thread_local! {
    /// Where a worker puts a span together.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
