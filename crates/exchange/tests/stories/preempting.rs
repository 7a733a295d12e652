//! Leases that were sold as ones that may be taken back are, for a job that waits; others never.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_exchange::{
    Command, Event, Made, NewOffer, Outcome, Place, Preempt, Refusal, Seat, Seen, StopReason,
    changes, planning,
};
use dayan_market::BuyerClass;
use dayan_schedule::{Planner, Preemption, PreemptionPolicy, Work};
use dayan_units::{AttemptId, JobId, Micro, Rate, Resources, Span, Time};

use crate::story::{Story, exits, first, seconds};

const SPOT: &str = "market: {mode: spot}\n";
const POLICY: PreemptionPolicy = PreemptionPolicy::DEFAULT;

impl Story {
    fn would_preempt(&self) -> Vec<Preemption> {
        let mut planner = Planner::new();
        for change in changes::everything(&self.state, self.now) {
            planner.observe(&change);
        }
        planner.plan(self.now, Work::UNBOUNDED).preemptions
    }

    /// Has what a planner would take back decided, and says what that was.
    fn preempts(&mut self) -> Vec<Preemption> {
        let all = self.would_preempt();
        for taken in &all {
            self.does(planning::preempt(taken));
        }
        all
    }

    fn tries(&mut self, preempt: Preempt) -> Result<Made, Refusal> {
        self.asks(Command::Preempt(Box::new(preempt)))
    }

    /// The machine's eight cores run one-core tasks of this job.
    fn full_of(&mut self, more: &str) -> JobId {
        let job = self.submits(&format!("array: {{range: 0-7}}\n{more}"));
        self.places(job, &[0, 1, 2, 3, 4, 5, 6, 7]);
        for task in 0..8 {
            self.says(first(job, task), Seen::Running, None);
        }
        job
    }

    /// It is taken back by its owner: nothing is learned of how long such a task runs.
    fn gives_up(&mut self, attempt: AttemptId) {
        self.does(Command::Cancel { job: attempt.job, task: Some(attempt.task) });
        self.ends(attempt, Outcome::Stopped);
    }

    fn state_of(&self, attempt: AttemptId) -> Option<StopReason> {
        self.state.work.leases[&attempt].stop
    }
}

#[test]
fn spot_work_pays_its_share_and_goes_only_where_spot_is_sold() {
    let mut story = Story::new();
    let job = story.submits(SPOT);
    story.places(job, &[0]);
    assert_eq!(story.state.work.leases[&first(job, 0)].terms.permille, 400);
    let offer = story.offer;
    story.does(Command::RetireOffer { offer });
    let plain = NewOffer {
        pool: story.pool,
        rate: Rate { core_hour: Micro::from_units(1), ..Rate::default() },
        minimum: Span::ZERO,
        accelerator: None,
        min: None,
        max: None,
        classes: BTreeMap::from([(BuyerClass::External, 1_000)]),
        spot_permille: None,
        tariff: None,
        valid_until: None,
    };
    story.does(Command::ListOffer(Box::new(plain)));
    let refused = story.submission(SPOT, None);
    assert_eq!(story.asks(refused).expect_err("nobody sells it").code, "spec.not_offered");
    let gang = story.submission("gang: {nodes: 2}\nmarket: {mode: spot}\n", None);
    assert_eq!(story.asks(gang).expect_err("not for gangs").code, "spec.not_offered");
}

#[test]
fn a_spot_task_makes_way_is_billed_for_what_it_used_and_goes_again_for_free() {
    let mut story = Story::new();
    let spot = story.full_of(&format!("retry: {{max: 0, when: [preempted]}}\n{SPOT}"));
    story.passes(seconds(360));
    let came = story.state.work.jobs[&spot].submitted_at;
    let head = story.submits("");
    let taken = story.preempts();
    assert_eq!(taken.len(), 1);
    let [victim] = taken[0].victims[..] else { panic!("{taken:?}") };
    assert_eq!((taken[0].for_job, victim.job), (head, spot));
    let ends_by = story.now.plus(POLICY.notice);
    assert_eq!(story.state_of(victim), Some(StopReason::Preempted { for_job: head, ends_by }));
    assert!(story.would_preempt().is_empty(), "its first set is on its way");
    // Nobody else gets what comes free: neither a newer job nor the one that was taken off.
    let other = story.submits("priority: high\n");
    story.passes(seconds(5));
    story.says(victim, Seen::Ended { outcome: Outcome::Stopped }, Some((1, seconds(360))));
    assert_eq!(story.waits(spot), [victim.task]);
    assert_eq!(story.state.work.jobs[&spot].submitted_at, came, "it keeps its age");
    let tries = &story.state.work.jobs[&spot].tries[&victim.task];
    assert_eq!((tries.failures, tries.preempted), (0, 1));
    for late in [other, spot] {
        let task = if late == spot { victim.task } else { 0 };
        let refused = story.try_places(late, &[task]).expect_err("kept for the head");
        assert_eq!(refused.code, "place.promised");
    }
    let placed = story.plans();
    assert_eq!(placed.iter().map(|placed| placed.job).collect::<Vec<_>>(), [head]);
    story.places(head, &[0]);
    assert!(story.state.work.promises.is_empty());
    // Six minutes of a core at 1 CNY an hour, for four tenths of it.
    let line = story.events.iter().find_map(|event| match event {
        Event::AttemptEnded { attempt, line, waived, .. } if *attempt == victim => {
            Some((line.as_ref().map(|line| line.amount), *waived))
        }
        _ => None,
    });
    assert_eq!(line, Some((Some(Micro(40_000)), None)));
}

