//! Our own policy: the very planner that the live exchange runs, as one pool with one offer. Every
//! pod is queued, planned for at once, and forgotten where it has no place.
//!
//! What the planner knows of the workload are the leases it has booked so far; the rest of the list
//! is never shown to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_schedule::{
    AcceleratorChoice, Ask, Change, JobAsk, LeaseEnd, Models, NodeName, NodeUp, NodeView,
    OfferView, OrgRule, Placing, Planner, PoolView, Residence, Tasks, Trust, Work,
};
use dayan_units::{
    Bytes, JobId, Micro, MilliAccel, MilliCpu, OfferId, OrgId, PoolId, ProjectId, ProviderId, Rate,
    Resources, SiteId, Span, TaskId, Time,
};

use super::list::{NodeRow, PodRow};
use super::run::Placed;

const POOL: PoolId = PoolId::from_bits(1);
const MIB: u64 = 1 << 20;
/// Nobody leaves in these runs.
const STAY: Span = Span::from_secs(365 * 86_400);

fn pool(nodes: &[NodeRow]) -> PoolView {
    let view = |row: &NodeRow| NodeView {
        name: NodeName::new(&row.name),
        total: Resources {
            cpu: MilliCpu(row.cpu_milli),
            memory: Bytes(row.memory_mib * MIB),
            disk: Bytes::ZERO,
            accel: MilliAccel(u64::from(row.cards) * 1_000),
        },
        count: 1,
        accelerator: row.model.clone(),
        capability: BTreeMap::new(),
        features: BTreeSet::new(),
        up: NodeUp::Up,
    };
    PoolView {
        pool: POOL,
        provider: ProviderId::from_bits(1),
        site: SiteId::from_bits(1),
        place: "trace".to_owned(),
        region: "trace".to_owned(),
        residence: Residence::Domestic,
        trust: Trust::Measured,
        features: BTreeSet::new(),
        placing: Placing::ByNode,
        fabric: None,
        nodes: nodes.iter().map(view).collect(),
        rules: OrgRule::default(),
        carbon: None,
    }
}

fn offer() -> OfferView {
    OfferView {
        offer: OfferId::from_bits(1),
        accelerator: None,
        rate: Rate { core_hour: Micro(0), gb_hour: Micro(0), card_hour: Micro(0) },
        minimum: Span::ZERO,
        least: Resources::ZERO,
        most: None,
        time_max: None,
        classes: BTreeMap::new(),
        reliability_permille: 1_000,
        closed: false,
    }
}

fn ask(pod: &PodRow) -> Ask {
    let cards = MilliAccel(pod.accel_milli());
    let resources = Resources {
        cpu: MilliCpu(pod.cpu_milli),
        memory: Bytes(pod.memory_mib * MIB),
        disk: Bytes::ZERO,
        accel: cards,
    };
    let mut ask = Ask::plain(resources, STAY);
    if !pod.models.is_empty() {
        let models = Models::OneOf(Arc::new(pod.models.clone()));
        let label = pod.models.iter().cloned().collect::<Vec<_>>().join("|");
        ask.accelerators = vec![AcceleratorChoice { label, models, cards }];
    }
    ask
}

fn job(nth: u32, ask: &Arc<Ask>) -> JobAsk {
    JobAsk {
        job: JobId::from_bits(u128::from(nth)),
        project: ProjectId::from_bits(1),
        org: OrgId::from_bits(1),
        buyer_class: "external".to_owned(),
        submitted_at: Time::from_micros(i64::from(nth)),
        priority: 0,
        ask: ask.clone(),
        expected: None,
        strict: false,
        tasks: Tasks::range(0..1),
        tasks_total: 1,
        max_parallel: None,
        gang: None,
        deadline: None,
        prefer: Vec::new(),
        quote: None,
        max_unit_price: None,
        max_price: None,
    }
}

/// Places the pods in this order.
pub(crate) fn place(nodes: &[NodeRow], pods: &[PodRow], order: &[usize]) -> Vec<Placed> {
    let mut by_name: Vec<&NodeRow> = nodes.iter().collect();
    by_name.sort_by(|a, b| a.name.cmp(&b.name));
    let numbers: BTreeMap<NodeName, usize> =
        by_name.iter().map(|row| NodeName::new(&row.name)).zip(0..).collect();
    let mut planner = Planner::new();
    planner.observe(&Change::PoolShown(Box::new(pool(nodes))));
    planner.observe(&Change::OffersShown { pool: POOL, offers: vec![offer()] });
    let asks: Vec<Arc<Ask>> = pods.iter().map(|pod| Arc::new(ask(pod))).collect();
    let now = Time::EPOCH;
    let ends = now.plus(STAY);
    let mut placed = Vec::new();
    for (nth, &pod) in (0u32..).zip(order) {
        let job = job(nth, &asks[pod]);
        let task = TaskId { job: job.job, task: 0 };
        planner.observe(&Change::JobQueued(Box::new(job)));
        let plan = planner.plan(now, Work::UNBOUNDED);
        let Some((_, seat)) = plan.seats().find(|(seated, _)| *seated == task) else {
            planner.observe(&Change::JobGone(task.job));
            continue;
        };
        planner.observe(&Change::LeasePlaced {
            attempt: task.attempt(1),
            pool: seat.pool,
            node: seat.node.clone(),
            resources: seat.resources,
            cards: seat.cards,
            end: LeaseEnd { expected: ends, latest: ends },
        });
        let cards = seat.cards.numbers().map(usize::from).collect();
        placed.push(Placed { pod, node: numbers[&seat.node], cards });
    }
    placed
}
