//! A budget against a model that keeps every hold and every capture and adds them up anew.

use std::collections::BTreeMap;

use dayan_market::{BudgetLimits, BudgetScope, BudgetState, LimitsDefect, Shares, ZoneOffset};
use dayan_units::{JobId, Micro, Span, Time};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Hold {
        job: u128,
        amount: i64,
    },
    /// Of the hold with that number (modulo those open), that share of what is left.
    Capture {
        hold: usize,
        permille: i64,
    },
    Release {
        hold: usize,
    },
    Wait {
        secs: i64,
    },
    Forget {
        job: u128,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u128..4, 0i64..40).prop_map(|(job, amount)| Step::Hold { job, amount }),
        4 => (0usize..64, 0i64..=1_000)
            .prop_map(|(hold, permille)| Step::Capture { hold, permille }),
        2 => (0usize..64).prop_map(|hold| Step::Release { hold }),
        2 => (-100_000i64..200_000).prop_map(|secs| Step::Wait { secs }),
        1 => (0u128..4).prop_map(|job| Step::Forget { job }),
    ]
}

fn any_limit() -> impl Strategy<Value = Option<Micro>> {
    proptest::option::of((0i64..200).prop_map(Micro))
}

/// Job, start of the day, start of the month, amount.
type Capture = (JobId, Time, Time, i64);

#[derive(Default)]
struct Model {
    /// Job, amount left.
    holds: Vec<(JobId, i64)>,
    captures: Vec<Capture>,
    forgotten: BTreeMap<JobId, usize>,
}

