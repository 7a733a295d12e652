//! Looks over what a policy did, from the list of who ran where and when: no machine over what it
//! has, no card twice, no task twice, gangs whole; and counts what ran where its delay or its
//! residence forbade it. It shares no code with the planner: sums over time, and the bounds of the
//! delay classes written down once more.

use std::collections::{BTreeMap, BTreeSet};

use dayan_spec::DelayClass;
use dayan_units::{Span, Time};

use super::draw::Market;
use super::{Attempt, Outcome};

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Which rule is broken.
    pub rule: &'static str,
    /// How.
    pub text: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub broken: Vec<Violation>,
    pub misplaced: Misplaced,
}

/// Attempts that ran where they should not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Misplaced {
    pub delay: u64,
    pub residence: u64,
}

/// What a machine holds.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    cpu: i128,
    memory: i128,
    accel: i128,
}

/// One way, at the 99th percentile.
const fn bound(class: DelayClass) -> Span {
    match class {
        DelayClass::T1 => Span::from_millis(3),
        DelayClass::T2 => Span::from_millis(10),
        DelayClass::T3 => Span::from_millis(20),
    }
}

pub(super) fn recheck(market: &Market, outcome: &Outcome) -> Found {
    let mut found = Found::default();
    machines(market, outcome, &mut found);
    tasks(market, outcome, &mut found);
    for attempt in &outcome.attempts {
        place(market, attempt, &mut found);
    }
    found.broken.sort_by_key(|violation| violation.at);
    found
}

/// Adds up what each machine holds as attempts begin and end; of one moment, ends come first.
fn machines(market: &Market, outcome: &Outcome, found: &mut Found) {
    let mut moments: Vec<(Time, bool, usize)> = Vec::with_capacity(outcome.attempts.len() * 2);
    for (nth, attempt) in outcome.attempts.iter().enumerate() {
        // What never lasted held nothing.
        if attempt.until > attempt.from {
            moments.push((attempt.until, false, nth));
            moments.push((attempt.from, true, nth));
        }
    }
    moments.sort_unstable();
    let mut loads: BTreeMap<(usize, u32), Load> = BTreeMap::new();
    let mut cards: BTreeMap<(usize, u32, u32), i64> = BTreeMap::new();
    for (at, begins, nth) in moments {
        let attempt = &outcome.attempts[nth];
        let pool = &market.pools[attempt.pool];
        let need = &market.programs[market.jobs[attempt.job].program].need;
        let sign = if begins { 1 } else { -1 };
        let load = loads.entry((attempt.pool, attempt.node)).or_default();
        load.cpu += sign * i128::from(need.cpu.0);
        load.memory += sign * i128::from(need.memory.0);
        load.accel += sign * i128::from(need.accel.0);
        let over = load.cpu > i128::from(pool.node.cpu.0)
            || load.memory > i128::from(pool.node.memory.0)
            || load.accel > i128::from(pool.node.accel.0)
            || attempt.node >= pool.nodes;
        if over {
            let text = format!("machine {} of {} holds more than it has", attempt.node, pool.name);
            found.broken.push(Violation { at, rule: "capacity", text });
        }
        let Some(held) = attempt.cards else { continue };
        let mut sum = 0;
        for card in 0..64 {
            let whole = if held.whole >> card & 1 == 1 { 1_000 } else { 0 };
            let part = held.part.filter(|part| u32::from(part.card) == card);
            let milli = whole + part.map_or(0, |part| i64::from(part.milli));
            sum += milli;
            let all = cards.entry((attempt.pool, attempt.node, card)).or_default();
            *all += i64::try_from(sign).expect("a sign") * milli;
            if milli > 0 && *all > 1_000 {
                let text = format!("card {card} of machine {} of {}", attempt.node, pool.name);
                found.broken.push(Violation { at, rule: "cards", text });
            }
        }
        if u64::try_from(sum) != Ok(need.accel.0) {
            let text = format!("{sum} thousandths of cards are held, {} asked for", need.accel);
            found.broken.push(Violation { at, rule: "cards", text });
        }
    }
}

