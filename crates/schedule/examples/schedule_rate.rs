//! How many placements a second the planner decides, and how that grows with the country: nodes of
//! many shapes in pools of a hundred, half of the tasks in single jobs, half in arrays of a thousand,
//! filled to about nine tenths. Engine only: nothing is stored or sent.
//!
//! `cargo run --release -p dayan-schedule --example schedule_rate -- [NODES TASKS [NODE_SHAPES TASK_SHAPES]]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dayan_schedule::{
    Ask, Change, JobAsk, LeaseEnd, NodeName, NodeView, OfferView, Plan, Planner, PoolView, Tasks,
    Work,
};
use dayan_units::{
    Bytes, JobId, Micro, MilliAccel, MilliCpu, OfferId, PoolId, ProjectId, ProviderId, Rate,
    Resources, SiteId, Span, TaskId, Time,
};

const SEED: u64 = 42;
const POOL_NODES: u64 = 100;
const ARRAY_LEN: u64 = 1_000;
const GB: u64 = 1_000_000_000;
/// A round of the live loop: long enough to amortise its start, short enough to stay responsive.
const ROUND: Work = Work(2_000_000);

/// What a round for urgent work may cost: enough for the head of the queue.
const URGENT: Work = Work(1_000);

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): the published generator for all inputs here.
struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).expect("small")]
    }
}

#[expect(clippy::disallowed_methods, reason = "a measuring program reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

/// The processor time this thread has used: what a busy machine cannot take away from a measure.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    nanos as f64 / 1e9
}

struct Shape {
    total: Resources,
    model: Option<String>,
}

fn node_shapes(random: &mut Random, count: u64) -> Vec<Shape> {
    (0..count)
        .map(|n| {
            let cores = random.one_of(&[32, 48, 64, 96, 128]);
            let memory = cores * random.one_of(&[4, 8]) * GB + n * GB / 8;
            let cards = if n % 3 == 0 { 0 } else { random.one_of(&[1, 2, 4, 8]) };
            let model = (cards > 0).then(|| format!("model-{}", n % 12));
            let total = Resources {
                cpu: MilliCpu(cores * 1_000),
                memory: Bytes(memory),
                disk: Bytes::ZERO,
                accel: MilliAccel(cards * 1_000),
            };
            Shape { total, model }
        })
        .collect()
}

fn task_shapes(random: &mut Random, count: u64) -> Vec<Arc<Ask>> {
    (0..count)
        .map(|n| {
            let cores = random.one_of(&[1, 2, 4, 8, 16]);
            let accel = if n % 2 == 0 { 0 } else { random.one_of(&[250, 500, 1_000, 2_000]) };
            let resources = Resources {
                cpu: MilliCpu(cores * 1_000 / 2),
                memory: Bytes(cores * GB + n * GB / 1_000),
                disk: Bytes::ZERO,
                accel: MilliAccel(accel),
            };
            let hours = 1 + i64::try_from(random.below(24)).expect("small");
            Arc::new(Ask::plain(resources, Span::from_secs(hours * 3_600)))
        })
        .collect()
}

fn job(id: u64, ask: &Arc<Ask>, tasks: u64, priority: i32) -> Change {
    let submitted_at = Time::from_micros(i64::try_from(id).expect("small"));
    let project = ProjectId::from_bits(u128::from(id % 500));
    let plain = JobAsk::plain(JobId::from_bits(u128::from(id)), project, submitted_at, ask.clone());
    Change::JobQueued(Box::new(JobAsk {
        priority,
        tasks: Tasks::range(0..u32::try_from(tasks).expect("small")),
        tasks_total: tasks,
        ..plain
    }))
}

/// Confirms every seat, as the exchange does.
fn confirm(planner: &mut Planner, plan: &Plan, times: &BTreeMap<JobId, Span>) {
    for (task, seat) in plan.seats() {
        let ends = plan.now.plus(times.get(&task.job).copied().unwrap_or(Span::from_secs(3_600)));
        planner.observe(&Change::LeasePlaced {
            attempt: task.attempt(1),
            pool: seat.pool,
            node: seat.node.clone(),
            resources: seat.resources,
            cards: seat.cards,
            end: LeaseEnd { expected: ends, latest: ends },
        });
    }
}

struct Country {
    totals: BTreeMap<(PoolId, NodeName), Resources>,
    planner: Planner,
}

fn country(random: &mut Random, nodes: u64, shapes: &[Shape]) -> Country {
    let mut totals = BTreeMap::new();
    let mut planner = Planner::new();
    let mut names = 0..nodes;
    for number in 0..nodes.div_ceil(POOL_NODES) {
        let pool = PoolId::from_bits(u128::from(number) + 1);
        // A pool is bought in a few batches: four shapes.
        let batch: Vec<u64> = (0..4).map(|_| random.below(shapes.len() as u64)).collect();
        let view: Vec<NodeView> = names
            .by_ref()
            .take(usize::try_from(POOL_NODES).expect("small"))
            .map(|n| {
                let shape = &shapes[usize::try_from(random.one_of(&batch)).expect("small")];
                let name = NodeName::new(&format!("n{n:06}"));
                totals.insert((pool, name.clone()), shape.total);
                NodeView {
                    accelerator: shape.model.clone(),
                    ..NodeView::plain(name.as_str(), shape.total)
                }
            })
            .collect();
        planner.observe(&Change::PoolShown(Box::new(PoolView {
            provider: ProviderId::from_bits(u128::from(number % 33)),
            site: SiteId::from_bits(u128::from(number)),
            ..PoolView::plain(pool, view)
        })));
        let price = 50_000 + i64::try_from(random.below(100_000)).expect("small");
        let rate = Rate {
            core_hour: Micro(price),
            gb_hour: Micro(price / 10),
            card_hour: Micro(price * 30),
        };
        let offers = vec![OfferView::plain(OfferId::from_bits(u128::from(number) + 1), rate)];
        planner.observe(&Change::OffersShown { pool, offers });
    }
    Country { totals, planner }
}

