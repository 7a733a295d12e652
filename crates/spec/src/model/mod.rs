//! What a job file says, as types: every quantity in an integer unit, every choice an enum.
//!
//! The serde form of [`JobSpec`] is canonical: it goes into the journal and the API, and reads
//! back to an equal value. It is not the job file: that form has units in its texts and is read by
//! [`crate::parse`]. Invariant: a `JobSpec` that a parser returned has passed every rule of this
//! room. Must not know state, prices or where a job runs.

mod access;
mod address;
mod choice;
mod job;
mod license;
mod name;
mod placement;
mod resource;
mod steps;
mod trade;
mod work;

pub use address::DataAddress;
pub(crate) use choice::Choice;
pub use choice::{
    After, BudgetPeriod, CatchUp, DeadlineKind, DelayClass, JobKind, Launch, MarketMode,
    NotifyWhen, OnBreach, OnLimit, OutputWhen, Overlap, Precision, Preference, Priority, Resume,
    Same, Signal, Trust,
};
pub use job::{Array, Backend, Gang, JobSpec};
pub use license::License;
pub use name::{Location, NameError, Place, ProjectPath, ProviderRef, is_secret_name};
pub(crate) use name::{quote, stays_inside};
pub use placement::{DelayAsk, Network, Placement, Providers};
pub use resource::{AcceleratorAsk, AcceleratorKind, ResourceAsk};
pub use steps::{Mount, Origin, Step, is_inside_path, is_mountable, line_of};
pub use trade::{Budget, Deadline, Finish, Market, Schedule, UnitPrice};
pub use work::{
    Checkpoint, Dependency, Input, Notify, OnLostLink, Output, Replicas, Retry, RetryCause,
    Service, Target, TimeSignal,
};
