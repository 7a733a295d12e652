//! Queues the tasks, plans in the rounds of the live exchange until nothing more finds a place, and
//! then lets urgent work in, one by one.

use std::collections::BTreeMap;

use dayan_schedule::{Change, JobAsk, LeaseEnd, NodeName, Payer, Plan, Planner, Tasks, Work};
use dayan_units::{JobId, OrgId, PoolId, ProjectId, Resources, Span, Time};
use serde::Serialize;

use super::Size;
use super::audit::{Overfull, Seated, recheck};
use super::country::{Country, Job, Purpose};
use crate::random::Random;

/// Projects that the jobs belong to.
const PROJECTS: u128 = 500;
/// Urgent jobs that come when all else is placed.
const URGENT: u32 = 1_000;
/// Their priority; everything else has none.
const URGENT_PRIORITY: i32 = 10;
/// When all of it happens.
const NOW: Time = Time::from_micros(1_000_000_000_000);

/// What time it is, and how much of the processor was used: of the caller's making.
pub trait Meter {
    /// Nanoseconds since some moment.
    fn wall(&self) -> u64;
    /// Nanoseconds of processor this thread has used.
    fn processor(&self) -> u64;
    /// So much of all is done, from 0 to 1.
    fn at(&self, _part: f64) {}
}

/// What came of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ScaleReport {
    /// Tasks that were placed in the measured part.
    pub placed: u64,
    /// How much of the scarcest resource is held in the end, in percent.
    pub fill_pct: f64,
    /// Every machine holds what is seated on it: added up again by other code.
    pub capacity_ok: bool,
    /// From the first round to the last.
    pub seconds: f64,
    /// The same of the processor.
    pub processor_s: f64,
    /// Placed in each second.
    pub placements_per_s: f64,
    /// What half of the placements took at most: the time of their round, shared among its seats.
    pub p50_us: f64,
    /// What 99 of 100 took at most.
    pub p99_us: f64,
    /// Urgent jobs that found the place that a lease had just left.
    pub urgent_placed: u32,
    /// From the coming of an urgent job to its seat, what 99 of 100 took at most.
    pub urgent_p99_us: f64,
}

struct Bench {
    planner: Planner,
    numbers: BTreeMap<(PoolId, NodeName), usize>,
    nodes: Vec<Resources>,
    /// By job number: what its tasks ask for.
    asks: Vec<usize>,
    country: Country,
    seats: Vec<Seated>,
    /// Tasks in all.
    due: u64,
}

/// Whose job it is: they take turns.
fn payer_of(job: JobId) -> Payer {
    let project = ProjectId::from_bits(job.bits() % PROJECTS);
    Payer { project, org: OrgId::from_bits(0) }
}

impl Bench {
    fn new(size: &Size) -> Self {
        let country = Country::draw(size);
        let due = u64::from(size.placed) + u64::from(size.tasks);
        let mut planner = Planner::new();
        let (mut numbers, mut nodes) = (BTreeMap::new(), Vec::new());
        for (pool, offer) in &country.pools {
            for node in &pool.nodes {
                numbers.insert((pool.pool, node.name.clone()), nodes.len());
                nodes.push(node.total);
            }
            planner.observe(&Change::PoolShown(Box::new(pool.clone())));
            let offers = vec![offer.clone()];
            planner.observe(&Change::OffersShown { pool: pool.pool, offers });
        }
        Self { planner, numbers, nodes, asks: Vec::new(), country, seats: Vec::new(), due }
    }

    fn ask_of(&self, job: JobId) -> usize {
        self.asks[usize::try_from(job.bits()).expect("jobs are numbered")]
    }

