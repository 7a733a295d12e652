//! The weather office's work: a limited-area forecast with the shallow-water equations.
//!
//! The region is cut into bands of rows, one per rank; neighbours exchange the rows at their
//! borders three times a step, rank 0 gathers the fields and writes maps and one data file.
//! Invariant: the result is the same, bit for bit, for any number of ranks; a test holds it.

mod data;
mod gang;
mod map;
mod region;
mod run;
mod solver;

pub use data::{Field, GridFile};
pub use gang::{Gang, Meeting, fingerprint};
pub use region::{City, Region};
pub use run::{Forecast, Outcome, Output, forecast, save, summary};
pub use solver::{Band, Grid};
