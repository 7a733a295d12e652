//! The jobs of one project in one class, in their order, and which of them stand first in the class.
//! Both are made for a country's queue, of which little is in the processor's caches: nearly every
//! line is of one job, which stands in the line itself, without a tree of its own; and heads are taken
//! from the end of a tree, where nothing else has to move.
//!
//! Invariant: each is the set of what was put in and not taken out; a line of one is always written
//! the same way, so that equal lines compare as equal.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::queue::{JobIx, JobKey};

/// A job at its place.
pub(crate) type Standee = (JobKey, JobIx);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Line(Jobs);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Jobs {
    #[default]
    None,
    One(Standee),
    /// At least two.
    More(BTreeSet<Standee>),
}

impl Line {
    pub fn first(&self) -> Option<&Standee> {
        match &self.0 {
            Jobs::None => None,
            Jobs::One(job) => Some(job),
            Jobs::More(jobs) => jobs.first(),
        }
    }
    pub fn len(&self) -> usize {
        match &self.0 {
            Jobs::None => 0,
            Jobs::One(_) => 1,
            Jobs::More(jobs) => jobs.len(),
        }
    }
    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Standee> {
        let (one, more) = match &self.0 {
            Jobs::None => (None, None),
            Jobs::One(job) => (Some(job), None),
            Jobs::More(jobs) => (None, Some(jobs)),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }
    pub fn insert(&mut self, job: Standee) {
        match &mut self.0 {
            Jobs::None => self.0 = Jobs::One(job),
            Jobs::One(first) if *first == job => {}
            Jobs::One(first) => self.0 = Jobs::More(BTreeSet::from([*first, job])),
            Jobs::More(jobs) => {
                jobs.insert(job);
            }
        }
    }
    pub fn remove(&mut self, job: &Standee) {
        match &mut self.0 {
            Jobs::One(first) if first == job => self.0 = Jobs::None,
            Jobs::None | Jobs::One(_) => {}
            Jobs::More(jobs) => {
                jobs.remove(job);
                if let (1, Some(&last)) = (jobs.len(), jobs.first()) {
                    self.0 = Jobs::One(last);
                }
            }
        }
    }
}

/// The first of each open line of a class, at its place among all projects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Heads(BTreeSet<Reverse<Standee>>);

impl Heads {
    pub fn first(&self) -> Option<&Standee> {
        self.0.last().map(|Reverse(first)| first)
    }
    pub fn insert(&mut self, head: Standee) {
        self.0.insert(Reverse(head));
    }
    /// Was it there?
    pub fn remove(&mut self, head: Standee) -> bool {
        if self.first() == Some(&head) {
            return self.0.pop_last().is_some();
        }
        self.0.remove(&Reverse(head))
    }
}

impl FromIterator<Standee> for Line {
    fn from_iter<I: IntoIterator<Item = Standee>>(jobs: I) -> Self {
        let mut line = Self::default();
        for job in jobs {
            line.insert(job);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use dayan_units::{JobId, Time};
    use proptest::prelude::*;

    use super::*;

    fn job(nth: u32) -> Standee {
        let key = JobKey {
            priority: Reverse(0),
            due: Time::from_micros(i64::from(nth)),
            submitted_at: Time::EPOCH,
            job: JobId::from_bits(u128::from(nth)),
        };
        (key, nth)
    }

    proptest! {
        #[test]
        fn heads_behave_as_a_set(steps in proptest::collection::vec((0u8..4, 0u32..9), 0..40)) {
            let (mut heads, mut naive) = (Heads::default(), BTreeSet::new());
            for (step, nth) in steps {
                let head = job(nth);
                if step < 2 {
                    heads.insert(head);
                    naive.insert(head);
                } else {
                    prop_assert_eq!(heads.remove(head), naive.remove(&head));
                }
                prop_assert_eq!(heads.first(), naive.first());
            }
        }

        #[test]
        fn a_line_behaves_as_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..4), 0..30)) {
            let (mut line, mut naive) = (Line::default(), BTreeSet::new());
            for (more, nth) in steps {
                if more {
                    line.insert(job(nth));
                    naive.insert(job(nth));
                } else {
                    line.remove(&job(nth));
                    naive.remove(&job(nth));
                }
                prop_assert!(line.iter().eq(&naive));
                prop_assert_eq!((line.first(), line.len()), (naive.first(), naive.len()));
                prop_assert_eq!(&line, &naive.iter().copied().collect::<Line>());
            }
        }
    }
}
