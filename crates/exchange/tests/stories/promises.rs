//! Hard deadlines are promised or refused at once; nothing that comes later breaks a promise, and
//! nothing runs into a closure.

use dayan_exchange::{Admission, Command, Event, Made, Refusal, Submit, changes};
use dayan_schedule::{Appointment, Change, Closure, NodeName, Planner, Work};
use dayan_units::{JobId, MilliCpu, PoolId, Resources, Time};

use crate::story::{Story, exits, first, seconds};

const HARD: &str = "deadline: {finish_within: 30m, kind: hard}\n";

impl Story {
    fn planner(&self) -> Planner {
        let mut planner = Planner::new();
        for change in changes::everything(&self.state, self.now) {
            planner.observe(&change);
        }
        planner
    }

    /// As the shell does it: the planner looks, then it is decided.
    fn tries_hard(&mut self, more: &str) -> Result<Made, Refusal> {
        let Command::Submit(submit) = self.submission(more, None) else { panic!("a submission") };
        let mut planner = self.planner();
        planner.plan(self.now, Work::UNBOUNDED);
        let class = dayan_market::BuyerClass::External;
        let ask = changes::ask_for(&self.state, &submit.spec, class, &submit.data);
        let by = submit.spec.deadline_at(self.now).expect("it has one");
        let admission = match planner.admit(&ask, by, self.now) {
            Ok(found) => Admission::Found(found),
            Err(no) => Admission::Refused(no),
        };
        self.asks(Command::Submit(Box::new(Submit { admission, ..*submit })))
    }

