//! The planner: one queue over the pools of all owners. It observes what changed, in its own small
//! vocabulary ([`Change`]), and answers with a [`Plan`]: which task goes where, under which offer,
//! and why the others wait.
//!
//! Invariant: a plan never promises more than a pool has shown, never splits a gang, never breaks a
//! constraint of a job or a rule of a provider; the same changes and the same `now` give the same
//! plan, and a planner that was fed event by event answers like one built afresh from the state.
//! Nothing here reads a clock, draws a random number, moves money, or knows an engine or a store.

pub mod order;
pub mod shift;
mod tasks;

mod ask;
mod view;

mod change;
mod policy;

mod answer;
mod plan;
mod reason;

mod cards;
mod fit_tree;
mod waste;

mod avoid;
mod calendar;
mod capped;
mod estate;
mod hours;
mod judge;
mod later;
mod line;
mod lists;
mod near;
mod queue;
mod quota;
mod score;
mod sentence;
mod signs;

mod ahead;
mod alone;
mod appoint;
mod candidates;
mod check;
mod explain;
mod grow;
mod keep;
mod others;
mod outlook;
mod planner;
mod preempt;
mod reserve;
mod round;
mod rows;
mod running;
mod search;
mod short;
mod slots;
mod soon;
mod urgent;
mod verdict;

pub use answer::{
    Candidate, Candidates, Explanation, JobStanding, Measured, NoAppointment, RefusedPool,
    Relaxation, Scored, StartEstimate, Stats, Urgency,
};
pub use appoint::APPOINTED_TASKS_MAX;
pub use ask::{AcceleratorChoice, Ask, DataAt, DelayAsk, GangAsk, JobAsk, Mode, Models, Pin, Same};
pub use candidates::lets_in;
pub use cards::{CardPart, Cards};
pub use change::{Appointment, Avoid, Change, LeaseEnd, Network, Tenure};
pub use later::TURNOVER;
pub use others::{Forecast, HeldByOthers};
pub use plan::{Atomicity, Placement, Plan, PlanDiff, Preemption, Refusal, Seat};
pub use planner::Planner;
pub use policy::{Policy, PreemptionPolicy, Preference, Work};
pub use quota::{Payer, Quota, QuotaOf};
pub use reason::{Reason, ReasonCode, ReasonCount};
pub use sentence::EXPLAINED;
pub use tasks::Tasks;
pub use view::{
    Carbon, Closure, HourlyCarbon, HourlyRates, NodeName, NodeUp, NodeView, OfferView, OrgRule,
    Placing, PoolView, Residence, Trust,
};
pub use waste::Workload;
