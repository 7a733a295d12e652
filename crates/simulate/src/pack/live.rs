//! Our own policy: the very planner that the live exchange runs, as one pool with one offer. Every
//! pod is queued, planned for at once, and forgotten where it has no place.
//!
//! What the planner knows of the workload are the leases it has booked so far; the rest of the list
//! is never shown to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_schedule::{
    AcceleratorChoice, Ask, Change, JobAsk, LeaseEnd, Models, NodeName, NodeView, OfferView, Payer,
    Planner, PoolView, Work,
};
use dayan_units::{
    Bytes, JobId, MilliAccel, MilliCpu, OfferId, OrgId, PoolId, ProjectId, Rate, Resources, Span,
    TaskId, Time,
};

use super::list::{NodeRow, PodRow};
use super::run::Placed;

/// All jobs are one project's.
const PAYER: Payer = Payer { project: ProjectId::from_bits(0), org: OrgId::from_bits(0) };

const POOL: PoolId = PoolId::from_bits(1);
const MIB: u64 = 1 << 20;
/// Nobody leaves in these runs.
const STAY: Span = Span::from_secs(365 * 86_400);

fn pool(nodes: &[NodeRow]) -> PoolView {
    let view = |row: &NodeRow| {
        let total = Resources {
            cpu: MilliCpu(row.cpu_milli),
            memory: Bytes(row.memory_mib * MIB),
            accel: MilliAccel(u64::from(row.cards) * 1_000),
            ..Resources::ZERO
        };
        NodeView { accelerator: row.model.clone(), ..NodeView::plain(&row.name, total) }
    };
    PoolView::plain(POOL, nodes.iter().map(view).collect())
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
    let submitted_at = Time::from_micros(i64::from(nth));
    let job = JobId::from_bits(u128::from(nth));
    JobAsk::plain(job, PAYER.project, submitted_at, ask.clone())
}

/// Places the pods in this order.
pub(crate) fn place(nodes: &[NodeRow], pods: &[PodRow], order: &[usize]) -> Vec<Placed> {
    let mut by_name: Vec<&NodeRow> = nodes.iter().collect();
    by_name.sort_by(|a, b| a.name.cmp(&b.name));
    let numbers: BTreeMap<NodeName, usize> =
        by_name.iter().map(|row| NodeName::new(&row.name)).zip(0..).collect();
    let mut planner = Planner::new();
    planner.observe(&Change::PoolShown(Box::new(pool(nodes))));
    let offers = vec![OfferView::plain(OfferId::from_bits(0), Rate::default())];
    planner.observe(&Change::OffersShown { pool: POOL, offers });
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
            licenses: std::collections::BTreeMap::new(),
            attempt: task.attempt(1),
            payer: PAYER,
            pool: seat.pool,
            node: seat.node.clone(),
            resources: seat.resources,
            cards: seat.cards,
            end: LeaseEnd { expected: ends, latest: ends },
            tenure: dayan_schedule::Tenure::Kept,
        });
        let cards = seat.cards.numbers().map(usize::from).collect();
        placed.push(Placed { pod, node: numbers[&seat.node], cards });
    }
    placed
}
