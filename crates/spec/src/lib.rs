//! The job file: what a consumer asks for, in one flat text.
//!
//! [`parse`] reads YAML or JSON into a [`JobSpec`], or says with line, column and advice what is
//! wrong. Invariant: no text makes it panic, run long or use much memory (see [`limits`]), and a
//! `JobSpec` that it returned has passed every rule that needs nothing but the file. Must not know
//! state, prices, time or where a job runs; whether a project exists and a price can be had is
//! decided at submission.

mod check;
mod code;
mod cron;
mod decode;
mod env;
mod error;
mod feature;
mod inputs;
mod keys;
pub mod limits;
mod model;
mod parse;
mod pattern;
mod reference;

mod report;
pub mod sbatch;
mod schema;

pub mod tree;
mod warning;

pub use cron::Cron;
pub use env::{TaskContext, task_env};
pub use error::{Code, Outside, SpecError, SpecErrors};
pub use feature::{
    Feature, JOBS_WITHOUT_IMAGE, NotOffered, PROCESS_POOL, not_offered, offered_by_process_pool,
    requirements,
};
pub use inputs::with_inputs;
pub use model::*;
pub use parse::{as_json, parse, parse_json, parse_yaml};
pub use pattern::Pattern;
pub use reference::reference_page;
pub use schema::json_schema;
pub use warning::{Warning, warnings};
