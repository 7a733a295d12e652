//! One packing run: the pods arrive one by one, none leaves, none comes back.

use serde::Serialize;

use super::audit::{Overfull, recheck};
use super::bound::bound_pct;
use super::choose::Chooser;
use super::cluster::{Cluster, Shape};
use super::curve::MeanCurve;
use super::fgd::Typical;
use super::list::{NodeRow, PodRow};
use super::live;
use super::rivals::Rule;
use super::workload::{LOAD_PERMILLE, arrivals, index};
use crate::plot::Point;
use crate::random::Random;

/// Who chooses the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PackPolicy {
    /// Any node that fits, by chance.
    Random,
    /// The first by name.
    FirstFit,
    /// The least left over.
    BestFit,
    /// The least inner product of free and asked.
    DotProd,
    /// Cards in use, then nodes in use, then idle nodes.
    GpuPacking,
    /// Fragmentation gradient descent.
    Fgd,
    /// What the live exchange runs.
    Default,
}

impl PackPolicy {
    /// Every policy.
    pub const ALL: [Self; 7] = [
        Self::Random,
        Self::FirstFit,
        Self::BestFit,
        Self::DotProd,
        Self::GpuPacking,
        Self::Fgd,
        Self::Default,
    ];

    /// Its written name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::FirstFit => "firstfit",
            Self::BestFit => "bestfit",
            Self::DotProd => "dotprod",
            Self::GpuPacking => "gpupacking",
            Self::Fgd => "fgd",
            Self::Default => "default",
        }
    }

    /// The policy with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// A pod that was placed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Its row in the list of pods.
    pub pod: usize,
    /// The node, by its place in the order of names.
    pub node: usize,
    /// The cards it holds, whole or in part.
    pub cards: Vec<usize>,
}

/// What came of one seed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// Cards at work of all cards, when all have arrived.
    pub alloc_pct: f64,
    /// The most that any order-respecting placement could reach, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_pct: Option<f64>,
}

/// Whether to work out how far from the best possible a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// For each seed.
    Wanted,
    /// Not at all.
    Unwanted,
}

/// Whether to keep what was at work on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curves {
    /// For a picture.
    Wanted,
    /// Only the end counts.
    Unwanted,
}

/// What was at work as more and more was asked for: means over the seeds, in per cent of all cards.
#[derive(Clone, PartialEq, Debug)]
pub struct Curve {
    /// Asked for so far, and at work then.
    pub at_work: Vec<Point>,
    /// Asked for so far, and the most that could be at work then, where it was asked for.
    pub bound: Option<Vec<Point>>,
}

/// What came of all seeds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PackReport {
    /// Who chose.
    pub policy: PackPolicy,
    /// Each seed.
    pub seeds: Vec<SeedReport>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (n − 1).
    pub std: f64,
    /// The way there, where it was asked for.
    #[serde(skip)]
    pub curve: Option<Curve>,
}

/// Runs one seed: which pods were placed where.
pub fn pack_seed(nodes: &[NodeRow], pods: &[PodRow], policy: PackPolicy, seed: u64) -> Vec<Placed> {
    let mut cluster = Cluster::new(nodes);
    let order = arrivals(pods, cluster.accel_total, LOAD_PERMILLE, seed);
    let shapes: Vec<Shape> = pods.iter().map(|pod| cluster.shape(pod)).collect();
    let rule = match policy {
        PackPolicy::Random => return by_chance(&mut cluster, &order, &shapes, seed),
        PackPolicy::Default => return live::place(nodes, pods, &order),
        PackPolicy::FirstFit => Rule::FirstFit,
        PackPolicy::BestFit => Rule::BestFit,
        PackPolicy::DotProd => Rule::DotProduct,
        PackPolicy::GpuPacking => Rule::GpuPacking,
        PackPolicy::Fgd => Rule::Fgd(Typical::of(shapes.iter())),
    };
    let mut chooser = Chooser::new(&rule, &cluster);
    let mut placed = Vec::new();
    for pod in order {
        let shape = &shapes[pod];
        if let Some((node, part)) = chooser.choose(&cluster, shape) {
            let cards = cluster.nodes[node].take(shape, part);
            chooser.changed(node);
            placed.push(Placed { pod, node, cards });
        }
    }
    placed
}

