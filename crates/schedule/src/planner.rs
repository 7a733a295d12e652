//! The planner's face: observe, plan, answer.

use dayan_units::{JobId, Time};

use crate::answer::{Candidates, Explanation, Stats};
use crate::ask::JobAsk;
use crate::change::Change;
use crate::plan::Plan;
use crate::policy::Work;

/// One queue over the pools of all owners.
///
/// The loop is: [`observe`](Self::observe) what was committed → [`plan`](Self::plan) → commit each
/// placement, which may be refused → observe [`LeasePlaced`](Change::LeasePlaced) or
/// [`PlacementRefused`](Change::PlacementRefused) → plan again.
///
/// The seats of a plan are held for it *tentatively*: a confirmed one becomes a lease without
/// further cost, a refused one is free at once, and whatever was neither confirmed nor refused is
/// free again when the next plan begins. So two plans in a row without a change between are equal.
#[derive(Debug, Default)]
pub struct Planner {}

impl Planner {
    /// Nothing shown, nothing queued, the default policy.
    pub fn new() -> Self {
        Self::default()
    }
    /// Takes in a change. Costs what the change touches.
    pub fn observe(&mut self, _change: &Change) {}
    /// Decides for this moment, with at most this much work.
    pub fn plan(&mut self, now: Time, _budget: Work) -> Plan {
        Plan { now, ..Plan::default() }
    }
    /// Where this job could go, known to the planner or not.
    pub fn candidates(&self, _ask: &JobAsk, _now: Time) -> Candidates {
        Candidates::default()
    }
    /// Why the job waits.
    pub fn explain(&self, _job: JobId, _now: Time) -> Option<Explanation> {
        None
    }
    /// Recomputes every index from scratch and compares; the message names the first difference.
    pub fn consistency_check(&self) -> Result<(), String> {
        Ok(())
    }
    /// The planner's own figures.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
