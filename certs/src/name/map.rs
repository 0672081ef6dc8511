//! Values found by name or by wildcard.
//!
//! Owns the order of the two: the exact name first. Refuses to know how a name is found among
//! many; that is [`super::shards`].

use super::shards::Shards;
use super::{HostName, NamePattern};

/// Values found by name, the exact name before the wildcard, in two look-ups at most. A copy shares
/// what is not changed.
#[derive(Clone, Debug)]
pub struct NameMap<T> {
    exact: Shards<T>,
    wildcard: Shards<T>,
}

impl<T> NameMap<T> {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value for `name`: its own entry, else that of the wildcard one label above.
    #[must_use]
    pub fn get(&self, name: &HostName) -> Option<&T> {
        self.get_exact(name).or_else(|| self.get_wildcard(name))
    }

    /// The entry of the name itself, wildcards aside.
    #[must_use]
    pub fn get_exact(&self, name: &HostName) -> Option<&T> {
        self.exact.get(name.as_str())
    }

    /// The entry of the wildcard that covers the name, the exact entry aside.
    #[must_use]
    pub fn get_wildcard(&self, name: &HostName) -> Option<&T> {
        self.wildcard.get(name.parent()?)
    }

    /// The entry that was inserted under this very pattern.
    #[must_use]
    pub fn get_pattern(&self, pattern: &NamePattern) -> Option<&T> {
        match pattern {
            NamePattern::Exact(name) => self.exact.get(name.as_str()),
            NamePattern::Wildcard(parent) => self.wildcard.get(parent.as_str()),
        }
    }

    /// How many patterns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len()
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Clone> NameMap<T> {
    /// Adds or replaces; the value that stood there is returned.
    pub fn insert(&mut self, pattern: NamePattern, value: T) -> Option<T> {
        match pattern {
            NamePattern::Exact(name) => self.exact.insert(name, value),
            NamePattern::Wildcard(parent) => self.wildcard.insert(parent, value),
        }
    }

    /// The entry under this very pattern, made if there is none.
    pub fn entry(&mut self, pattern: &NamePattern) -> &mut T
    where
        T: Default,
    {
        match pattern {
            NamePattern::Exact(name) => self.exact.entry(name),
            NamePattern::Wildcard(parent) => self.wildcard.entry(parent),
        }
    }

    /// Takes the entry under this very pattern away.
    pub fn remove(&mut self, pattern: &NamePattern) -> Option<T> {
        match pattern {
            NamePattern::Exact(name) => self.exact.remove(name),
            NamePattern::Wildcard(parent) => self.wildcard.remove(parent),
        }
    }

    /// Every entry, in no particular order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (NamePattern, &mut T)> {
        let exact = self.exact.iter_mut();
        let exact = exact.map(|(name, value)| (NamePattern::Exact(name.clone()), value));
        let wildcard = self.wildcard.iter_mut();
        exact.chain(wildcard.map(|(name, value)| (NamePattern::Wildcard(name.clone()), value)))
    }
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        Self { exact: Shards::default(), wildcard: Shards::default() }
    }
}
