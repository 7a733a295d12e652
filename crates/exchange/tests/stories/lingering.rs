//! Attempts that have ended well and take long to publish: their room is others', nothing more is
//! billed, and what they left is theirs to publish all the same.

use dayan_exchange::{Blame, Command, Event, JobEnd, Outcome, Phase, Seen};
use dayan_identity::Status;
use dayan_schedule::{Change, Planner, Work};
use dayan_units::{Micro, Resources};

use crate::story::{Story, exits, first, seconds};

fn free(story: &Story) -> bool {
    story.state.work.load.get(&story.pool).is_none_or(std::collections::BTreeMap::is_empty)
}

#[test]
fn what_takes_long_to_publish_gives_its_room_back() {
    let mut story = Story::new();
    story.does(Command::SetLicense { name: "ansys".to_owned(), count: Some(8) });
    let job = story.submits("array: {range: 0-7}\nlicenses: [ansys]\n");
    let all: Vec<u32> = (0..8).collect();
    story.places(job, &all);
    let other = story.submits("");
    let (pool, project) = (story.pool, story.state.work.jobs[&job].project);
    let mut planner = Planner::new();
    for change in dayan_exchange::changes::everything(&story.state, story.now) {
        planner.observe(&change);
    }
    assert!(planner.plan(story.now, Work(100_000)).placements.is_empty(), "it is full");
    story.passes(seconds(40));
    let before = story.entries.len();
    for task in all {
        // The first has been heard of, the others were over before that.
        if task == 0 {
            story.says(first(job, task), Seen::Running, None);
        }
        story.says(first(job, task), Seen::Lingering, Some((1, seconds(30))));
        // Said again, nothing changes.
        story.says(first(job, task), Seen::Lingering, Some((1, seconds(30))));
    }
    let lease = &story.state.work.leases[&first(job, 0)];
    assert!(matches!(lease.phase, Phase::Publishing { since: Some(_), .. }), "{lease:?}");
    assert!(free(&story));
    assert_eq!(story.state.work.licenses.get("ansys"), None);
    assert_eq!(story.state.work.shares.held_by(project), Resources::ZERO);
    assert_eq!(story.state.work.leases_on(pool, "n").count(), 0);

    // A planner that was told step by step, and one that has just started.
    let mut changes: Vec<Change> = Vec::new();
    for entry in &story.entries[before..] {
        dayan_exchange::changes::of_entry(&story.state, entry, &mut changes);
    }
    for change in &changes {
        planner.observe(change);
    }
    let told = planner.plan(story.now, Work(100_000)).placements;
    assert_eq!(told, story.plans());
    assert_eq!(told.len(), 1, "there is room for the other job");
    story.places(other, &[0]);

    // Windows that close meanwhile capture what was used, hold no more and end nothing.
    story.passes(seconds(3_600));
    for task in 0..8 {
        story.does(Command::CloseWindow { attempt: first(job, task) });
    }
    let stops = story.events.iter().any(|event| matches!(event, Event::StopAsked { .. }));
    assert!(!stops);
    for task in 0..8 {
        story.says(first(job, task), Seen::Ended { outcome: exits(0) }, Some((1, seconds(30))));
    }
    assert_eq!(story.ended(job), Some(JobEnd::Succeeded));
    // 8 × 30 s of a core at 1 CNY an hour.
    let spent = story.state.work.jobs[&job].spent;
    assert!((spent.0 - 66_667).abs() <= 8, "{spent:?}");
    assert_eq!(story.state.work.jobs[&job].held, Micro::ZERO);
    let nodes = &story.state.work.load[&pool];
    assert_eq!(nodes["n"].cpu.0, 1_000, "the other one's room stays its own");
}

/// A pool that comes back has the results still; one that does not has to be told to let them go.
#[test]
fn results_outlive_a_suspension_of_their_pool_and_not_its_end() {
    let mut story = Story::new();
    let job = story.submits("array: {range: 0-1}\n");
    story.places(job, &[0, 1]);
    story.passes(seconds(40));
    story.says(first(job, 0), Seen::Lingering, Some((1, seconds(30))));
    let stopped = |story: &Story| {
        let asked = |event: &Event| match event {
            Event::StopAsked { attempt, .. } => Some(attempt.task),
            _ => None,
        };
        story.events.iter().filter_map(asked).collect::<Vec<_>>()
    };
    let pool = story.pool;
    story.does(Command::SetPoolStatus { pool, status: Status::Suspended });
    assert_eq!(stopped(&story), [1], "it runs, and goes elsewhere");
    story.does(Command::SetPoolStatus { pool, status: Status::Retired });
    assert_eq!(stopped(&story), [1, 0]);
}

#[test]
fn what_could_not_be_published_in_the_end_is_billed_for_what_it_ran() {
    let mut story = Story::new();
    let job = story.submits("");
    story.places(job, &[0]);
    story.passes(seconds(20));
    story.says(first(job, 0), Seen::Lingering, Some((1, seconds(20))));
    story.passes(seconds(86_400));
    let outcome = Outcome::PublishFailed { reason: "503".to_owned(), blame: Blame::Job };
    story.says(first(job, 0), Seen::Ended { outcome }, Some((1, seconds(20))));
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
    assert!((story.state.work.jobs[&job].spent.0 - 5_556).abs() <= 1);
    assert!(free(&story));
}

#[test]
fn who_is_to_stop_is_not_granted_anything_for_lingering() {
    let mut story = Story::new();
    let job = story.submits("");
    story.places(job, &[0]);
    story.does(Command::Cancel { job, task: None });
    story.says(first(job, 0), Seen::Lingering, Some((1, seconds(1))));
    assert!(!free(&story), "what is told to stop says itself when it has");
    story.ends(first(job, 0), Outcome::Stopped);
    assert_eq!(story.ended(job), Some(JobEnd::Cancelled));
    assert!(free(&story));
}
