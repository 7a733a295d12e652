//! Tasks that have time to save their state before they stop.

use dayan_exchange::{Command, JobEnd};
use dayan_identity::Status;

use crate::story::{Story, exits, first};

#[test]
fn who_was_asked_to_save_and_ends_well_has_saved_and_is_not_done() {
    let check = |more: &str, expect: Option<JobEnd>| {
        let mut story = Story::new();
        story.shows("process", &["checkpoint"]);
        let job = story.submits(more);
        story.places(job, &[0]);
        let pool = story.pool;
        story.does(Command::SetPoolStatus { pool, status: Status::Suspended });
        story.ends(first(job, 0), exits(0));
        assert_eq!(story.ended(job), expect, "{more}");
        story.waits(job)
    };
    assert_eq!(check("checkpoint: {path: state}\n", None), vec![0]);
    // Without one it was not asked for anything that it could end well by.
    assert_eq!(check("", Some(JobEnd::Succeeded)), Vec::<u32>::new());
}
