//! Quotas: nobody is given more than it may hold at once, whoever places it; and what could never
//! run under them is not taken.

use dayan_exchange::{Command, Made, Seen, changes};
use dayan_schedule::{Planner, Quota, QuotaOf, ReasonCode, Work};
use dayan_units::{MilliCpu, OrgId, ProjectId};

use crate::story::{Story, exits, first};

impl Story {
    fn payers(&self) -> (ProjectId, OrgId) {
        let project = self.state.access.project_by_path("buyer/a").expect("created");
        (project.id, project.org)
    }

    fn limits(&mut self, of: QuotaOf, cores: u64) {
        let quota = Quota { cpu: Some(MilliCpu(cores * 1_000)), ..Quota::default() };
        self.does(Command::SetQuota { of, quota });
    }

    fn plans_now(&self) -> (Planner, usize) {
        let mut planner = Planner::new();
        for change in changes::everything(&self.state, self.now) {
            planner.observe(&change);
        }
        let plan = planner.plan(self.now, Work::UNBOUNDED);
        (planner, plan.placed_len())
    }
}

#[test]
fn a_project_is_given_no_more_than_its_quota_and_its_planner_knows() {
    let mut story = Story::new();
    let (project, _) = story.payers();
    story.limits(QuotaOf::Project(project), 2);
    let job = story.submits("array: {range: 1-4}\n");
    assert_eq!(story.plans_now().1, 2);
    story.places(job, &[0, 1]);
    // Whoever would place a third is told no.
    let refusal = story.try_places(job, &[2]).expect_err("over its quota");
    assert_eq!(refusal.code, "place.quota");
    let (planner, placed) = story.plans_now();
    assert_eq!(placed, 0);
    let why = planner.explain(job, story.now).expect("it waits");
    assert_eq!(why.reasons[0].code, ReasonCode::ProjectQuota);
    story.says(first(job, 0), Seen::Ended { outcome: exits(0) }, None);
    story.places(job, &[2]);
    // Without a quota the rest may go too.
    story.does(Command::SetQuota { of: QuotaOf::Project(project), quota: Quota::default() });
    story.places(job, &[3]);
}

#[test]
fn all_projects_of_an_organisation_share_what_it_may_hold() {
    let mut story = Story::new();
    let (_, org) = story.payers();
    story.limits(QuotaOf::Org(org), 1);
    let budget = dayan_market::BudgetLimits::default();
    story.does(Command::CreateProject { path: "buyer/b".to_owned(), budget });
    let one = story.submits("");
    let Made::Job(other) = story.does(Story::submission_of("buyer/b", "", None)) else {
        panic!("a job")
    };
    story.places(one, &[0]);
    let refusal = story.try_places(other, &[0]).expect_err("the other project holds it");
    assert_eq!(refusal.code, "place.quota");
    story.says(first(one, 0), Seen::Ended { outcome: exits(0) }, None);
    story.places(other, &[0]);
}

#[test]
fn what_could_never_run_is_refused_at_once_and_says_who_may_hold_how_much() {
    let mut story = Story::new();
    let (project, _) = story.payers();
    story.limits(QuotaOf::Project(project), 0);
    let submission = story.submission("", None);
    let refusal = story.asks(submission).expect_err("one core of none");
    assert_eq!(refusal.code, "quota.too_small");
    assert!(refusal.message.contains("buyer/a"), "{}", refusal.message);
    assert!(refusal.advice.contains("dayan quota set"), "{}", refusal.advice);
}