/// Adds up what the seats take, by itself: shares nothing with the planner.
fn over_capacity(
    totals: &BTreeMap<(PoolId, NodeName), Resources>,
    seats: &[(TaskId, PoolId, NodeName, Resources)],
) -> usize {
    let mut used: BTreeMap<(PoolId, NodeName), Resources> = BTreeMap::new();
    for (_, pool, node, taken) in seats {
        let sum = used.entry((*pool, node.clone())).or_default();
        *sum = sum.checked_add(taken).expect("small");
    }
    used.iter().filter(|(at, sum)| !sum.fits_in(&totals[*at])).count()
}

fn percentile(sorted: &[Duration], hundredths: usize) -> f64 {
    let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    let kb: String = line.chars().filter(char::is_ascii_digit).collect();
    kb.parse::<u64>().unwrap_or(0) / 1_024
}

fn measure(nodes: u64, tasks: u64, node_shapes_len: u64, task_shapes_len: u64) {
    let mut random = Random(SEED);
    let shapes = node_shapes(&mut random, node_shapes_len);
    let asks = task_shapes(&mut random, task_shapes_len);
    let Country { totals, mut planner } = country(&mut random, nodes, &shapes);

    let start = clock();
    let mut times = BTreeMap::new();
    let (mut queued, mut id) = (0, 0);
    while queued < tasks {
        let len = if queued < tasks / 2 { 1 } else { ARRAY_LEN.min(tasks - queued) };
        let ask = &asks[usize::try_from(random.below(asks.len() as u64)).expect("small")];
        planner.observe(&job(id, ask, len, 0));
        times.insert(JobId::from_bits(u128::from(id)), ask.time);
        (queued, id) = (queued + len, id + 1);
    }
    let queueing = start.elapsed();

    let mut seats = Vec::new();
    let (mut rounds, mut work) = (0, 0);
    let cpu_start = cpu_seconds();
    let start = clock();
    let now = Time::from_micros(1_000_000_000);
    loop {
        let plan = planner.plan(now, ROUND);
        work += plan.work_used.0;
        rounds += 1;
        confirm(&mut planner, &plan, &times);
        for (task, seat) in plan.seats() {
            seats.push((task, seat.pool, seat.node.clone(), seat.resources));
        }
        if plan.is_empty() && !plan.exhausted {
            break;
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu_start;

    // Urgent work while the rest waits: a lease ends, something more urgent comes in.
    let mut urgent = Vec::new();
    for nth in 0..1_000u64 {
        let at = usize::try_from(random.below(seats.len() as u64)).expect("small");
        planner.observe(&Change::LeaseEnded { attempt: seats.swap_remove(at).0.attempt(1) });
        let ask = asks
            .iter()
            .find(|ask| ask.resources.accel == MilliAccel::ZERO)
            .expect("half of them want none");
        let start = cpu_seconds();
        planner.observe(&job(1 << 40 | nth, ask, 1, 10));
        let plan = planner.plan(now, URGENT);
        confirm(&mut planner, &plan, &times);
        urgent.push(Duration::from_secs_f64(cpu_seconds() - start));
        for (task, seat) in plan.seats() {
            seats.push((task, seat.pool, seat.node.clone(), seat.resources));
        }
    }
    urgent.sort_unstable();

    let placed = seats.len();
    let share = |of: fn(&Resources) -> u64| {
        let used: u64 = seats.iter().map(|(_, _, _, taken)| of(taken)).sum();
        let has: u64 = totals.values().map(of).sum();
        used as f64 / has as f64 * 100.0
    };
    println!(
        "nodes {nodes} tasks {tasks} node_shapes {node_shapes_len} task_shapes {task_shapes_len} seed {SEED}\n  \
         queued in {:.2} s; placed {placed} in {elapsed:.2} s ({cpu:.2} s of processor): {:.0} placements/s ({:.0} a processor second), {rounds} rounds, {:.1} steps each\n  \
         filled: cpu {:.1} % memory {:.1} % cards {:.1} %; over capacity: {} nodes\n  \
         urgent, processor time: p50 {:.0} us p99 {:.0} us; resident {} MB; {:?}",
        queueing.as_secs_f64(),
        placed as f64 / elapsed,
        placed as f64 / cpu,
        work as f64 / placed as f64,
        share(|r| r.cpu.0),
        share(|r| r.memory.0 / GB),
        share(|r| r.accel.0),
        over_capacity(&totals, &seats),
        percentile(&urgent, 50),
        percentile(&urgent, 99),
        rss_mb(),
        planner.stats(),
    );
}

fn main() {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    match given.as_slice() {
        [nodes, tasks] => measure(*nodes, *tasks, 500, 10_000),
        [nodes, tasks, node_shapes, task_shapes] => {
            measure(*nodes, *tasks, *node_shapes, *task_shapes);
        }
        _ => {
            measure(1_000, 10_000, 500, 10_000);
            measure(5_000, 50_000, 500, 10_000);
            measure(100_000, 1_000_000, 500, 10_000);
        }
    }
}
