//! Simple rules over the same jobs, pools, prices, failures and cuts. Three take work in the order
//! of its coming, let whatever finds room pass what does not, and differ in the pool they take:
//! the cheapest, the nearest, the greenest. The fourth is one queue in which nobody passes. All of
//! them keep hardware, delay and residence, and pack a pool's machines tightly: what they lack is
//! an order, reservations and a look at who else wants the place.
//!
//! Invariant: a rule knows of a job only that it came, never how long it will run. It shares no code
//! with the planner.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{Resources, Span, Time};

use super::draw::{Market, cost};
use super::{Attempt, DRAIN_MAX, Outcome, Rival};
use crate::calendar::Calendar;

/// From a place to its program, as for the agents.
const LAUNCH: Span = Span::from_secs(2);
const HOUR_MICROS: i64 = 3_600_000_000;
const CARD: u32 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Happening {
    Comes(usize),
    Ends(usize),
    NodeFails(usize),
    NodeBack(usize),
    Cut(usize),
    CutOver(usize),
}

#[derive(Clone, Debug)]
struct Machine {
    cpu: u64,
    memory: u64,
    /// What is free of each card.
    cards: Vec<u32>,
    up: bool,
    running: BTreeSet<usize>,
}

/// Which cards a task holds, and how much of each.
type Held = Vec<(usize, u32)>;
/// Cores, memory and cards of a task, and how many of them at once.
type Shape = (u64, u64, u64, u32);

struct Shop<'a> {
    market: &'a Market,
    rival: Rival,
    now: Time,
    pools: Vec<Vec<Machine>>,
    /// Providers whose link is cut, and how often at once.
    cut: Vec<u32>,
    /// What found no room in a pool since something came free there.
    full: Vec<BTreeSet<Shape>>,
    /// Pools where something came free at this moment.
    freed: BTreeSet<u16>,
    /// By program, then in the order of coming: the tasks that wait.
    waiting: BTreeMap<usize, BTreeMap<usize, Vec<u32>>>,
    /// Programs that may find room.
    fresh: BTreeSet<usize>,
    /// The order of pools for a program in that hour.
    ranked: BTreeMap<(usize, usize), Vec<u16>>,
    held: Vec<Held>,
    left: Vec<u32>,
    outcome: Outcome,
    calendar: Calendar<Happening>,
}

pub(super) fn run(market: &Market, rival: Rival) -> Outcome {
    let machine = |pool: &super::draw::Pool| Machine {
        cpu: pool.node.cpu.0,
        memory: pool.node.memory.0,
        cards: vec![CARD; usize::try_from(pool.node.accel.0 / u64::from(CARD)).unwrap_or(0)],
        up: true,
        running: BTreeSet::new(),
    };
    let pools = market.pools.iter().map(|pool| vec![machine(pool); pool.nodes as usize]);
    let mut shop = Shop {
        market,
        rival,
        now: market.start,
        pools: pools.collect(),
        cut: vec![0; market.providers.len()],
        full: vec![BTreeSet::new(); market.pools.len()],
        freed: BTreeSet::new(),
        waiting: BTreeMap::new(),
        fresh: BTreeSet::new(),
        ranked: BTreeMap::new(),
        held: Vec::new(),
        left: market.jobs.iter().map(|job| job.tasks).collect(),
        outcome: Outcome { done: vec![None; market.jobs.len()], ..Outcome::default() },
        calendar: Calendar::new(),
    };
    for (nth, job) in market.jobs.iter().enumerate() {
        shop.calendar.enter(job.at, Happening::Comes(nth));
    }
    for (nth, failure) in market.failures.iter().enumerate() {
        shop.calendar.enter(failure.from, Happening::NodeFails(nth));
        shop.calendar.enter(failure.until, Happening::NodeBack(nth));
    }
    for (nth, cut) in market.cuts.iter().enumerate() {
        shop.calendar.enter(cut.from, Happening::Cut(nth));
        shop.calendar.enter(cut.until, Happening::CutOver(nth));
    }
    let most = market.end.plus(DRAIN_MAX);
    // What the last end of all makes room for is placed too, and has an end of its own.
    loop {
        let Some((at, what)) = shop.calendar.next(most) else {
            let before = shop.outcome.attempts.len();
            shop.place_all();
            if shop.outcome.attempts.len() > before {
                continue;
            }
            break;
        };
        if at > shop.now {
            shop.place_all();
            shop.now = at;
        }
        shop.happen(what);
    }
    // What still runs or waits when nobody waits any longer has not been done.
    let last = shop.now;
    for attempt in shop.outcome.attempts.iter_mut().filter(|attempt| attempt.until > last) {
        attempt.ended_well = false;
    }
    shop.outcome
}

