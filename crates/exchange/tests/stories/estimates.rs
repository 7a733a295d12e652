//! A job that waits is told when it may start, once, and is scored when it does.

use dayan_exchange::Command;
use dayan_schedule::StartEstimate;
use dayan_units::Span;

use crate::story::{Story, seconds};

impl Story {
    fn estimates(&mut self, job: dayan_units::JobId, p50: i64, p90: i64) {
        let start = StartEstimate { p50: seconds(p50), p90: seconds(p90) };
        self.does(Command::Estimate { job, start });
    }
    /// Scored, within P50, within P90.
    fn scores(&self) -> (u64, u64, u64) {
        let estimates = &self.state.work.estimates;
        (estimates.scored, estimates.within_p50, estimates.within_p90)
    }
    fn waited(&self, job: dayan_units::JobId) -> Option<Span> {
        self.state.work.jobs[&job].estimate.and_then(|estimate| estimate.waited)
    }
}

#[test]
fn a_start_is_scored_once_by_what_was_told_first() {
    let mut story = Story::new();
    let job = story.submits("array: {range: 1-2}\n");
    story.estimates(job, 60, 600);
    // What is told later, or after the start, changes nothing.
    story.estimates(job, 5, 5);
    story.passes(seconds(100));
    story.places(job, &[0]);
    assert_eq!(story.scores(), (1, 0, 1));
    assert_eq!(story.waited(job), Some(seconds(100)));
    story.estimates(job, 1_000, 1_000);
    story.passes(seconds(100));
    story.places(job, &[1]);
    assert_eq!((story.scores(), story.waited(job)), ((1, 0, 1), Some(seconds(100))));
}

#[test]
fn who_pauses_a_job_is_not_foretold_and_one_that_was_not_told_is_not_scored() {
    let mut story = Story::new();
    let paused = story.submits("");
    story.estimates(paused, 60, 600);
    story.does(Command::Pause { job: paused });
    story.does(Command::Resume { job: paused });
    let quick = story.submits("");
    story.places(paused, &[0]);
    story.places(quick, &[0]);
    assert_eq!(story.scores(), (0, 0, 0));
}
