//! The series of a family, by the values of their labels.
//!
//! Owns which series there are, and which of them are shown: from the start, or once there is
//! something in them. Their labels are written when a series begins, as they are shown, and are
//! not written again. Whoever still holds the number of a series that was let go of counts on, and
//! nobody sees it. Refuses to know names and formats. Read next: `exposition`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use prometheus::{Counter, Gauge, IntGauge};

use super::exposition::{Sheet, write_label};
use super::families::{Family, Kind};
use crate::count::{Histogram, IntCounter};

/// One number for each combination of label values. Cheap to clone.
pub struct Vector<N>(Arc<Kept<N>>);

struct Kept<N> {
    labels: &'static [&'static str],
    begin: Box<dyn Fn() -> N + Send + Sync>,
    series: RwLock<BTreeMap<Box<str>, Series<N>>>,
}

/// Counters by labels.
pub type IntCounterVec = Vector<IntCounter>;
/// Whole numbers that go up and down, by labels.
pub type IntGaugeVec = Vector<IntGauge>;
/// Numbers that go up and down, by labels.
pub type GaugeVec = Vector<Gauge>;
/// Histograms by labels.
pub(super) type HistogramVec = Vector<Histogram>;

struct Series<N> {
    number: N,
    sight: Sight,
}

/// When a series is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sight {
    /// Always: nobody sees a counter rise that is first seen at one.
    Always,
    /// Once there is something in it.
    Counted,
}

impl<N: Clone> Vector<N> {
    /// The number with these values of the labels, which is shown from now on.
    pub fn with_label_values<V: AsRef<str>>(&self, values: &[V]) -> N {
        self.resolve(values, Sight::Always)
    }

    /// The number with these values of the labels; if it is not shown yet, it will be once there
    /// is something in it.
    pub(super) fn unseen<V: AsRef<str>>(&self, values: &[V]) -> N {
        self.resolve(values, Sight::Counted)
    }

    /// Lets go of the series with these values of the labels, if there is one.
    pub fn remove_label_values<V: AsRef<str>>(&self, values: &[V]) {
        let labels = self.written(values);
        self.write().remove(&*labels);
    }

    /// Lets go of all series.
    pub fn reset(&self) {
        self.write().clear();
    }

    fn resolve<V: AsRef<str>>(&self, values: &[V], sight: Sight) -> N {
        let labels = self.written(values);
        if let Some(known) = self.read().get(&*labels)
            && (known.sight == Sight::Always || sight == Sight::Counted)
        {
            return known.number.clone();
        }
        let mut series = self.write();
        let begin = || Series { number: (self.0.begin)(), sight };
        let one = series.entry(labels.into_boxed_str()).or_insert_with(begin);
        if sight == Sight::Always {
            one.sight = sight;
        }
        one.number.clone()
    }

