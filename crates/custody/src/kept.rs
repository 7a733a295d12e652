//! What is kept of one attempt: what the exchange wants, how far it is, what was said of it.

use dayan_units::{AttemptId, BootTime, Span};
use serde::{Deserialize, Serialize};

use crate::news::Seen;
use crate::usage::Reading;

/// What the exchange wants done with one attempt. `T` is what the shell needs to run it.
#[derive(Clone, PartialEq, Debug)]
pub struct Order<T> {
    /// Which attempt.
    pub attempt: AttemptId,
    /// How long it may outlive its link.
    pub keep: Span,
    /// Should it stop?
    pub stop: bool,
    /// May it publish its outputs?
    pub publish: bool,
    /// How to run it.
    pub payload: T,
}

/// How far an attempt is here. `E` is how it ended, in the shell's words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step<E> {
    /// Handed to the shell to stage and start.
    Starting,
    /// Its process runs, or has ended and its outputs are being gathered.
    Running,
    /// It ended well and has outputs: waits for the grant.
    AwaitingGrant {
        /// How it ended.
        end: E,
    },
    /// Its outputs are being published.
    Publishing {
        /// How it ended.
        end: E,
    },
    /// It is over here.
    Ended {
        /// How.
        end: E,
    },
}

impl<E: Clone> Step<E> {
    /// Can something of it still run here?
    pub const fn may_run(&self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    fn seen(&self) -> Seen<E> {
        match self {
            Self::Starting => Seen::Staging,
            Self::Running => Seen::Running,
            Self::AwaitingGrant { .. } | Self::Publishing { .. } => Seen::Publishing,
            Self::Ended { end } => Seen::Ended(end.clone()),
        }
    }

    /// Does the report say what still is so? An attempt ends once only, so its end is not compared.
    pub(crate) const fn is(&self, seen: &Seen<E>) -> bool {
        matches!(
            (self, seen),
            (Self::Starting, Seen::Staging)
                | (Self::Running, Seen::Running)
                | (Self::AwaitingGrant { .. } | Self::Publishing { .. }, Seen::Publishing)
                | (
                    Self::Running | Self::AwaitingGrant { .. } | Self::Publishing { .. },
                    Seen::Lingering
                )
                | (Self::Ended { .. }, Seen::Ended(_))
        )
    }
}

/// Has an attempt that ended well anything to publish?
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Publishes<E> {
    /// Yes, and how it ends if it may not do so: without its outputs it has not ended well.
    Outputs {
        /// That end.
        refused: E,
    },
    /// No.
    Nothing,
}

/// Was its present step said?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// Not yet, or in a sync that was not answered.
    Not,
    /// In a sync. It is said again then: so that the exchange can say that it holds no lease for
    /// it, and in case that it was not heard after all.
    Until(BootTime),
}

/// What is kept of one attempt.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept<T, E> {
    /// What the exchange wants.
    pub order: Order<T>,
    /// How far it is.
    pub step: Step<E>,
    /// Its use.
    pub usage: Reading,
    /// Was it asked to stop, by the exchange or because its lease ran out?
    pub stopping: bool,
    /// Does nothing of it run any more, while what it left takes long to publish?
    pub(crate) lingers: bool,
    /// When its lease ends as the fence beside it was last told; none: as an earlier process of
    /// this agent told it.
    pub(crate) fence: Option<BootTime>,
    pub(crate) said: Said,
}

impl<T, E: Clone> Kept<T, E> {
    /// What is said of it.
    pub(crate) fn seen(&self) -> Seen<E> {
        match &self.step {
            Step::Running | Step::AwaitingGrant { .. } | Step::Publishing { .. }
                if self.lingers =>
            {
                Seen::Lingering
            }
            step => step.seen(),
        }
    }
}
