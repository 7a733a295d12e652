//! Small instances, drawn from a seed: a few pools of other owners, prices, cards and sizes, and
//! jobs with wishes of all kinds.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_schedule::order::due_at;
use dayan_schedule::{
    AcceleratorChoice, Ask, Change, GangAsk, JobAsk, Models, NodeView, OfferView, Planner, Policy,
    PoolView, Residence, Same, Tasks, Trust,
};
use dayan_units::{
    Bytes, JobId, Micro, MilliAccel, MilliCpu, OfferId, PoolId, ProjectId, ProviderId, Rate,
    Resources, SiteId, Span, Time,
};

use crate::draws::Draws;

/// Pools with their one offer, and jobs in the order of the queue.
#[derive(Debug)]
pub struct Instance {
    pub pools: Vec<(PoolView, OfferView)>,
    pub jobs: Vec<JobAsk>,
}

pub const NOW: Time = Time::from_micros(1_000_000_000);
pub const SLOT: Span = Span::from_secs(600);

fn resources(cores: u64, gb: u64, milli_cards: u64) -> Resources {
    Resources {
        cpu: MilliCpu(cores * 1_000),
        memory: Bytes(gb * 1_000_000_000),
        disk: Bytes::ZERO,
        accel: MilliAccel(milli_cards),
    }
}

impl Instance {
    /// A planner that has heard of everything at once.
    pub fn planner(&self, policy: Policy) -> Planner {
        let mut planner = Planner::new();
        planner.observe(&Change::PolicySet(policy));
        for (view, offer) in &self.pools {
            planner.observe(&Change::PoolShown(Box::new(view.clone())));
            let offers = vec![offer.clone()];
            planner.observe(&Change::OffersShown { pool: view.pool, offers });
        }
        for ask in &self.jobs {
            planner.observe(&Change::JobQueued(Box::new(ask.clone())));
        }
        planner
    }

    /// For one round: two to six nodes, three to twelve jobs, more work than room as a rule.
    pub fn for_packing(seed: u64) -> Self {
        let mut draws = Draws::new(seed, 0x7061_636b);
        let nodes = draws.between(2, 6);
        let pools = some_pools(&mut draws, nodes, node_of_all_kinds);
        let jobs = (0..draws.between(3, 12)).map(|n| job_of_all_kinds(&mut draws, n)).collect();
        Self { pools, jobs: in_order(jobs) }
    }

    /// One pool of nodes with so many cores, memory without end and two cards each; jobs of so
    /// many cores, thousandths of cards, and tasks.
    pub fn by_hand(cores: &[u64], asks: &[(u64, u64, u32)]) -> Self {
        let named = |(at, cores): (usize, &u64)| NodeView {
            name: format!("n{at}").as_str().into(),
            ..node(*cores, 1_000, 2, "H100")
        };
        let nodes = cores.iter().enumerate().map(named).collect();
        let view = PoolView::plain(PoolId::from_bits(1), nodes);
        let asked = |(n, (cores, milli, tasks)): (u64, &(u64, u64, u32))| {
            job(n, Ask::plain(resources(*cores, 1, *milli), SLOT), *tasks)
        };
        Self {
            pools: vec![(view, OfferView::plain(OfferId::from_bits(1), Rate::default()))],
            jobs: (0..).zip(asks).map(asked).collect(),
        }
    }

    /// The same where no owner is cheaper than another.
    pub fn at_one_price(mut self) -> Self {
        let rate = self.pools[0].1.rate;
        self.pools.iter_mut().for_each(|(_, offer)| offer.rate = rate);
        self
    }

    /// For a whole schedule: up to three nodes and six jobs of one to three slots each, whose limits
    /// are what they take.
    pub fn for_time(seed: u64) -> Self {
        let mut draws = Draws::new(seed, 0x7469_6d65);
        let nodes = draws.between(1, 3);
        let pools = some_pools(&mut draws, nodes, |draws| {
            let cards = draws.pick(&[0, 0, 1, 2]);
            node(draws.pick(&[4, 6, 8]), draws.pick(&[16, 32]), cards, "H100")
        });
        let jobs = (0..draws.between(3, 6)).map(|n| {
            let cards = draws.pick(&[0, 0, 0, 1]);
            let need = resources(draws.between(1, 6), draws.between(2, 16), cards * 1_000);
            let mut job = job(n, Ask::plain(need, SLOT.times(draws.pick(&[1, 1, 2, 2, 3]))), 1);
            if draws.in_percent(15) {
                job = gang(job, 2, Same::Site);
            }
            job
        });
        let jobs: Vec<JobAsk> = jobs.collect();
        Self { pools, jobs: in_order(jobs) }
    }
}

