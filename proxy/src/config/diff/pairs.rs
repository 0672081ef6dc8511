//! Which entries of two lists are the same one.
//!
//! Owns how entries without names are recognised: a text by what it means, a section by any of the
//! hosts, the path or the address that it is for. Takes time in proportion to the lists, which may
//! have a hundred thousand entries. Refuses to know what else stands in a section.

use std::collections::HashMap;
use std::slice;

use super::super::error::printable;
use super::super::settings::{Setting, Settings, Word};
use super::change::{List, Order};

/// Two lists of sections, compared.
pub(super) struct Pairs<'a> {
    /// What came and went.
    pub(super) list: List,
    /// What stayed and is not the same.
    pub(super) changed: Vec<(&'a Settings, &'a Settings)>,
}

/// What makes two sections the same one, the surest first: several may be for the same host.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Likeness {
    /// All that is set.
    Whole,
    /// What one of them is for.
    Meaning,
    /// The text of that, though its variables hold something else.
    Text,
}

/// Finds those of `new` among `old`.
pub(super) fn sections<'a>(old: &'a [Settings], new: &'a [Settings]) -> Pairs<'a> {
    let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, section) in old.iter().enumerate() {
        for name in names(section) {
            known.entry(name.meaning()).or_default().push(at);
            if name.meaning() != &*name.shown {
                known.entry(&name.shown).or_default().push(at);
            }
        }
    }
    let mut taken = vec![false; old.len()];
    let mut partners = vec![None; new.len()];
    for likeness in [Likeness::Whole, Likeness::Meaning, Likeness::Text] {
        for (section, partner) in new.iter().zip(&mut partners) {
            let places = names(section).iter().filter_map(|name| match likeness {
                Likeness::Text => known.get(&*name.shown),
                Likeness::Meaning | Likeness::Whole => known.get(name.meaning()),
            });
            let found = places.flatten().copied().find(|at| {
                let is_alike = || likeness != Likeness::Whole || old.get(*at) == Some(section);
                taken.get(*at) == Some(&false) && is_alike()
            });
            if let (None, Some(at)) = (*partner, found) {
                *partner = Some(at);
                taken.iter_mut().skip(at).take(1).for_each(|taken| *taken = true);
            }
        }
    }
    let pairs = new.iter().zip(&partners);
    let stayed = pairs.clone().filter_map(|(section, at)| Some((old.get((*at)?)?, section)));
    let added = pairs.filter(|(_, at)| at.is_none()).map(|(section, _)| label(section));
    let removed = old.iter().zip(&taken).filter(|(_, taken)| !**taken);
    let list = List {
        added: added.collect(),
        removed: removed.map(|(section, _)| label(section)).collect(),
        expanded: Vec::new(),
        order: order(partners.iter().flatten()),
    };
    Pairs { list, changed: stayed.filter(|(old, new)| old != new).collect() }
}

/// How two lists of texts differ.
pub(super) fn list(old: &[Word], new: &[Word]) -> List {
    let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, word) in old.iter().enumerate().rev() {
        known.entry(word.meaning()).or_default().push(at);
    }
    let mut stayed = Vec::new();
    let mut added = Vec::new();
    for word in new {
        match known.get_mut(word.meaning()).and_then(Vec::pop) {
            Some(at) => stayed.push(at),
            None => added.push(word.shown.to_string()),
        }
    }
    let mut gone: Vec<usize> = known.into_values().flatten().collect();
    gone.sort_unstable();
    let gone = gone.into_iter().filter_map(|at| old.get(at));
    let mut removed: Vec<String> = gone.map(|word| word.shown.to_string()).collect();
    // What looks the same on both sides differs in what its variables hold.
    let (expanded, added): (Vec<_>, _) = added.into_iter().partition(|word| removed.contains(word));
    removed.retain(|word| !expanded.contains(word));
    List { added, removed, expanded, order: order(stayed.iter()) }
}

/// What a section is called in a line.
pub(super) fn label(section: &Settings) -> String {
    names(section).first().map(|name| printable(&name.shown)).unwrap_or_default()
}

/// What a section is for.
fn names(section: &Settings) -> &[Word] {
    let named = ["hosts", "path", "address"].into_iter().find_map(|key| section.get(key));
    match named {
        Some(Setting::Words(words)) => words,
        Some(Setting::Word(word)) => slice::from_ref(word),
        _ => &[],
    }
}

/// Whether entries that stayed stand as they stood.
fn order<'a>(places: impl Iterator<Item = &'a usize>) -> Order {
    if places.is_sorted() { Order::Kept } else { Order::Other }
}
