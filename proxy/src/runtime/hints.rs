//! The watch over some paths, and what it hinted at since somebody last asked.
//!
//! Owns the collecting between the thread of the watch and the task that reads: a storm of hints
//! is one, and the files that it named are remembered within a bound. Refuses to know what is
//! read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portunus_certs::store::Look;
use portunus_certs::watch::{Hint, Watch};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Watches `paths` from now on, and gives `hints`. It looks at the paths, and so belongs where a
/// file system may make it wait.
pub(super) fn watch(paths: &[PathBuf], hints: &Arc<Hints>) -> Watch {
    let receiver = Arc::clone(hints);
    Watch::new(paths, move |hint| receiver.give(hint))
}

/// Hints that nobody has acted on.
#[derive(Debug, Default)]
pub(super) struct Hints {
    collected: Mutex<Collected>,
    arrived: Notify,
}

impl Hints {
    /// Waits for the next hint.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Waits until the files have been quiet for the settle time, within a bound.
    pub(super) async fn settle(&self, settle: Duration) {
        let bound = Instant::now() + settle * SETTLES_MAX;
        while Instant::now() < bound && timeout(settle, self.arrived()).await.is_ok() {}
    }

    /// What came since the last time.
    pub(super) fn take(&self) -> Collected {
        std::mem::take(&mut self.collected.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a hint; called on the thread of the watch.
    pub(super) fn give(&self, hint: Hint) {
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        match hint {
            Hint::At(path) if collected.files.len() < FILES_MAX => {
                collected.files.insert(path);
            }
            Hint::At(_) | Hint::Changed => collected.is_wide = true,
            Hint::Overflow => {
                collected.is_wide = true;
                collected.overflows += 1;
            }
        }
        drop(collected);
        self.arrived.notify_one();
    }
}

/// What a number of hints came to.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Files that changed, unless there were too many.
    files: BTreeSet<PathBuf>,
    /// Whether more than files changed.
    pub(super) is_wide: bool,
    /// How often events were lost.
    pub(super) overflows: u64,
}

impl Collected {
    /// Where to look for what was hinted at, if anywhere.
    pub(super) fn look(self) -> Option<Look> {
        match self {
            Self { is_wide: true, .. } => Some(Look::Around),
            Self { files, .. } if files.is_empty() => None,
            Self { files, .. } => Some(Look::At(files)),
        }
    }
}

/// Settle times after which files that never become quiet are read all the same.
const SETTLES_MAX: u32 = 3;
/// Where more files than this changed, looking at all of them is no dearer.
const FILES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_hints_is_one_look_and_its_memory_is_bounded() {
        let hints = Hints::default();
        hints.give(Hint::At("a".into()));
        hints.give(Hint::At("a".into()));
        assert_eq!(hints.take().look(), Some(Look::At([PathBuf::from("a")].into())));
        for number in 0..=FILES_MAX {
            hints.give(Hint::At(number.to_string().into()));
        }
        let collected = hints.take();
        assert_eq!(collected.files.len(), FILES_MAX);
        assert_eq!(collected.look(), Some(Look::Around));
        hints.give(Hint::Overflow);
        let collected = hints.take();
        assert_eq!((collected.overflows, collected.look()), (1, Some(Look::Around)));
        assert_eq!(hints.take().look(), None);
    }
}
