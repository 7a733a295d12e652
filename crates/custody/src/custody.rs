//! The state machine: answers of the exchange, observations of the engine and the clock come in;
//! actions for the shell and news for the exchange go out.

use std::collections::BTreeMap;

use dayan_units::{AttemptId, BootTime, Span, lease_end};
use serde::{Deserialize, Serialize};

use crate::usage::{Counters, Reading, UsageRecord};

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

/// What an answer of the exchange holds for custody.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer<T> {
    /// The agent's revision this answer brings it to.
    pub revision: u64,
    /// Leases that are new or changed since the revision the agent named.
    pub orders: Vec<Order<T>>,
    /// Attempts without a lease: stop them if they run, and forget them.
    pub forget: Vec<AttemptId>,
}

/// How far an attempt is here. `E` is how it ended, in the shell's words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step<E> {
    /// Handed to the shell to stage and start.
    Starting,
    /// Its process runs.
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

/// What is kept of one attempt.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept<T, E> {
    /// What the exchange wants.
    pub order: Order<T>,
    /// How far it is.
    pub step: Step<E>,
    /// When its lease ends by this machine's clock.
    pub lease_end: BootTime,
    /// Its use.
    pub usage: Reading,
    /// Was it asked to stop?
    pub stopping: bool,
    /// The step that the exchange has certainly heard of (its report was answered).
    heard: bool,
    /// When its usage was last told.
    told_at: BootTime,
}

/// What the shell is asked to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action<T> {
    /// Stage its inputs and start it. Never asked twice for one attempt.
    Start(Order<T>, BootTime),
    /// Its lease now ends then: tell the fence.
    Extend(AttemptId, BootTime),
    /// End it.
    Stop(AttemptId),
    /// Publish its outputs.
    Publish(AttemptId),
    /// Remove what is left of it.
    Forget(AttemptId),
}

/// What is said of an attempt at a sync.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen<E> {
    /// Being staged or started.
    Staging,
    /// Runs.
    Running,
    /// Ended well, asks to publish.
    Publishing,
    /// Over.
    Ended(E),
}

/// What to say at the next sync.
#[derive(Clone, PartialEq, Debug)]
pub struct News<E> {
    /// The newest revision known.
    pub revision: u64,
    /// News of attempts.
    pub reports: Vec<(AttemptId, Seen<E>)>,
    /// Usage records.
    pub usage: Vec<UsageRecord>,
}

impl<E> News<E> {
    /// Is there something that should be said at once?
    pub fn is_urgent(&self) -> bool {
        self.reports.iter().any(|(_, seen)| !matches!(seen, Seen::Staging))
    }
}

/// The agent's pure state.
#[derive(Clone, PartialEq, Debug)]
pub struct Custody<T, E> {
    revision: u64,
    kept: BTreeMap<AttemptId, Kept<T, E>>,
    usage_every: Span,
}

impl<T: Clone, E: Clone> Custody<T, E> {
    /// Nothing held yet. Running attempts tell their use every `usage_every`.
    pub fn new(usage_every: Span) -> Self {
        Self { revision: 0, kept: BTreeMap::new(), usage_every }
    }

    /// What is held.
    pub fn kept(&self) -> &BTreeMap<AttemptId, Kept<T, E>> {
        &self.kept
    }

