//! What a market came to over time and by the job: what a picture shows and a report does not carry.
//!
//! Invariant: it sums up the same list of attempts that the report sums up; the mean of what is drawn
//! is the figure of the report. It opens no file and knows no words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use dayan_units::{Span, Time};

use super::draw::{Market, Pool};
use super::{Attempt, Outcome};
use crate::plot::FreeRuns;

/// Means over so many parts of the time are kept: about two pixels each.
pub const PARTS: usize = 240;
/// Machines shown one by one: of eight cards each, a card is two pixels high.
const MACHINES_MAX: u32 = 16;
/// Of a long run so much is shown task by task: more would not be seen.
const SHOWN: Span = Span::from_secs(86_400);
/// Where that may begin: any of these steps.
const STEP: Span = Span::from_secs(6 * 3_600);
/// A card, or a core, in the rows that tasks are laid on: an eighth of a card is still told.
const LANE: i64 = 1_000;

/// What every policy made of the market, and one pool under the exchange.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Course {
    /// The exchange, then the rules beside it.
    pub policies: Vec<PolicyCourse>,
    /// How long jobs came.
    pub length_s: f64,
    /// The fullest pool under the exchange, task by task; none where nothing ran.
    pub pool: Option<PoolCourse>,
}

/// One policy's course.
#[derive(Clone, PartialEq, Debug)]
pub struct PolicyCourse {
    /// Which.
    pub policy: &'static str,
    /// The part of all cards that was at work, in each of [`PARTS`] parts of the time in which jobs
    /// came; of all cores, where no pool has cards.
    pub used: Vec<f64>,
    /// How long each job waited for its first task, in seconds.
    pub waits_s: Vec<f64>,
}

/// Who ran when on the machines of one pool.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolCourse {
    /// Its name.
    pub name: String,
    /// Does it have cards? Else cores are shown.
    pub cards: bool,
    /// How many machines are shown, of all.
    pub machines: (u32, u32),
    /// Cards or cores of those machines.
    pub rows: f64,
    /// What is shown, in seconds from the beginning.
    pub reach_s: (f64, f64),
    /// Each task's time on each run of rows.
    pub tasks: Vec<Bar>,
}

/// A task's time on some cards or cores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bar {
    /// In seconds from the beginning.
    pub time_s: (f64, f64),
    /// Cards or cores, counted over all machines shown.
    pub rows: (f64, f64),
    /// How long its job had waited for its first task, in seconds.
    pub waited_s: i64,
}

fn secs(span: Span) -> f64 {
    span.micros() as f64 / 1e6
}

/// Of the exchange and of each rule; the first one is drawn task by task.
pub(super) fn course(market: &Market, outcomes: &[(&'static str, Outcome)]) -> Course {
    let policies = outcomes.iter().map(|(policy, outcome)| PolicyCourse {
        policy,
        used: used(market, outcome),
        waits_s: waits(market, outcome).into_iter().flatten().map(secs).collect(),
    });
    Course {
        policies: policies.collect(),
        length_s: secs(market.end.since(market.start)),
        pool: outcomes.first().and_then(|(_, outcome)| pool(market, outcome)),
    }
}

/// From each job's coming to its first task's lease; none where it never had one.
fn waits(market: &Market, outcome: &Outcome) -> Vec<Option<Span>> {
    let mut first: Vec<Option<Time>> = vec![None; market.jobs.len()];
    for attempt in &outcome.attempts {
        let first = &mut first[attempt.job];
        *first = Some(first.map_or(attempt.from, |known| known.min(attempt.from)));
    }
    let jobs = market.jobs.iter().zip(first);
    jobs.map(|(job, first)| first.map(|first| first.since(job.at))).collect()
}

fn with_cards(market: &Market) -> bool {
    market.pools.iter().any(|pool| pool.model.is_some())
}

/// What an attempt holds, in cards where pools have them, else in cores.
fn held(market: &Market, attempt: &Attempt) -> f64 {
    let need = &market.programs[market.jobs[attempt.job].program].need;
    match (with_cards(market), market.pools[attempt.pool].model) {
        (true, Some(_)) => need.accel.0 as f64 / 1e3,
        (true, None) => 0.0,
        (false, _) => need.cpu.0 as f64 / 1e3,
    }
}

fn used(market: &Market, outcome: &Outcome) -> Vec<f64> {
    let has = |pool: &Pool| {
        let each = if with_cards(market) { pool.node.accel.0 } else { pool.node.cpu.0 };
        each as f64 / 1e3 * f64::from(pool.nodes)
    };
    let all: f64 = market.pools.iter().map(has).sum();
    let part = secs(market.end.since(market.start)) / PARTS as f64;
    let mut sums = vec![0.0; PARTS];
    if part <= 0.0 || all <= 0.0 {
        return sums;
    }
    for attempt in &outcome.attempts {
        let held = held(market, attempt);
        let at = |time: Time| secs(time.min(market.end).since(market.start)) / part;
        let (begin, end) = (at(attempt.from), at(attempt.until));
        for (nth, sum) in sums.iter_mut().enumerate().skip(floor(begin)) {
            if nth as f64 >= end {
                break;
            }
            *sum += held * (end.min((nth + 1) as f64) - begin.max(nth as f64)).max(0.0) / all;
        }
    }
    sums
}

fn floor(parts: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of parts: small and not negative"
    )]
    let whole = parts.max(0.0).min(PARTS as f64) as usize;
    whole
}

