//! A second thread for what a simulation can have done beside it. Simulations know of no threads; what
//! comes of them is the same without.
//!
//! Invariant: a thread that panics takes its simulation with it.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use dayan_simulate::market::{Digester, Entry, Helper, Scribe};

/// Commits that wait to be written down: of a few entries each, some megabytes. The simulation waits
/// for the thread when there are more.
const COMMITS_MAX: usize = 1_024;

/// Does on a second thread what can be done there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads;

impl Helper for Threads {
    fn scribe(&self) -> Box<dyn Scribe> {
        let (to, entries) = sync_channel::<Vec<Entry>>(COMMITS_MAX);
        let thread = std::thread::spawn(move || {
            let mut digester = Digester::default();
            for entries in entries {
                digester.write(entries);
            }
            digester.digest()
        });
        Box::new(Beside { to: Some(to), thread: Some(thread), told: String::new() })
    }

    fn both(&self, first: &mut dyn FnMut(), second: &mut (dyn FnMut() + Send)) {
        std::thread::scope(|scope| {
            scope.spawn(second);
            first();
        });
    }
}

/// Hands entries to the thread that writes them down.
#[derive(Debug)]
struct Beside {
    to: Option<SyncSender<Vec<Entry>>>,
    thread: Option<JoinHandle<String>>,
    /// The digest, once the thread has told it.
    told: String,
}

impl Scribe for Beside {
    fn write(&mut self, entries: Vec<Entry>) {
        let to = self.to.as_ref().expect("nothing is written after the digest was asked for");
        to.send(entries).expect("the thread takes entries until there are no more");
    }

    fn digest(&mut self) -> String {
        drop(self.to.take());
        if let Some(thread) = self.thread.take() {
            self.told = thread.join().expect("writing down does not fail");
        }
        self.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use dayan_simulate::market::{Actor, Alone};
    use dayan_units::{RequestId, Time};

    use super::*;

    fn entry(nth: u32) -> Entry {
        Entry {
            at: Time::from_micros(i64::from(nth)),
            request: RequestId::from_bits(u128::from(nth)),
            actor: Actor::System,
            events: Vec::new(),
        }
    }

    #[test]
    fn the_digest_is_that_of_writing_at_once() {
        let digest = |mut scribe: Box<dyn Scribe>| {
            (0..5_000).for_each(|nth| scribe.write(vec![entry(nth), entry(nth + 1)]));
            scribe.digest()
        };
        let beside = digest(Threads.scribe());
        assert_eq!(beside, digest(Alone.scribe()));
        assert_ne!(beside, Alone.scribe().digest());
    }

    #[test]
    fn both_are_done_before_it_goes_on() {
        let done = AtomicU32::new(0);
        let add = |more| {
            done.fetch_add(more, Ordering::SeqCst);
        };
        Threads.both(&mut || add(1), &mut || add(2));
        assert_eq!(done.into_inner(), 3);
    }
}
