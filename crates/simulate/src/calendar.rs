//! What happens when. Things due at the same moment happen in the order they were entered, so that
//! a run never depends on anything but its seed.

use std::collections::BTreeMap;

use dayan_units::Time;

/// Things to come.
#[derive(Debug)]
pub(crate) struct Calendar<T> {
    due: BTreeMap<(Time, u64), T>,
    entered: u64,
}

impl<T> Calendar<T> {
    pub(crate) const fn new() -> Self {
        Self { due: BTreeMap::new(), entered: 0 }
    }

    pub(crate) fn enter(&mut self, at: Time, what: T) {
        self.due.insert((at, self.entered), what);
        self.entered += 1;
    }

    /// The next thing that is due at `until` or before.
    pub(crate) fn next(&mut self, until: Time) -> Option<(Time, T)> {
        let (key, _) = self.due.first_key_value()?;
        if key.0 > until {
            return None;
        }
        self.due.pop_first().map(|((at, _), what)| (at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_first_then_order_of_entry() {
        let at = Time::from_micros;
        let mut calendar = Calendar::new();
        for (when, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
            calendar.enter(at(when), what);
        }
        let order: String = std::iter::from_fn(|| calendar.next(at(5)).map(|(_, w)| w)).collect();
        assert_eq!(order, "abcd");
        assert_eq!(calendar.next(at(9)), Some((at(9), 'e')));
    }
}
