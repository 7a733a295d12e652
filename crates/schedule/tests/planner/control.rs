//! Many small workloads of three priorities at one owner, in virtual time: the load of Kueue's published
//! generator as `dayan-bench control` sends it to the live exchange, here to the planner alone, with
//! delays from a plan to a start and from an end to the next plan.
//! `cargo nextest run -p dayan-schedule many_small_workloads --no-capture` prints what came of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use dayan_schedule::{Ask, Change, JobAsk, LeaseEnd, Payer, Planner, PoolView, Tenure, Work};
use dayan_units::{JobId, OrgId, ProjectId, Resources, Span, Time};

use super::world::{offer, pool, pool_id, resources};

const UNITS: u64 = 120;
const QUEUES: u128 = 6;
const LIMIT: Span = Span::from_secs(10);

/// A kind of workload: how many of a project, every so often, for so long (both in microseconds), so
/// many units wide, and its priority.
struct Class {
    count: i64,
    every: i64,
    runs: i64,
    units: u64,
    priority: i32,
}

const CLASSES: [Class; 3] = [
    Class { count: 350, every: 100_000, runs: 200_000, units: 1, priority: -1 },
    Class { count: 100, every: 500_000, runs: 500_000, units: 5, priority: 0 },
    Class { count: 50, every: 1_200_000, runs: 1_000_000, units: 20, priority: 1 },
];

struct Workload {
    queue: u128,
    class: &'static Class,
    due: i64,
    started: i64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    Ends(usize),
}

/// Delays of up to so long, always the same ones.
struct Delays {
    most: u64,
    state: u64,
}

impl Delays {
    fn next(&mut self) -> i64 {
        // Xorshift (Marsaglia 2003).
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        i64::try_from(self.state % (self.most + 1)).expect("milliseconds")
    }
}

struct Owner {
    planner: Planner,
    workloads: Vec<Workload>,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    delays: Delays,
    /// Queues and priorities of which something has ended: how long they run is known.
    known: BTreeSet<(u128, i32)>,
}

fn payer(workload: &Workload) -> Payer {
    let project = ProjectId::from_bits(workload.queue);
    Payer { project, org: OrgId::from_bits(workload.queue) }
}

fn moment(micros: i64) -> Time {
    Time::from_micros(1_000_000_000).plus(Span::from_micros(micros))
}

impl Owner {
    fn new(most: u64) -> Self {
        let mut planner = Planner::new();
        let view: PoolView = pool(0, &[(UNITS, 1_000, 0, None)]);
        planner.observe(&Change::PoolShown(Box::new(view)));
        let offers = vec![offer(0, 10_000)];
        planner.observe(&Change::OffersShown { pool: pool_id(0), offers });
        let of = |queue| {
            let each = CLASSES.iter().flat_map(|class| (0..class.count).map(move |n| (class, n)));
            each.map(move |(class, n)| Workload { queue, class, due: n * class.every, started: 0 })
        };
        let workloads: Vec<Workload> = (0..QUEUES).flat_map(of).collect();
        let mut delays = Delays { most, state: 42 };
        let arrive = |(nth, workload): (usize, &Workload)| {
            Reverse((workload.due + delays.next(), Event::Arrives(nth)))
        };
        let events = workloads.iter().enumerate().map(arrive).collect();
        Self { planner, workloads, events, delays, known: BTreeSet::new() }
    }

    fn expected(&self, workload: &Workload) -> Option<Span> {
        let known = self.known.contains(&(workload.queue, workload.class.priority));
        known.then(|| Span::from_micros(workload.class.runs))
    }

