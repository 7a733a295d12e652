//! From a task's good end to its published results: gathered, granted, published, and its room given
//! back where that takes long.
//!
//! Invariant: nothing of the task runs here any more. What is copied where is not known here.

use std::sync::Arc;

use dayan_custody::Publishes;
use dayan_units::{AttemptId, BootTime};
use dayan_wire::{LeaseOrder, Outcome};

use super::{Done, Here, Shell};
use crate::launch;
use crate::staging::{Guard, Snag, gather};

impl Shell {
    /// It has ended well: what it left goes as far as it may without the grant.
    pub(super) fn gather(&mut self, attempt: AttemptId) {
        let Some((order, guard)) = self.publishes(attempt) else { return };
        let (roots, tell) = (Arc::clone(&self.roots), self.tell_done.clone());
        let (courier, workdir) = (Arc::clone(&self.courier), self.runner.workdir(attempt));
        tokio::spawn(async move {
            let result = match workdir.await.ok().flatten() {
                Some(folder) => gather(order, folder, guard, roots, courier).await,
                None => Err("this engine does not show its folders".to_owned().into()),
            };
            // The agent has ended meanwhile: the next gathers them again.
            let _ = tell.send(Done::Gathered { attempt, result }).await;
        });
        self.leaving.push_back((self.now().plus(self.lingers_after), attempt));
    }

    /// From now on it is about what it left: its order, and until when.
    fn publishes(&mut self, attempt: AttemptId) -> Option<(Arc<LeaseOrder>, Guard)> {
        let order = Arc::clone(&self.custody.kept().get(&attempt)?.order.payload);
        let guard = Guard::until(self.custody.lease_end(attempt));
        self.here.insert(attempt, Here::Publishing(guard.clone()));
        Some((order, guard))
    }

    pub(super) fn gathered(&mut self, attempt: AttemptId, result: Result<(), Snag>) {
        match result {
            Ok(()) => {
                let end = Outcome::Exited { code: 0 };
                let refused = self.stop_reason(attempt);
                let outputs = Publishes::Outputs { refused };
                if let Some(action) = self.custody.ended(attempt, end, outputs) {
                    self.act(vec![action]);
                }
            }
            Err(snag) => self.end(attempt, snag.not_published()),
        }
    }

    /// When the next of those that have ended gives its room back.
    pub(super) fn leaves_at(&self) -> Option<BootTime> {
        self.leaving.front().map(|(at, _)| *at)
    }

    /// Who ended some time ago and is not published yet takes no room from now on. They are in the order in
    /// which they ended.
    pub(super) fn leave(&mut self, now: BootTime) {
        while let Some((_, attempt)) = self.leaving.pop_front_if(|(at, _)| *at <= now) {
            if let Some(Here::Publishing(_)) = self.here.get(&attempt) {
                self.custody.running(attempt);
                self.custody.lingers(attempt);
            }
        }
    }

    /// The exchange has granted it.
    pub(super) fn publish(&mut self, attempt: AttemptId) {
        let Some((order, guard)) = self.publishes(attempt) else { return };
        let (roots, tell) = (Arc::clone(&self.roots), self.tell_done.clone());
        let (courier, workdir) = (Arc::clone(&self.courier), self.runner.workdir(attempt));
        tokio::spawn(async move {
            let folder = workdir.await.ok().flatten();
            let mut result = courier.publish(&order, folder.as_deref(), &guard).await;
            if result.is_ok() {
                let published = tokio::task::spawn_blocking(move || roots.publish(&order, &guard));
                let published = published.await.unwrap_or_else(|error| Err(error.to_string()));
                result = published.map_err(Snag::from);
            }
            // The agent has ended meanwhile: it is published again by the next.
            let _ = tell.send(Done::Published { attempt, result }).await;
        });
    }

    pub(super) fn published(&mut self, attempt: AttemptId, result: Result<(), Snag>) {
        let outcome = match result {
            Ok(()) => Outcome::Exited { code: 0 },
            Err(snag) => snag.not_published(),
        };
        self.work.over.push((attempt, outcome.clone()));
        self.custody.published(attempt, outcome);
        let kept = self.custody.kept().get(&attempt);
        if let Some(key) = kept.and_then(|kept| launch::launch_key(&kept.order.payload)) {
            self.release_if_over(attempt, key);
        }
    }
}
