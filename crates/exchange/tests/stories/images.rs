//! Pools of containers: they run images, and jobs without one only if they say so.

use dayan_exchange::{Command, PoolNews, changes};
use dayan_schedule::{Planner, ReasonCode, Work};

use crate::story::{Story, join};

impl Story {
    pub(super) fn shows(&mut self, engine: &str, features: &[&str]) {
        let mut shown = join().shown;
        engine.clone_into(&mut shown.engine);
        shown.features = features.iter().map(|name| (*name).to_owned()).collect();
        let agent = self.agent;
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        self.does(Command::PoolNews(Box::new(news)));
    }

    /// How many tasks would be placed now, and why the job waits if none.
    fn would_place(&self, job: dayan_units::JobId) -> (usize, Vec<(ReasonCode, String)>) {
        let mut planner = Planner::new();
        for change in changes::everything(&self.state, self.now) {
            planner.observe(&change);
        }
        let placed = planner.plan(self.now, Work::UNBOUNDED).placed_len();
        let why = planner.explain(job, self.now).map(|why| why.reasons).unwrap_or_default();
        (placed, why.into_iter().map(|reason| (reason.code, reason.message)).collect())
    }
}

#[test]
fn a_job_without_an_image_goes_where_those_are_run() {
    let mut story = Story::new();
    let job = story.submits("");
    let check = |story: &mut Story, engine: &str, features: &[&str], placed: usize| {
        story.shows(engine, features);
        let (would, why) = story.would_place(job);
        assert_eq!(would, placed, "{engine} {features:?}: {why:?}");
        if placed == 0 {
            assert_eq!(why[0].0, ReasonCode::PoolFeature);
            assert!(why[0].1.contains("jobs_without_image"), "{why:?}");
        }
    };
    check(&mut story, "process", &[], 1);
    check(&mut story, "podman", &["containers"], 0);
    check(&mut story, "podman", &["containers", "jobs_without_image"], 1);
    check(&mut story, "kubernetes", &["containers"], 0);
    check(&mut story, "slurm", &[], 1);
}

/// The planner knows words of pools by heart where it says more than that they are missing.
#[test]
fn words_that_the_planner_explains_are_those_of_job_files() {
    let known = |word: &str| {
        let staging = dayan_spec::Feature::Staging.as_str();
        [staging, dayan_spec::JOBS_WITHOUT_IMAGE].contains(&word)
    };
    let mut words = dayan_schedule::EXPLAINED.iter().map(|(word, _)| *word);
    assert!(words.all(known), "{:?}", dayan_schedule::EXPLAINED);
}

#[test]
fn a_job_with_an_image_goes_where_containers_are() {
    let mut story = Story::new();
    story.shows("podman", &["containers"]);
    let job = story.submits("image: registry.local/a:1\n");
    assert_eq!(story.would_place(job).0, 1);
    story.shows("process", &[]);
    let (placed, why) = story.would_place(job);
    assert_eq!(placed, 0);
    assert!(why[0].1.contains("lacks containers"), "{why:?}");
}
