//! The stores of sessions that are open, by where they lie.
//!
//! Owns [`Engines`]. What a generation has opened lives as long as its last connection, and a file
//! that is mapped into memory is not mapped a second time: whoever asks for the same place again,
//! however many generations later, gets what is open. Refuses to know how a store is opened.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use portunus_certs::session::engine::Engine;

use crate::config::SharedEngine;

/// What is open, for as long as somebody uses it.
#[derive(Debug, Default)]
pub(super) struct Engines(Mutex<Vec<(SharedEngine, Weak<dyn Engine>)>>);

impl Engines {
    /// The engine that lies where `config` says; if none is open there, the one of `open`.
    pub(super) fn of<E>(
        &self,
        config: &SharedEngine,
        open: impl FnOnce() -> Result<Arc<dyn Engine>, E>,
    ) -> Result<Arc<dyn Engine>, E> {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|(_, engine)| engine.strong_count() > 0);
        let mut places = engines.iter().filter(|(place, _)| place.is_in_one_place_with(config));
        if let Some(engine) = places.find_map(|(_, engine)| engine.upgrade()) {
            return Ok(engine);
        }
        let engine = open()?;
        engines.push((config.clone(), Arc::downgrade(&engine)));
        Ok(engine)
    }
}