    fn queue(&mut self, job: Job, priority: i32) {
        let number = self.asks.len() as u128;
        self.asks.push(job.ask);
        let id = JobId::from_bits(number);
        let at = NOW.plus(Span::from_micros(i64::try_from(number).expect("few")));
        let plain = JobAsk::plain(id, payer_of(id).project, at, self.country.asks[job.ask].clone());
        self.planner.observe(&Change::JobQueued(Box::new(JobAsk {
            priority,
            tasks: Tasks::range(0..job.tasks),
            tasks_total: u64::from(job.tasks),
            ..plain
        })));
    }

    /// One round, confirmed as the exchange does; what was planned.
    fn round(&mut self) -> Plan {
        let plan = self.planner.plan(NOW, Work::LIVE_ROUND);
        for (task, seat) in plan.seats() {
            let ask = &self.country.asks[self.ask_of(task.job)];
            let ends = NOW.plus(ask.time);
            self.planner.observe(&Change::LeasePlaced {
                licenses: std::collections::BTreeMap::new(),
                attempt: task.attempt(1),
                payer: payer_of(task.job),
                pool: seat.pool,
                node: seat.node.clone(),
                resources: seat.resources,
                cards: seat.cards,
                end: LeaseEnd { expected: ends, latest: ends },
                tenure: dayan_schedule::Tenure::Kept,
            });
        }
        plan
    }

    fn remember(&mut self, plan: &Plan) {
        for (task, seat) in plan.seats() {
            self.seats.push(Seated {
                task,
                asked: self.country.asks[self.ask_of(task.job)].resources,
                // A machine that nobody has fails the check.
                node: self
                    .numbers
                    .get(&(seat.pool, seat.node.clone()))
                    .copied()
                    .unwrap_or(usize::MAX),
                given: seat.resources,
                cards: seat.cards,
            });
        }
    }

    /// Rounds until nothing more finds a place; what each took, and how many it placed; and what all of
    /// them took of the processor, without what is written down of them for the check.
    fn rounds(&mut self, meter: &impl Meter) -> (Vec<(u64, u64)>, u64) {
        let mut rounds = Vec::new();
        let mut processor = 0;
        loop {
            let (begun, used) = (meter.wall(), meter.processor());
            let plan = self.round();
            rounds.push((meter.wall() - begun, plan.placed_len() as u64));
            processor += meter.processor() - used;
            self.remember(&plan);
            meter.at(self.seats.len() as f64 / self.due.max(1) as f64);
            if plan.is_empty() && !plan.exhausted {
                return (rounds, processor);
            }
        }
    }

    /// A lease ends, and urgent work of its shape comes; how long each waited that found a place.
    fn urgent(&mut self, random: &mut Random, meter: &impl Meter) -> Vec<u64> {
        let mut took = Vec::new();
        for _ in 0..URGENT {
            if self.seats.is_empty() {
                break;
            }
            let at = random.below(self.seats.len() as u64);
            let gone = self.seats.swap_remove(usize::try_from(at).expect("an index"));
            self.planner.observe(&Change::LeaseEnded { attempt: gone.task.attempt(1) });
            let job = Job { ask: self.ask_of(gone.task.job), tasks: 1 };
            let number = JobId::from_bits(self.asks.len() as u128);
            let begun = meter.wall();
            self.queue(job, URGENT_PRIORITY);
            let plan = self.round();
            let waited = meter.wall() - begun;
            if plan.seats().any(|(task, _)| task.job == number) {
                took.push(waited);
            }
            self.remember(&plan);
        }
        took.sort_unstable();
        took
    }

    /// How much of the scarcest resource is held, in percent.
    fn fill(&self) -> f64 {
        let parts: [fn(&Resources) -> u64; 2] = [|r| r.cpu.0, |r| r.memory.0];
        let share = |of: fn(&Resources) -> u64| {
            let held: u128 = self.seats.iter().map(|seat| u128::from(of(&seat.given))).sum();
            let has: u128 = self.nodes.iter().map(|node| u128::from(of(node))).sum();
            held as f64 * 100.0 / (has as f64).max(1.0)
        };
        parts.map(share).into_iter().fold(0.0, f64::max)
    }
}

