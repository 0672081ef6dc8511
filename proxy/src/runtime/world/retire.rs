//! What of one generation begins in the next, and what becomes of what does not.
//!
//! Owns the hand-over of listeners, backends and sessions. Connections of a listener that is
//! configured otherwise hear that clients should come anew, and go on; those of a listener that is
//! gone are given the time that the end of the process would give them. A backend goes when the
//! last connection has ended that may use it, and then its numbers do. Refuses to know sockets.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::backend::Resolver;
use crate::config::{Config, Server};
use crate::drain::{Drain, DrainWatch};
use crate::metrics::Metrics;

use super::doors::Served;
use super::{Generation, Held, HeldListener, World};
use crate::runtime::generation::Common;
use crate::runtime::key_files::Ears;

/// Drains of listeners that are configured otherwise now, by their names, while anything of them is
/// left: whoever is left must hear of the end of the listener, and of the process.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<Vec<(Arc<str>, Drain)>>);

impl Retired {
    fn keep(&self, name: &Arc<str>, drain: Drain) {
        let mut drains = self.drains();
        drains.retain(|(_, drain)| !drain.is_over());
        drains.push((Arc::clone(name), drain));
    }

    /// Whatever is left of all that the listener was so far.
    fn take(&self, name: &str) -> Vec<Drain> {
        self.drains().extract_if(.., |(of, _)| **of == *name).map(|(_, drain)| drain).collect()
    }

    fn drains(&self) -> MutexGuard<'_, Vec<(Arc<str>, Drain)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// What the connections of each listener of `now` are served as. Those of `before` that are not
    /// configured like that any more hear of it.
    pub(super) fn begin_listeners(
        &self,
        held: &mut Held,
        before: &Generation,
        now: &Generation,
        watch: &DrainWatch,
    ) -> Vec<Served> {
        let mut old = std::mem::take(&mut held.listeners);
        let mut served = Vec::new();
        for (listener, snapshot) in now.config.listeners.iter().zip(&now.snapshots) {
            let name = &listener.name;
            let snapshot = Arc::clone(snapshot);
            let is_same = before.listener(name).is_some_and(|(one, _)| Arc::ptr_eq(one, &snapshot));
            let held_before = old.iter().position(|held| held.name == *name);
            let held_before = held_before.map(|place| old.swap_remove(place));
            let kept = held_before.and_then(|held| match is_same {
                true => self.keep(held),
                false => self.leave(held),
            });
            let (drain, for_connections) = kept.unwrap_or_else(|| watch.child());
            let (name, watch) = (Arc::clone(name), for_connections.downgrade());
            held.listeners.push(HeldListener { name, drain, watch });
            served.push(Served { snapshot, watch: for_connections });
        }
        for HeldListener { name, drain, .. } in old {
            self.end_listener(name, drain, &before.config.server, watch);
        }
        served
    }

    /// Goes on with a listener that is configured as before, if anything of it goes on.
    fn keep(&self, held: HeldListener) -> Option<(Drain, DrainWatch)> {
        match held.watch.upgrade() {
            Some(watch) => Some((held.drain, watch)),
            None => self.leave(held),
        }
    }

    /// Has connections hear that clients should come anew.
    fn leave(&self, held: HeldListener) -> Option<(Drain, DrainWatch)> {
        held.drain.leave();
        self.retired.keep(&held.name, held.drain);
        None
    }