/// The pool that was fullest for the time in which jobs came, of those with cards if there are any.
fn fullest(market: &Market, outcome: &Outcome) -> Option<usize> {
    let mut work: BTreeMap<usize, f64> = BTreeMap::new();
    for attempt in &outcome.attempts {
        let inside = attempt.until.min(market.end).since(attempt.from).max(Span::ZERO);
        *work.entry(attempt.pool).or_default() += held(market, attempt) * secs(inside);
    }
    let share = |(nth, work): (usize, f64)| {
        let pool = &market.pools[nth];
        let each = if with_cards(market) { pool.node.accel.0 } else { pool.node.cpu.0 };
        (work > 0.0).then(|| (nth, work / (each.max(1) as f64 * f64::from(pool.nodes.max(1)))))
    };
    // The first of equals.
    let most = work.into_iter().filter_map(share).reduce(
        |best, next| {
            if next.1 > best.1 { next } else { best }
        },
    );
    most.map(|(nth, _)| nth)
}

fn pool(market: &Market, outcome: &Outcome) -> Option<PoolCourse> {
    let nth = fullest(market, outcome)?;
    let pool = &market.pools[nth];
    let machines = pool.nodes.min(MACHINES_MAX);
    let mut here: Vec<&Attempt> = outcome.attempts.iter().collect();
    here.retain(|one| one.pool == nth && one.node < machines && one.until > one.from);
    here.sort_by_key(|one| (one.from, one.job, one.task));
    let (from, to) = shown(market, &here)?;
    let waits = waits(market, outcome);
    let cards = pool.model.is_some();
    let each = if cards { pool.node.accel.0 } else { pool.node.cpu.0 };
    let each = i64::try_from(each).unwrap_or(i64::MAX / i64::from(MACHINES_MAX));
    let mut rows = Rows::new(machines, each, cards);
    let mut tasks = Vec::new();
    for attempt in here {
        let need = &market.programs[market.jobs[attempt.job].program].need;
        let runs = rows.take(attempt, i64::try_from(need.cpu.0).unwrap_or(i64::MAX));
        if attempt.until <= from || attempt.from >= to {
            continue;
        }
        let since = |time: Time| secs(time.since(market.start));
        let row = |row: i64| (i64::from(attempt.node) * each + row) as f64 / LANE as f64;
        tasks.extend(runs.iter().map(|(low, high)| Bar {
            time_s: (since(attempt.from.max(from)), since(attempt.until.min(to))),
            rows: (row(*low), row(*high)),
            waited_s: waits[attempt.job].map_or(0, |wait| wait.micros() / 1_000_000),
        }));
    }
    Some(PoolCourse {
        name: pool.name.clone(),
        cards,
        machines: (machines, pool.nodes),
        rows: f64::from(machines) * each as f64 / LANE as f64,
        reach_s: (secs(from.since(market.start)), secs(to.since(market.start))),
        tasks,
    })
}

/// The part of the time in which most ran there; all of it where that is short.
fn shown(market: &Market, here: &[&Attempt]) -> Option<(Time, Time)> {
    let last = here.iter().map(|attempt| attempt.until).max()?;
    // Twice as much is still told apart.
    if last.since(market.start) <= Span::from_micros(2 * SHOWN.micros()) {
        return Some((market.start, last));
    }
    let begins = std::iter::successors(Some(market.start), |at| Some(at.plus(STEP)));
    let busy = |from: Time| -> f64 {
        let to = from.plus(SHOWN);
        let inside = |one: &&Attempt| one.until.min(to).since(one.from.max(from)).max(Span::ZERO);
        here.iter().map(|one| secs(inside(one)) * held(market, one)).sum()
    };
    let all = begins.take_while(|at| at.plus(SHOWN) <= last).map(|at| (at, busy(at)));
    let most = all.reduce(|best, next| if next.1 > best.1 { next } else { best });
    most.map(|(at, _)| (at, at.plus(SHOWN)))
}

