//! The planner beside the exchange, driven as the live server drives it: it hears of every
//! committed change, its placements are commands like any other, and what is refused goes back
//! into its picture.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{Command, Place, Refusal, RefusalKind, Seat};
use dayan_schedule::{Atomicity, Avoid, Change, Placement, Planner, Tasks, Work};
use dayan_units::{ProjectId, Span, Time};

/// Work of one round.
const ROUND: Work = Work(500_000);
/// A project without money is tried again after this.
const BLOCKED_FOR: Span = Span::from_secs(30);
/// A job that was refused its place for its own limits keeps off that pool for so long.
const REFUSED_FOR: Span = Span::from_secs(10);

/// The planner and what is known of refusals.
#[derive(Debug, Default)]
pub(crate) struct Planning {
    pub(crate) planner: Planner,
    blocked: BTreeMap<ProjectId, Time>,
}

impl Planning {
    /// A planner that starts, told everything.
    pub(crate) fn start(changes: &[Change]) -> Self {
        let mut planning = Self::default();
        planning.observe(changes);
        planning
    }

    pub(crate) fn observe(&mut self, changes: &[Change]) {
        for change in changes {
            self.planner.observe(change);
        }
    }

    /// Plans once: what to place.
    pub(crate) fn round(&mut self, now: Time) -> Vec<Placement> {
        let before = now.minus(BLOCKED_FOR);
        let due: Vec<ProjectId> =
            self.blocked.iter().filter(|(_, at)| **at < before).map(|(id, _)| *id).collect();
        for project in due {
            self.blocked.remove(&project);
            self.planner.observe(&Change::ProjectUnblocked(project));
        }
        let placements = self.planner.plan(now, ROUND).placements;
        placements.into_iter().flat_map(apart).collect()
    }

    /// What became of a placement.
    pub(crate) fn settled(
        &mut self,
        placement: &Placement,
        outcome: Result<(), &Refusal>,
        now: Time,
    ) {
        let Err(refusal) = outcome else { return };
        let until = now.plus(REFUSED_FOR);
        let pools: BTreeSet<_> = placement.seats.iter().map(|seat| seat.pool).collect();
        let keep_off = || pools.iter().map(|pool| Avoid { pool: *pool, until }).collect();
        match refusal.kind {
            RefusalKind::Unaffordable if refusal.code != "market.budget_job" => {
                self.refused(placement, Vec::new());
                self.blocked.insert(placement.project, now);
                self.planner.observe(&Change::ProjectBlocked {
                    project: placement.project,
                    reason: refusal.message.clone(),
                });
            }
            // Somebody was faster: the change that says so is on its way here.
            RefusalKind::Conflict if refusal.code.starts_with("place.not_queued") => {
                self.refused(placement, Vec::new());
            }
            RefusalKind::NotFound => self.refused(placement, Vec::new()),
            RefusalKind::Unaffordable
            | RefusalKind::Conflict
            | RefusalKind::Invalid
            | RefusalKind::Forbidden => self.refused(placement, keep_off()),
        }
    }

    /// A placement was not committed.
    pub(crate) fn refused(&mut self, placement: &Placement, avoid: Vec<Avoid>) {
        let tasks: Tasks = placement.seats.iter().map(|seat| seat.task).collect();
        self.planner.observe(&Change::PlacementRefused { job: placement.job, tasks, avoid });
    }
}

/// Seats that need not stand together are asked for one by one: money for some of them is enough
/// for some of them.
fn apart(placement: Placement) -> Vec<Placement> {
    match placement.atomicity {
        Atomicity::AllOrNothing => vec![placement],
        Atomicity::Each => {
            let Placement { job, project, atomicity, seats } = placement;
            let alone = |seat| Placement { job, project, atomicity, seats: [seat].into() };
            seats.into_iter().map(alone).collect()
        }
    }
}

/// The command that a placement is.
pub(crate) fn command(placement: &Placement) -> Command {
    let seats = placement
        .seats
        .iter()
        .map(|seat| Seat {
            task: seat.task,
            pool: seat.pool,
            node: seat.node.as_str().to_owned(),
            offer: seat.offer,
            resources: seat.resources,
            cards: seat.cards,
        })
        .collect();
    Command::Place(Box::new(Place { job: placement.job, seats }))
}
