//! Refusals and faults as `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A name for this kind of problem: `urn:dayan:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status again.
    pub status: u16,
    /// Stable dotted code.
    pub code: String,
    /// What is wrong, with its values.
    pub title: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// Reasons per pool, per key of the job file, per line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ProblemDetail>,
    /// The request's id, as it stands in the audit trail.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
}

/// One reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetail {
    /// Of what: a pool's name, a key of the job file.
    pub subject: String,
    /// Stable dotted code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Line of the job file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column of the job file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}