impl Model {
    /// Spent and held: for the job, the day, the month.
    fn used(&self, job: JobId, day: Time, month: Time) -> [(i64, i64); 3] {
        let since = self.forgotten.get(&job).copied().unwrap_or(0);
        let held: i64 = self.holds.iter().map(|hold| hold.1).sum();
        let of_job: i64 = self.holds.iter().filter(|hold| hold.0 == job).map(|hold| hold.1).sum();
        let spent = |keep: &dyn Fn(usize, &Capture) -> bool| -> i64 {
            let all = self.captures.iter().enumerate();
            all.filter(|(place, capture)| keep(*place, capture)).map(|(_, c)| c.3).sum()
        };
        [
            (spent(&|place, capture| place >= since && capture.0 == job), of_job),
            (spent(&|_, capture| capture.1 == day), held),
            (spent(&|_, capture| capture.2 == month), held),
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn spent_and_held_never_exceed_a_limit(
        per_job in any_limit(), per_day in any_limit(), per_month in any_limit(),
        job_limit in any_limit(), steps in proptest::collection::vec(any_step(), 1..150),
    ) {
        let limits = BudgetLimits { per_job, per_day, per_month, warn_permille: vec![500, 900] };
        prop_assert_eq!(limits.check(), Ok(()));
        let mut state = BudgetState::new(limits);
        let mut model = Model::default();
        let zone = ZoneOffset::CHINA;
        let mut now = "2026-01-30T00:00:00Z".parse::<Time>().expect("a time");
        // The state knows of no time before its first change.
        let mut latest = Time::EPOCH;
        let mut warned: BTreeMap<(BudgetScope, JobId, Time), u32> = BTreeMap::new();
        let effective = match (per_job, job_limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        for step in steps {
            let periods = zone.periods(now);
            // Time that went back counts as the latest seen by a change.
            let counted = zone.periods(latest.max(now));
            match step {
                Step::Wait { secs } => now = now.plus(Span::from_secs(secs)),
                Step::Hold { job, amount } => {
                    let job = JobId::from_bits(job);
                    let used = model.used(job, counted.day.start, counted.month.start);
                    let limits = [effective, per_day, per_month];
                    let over = used.iter().zip(limits).position(|((spent, held), limit)| {
                        limit.is_some_and(|limit| spent + held + amount > limit.0)
                    });
                    let answer = state.admit(&periods, job, job_limit, Micro(amount));
                    match (answer, over) {
                        (Ok(warnings), None) => {
                            for warning in warnings {
                                let start = match warning.scope {
                                    BudgetScope::Job => Time::EPOCH,
                                    BudgetScope::Day => counted.day.start,
                                    BudgetScope::Month => counted.month.start,
                                };
                                let job = match warning.scope {
                                    BudgetScope::Job => job,
                                    BudgetScope::Day | BudgetScope::Month => JobId::from_bits(99),
                                };
                                let reached = i128::from(warning.used.0) * 1_000;
                                let line = |permille| i128::from(warning.limit.0) * permille;
                                prop_assert!(reached >= line(i128::from(warning.permille)));
                                let before = warned.insert((warning.scope, job, start), warning.permille);
                                prop_assert!(before.unwrap_or(0) < warning.permille, "warned twice");
                            }
                            state.held(&periods, job, job_limit, Micro(amount));
                            latest = latest.max(now);
                            model.holds.push((job, amount));
                        }
                        (Err(refusal), Some(place)) => {
                            let scope =
                                [BudgetScope::Job, BudgetScope::Day, BudgetScope::Month][place];
                            prop_assert_eq!(refusal.scope, scope);
                            let limit = limits[place].expect("it stood in the way").0;
                            let (spent, held) = used[place];
                            prop_assert_eq!(refusal.left, Micro(limit - spent - held));
                        }
                        (answer, over) => {
                            prop_assert!(false, "{answer:?} where the model says {over:?}");
                        }
                    }
                }
                Step::Capture { hold, permille } => {
                    if let Some(place) = hold.checked_rem(model.holds.len()) {
                        let (job, left) = &mut model.holds[place];
                        let amount = *left * permille / 1_000;
                        *left -= amount;
                        state.captured(&periods, *job, Micro(amount));
                        latest = latest.max(now);
                        let (day, month) = (counted.day.start, counted.month.start);
                        model.captures.push((*job, day, month, amount));
                    }
                }
                Step::Release { hold } => {
                    if let Some(place) = hold.checked_rem(model.holds.len()) {
                        let (job, left) = model.holds.swap_remove(place);
                        state.released(&periods, job, Micro(left));
                        latest = latest.max(now);
                    }
                }
                Step::Forget { job } => {
                    let job = JobId::from_bits(job);
                    // A job whose hold is open but empty must not be forgotten by its caller.
                    if model.holds.iter().all(|hold| hold.0 != job) {
                        state.forget(job);
                        model.forgotten.insert(job, model.captures.len());
                        warned.remove(&(BudgetScope::Job, job, Time::EPOCH));
                    }
                }
            }
            let periods = zone.periods(latest.max(now));
            for job in (0..4).map(JobId::from_bits) {
                let used = model.used(job, periods.day.start, periods.month.start);
                let tallies = [state.job(job), state.day(&periods), state.month(&periods)];
                for ((tally, used), limit) in
                    tallies.iter().zip(used).zip([effective, per_day, per_month])
                {
                    prop_assert_eq!((tally.spent.0, tally.held.0), used);
                    if let Some(limit) = limit {
                        prop_assert!(tally.used() <= limit);
                    }
                }
            }
        }
        let text = serde_json::to_string(&state).expect("text");
        prop_assert_eq!(serde_json::from_str::<BudgetState>(&text).expect("a state"), state);
    }

    #[test]
    fn a_lowered_limit_lets_nothing_in_until_there_is_room(
        room in 0i64..1_000, after in 0i64..1_000, held in 0i64..1_000, more in 1i64..1_000,
    ) {
        let limit = |micro| BudgetLimits { per_day: Some(Micro(micro)), ..BudgetLimits::default() };
        let now = ZoneOffset::CHINA.periods(Time::EPOCH);
        let job = JobId::from_bits(1);
        let mut state = BudgetState::new(limit(held + room));
        state.admit(&now, job, None, Micro(held)).expect("under the limit");
        state.held(&now, job, None, Micro(held));
        state.relimit(limit(after));
        let admitted = state.admit(&now, job, None, Micro(more)).is_ok();
        prop_assert_eq!(admitted, held + more <= after);
        prop_assert_eq!(state.left(&now, job, None), Some(Micro((after - held).max(0))));
    }

    #[test]
    fn parts_add_up_and_are_as_near_as_can_be(
        amount in any::<i64>(), cuts in proptest::collection::vec(0u32..=1_000, 0..6),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut permille = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([1_000]) {
            permille.push(cut - from);
            from = cut;
        }
        let shares = Shares::new(permille.clone()).expect("they add up");
        let parts = shares.split(Micro(amount));
        prop_assert_eq!(parts.iter().map(|p| i128::from(p.0)).sum::<i128>(), i128::from(amount));
        for (part, share) in parts.iter().zip(&permille) {
            let off = i128::from(part.0) * 1_000 - i128::from(amount) * i128::from(*share);
            prop_assert!(off.abs() < 1_000);
        }
        if let Some(negative) = amount.checked_neg() {
            let back: Vec<_> = shares.split(Micro(negative)).iter().map(|p| Micro(-p.0)).collect();
            prop_assert_eq!(back, parts);
        }
    }
}

#[test]
fn what_is_held_carries_over_and_what_is_spent_does_not() {
    let zone = ZoneOffset::CHINA;
    let limits = BudgetLimits { per_day: Some(Micro(100)), ..BudgetLimits::default() };
    let mut state = BudgetState::new(limits);
    let job = JobId::from_bits(1);
    let today = zone.periods("2026-11-23T15:00:00Z".parse().expect("a time"));
    let tomorrow = zone.periods("2026-11-23T16:00:00Z".parse().expect("a time"));
    let warnings = state.admit(&today, job, None, Micro(90)).expect("room");
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].scope, warnings[0].permille), (BudgetScope::Day, 800));
    state.held(&today, job, None, Micro(90));
    state.captured(&today, job, Micro(60));
    let refusal = state.admit(&today, job, None, Micro(11)).expect_err("only 10 are left");
    assert_eq!(refusal.code(), "market.budget_day");
    assert_eq!(refusal.left, Micro(10));
    assert_eq!(refusal.resets_at, Some(tomorrow.day.start));
    assert_eq!(state.admit(&tomorrow, job, None, Micro(70)).map(|w| w.len()), Ok(1));
    assert!(state.admit(&tomorrow, job, None, Micro(71)).is_err());
    state.captured(&tomorrow, job, Micro(30));
    assert_eq!(state.day(&tomorrow).spent, Micro(30));
    assert_eq!(state.month(&tomorrow).spent, Micro(90));
    state.forget(job);
    assert_eq!(state.job(job).spent, Micro::ZERO);
    state.refunded(&tomorrow, job, Micro(40));
    assert_eq!(state.day(&tomorrow).spent, Micro::ZERO);
    assert_eq!(state.month(&tomorrow).spent, Micro(50));
}

#[test]
#[should_panic(expected = "captured or released where")]
fn more_than_is_held_cannot_be_captured() {
    let now = ZoneOffset::CHINA.periods(Time::EPOCH);
    let mut state = BudgetState::new(BudgetLimits::default());
    state.held(&now, JobId::from_bits(1), None, Micro(5));
    state.captured(&now, JobId::from_bits(1), Micro(6));
}

#[test]
fn limits_are_judged() {
    let check = |per_day, warn: &[u32], expect| {
        let limits = BudgetLimits {
            per_day: Some(Micro(per_day)),
            warn_permille: warn.to_vec(),
            ..BudgetLimits::default()
        };
        assert_eq!(limits.check(), expect);
    };
    check(0, &[], Ok(()));
    check(-1, &[], Err(LimitsDefect::Negative));
    check(1, &[500, 1_000], Ok(()));
    check(1, &[500, 500], Err(LimitsDefect::Thresholds));
    check(1, &[0], Err(LimitsDefect::Thresholds));
    check(1, &[1_001], Err(LimitsDefect::Thresholds));
    check(1, &[1, 2, 3, 4, 5, 6, 7, 8, 9], Err(LimitsDefect::Thresholds));
}
