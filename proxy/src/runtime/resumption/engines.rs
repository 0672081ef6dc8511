//! The stores of sessions that are open, by where they lie.
//!
//! Owns [`Engines`]. What a generation has opened lives as long as its last connection, and a file
//! that is mapped into memory is not mapped a second time: whoever asks for the same place again,
//! however many generations later, gets what is open. A store that hangs while it is opened holds
//! nobody up: not who asks for another place, nor who asks for the same. Refuses to know how it is
//! opened.

use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use portunus_certs::session::engine::Engine;

use crate::config::SharedEngine;

/// What is open, for as long as somebody uses it.
#[derive(Debug, Default)]
pub(super) struct Engines(Mutex<Vec<Place>>);

/// Where a store lies that is open, or being opened.
#[derive(Debug)]
struct Place {
    config: SharedEngine,
    /// Locked by whoever opens it, who has a copy of it.
    engine: Arc<Mutex<Option<Weak<dyn Engine>>>>,
}

impl Place {
    fn is_of_use(&self) -> bool {
        Arc::strong_count(&self.engine) > 1 || is_open(&self.engine)
    }
}

/// Somebody has been opening the store that lies there, and it has not come to anything.
#[derive(Debug)]
pub(super) struct StillOpening;

impl Engines {
    /// The engine that lies where `config` says; if none is open there, the one of `open`, which
    /// may block.
    pub(super) fn of<E: From<StillOpening>>(
        &self,
        config: &SharedEngine,
        open: impl FnOnce() -> Result<Arc<dyn Engine>, E>,
    ) -> Result<Arc<dyn Engine>, E> {
        let place = self.place(config);
        let mut engine = match place.try_lock() {
            Ok(engine) => engine,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(StillOpening.into()),
        };
        if let Some(engine) = engine.as_ref().and_then(Weak::upgrade) {
            return Ok(engine);
        }
        let opened = open()?;
        *engine = Some(Arc::downgrade(&opened));
        Ok(opened)
    }

    fn place(&self, config: &SharedEngine) -> Arc<Mutex<Option<Weak<dyn Engine>>>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(Place::is_of_use);
        let known = places.iter().find(|place| place.config.is_in_one_place_with(config));
        if let Some(known) = known {
            return Arc::clone(&known.engine);
        }
        let engine = Arc::default();
        places.push(Place { config: config.clone(), engine: Arc::clone(&engine) });
        engine
    }
}

/// Never waits, since nobody else has it.
fn is_open(engine: &Mutex<Option<Weak<dyn Engine>>>) -> bool {
    let engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
    engine.as_ref().is_some_and(|engine| engine.strong_count() > 0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc;
    use std::thread;

    use super::super::{ResumptionError, open_engine};
    use super::*;

    fn local(path: PathBuf) -> SharedEngine {
        SharedEngine::Local { path, bytes_max: 1 << 20 }
    }

    fn of(engines: &Engines, config: &SharedEngine) -> Result<Arc<dyn Engine>, ResumptionError> {
        engines.of(config, || open_engine(config))
    }

    #[test]
    fn a_store_that_hangs_while_it_is_opened_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::default();
        let [hung, other] = ["hung", "other"].map(|name| local(folder.path().join(name)));
        let (tell, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (engines, hung) = (&engines, &hung);
            let opening = scope.spawn(move || {
                engines.of(hung, || {
                    tell.send(()).unwrap();
                    ended.recv().unwrap_err();
                    open_engine(hung)
                })
            });
            begun.recv().unwrap();
            let first = of(engines, &other).unwrap();
            let again = of(engines, hung).unwrap_err();
            assert!(matches!(again, ResumptionError::StillOpening), "{again}");
            drop(end);
            let opened = opening.join().unwrap().unwrap();
            assert!(Arc::ptr_eq(&opened, &of(engines, hung).unwrap()));
            assert!(Arc::ptr_eq(&first, &of(engines, &other).unwrap()));
        });
        assert_eq!(engines.0.lock().unwrap().len(), 2);
        of(&engines, &local(folder.path().join("third"))).unwrap();
        assert_eq!(engines.0.lock().unwrap().len(), 1, "who is used by nobody is forgotten");
    }
}
