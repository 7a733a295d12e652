//! What travels between sites and the exchange: the sync and its answer, as `wire` has them, with
//! what a checker needs to know beside.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_custody::Answer;
use dayan_exchange::{Digest, Outcome, Seen, Shown, UsageRecord};
use dayan_identity::{Challenge, Nonce};
use dayan_units::{AttemptId, Span};

/// What an agent needs to run an attempt.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Payload {
    pub(crate) time_limit: Span,
    pub(crate) cores_milli: i64,
    pub(crate) has_outputs: bool,
    /// Files of its inputs, by their keys.
    pub(crate) inputs: Vec<u64>,
}

/// What the twins are made of.
pub(crate) type Custody = dayan_custody::Custody<Arc<Payload>, Outcome>;
pub(crate) type Action = dayan_custody::Action<Arc<Payload>>;
pub(crate) type Order = dayan_custody::Order<Arc<Payload>>;
pub(crate) type News = dayan_custody::News<Outcome>;

/// Which sync of which process of which site's agent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SyncId {
    pub(crate) site: usize,
    pub(crate) generation: u32,
    pub(crate) number: u64,
}

/// A lie in a sync: what a checker expects to be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    /// Counters that are less than they were.
    Shrinks(AttemptId),
    /// More time than has passed.
    FasterThanTime(AttemptId),
    /// The number of the record before, with other content.
    SameNumber(AttemptId),
    /// The attempt is another agent's.
    Foreign(AttemptId),
}

/// What an agent says.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Sync {
    pub(crate) id: SyncId,
    /// The newest revision known.
    pub(crate) known: u64,
    /// For how long the answer may be held back.
    pub(crate) wait: Span,
    pub(crate) shown: Option<Shown>,
    pub(crate) challenge: Option<(Nonce, Digest)>,
    pub(crate) reports: Vec<(AttemptId, Seen)>,
    pub(crate) usage: Vec<UsageRecord>,
    /// What the site's cache holds, where that has changed or was asked for.
    pub(crate) holds: Option<BTreeSet<u64>>,
    pub(crate) lies: Vec<Lie>,
}

/// What the exchange answers.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reply {
    pub(crate) to: SyncId,
    pub(crate) answer: Answer<Arc<Payload>>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) want_shown: Option<()>,
    /// The exchange does not know what the site's cache holds.
    pub(crate) want_holds: Option<()>,
}