/// No task at two places at one time, none twice to its end; a gang begins whole.
fn tasks(market: &Market, outcome: &Outcome, found: &mut Found) {
    let mut by_task: BTreeMap<(usize, u32), Vec<&Attempt>> = BTreeMap::new();
    for attempt in &outcome.attempts {
        by_task.entry((attempt.job, attempt.task)).or_default().push(attempt);
    }
    for ((job, task), mut attempts) in by_task {
        attempts.sort_by_key(|attempt| attempt.from);
        let apart = attempts.windows(2).all(|pair| pair[0].until <= pair[1].from);
        let ended = attempts.iter().filter(|attempt| attempt.ended_well).count();
        let gang = market.programs[market.jobs[job].program].members > 1;
        // Of a gang whose first launch broke, a member may have ended well before.
        if !apart || (ended > 1 && !gang) || task >= market.jobs[job].tasks {
            let at = attempts[0].from;
            let text = format!("task {task} of job {job} ran {} times", attempts.len());
            found.broken.push(Violation { at, rule: "tasks", text });
        }
    }
    let mut launches: BTreeMap<(usize, Time), Vec<&Attempt>> = BTreeMap::new();
    for attempt in &outcome.attempts {
        if market.programs[market.jobs[attempt.job].program].members > 1 {
            launches.entry((attempt.job, attempt.from)).or_default().push(attempt);
        }
    }
    for ((job, at), members) in launches {
        let places: BTreeSet<_> = members.iter().map(|a| (a.pool, a.node)).collect();
        let pools: BTreeSet<_> = members.iter().map(|a| a.pool).collect();
        let size = market.jobs[job].tasks as usize;
        if members.len() != size || places.len() != size || pools.len() != 1 {
            let text = format!("{} of {size} members of job {job} began", members.len());
            found.broken.push(Violation { at, rule: "gangs", text });
        }
    }
}

/// Near enough, at home, domestic, and with the cards that were asked for.
fn place(market: &Market, attempt: &Attempt, found: &mut Found) {
    let job = &market.jobs[attempt.job];
    let program = &market.programs[job.program];
    let (pool, asks) = (&market.pools[attempt.pool], &program.asks);
    if let Some(class) = asks.delay {
        let delay = market.delays[&(program.place.index(), pool.place.index())];
        found.misplaced.delay += u64::from(delay > bound(class));
    }
    let away = asks.region.is_some_and(|region| region != pool.place.place().province);
    let foreign = pool.model.is_some_and(|model| !model.vendor.is_domestic());
    found.misplaced.residence += u64::from(away || (asks.domestic && foreign));
    let right = match (&asks.cards, pool.model) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(ask), Some(model)) => dayan_measure::matches(&ask.kind.to_string(), model.name),
    };
    if !right {
        let text = format!("job {} ran in {} without its cards", attempt.job, pool.name);
        found.broken.push(Violation { at: attempt.from, rule: "hardware", text });
    }
}

#[cfg(test)]
mod tests {
    use dayan_schedule::Cards;

    use super::super::sample::{hour, market};
    use super::*;

    fn attempt(market: &Market, job: usize, pool: usize, hours: [i64; 2]) -> Attempt {
        Attempt {
            job,
            task: 0,
            pool,
            node: 0,
            cards: Some(Cards { whole: 1, part: None }),
            from: hour(market, hours[0]),
            until: hour(market, hours[1]),
            cost: 0,
            ended_well: true,
        }
    }

    fn rules(market: &Market, attempts: Vec<Attempt>) -> Vec<&'static str> {
        let outcome = Outcome { attempts, ..Outcome::default() };
        recheck(market, &outcome).broken.into_iter().map(|broken| broken.rule).collect()
    }

    #[test]
    fn finds_each_way_to_be_wrong() {
        let market = market(2, None);
        let of = |job, pool, hours| attempt(&market, job, pool, hours);
        let check = |attempts: Vec<Attempt>, expect: &[&str]| {
            assert_eq!(rules(&market, attempts), expect);
        };
        let at_once = Attempt { ended_well: false, ..of(1, 1, [0, 0]) };
        check(vec![of(0, 0, [0, 1]), of(1, 0, [1, 2]), at_once], &[]);
        check(vec![of(0, 0, [0, 2]), of(1, 0, [1, 3])], &["capacity", "cards"]);
        check(vec![of(0, 0, [0, 2]), of(0, 1, [1, 3])], &["tasks"]);
        let late = Attempt { task: 1, ..of(0, 0, [0, 1]) };
        check(vec![late], &["tasks"]);
        let nowhere = Attempt { node: 1, ..of(0, 0, [0, 1]) };
        check(vec![nowhere], &["capacity", "capacity"]);
        let half = Cards { whole: 0, part: None };
        let without = Attempt { cards: Some(half), ..of(0, 0, [0, 1]) };
        check(vec![without], &["cards", "cards"]);
    }

    #[test]
    fn counts_what_ran_too_far_away_or_abroad() {
        let mut market = market(1, None);
        market.programs[0].asks.delay = Some(DelayClass::T2);
        market.programs[0].asks.region = Some("Guizhou");
        let found = |pool| {
            let attempts = vec![attempt(&market, 0, pool, [0, 1])];
            recheck(&market, &Outcome { attempts, ..Outcome::default() }).misplaced
        };
        assert_eq!(found(0), Misplaced { delay: 0, residence: 0 });
        assert_eq!(found(1), Misplaced { delay: 1, residence: 1 });
    }

    #[test]
    fn a_gang_begins_whole() {
        let mut market = market(1, None);
        market.programs[0].members = 2;
        market.jobs[0].tasks = 2;
        let alone = vec![attempt(&market, 0, 0, [0, 1])];
        assert_eq!(rules(&market, alone), ["gangs"]);
    }
}
