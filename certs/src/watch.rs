//! A hint that certificate files changed.
//!
//! Owns the knowledge of which folders must be watched so that a change of any configured file is
//! noticed in each of the ways in which files are replaced: written in place, renamed over,
//! deleted and made again, or switched by a symbolic link as Kubernetes does with `..data`. Owns
//! no decision: a hint says "look", and the reload of [`crate::store`] finds out whether there is
//! anything to see. File systems without events exist, watches run out, queues overflow; so
//! whoever owns this also looks at intervals, and nothing here is ever fatal.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{EventKind, Flag};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

/// What happened, as far as it matters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hint {
    /// This file, which is spelled as below its configured folder, came, went or was written.
    At(PathBuf),
    /// Something that bears on the configured paths changed: a folder, a link, a named file.
    Changed,
    /// Events were lost; look at everything.
    Overflow,
}

/// How changes are noticed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WatchMode {
    /// By events; the regular look is a safety net.
    Events,
    /// By the regular look alone, at least for some path.
    PollOnly {
        /// Why, in words.
        reason: String,
    },
}

impl fmt::Display for WatchMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events => f.write_str("events"),
            Self::PollOnly { reason } => write!(f, "poll only: {reason}"),
        }
    }
}

/// A watch over the folders that the configured paths lead through.
pub struct Watch {
    paths: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    scope: Arc<Mutex<Scope>>,
    mode: WatchMode,
}

impl Watch {
    /// Watches `paths`. `hint` is called on a thread of the watcher and must only pass the hint
    /// on. Dropping the watch ends it.
    #[must_use]
    pub fn new(paths: &[PathBuf], hint: impl Fn(Hint) + Send + Sync + 'static) -> Self {
        let scope = Arc::new(Mutex::new(Scope::default()));
        let seen = Arc::clone(&scope);
        let handler = move |event: notify::Result<Event>| {
            let hints = seen.lock().unwrap_or_else(PoisonError::into_inner).judge(&event);
            hints.into_iter().for_each(&hint);
        };
        let (watcher, mode) = match notify::recommended_watcher(handler) {
            Ok(watcher) => (Some(watcher), WatchMode::Events),
            Err(error) => (None, WatchMode::PollOnly { reason: error.to_string() }),
        };
        let mut watch = Self { paths: paths.to_vec(), watcher, scope, mode };
        watch.refresh();
        watch
    }

    /// Whether events can be relied on.
    #[must_use]
    pub fn mode(&self) -> &WatchMode {
        &self.mode
    }

    /// Finds out anew which folders matter, and watches those that exist.
    ///
    /// Call it after each hint but [`Hint::At`], and before the reload: a folder that was deleted
    /// and made again is another folder to the kernel, and what happened in it before this call is
    /// seen by the reload after it.
    pub fn refresh(&mut self) {
        let paths = self.paths.clone();
        self.refresh_from(|| Scope::of(&paths));
    }

    /// Watches what `scope` finds. What changes before its watch has begun tells nobody, so that it
    /// is found anew until nothing has changed in between.
    fn refresh_from(&mut self, mut scope: impl FnMut() -> Scope) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let mut next = scope();
        for _ in 0..ATTEMPTS_MAX {
            self.mode = take(watcher, &self.scope, &next);
            let found = scope();
            if found == next {
                return;
            }
            next = found;
        }
        let reason = "the way to the files changes all the time".to_owned();
        self.mode = WatchMode::PollOnly { reason };
    }
}

/// Has `watcher` watch what `next` says, and nothing else.
fn take(watcher: &mut RecommendedWatcher, scope: &Mutex<Scope>, next: &Scope) -> WatchMode {
    let previous = {
        let mut scope = scope.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *scope, next.clone())
    };
    // A folder that is gone, or whose watch the kernel has dropped, cannot be unwatched.
    previous.folders.keys().for_each(|folder| drop(watcher.unwatch(folder)));
    let mut failure = (next.overfull).then(|| "too many folders to watch".to_owned());
    for folder in next.folders.keys() {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            failure.get_or_insert_with(|| format!("{}: {error}", folder.display()));
        }
    }
    match failure {
        Some(reason) => WatchMode::PollOnly { reason },
        None => WatchMode::Events,
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("paths", &self.paths)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Which folders are watched, and which names in them matter.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Scope {
    folders: BTreeMap<PathBuf, Names>,
    /// How the folders in which every name matters are spelled in the configuration.
    spellings: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// Symbolic links on the way to any file.
    links: BTreeSet<PathBuf>,
    overfull: bool,
}

/// The names in a folder that matter.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Names {
    All,
    Some(BTreeSet<OsString>),
}

impl Scope {
    fn of(paths: &[PathBuf]) -> Self {
        let mut scope = Self::default();
        for path in paths {
            let resolved = scope.follow(path);
            if resolved.is_dir() {
                scope.follow_links_in(&resolved);
                scope.spellings.entry(resolved.clone()).or_default().push(path.clone());
                scope.add(resolved, None);
            }
        }
        scope
    }

