//! A folder that cannot be opened yet, and is when it can be.
//!
//! Owns [`LaterEngine`]: until the folder is open it is a store that cannot be reached, which is
//! left alone and tried now and then like any other. So a process starts and serves while another
//! one that is stopped holds the folder, or its file system is full. Opening may wait, and does so
//! on a thread of its own, one at a time. Refuses to know why it did not work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::{LocalEngine, LocalOptions};
use crate::session::engine::{Answer, Engine, EngineError, ErrorKind, Record, Wanted};

/// A sessions folder that is opened by the first probe that can.
#[derive(Clone, Debug)]
pub struct LaterEngine(Arc<Opening>);

#[derive(Debug)]
struct Opening {
    options: LocalOptions,
    engine: OnceLock<LocalEngine>,
    is_opening: AtomicBool,
}

impl LaterEngine {
    /// An engine for a folder that could not be opened.
    #[must_use]
    pub fn new(options: LocalOptions) -> Self {
        let (engine, is_opening) = (OnceLock::new(), AtomicBool::new(false));
        Self(Arc::new(Opening { options, engine, is_opening }))
    }

    fn engine(&self) -> Result<&LocalEngine, EngineError> {
        self.0.engine.get().ok_or_else(|| ErrorKind::Unreachable.into())
    }

    /// Tries to open the folder, unless somebody does.
    fn open(&self) {
        if self.0.engine.get().is_some() || self.0.is_opening.swap(true, Ordering::Relaxed) {
            return;
        }
        let opening = Arc::clone(&self.0);
        let open = move || {
            if let Ok(engine) = LocalEngine::open(&opening.options) {
                // Nobody else opens, so it is empty.
                let _ = opening.engine.set(engine);
            }
            opening.is_opening.store(false, Ordering::Relaxed);
        };
        if thread::Builder::new().name("sessions-open".to_owned()).spawn(open).is_err() {
            self.0.is_opening.store(false, Ordering::Relaxed);
        }
    }
}

impl Engine for LaterEngine {
    fn fetch<'a>(&'a self, wanted: &'a [Wanted]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move { self.engine()?.fetch(wanted).await })
    }

    fn store<'a>(&'a self, records: &'a [Record]) -> Answer<'a, Vec<Result<(), EngineError>>> {
        Box::pin(async move { self.engine()?.store(records).await })
    }

    fn agree<'a>(&'a self, record: &'a Record) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { self.engine()?.agree(record).await })
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.open();
            self.engine()?.probe().await
        })
    }
}
