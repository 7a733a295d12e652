//! Moving work in time: what a year of flexible jobs emits when the planner chooses their hours.
//! The protocol is that of "Let's wait awhile" (Wiesner et al., Middleware'21): series of carbon
//! intensity by the half-hour, jobs drawn from a seed, a forecast with noise. Ours beside it: limits
//! on how much runs at once, prices, and jobs of which nothing is known before they come.
//!
//! Invariant: decisions see the forecast only, emissions are those of the series; every run is added
//! up again by `recheck`, and the optimum without limits is enumerated, both by code that shares
//! nothing with the decider. The same series, seed and policy give the same result. Nothing here
//! opens a file.

mod audit;
mod job_list;
mod jobs;
mod picture;
mod price;
mod run;
mod samples;
mod series;
mod year;

pub use dayan_schedule::shift::{Manner, Objective};

pub use audit::{Broken, recheck, unlimited_optimum};
pub use job_list::{JobList, ListNotes, read_jobs};
pub use jobs::{Deadline, JOBS, ShiftJob, draw};
pub use picture::{CarbonWords, Course, picture};
pub use price::{Prices, amount, read_prices};
pub use run::{
    Capacity, CarbonPolicy, CarbonReport, Jobs, Knowledge, SeedReport, Trial, TrialError, run,
    run_seed,
};
pub use samples::{GRAMS, PRICE, Quantity, Sample, Samples, read_samples};
pub use series::{Notes, Series, SeriesError, read_carbon};
pub use year::{NoYear, Year};
