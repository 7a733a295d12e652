//! The exchange's data store over the wire: names, uploads, and what agents ask of it.

use dayan_units::AttemptId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A named file of a project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DataEntry {
    /// `dayan://organisation/project/path`.
    pub address: String,
    /// How many bytes.
    pub size: u64,
    /// Their SHA-256, in lower-case hex.
    pub sha256: String,
    /// When the name was given.
    pub at: String,
    /// By whom: a user's name, or the attempt that published it.
    pub by: String,
    /// May it be run as a program?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// What a project keeps, and may keep.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DataUse {
    /// Its path.
    pub project: String,
    /// Names.
    pub files: u64,
    /// Bytes that count: named ones, each as often as it is named, and uploads under way.
    pub bytes: u64,
    /// The most it may keep, in bytes.
    pub bytes_max: u64,
}

/// Bytes that are about to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUpload {
    /// An address in the project that will keep them; the project is what counts.
    pub address: String,
    /// How many.
    pub size: u64,
    /// Their SHA-256, in lower-case hex.
    pub sha256: String,
}

/// How far an upload is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UploadState {
    /// What it is called: the same bytes for the same project are the same upload.
    pub upload: String,
    /// Bytes that are there: send on from here.
    pub offset: u64,
    /// Is it all there, and what it should be?
    pub done: bool,
}

/// A name for bytes that are there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEntry {
    /// The name.
    pub address: String,
    /// Which bytes.
    pub sha256: String,
    /// May it be run as a program?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// A file of an attempt's input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct InputFile {
    /// Its path below the input's folder; empty for a single file.
    pub path: String,
    /// Its own name.
    pub name: String,
    /// How many bytes.
    pub size: u64,
    /// Their SHA-256, in lower-case hex.
    pub sha256: String,
    /// May it be run as a program?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Bytes that an attempt's outputs are made of, about to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOutput {
    /// Which attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// For which of its outputs, from 0; none: for its checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u32>,
    /// How many bytes.
    pub size: u64,
    /// Their SHA-256, in lower-case hex.
    pub sha256: String,
}

/// A file of an attempt's outputs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputFile {
    /// Of which output, from 0.
    pub output: u32,
    /// Its path below the output's address; empty: the address itself.
    pub path: String,
    /// Which bytes: their SHA-256, in lower-case hex.
    pub sha256: String,
    /// May it be run as a program?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// An attempt publishes its outputs, all at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Which attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// Every file of its outputs that go to the data store.
    pub files: Vec<OutputFile>,
}

/// What an attempt's task has saved of its state, all at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCheckpoint {
    /// Which attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// Every file of it.
    pub files: Vec<CheckpointFile>,
}

/// A file of a checkpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointFile {
    /// Its path below the checkpoint's folder.
    pub path: String,
    /// Which bytes: their SHA-256, in lower-case hex.
    pub sha256: String,
    /// May it be run as a program?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// A whole checkpoint of a task.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TaskCheckpoint {
    /// Counts the checkpoints of the task from 1; 0: there is none.
    pub number: u32,
    /// Its files.
    pub files: Vec<InputFile>,
}

/// The newest whole checkpoint of a task, as people see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    /// Of which task.
    pub task: u32,
    /// Counts the checkpoints of the task from 1.
    pub number: u32,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they are.
    pub bytes: u64,
    /// When it was whole.
    pub at: String,
    /// Which attempt saved it.
    pub by: String,
}

/// How far the copying for an attempt is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Copying {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all, as far as they are known.
    pub total: u64,
    /// What keeps it from going on, while it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far the copying for one of an agent's attempts is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptCopying {
    /// Which attempt.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// How far.
    pub copying: Copying,
}

/// A project's secret, without what it says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// When it was set.
    pub at: String,
    /// By which user.
    pub by: String,
}

/// What a secret says from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// What it says. It is not handed out again but to agents that need it.
    pub value: String,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSecret")
    }
}
