//! The part of the files that a reload has to think about.
//!
//! Owns [`Served`], the credentials in use found by file, by key and by time, and the rule that a
//! change reaches from a file to every file and credential that shares a public key with it, and no
//! further: what is decided for such a part is what would be decided for it among all files. So a
//! reload costs what changed, not what there is. Refuses to know the decisions.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreOptions;
use super::library::{Found, Library, Place, place};
use crate::credential::{Credential, PublicKeyId};
use crate::load::Parsed;

/// Files and credentials that bear on each other.
pub(super) struct Part<'a> {
    /// The files that are there, in path order.
    pub(super) files: Vec<Scanned<'a>>,
    /// The credentials in use that came from any file of the part, in path order.
    pub(super) current: Vec<Arc<Credential>>,
    /// Configured paths that could not be looked at.
    pub(super) unseen: Vec<&'a Path>,
    roots: &'a [PathBuf],
}

/// A file that is there.
pub(super) struct Scanned<'a> {
    pub(super) root: usize,
    pub(super) path: &'a Path,
    /// `None` if the file is bad.
    pub(super) parsed: Option<&'a Parsed>,
}

impl<'a> Part<'a> {
    /// The files at `places`, and the credentials that are served from them.
    pub(super) fn new(
        places: &'a BTreeSet<Place>,
        library: &'a Library,
        served: &Served,
        options: &'a StoreOptions,
    ) -> Self {
        let files = places.iter().filter_map(|place| {
            let parsed = library.known(place)?.parsed().map(AsRef::as_ref);
            Some(Scanned { root: place.root, path: &place.path, parsed })
        });
        let mut current: Vec<_> = served.of(places).cloned().collect();
        current.sort_by(|one, other| one.place().cmp(&other.place()));
        let unseen = library.unseen().iter().map(|(path, _)| path.as_path());
        Self { files: files.collect(), current, unseen: unseen.collect(), roots: &options.paths }
    }

    /// What was searched, in words.
    pub(super) fn searched(&self) -> String {
        let roots: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
        roots.join(", ")
    }
}

/// The credentials in use, found by what they depend on.
#[derive(Default)]
pub(super) struct Served {
    by_chain: HashMap<Place, Vec<Arc<Credential>>>,
    by_public_key: HashMap<PublicKeyId, Vec<Place>>,
    /// Of those whose key lies in another file than their chain.
    by_key_file: HashMap<PathBuf, Vec<Place>>,
    /// When time alone changes something, and for how many of them.
    moments: BTreeMap<i64, usize>,
    /// How many of them have a staple.
    stapled: usize,
}

impl Served {
    pub(super) fn insert(&mut self, credential: &Arc<Credential>) {
        let place = chain_place(credential);
        self.by_public_key.entry(credential.public_key()).or_default().push(place.clone());
        if credential.key_path() != credential.chain_path() {
            let path = credential.key_path().to_path_buf();
            self.by_key_file.entry(path).or_default().push(place.clone());
        }
        self.by_chain.entry(place).or_default().push(Arc::clone(credential));
        self.stapled += usize::from(credential.staple().is_some());
        for moment in credential.moments() {
            *self.moments.entry(moment).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, credential: &Arc<Credential>) {
        let place = chain_place(credential);
        take(&mut self.by_public_key, &credential.public_key(), |other| *other == place);
        if credential.key_path() != credential.chain_path() {
            let path = credential.key_path().to_path_buf();
            take(&mut self.by_key_file, &path, |other| *other == place);
        }
        take(&mut self.by_chain, &place, |other| Arc::ptr_eq(other, credential));
        self.stapled -= usize::from(credential.staple().is_some());
        for moment in credential.moments() {
            if let Entry::Occupied(mut count) = self.moments.entry(moment) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// How many have a staple, whether it is sent or not.
    pub(super) fn stapled(&self) -> usize {
        self.stapled
    }

    /// When time alone next changes something after `now`.
    pub(super) fn next_moment(&self, now: i64) -> Option<i64> {
        self.moments.range(now.saturating_add(1)..).next().map(|(moment, _)| *moment)
    }

    /// The credentials whose chains came from `places`.
    fn of(&self, places: &BTreeSet<Place>) -> impl Iterator<Item = &Arc<Credential>> {
        places.iter().filter_map(|place| self.by_chain.get(place)).flatten()
    }

    /// Every place of a file, of a credential in use, or of what was found.
    pub(super) fn everywhere(&self, found: &Found, library: &Library) -> BTreeSet<Place> {
        let files = library.files().map(|(place, _)| place);
        files.chain(self.by_chain.keys()).chain(&found.places).cloned().collect()
    }

    /// Everything that what was found bears on.
    pub(super) fn reach(
        &self,
        found: &Found,
        library: &Library,
        options: &StoreOptions,
    ) -> BTreeSet<Place> {
        let mut reached = BTreeSet::new();
        let mut known_keys = BTreeSet::new();
        let mut places: Vec<Place> = found.places.iter().cloned().collect();
        let mut keys: Vec<PublicKeyId> = found.public_keys.iter().copied().collect();
        loop {
            while let Some(key) = keys.pop() {
                if known_keys.insert(key) {
                    places.extend_from_slice(library.holders(key));
                    places.extend(self.by_public_key.get(&key).into_iter().flatten().cloned());
                }
            }
            let Some(next) = places.pop() else { return reached };
            if !reached.insert(next.clone()) {
                continue;
            }
            keys.extend(library.known(&next).into_iter().flat_map(|known| known.public_keys()));
            for credential in self.by_chain.get(&next).into_iter().flatten() {
                keys.push(credential.public_key());
                places.push(place(credential.key_path().to_path_buf(), options));
            }
            places.extend(self.by_key_file.get(&*next.path).into_iter().flatten().cloned());
        }
    }
}

fn chain_place(credential: &Credential) -> Place {
    Place { root: credential.root(), path: credential.chain_path().into() }
}

/// Takes one value that fits out of a list, and the list away if nothing is left.
fn take<K: Eq + std::hash::Hash, T>(
    lists: &mut HashMap<K, Vec<T>>,
    key: &K,
    fits: impl Fn(&T) -> bool,
) {
    if let Some(list) = lists.get_mut(key) {
        if let Some(index) = list.iter().position(fits) {
            list.remove(index);
        }
        if list.is_empty() {
            lists.remove(key);
        }
    }
}
