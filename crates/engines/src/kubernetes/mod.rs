//! The Kubernetes engine: tasks as pods of a cluster, through its API server and with the rights of
//! one service account.
//!
//! Launches of one job that ask for the same become one indexed Job, a gang one whose pods find
//! each other under a headless Service; a pod finds what it runs in a Secret. A watch tells what
//! becomes of pods; the engine asks again from the beginning when it was cut off. The end of a
//! lease is told to the cluster too, as the job's deadline: its own controllers end what nobody is
//! left to ask for.
//!
//! Invariants: the name of a job follows from its first attempt, and no index of it is ever run
//! again; nothing ends because a question failed; an attempt is over when its pod is, and one whose
//! node is silent is over when its lease is, and not before. What runs is nobody's business here.
//!
//! Without the feature `kubernetes` there is only what an operator may say of a cluster: then an
//! agent that is asked for one says what is missing.

#[cfg(feature = "kubernetes")]
mod beside;
#[cfg(feature = "kubernetes")]
mod book;
#[cfg(feature = "kubernetes")]
mod clerk;
#[cfg(feature = "kubernetes")]
mod connect;
#[cfg(feature = "kubernetes")]
mod engine;
#[cfg(feature = "kubernetes")]
mod forming;
#[cfg(feature = "kubernetes")]
mod hearing;
#[cfg(feature = "kubernetes")]
mod jobs;
#[cfg(feature = "kubernetes")]
mod lookout;
#[cfg(feature = "kubernetes")]
mod making;
#[cfg(feature = "kubernetes")]
mod manifest;
#[cfg(feature = "kubernetes")]
mod names;
#[cfg(feature = "kubernetes")]
mod pods;
#[cfg(feature = "kubernetes")]
mod quantity;
#[cfg(feature = "kubernetes")]
mod reading;
#[cfg(feature = "kubernetes")]
mod script;
mod site;
#[cfg(feature = "kubernetes")]
mod steps;
#[cfg(feature = "kubernetes")]
mod survey;
#[cfg(feature = "kubernetes")]
mod tending;
#[cfg(feature = "kubernetes")]
mod usage;
#[cfg(feature = "kubernetes")]
mod visiting;
#[cfg(feature = "kubernetes")]
pub mod visitor;
#[cfg(feature = "kubernetes")]
mod volume;

use std::ffi::OsString;
use std::path::PathBuf;

use dayan_units::Span;

#[cfg(feature = "kubernetes")]
pub use engine::KubernetesEngine;
#[cfg(feature = "kubernetes")]
pub use lookout::Lookout;
pub use site::{Namespaces, Site, Volume};
#[cfg(feature = "kubernetes")]
pub use survey::{Node, Quota, Survey};

/// The engine's journal, in its folder.
#[cfg(feature = "kubernetes")]
const JOURNAL_FILE: &str = "kubernetes.journal";

/// How often and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How long a question to the API server may take.
    pub ask_within: Span,
    /// Between two tries of something that was not sure.
    pub try_again: Span,
    /// How long an image may fail to come before its task is given up.
    pub image_within: Span,
    /// How long the members of a gang may wait for each other once one of them runs.
    pub gang_within: Span,
    /// How long after its end a pod's output may take to be read.
    pub logs_within: Span,
    /// How often quotas, the clock and the accelerators' name are asked for.
    pub picture_every: Span,
    /// How often it is asked what running tasks use.
    pub usage_every: Span,
    /// How long after a lease's end a node's word may take. Then its task counts as lost: it may not
    /// run any more, whoever is silent.
    pub word_within: Span,
}

impl Default for Pace {
    /// An API server answers within its own limit of 60 s for requests, and in milliseconds when it
    /// is well; a restart takes seconds. A registry that is slow is tried for two minutes, twice
    /// what nodes take to their third try. Members of a gang are placed within seconds of each
    /// other where there is room for all. Quotas change when people change them. Clusters measure
    /// what pods use every fifteen seconds. A node that is slow says a pod's end within two minutes
    /// of its lease's, and one that is lost never does.
    fn default() -> Self {
        Self {
            ask_within: Span::from_secs(30),
            try_again: Span::from_secs(2),
            image_within: Span::from_secs(120),
            gang_within: Span::from_secs(300),
            logs_within: Span::from_secs(30),
            picture_every: Span::from_secs(60),
            usage_every: Span::from_secs(15),
            word_within: Span::from_secs(120),
        }
    }
}

/// Where and how to run tasks in a cluster.
#[derive(Clone, Debug)]
pub struct KubernetesConfig {
    /// The agent's data folder. One agent uses it at a time.
    pub dir: PathBuf,
    /// What the operator says of the cluster.
    pub site: Site,
    /// How often and how long.
    pub pace: Pace,
    /// The program that runs `visitor::run`, with the words before its options: `[dayan,
    /// "kube-exec"]`. None: no command can be run beside a task.
    pub visitor: Option<Vec<OsString>>,
}