    /// Has the connections of a listener that is gone end, whatever it was when they began.
    fn end_listener(&self, name: Arc<str>, drain: Drain, server: &Server, watch: &DrainWatch) {
        let mut drains = self.retired.take(&name);
        drains.push(drain);
        let (delay, timeout) = (server.drain_delay, server.drain_timeout);
        let (retired, names) = (Arc::clone(&self.retired), Arc::clone(&self.names));
        let mut end = watch.clone();
        watch.spawn(async move {
            drains.iter().for_each(Drain::leave);
            info!(
                listener = &*name,
                ?delay,
                ?timeout,
                "the listener is gone: connections may finish"
            );
            let end_of_delay = sleep_until(Instant::now() + delay);
            tokio::select! {
                _ = join_all(drains.iter_mut().map(Drain::over)) => {}
                () = end_of_delay => {}
                () = end.finish() => {
                    return drains.into_iter().for_each(|drain| retired.keep(&name, drain));
                }
            }
            let cut = join_all(drains.into_iter().map(|drain| drain.drain(timeout))).await;
            let left: usize = cut.into_iter().sum();
            if left > 0 {
                warn!(listener = &*name, left, "connections of a listener that is gone were cut");
            }
            names.forget_listener(&name);
        });
    }

    /// Keeps the backends of `now` current, and those of before no longer.
    pub(super) fn begin_backends(
        &self,
        held: &mut Held,
        now: &Generation,
        resolver: &Arc<Resolver>,
        watch: &DrainWatch,
    ) {
        let mut old = std::mem::take(&mut held.backends);
        for backend in &now.backends {
            let name = Arc::clone(backend.name());
            if backend.is_maintained() {
                let kept = old.iter().position(|(of, _)| *of == name);
                held.backends.extend(kept.map(|place| old.swap_remove(place)));
                continue;
            }
            let (drain, configured) = watch.child();
            let life =
                Arc::clone(backend).maintain_while(Arc::clone(resolver), watch.clone(), configured);
            let config = Arc::clone(&now.config);
            let (metrics, generations) = (Arc::clone(&self.common.metrics), self.generations());
            let names = Arc::clone(&self.names);
            held.backends.push((Arc::clone(&name), drain));
            watch.spawn(async move {
                life.await;
                names.forget_backend(&name);
                forget_endpoints(&metrics, &name, &config, &generations);
            });
        }
        // Whoever maintains those of before hears by this that they are not configured any more.
        drop(old);
    }

    /// Keeps the sessions of `now` current, if that is anything else than before.
    pub(super) fn begin_sessions(
        &self,
        held: &mut Held,
        before: &Generation,
        now: &Generation,
        watch: &DrainWatch,
    ) {
        let is_same =
            now.sessions.is_maintained_like(&now.config, &before.sessions, &before.config);
        if is_same && held.sessions.is_some() {
            return;
        }
        let (drain, of_drain) = watch.child();
        let Common { metrics, history, .. } = &self.common;
        let bad = metrics.process().key_files_bad;
        let ears = Ears { bad, history: Arc::clone(history) };
        now.sessions.maintain(&now.config, ears, &of_drain);
        // Whoever kept those of before current hands over what is left, and ends.
        held.sessions = Some(drain);
    }

    /// Lets go of what is shown of revocation lists that are not read any more.
    pub(super) fn forget_crls(&self, before: &Config, now: &Config) {
        let stay: Vec<_> = crls(now).collect();
        for gone in crls(before).filter(|crl| !stay.contains(crl)) {
            self.names.forget_crl(gone);
        }
    }
}

/// The files of revocation lists of `config`.
pub(super) fn crls(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let of_clients = config.client_auths.iter().flat_map(|auth| &auth.crls);
    let tls = config.backends.iter().filter_map(|backend| backend.tls.as_ref());
    of_clients.chain(tls.flat_map(|tls| &tls.crls))
}

/// Lets go of the numbers of endpoints of a backend of `config` that it has no more.
fn forget_endpoints(
    metrics: &Metrics,
    name: &str,
    config: &Config,
    generations: &watch::Receiver<Arc<Generation>>,
) {
    let now = Arc::clone(&generations.borrow());
    let Some((_, backend)) = now.backend(name) else { return };
    let of_before = config.backends.iter().filter(|backend| *backend.name == *name);
    for endpoint in of_before.flat_map(|backend| &backend.endpoints) {
        if !backend.endpoints.iter().any(|one| one.name == endpoint.name) {
            metrics.forget_endpoint(name, &endpoint.name.to_string());
        }
    }
}
