//! The members of a launch that hold their leases while its head runs the command for all of them
//! (`launch: head`).
//!
//! Invariant: a member stands as its head does. It waits while that waits, runs and is used as long as that runs:
//! their machines are the head's all that time. When that is over it has ended well, whatever the program came to;
//! but what the site did to the head it did to all of them.

use dayan_custody::{Counters, Publishes, Step};
use dayan_engines::Observation;
use dayan_units::AttemptId;
use dayan_wire::{Blame, Outcome};

use super::{Here, Shell};
use crate::launch::{self, LaunchKey};

impl Shell {
    /// It only holds its lease from now on.
    pub(super) fn hold(&mut self, attempt: AttemptId, key: LaunchKey) {
        self.here.insert(attempt, Here::Held);
        self.holding.entry(key).or_default().insert(attempt);
        let head = self.custody.kept().values().find(|kept| {
            launch::launch_key(&kept.order.payload) == Some(key)
                && !launch::holds_only(&kept.order.payload)
        });
        let Some(head) = head else { return };
        let (over, of) = (ended(&head.step), head.order.attempt);
        self.members_follow(of);
        if let Some(outcome) = over {
            self.release(key, &outcome);
        }
    }

    /// The head of a launch runs, or has run: so do those that hold for it, and for as long. Their processors
    /// and memory are counted with the head, as far as anybody sees them.
    pub(super) fn members_follow(&mut self, head: AttemptId) {
        let Some(kept) = self.custody.kept().get(&head) else { return };
        let wall_us = kept.usage.counters.wall_us;
        let runs = wall_us > 0 || matches!(kept.step, Step::Running);
        let Some(key) = launch::launch_key(&kept.order.payload).filter(|_| runs) else { return };
        for member in self.holding.get(&key).cloned().unwrap_or_default() {
            self.custody.running(member);
            self.custody.counted(member, Counters { wall_us, ..Counters::default() });
        }
    }

    /// Where it runs, and where those are that hold for it.
    pub(super) fn on_nodes(&mut self, seen: &Observation) {
        if let Some(node) = &seen.node {
            self.syncs.on_node(seen.attempt, node);
        }
        let Some(kept) = self.custody.kept().get(&seen.attempt).filter(|_| !seen.others.is_empty())
        else {
            return;
        };
        let key = launch::launch_key(&kept.order.payload);
        let members = key.and_then(|key| self.holding.get(&key));
        for (member, node) in members.into_iter().flatten().zip(&seen.others) {
            self.syncs.on_node(*member, node);
        }
    }

    /// The head of a launch has ended: so have the members that waited for it.
    fn release(&mut self, key: LaunchKey, outcome: &Outcome) {
        for attempt in self.holding.remove(&key).unwrap_or_default() {
            self.custody.ended(attempt, of_member(outcome), Publishes::Nothing);
        }
    }

    pub(super) fn release_if_over(&mut self, attempt: AttemptId, key: LaunchKey) {
        let over = self.custody.kept().get(&attempt).and_then(|kept| ended(&kept.step));
        if let Some(outcome) = over {
            self.release(key, &outcome);
        }
    }
}

fn ended(step: &Step<Outcome>) -> Option<Outcome> {
    if let Step::Ended { end } = step { Some(end.clone()) } else { None }
}

/// How a member has ended whose head ended so: a program that fails fails once.
fn of_member(head: &Outcome) -> Outcome {
    match head {
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::OutOfMemory
        | Outcome::TimeLimit
        | Outcome::PublishFailed { blame: Blame::Job, .. } => Outcome::Exited { code: 0 },
        Outcome::LeaseEnded
        | Outcome::Stopped
        | Outcome::NodeFailure
        | Outcome::Preempted
        | Outcome::StartFailed { .. }
        | Outcome::PublishFailed { blame: Blame::Site, .. } => head.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_site_did_to_the_head_it_did_to_all_of_them() {
        let well = Outcome::Exited { code: 0 };
        for own in [Outcome::Exited { code: 3 }, Outcome::OutOfMemory, Outcome::TimeLimit] {
            assert_eq!(of_member(&own), well);
        }
        for site in [Outcome::Preempted, Outcome::NodeFailure, Outcome::LeaseEnded] {
            assert_eq!(of_member(&site), site);
        }
    }
}
