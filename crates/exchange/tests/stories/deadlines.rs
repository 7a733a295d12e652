//! Soft deadlines: the planner is told of them, and how many were met is counted.

use dayan_exchange::{Command, Deadlines, Kept, changes};
use dayan_schedule::Tasks;
use dayan_units::JobId;

use crate::story::{Story, exits, first, seconds};

const SOFT: &str = "deadline: {finish_within: 20m, kind: soft}\n";

impl Story {
    fn ends_after(&mut self, job: JobId, secs: i64, code: i32) {
        self.places(job, &[0]);
        self.passes(seconds(secs));
        self.ends(first(job, 0), exits(code));
    }
    fn counted(&self) -> Deadlines {
        self.state.work.deadlines
    }
}

#[test]
fn what_was_met_and_missed_is_counted_and_what_was_taken_back_is_not() {
    let mut story = Story::new();
    let soft = |met, missed| Deadlines { soft: Kept { met, missed }, ..Deadlines::default() };
    let in_time = story.submits(SOFT);
    story.ends_after(in_time, 60, 0);
    assert_eq!(story.counted(), soft(1, 0));
    let badly = story.submits(SOFT);
    story.ends_after(badly, 60, 3);
    assert_eq!(story.counted(), soft(1, 1));
    let late = story.submits(SOFT);
    story.passes(seconds(1_190));
    story.ends_after(late, 60, 0);
    assert_eq!(story.counted(), soft(1, 2));
    let taken_back = story.submits(SOFT);
    story.does(Command::Cancel { job: taken_back, task: None });
    let none = story.submits("");
    story.ends_after(none, 60, 0);
    assert_eq!(story.counted(), soft(1, 2));
}

#[test]
fn the_planner_is_told_of_wishes_and_promises_are_another_thing() {
    let mut story = Story::new();
    let (soft, none) = (story.submits(SOFT), story.submits(""));
    let told = |job| {
        let job = &story.state.work.jobs[&job];
        changes::job_ask(&story.state, job, Tasks::one(0)).soft_deadline
    };
    assert_eq!(told(soft), Some(story.now.plus(seconds(1_200))));
    assert_eq!(told(none), None);
}
