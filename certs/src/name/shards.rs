//! Values found by name, of which a copy shares all that is not changed.
//!
//! Owns the shards, each a hash table of its own: to change one value copies one shard and the list
//! of them, and the copies that others hold stay as they are. One hash of the name says both which
//! shard and which place in it, so finding a name costs what it would in one table. Refuses to know
//! wildcards; that is [`super::map`].

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::HostName;

/// Values by name.
#[derive(Clone, Debug)]
pub(super) struct Shards<T> {
    /// Keyed at random, so that nobody can choose names that meet in one place.
    hasher: RandomState,
    /// None of them, or [`SHARDS`].
    shards: Vec<Shard<T>>,
    len: usize,
}

type Shard<T> = Arc<HashTable<(HostName, T)>>;

impl<T> Shards<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        let hash = self.hasher.hash_one(name);
        let shard = self.shards.get(shard_of(hash))?;
        shard.find(hash, |(own, _)| own.as_str() == name).map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<T: Clone> Shards<T> {
    /// Adds or replaces; the value that stood there is returned.
    pub(super) fn insert(&mut self, name: HostName, value: T) -> Option<T> {
        match self.place(&name) {
            Entry::Occupied(mut place) => Some(std::mem::replace(&mut place.get_mut().1, value)),
            Entry::Vacant(place) => {
                place.insert((name, value));
                self.len += 1;
                None
            }
        }
    }

    /// The value of `name`, made if there is none.
    pub(super) fn entry(&mut self, name: &HostName) -> &mut T
    where
        T: Default,
    {
        self.len += usize::from(self.get(name.as_str()).is_none());
        let place = self.place(name).or_insert_with(|| (name.clone(), T::default()));
        &mut place.into_mut().1
    }

    /// Takes the value of `name` out.
    pub(super) fn remove(&mut self, name: &HostName) -> Option<T> {
        self.get(name.as_str())?;
        match self.place(name) {
            Entry::Occupied(place) => {
                let ((_, value), _) = place.remove();
                self.len -= 1;
                Some(value)
            }
            Entry::Vacant(_) => None,
        }
    }

    /// Every entry, in no particular order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&HostName, &mut T)> {
        let entries = self.shards.iter_mut().flat_map(|shard| Arc::make_mut(shard).iter_mut());
        entries.map(|(name, value)| (&*name, value))
    }

    /// Where `name` is, or belongs.
    fn place(&mut self, name: &HostName) -> Entry<'_, (HostName, T)> {
        if self.shards.is_empty() {
            self.shards = vec![Arc::default(); SHARDS];
        }
        let hasher = &self.hasher;
        let hash = |name: &HostName| hasher.hash_one(name.as_str());
        let shard = self.shards.get_mut(shard_of(hash(name)));
        let shard = Arc::make_mut(shard.expect("every hash has a shard"));
        shard.entry(hash(name), |(own, _)| own == name, |(own, _)| hash(own))
    }
}

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: Vec::new(), len: 0 }
    }
}

/// Which shard a hash belongs to. The table looks at the lowest and at the highest bits.
fn shard_of(hash: u64) -> usize {
    let [_, _, high, low, ..] = hash.to_be_bytes();
    usize::from(u16::from_be_bytes([high, low])) % SHARDS
}

/// A change copies a sixty-fourth of the names, and the heads of so few tables stay in the cache of
/// a CPU that looks names up.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_its_copies_do_not_change(
            acts in prop::collection::vec((0..3_u8, 0..3000_usize, any::<u16>()), 0..400),
        ) {
            let mut shards = Shards::<u16>::default();
            let mut model = HashMap::new();
            let mut copies = Vec::new();
            for (place, (act, name, value)) in acts.into_iter().enumerate() {
                let name = HostName::parse(&format!("n{name}.example")).unwrap();
                match act {
                    0 => prop_assert_eq!(
                        shards.insert(name.clone(), value), model.insert(name, value)
                    ),
                    1 => prop_assert_eq!(shards.remove(&name), model.remove(&name)),
                    _ => {
                        *shards.entry(&name) ^= value;
                        *model.entry(name).or_default() ^= value;
                    }
                }
                if place % 50 == 0 {
                    copies.push((shards.clone(), model.clone()));
                }
            }
            copies.push((shards, model));
            for (shards, model) in &mut copies {
                prop_assert_eq!(shards.len(), model.len());
                for (name, value) in &*model {
                    prop_assert_eq!(shards.get(name.as_str()), Some(value));
                }
                let every: HashMap<_, _> =
                    shards.iter_mut().map(|(name, value)| (name.clone(), *value)).collect();
                prop_assert_eq!(&every, &*model);
            }
        }
    }
}
