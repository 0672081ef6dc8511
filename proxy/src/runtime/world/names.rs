//! Of what numbers are shown: of what is served or ends, and of what is being built.
//!
//! Owns [`Names`]. Whoever builds a configuration says first what it names, and numbers of that are
//! let go of when it comes to nothing, unless the same name is served by then or somebody else is
//! building it: what is built on a file system that hangs may come to its end at any time. Refuses
//! to know what is counted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::Config;
use crate::metrics::Metrics;

use super::Generation;
use super::retire::crls;
#[cfg(test)]
use crate::runtime::resumption::Sessions;

/// Every name that numbers may be shown of.
#[derive(Debug)]
pub(in crate::runtime) struct Names {
    metrics: Arc<Metrics>,
    generations: watch::Receiver<Arc<Generation>>,
    /// As often as it is being built.
    meant: Mutex<Vec<Name>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Name {
    Listener(Arc<str>),
    Backend(Arc<str>),
    /// A file of revocation lists.
    Crl(PathBuf),
}

/// What a configuration names, while it is built and until it is served.
pub(super) struct Meant {
    names: Arc<Names>,
    these: Vec<Name>,
}

impl Names {
    pub(in crate::runtime) fn new(
        metrics: Arc<Metrics>,
        generations: watch::Receiver<Arc<Generation>>,
    ) -> Arc<Self> {
        Arc::new(Self { metrics, generations, meant: Mutex::default() })
    }

    /// Says that `config` is going to be built.
    pub(super) fn mean(self: &Arc<Self>, config: &Config) -> Meant {
        let listeners = config.listeners.iter().map(|one| Name::Listener(Arc::clone(&one.name)));
        let backends = config.backends.iter().map(|one| Name::Backend(Arc::clone(&one.name)));
        let crls = crls(config).cloned().map(Name::Crl);
        let these: Vec<_> = listeners.chain(backends).chain(crls).collect();
        self.meant().extend(these.iter().cloned());
        Meant { names: Arc::clone(self), these }
    }

    /// Lets go of the numbers of a listener, unless there is one of that name, or is going to be.
    pub(super) fn forget_listener(&self, name: &Arc<str>) {
        self.forget(&self.meant(), &Name::Listener(Arc::clone(name)));
    }

    /// Lets go of the numbers of a backend, unless there is one of that name, or is going to be.
    pub(super) fn forget_backend(&self, name: &Arc<str>) {
        self.forget(&self.meant(), &Name::Backend(Arc::clone(name)));
    }

    /// Lets go of what is shown of a file of revocation lists, unless it is read for what is served
    /// or going to be.
    pub(in crate::runtime) fn forget_crl(&self, path: &Path) {
        self.forget(&self.meant(), &Name::Crl(path.to_owned()));
    }

    /// What is served now.
    pub(in crate::runtime) fn served(&self) -> Arc<Generation> {
        Arc::clone(&self.generations.borrow())
    }

    /// Under the lock, so that whoever means it later counts anew.
    fn forget(&self, meant: &MutexGuard<'_, Vec<Name>>, name: &Name) {
        if meant.contains(name) {
            return;
        }
        let now = self.served();
        match name {
            Name::Listener(name) if now.listener(name).is_none() => {
                self.metrics.forget_listener(name);
            }
            Name::Backend(name) if now.backend(name).is_none() => {
                self.metrics.forget_backend(name);
            }
            Name::Crl(path) if !crls(&now.config).any(|one| one == path) => {
                self.metrics.forget_crl(&path.display().to_string());
            }
            Name::Listener(_) | Name::Backend(_) | Name::Crl(_) => {}
        }
    }

    fn meant(&self) -> MutexGuard<'_, Vec<Name>> {
        self.meant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Meant {
    fn drop(&mut self) {
        let mut meant = self.names.meant();
        for name in &self.these {
            if let Some(place) = meant.iter().position(|one| one == name) {
                meant.swap_remove(place);
            }
        }
        self.these.iter().for_each(|name| self.names.forget(&meant, name));
    }
}

#[cfg(test)]
impl Names {
    /// Those of a process that was started with `config` and serves nothing yet.
    pub(in crate::runtime) fn of_nothing(mut config: Config, metrics: &Arc<Metrics>) -> Arc<Self> {
        let sessions = Sessions::open(&config, None).unwrap();
        config.listeners.clear();
        config.backends.clear();
        let nothing = Generation {
            number: 0,
            config: Arc::new(config),
            client_auths: Vec::new(),
            sessions,
            backends: Vec::new(),
            collector: None,
            snapshots: Vec::new(),
        };
        Self::new(Arc::clone(metrics), watch::Sender::new(Arc::new(nothing)).subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Exposition;

    const TEXT: &str = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
                        [backend.app]\nendpoints = ['a.example:1']\n\
                        tls = { ca = 'ca.pem', crl = ['lists.pem'] }\n";

    #[test]
    fn what_was_built_in_vain_is_let_go_of_unless_somebody_else_still_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let parse = || Config::parse(TEXT, "config.toml", folder.path()).unwrap();
        let config = parse();
        let metrics = Arc::new(Metrics::new());
        let names = Names::of_nothing(parse(), &metrics);
        let (first, second) = (names.mean(&config), names.mean(&config));
        let list = folder.path().join("lists.pem");
        metrics.listener("a").connections.inc();
        metrics.backend("app").endpoint_up("h:1").set(1);
        let shown = metrics.process().crl_next_update;
        shown.with_label_values(&[&list.display().to_string()]).set(1.0);
        let is_shown = || {
            let text = metrics.encode(Exposition::Text);
            ["listener=\"a\"", "backend=\"app\"", "lists.pem"].map(|one| text.contains(one))
        };
        drop(first);
        names.forget_crl(&list);
        assert_eq!(is_shown(), [true; 3]);
        drop(second);
        assert_eq!(is_shown(), [false; 3]);
    }
}
