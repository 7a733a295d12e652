//! Licences: counted things that tasks hold while they run.

use dayan_exchange::Command;

use crate::story::{Story, exits, first};

fn set(name: &str, count: Option<u64>) -> Command {
    Command::SetLicense { name: name.to_owned(), count }
}

#[test]
fn a_placement_takes_no_more_of_a_licence_than_are_left() {
    let mut story = Story::new();
    let unknown = story.submission("licenses: [\"ansys:2\"]\n", None);
    assert_eq!(story.asks(unknown).expect_err("nobody has it").code, "license.unknown");
    story.does(set("ansys", Some(3)));
    let many = story.submission("licenses: [\"ansys:4\"]\n", None);
    assert_eq!(story.asks(many).expect_err("there are three").code, "license.too_few");
    let gang = story.submission("gang: {nodes: 2}\nlicenses: [\"ansys:2\"]\n", None);
    assert_eq!(story.asks(gang).expect_err("four in all").code, "license.too_few");
    let hard = "licenses: [ansys]\ndeadline: {finish_within: 6h, kind: hard}\n";
    let hard = story.submission(hard, None);
    assert_eq!(story.asks(hard).expect_err("no promise").code, "deadline.license");

    let job = story.submits("array: {range: 1-2}\nlicenses: [\"ansys:2\"]\n");
    let refused = story.try_places(job, &[0, 1]).expect_err("four of three");
    assert_eq!(refused.code, "place.license");
    story.places(job, &[0]);
    let used = |story: &Story| story.state.work.licenses.get("ansys").copied();
    assert_eq!(used(&story), Some(2));
    assert_eq!(story.try_places(job, &[1]).expect_err("one is left").code, "place.license");
    story.ends(first(job, 0), exits(0));
    assert_eq!(used(&story), None);
    story.places(job, &[1]);
    // Taken away: what runs goes on, nothing new gets it.
    story.does(set("ansys", None));
    story.ends(first(job, 1), exits(0));
    assert_eq!(used(&story), None);
}

#[test]
fn a_licence_of_an_organisation_is_its_own() {
    let mut story = Story::new();
    for (name, code) in [("no-such-org/x", "org.unknown"), ("a b", "license.name")] {
        assert_eq!(story.asks(set(name, Some(1))).expect_err(name).code, code);
    }
    let absurd = story.asks(set("x", Some(u64::MAX)));
    assert_eq!(absurd.expect_err("too many").code, "license.count");
    story.does(set("buyer/sim", Some(1)));
    story.does(set("seller/sim", Some(1)));
    story.submits("licenses: [\"buyer/sim\"]\n");
    let foreign = story.submission("licenses: [\"seller/sim\"]\n", None);
    assert_eq!(story.asks(foreign).expect_err("not theirs").code, "license.unknown");
}