    /// Takes in an answer to a sync sent at `sent_at`. Every lease that is held is renewed by it.
    pub fn answered(
        &mut self,
        sent_at: BootTime,
        told: &News<E>,
        answer: Answer<T>,
    ) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        // Two syncs may be under way; an older answer must not take the revision back.
        self.revision = self.revision.max(answer.revision);
        for (attempt, _) in &told.reports {
            if let Some(kept) = self.kept.get_mut(attempt)
                && told.reports.iter().any(|(id, seen)| id == attempt && kept.step.is(seen))
            {
                kept.heard = true;
            }
        }
        for order in answer.orders {
            self.take_order(sent_at, order, &mut actions);
        }
        for attempt in answer.forget {
            self.forget(attempt, &mut actions);
        }
        for (attempt, kept) in &mut self.kept {
            let end = lease_end(sent_at, kept.order.keep);
            if end > kept.lease_end {
                kept.lease_end = end;
                if matches!(kept.step, Step::Starting | Step::Running) {
                    actions.push(Action::Extend(*attempt, end));
                }
            }
        }
        actions
    }

    fn take_order(&mut self, sent_at: BootTime, order: Order<T>, actions: &mut Vec<Action<T>>) {
        let attempt = order.attempt;
        match self.kept.get_mut(&attempt) {
            None => {
                // Stopped before it was ever seen here: nothing to start, it ends unstarted, which
                // the shell says by ending a `Start` that is followed by a `Stop`.
                let end = lease_end(sent_at, order.keep);
                let stop = order.stop;
                actions.push(Action::Start(order.clone(), end));
                if stop {
                    actions.push(Action::Stop(attempt));
                }
                let kept = Kept {
                    order,
                    step: Step::Starting,
                    lease_end: end,
                    usage: Reading::default(),
                    stopping: stop,
                    heard: false,
                    told_at: sent_at,
                };
                self.kept.insert(attempt, kept);
            }
            Some(kept) => {
                if order.stop && !kept.stopping {
                    kept.stopping = true;
                    if matches!(kept.step, Step::Starting | Step::Running) {
                        actions.push(Action::Stop(attempt));
                    }
                }
                if order.publish
                    && let Step::AwaitingGrant { end } = &kept.step
                {
                    kept.step = Step::Publishing { end: end.clone() };
                    kept.heard = true;
                    actions.push(Action::Publish(attempt));
                }
                kept.order = order;
            }
        }
    }

    fn forget(&mut self, attempt: AttemptId, actions: &mut Vec<Action<T>>) {
        match self.kept.get_mut(&attempt) {
            Some(kept) if matches!(kept.step, Step::Starting | Step::Running) => {
                // The exchange does not know it any more: it must not run on. It is forgotten once
                // it has ended and the exchange says so again.
                if !kept.stopping {
                    kept.stopping = true;
                    actions.push(Action::Stop(attempt));
                }
            }
            Some(_) => {
                self.kept.remove(&attempt);
                actions.push(Action::Forget(attempt));
            }
            None => actions.push(Action::Forget(attempt)),
        }
    }

    /// Takes up an attempt that the engine knows from before this agent process: it was started,
    /// and so is never started again. Its lease lasts as the fence has it.
    pub fn adopt(&mut self, order: Order<T>, step: Step<E>, lease_end: BootTime) {
        let kept = Kept {
            order,
            step,
            lease_end,
            usage: Reading::default(),
            stopping: false,
            heard: false,
            told_at: BootTime(0),
        };
        self.kept.insert(kept.order.attempt, kept);
    }

    /// Usage numbers go on where the last process left them.
    pub fn resume_usage(&mut self, attempt: AttemptId, reading: Reading) {
        if let Some(kept) = self.kept.get_mut(&attempt) {
            kept.usage = reading;
        }
    }

    /// The engine says that it runs.
    pub fn running(&mut self, attempt: AttemptId) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && matches!(kept.step, Step::Starting)
        {
            kept.step = Step::Running;
            kept.heard = false;
        }
    }

    /// The engine counted.
    pub fn counted(&mut self, attempt: AttemptId, counters: Counters) {
        if let Some(kept) = self.kept.get_mut(&attempt) {
            kept.usage.read(counters);
        }
    }

    /// The engine says that it ended; `publishes` when it ended well and has outputs.
    pub fn ended(&mut self, attempt: AttemptId, end: E, publishes: Publishes) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && matches!(kept.step, Step::Starting | Step::Running)
        {
            kept.step = match publishes {
                Publishes::Outputs if !kept.stopping => Step::AwaitingGrant { end },
                Publishes::Outputs | Publishes::Nothing => Step::Ended { end },
            };
            kept.heard = false;
        }
    }

    /// The shell has published its outputs, or could not: `end` says which.
    pub fn published(&mut self, attempt: AttemptId, end: E) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && matches!(kept.step, Step::Publishing { .. })
        {
            kept.step = Step::Ended { end };
            kept.heard = false;
        }
    }

    /// Ends what has outlived its lease. The fence beside the task does the same on its own; this
    /// is for what waits for a grant, and for the record.
    pub fn tick(&mut self, now: BootTime) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        for (attempt, kept) in &mut self.kept {
            if kept.lease_end <= now
                && !kept.stopping
                && matches!(kept.step, Step::Starting | Step::Running)
            {
                kept.stopping = true;
                actions.push(Action::Stop(*attempt));
            }
        }
        actions
    }

    /// When [`Self::tick`] or [`Self::news`] has something to do next, if nothing else happens.
    pub fn next_due(&self) -> Option<BootTime> {
        self.kept
            .values()
            .filter_map(|kept| match kept.step {
                Step::Starting | Step::Running => {
                    Some(kept.lease_end.min(kept.told_at.plus(self.usage_every)))
                }
                Step::AwaitingGrant { .. } | Step::Publishing { .. } | Step::Ended { .. } => None,
            })
            .min()
    }

    /// What to say at a sync sent at `now`.
    pub fn news(&mut self, now: BootTime) -> News<E> {
        let mut reports = Vec::new();
        let mut usage = Vec::new();
        for (attempt, kept) in &mut self.kept {
            // A lease that is over here must not publish: the task may be another's by now.
            let outlived = kept.lease_end <= now;
            let seen = match &kept.step {
                Step::Starting => Seen::Staging,
                Step::Running => Seen::Running,
                Step::AwaitingGrant { end } if outlived => Seen::Ended(end.clone()),
                Step::AwaitingGrant { .. } | Step::Publishing { .. } => Seen::Publishing,
                Step::Ended { end } => Seen::Ended(end.clone()),
            };
            let ended = matches!(seen, Seen::Ended(_) | Seen::Publishing);
            let due = now >= kept.told_at.plus(self.usage_every);
            if ended || !kept.heard || due {
                reports.push((*attempt, seen));
            }
            if ended || (due && matches!(kept.step, Step::Running)) {
                usage.push(kept.usage.record(*attempt));
                kept.told_at = now;
            }
        }
        News { revision: self.revision, reports, usage }
    }
}

/// Has an attempt that ended well anything to publish?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publishes {
    /// Yes.
    Outputs,
    /// No.
    Nothing,
}

impl<E> Step<E> {
    fn is<E2>(&self, seen: &Seen<E2>) -> bool {
        matches!(
            (self, seen),
            (Self::Starting, Seen::Staging)
                | (Self::Running, Seen::Running)
                | (Self::AwaitingGrant { .. } | Self::Publishing { .. }, Seen::Publishing)
        )
    }
}