/// The value that so many hundredths of the weight lie at or below.
fn percentile(mut rounds: Vec<(f64, u64)>, hundredths: u64) -> f64 {
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: u64 = rounds.iter().map(|(_, weight)| weight).sum();
    let mut below = 0;
    for (value, weight) in rounds {
        below += weight;
        if below * 100 >= all * hundredths {
            return value;
        }
    }
    0.0
}

/// Places everything; then urgent work.
pub fn run(size: &Size, meter: &impl Meter) -> (ScaleReport, Result<(), Overfull>) {
    let mut bench = Bench::new(size);
    for job in std::mem::take(&mut bench.country.before) {
        bench.queue(job, 0);
    }
    bench.rounds(meter);
    let before = bench.seats.len();
    for job in std::mem::take(&mut bench.country.jobs) {
        bench.queue(job, 0);
    }
    let (rounds, processor) = bench.rounds(meter);
    let placed = (bench.seats.len() - before) as u64;
    let nanos: u64 = rounds.iter().map(|(nanos, _)| nanos).sum();
    let each = |(nanos, seats): &(u64, u64)| (*nanos as f64 / 1e3 / (*seats).max(1) as f64, *seats);
    let each: Vec<(f64, u64)> = rounds.iter().map(each).collect();
    let mut random = Random::new(size.seed, Purpose::Urgent as u64);
    let urgent = bench.urgent(&mut random, meter);
    let checked = recheck(&bench.nodes, &bench.seats);
    let seconds = nanos as f64 / 1e9;
    let report = ScaleReport {
        placed,
        fill_pct: bench.fill(),
        capacity_ok: checked.is_ok(),
        seconds,
        processor_s: processor as f64 / 1e9,
        placements_per_s: if nanos == 0 { 0.0 } else { placed as f64 / seconds },
        p50_us: percentile(each.clone(), 50),
        p99_us: percentile(each, 99),
        urgent_placed: u32::try_from(urgent.len()).expect("few"),
        urgent_p99_us: percentile(urgent.iter().map(|ns| (*ns as f64 / 1e3, 1)).collect(), 99),
    };
    (report, checked)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Each look is a microsecond after the one before.
    #[derive(Default)]
    struct Steps(Cell<u64>);

    impl Meter for Steps {
        fn wall(&self) -> u64 {
            self.0.set(self.0.get() + 1_000);
            self.0.get()
        }
        fn processor(&self) -> u64 {
            self.wall()
        }
    }

    #[test]
    fn nine_tenths_are_filled_and_urgent_work_finds_its_place_at_once() {
        let size = Size {
            nodes: 300,
            placed: 300,
            tasks: 6_000,
            node_shapes: 20,
            task_shapes: 100,
            seed: 42,
        };
        let (report, checked) = run(&size, &Steps::default());
        assert_eq!(checked, Ok(()));
        // The last of nine tenths are a puzzle that first fits need not solve, with what is wide last.
        assert!((5_970..=6_000).contains(&report.placed), "{report:?}");
        assert_eq!(report.urgent_placed, URGENT, "{report:?}");
        assert!((89.0..=90.0).contains(&report.fill_pct), "{report:?}");
        assert!((report.urgent_p99_us - 1.0).abs() < 1e-9, "a round is one look after its begin");
        let again = run(&size, &Steps::default());
        assert_eq!(again.0, report, "the same seed, the same seats");
    }

    #[test]
    fn percentiles_go_by_weight() {
        let rounds = vec![(5.0, 1), (1.0, 98), (9.0, 1)];
        let check = |hundredths, expect: f64| {
            let found = percentile(rounds.clone(), hundredths);
            assert!((found - expect).abs() < 1e-9, "{hundredths}: {found}");
        };
        check(50, 1.0);
        check(99, 5.0);
        check(100, 9.0);
        assert!(percentile(Vec::new(), 50).abs() < 1e-9);
    }
}
