//! How far the copying for attempts is, told to the exchange now and then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayan_units::AttemptId;
use dayan_wire::{AttemptCopying, Copying};

use super::store::Store;

/// How often it is told while anything is copied: a person who watches sees it move, and a hundred
/// agents that copy make fifty small requests a second.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Attempts told of at once: an agent copies for few, and waits with the others.
const TOLD_MAX: usize = 1_000;

/// How far the copying for one attempt is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    /// What cannot be fetched or sent for now, by what it is.
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Progress {
    /// So many bytes more are to be copied.
    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }
    /// So many bytes more are there.
    pub(crate) fn came(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
    /// So many bytes have to be brought once more.
    pub(crate) fn lost(&self, bytes: u64) {
        let less = |done: u64| Some(done.saturating_sub(bytes));
        // The closure always gives a value.
        let _ = self.done.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
    /// It cannot be had for now, and is tried again.
    pub(crate) fn stuck(&self, what: &str, why: &str) {
        let mut troubles = self.troubles.lock().expect("nobody panics while holding it");
        troubles.insert(what.to_owned(), why.to_owned());
    }
    /// It is there.
    pub(crate) fn goes_on(&self, what: &str) {
        self.troubles.lock().expect("nobody panics while holding it").remove(what);
    }
    fn now(&self) -> Copying {
        let done = self.done.load(Ordering::Relaxed);
        let troubles = self.troubles.lock().expect("nobody panics while holding it");
        let trouble = troubles.iter().next().map(|(what, why)| format!("`{what}`: {why}"));
        Copying { done, total: self.total.load(Ordering::Relaxed).max(done), trouble }
    }
}

type Table = Arc<Mutex<BTreeMap<AttemptId, Arc<Progress>>>>;

/// Everything that is being copied, and who tells of it.
pub(crate) struct Desk {
    table: Table,
    telling: tokio::task::JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.telling.abort();
    }
}

impl Desk {
    /// Begins to tell.
    pub(crate) fn new(store: Store) -> Self {
        let table = Table::default();
        let telling = tokio::spawn(tell(store, Arc::clone(&table)));
        Self { table, telling }
    }

    /// Copying for an attempt begins; it is told of until the value is dropped.
    pub(crate) fn begin(&self, attempt: AttemptId) -> Going {
        let progress = Arc::new(Progress::default());
        let mut table = self.table.lock().expect("nobody panics while holding it");
        table.insert(attempt, Arc::clone(&progress));
        Going { attempt, progress, table: Arc::clone(&self.table) }
    }
}

/// Copying that goes on.
pub(crate) struct Going {
    attempt: AttemptId,
    progress: Arc<Progress>,
    table: Table,
}

impl std::ops::Deref for Going {
    type Target = Progress;
    fn deref(&self) -> &Progress {
        &self.progress
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.table.lock().expect("nobody panics while holding it").remove(&self.attempt);
    }
}

async fn tell(store: Store, table: Table) {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let told: Vec<AttemptCopying> = {
            let table = table.lock().expect("nobody panics while holding it");
            let all = table.iter().take(TOLD_MAX);
            all.map(|(attempt, progress)| AttemptCopying {
                attempt: *attempt,
                copying: progress.now(),
            })
            .collect()
        };
        if told.is_empty() {
            continue;
        }
        if let Err(fault) = store.tell(&told).await {
            // Nobody loses anything but a line on a screen.
            tracing::debug!(%fault, "how far copying is was not heard");
        }
    }
}