    /// What stands between the brackets.
    fn written<V: AsRef<str>>(&self, values: &[V]) -> String {
        debug_assert_eq!(self.0.labels.len(), values.len(), "a value for each label");
        let mut written = String::new();
        for (label, value) in self.0.labels.iter().zip(values) {
            if !written.is_empty() {
                written.push(',');
            }
            write_label(&mut written, label, value.as_ref());
        }
        written
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Box<str>, Series<N>>> {
        self.0.series.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Box<str>, Series<N>>> {
        self.0.series.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N> Clone for Vector<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N> std::fmt::Debug for Vector<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vector").field("labels", &self.0.labels).finish_non_exhaustive()
    }
}

/// A number of any kind.
pub(super) trait Number: Clone + Send + Sync + 'static {
    /// One that nothing was done to.
    fn begin(kind: Kind) -> Self;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool;

    /// Writes it down as the series with these labels.
    fn tell(&self, labels: &str, sheet: &mut Sheet<'_>);
}

/// What stands behind a name: a number, or several by labels.
pub(super) trait Numbers: Sized {
    /// Without any series that has labels.
    fn create(family: &Family) -> Self;

    /// Writes all series down that are shown.
    fn tell_all(&self, sheet: &mut Sheet<'_>);

    /// Lets go of the series that have this value of this label.
    fn forget(&self, _label: &str, _value: &str) {}
}

impl<N: Number> Numbers for N {
    fn create(family: &Family) -> Self {
        Self::begin(family.kind)
    }

    fn tell_all(&self, sheet: &mut Sheet<'_>) {
        self.tell("", sheet);
    }
}

impl<N: Number> Numbers for Vector<N> {
    fn create(family: &Family) -> Self {
        let kind = family.kind;
        let begin = Box::new(move || N::begin(kind));
        Self(Arc::new(Kept { labels: family.labels, begin, series: RwLock::default() }))
    }

    fn tell_all(&self, sheet: &mut Sheet<'_>) {
        for (labels, series) in &*self.read() {
            if series.sight == Sight::Always || !series.number.is_empty() {
                series.number.tell(labels, sheet);
            }
        }
    }

    fn forget(&self, label: &str, value: &str) {
        let mut wanted = String::from(",");
        write_label(&mut wanted, label, value);
        let first = wanted.get(1..).unwrap_or_default().to_owned();
        // Within a value, a backslash stands before each quotation mark.
        let is_it = |labels: &str| labels.starts_with(&first) || labels.contains(&wanted);
        self.write().retain(|labels, _| !is_it(labels));
    }
}

macro_rules! numbers {
    ($($type:ty: $kind:ident => $begin:expr, $empty:expr, $tell:expr;)+) => {
        $(impl Number for $type {
            fn begin($kind: Kind) -> Self {
                $begin
            }

            fn is_empty(&self) -> bool {
                let empty: fn(&Self) -> bool = $empty;
                empty(self)
            }

            fn tell(&self, labels: &str, sheet: &mut Sheet<'_>) {
                let tell: fn(&Self, &str, &mut Sheet<'_>) = $tell;
                tell(self, labels, sheet);
            }
        })+
    };
}

numbers! {
    Counter: _kind => Self::new(NAME, NAME).expect("the name is one"),
        |one| one.get() == 0.0, |one, labels, sheet| sheet.real(labels, one.get());
    Gauge: _kind => Self::new(NAME, NAME).expect("the name is one"),
        |one| one.get() == 0.0, |one, labels, sheet| sheet.real(labels, one.get());
    Histogram: kind => match kind {
            Kind::Histogram(bounds) => Self::new(bounds),
            Kind::Counter | Kind::Gauge => Self::new(&[]),
        },
        |one| one.count() == 0,
        |one, labels, sheet| sheet.histogram(labels, one.read().get_histogram());
    IntCounter: _kind => Self::default(),
        |one| one.get() == 0, |one, labels, sheet| sheet.natural(labels, one.get());
    IntGauge: _kind => Self::new(NAME, NAME).expect("the name is one"),
        |one| one.get() == 0, |one, labels, sheet| sheet.whole(labels, one.get());
}

/// What each is called within; the family has a name for it.
const NAME: &str = "n";

#[cfg(test)]
mod tests {
    use super::super::exposition::Exposition;
    use super::*;

    const FAMILY: Family =
        Family { name: "x", help: "X.", kind: Kind::Counter, labels: &["one", "other"] };

    fn told(vector: &IntCounterVec) -> Vec<String> {
        let text = Exposition::Text.write(0, |page| vector.tell_all(&mut page.sheet(&FAMILY)));
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn what_is_unseen_is_shown_with_the_first_that_is_counted_and_stays() {
        let vector = IntCounterVec::create(&FAMILY);
        let unseen = vector.unseen(&["a", "b"]);
        assert_eq!(told(&vector), [""; 0]);
        unseen.inc();
        assert_eq!(told(&vector), ["x{one=\"a\",other=\"b\"} 1"]);
        vector.with_label_values(&["a", "c"]);
        vector.unseen(&["a", "c"]);
        assert_eq!(told(&vector).last().unwrap(), "x{one=\"a\",other=\"c\"} 0");
        vector.unseen(&["z", "z"]);
        vector.with_label_values(&["z", "z"]);
        assert_eq!(told(&vector).len(), 3);
    }

    #[test]
    fn only_series_with_the_very_value_are_let_go_of_whatever_values_look_like() {
        let vector = IntCounterVec::create(&FAMILY);
        let sly = "a\",other=\"b";
        for values in [["a", "b"], ["ab", "b"], [sly, "c"], ["x", sly], ["x", "b\\"], ["b", "a"]] {
            vector.with_label_values(&values);
        }
        vector.forget("other", "b");
        assert_eq!(told(&vector).len(), 4);
        vector.forget("one", "a");
        assert_eq!(told(&vector).len(), 4);
        vector.forget("one", sly);
        vector.forget("other", "b\\");
        vector.forget("none", "b");
        let left = ["x{one=\"b\",other=\"a\"} 0", "x{one=\"x\",other=\"a\\\",other=\\\"b\"} 0"];
        assert_eq!(told(&vector), left);
        vector.remove_label_values(&["b", "a"]);
        vector.remove_label_values(&["b", "a"]);
        assert_eq!(told(&vector).len(), 1);
    }
}
