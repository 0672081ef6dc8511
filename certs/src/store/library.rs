//! What is known of every file.
//!
//! Owns the memory of what each file held when it was last read, and the finding of those that hold
//! something else now. A file is read when somebody says that it changed, when its metadata did, or
//! when its turn has come: file systems exist whose metadata cannot be trusted, so every look
//! reads a share of all contents, and of few files all. Refuses to know what the contents mean for
//! each other; that is `pairing`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use aws_lc_rs::digest::{self, SHA256};

use super::StoreOptions;
use crate::credential::{PublicKeyId, digest_bytes};
use crate::load::{self, LoadError, Parsed, Stamp};

/// Where to look for changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Look {
    /// Everywhere, without reading what is plainly the same: metadata of every file, contents in
    /// turn, of [`CONTENTS_PER_LOOK`] files each time.
    Around,
    /// At these files, as they are spelled below the configured paths, and at nothing else.
    At(BTreeSet<PathBuf>),
    /// At the contents of every file, to decide everything anew.
    Closely,
}

/// A file in path order: the configured path that it belongs to, then its own.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) root: usize,
    pub(super) path: Arc<Path>,
}

/// What a file held when it was last read.
pub(super) struct Known {
    /// `None` if nothing but reading tells whether it changed.
    stamp: Option<Stamp>,
    hash: [u8; 32],
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) outcome: Result<Arc<Parsed>, LoadError>,
}

/// Every file below the configured paths.
#[derive(Default)]
pub(super) struct Library {
    files: BTreeMap<Place, Known>,
    /// The files that hold a certificate or a private key for a public key.
    holders: HashMap<PublicKeyId, Vec<Place>>,
    /// The authorities among the files: by name, how many there are and how many are roots.
    issuers: HashMap<Box<str>, (usize, usize)>,
    /// Configured paths that could not be looked at.
    unseen: Vec<(PathBuf, LoadError)>,
    /// How many files there are for staples.
    staples: usize,
    looks: usize,
}

/// What a look found.
#[derive(Default)]
pub(super) struct Found {
    /// Files that came, went, or hold something else.
    pub(super) places: BTreeSet<Place>,
    /// The public keys that they held before.
    pub(super) public_keys: HashSet<PublicKeyId>,
    /// Whether it bears on every file: other authorities lie among them, another configured path
    /// cannot be looked at, or there are staples, which are found by serial number.
    pub(super) is_universal: bool,
}

impl Library {
    /// Looks, and remembers what is there now.
    pub(super) fn look(&mut self, look: &Look, options: &StoreOptions) -> Found {
        let mut found = Found::default();
        let outcomes = match look {
            // Named paths, and those that were away, are listed by looking around.
            Look::At(paths)
                if self.unseen.is_empty()
                    && options.paths.iter().all(|root| !paths.contains(root)) =>
            {
                self.look_at(paths, options)
            }
            Look::At(_) | Look::Around | Look::Closely => {
                let listing = load::list(&options.paths);
                let unseen =
                    |(path, error): &(PathBuf, LoadError)| (path.clone(), error.to_string());
                let seen_before: Vec<_> = self.unseen.iter().map(unseen).collect();
                found.is_universal =
                    seen_before != listing.unseen.iter().map(unseen).collect::<Vec<_>>();
                self.unseen = listing.unseen;
                let gone = |place: &&Place| !listing.files.contains(&*place.path);
                let gone: Vec<_> = self.files.keys().filter(gone).cloned().collect();
                for place in gone {
                    self.replace(place, None, &mut found);
                }
                let places = listing.files.into_iter().map(|path| place(path, options)).collect();
                self.examine(places, *look == Look::Closely, options)
            }
        };
        let had_staples = self.staples > 0;
        for (place, known) in outcomes {
            self.replace(place, known, &mut found);
        }
        found.is_universal |= !found.places.is_empty() && (had_staples || self.staples > 0);
        found
    }

