//! A sorted set of which a copy shares all that is not changed.
//!
//! Owns the cutting into chunks: to put one value in, or to take one out, copies the chunk that it
//! belongs to and the list of chunks, so its cost grows with the square root of what there is. The
//! copies that others hold stay as they are. Refuses to know what the values are.

use std::sync::Arc;

/// Values in order, each once.
#[derive(Clone, Debug)]
pub(crate) struct Ordered<T> {
    /// None is empty; each is sorted, and ends before the next begins.
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T: Clone + Ord> Ordered<T> {
    /// Puts `value` in, unless an equal one is there.
    pub(crate) fn insert(&mut self, value: T) {
        if self.chunks.is_empty() {
            self.chunks.push(Arc::default());
        }
        // What is behind everything else goes into the last chunk.
        let at = self.chunk_of(&value).min(self.chunks.len() - 1);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Err(place) = chunk.binary_search(&value) else { return };
        let chunk = Arc::make_mut(chunk);
        chunk.insert(place, value);
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let second = chunk.split_off(CHUNK_MAX / 2);
            self.chunks.insert(at + 1, Arc::new(second));
        }
    }

    /// Takes out what equals `value`.
    pub(crate) fn remove(&mut self, value: &T) {
        let at = self.chunk_of(value);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(place) = chunk.binary_search(value) else { return };
        let chunk = Arc::make_mut(chunk);
        chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
    }

    /// The first chunk that does not end before `value`.
    fn chunk_of(&self, value: &T) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| last < value))
    }
}

impl<T> Ordered<T> {
    /// Every value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone + Ord> FromIterator<T> for Ordered<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        let chunks = values.chunks(CHUNK_MAX / 2).map(|chunk| Arc::new(chunk.to_vec()));
        Self { chunks: chunks.collect(), len: values.len() }
    }
}

/// About the square root of as many certificates as anybody has.
const CHUNK_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Numbers come and go in blocks, so that chunks are filled, split and emptied.
        #[test]
        fn it_is_a_sorted_set_and_its_copies_do_not_change(
            first in prop::collection::btree_set(0..4000_usize, 0..1500),
            acts in prop::collection::vec((any::<bool>(), 0..4000_usize, 0..900_usize), 0..12),
        ) {
            let mut ordered: Ordered<usize> = first.iter().rev().copied().collect();
            let mut model: BTreeSet<usize> = first;
            for (comes, from, count) in acts {
                let (copy, before) = (ordered.clone(), model.clone());
                for value in from..from + count {
                    if comes {
                        ordered.insert(value);
                        model.insert(value);
                    } else {
                        ordered.remove(&value);
                        model.remove(&value);
                    }
                }
                prop_assert!(ordered.iter().eq(&model));
                prop_assert_eq!(ordered.len(), model.len());
                prop_assert!(ordered.chunks.iter().all(|c| (1..=CHUNK_MAX).contains(&c.len())));
                prop_assert!(copy.iter().eq(&before), "a copy changed");
            }
        }
    }
}
