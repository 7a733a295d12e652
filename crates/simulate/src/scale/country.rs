//! Draws a country from a seed: machines, their pools and prices, and the tasks that want them.
//!
//! Invariant: what all tasks together ask for is [`LOAD_PERMILLE`] of the scarcer of cores and
//! memory and at most as much of the cards, unless that would make a task larger than the
//! smallest machine; then they ask for less.

use std::sync::Arc;

use dayan_schedule::{Ask, NodeView, OfferView, PoolView};
use dayan_units::{
    Bytes, Micro, MilliAccel, MilliCpu, OfferId, PoolId, ProviderId, Rate, Resources, SiteId, Span,
};

use super::Size;
use crate::random::Random;

/// Machines of one pool.
pub(super) const POOL_NODES: usize = 100;
/// Tasks of one array.
const ARRAY_LEN: u32 = 1_000;
/// A pool is bought in a few batches of one kind each.
const BATCHES: usize = 4;
/// Providers that the pools belong to.
const PROVIDERS: u32 = 33;
/// How much of the scarcest resource is asked for, in thousandths.
pub(super) const LOAD_PERMILLE: u64 = 900;
const GB: u64 = 1_000_000_000;

/// What the draws are for: each has a stream of its own, so that one does not move another.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    Machines = 1,
    Kinds,
    Jobs,
    Urgent,
}

/// Jobs of one kind of task, in the order of their arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Job {
    pub ask: usize,
    pub tasks: u32,
}

/// All of it.
pub(super) struct Country {
    pub pools: Vec<(PoolView, OfferView)>,
    pub asks: Vec<Arc<Ask>>,
    /// Those that run already, then those to place.
    pub before: Vec<Job>,
    pub jobs: Vec<Job>,
}

impl Country {
    pub fn draw(size: &Size) -> Self {
        let mut machines = Random::new(size.seed, Purpose::Machines as u64);
        let kinds = node_kinds(&mut machines, size.node_shapes);
        let pools = pools(&mut machines, size.nodes, &kinds);
        let mut tasks = task_kinds(size);
        let mut random = Random::new(size.seed, Purpose::Jobs as u64);
        let before = jobs(&mut random, size.placed, size.task_shapes);
        let jobs = jobs(&mut random, size.tasks, size.task_shapes);
        let mut counts = vec![0u64; tasks.len()];
        for job in before.iter().chain(&jobs) {
            counts[job.ask] += u64::from(job.tasks);
        }
        fit(&mut tasks, &counts, &pools.iter().flat_map(|(pool, _)| &pool.nodes));
        let asks = tasks.iter().map(|task| Arc::new(Ask::plain(task.resources, task.time)));
        Self { asks: asks.collect(), pools, before, jobs }
    }
}

struct NodeKind {
    total: Resources,
    model: Option<String>,
}

fn node_kinds(random: &mut Random, count: u32) -> Vec<NodeKind> {
    let kind = |nth: u64| {
        let cores = *random.pick(&[32, 48, 64, 96, 128]);
        // No two kinds have the same memory.
        let memory = cores * random.pick(&[4, 8]) * GB + nth * GB / 8;
        let cards = if nth.is_multiple_of(3) { 0 } else { *random.pick(&[1, 2, 4, 8]) };
        let total = Resources {
            cpu: MilliCpu(cores * 1_000),
            memory: Bytes(memory),
            accel: MilliAccel(cards * 1_000),
            ..Resources::ZERO
        };
        NodeKind { total, model: (cards > 0).then(|| format!("model-{}", nth % 12)) }
    };
    (0..u64::from(count)).map(kind).collect()
}

fn pools(random: &mut Random, nodes: u32, kinds: &[NodeKind]) -> Vec<(PoolView, OfferView)> {
    let numbers: Vec<u32> = (0..nodes).collect();
    let pool = |(nth, numbers): (u32, &[u32])| {
        let batches: Vec<&NodeKind> = (0..BATCHES).map(|_| random.pick(kinds)).collect();
        let node = |number: &u32| {
            let kind = random.pick(&batches);
            let accelerator = kind.model.clone();
            NodeView { accelerator, ..NodeView::plain(&format!("n{number:06}"), kind.total) }
        };
        let nodes = numbers.iter().map(node).collect();
        let id = u128::from(nth) + 1;
        let core_hour = Micro(random.between(50_000, 150_000));
        let (gb_hour, card_hour) = (Micro(core_hour.0 / 10), Micro(core_hour.0 * 30));
        let view = PoolView {
            provider: ProviderId::from_bits(u128::from(nth % PROVIDERS)),
            site: SiteId::from_bits(id),
            ..PoolView::plain(PoolId::from_bits(id), nodes)
        };
        (view, OfferView::plain(OfferId::from_bits(id), Rate { core_hour, gb_hour, card_hour }))
    };
    (0..).zip(numbers.chunks(POOL_NODES)).map(pool).collect()
}

struct TaskKind {
    resources: Resources,
    time: Span,
}