    fn hear(&mut self, event: &Event, now: i64) {
        match *event {
            Event::Arrives(nth) => {
                let workload = &self.workloads[nth];
                let taken: Resources = resources(workload.class.units, 0, 0);
                let job = JobId::from_bits(nth as u128);
                let project = payer(workload).project;
                let ask = Arc::new(Ask::plain(taken, LIMIT));
                self.planner.observe(&Change::JobQueued(Box::new(JobAsk {
                    org: payer(workload).org,
                    priority: workload.class.priority,
                    expected: self.expected(workload),
                    ..JobAsk::plain(job, project, moment(now), ask)
                })));
            }
            Event::Ends(nth) => {
                let workload = &self.workloads[nth];
                self.known.insert((workload.queue, workload.class.priority));
                let job = JobId::from_bits(nth as u128);
                let task = dayan_units::TaskId { job, task: 0 };
                self.planner.observe(&Change::LeaseEnded { attempt: task.attempt(1) });
                self.planner.observe(&Change::JobGone(job));
            }
        }
    }

    /// Plans until nothing more is placed.
    fn plan(&mut self, now: i64) {
        loop {
            let plan = self.planner.plan(moment(now), Work::LIVE_ROUND);
            if plan.placements.is_empty() {
                return;
            }
            for (task, seat) in plan.seats() {
                let nth = usize::try_from(task.job.bits()).expect("a number");
                let workload = &self.workloads[nth];
                let runs = self.expected(workload).unwrap_or(LIMIT);
                self.planner.observe(&Change::LeasePlaced {
                    attempt: task.attempt(1),
                    payer: payer(workload),
                    licenses: BTreeMap::new(),
                    pool: seat.pool,
                    node: seat.node.clone(),
                    resources: seat.resources,
                    cards: seat.cards,
                    end: LeaseEnd {
                        expected: moment(now).plus(runs),
                        latest: moment(now).plus(LIMIT),
                    },
                    tenure: Tenure::Kept,
                });
                let workload = &mut self.workloads[nth];
                workload.started = now + self.delays.next();
                let told = workload.started + workload.class.runs + self.delays.next();
                self.events.push(Reverse((told, Event::Ends(nth))));
            }
        }
    }

    fn run(&mut self) {
        while let Some(Reverse((now, event))) = self.events.pop() {
            self.hear(&event, now);
            while let Some(Reverse((_, event))) = self
                .events
                .peek()
                .is_some_and(|next| next.0.0 <= now)
                .then(|| self.events.pop())
                .flatten()
            {
                self.hear(&event, now);
            }
            self.plan(now);
        }
    }

    /// Mean seconds to a start of a class.
    fn mean_wait(&self, priority: i32) -> f64 {
        let of = self.workloads.iter().filter(|workload| workload.class.priority == priority);
        let waits: Vec<i64> = of.map(|workload| workload.started - workload.due).collect();
        waits.iter().sum::<i64>() as f64 / waits.len() as f64 / 1e6
    }

    /// Seconds until all had ended.
    fn makespan(&self) -> f64 {
        let end = |workload: &Workload| workload.started + workload.class.runs;
        self.workloads.iter().map(end).max().unwrap_or(0) as f64 / 1e6
    }
}

#[test]
fn of_many_small_workloads_those_of_priority_wait_little_and_machines_stay_busy() {
    // Nothing costs time in the bound, and what began together ends in the same instant.
    let bound = [44.7, 11.4, 0.21];
    let work: f64 =
        CLASSES.iter().map(|of| of.count as f64 * of.runs as f64 * of.units as f64).sum();
    for most in [0, 1_000, 8_000, 15_000] {
        let mut owner = Owner::new(most);
        owner.run();
        let (waits, makespan) = ([-1, 0, 1].map(|of| owner.mean_wait(of)), owner.makespan());
        let used = work * QUEUES as f64 / 1e6 / (UNITS as f64 * makespan);
        println!(
            "{most} us: {waits:.3?} s to a start, {makespan:.2} s, {:.1} % used",
            used * 100.0
        );
        assert!(waits.iter().zip(bound).all(|(wait, bound)| *wait <= 1.5 * bound), "{waits:?}");
        assert!(used > 0.95 && makespan < 1.1 * 66.1, "{used} {makespan}");
    }
}
