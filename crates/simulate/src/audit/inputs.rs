//! Inputs, as the checker sees them: no program starts where not all of its inputs lie, and what the
//! exchange believes of a cache was once told of it.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::Event;
use dayan_units::{AttemptId, JobId};

use crate::cache::Cache;

/// What jobs want.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    jobs: BTreeMap<JobId, Vec<u64>>,
    /// Attempts that began with inputs.
    pub(crate) staged: u64,
}

/// How sure one may be of what is believed of a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Belief {
    /// No message was lost, late or repeated.
    Exact,
    /// The last one that came may not be the last one that was sent.
    OnceTrue,
}

impl Inputs {
    pub(crate) fn event(&mut self, event: &Event) {
        if let Event::JobSubmitted { job, data, .. } = event {
            self.jobs.insert(*job, data.iter().filter_map(|data| data.key).collect());
        }
    }

    /// A program starts at a site.
    pub(crate) fn launched(&mut self, attempt: AttemptId, cache: &Cache) -> Result<(), String> {
        let wanted = self.jobs.get(&attempt.job).map_or(&[][..], Vec::as_slice);
        self.staged += u64::from(!wanted.is_empty());
        if cache.has(wanted) {
            return Ok(());
        }
        Err(format!("{attempt} starts and wants {wanted:?}, there is {:?}", cache.files()))
    }
}

/// Is what the exchange believes of a cache what it may believe?
pub(crate) fn believed(
    belief: Belief,
    known: Option<&BTreeSet<u64>>,
    cache: &Cache,
) -> Result<(), String> {
    let right = match (belief, known) {
        (_, None) => cache.files().is_empty(),
        (Belief::Exact, Some(known)) => *known == cache.files(),
        (Belief::OnceTrue, Some(known)) => known.is_subset(&cache.ever),
    };
    let text = || format!("the exchange believes {known:?}, the cache holds {:?}", cache.files());
    if right { Ok(()) } else { Err(text()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_there_is_not_believed() {
        let mut cache = Cache::default();
        assert_eq!(believed(Belief::Exact, None, &cache), Ok(()));
        cache.take_in(&[1, 2]);
        cache.take_in(&[3, 4]);
        let check = |belief, known: Option<&[u64]>, right: bool| {
            let known = known.map(|known| known.iter().copied().collect::<BTreeSet<u64>>());
            assert_eq!(believed(belief, known.as_ref(), &cache).is_ok(), right, "{known:?}");
        };
        check(Belief::Exact, Some(&[2, 3, 4]), true);
        check(Belief::Exact, Some(&[1, 2]), false);
        check(Belief::OnceTrue, Some(&[1, 2]), true);
        check(Belief::OnceTrue, Some(&[7]), false);
        check(Belief::OnceTrue, None, false);
    }
}
