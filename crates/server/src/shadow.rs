//! The shadow: a state of its own that trails the journal and writes snapshots, so that the writer
//! never stalls for one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use dayan_exchange::State;
use dayan_store::Snapshots;

use crate::encoding::{SNAPSHOT_VERSION, snapshot};
use crate::writer::Batch;

/// A snapshot is due after this many events: they replay in about two seconds.
const EVENTS_BETWEEN: u64 = 200_000;

enum Input {
    Batch(Arc<Batch>),
    Reset(Box<State>, u64),
    Stop,
}

/// A handle to the shadow's thread.
#[derive(Clone, Debug)]
pub struct Shadow {
    inputs: Sender<Input>,
}

impl Shadow {
    /// Starts the thread.
    pub fn start(snapshots: Snapshots) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (inputs, receiver) = channel();
        let mut thread =
            Thread { receiver, snapshots, state: State::default(), seq: 0, snapped: 0 };
        let handle =
            std::thread::Builder::new().name("shadow".to_owned()).spawn(move || thread.run())?;
        Ok((Self { inputs }, handle))
    }
    /// A batch was committed.
    pub fn batch(&self, batch: Arc<Batch>) {
        drop(self.inputs.send(Input::Batch(batch)));
    }
    /// The state was read back.
    pub fn reset(&self, state: Box<State>, seq: u64) {
        drop(self.inputs.send(Input::Reset(state, seq)));
    }
    /// Writes a last snapshot if much has happened since the one before, and ends.
    pub fn stop(&self) {
        drop(self.inputs.send(Input::Stop));
    }
}

struct Thread {
    receiver: Receiver<Input>,
    snapshots: Snapshots,
    state: State,
    seq: u64,
    /// The revision of the newest snapshot.
    snapped: u64,
}

impl Thread {
    fn run(&mut self) {
        while let Ok(input) = self.receiver.recv() {
            match input {
                Input::Batch(batch) => {
                    for entry in &batch.entries {
                        self.state.evolve(entry);
                    }
                    self.seq = batch.seq;
                    if self.state.revision - self.snapped >= EVENTS_BETWEEN {
                        self.write();
                    }
                }
                Input::Reset(state, seq) => {
                    self.snapped = self.snapped.min(state.revision);
                    if self.snapped == 0 {
                        self.snapped = state.revision;
                    }
                    self.state = *state;
                    self.seq = seq;
                }
                Input::Stop => {
                    if self.state.revision - self.snapped >= EVENTS_BETWEEN / 10 {
                        self.write();
                    }
                    return;
                }
            }
        }
    }

    fn write(&mut self) {
        let bytes = snapshot(&self.state);
        match self.snapshots.put_bytes(self.seq, SNAPSHOT_VERSION, &bytes) {
            Ok(written) => {
                tracing::info!(seq = written.seq, bytes = written.bytes, "snapshot written");
                self.snapped = self.state.revision;
            }
            // The journal has everything: only the next start takes longer.
            Err(fault) => {
                tracing::warn!(error = %crate::writer::chain(&fault), "no snapshot was written");
                self.snapped = self.state.revision;
            }
        }
    }
}