    /// Every file, in path order.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Place, &Known)> {
        self.files.iter()
    }

    pub(super) fn known(&self, place: &Place) -> Option<&Known> {
        self.files.get(place)
    }

    /// The files that hold a certificate or a private key for a public key.
    pub(super) fn holders(&self, public_key: PublicKeyId) -> &[Place] {
        self.holders.get(&public_key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Configured paths that could not be looked at.
    pub(super) fn unseen(&self) -> &[(PathBuf, LoadError)] {
        &self.unseen
    }

    /// Whether the authority of that name is a root, if one of that name lies among the files.
    pub(super) fn is_root(&self, name: &str) -> Option<bool> {
        self.issuers.get(name).map(|(_, roots)| *roots > 0)
    }

    fn look_at(
        &self,
        paths: &BTreeSet<PathBuf>,
        options: &StoreOptions,
    ) -> Vec<(Place, Option<Known>)> {
        let listed = paths.iter().filter(|path| load::is_listed(&options.paths, path));
        let examined = listed.map(|path| {
            let place = place(path.clone(), options);
            let known = match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                _ => Some(examine(path, self.files.get(&place), options)),
            };
            (place, known)
        });
        examined.collect()
    }

    /// Reads those of `places` that may hold something else than is known. Few are read by the
    /// caller itself; a first reading of many is shared among threads, which end before it does.
    fn examine(
        &mut self,
        mut places: Vec<Place>,
        closely: bool,
        options: &StoreOptions,
    ) -> Vec<(Place, Option<Known>)> {
        places.sort_unstable();
        let rounds = places.len().div_ceil(CONTENTS_PER_LOOK).max(1);
        let turn = self.looks % rounds;
        self.looks += 1;
        let is_same = |(index, place): (usize, &Place)| {
            let known = self.files.get(place).and_then(|known| known.stamp);
            !closely
                && index % rounds != turn
                && known.is_some_and(|known| Stamp::at(&place.path) == Some(known))
        };
        let unsure: Vec<_> = places
            .iter()
            .enumerate()
            .filter(|place| !is_same(*place))
            .map(|(_, place)| place.clone())
            .collect();
        let read = |places: &[Place]| -> Vec<_> {
            let read = places.iter().map(|place| {
                let known = examine(&place.path, self.files.get(place), options);
                (place.clone(), Some(known))
            });
            read.collect()
        };
        let is_first = self.files.is_empty();
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        if !is_first || threads == 1 || unsure.len() < SHARED_FROM {
            return read(&unsure);
        }
        thread::scope(|scope| {
            let shares = unsure.chunks(unsure.len().div_ceil(threads));
            let readers: Vec<_> =
                shares.map(|share| (share, scope.spawn(|| read(share)))).collect();
            let joined = readers.into_iter();
            // What made one thread panic is met again here, where the caller's guard sees it.
            joined
                .flat_map(|(share, reader)| reader.join().unwrap_or_else(|_| read(share)))
                .collect()
        })
    }

    /// Puts what is known of a file in the place of what was, if it differs.
    fn replace(&mut self, place: Place, known: Option<Known>, found: &mut Found) {
        match (self.files.get_mut(&place), &known) {
            (None, None) => return,
            (Some(before), Some(now)) if before.says_the_same_as(now) => {
                before.stamp = now.stamp;
                return;
            }
            _ => {}
        }
        let is_staple = usize::from(load::is_staple(&place.path));
        if let Some(before) = self.files.remove(&place) {
            self.staples -= is_staple;
            found.is_universal |= self.unregister(&place, &before, &mut found.public_keys);
        }
        if let Some(known) = known {
            self.staples += is_staple;
            found.is_universal |= self.register(&place, &known);
            self.files.insert(place.clone(), known);
        }
        found.places.insert(place);
    }

    fn register(&mut self, place: &Place, known: &Known) -> bool {
        for public_key in known.public_keys() {
            self.holders.entry(public_key).or_default().push(place.clone());
        }
        let mut any = false;
        for (name, is_root) in known.issuers() {
            let (count, roots) = self.issuers.entry(name.into()).or_default();
            *count += 1;
            *roots += usize::from(is_root);
            any = true;
        }
        any
    }

    fn unregister(
        &mut self,
        place: &Place,
        known: &Known,
        public_keys: &mut HashSet<PublicKeyId>,
    ) -> bool {
        for public_key in known.public_keys() {
            if let Some(holders) = self.holders.get_mut(&public_key) {
                holders.retain(|holder| holder != place);
                if holders.is_empty() {
                    self.holders.remove(&public_key);
                }
            }
            public_keys.insert(public_key);
        }
        let mut any = false;
        for (name, is_root) in known.issuers() {
            if let Some((count, roots)) = self.issuers.get_mut(name) {
                *count -= 1;
                *roots -= usize::from(is_root);
                if *count == 0 {
                    self.issuers.remove(name);
                }
            }
            any = true;
        }
        any
    }
}

