//! A task as TES 1.1 has it on the wire.
//!
//! Invariant: fields that the server does not know are passed over, as the standard's clients expect
//! of each other; those that a client leaves out are not in what is sent back. Knows no job.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Where a task stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TesState {
    /// Nobody can say.
    Unknown,
    /// Waits for a place, or for money.
    Queued,
    /// Has a place; its inputs are being brought.
    Initializing,
    /// Runs, or its outputs are being published.
    Running,
    /// Was paused before it had a place.
    Paused,
    /// Ended well, and its outputs are where they belong.
    Complete,
    /// An executor failed, or needed more than it asked for.
    ExecutorError,
    /// Something else failed.
    SystemError,
    /// Was cancelled.
    Canceled,
    /// Its capacity was taken away, and no attempt is left.
    Preempted,
    /// Was cancelled, and is being stopped.
    Canceling,
}

/// A file, or a folder with all that is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TesFileType {
    /// One file.
    #[default]
    File,
    /// A folder.
    Directory,
}

/// Data that is there before the first executor starts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesInput {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it comes from; needed where there is no content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where it is seen inside the containers: an absolute path.
    pub path: String,
    /// What it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TesFileType>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A hint that it may be read as a stream; it is always brought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streamable: Option<bool>,
}

/// Data that is published after the last executor has ended well.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesOutput {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it goes; of a path with wildcards a folder.
    pub url: String,
    /// Where it is inside the containers: an absolute path, perhaps with `*`, `?` and `[ab]`.
    pub path: String,
    /// The folder that is left out of the names of what wildcards find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// What it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TesFileType>,
}

/// What a task needs.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesResources {
    /// Cores; 1 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cpu_cores: Option<i32>,
    /// May it run on capacity that can be taken away?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemptible: Option<bool>,
    /// Memory in GB; 1 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_gb: Option<f64>,
    /// Local disk in GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<f64>,
    /// Sites by id or name, of which it must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// What the standard has no field for; the service's info names the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_parameters: Option<BTreeMap<String, String>>,
    /// Is a key that is not known an error?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_parameters_strict: Option<bool>,
}

/// A command in a container.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesExecutor {
    /// The image.
    pub image: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it starts; else where the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The file that it reads as its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The file that its standard output goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The file that its standard error goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Does the next one start although this one fails?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_error: Option<bool>,
}

/// How an executor ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesExecutorLog {
    /// When it started, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it had ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// The beginning of its standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The beginning of its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Its status, as a shell shows it.
    pub exit_code: i32,
}

/// A file that was published.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesOutputFileLog {
    /// Where it is.
    pub url: String,
    /// Where it was inside the containers.
    pub path: String,
    /// How long it is, in digits.
    pub size_bytes: String,
}

/// One attempt.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesTaskLog {
    /// Of each executor that ended.
    pub logs: Vec<TesExecutorLog>,
    /// Where it ran, and what it is called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// When it started, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it had ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// The files that it has published, as they were then.
    pub outputs: Vec<TesOutputFileLog>,
    /// What was without effect, why it failed, and of a task without an attempt why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_logs: Option<Vec<String>>,
}

/// What only the server says, whatever it looks like.
fn passed_over<'de, D: Deserializer<'de>, T>(from: D) -> Result<Option<T>, D::Error> {
    IgnoredAny::deserialize(from)?;
    Ok(None)
}

/// A task.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesTask {
    /// Its id: the job's. Of a task that is sent, this and what else only the server knows is passed over.
    #[serde(default, deserialize_with = "passed_over", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it stands.
    #[serde(default, deserialize_with = "passed_over", skip_serializing_if = "Option::is_none")]
    pub state: Option<TesState>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Data in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<TesInput>>,
    /// Data out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<TesOutput>>,
    /// What it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<TesResources>,
    /// What runs, one after the other. Of a task in the view MINIMAL it is not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executors: Vec<TesExecutor>,
    /// Folders that all executors share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<String>>,
    /// For people and for lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    /// Its attempts.
    #[serde(default, deserialize_with = "passed_over", skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<TesTaskLog>>,
    /// When it was created, RFC 3339.
    #[serde(default, deserialize_with = "passed_over", skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
}

/// A page of tasks.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TesList {
    /// The tasks, the newest first.
    pub tasks: Vec<TesTask>,
    /// Where to go on, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// The answer to a task that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TesCreated {
    /// Its id.
    pub id: String,
}

/// The answer to a cancellation: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TesCanceled {}

/// Which kind of service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TesServiceType {
    /// `org.ga4gh`.
    pub group: String,
    /// `tes`.
    pub artifact: String,
    /// The standard's version.
    pub version: String,
}

/// Who runs it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TesOrganization {
    /// The exchange.
    pub name: String,
    /// Its address.
    pub url: String,
}

/// What the service is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TesServiceInfo {
    /// Its name, as a domain's the other way round.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: TesServiceType,
    /// Who runs it.
    pub organization: TesOrganization,
    /// The program's version.
    pub version: String,
    /// Where data can lie.
    pub storage: Vec<String>,
    /// The keys of `backend_parameters` that have an effect.
    #[serde(rename = "tesResources_backend_parameters")]
    pub backend_parameters: Vec<String>,
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TesError {
    /// The HTTP status.
    pub status_code: u16,
    /// What is wrong, and what to do.
    pub msg: String,
    /// A stable dotted code.
    pub code: String,
}
