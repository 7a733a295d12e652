//! The digest of a journal that is not kept, on a thread of its own: writing entries down costs as much
//! as deciding them. Knows nothing of what is in them.
//!
//! Invariant: entries are digested in the order in which they are handed over, as they would be
//! written.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use dayan_exchange::Entry;
use sha2::{Digest as _, Sha256};

/// Entries that may wait: a few milliseconds of work, so that whoever decides is held back before
/// memory is.
const WAITING_MAX: usize = 1_024;

enum Told {
    Entry(Box<Entry>),
    /// What is the digest so far?
    Say(Sender<String>),
}

/// The thread's other side; it ends with this.
#[derive(Debug)]
pub(crate) struct Digested {
    tell: SyncSender<Told>,
}

impl Digested {
    pub(crate) fn start() -> Self {
        let (tell, told) = sync_channel(WAITING_MAX);
        std::thread::spawn(move || digest(&told));
        Self { tell }
    }

    /// Takes the next entry.
    pub(crate) fn take(&self, entry: Entry) {
        self.tell.send(Told::Entry(Box::new(entry))).expect("the thread waits for this");
    }

    /// Of all entries so far.
    pub(crate) fn digest(&self) -> String {
        let (say, said) = channel();
        self.tell.send(Told::Say(say)).expect("the thread waits for this");
        said.recv().expect("it answers what it is asked")
    }
}

fn digest(told: &Receiver<Told>) {
    let mut digest = Sha256::new();
    for told in told {
        match told {
            Told::Entry(entry) => {
                let mut line = serde_json::to_vec(&*entry).expect("entries become JSON");
                line.push(b'\n');
                digest.update(&line);
            }
            // Nobody may be left to hear it.
            Told::Say(say) => drop(say.send(hex::encode(digest.clone().finalize()))),
        }
    }
}
