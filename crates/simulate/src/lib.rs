//! The fault simulator: the whole exchange on virtual time, from one seed.
//!
//! A [`World`] is the exchange (`decide`, `evolve`, planner, liveness, journal), its sites (the
//! agents' own `custody` over twins of engine, keeper and machine), a network that loses, delays,
//! repeats and reorders, people who change their minds, and a checker that shares no code with
//! what it checks. Invariant: the same seed and [`Scenario`] give the same journal, byte for byte.
//! It must not know tokio, SQL, or any clock.

mod audit;
mod cache;
mod calendar;
pub mod carbon;
mod clock;
mod host;
pub mod hpc;
mod job_columns;
mod job_files;
mod keeper;
pub mod market;
mod messages;
pub mod pack;
mod people;
pub mod plot;
mod random;
mod report;
pub mod scale;
mod scenario;
mod script;
mod site;
mod table;
mod trace;
mod twin;
mod weather;
mod world;

pub use audit::Violation;
pub use report::Report;
pub use scenario::{Faults, Scenario};
pub use table::LineError;
pub use trace::Trace;
pub use world::World;