impl Known {
    /// What the file holds, if it is good.
    pub(super) fn parsed(&self) -> Option<&Arc<Parsed>> {
        self.outcome.as_ref().ok()
    }

    /// The public keys of its certificates and private keys, each once.
    pub(super) fn public_keys(&self) -> BTreeSet<PublicKeyId> {
        let Some(parsed) = self.parsed() else { return BTreeSet::new() };
        let chains = parsed.chains.iter().map(|chain| chain.leaf.public_key);
        chains.chain(parsed.keys.iter().map(|key| key.public_key)).collect()
    }

    /// The authorities in it, each with whether it is a root.
    fn issuers(&self) -> impl Iterator<Item = (&str, bool)> {
        let chains = self.parsed().into_iter().flat_map(|parsed| &parsed.chains);
        let leaves = chains.map(|chain| &chain.leaf);
        let issuers = leaves.filter(|leaf| leaf.issues || leaf.authority);
        issuers.map(|leaf| (&*leaf.subject, leaf.self_issued))
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        let same_outcome = match (&self.outcome, &other.outcome) {
            (Ok(_), Ok(_)) => true,
            (Err(one), Err(other)) => one.to_string() == other.to_string(),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        same_outcome && self.hash == other.hash && self.mode == other.mode
    }
}

/// Where a file stands in path order.
pub(super) fn place(path: PathBuf, options: &StoreOptions) -> Place {
    let root = options.paths.iter().position(|root| path.starts_with(root));
    Place { root: root.unwrap_or(options.paths.len()), path: path.into() }
}

/// Reads a file, and parses it unless it holds what it held `before`.
fn examine(path: &Path, before: Option<&Known>, options: &StoreOptions) -> Known {
    let contents = match load::read(path, load::FILE_BYTES_MAX) {
        Ok(contents) => contents,
        Err(error) => return Known { stamp: None, hash: [0; 32], mode: 0, outcome: Err(error) },
    };
    let (stamp, mode) = (contents.stamp, contents.mode);
    let hash = digest_bytes(digest::digest(&SHA256, &contents.bytes));
    if let Some(before) = before.filter(|before| before.hash == hash && before.mode == mode) {
        return Known { stamp, hash, mode, outcome: before.outcome.clone() };
    }
    let outcome = load::parse_file(path, &contents.bytes, &options.provider);
    let outcome = outcome.and_then(|parsed| {
        let is_open = mode & OTHERS_MAY_READ_OR_WRITE != 0 && !parsed.keys.is_empty();
        let is_refused = is_open && options.strict_permissions;
        if is_refused { Err(LoadError::KeyMode { mode }) } else { Ok(Arc::new(parsed)) }
    });
    Known { stamp, hash, mode, outcome }
}

/// Group and others, read and write.
pub(super) const OTHERS_MAY_READ_OR_WRITE: u32 = 0o066;
/// Contents that one look reads although their metadata is the same.
pub const CONTENTS_PER_LOOK: usize = 4096;
/// Fewer files than this are not worth a thread.
const SHARED_FROM: usize = 256;
const THREADS_MAX: usize = 8;