fn task_kinds(size: &Size) -> Vec<TaskKind> {
    let mut random = Random::new(size.seed, Purpose::Kinds as u64);
    let kind = |nth: u64| {
        let cores = *random.pick(&[1, 2, 4, 8, 16]);
        let cards = if nth.is_multiple_of(2) { 0 } else { *random.pick(&[250, 500, 1_000, 2_000]) };
        let resources = Resources {
            cpu: MilliCpu(cores * 1_000),
            // No two kinds ask for the same memory.
            memory: Bytes(cores * 2 * GB + nth * GB / 1_000),
            accel: MilliAccel(cards),
            ..Resources::ZERO
        };
        TaskKind { resources, time: Span::from_secs(random.between(1, 24) * 3_600) }
    };
    (0..u64::from(size.task_shapes)).map(kind).collect()
}

/// Half of the tasks alone, half in arrays.
fn jobs(random: &mut Random, tasks: u32, kinds: u32) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut left = tasks;
    while left > 0 {
        let alone = left > tasks / 2;
        let len = if alone { 1 } else { ARRAY_LEN.min(left) };
        let ask = usize::try_from(random.below(u64::from(kinds))).expect("a number of a kind");
        jobs.push(Job { ask, tasks: len });
        left -= len;
    }
    jobs
}

/// Makes the tasks ask for the load together, each kind in its proportion.
fn fit<'a>(
    kinds: &mut [TaskKind],
    counts: &[u64],
    nodes: &(impl Iterator<Item = &'a NodeView> + Clone),
) {
    let load = |total: u128| total * u128::from(LOAD_PERMILLE) / 1_000;
    let has = |of: fn(&Resources) -> u64| {
        load(nodes.clone().map(|node| u128::from(of(&node.total))).sum())
    };
    // Cards first, kind by kind while there are any: the others go without.
    let mut cards = has(|r| r.accel.0);
    for (kind, count) in kinds.iter_mut().zip(counts) {
        let asked = u128::from(kind.resources.accel.0) * u128::from(*count);
        match cards.checked_sub(asked) {
            Some(left) => cards = left,
            None => kind.resources.accel = MilliAccel::ZERO,
        }
    }
    let shares: [fn(&Resources) -> u64; 2] = [|r| r.cpu.0, |r| r.memory.0];
    let mut scales: Vec<(u128, u128)> = Vec::new();
    for of in shares {
        let asked = kinds.iter().zip(counts);
        let asked = asked.map(|(kind, count)| u128::from(of(&kind.resources)) * u128::from(*count));
        scales.push((has(of), asked.sum()));
        let largest = kinds.iter().map(|kind| of(&kind.resources)).max().unwrap_or(0);
        let smallest = nodes.clone().map(|node| of(&node.total)).min().unwrap_or(0);
        scales.push((u128::from(smallest), u128::from(largest)));
    }
    let least = scales.into_iter().filter(|(_, asked)| *asked > 0).min_by(|a, b| {
        // As fractions, without rounding.
        (a.0 * b.1).cmp(&(b.0 * a.1))
    });
    let Some((has, asked)) = least else { return };
    let scaled = |value: u64| {
        u64::try_from(u128::from(value) * has / asked).expect("no more than a machine has").max(1)
    };
    for kind in kinds {
        let resources = &mut kind.resources;
        resources.cpu = MilliCpu(scaled(resources.cpu.0));
        resources.memory = Bytes(scaled(resources.memory.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(country: &Country, of: fn(&Resources) -> u64) -> (u64, u64) {
        let jobs = country.before.iter().chain(&country.jobs);
        let asked = jobs.map(|job| of(&country.asks[job.ask].resources) * u64::from(job.tasks));
        let nodes = country.pools.iter().flat_map(|(pool, _)| &pool.nodes);
        (asked.sum(), nodes.map(|node| of(&node.total)).sum())
    }

    #[test]
    fn a_country_is_asked_for_nine_tenths_of_what_is_scarcest() {
        let check = |nodes, placed, tasks, expect: Option<std::ops::RangeInclusive<u64>>| {
            let size = Size { nodes, placed, tasks, node_shapes: 20, task_shapes: 100, seed: 7 };
            let country = Country::draw(&size);
            let shown: usize = country.pools.iter().map(|(pool, _)| pool.nodes.len()).sum();
            assert_eq!(shown, nodes as usize);
            let many: u32 = country.jobs.iter().map(|job| job.tasks).sum();
            let arrays: u32 = country.jobs.iter().map(|job| job.tasks).filter(|len| *len > 1).sum();
            assert_eq!((many, arrays), (tasks, tasks / 2), "half in arrays");
            let (cards, has) = sum(&country, |r| r.accel.0);
            assert!(cards * 10 <= has * 9, "{cards} of {has} cards");
            let shares = [sum(&country, |r| r.cpu.0), sum(&country, |r| r.memory.0)];
            let most = shares.map(|(asked, has)| asked * 1_000 / has).into_iter().max();
            if let Some(expect) = expect {
                assert!(most.is_some_and(|most| expect.contains(&most)), "{most:?} {expect:?}");
            }
        };
        check(250, 0, 10_000, Some(890..=900));
        check(250, 500, 2_000, Some(890..=900));
        // A task larger than a machine would have no place.
        check(1_000, 0, 500, Some(1..=400));
    }
}
