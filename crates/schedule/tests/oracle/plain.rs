//! The rules as plainly as they can be written: which node would do for which job, and whether a
//! plan keeps to them. No line in common with the planner.

use std::collections::{BTreeMap, BTreeSet};

use dayan_schedule::{JobAsk, NodeView, OfferView, Plan, PoolView, Residence, Same, Seat};
use dayan_units::{JobId, MilliAccel, Resources};

use crate::instance::Instance;

/// A node with its pool.
pub struct Spot<'a> {
    pub pool: &'a PoolView,
    pub node: &'a NodeView,
    pub offer: &'a OfferView,
}

impl Spot<'_> {
    pub fn cards(&self) -> u64 {
        self.node.total.accel.0 / 1_000
    }
}

pub fn spots(instance: &Instance) -> Vec<Spot<'_>> {
    let pools = instance.pools.iter();
    let spots = pools
        .flat_map(|(pool, offer)| pool.nodes.iter().map(move |node| Spot { pool, node, offer }));
    spots.collect()
}

/// What a task of the job takes on this node if that were empty; none where it must not go.
pub fn need(job: &JobAsk, spot: &Spot<'_>) -> Option<Resources> {
    let (wish, pool) = (&job.ask, spot.pool);
    let allowed = (wish.regions.is_empty() || !wish.regions.is_disjoint(&pool.regions))
        && (wish.sites.is_empty() || wish.sites.contains(&pool.site))
        && (wish.residence == Residence::Any || pool.residence == Residence::Domestic)
        && pool.trust >= wish.trust
        && job.gang.is_none_or(|gang| gang.same != Same::Fabric || pool.fabric.is_some());
    if !allowed {
        return None;
    }
    let model = spot.node.accelerator.as_ref();
    let mut need = wish.resources;
    if !wish.accelerators.is_empty() {
        // The first alternative that the node's model serves.
        let model = model?;
        need.accel = wish.accelerators.iter().find(|choice| choice.models.accept(model))?.cards;
    } else if need.accel > MilliAccel::ZERO && model.is_none() {
        return None;
    }
    let has = &spot.node.total;
    let holds = need.cpu <= has.cpu
        && need.memory <= has.memory
        && need.accel.0.div_ceil(1_000) <= has.accel.0 / 1_000;
    let hour = spot.offer.rate.per_hour(&need).expect("small");
    (holds && job.max_unit_price.is_none_or(|cap| hour <= cap)).then_some(need)
}

/// The work of a task in whole processors: the largest of its processors, its memory (4 GB count as
/// one) and the cards it would like best (one counts as 16), rounded up.
pub fn width(job: &JobAsk) -> u32 {
    let wish = &job.ask;
    let cards = wish.accelerators.first().map_or(wish.resources.accel, |choice| choice.cards);
    let cpu = wish.resources.cpu.0.div_ceil(1_000);
    let memory = wish.resources.memory.0.div_ceil(4_000_000_000);
    u32::try_from(cpu.max(memory).max((cards.0 * 16).div_ceil(1_000))).expect("small")
}

/// The members of a gang are all within one of these.
pub fn together(same: Same, pool: &PoolView) -> String {
    match same {
        Same::Site => format!("{:?}", pool.site),
        Same::Fabric => format!("{:?} {:?}", pool.site, pool.fabric),
        Same::Pool => format!("{:?}", pool.pool),
        Same::Leaf => unreachable!("no draw asks for a leaf"),
    }
}

/// What is left of a node.
#[derive(Clone)]
pub struct Left {
    cpu: u64,
    memory: u64,
    cards: Vec<u64>,
}

impl Left {
    fn all(node: &NodeView) -> Self {
        let cards = usize::try_from(node.total.accel.0 / 1_000).expect("small");
        Self { cpu: node.total.cpu.0, memory: node.total.memory.0, cards: vec![1_000; cards] }
    }

