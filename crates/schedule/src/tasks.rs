//! A set of task numbers as sorted, disjoint, non-touching half-open ranges: an array of a million
//! pending tasks is one entry. Invariant: no range is empty and between two there is a gap.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// Task numbers of one job.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u32, u32)>", into = "Vec<(u32, u32)>")]
pub struct Tasks {
    ranges: SmallVec<[(u32, u32); 1]>,
}

impl Tasks {
    /// No task.
    pub fn none() -> Self {
        Self { ranges: SmallVec::new() }
    }
    /// Just this one.
    pub fn one(task: u32) -> Self {
        Self::range(task..task.saturating_add(1))
    }
    /// All numbers of a half-open range.
    pub fn range(range: Range<u32>) -> Self {
        if range.is_empty() {
            return Self::none();
        }
        Self { ranges: smallvec![(range.start, range.end)] }
    }
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(start, end)| u64::from(end - start)).sum()
    }
    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
    /// The lowest number.
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|&(start, _)| start)
    }
    /// Is this one in?
    pub fn contains(&self, task: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end <= task);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= task)
    }
    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|&(start, end)| start..end)
    }
    /// The ranges, ascending.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }
    /// Takes the lowest number out.
    pub fn pop_first(&mut self) -> Option<u32> {
        let (start, end) = self.ranges.first_mut()?;
        let task = *start;
        *start += 1;
        if *start == *end {
            self.ranges.remove(0);
        }
        Some(task)
    }
    /// Adds one number.
    pub fn insert(&mut self, task: u32) {
        self.insert_range(task, task.saturating_add(1));
    }
    fn insert_range(&mut self, mut start: u32, mut end: u32) {
        if start >= end {
            return;
        }
        // Every range that overlaps or touches is swallowed; the swallowed ones are contiguous.
        let from = self.ranges.partition_point(|&(_, e)| e < start);
        let to = self.ranges.partition_point(|&(s, _)| s <= end);
        if from < to {
            start = start.min(self.ranges[from].0);
            end = end.max(self.ranges[to - 1].1);
            self.ranges.drain(from..to);
        }
        self.ranges.insert(from, (start, end));
    }
    /// Takes one number out; false if it was not in.
    pub fn remove(&mut self, task: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end <= task);
        let Some(&(start, end)) = self.ranges.get(at).filter(|&&(start, _)| start <= task) else {
            return false;
        };
        match (start == task, end == task + 1) {
            (true, true) => drop(self.ranges.remove(at)),
            (true, false) => self.ranges[at].0 = task + 1,
            (false, true) => self.ranges[at].1 = task,
            (false, false) => {
                self.ranges[at].1 = task;
                self.ranges.insert(at + 1, (task + 1, end));
            }
        }
        true
    }
    /// Adds all of the other set.
    pub fn add(&mut self, other: &Self) {
        for &(start, end) in &other.ranges {
            self.insert_range(start, end);
        }
    }
    /// Takes all of the other set out.
    pub fn subtract(&mut self, other: &Self) {
        for &(start, end) in &other.ranges {
            let mut kept: SmallVec<[(u32, u32); 1]> = SmallVec::new();
            for &(s, e) in &self.ranges {
                if s < start.min(e) {
                    kept.push((s, start.min(e)));
                }
                if end.max(s) < e {
                    kept.push((end.max(s), e));
                }
            }
            self.ranges = kept;
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges.iter().map(|&(start, end)| start..end)).finish()
    }
}
impl From<Vec<(u32, u32)>> for Tasks {
    fn from(ranges: Vec<(u32, u32)>) -> Self {
        let mut tasks = Self::none();
        for (start, end) in ranges {
            tasks.insert_range(start, end);
        }
        tasks
    }
}
impl From<Tasks> for Vec<(u32, u32)> {
    fn from(tasks: Tasks) -> Self {
        tasks.ranges.into_vec()
    }
}
impl FromIterator<u32> for Tasks {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut tasks = Self::none();
        for number in numbers {
            tasks.insert(number);
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn well_formed(tasks: &Tasks) -> bool {
        tasks.ranges.iter().all(|(s, e)| s < e)
            && tasks.ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            steps in proptest::collection::vec((0u8..5, 0u32..40, 0u32..12), 0..60),
        ) {
            let mut fast = Tasks::none();
            let mut naive = BTreeSet::new();
            for (kind, at, len) in steps {
                let range = at..at + len;
                match kind {
                    0 => { fast.insert(at); naive.insert(at); }
                    1 => prop_assert_eq!(fast.remove(at), naive.remove(&at)),
                    2 => { fast.add(&Tasks::range(range.clone())); naive.extend(range); }
                    3 => {
                        fast.subtract(&Tasks::range(range.clone()));
                        naive.retain(|n| !range.contains(n));
                    }
                    _ => prop_assert_eq!(fast.pop_first(), naive.pop_first()),
                }
                prop_assert!(well_formed(&fast), "{fast:?}");
                prop_assert_eq!(fast.iter().collect::<Vec<_>>(), naive.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(fast.len(), naive.len() as u64);
                prop_assert_eq!(fast.contains(at), naive.contains(&at));
            }
        }
    }
}
