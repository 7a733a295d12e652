//! Schedules as scripts and people see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run of a schedule that is behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleRun {
    /// When it was due.
    pub due: String,
    /// The last of several that were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The state of its job; or `skipped`: it was left out; or `missed`: it was due while the
    /// exchange was away, and is not made up for.
    pub state: String,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// When its job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why it was left out: a stable dotted code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A schedule: what makes a job again and again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its id.
    pub id: String,
    /// Its name; its jobs are called by it and by when they were due.
    pub name: String,
    /// What pays.
    pub project: String,
    /// `scheduled`, `paused` or `cancelled`.
    pub state: String,
    /// When it was accepted.
    pub submitted_at: String,
    /// When it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The zone in which they are read.
    pub timezone: String,
    /// `forbid`, `allow` or `replace`.
    pub overlap: String,
    /// `none`, `latest` or `all`.
    pub catch_up: String,
    /// When it is due next, the next few times.
    pub next: Vec<String>,
    /// Missed runs that are still to be made up for, oldest first.
    pub to_make_up: Vec<String>,
    /// Its last runs, the newest first.
    pub runs: Vec<ScheduleRun>,
    /// Its job file, in canonical form; not in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub spec: Option<serde_json::Value>,
}
