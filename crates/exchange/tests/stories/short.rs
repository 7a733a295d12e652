//! What runs teach of how long a user's next job is sure to run, and for what room is left.

use dayan_exchange::{Command, Made, Seen};
use dayan_schedule::Work;
use dayan_units::{JobId, Span};

use crate::story::{Story, exits, first, seconds};

impl Story {
    /// A job of one task of so many cores, for ten hours.
    fn asks_long(&mut self, cores: u32) -> JobId {
        let resources = format!("cpus: {cores}, memory: 1GB, time: 10h");
        match self.does(Self::submission_asking(&resources, "buyer/a", "", None)) {
            Made::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }

    /// Whom a planner that starts now would place; one that heard of everything says the same.
    fn would_start(&self) -> Vec<JobId> {
        let placed = self.plans();
        let heard = self.heard().plan(self.now, Work(100_000)).placements;
        assert_eq!(placed, heard, "incremental equals fresh");
        placed.iter().map(|placement| placement.job).collect()
    }
}

#[test]
fn long_work_of_a_user_leaves_room_once_its_runs_have_told() {
    let mut story = Story::new();
    let five_hours = seconds(5 * 3_600);
    let before = story.asks_long(7);
    assert_eq!(story.state.work.jobs[&before].at_least, None, "nothing has ended yet");
    story.try_places_with(before, &[0], 7, 1).expect("it fits");
    // Something short has come, and runs.
    let short = story.submits("");
    story.places(short, &[0]);
    story.says(first(before, 0), Seen::Running, None);
    story.passes(five_hours);
    story.says(first(before, 0), Seen::Ended { outcome: exits(0) }, Some((1, five_hours)));
    let long = story.asks_long(7);
    assert_eq!(story.state.work.jobs[&long].at_least, Some(five_hours));
    // Seven of eight cores are free, of which it would leave none.
    assert_eq!(story.would_start(), []);
    let narrow = story.asks_long(6);
    assert_eq!(story.would_start(), [narrow]);
    story.does(Command::Cancel { job: narrow, task: None });
    // Nobody has come with short work for a day.
    story.passes(seconds(19 * 3_600));
    assert_eq!(story.would_start(), []);
    story.passes(Span::from_micros(1));
    assert_eq!(story.would_start(), [long]);
}