impl Shop<'_> {
    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Comes(job) => {
                let program = self.market.jobs[job].program;
                let tasks = (0..self.market.jobs[job].tasks).rev().collect();
                self.waiting.entry(program).or_default().insert(job, tasks);
                self.fresh.insert(program);
            }
            Happening::Ends(nth) => {
                let (pool, node) = self.place_of(nth);
                if self.pools[pool][node].running.contains(&nth) {
                    self.free(nth);
                    self.outcome.attempts[nth].ended_well = true;
                    let job = self.outcome.attempts[nth].job;
                    self.left[job] -= 1;
                    if self.left[job] == 0 {
                        self.outcome.done[job] = Some(self.now);
                    }
                }
            }
            Happening::NodeFails(nth) => {
                let (pool, node) = self.market.failures[nth].what;
                self.pools[pool][node as usize].up = false;
                let struck: Vec<usize> =
                    self.pools[pool][node as usize].running.iter().copied().collect();
                for attempt in struck {
                    self.broken(attempt);
                }
            }
            Happening::NodeBack(nth) => {
                let (pool, node) = self.market.failures[nth].what;
                self.pools[pool][node as usize].up = true;
                self.news(pool);
            }
            Happening::Cut(nth) => self.cut[self.market.cuts[nth].what] += 1,
            Happening::CutOver(nth) => {
                let provider = self.market.cuts[nth].what;
                self.cut[provider] -= 1;
                for pool in 0..self.market.pools.len() {
                    if self.market.pools[pool].provider == provider {
                        self.news(pool);
                    }
                }
            }
        }
    }

    fn news(&mut self, pool: usize) {
        self.full[pool].clear();
        self.freed.insert(u16::try_from(pool).expect("pools are few"));
    }

    fn place_of(&self, nth: usize) -> (usize, usize) {
        let attempt = &self.outcome.attempts[nth];
        (attempt.pool, attempt.node as usize)
    }

    fn free(&mut self, nth: usize) {
        let (pool, node) = self.place_of(nth);
        let need =
            &self.market.programs[self.market.jobs[self.outcome.attempts[nth].job].program].need;
        let machine = &mut self.pools[pool][node];
        machine.running.remove(&nth);
        machine.cpu += need.cpu.0;
        machine.memory += need.memory.0;
        for (card, milli) in &self.held[nth] {
            machine.cards[*card] += milli;
        }
        self.news(pool);
    }

    /// Its machine is gone: whole settlement windows stay paid, and it waits again, with all of its
    /// gang.
    fn broken(&mut self, nth: usize) {
        let job = self.outcome.attempts[nth].job;
        let gang = self.market.programs[self.market.jobs[job].program].members > 1;
        let with: Vec<usize> = if gang {
            let all = self.outcome.attempts.iter().enumerate().rev();
            let mine = all.filter(|(_, attempt)| attempt.job == job);
            let size = self.market.jobs[job].tasks as usize;
            mine.take(size).map(|(nth, _)| nth).collect()
        } else {
            vec![nth]
        };
        for nth in with {
            let (pool, node) = self.place_of(nth);
            if !self.pools[pool][node].running.contains(&nth) {
                // A member that had ended goes again with the others.
                if gang {
                    self.outcome.attempts[nth].ended_well = false;
                    self.left[job] += 1;
                    let task = self.outcome.attempts[nth].task;
                    self.wait_again(job, task);
                }
                continue;
            }
            self.free(nth);
            let attempt = &mut self.outcome.attempts[nth];
            attempt.until = self.now;
            let lasted = self.now.since(attempt.from).micros();
            let whole = Span::from_micros(lasted / HOUR_MICROS * HOUR_MICROS);
            let need = &self.market.programs[self.market.jobs[job].program].need;
            let rate = self.market.pools[pool].rate_at(Market::hour_of(attempt.from));
            attempt.cost = cost(&rate, need, whole);
            let task = attempt.task;
            self.wait_again(job, task);
        }
    }

    fn wait_again(&mut self, job: usize, task: u32) {
        let program = self.market.jobs[job].program;
        self.waiting.entry(program).or_default().entry(job).or_default().push(task);
        self.fresh.insert(program);
    }

    fn place_all(&mut self) {
        match self.rival {
            Rival::Fcfs => self.place_in_order(),
            Rival::Cheapest | Rival::Nearest | Rival::Greenest => self.place_what_fits(),
        }
        self.freed.clear();
        self.fresh.clear();
    }

    /// The oldest job of all goes first, or nothing does.
    fn place_in_order(&mut self) {
        if self.freed.is_empty() && self.fresh.is_empty() {
            return;
        }
        let firsts = self
            .waiting
            .iter()
            .filter_map(|(program, jobs)| jobs.first_key_value().map(|(job, _)| (*job, *program)));
        let mut line: BTreeSet<(usize, usize)> = firsts.collect();
        while let Some((job, program)) = line.pop_first() {
            if !self.place_job(program, job) {
                return;
            }
            if let Some((next, _)) = self.waiting.get(&program).and_then(BTreeMap::first_key_value)
            {
                line.insert((*next, program));
            }
        }
    }

    /// In the order of their coming, whatever finds room.
    fn place_what_fits(&mut self) {
        let may = |program: &usize| {
            let allowed = &self.market.programs[*program].allowed;
            self.fresh.contains(program) || allowed.iter().any(|pool| self.freed.contains(pool))
        };
        let waiting = self.waiting.iter().filter(|(program, _)| may(program));
        let firsts = waiting
            .filter_map(|(program, jobs)| jobs.first_key_value().map(|(job, _)| (*job, *program)));
        let mut line: BTreeSet<(usize, usize)> = firsts.collect();
        while let Some((job, program)) = line.pop_first() {
            if !self.place_job(program, job) {
                continue;
            }
            if let Some((next, _)) = self.waiting.get(&program).and_then(BTreeMap::first_key_value)
            {
                line.insert((*next, program));
            }
        }
    }

    /// Places all of a job's tasks that wait; whether none is left.
    fn place_job(&mut self, program: usize, job: usize) -> bool {
        let members = self.market.programs[program].members;
        loop {
            let Some(jobs) = self.waiting.get_mut(&program) else { return true };
            let Some(tasks) = jobs.get(&job).filter(|tasks| !tasks.is_empty()) else {
                jobs.remove(&job);
                if jobs.is_empty() {
                    self.waiting.remove(&program);
                }
                return true;
            };
            let count = if members > 1 { members as usize } else { 1 };
            let tasks: Vec<u32> = tasks[tasks.len() - count.min(tasks.len())..].to_vec();
            let Some(seats) = self.find(program, members) else { return false };
            let waiting = self.waiting.get_mut(&program).and_then(|jobs| jobs.get_mut(&job));
            let waiting = waiting.expect("it was there");
            waiting.truncate(waiting.len() - tasks.len());
            for (task, (pool, node)) in tasks.into_iter().zip(seats) {
                self.seat(job, task, pool, node);
            }
        }
    }

    /// Where that many tasks fit, each on a machine of its own.
    fn find(&mut self, program: usize, members: u32) -> Option<Vec<(usize, usize)>> {
        let need = self.market.programs[program].need;
        let shape = (need.cpu.0, need.memory.0, need.accel.0, members);
        for pool in self.rank(program) {
            let pool = usize::from(pool);
            if self.cut[self.market.pools[pool].provider] > 0 || self.full[pool].contains(&shape) {
                continue;
            }
            let nodes = self.pools[pool].iter().enumerate();
            let mut fitting: Vec<(u32, u64, usize)> = nodes
                .filter(|(_, machine)| machine.up && fits(machine, &need).is_some())
                .map(|(nth, machine)| (machine.cards.iter().sum(), machine.cpu, nth))
                .collect();
            if fitting.len() < members as usize {
                self.full[pool].insert(shape);
                continue;
            }
            // The fullest machines first.
            fitting.sort_unstable();
            return Some(
                fitting[..members as usize].iter().map(|(_, _, nth)| (pool, *nth)).collect(),
            );
        }
        None
    }

    fn rank(&mut self, program: usize) -> Vec<u16> {
        let hour = match self.rival {
            Rival::Cheapest | Rival::Fcfs => Market::hour_of(self.now),
            Rival::Nearest | Rival::Greenest => 0,
        };
        let (market, rival) = (self.market, self.rival);
        self.ranked
            .entry((program, hour))
            .or_insert_with(|| {
                let program = &market.programs[program];
                let key = |at: &u16| {
                    let pool = &market.pools[usize::from(*at)];
                    let price = cost(&pool.rate_at(hour), &program.need, Span::from_secs(3_600));
                    let first = match rival {
                        Rival::Cheapest | Rival::Fcfs => price,
                        Rival::Nearest => {
                            let way = (program.place.index(), pool.place.index());
                            i128::from(market.delays[&way].micros())
                        }
                        Rival::Greenest => {
                            pool.milliwatts(&program.need) * pool.milligrams_per_kwh()
                        }
                    };
                    (first, price, *at)
                };
                let mut pools = program.allowed.to_vec();
                pools.sort_by_key(key);
                pools
            })
            .clone()
    }

    fn seat(&mut self, job: usize, task: u32, pool: usize, node: usize) {
        let need = self.market.programs[self.market.jobs[job].program].need;
        let nth = self.outcome.attempts.len();
        let machine = &mut self.pools[pool][node];
        let held = fits(machine, &need).expect("it was found to fit");
        machine.cpu -= need.cpu.0;
        machine.memory -= need.memory.0;
        for (card, milli) in &held {
            machine.cards[*card] -= milli;
        }
        machine.running.insert(nth);
        self.held.push(held);
        let run = self.market.jobs[job].run;
        let until = self.now.plus(LAUNCH).plus(run);
        let rate = self.market.pools[pool].rate_at(Market::hour_of(self.now));
        self.outcome.attempts.push(Attempt {
            job,
            task,
            pool,
            node: u32::try_from(node).expect("machines are few"),
            cards: None,
            from: self.now,
            until,
            cost: cost(&rate, &need, run),
            ended_well: false,
        });
        self.calendar.enter(until, Happening::Ends(nth));
    }
}

/// The cards it would take: whole ones, or the fullest that still has the part.
fn fits(machine: &Machine, need: &Resources) -> Option<Held> {
    if need.cpu.0 > machine.cpu || need.memory.0 > machine.memory {
        return None;
    }
    let milli = u32::try_from(need.accel.0).ok()?;
    if milli == 0 {
        return Some(Vec::new());
    }
    let free = machine.cards.iter().copied().enumerate();
    if milli < CARD {
        let part = free.filter(|(_, free)| *free >= milli).min_by_key(|(nth, free)| (*free, *nth));
        return part.map(|(nth, _)| vec![(nth, milli)]);
    }
    let count = (milli / CARD) as usize;
    let whole: Held =
        free.filter(|(_, free)| *free == CARD).take(count).map(|(nth, _)| (nth, CARD)).collect();
    (whole.len() == count).then_some(whole)
}
