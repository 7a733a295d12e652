//! A plan is data: printed, compared, kept, replayed. It holds what to do and, for the first jobs
//! that wait, why they do. It says nothing that depends on how the planner came to know the state,
//! except `work_used`.

use std::collections::BTreeMap;

use dayan_units::{AttemptId, JobId, OfferId, PoolId, ProjectId, Resources, TaskId, Time};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::cards::Cards;
use crate::change::Appointment;
use crate::policy::Work;
use crate::reason::ReasonCount;
use crate::view::NodeName;

/// Where one task is to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// The task's number in its job.
    pub task: u32,
    /// In which pool.
    pub pool: PoolId,
    /// On which node, or in which group of nodes.
    pub node: NodeName,
    /// Under which offer.
    pub offer: OfferId,
    /// What it gets: give it back in [`LeasePlaced`](crate::Change::LeasePlaced).
    pub resources: Resources,
    /// Which cards: likewise.
    pub cards: Cards,
}

/// Do the seats of a placement stand and fall together?
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Atomicity {
    /// Each seat may be committed or refused by itself.
    Each,
    /// A gang: all or none.
    AllOrNothing,
}

/// Seats for tasks of one job, next to each other in the plan's order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placement {
    /// Which job.
    pub job: JobId,
    /// Who pays.
    pub project: ProjectId,
    /// All or nothing?
    pub atomicity: Atomicity,
    /// One for each task placed.
    pub seats: SmallVec<[Seat; 1]>,
}

/// Leases to be taken back so that a waiting job can start, all of them or none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Preemption {
    /// For which job.
    pub for_job: JobId,
    /// Which leases: by loss they are the cheapest, in their order.
    pub victims: Vec<AttemptId>,
    /// What is kept for the job of what comes free, so that nobody else takes it: to be observed as
    /// its [`Appointed`](crate::Change::Appointed).
    pub places: Vec<Appointment>,
}

/// Why a job waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Which job.
    pub job: JobId,
    /// How many pools refused it, by reason, in the order of the codes.
    pub reasons: Vec<ReasonCount>,
}

/// What to do now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The changes the planner had observed: a count, for commit to compare.
    pub revision: u64,
    /// The moment it was made for.
    pub now: Time,
    /// What to place, in the order decided.
    pub placements: Vec<Placement>,
    /// What to take back, for the first waiting jobs, in queue order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preemptions: Vec<Preemption>,
    /// Why the first waiting jobs wait, one for each like group, in queue order.
    pub refusals: Vec<Refusal>,
    /// What it cost. The one field that depends on what the planner remembered.
    pub work_used: Work,
    /// Did the budget end before the queue? Then the placements are the first of those that an
    /// unbounded round would make.
    pub exhausted: bool,
}

/// What differs between two plans.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PlanDiff {
    /// Seats only in the newer plan.
    pub added: Vec<(TaskId, Seat)>,
    /// Seats only in the older plan.
    pub removed: Vec<(TaskId, Seat)>,
    /// Tasks placed in both but differently: before, after.
    pub moved: Vec<(TaskId, Seat, Seat)>,
    /// Refusals only in the newer plan.
    pub refused: Vec<Refusal>,
    /// Refusals only in the older plan.
    pub no_longer_refused: Vec<Refusal>,
}

impl Plan {
    /// All seats, in the order decided.
    pub fn seats(&self) -> impl Iterator<Item = (TaskId, &Seat)> {
        self.placements.iter().flat_map(|placement| {
            let job = placement.job;
            placement.seats.iter().map(move |seat| (TaskId { job, task: seat.task }, seat))
        })
    }

    /// The number of tasks placed.
    pub fn placed_len(&self) -> usize {
        self.placements.iter().map(|placement| placement.seats.len()).sum()
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.placements.is_empty() && self.preemptions.is_empty()
    }

    /// What a newer plan does otherwise.
    pub fn diff(&self, newer: &Self) -> PlanDiff {
        let before: BTreeMap<TaskId, &Seat> = self.seats().collect();
        let after: BTreeMap<TaskId, &Seat> = newer.seats().collect();
        let mut diff = PlanDiff::default();
        for (task, seat) in &after {
            match before.get(task) {
                None => diff.added.push((*task, (*seat).clone())),
                Some(old) if old != seat => {
                    diff.moved.push((*task, (*old).clone(), (*seat).clone()));
                }
                Some(_) => {}
            }
        }
        let gone = before.iter().filter(|(task, _)| !after.contains_key(task));
        diff.removed = gone.map(|(task, seat)| (*task, (*seat).clone())).collect();
        let only_in = |here: &[Refusal], there: &[Refusal]| {
            here.iter().filter(|refusal| !there.contains(refusal)).cloned().collect()
        };
        diff.refused = only_in(&newer.refusals, &self.refusals);
        diff.no_longer_refused = only_in(&self.refusals, &newer.refusals);
        diff
    }
}
