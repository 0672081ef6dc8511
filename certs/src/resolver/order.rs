//! The orders in which all credentials are kept.
//!
//! Owns the comparisons: by path, which decides who is the default, and by end of validity, which
//! people ask for. Refuses to know how a sorted set is kept; that is [`crate::ordered`].

use std::cmp::Ordering;
use std::sync::Arc;

use crate::credential::Credential;

/// A credential in path order.
#[derive(Clone, Debug)]
pub(super) struct ByPlace(pub(super) Arc<Credential>);

/// A credential in the order in which they end, and of one end in that of their labels.
#[derive(Clone, Debug)]
pub(super) struct ByEnd(pub(super) Arc<Credential>);

impl Ord for ByPlace {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.place().cmp(&other.0.place())
    }
}

impl Ord for ByEnd {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |Self(credential): &Self| credential.not_after();
        key(self).cmp(&key(other)).then_with(|| self.0.label().cmp(other.0.label()))
    }
}

macro_rules! ordered {
    ($($order:ty),+) => {
        $(
            impl PartialOrd for $order {
                fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                    Some(self.cmp(other))
                }
            }

            impl PartialEq for $order {
                fn eq(&self, other: &Self) -> bool {
                    self.cmp(other).is_eq()
                }
            }

            impl Eq for $order {}
        )+
    };
}

ordered! { ByPlace, ByEnd }