/// Which rows of each machine are free: those of each card, or of all cores together.
struct Rows {
    cards: bool,
    free: BTreeMap<(u32, i64), FreeRuns>,
    each: i64,
    machines: u32,
    ends: BinaryHeap<Reverse<End>>,
}

/// What is given back and when: the end, the machine, the lane, the rows.
type End = (Time, u32, i64, Vec<(i64, i64)>);

impl Rows {
    fn new(machines: u32, each: i64, cards: bool) -> Self {
        Self { cards, free: BTreeMap::new(), each, machines, ends: BinaryHeap::new() }
    }

    /// The rows of an attempt on its machine. Attempts are asked for in the order of their beginning.
    fn take(&mut self, attempt: &Attempt, cpu: i64) -> Vec<(i64, i64)> {
        while let Some(Reverse((end, ..))) = self.ends.peek()
            && *end <= attempt.from
        {
            let Some(Reverse((_, machine, lane, runs))) = self.ends.pop() else { break };
            self.lane(machine, lane).give_back(&runs);
        }
        debug_assert!(attempt.node < self.machines, "the caller left the others out");
        let mut wanted: Vec<(i64, i64)> = Vec::new();
        if !self.cards {
            wanted.push((0, cpu));
        } else if let Some(cards) = attempt.cards {
            let part = |card: u8| cards.part.filter(|part| part.card == card);
            let milli = |card: u8| part(card).map_or(LANE, |part| i64::from(part.milli));
            wanted.extend(cards.numbers().map(|card| (i64::from(card), milli(card))));
        }
        let mut all = Vec::new();
        for (lane, rows) in wanted {
            let runs = self.lane(attempt.node, lane).take(rows);
            self.ends.push(Reverse((attempt.until, attempt.node, lane, runs.clone())));
            all.extend(runs.into_iter().map(|(low, high)| (lane * LANE + low, lane * LANE + high)));
        }
        join(all)
    }

    fn lane(&mut self, machine: u32, lane: i64) -> &mut FreeRuns {
        let rows = if self.cards { LANE } else { self.each };
        self.free.entry((machine, lane)).or_insert_with(|| FreeRuns::new(rows))
    }
}

/// Runs that touch are one: a task of eight cards is one box.
fn join(runs: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.1 == run.0 => last.1 = run.1,
            _ => joined.push(run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use dayan_schedule::{CardPart, Cards};

    use super::super::sample::{hour, market};
    use super::*;

    fn attempt(market: &Market, job: usize, pool: usize, hours: (i64, i64)) -> Attempt {
        Attempt {
            job,
            task: 0,
            pool,
            node: 0,
            cards: Some(Cards { whole: 1, part: None }),
            from: hour(market, hours.0),
            until: hour(market, hours.1),
            cost: 0,
            ended_well: true,
        }
    }

    #[test]
    fn use_and_waits_are_those_of_the_attempts() {
        let market = market(2, None);
        let attempts = vec![attempt(&market, 0, 0, (0, 6)), attempt(&market, 1, 1, (3, 30))];
        let outcome = Outcome { attempts, done: vec![None; 2] };
        let course = course(&market, &[("dayan", outcome)]);
        let own = &course.policies[0];
        assert_eq!(own.waits_s, [0.0, 10_800.0]);
        let mean = own.used.iter().sum::<f64>() / PARTS as f64;
        // Of two cards, one for six hours and one for the twenty-one that are left of the day.
        assert!((mean - 27.0 / 48.0).abs() < 1e-9, "{mean}");
        assert!((own.used[0] - 0.5).abs() < 1e-9 && (own.used[45] - 1.0).abs() < 1e-9);
        let pool = course.pool.expect("something ran");
        assert_eq!((pool.name.as_str(), pool.machines), ("far-card", (1, 1)));
        assert_eq!(
            pool.tasks,
            [Bar { time_s: (10_800.0, 108_000.0), rows: (0.0, 1.0), waited_s: 10_800 }]
        );
    }

    #[test]
    fn parts_of_a_card_stand_beside_each_other() {
        let market = market(3, None);
        let half = |job| Attempt {
            cards: Some(Cards { whole: 0, part: Some(CardPart { card: 0, milli: 500 }) }),
            ..attempt(&market, job, 0, (0, 2))
        };
        let attempts = vec![half(0), half(1), attempt(&market, 2, 0, (2, 3))];
        let outcome = Outcome { attempts, done: vec![None; 3] };
        let pool = pool(&market, &outcome).expect("something ran");
        let rows: Vec<(f64, f64)> = pool.tasks.iter().map(|bar| bar.rows).collect();
        assert_eq!(rows, [(0.0, 0.5), (0.5, 1.0), (0.0, 1.0)]);
    }
}