/// Nodes dealt out to up to three pools of different owners, regions, trust and price.
fn some_pools(
    draws: &mut Draws,
    nodes: u64,
    mut some_node: impl FnMut(&mut Draws) -> NodeView,
) -> Vec<(PoolView, OfferView)> {
    let count = draws.between(1, nodes.min(3));
    let mut pools = Vec::new();
    for n in 0..count {
        // As even as it goes, the first ones larger.
        let mut own = Vec::new();
        for at in 0..nodes / count + u64::from(n < nodes % count) {
            let named = NodeView { name: format!("n{at}").as_str().into(), ..some_node(draws) };
            own.push(named);
        }
        let bits = u128::from(n) + 1;
        let pool = PoolId::from_bits(bits);
        let price = i64::try_from(draws.between(1, 9)).expect("small") * 10_000;
        let rate = Rate {
            core_hour: Micro(price),
            gb_hour: Micro(price / 10),
            card_hour: Micro(price * 20),
        };
        let view = PoolView {
            provider: ProviderId::from_bits(bits),
            site: SiteId::from_bits(u128::from(draws.between(0, 1))),
            regions: [draws.pick(&["Guizhou", "Sichuan"]).to_owned()].into(),
            residence: draws.pick(&[Residence::Domestic, Residence::Any]),
            trust: draws.pick(&[Trust::Measured, Trust::Verified, Trust::Listed]),
            fabric: draws.in_percent(60).then(|| "ib".to_owned()),
            ..PoolView::plain(pool, own)
        };
        pools.push((view, OfferView::plain(OfferId::from_bits(bits), rate)));
    }
    pools
}

fn node(cores: u64, gb: u64, cards: u64, model: &str) -> NodeView {
    NodeView {
        accelerator: (cards > 0).then(|| model.to_owned()),
        ..NodeView::plain("", resources(cores, gb, cards * 1_000))
    }
}

fn node_of_all_kinds(draws: &mut Draws) -> NodeView {
    let (cores, gb) = (draws.pick(&[4, 8, 8, 16]), draws.pick(&[16, 32, 64]));
    node(cores, gb, draws.pick(&[0, 0, 1, 2, 4]), draws.pick(&["H100", "Ascend910B"]))
}

fn job(n: u64, ask: Ask, tasks: u32) -> JobAsk {
    let submitted = NOW.minus(Span::from_secs(3_600)).plus(Span::from_secs(n.cast_signed()));
    JobAsk {
        tasks: Tasks::range(0..tasks),
        tasks_total: u64::from(tasks),
        ..JobAsk::plain(
            JobId::from_bits(u128::from(n) + 1),
            ProjectId::from_bits(1),
            submitted,
            Arc::new(ask),
        )
    }
}

fn gang(mut job: JobAsk, size: u32, same: Same) -> JobAsk {
    job.gang = Some(GangAsk { size, same, near: None, least: None });
    job.tasks = Tasks::range(0..size);
    job.tasks_total = u64::from(size);
    job
}

fn job_of_all_kinds(draws: &mut Draws, n: u64) -> JobAsk {
    let minutes = draws.pick(&[10, 30, 60, 240]);
    let need = resources(draws.between(1, 8), draws.between(2, 24), 0);
    let mut ask = Ask::plain(need, Span::from_secs(60 * minutes));
    let choice = |label: &str, models: &[&str], cards: u64| AcceleratorChoice {
        label: label.to_owned(),
        models: Models::OneOf(Arc::new(models.iter().map(|&name| name.to_owned()).collect())),
        cards: MilliAccel(cards),
    };
    match draws.between(0, 9) {
        0 => ask.resources.accel = MilliAccel(1_000),
        1 => ask.resources.accel = MilliAccel(draws.pick(&[250, 500, 700])),
        2 => ask.resources.accel = MilliAccel(1_500),
        3 => {
            ask.accelerators = vec![
                choice("H100", &["H100"], 1_000),
                choice("Ascend910B", &["Ascend910B"], draws.pick(&[1_000, 2_000])),
            ];
        }
        4 => ask.accelerators = vec![choice("H100", &["H100"], draws.pick(&[500, 2_000]))],
        _ => {}
    }
    match draws.between(0, 9) {
        0 => ask.regions = BTreeSet::from([draws.pick(&["Guizhou", "Sichuan"]).to_owned()]),
        1 => ask.trust = draws.pick(&[Trust::Measured, Trust::Verified]),
        2 => ask.residence = Residence::Domestic,
        3 => ask.sites = BTreeSet::from([SiteId::from_bits(u128::from(draws.between(0, 1)))]),
        _ => {}
    }
    let tasks = u32::try_from(draws.pick(&[1, 1, 1, 2, 3, 4])).expect("small");
    let mut job = job(n, ask, tasks);
    if draws.in_percent(15) {
        let size = u32::try_from(draws.between(2, 3)).expect("small");
        job = gang(job, size, draws.pick(&[Same::Site, Same::Fabric, Same::Pool]));
    }
    if draws.in_percent(15) {
        job.max_unit_price = Some(Micro(draws.pick(&[150_000, 400_000, 1_000_000])));
    }
    job.priority = i32::from(draws.in_percent(15));
    job.expected = draws.in_percent(50).then(|| Span::from_secs(30 * minutes));
    job
}

/// The order that the concepts page promises.
fn in_order(mut jobs: Vec<JobAsk>) -> Vec<JobAsk> {
    jobs.sort_by_key(|ask| (-ask.priority, due_at(ask), ask.submitted_at, ask.job));
    jobs
}