#[test]
fn a_task_that_finishes_within_its_notice_has_finished() {
    let mut story = Story::new();
    let spot = story.full_of(SPOT);
    story.submits("");
    let victim = story.preempts()[0].victims[0];
    story.ends(victim, exits(0));
    assert!(story.waits(spot).is_empty());
    assert!(story.state.work.jobs[&spot].succeeded.contains(victim.task));
}

#[test]
fn who_does_not_want_to_go_again_has_failed() {
    let mut story = Story::new();
    let spot = story.full_of(&format!("retry: {{max: 3, when: [node_failure]}}\n{SPOT}"));
    story.submits("");
    let victim = story.preempts()[0].victims[0];
    story.ends(victim, Outcome::Signalled { signal: 15 });
    assert!(story.state.work.jobs[&spot].failed.contains(victim.task));
}

#[test]
fn what_is_taken_back_is_checked_again_when_it_is_decided() {
    let mut story = Story::new();
    let kept = story.full_of("");
    let head = story.submits("");
    assert!(story.would_preempt().is_empty(), "nothing was sold as spot");
    let resources = story.state.work.leases[&first(kept, 0)].resources;
    let place = |story: &Story| dayan_schedule::Appointment {
        hold: false,
        task: 0,
        pool: story.pool,
        node: dayan_schedule::NodeName::new("n"),
        resources,
        from: story.now.plus(POLICY.notice),
        until: story.now.plus(POLICY.notice).plus(seconds(600)),
    };
    let wanted = |story: &Story, victims: Vec<AttemptId>| Preempt {
        for_job: head,
        victims,
        places: vec![place(story)],
    };
    let of_others = wanted(&story, vec![first(kept, 0)]);
    assert_eq!(story.tries(of_others).expect_err("not spot").code, "preempt.kept");
    let nobody = wanted(&story, Vec::new());
    assert_eq!(story.tries(nobody).expect_err("why then?").code, "preempt.nobody");
    for task in 0..8 {
        story.gives_up(first(kept, task));
    }
    let spot = story.full_of(SPOT);
    let early = Preempt { places: vec![], ..wanted(&story, vec![first(spot, 0)]) };
    assert_eq!(story.tries(early).expect_err("for nothing").code, "preempt.not_queued");
    let mut early = wanted(&story, vec![first(spot, 0)]);
    early.places[0].from = story.now;
    assert_eq!(story.tries(early).expect_err("no notice").code, "preempt.notice");
    let mut wide = wanted(&story, vec![first(spot, 0)]);
    wide.places[0].resources.cpu = dayan_units::MilliCpu(2_000);
    assert_eq!(story.tries(wide).expect_err("one core is not two").code, "preempt.no_help");
    let good = wanted(&story, vec![first(spot, 0)]);
    story.tries(good.clone()).expect("it may go");
    let again = Preempt { victims: vec![first(spot, 1)], ..good };
    assert_eq!(story.tries(again).expect_err("one set").code, "preempt.on_its_way");
    // A user who cancels what is being taken off means it.
    story.does(Command::Cancel { job: spot, task: Some(0) });
    story.ends(first(spot, 0), Outcome::Stopped);
    assert!(story.state.work.jobs[&spot].cancelled.contains(0));
}