    /// Notes every place where a change would make `path` lead elsewhere: each symbolic link on
    /// the way, and the end. Returns the end.
    fn follow(&mut self, path: &Path) -> PathBuf {
        let mut rest = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        for _ in 0..LINKS_MAX {
            let Some((link, target)) = first_link(&rest) else {
                break;
            };
            self.add_entry(&link);
            self.links.insert(link);
            rest = target;
        }
        self.add_entry(&rest);
        rest
    }

    fn follow_links_in(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                self.follow(&entry.path());
            }
        }
    }

    fn add_entry(&mut self, path: &Path) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.add(parent.to_path_buf(), Some(name));
        }
    }

    fn add(&mut self, folder: PathBuf, name: Option<&OsStr>) {
        if self.folders.len() >= FOLDERS_MAX && !self.folders.contains_key(&folder) {
            self.overfull = true;
            return;
        }
        let names = self.folders.entry(folder).or_insert_with(|| Names::Some(BTreeSet::new()));
        match (names, name) {
            (Names::All, _) => {}
            (Names::Some(names), Some(name)) => drop(names.insert(name.to_owned())),
            (names, None) => *names = Names::All,
        }
    }

    fn judge(&self, event: &notify::Result<Event>) -> Vec<Hint> {
        let Ok(event) = event else {
            return vec![Hint::Overflow];
        };
        if event.attrs.flag() == Some(Flag::Rescan) {
            return vec![Hint::Overflow];
        }
        // Our own reading raises these; without this line a reload would call for the next one.
        if matches!(event.kind, EventKind::Access(_)) {
            return Vec::new();
        }
        let concern = event.paths.iter().filter(|path| self.concerns(path));
        concern.flat_map(|path| self.hints(path)).collect()
    }

    /// What an event at `path` hints at. A link that came or went changes what must be watched,
    /// and through a hidden name links may lead, so neither is the matter of one file.
    fn hints(&self, path: &Path) -> Vec<Hint> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return vec![Hint::Changed];
        };
        let is_plain = !name.as_encoded_bytes().starts_with(b".")
            && !self.folders.contains_key(path)
            && !self.links.contains(path)
            && !path.is_symlink();
        match self.spellings.get(folder) {
            Some(spellings) if is_plain => {
                spellings.iter().map(|spelling| Hint::At(spelling.join(name))).collect()
            }
            _ => vec![Hint::Changed],
        }
    }

    fn concerns(&self, path: &Path) -> bool {
        // The folder itself went or came.
        if self.folders.contains_key(path) {
            return true;
        }
        let names = path.parent().and_then(|parent| self.folders.get(parent));
        match (names, path.file_name()) {
            (Some(Names::All), _) => true,
            (Some(Names::Some(names)), Some(name)) => names.contains(name),
            _ => false,
        }
    }
}

/// The first symbolic link on the way along `path`, and the path with that link replaced by what
/// it points to.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut walked = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        match component {
            Component::ParentDir => drop(walked.pop()),
            _ => walked.push(component),
        }
        if let Ok(target) = fs::read_link(&walked) {
            let parent = walked.parent().unwrap_or(Path::new("/"));
            let target = parent.join(target).join(components.as_path());
            return Some((walked, target));
        }
    }
    None
}

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;
/// A folder of links into more folders than this is left to the regular look.
const FOLDERS_MAX: usize = 1024;
/// How often the way to the files may change while they are looked for.
const ATTEMPTS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// A link and the two folders that it may lead to, one of which is seen at first.
    fn turned(gone: bool) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["old", "new"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("a.pem"), "1").unwrap();
        }
        symlink("old", at("link")).unwrap();
        let paths = [at("link").join("a.pem")];
        let (sender, hints) = channel();
        let mut watch = Watch::new(&paths, move |hint| drop(sender.send(hint)));
        let mut is_turned = false;
        watch.refresh_from(|| {
            let scope = Scope::of(&paths);
            if !std::mem::replace(&mut is_turned, true) {
                symlink("new", at("aside")).unwrap();
                fs::rename(at("aside"), at("link")).unwrap();
                if gone {
                    fs::remove_dir_all(at("old")).unwrap();
                }
            }
            scope
        });
        assert_eq!(watch.mode(), &WatchMode::Events);
        while hints.try_recv().is_ok() {}
        fs::write(at("new").join("a.pem"), "2").unwrap();
        hints.recv_timeout(Duration::from_secs(30)).expect("a hint at what is written there");
    }

    #[test]
    fn a_link_that_is_turned_while_it_is_followed_is_followed_again() {
        turned(false);
        turned(true);
    }

    #[test]
    fn who_turns_a_link_for_ever_is_polled() {
        let root = tempfile::tempdir().unwrap();
        let paths = [root.path().join("link/a.pem")];
        let mut watch = Watch::new(&paths, |_| {});
        let mut turns = 0..;
        watch.refresh_from(|| {
            let _ = fs::remove_file(root.path().join("link"));
            let folder = root.path().join(format!("{}", turns.next().unwrap()));
            fs::create_dir(&folder).unwrap();
            symlink(&folder, root.path().join("link")).unwrap();
            Scope::of(&paths)
        });
        assert!(matches!(watch.mode(), WatchMode::PollOnly { .. }), "{}", watch.mode());
    }
}
