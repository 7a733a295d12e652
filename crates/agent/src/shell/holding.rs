//! The members of a launch that hold their leases while its head runs the command for all of them
//! (`launch: head`).
//!
//! Invariant: a member stands as its head does. It waits while that waits, runs and is used as long as that runs,
//! and has ended well when that is over, however it ended: their machines are the head's all that time.

use dayan_custody::{Counters, Publishes, Step};
use dayan_units::AttemptId;
use dayan_wire::Outcome;

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
        let (over, of) = (matches!(head.step, Step::Ended { .. }), head.order.attempt);
        self.members_follow(of);
        if over {
            self.release(key);
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

    /// The head of a launch has ended: so have the members that waited for it.
    fn release(&mut self, key: LaunchKey) {
        for attempt in self.holding.remove(&key).unwrap_or_default() {
            self.custody.ended(attempt, Outcome::Exited { code: 0 }, Publishes::Nothing);
        }
    }

    pub(super) fn release_if_over(&mut self, attempt: AttemptId, key: LaunchKey) {
        let over = self
            .custody
            .kept()
            .get(&attempt)
            .is_some_and(|kept| matches!(kept.step, Step::Ended { .. }));
        if over {
            self.release(key);
        }
    }
}
