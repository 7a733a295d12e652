//! Jobs that wait for others: for their start, their end, their success, or task by task.

use dayan_exchange::{Command, Event, JobEnd, Seen, changes};
use dayan_schedule::{Change, Planner, Work};
use dayan_units::JobId;

use crate::story::{Story, exits, first, seconds};

impl Story {
    fn after(&mut self, job: JobId, what: &str, more: &str) -> JobId {
        self.submits(&format!("depends_on: [\"{job}:{what}\"]\n{more}"))
    }

    /// These tasks of the job are placed now.
    fn ready(&self, job: JobId) -> Vec<u32> {
        let of = |planner: &mut Planner| -> Vec<u32> {
            let plan = planner.plan(self.now, Work::UNBOUNDED);
            plan.seats().filter(|(task, _)| task.job == job).map(|(task, _)| task.task).collect()
        };
        let mut fresh = Planner::new();
        for change in changes::everything(&self.state, self.now) {
            if !matches!(change, Change::ProjectBehind { .. }) {
                fresh.observe(&change);
            }
        }
        let ready = of(&mut fresh);
        assert_eq!(of(&mut self.heard()), ready, "who heard of it as it happened knows the same");
        ready
    }

    fn runs(&mut self, job: JobId, task: u32) {
        self.places(job, &[task]);
        self.says(first(job, task), Seen::Running, None);
    }

    fn exits_with(&mut self, job: JobId, task: u32, code: i32) {
        self.says(first(job, task), Seen::Ended { outcome: exits(code) }, None);
    }
}

const ONCE: &str = "retry: {max: 0}\n";

#[test]
fn a_job_starts_when_the_other_has_succeeded_and_not_before() {
    let mut story = Story::new();
    let prep = story.submits("");
    let next = story.after(prep, "succeeded", "");
    let early = story.try_places(next, &[0]).expect_err("it waits");
    assert_eq!(early.code, "place.depends");
    assert_eq!(story.ready(next), Vec::<u32>::new());
    story.runs(prep, 0);
    assert_eq!(story.ready(next), Vec::<u32>::new());
    story.exits_with(prep, 0, 0);
    assert_eq!(story.ready(next), [0]);
    story.places(next, &[0]);
}

#[test]
fn what_is_waited_for_can_be_a_start_an_end_or_a_failure_and_what_has_happened_counts() {
    let mut story = Story::new();
    let other = story.submits(ONCE);
    let started = story.after(other, "started", "");
    let ended = story.after(other, "ended", "");
    let failed = story.after(other, "failed", "");
    let succeeded = story.after(other, "succeeded", "");
    story.runs(other, 0);
    assert_eq!((story.ready(started), story.ready(ended)), (vec![0], vec![]));
    story.exits_with(other, 0, 3);
    assert_eq!(story.ended(other), Some(JobEnd::Failed));
    for (job, ready) in [(ended, vec![0]), (failed, vec![0]), (succeeded, vec![])] {
        assert_eq!(story.ready(job), ready);
    }
    // Retried, it may succeed after all; and what waited for its failure goes all the same.
    story.does(Command::Retry { job: other, task: None });
    assert_eq!(story.ready(failed), [0]);
    story.places(other, &[0]);
    let again = dayan_units::TaskId { job: other, task: 0 }.attempt(2);
    story.says(again, Seen::Ended { outcome: exits(0) }, None);
    assert_eq!(story.ready(succeeded), [0]);
    // Who comes later need not wait.
    let late = story.after(other, "succeeded", "");
    assert_eq!(story.ready(late), [0]);
}

#[test]
fn task_by_task_each_waits_for_the_one_of_its_number() {
    let mut story = Story::new();
    let render = story.submits("array: {range: 1-3}\n");
    let grade = story.after(render, "each", "array: {range: 1-3}\n");
    assert_eq!(story.ready(grade), Vec::<u32>::new());
    for task in [2, 0] {
        story.runs(render, task);
        story.exits_with(render, task, 0);
    }
    assert_eq!(story.ready(grade), [0, 2]);
    story.places(grade, &[2]);
    assert_eq!(story.try_places(grade, &[1]).expect_err("not yet").code, "place.depends");
    story.runs(render, 1);
    story.exits_with(render, 1, 0);
    assert_eq!(story.ready(grade), [0, 1]);
    let uneven = story.submission(&format!("depends_on: [\"{render}:each\"]\n"), None);
    assert_eq!(story.asks(uneven).expect_err("one task").code, "depends.each_size");
}

#[test]
fn a_name_means_the_newest_of_the_project_and_all_must_have_happened() {
    let mut story = Story::new();
    let old = story.submits("");
    story.passes(seconds(1));
    let new = story.submits("");
    let both = story.submits(&format!("depends_on: [\"j\", \"{old}\"]\n"));
    let waits: Vec<JobId> = story.state.work.depends.of(both).iter().map(|wait| wait.on).collect();
    assert_eq!(waits, [new, old]);
    story.runs(new, 0);
    story.exits_with(new, 0, 0);
    assert_eq!(story.ready(both), Vec::<u32>::new());
    story.runs(old, 0);
    story.exits_with(old, 0, 0);
    assert_eq!(story.ready(both), [0]);
    let nobody = story.submission("depends_on: [nobody]\n", None);
    assert_eq!(story.asks(nobody).expect_err("unknown").code, "depends.unknown");
    let hard = "deadline: {finish_within: 30m, kind: hard}\ndepends_on: [j]\n";
    let hard = story.submission(hard, None);
    assert_eq!(story.asks(hard).expect_err("no moment").code, "depends.hard_deadline");
}

#[test]
fn a_paused_job_is_not_freed_and_what_retires_is_forgotten() {
    let mut story = Story::new();
    let prep = story.submits("");
    let next = story.after(prep, "ended", "");
    story.does(Command::Pause { job: next });
    story.does(Command::Cancel { job: prep, task: None });
    assert_eq!(story.ready(next), Vec::<u32>::new());
    story.does(Command::Resume { job: next });
    assert_eq!(story.ready(next), [0]);
    story.passes(seconds(40 * 86_400));
    story.does(Command::Retire { before: story.now, jobs_max: 10 });
    assert!(story.events.iter().any(|event| matches!(event, Event::JobRetired { .. })));
    assert_eq!(story.ready(next), [0], "what has happened has");
}