fn by_chance(cluster: &mut Cluster, order: &[usize], shapes: &[Shape], seed: u64) -> Vec<Placed> {
    let mut random = Random::new(seed, 0x6368_616e);
    let mut placed = Vec::new();
    for &pod in order {
        let shape = &shapes[pod];
        let fits = |at: &usize| cluster.nodes[*at].fits(shape);
        let fitting: Vec<usize> = (0..cluster.nodes.len()).filter(fits).collect();
        if fitting.is_empty() {
            continue;
        }
        let node = fitting[index(&mut random, fitting.len())];
        let left = &cluster.nodes[node].cards;
        let parts: Vec<usize> = (0..left.len()).filter(|&at| left[at] >= shape.milli).collect();
        let part = shape.is_part().then(|| parts[index(&mut random, parts.len())]);
        let cards = cluster.nodes[node].take(shape, part);
        placed.push(Placed { pod, node, cards });
    }
    placed
}

/// Cards at work of all cards, in per cent.
fn alloc_pct(nodes: &[NodeRow], pods: &[PodRow], placed: &[Placed]) -> f64 {
    let total: u64 = nodes.iter().map(|node| u64::from(node.cards) * 1_000).sum();
    let at_work: u64 = placed.iter().map(|seat| pods[seat.pod].accel_milli()).sum();
    if total == 0 { 0.0 } else { at_work as f64 / total as f64 * 100.0 }
}

/// Whether any pod finds a machine that has its cards, cores and memory, were all of them empty.
pub fn any_fits(nodes: &[NodeRow], pods: &[PodRow]) -> bool {
    let cluster = Cluster::new(nodes);
    let shapes = pods.iter().filter(|pod| pod.cards > 0).map(|pod| cluster.shape(pod));
    shapes.into_iter().any(|shape| cluster.nodes.iter().any(|node| node.fits(&shape)))
}

/// Runs all seeds; `progress` hears how much of them is done, from 0 to 1. Every run's placements are added up again; a node over what it has is an error,
/// and a defect of the policy.
pub fn pack(
    nodes: &[NodeRow],
    pods: &[PodRow],
    policy: PackPolicy,
    seeds: &[u64],
    (bound, curves): (Bound, Curves),
    progress: &mut dyn FnMut(f64),
) -> Result<PackReport, Overfull> {
    let total = Cluster::new(nodes).accel_total;
    let mut curve = MeanCurve::default();
    let all = seeds.len() as f64;
    let report = |(nth, &seed): (usize, &u64)| {
        progress(nth as f64 / all);
        let placed = pack_seed(nodes, pods, policy, seed);
        recheck(nodes, pods, &placed)?;
        let order = || arrivals(pods, total, LOAD_PERMILLE, seed);
        if curves == Curves::Wanted {
            curve.add(nodes, pods, &order(), &placed, bound);
        }
        let bound_pct = match bound {
            Bound::Wanted => Some(bound_pct(nodes, pods, &order())),
            Bound::Unwanted => None,
        };
        Ok(SeedReport { seed, alloc_pct: alloc_pct(nodes, pods, &placed), bound_pct })
    };
    let seeds: Vec<SeedReport> = seeds.iter().enumerate().map(report).collect::<Result<_, _>>()?;
    let count = seeds.len().max(1) as f64;
    let mean = seeds.iter().map(|seed| seed.alloc_pct).sum::<f64>() / count;
    let square = |seed: &SeedReport| (seed.alloc_pct - mean).powi(2);
    let spread: f64 = seeds.iter().map(square).sum();
    let std = if seeds.len() > 1 { (spread / (count - 1.0)).sqrt() } else { 0.0 };
    let curve = (curves == Curves::Wanted).then(|| curve.mean(bound));
    Ok(PackReport { policy, seeds, mean, std, curve })
}
