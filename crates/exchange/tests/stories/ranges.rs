//! Ranges: a lease is of what was granted, within what the job file asks for, and where the money does
//! not reach for more, of the least.

use dayan_exchange::{Command, Made, changes};
use dayan_market::BudgetLimits;
use dayan_schedule::Tasks;
use dayan_units::{Bytes, JobId, Micro, MilliCpu, Resources};

use crate::story::{Story, first};

impl Story {
    /// A task of one to four cores, and one gigabyte or more.
    fn asks_for_a_range(&mut self, more: &str) -> JobId {
        let resources = "cpus: 1..4, memory: 1GB..8GB, time: 10m";
        match self.does(Self::submission_asking(resources, "buyer/a", more, None)) {
            Made::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }
    fn grants(&mut self, job: JobId, cores: u64, gigabytes: u64) -> Result<u64, String> {
        self.try_places_with(job, &[0], cores, gigabytes).map_err(|no| no.code.into_owned())?;
        Ok(self.state.work.leases[&first(job, 0)].resources.cpu.0 / 1_000)
    }
}

#[test]
fn the_planner_is_told_of_ranges_that_have_a_top() {
    let mut story = Story::new();
    let range = story.asks_for_a_range("");
    let plain = story.submits("");
    let most = |job| {
        let job = &story.state.work.jobs[&job];
        changes::job_ask(&story.state, job, Tasks::one(0)).ask.most
    };
    let gigabyte = Bytes(1_000_000_000);
    let expect = Resources { cpu: MilliCpu(4_000), memory: gigabyte, ..Resources::ZERO };
    assert_eq!(most(range), Some(expect), "memory is granted from the bottom up");
    assert_eq!(most(plain), None);
    let granted: Vec<u64> = story
        .plans()
        .iter()
        .filter(|placement| placement.job == range)
        .map(|placement| placement.seats[0].resources.cpu.0)
        .collect();
    assert_eq!(granted, [4_000], "there is room for all of it, and nobody waits");
}

#[test]
fn a_lease_is_of_what_was_granted_and_never_of_more_than_was_asked_for() {
    let mut story = Story::new();
    let job = story.asks_for_a_range("");
    assert_eq!(story.grants(job, 5, 1), Err("place.resources".to_owned()));
    assert_eq!(story.grants(job, 0, 1), Err("place.resources".to_owned()));
    assert_eq!(story.grants(job, 3, 1), Ok(3));
    let load = &story.state.work.load[&story.pool]["n"];
    assert_eq!(load.cpu, MilliCpu(3_000));
}

/// Ten minutes of a core cost some 17 fen, and only the first window of them is held at once.
#[test]
fn what_is_granted_is_paid_for_to_its_end() {
    let granted = |per_day: i64| {
        let mut story = Story::new();
        let project = story.state.access.project_by_path("buyer/a").expect("created").id;
        let per_day = Some(Micro(per_day));
        let budget = BudgetLimits { per_day, ..BudgetLimits::default() };
        story.does(Command::SetBudget { project, budget });
        let job = story.asks_for_a_range("");
        story.grants(job, 4, 1)
    };
    assert_eq!(granted(700_000), Ok(4));
    assert_eq!(granted(500_000), Ok(1), "four cores would be stopped halfway");
    assert_eq!(granted(100_000), Ok(1), "the least begins, as tasks without a range do");
}

#[test]
fn where_money_is_short_it_is_the_least() {
    let mut story = Story::new();
    // A minute and what is held beside it cost some two fen a core.
    let job = story.asks_for_a_range("market: {max_price: 0.03 CNY}\n");
    assert_eq!(story.grants(job, 4, 1), Ok(1));
}
