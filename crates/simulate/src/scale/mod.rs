//! How fast the planner decides, and how that grows with the country: machines of many shapes in
//! pools of a hundred, half of the tasks in single jobs and half in arrays of a thousand, asking
//! for nine tenths of the resource that is scarcest. The very planner of the live exchange, alone:
//! nothing is stored, booked or sent.
//!
//! Invariant: the same [`Size`] gives the same country, tasks and seats, whatever the meter says;
//! what was seated is added up again by code that shares nothing with the planner. Nothing here
//! reads a clock: the [`Meter`] is the caller's.

mod audit;
mod country;
mod run;

pub use audit::Overfull;
pub use run::{Meter, ScaleReport, run};

/// How much of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Machines.
    pub nodes: u32,
    /// Tasks that run already when the measured part begins.
    pub placed: u32,
    /// Tasks to place.
    pub tasks: u32,
    /// Kinds of machines.
    pub node_shapes: u32,
    /// Kinds of tasks.
    pub task_shapes: u32,
    /// Of all draws.
    pub seed: u64,
}
