//! What a wrapper does whose task has ended while its job has time left: it takes the next task of
//! the same array itself, so that work of seconds does not cost a start by Slurm each.
//!
//! Invariants: it takes only what nobody has claimed, of its own batch (which asks Slurm for the same)
//! and of the same job of the exchange, so that nobody else's leavings are met; only for the first
//! minute, and only what has its whole time limit before Slurm's own. It takes from the end of the
//! array, because Slurm starts at its beginning. Asks nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use dayan_units::{JobId, Span};

use super::Taken;
use crate::slurm::batch::{elements, read_launch};
use crate::slurm::layout::{BatchId, Index, Layout, claimed_by_name};
use crate::slurm::report::{self, Claim, Claimed};
use crate::slurm::request::{TAKES_WITHIN, TIME_MARGIN};
use crate::{BootClock, BootTime};

/// So many are looked at before it is left to Slurm: of a batch of many jobs few are of the same.
const LOOKED_AT_MAX: usize = 16;

/// The job of a wrapper, for what comes after its own task.
#[derive(Clone, Copy)]
pub(super) struct Host<'a> {
    pub layout: &'a Layout,
    pub batch: BatchId,
    /// Its own element.
    pub index: Index,
    pub clock: BootClock,
    pub began: BootTime,
    /// How long Slurm lets it run, in minutes; none: for as long as it likes.
    pub minutes: Option<i64>,
}

impl Host<'_> {
    /// Takes the next one, if there is one and time for it.
    pub(super) fn take(&self, of: JobId, claim: &Claim) -> io::Result<Option<Taken>> {
        if self.age() > TAKES_WITHIN {
            return Ok(None);
        }
        let launches = self.layout.launches(self.batch);
        let mut claimed = BTreeSet::new();
        for entry in fs::read_dir(self.layout.batch(self.batch))? {
            claimed.extend(entry?.file_name().to_str().and_then(claimed_by_name));
        }
        let count = elements(&self.layout.orders(self.batch))?;
        let free: Vec<Index> = (0..count).rev().filter(|index| !claimed.contains(index)).collect();
        if free.is_empty() {
            return Ok(None);
        }
        // Those that look at the same moment begin at different places.
        let from = self.index as usize % free.len();
        for index in free.iter().cycle().skip(from).take(free.len().min(LOOKED_AT_MAX)).copied() {
            // One that was blanked is over, and is not to be read.
            let Ok(launch) = read_launch(&launches, index) else { continue };
            if launch.attempt.job != of || !self.has_time_for(launch.limits.wall) {
                continue;
            }
            let path = self.layout.claim(self.batch, index);
            if let Claimed::Now(file) = report::claim(&path, claim)? {
                return Ok(Some(Taken { index, file, launch }));
            }
        }
        Ok(None)
    }

    fn age(&self) -> Span {
        self.clock.now().since(self.began)
    }

    /// Would it have all of its time, and the moment to end and to write after it?
    fn has_time_for(&self, wall: Span) -> bool {
        let Some(minutes) = self.minutes else { return true };
        let left = Span::from_secs(minutes.saturating_mul(60)).minus(self.age());
        left.minus(TIME_MARGIN) >= wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::batch::{Order, write_launches, write_orders};
    use crate::slurm::book::tests::launch;
    use crate::slurm::file_clock::FileTime;
    use crate::{BootId, Launch, Limits};

    fn takes(host: &Host<'_>, of: JobId) -> Vec<Index> {
        let claim = Claim::Wrapper { node: "n1".to_owned(), job: None, under: Some(host.index) };
        let next = || host.take(of, &claim).expect("reads").map(|taken| taken.index);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_is_free_of_the_same_job_is_taken_once_from_the_end_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = Layout::open(dir.path()).expect("opens");
        let batch = BatchId(7);
        fs::create_dir(layout.batch(batch)).expect("made");
        let limits = Limits { wall: Span::from_secs(600), ..Limits::default() };
        let mut launches: Vec<Launch> = (0..6)
            .map(|task| Launch { limits: limits.clone(), ..launch(task, BootId(1), i64::MAX) })
            .collect();
        let of = launches[0].attempt.job;
        launches[4].attempt.job = JobId::from_bits(99);
        launches[3].limits.wall = Span::from_secs(4_000);
        write_launches(&layout.launches(batch), &launches.iter().collect::<Vec<_>>())
            .expect("writes");
        let order = Order { until: FileTime(0), stop: None, ask: None };
        write_orders(&layout.orders(batch), &[order; 6]).expect("writes");
        let engine = Claim::Engine { outcome: crate::Outcome::Stopped };
        let closed = report::claim(&layout.claim(batch, 2), &engine).expect("claims");
        assert!(matches!(closed, Claimed::Now(_)));
        let clock = BootClock::of_this_machine().expect("a clock");
        let began = clock.now();
        let host = Host { layout: &layout, batch, index: 0, clock, began, minutes: Some(12) };
        // Five minutes are no whole time limit; after a minute it is Slurm's turn.
        assert!(takes(&Host { minutes: Some(5), ..host }, of).is_empty());
        let late = began.plus(Span::ZERO.minus(TAKES_WITHIN.times(2)));
        assert!(takes(&Host { began: late, minutes: None, ..host }, of).is_empty());
        assert_eq!(
            takes(&host, of),
            [5, 1, 0],
            "another's, a longer one and a closed one are left"
        );
        assert_eq!(takes(&host, JobId::from_bits(99)), [4]);
        let host = Host { minutes: None, ..host };
        assert_eq!(takes(&host, of), [3], "without a limit there is time for each");
    }
}