#[test]
fn a_task_is_spared_after_it_was_taken_off_and_in_the_end_for_good() {
    let mut story = Story::new();
    story.pays(1_000, "second");
    let spot = story.submits(SPOT);
    let mut victim = first(spot, 0);
    for time in 1..=POLICY.task_max {
        story.places(spot, &[0]);
        let filler = story.submits("array: {range: 0-6}\n");
        story.places(filler, &[0, 1, 2, 3, 4, 5, 6]);
        let head = story.submits("");
        let taken = story.preempts();
        assert_eq!(taken.len(), 1, "time {time}");
        assert_eq!(taken[0].victims, [victim]);
        story.ends(victim, Outcome::Stopped);
        story.places(head, &[0]);
        story.gives_up(first(head, 0));
        story.places(spot, &[0]);
        victim.attempt += 1;
        let lease = &story.state.work.leases[&victim];
        let for_good = story.state.work.spared_until(lease) == Time::NEVER;
        assert_eq!(for_good, time == POLICY.task_max);
        let head = story.submits("");
        assert!(story.would_preempt().is_empty(), "it was taken off just now");
        story.does(Command::Cancel { job: head, task: None });
        if for_good {
            break;
        }
        // All begin anew, some time later.
        for task in 0..7 {
            story.gives_up(first(filler, task));
        }
        story.ends(victim, Outcome::NodeFailure);
        victim.attempt += 1;
        story.passes(POLICY.task_spared);
    }
    story.passes(seconds(60));
    story.submits("");
    assert!(story.would_preempt().is_empty(), "three times are enough");
}

#[test]
fn what_is_not_taken_up_in_time_is_free_again() {
    let mut story = Story::new();
    let spot = story.full_of(SPOT);
    let head = story.submits("");
    let victim = story.preempts()[0].victims[0];
    story.ends(victim, Outcome::Stopped);
    story.does(Command::LapsePlaces { job: head });
    assert!(!story.state.work.promises.is_empty(), "its time is not over");
    story.passes(seconds(600));
    let liveness = dayan_exchange::liveness::Liveness::new(story.now);
    let nonce = || dayan_identity::Nonce([0; 32]);
    let due = dayan_exchange::due::due(&story.state, &liveness, story.now, seconds(60), nonce);
    assert!(due.contains(&Command::LapsePlaces { job: head }));
    story.does(Command::LapsePlaces { job: head });
    assert!(story.state.work.promises.is_empty() && story.state.work.kept_for.is_empty());
    story.places(spot, &[victim.task]);
}

#[test]
fn a_placement_beside_what_is_taken_back_counts_with_its_early_end() {
    let mut story = Story::new();
    let spot = story.full_of(SPOT);
    for task in 1..8 {
        story.gives_up(first(spot, task));
    }
    let wide = story.submits("");
    story.places(wide, &[0]);
    let filler = story.submits("array: {range: 0-5}\n");
    story.places(filler, &[0, 1, 2, 3, 4, 5]);
    let head = story.submits("");
    let taken = story.preempts();
    assert_eq!(taken.iter().map(|one| one.for_job).collect::<Vec<_>>(), [head]);
    story.gives_up(first(wide, 0));
    // A core is free, and one more will be: the head's promise does not stand in the way.
    let seat = Seat {
        task: 0,
        pool: story.pool,
        node: "n".to_owned(),
        offer: story.offer,
        resources: Resources { cpu: dayan_units::MilliCpu(1_000), ..taken[0].places[0].resources },
        cards: dayan_schedule::Cards::NONE,
    };
    let other = story.submits("");
    story.does(Command::Place(Box::new(Place { job: other, seats: vec![seat] })));
    assert!(story.waits(other).is_empty());
}

#[test]
fn what_is_promised_is_not_spot_and_is_never_taken_back() {
    let hard = "deadline: {finish_within: 30m, kind: hard}\n";
    for market in [SPOT, "market: {mode: spot, fallback: on_demand}\n"] {
        let mut story = Story::new();
        let both = story.submission(&format!("{hard}{market}"), None);
        assert_eq!(story.asks(both).expect_err("one or the other").code, "deadline.spot");
        let again = "schedule: {cron: \"0 6 * * *\"}\n";
        let repeats = story.submission(&format!("{hard}{market}{again}"), None);
        assert_eq!(story.asks(repeats).expect_err("nor again").code, "deadline.spot");
        story.submits(&format!("deadline: {{finish_within: 30m, kind: soft}}\n{market}"));
    }
    // What was accepted before this was refused keeps its promise.
    let mut story = Story::new();
    let spot = story.full_of(SPOT);
    let head = story.submits("");
    let before = story.would_preempt();
    assert_eq!(before.len(), 1);
    let key = story.state.work.jobs[&spot].spec;
    let stored = story.state.work.specs.get_mut(&key).expect("it is there");
    Arc::make_mut(&mut stored.spec).deadline = Some(dayan_spec::Deadline {
        finish: dayan_spec::Finish::Within(seconds(1_800)),
        kind: dayan_spec::DeadlineKind::Hard,
    });
    assert!(story.would_preempt().is_empty(), "no lease of it is one that may go");
    let taken = story.tries(*match planning::preempt(&before[0]) {
        Command::Preempt(taken) => taken,
        other => panic!("{other:?}"),
    });
    assert_eq!(taken.expect_err("it is promised").code, "preempt.kept");
    assert_eq!(before[0].for_job, head);
}