    fn hard(&mut self, more: &str) -> JobId {
        match self.tries_hard(more).expect("it can be promised") {
            Made::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }

    fn promised(&self, job: JobId) -> Vec<Appointment> {
        self.state.work.promises.of_job(job).cloned().collect()
    }

    fn closes(&mut self, from: i64, until: i64) -> Result<Made, Refusal> {
        let (from, until) = (self.now.plus(seconds(from)), self.now.plus(seconds(until)));
        let closures = vec![Closure { nodes: [].into(), from, until }];
        self.asks(Command::SetClosures { pool: self.pool, closures })
    }
}

#[test]
fn a_hard_deadline_holds_a_place_until_its_task_has_a_lease_and_others_keep_off() {
    let mut story = Story::new();
    let wide = "array: {range: 1-8}\n";
    let running = story.submits(wide);
    story.places(running, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let hard = story.hard(&format!("array: {{range: 1-4}}\n{HARD}"));
    let made = story.promised(hard);
    assert_eq!(made.len(), 4);
    assert!(made[0].from > story.now.plus(seconds(600)), "after what runs, by its limit");
    assert!(made[0].until <= story.now.plus(seconds(1_800)));
    // Seven of eight cores come free; what would outlast the promise's beginning may have four.
    story.passes(seconds(60));
    for task in 0..7 {
        story.ends(first(running, task), exits(0));
    }
    let other = story.submits(wide);
    let first_of_all = &story.plans()[0];
    assert_eq!((first_of_all.job, first_of_all.seats.len()), (hard, 4), "it may start sooner");
    story.places(other, &[0, 1, 2, 3]);
    let refused = story.try_places(other, &[4]).expect_err("the last four are promised");
    assert_eq!(refused.code, "place.promised");
    story.places(hard, &[0, 1, 2]);
    assert_eq!(story.promised(hard).iter().map(|made| made.task).collect::<Vec<_>>(), [3]);
    story.ends(first(running, 7), exits(0));
    story.places(hard, &[3]);
    assert_eq!(story.promised(hard), []);
    assert!(story.state.work.promises.is_empty());
}

#[test]
fn what_cannot_be_promised_is_refused_with_the_earliest_end_and_nothing_is_left_of_it() {
    let mut story = Story::new();
    let running = story.submits("array: {range: 1-8}\n");
    story.places(running, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let early = "deadline: {finish_within: 15m, kind: hard}\n";
    let before = story.state.clone();
    let refused = story.tries_hard(early).expect_err("ten minutes and ten more");
    assert_eq!(refused.code, "deadline.too_early");
    let earliest = story.now.plus(seconds(600 + 10 + 600));
    assert!(refused.message.contains(&earliest.to_string()), "{}", refused.message);
    assert_eq!(story.state, before);
    let soft = "deadline: {finish_within: 15m, kind: soft}\n";
    story.submits(soft);
    let big = format!("array: {{range: 1-8000}}\n{HARD}");
    let refused = story.tries_hard(&big).expect_err("too many for half an hour");
    assert_eq!(refused.code, "deadline.nowhere");
    let strict = story.tries_hard(&format!("strict: true\n{HARD}")).expect_err("both");
    assert_eq!(strict.code, "deadline.strict");
    let unasked = story.submission(HARD, None);
    assert_eq!(story.asks(unasked).expect_err("nobody looked").code, "deadline.not_sought");
}

#[test]
fn a_place_that_others_took_meanwhile_is_not_promised() {
    let mut story = Story::new();
    let (later, sooner) = (story.now.plus(seconds(60)), story.now);
    let Command::Submit(submit) = story.submission(HARD, None) else { panic!("a submission") };
    let appointment = |story: &Story, from: Time, cores: u64| Appointment {
        hold: false,
        task: 0,
        pool: story.pool,
        node: NodeName::new("n"),
        resources: Resources { cpu: MilliCpu(cores * 1_000), ..Resources::ZERO },
        from,
        until: from.plus(seconds(600)),
    };
    let with = |submit: &Submit, found: Vec<Appointment>| {
        let admission = Admission::Found(found);
        Command::Submit(Box::new(Submit { admission, ..submit.clone() }))
    };
    let whole = vec![appointment(&story, later, 8)];
    story.does(with(&submit, whole.clone()));
    let second = vec![appointment(&story, sooner, 1)];
    let refused = story.asks(with(&submit, second)).expect_err("it would run into the first");
    assert_eq!(refused.code, "deadline.raced");
    for bad in [
        vec![],
        vec![Appointment { node: NodeName::new("other"), ..whole[0].clone() }],
        vec![Appointment { pool: PoolId::from_bits(7), ..whole[0].clone() }],
        vec![Appointment { until: story.now.plus(seconds(9_999)), ..whole[0].clone() }],
        vec![Appointment { until: later, ..whole[0].clone() }],
    ] {
        let refused = story.asks(with(&submit, bad)).expect_err("it is not what was asked for");
        assert_eq!(refused.code, "deadline.raced");
    }
}

#[test]
fn a_promise_ends_with_what_it_is_for() {
    let mut story = Story::new();
    let three = format!("array: {{range: 1-3}}\n{HARD}");
    let job = story.hard(&three);
    assert_eq!(story.promised(job).len(), 3);
    story.does(Command::Cancel { job, task: Some(1) });
    assert_eq!(story.promised(job).iter().map(|made| made.task).collect::<Vec<_>>(), [0, 2]);
    story.does(Command::Pause { job });
    assert!(story.state.work.promises.is_empty(), "who pauses gives up the moment");
    story.does(Command::Resume { job });
    assert_eq!(story.plans().len(), 1, "it waits like any other");
    let whole = story.hard(&three);
    story.does(Command::Cancel { job: whole, task: None });
    assert!(story.state.work.promises.is_empty());
    // A planner that starts hears of what stands.
    let stands = story.hard(HARD);
    let told = changes::everything(&story.state, story.now);
    let told = told.iter().filter(|change| matches!(change, Change::Appointed { .. })).count();
    assert_eq!((told, story.promised(stands).len()), (1, 1));
}

#[test]
fn nothing_is_started_that_would_run_into_a_closure() {
    let mut story = Story::new();
    let job = story.submits("");
    story.closes(599, 1_200).expect("in ten minutes");
    assert_eq!(story.plans(), []);
    let refused = story.try_places(job, &[0]).expect_err("it may run for ten minutes");
    assert_eq!(refused.code, "place.promised");
    story.closes(700, 1_200).expect("a little later instead");
    assert_eq!(story.plans().len(), 1);
    let set = story.events.iter().filter(|event| matches!(event, Event::ClosuresSet { .. }));
    assert_eq!(set.count(), 2);
    let refused = story.closes(20, 10).expect_err("it ends before it begins");
    assert_eq!(refused.code, "closure.invalid");
    let closures = vec![Closure {
        nodes: [NodeName::new("other")].into(),
        from: story.now,
        until: story.now.plus(seconds(10)),
    }];
    let pool = story.pool;
    let refused = story.asks(Command::SetClosures { pool, closures }).expect_err("no such node");
    assert_eq!(refused.code, "closure.invalid");
    // A deadline is promised after it.
    let soon = "deadline: {finish_within: 22m, kind: hard}\n";
    let wide = format!("array: {{range: 1-16}}\n{soon}");
    let refused = story.tries_hard(&wide).expect_err("half of it is after the closure");
    assert_eq!(refused.code, "deadline.too_early");
    story.passes(seconds(1_200));
    story.does(Command::SetClosures { pool, closures: Vec::new() });
    assert!(story.state.supply.pools[&pool].closures.is_empty());
}

#[test]
fn a_time_is_booked_in_advance_and_nothing_of_it_starts_sooner() {
    let mut story = Story::new();
    let begin = story.now.plus(seconds(3_600));
    let end = begin.plus(seconds(600));
    let file = format!(
        "begin: {begin}\ndeadline: {{finish_by: {end}, kind: hard}}\narray: {{range: 1-8}}\n"
    );
    let booked = story.hard(&file);
    assert!(story.promised(booked).iter().all(|made| (made.from, made.until) == (begin, end)));
    let refused = story.try_places(booked, &[0]).expect_err("an hour too soon");
    assert_eq!(refused.code, "place.begin");
    let full = story.tries_hard(&file).expect_err("all cores are booked");
    assert_eq!(full.code, "deadline.too_early");
    // A span counts from the beginning.
    let within = format!("begin: {end}\ndeadline: {{finish_within: 15m, kind: hard}}\n");
    let after = story.hard(&within);
    assert!(story.promised(after)[0].from >= end);
    story.passes(seconds(3_600));
    let plans = story.plans();
    assert_eq!((plans[0].job, plans[0].seats.len()), (booked, 8));
}

impl Story {
    /// As the shell does it on a timer: what is due is sought, then decided.
    fn seeks_again(&mut self) -> usize {
        let liveness = dayan_exchange::liveness::Liveness::new(self.now);
        let nonce = || dayan_identity::Nonce([0; 32]);
        let hour = seconds(3_600);
        let due = dayan_exchange::due::due(&self.state, &liveness, self.now, hour, nonce);
        let mut sought = 0;
        for mut command in due {
            let Some(found) = dayan_exchange::due::to_admit(&self.state, &command, self.now) else {
                continue;
            };
            let by = found.spec.deadline_at(found.start).expect("it has one");
            let mut planner = self.planner();
            command.admitted(match planner.admit(&found.ask, by, self.now) {
                Ok(made) => Admission::Found(made),
                Err(no) => Admission::Refused(no),
            });
            self.does(command);
            sought += 1;
        }
        sought
    }

    fn breaks(&mut self, job: JobId, epoch: u32) {
        let attempt = dayan_units::TaskId { job, task: 0 }.attempt(epoch);
        let outcome = dayan_exchange::Outcome::NodeFailure;
        self.says(attempt, dayan_exchange::Seen::Ended { outcome }, None);
    }
}

#[test]
fn a_task_that_goes_again_is_promised_a_place_again_by_the_same_deadline() {
    let mut story = Story::new();
    let hard = story.hard(HARD);
    let by = story.now.plus(seconds(1_800));
    story.places(hard, &[0]);
    story.passes(seconds(60));
    story.breaks(hard, 1);
    assert_eq!(story.promised(hard), []);
    // All cores are taken by others for ten minutes; after that there is time enough.
    let others = story.submits("array: {range: 1-8}\n");
    story.places(others, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(story.seeks_again(), 1);
    let made = story.promised(hard);
    assert!(made[0].from >= story.now.plus(seconds(600)) && made[0].until <= by, "{made:?}");
    assert_eq!(story.seeks_again(), 0, "it has one");
}

#[test]
fn where_no_place_is_left_by_then_it_is_sought_again_later_and_no_more_after_the_deadline() {
    let mut story = Story::new();
    let hard = story.hard(HARD);
    story.places(hard, &[0]);
    story.passes(seconds(1_000));
    let others = story.submits("array: {range: 1-7}\n");
    story.places(others, &[0, 1, 2, 3, 4, 5, 6]);
    story.breaks(hard, 1);
    let last = story.submits("");
    story.places(last, &[0]);
    assert_eq!(story.seeks_again(), 1);
    assert_eq!((story.promised(hard), story.seeks_again()), (Vec::new(), 0));
    // One of them ends early, and a minute later there is room by the deadline.
    story.says(first(last, 0), dayan_exchange::Seen::Ended { outcome: exits(0) }, None);
    story.passes(seconds(60));
    assert_eq!(story.seeks_again(), 1);
    assert_eq!(story.promised(hard).len(), 1);
    // Paused, it gives its place up; resumed after the deadline nothing is sought.
    story.does(Command::Pause { job: hard });
    story.passes(seconds(1_000));
    story.does(Command::Resume { job: hard });
    assert_eq!((story.promised(hard), story.seeks_again()), (Vec::new(), 0));
}

#[test]
fn a_closure_that_is_over_is_refused_and_one_that_has_passed_is_left_out() {
    let mut story = Story::new();
    assert_eq!(story.closes(-120, -60).expect_err("it is over").code, "closure.over");
    story.closes(10, 60).expect("it is to come");
    let (from, until) = (story.now.plus(seconds(10)), story.now.plus(seconds(60)));
    story.passes(seconds(120));
    let old = Closure { nodes: [].into(), from, until };
    let (from, until) = (story.now.plus(seconds(10)), story.now.plus(seconds(60)));
    let closures = vec![old, Closure { nodes: [].into(), from, until }];
    story.does(Command::SetClosures { pool: story.pool, closures });
    assert_eq!(story.state.supply.pools[&story.pool].closures.len(), 1);
}