    fn take(&mut self, seat: &Seat) -> Result<(), String> {
        let less = |has: &mut u64, takes: u64, what: &str| {
            *has = has.checked_sub(takes).ok_or_else(|| format!("{what}: over the node's"))?;
            Ok::<(), String>(())
        };
        less(&mut self.cpu, seat.resources.cpu.0, "processors")?;
        less(&mut self.memory, seat.resources.memory.0, "memory")?;
        let mut sum = 0;
        for at in seat.cards.numbers() {
            let part = seat.cards.part.filter(|part| part.card == at);
            let milli = part.map_or(1_000, |part| u64::from(part.milli));
            let card = self.cards.get_mut(usize::from(at)).ok_or("there is no such card")?;
            less(card, milli, "a card")?;
            sum += milli;
        }
        let asked = seat.resources.accel.0;
        if sum == asked { Ok(()) } else { Err(format!("{sum} of cards for {asked}")) }
    }

    pub fn holds(&self, need: &Resources) -> bool {
        let (whole, part) = (need.accel.0 / 1_000, need.accel.0 % 1_000);
        let untouched = self.cards.iter().filter(|left| **left == 1_000).count() as u64;
        let elsewhere = self.cards.iter().any(|left| *left < 1_000 && *left >= part);
        need.cpu.0 <= self.cpu
            && need.memory.0 <= self.memory
            && untouched >= whole + u64::from(part > 0 && !elsewhere)
    }
}

/// Is the plan one that may be carried out? Gives back what it leaves of each node.
pub fn check(instance: &Instance, plan: &Plan) -> Result<Vec<Left>, String> {
    let spots = spots(instance);
    let mut left: Vec<Left> = spots.iter().map(|spot| Left::all(spot.node)).collect();
    let mut seen = BTreeSet::new();
    for placement in &plan.placements {
        let job = instance.jobs.iter().find(|job| job.job == placement.job);
        let job = job.ok_or("a job that nobody queued")?;
        let mut nodes = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for seat in &placement.seats {
            let at = spots.iter().position(|spot| {
                spot.pool.pool == seat.pool
                    && spot.node.name == seat.node
                    && spot.offer.offer == seat.offer
            });
            let at = at.ok_or("a node or an offer that is not there")?;
            let need = need(job, &spots[at]).ok_or("a node where it must not go")?;
            if need != seat.resources {
                return Err(format!("{} instead of {need}", seat.resources));
            }
            left[at].take(seat)?;
            if !job.tasks.contains(seat.task) || !seen.insert((job.job, seat.task)) {
                return Err("a task that does not wait".to_owned());
            }
            nodes.insert(at);
            if let Some(gang) = job.gang {
                groups.insert(together(gang.same, spots[at].pool));
            }
        }
        if let Some(gang) = job.gang {
            let whole = placement.seats.len() == gang.size as usize;
            if !whole || nodes.len() != placement.seats.len() || groups.len() != 1 {
                return Err("a gang that is not whole, apart, or not each on its node".to_owned());
            }
        }
    }
    Ok(left)
}

/// How many tasks of each job a plan places, in the order of the queue.
pub fn served(instance: &Instance, plan: &Plan) -> Vec<u32> {
    let mut counts: BTreeMap<JobId, u32> = BTreeMap::new();
    plan.seats().for_each(|(task, _)| *counts.entry(task.job).or_default() += 1);
    instance.jobs.iter().map(|job| counts.get(&job.job).copied().unwrap_or(0)).collect()
}

/// A job of which more could be placed in what is left.
pub fn refused_without_need(instance: &Instance, left: &[Left], served: &[u32]) -> Option<JobId> {
    let spots = spots(instance);
    let could = |(job, served): &(&JobAsk, &u32)| {
        let fits = spots
            .iter()
            .zip(left)
            .filter(|(spot, left)| need(job, spot).is_some_and(|need| left.holds(&need)));
        let fitting: Vec<&PoolView> = fits.map(|(spot, _)| spot.pool).collect();
        if u64::from(**served) == job.tasks.len() {
            return false;
        }
        let Some(gang) = job.gang else { return !fitting.is_empty() };
        let mut groups: BTreeMap<String, u32> = BTreeMap::new();
        for pool in fitting {
            *groups.entry(together(gang.same, pool)).or_default() += 1;
        }
        groups.values().any(|members| *members >= gang.size)
    };
    instance.jobs.iter().zip(served).find(could).map(|(job, _)| job.job)
}
