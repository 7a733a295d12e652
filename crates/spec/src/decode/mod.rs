//! From the tree to the types, key by key. Everything wrong is reported; a value that is wrong is
//! left out and reading goes on, so that one look finds as much as it can.
//!
//! Invariant: when the report is clean, a job was made; when no job was made, the report says why.

mod fields;
mod item;
mod job;
mod parts;
mod steps;

pub(crate) use fields::suggestion;

use crate::model::JobSpec;
use crate::report::Report;
use crate::tree::Node;

/// The job, or none when the report says why not.
pub(crate) fn decode(node: &Node, report: &Report<'_>) -> Option<JobSpec> {
    job::job(node, report)
}
