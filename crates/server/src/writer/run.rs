//! The writer's thread.

use std::sync::Arc;

use dayan_exchange::liveness::Liveness;
use dayan_exchange::{Actor, Command, Effect, State};
use dayan_schedule::Change;
use dayan_store::{Batch as StoreBatch, Fault, Store};
use dayan_units::RequestId;
use tokio::sync::mpsc;

use super::batch::Making;
use super::{Batch, Done, Live, QUEUE_MAX, Request, Then, Unavailable, Writer};
use crate::clock::{ExchangeClock, SharedClock};
use crate::encoding;

/// The most commands of one batch: 4,096 of the larger ones are about 4 MB of journal, which
/// commits in some 20 ms.
const BATCH_COMMANDS_MAX: usize = 4_096;
/// Between two tries to get the store back: short enough that nobody notices a restart of the
/// database, long enough not to add to its trouble.
const RECOVER_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

/// Where committed batches are told.
#[derive(Debug)]
pub enum Published {
    /// A batch was committed: its events, what they mean for the planner, what to wake.
    Batch {
        /// The events.
        batch: Arc<Batch>,
        /// For the planner.
        changes: Vec<Change>,
        /// For waiting agents.
        effects: Vec<Effect>,
        /// From its first decision until it was durable.
        micros: i64,
    },
    /// The state was read back; followers of memory start anew from it.
    Reloaded {
        /// Everything, for the planner.
        changes: Vec<Change>,
        /// The state, for those who keep one of their own.
        state: Box<State>,
        /// The journal row it stands at.
        seq: u64,
    },
}

/// What the writer's thread starts with.
pub struct WriterConfig {
    /// The store; the thread owns it.
    pub store: Store,
    /// The term it writes under.
    pub term: u64,
    /// Exchange time, shared with those who must not ask the writer for it.
    pub clock: SharedClock,
    /// Makes the ids of requests.
    pub request_ids: Box<dyn FnMut() -> RequestId + Send>,
    /// Hears of what was committed.
    pub publish: Box<dyn FnMut(Published) + Send>,
}

/// Reads the state back: the newest snapshot and the journal after it. A snapshot of an older program
/// lacks what that did not count, so the whole journal is read instead.
pub fn load(
    snapshots: &dayan_store::Snapshots,
    reader: &dayan_store::Reader,
) -> Result<(State, u64), String> {
    let fault = |fault: Fault| chain(&fault);
    let latest = snapshots.latest().map_err(fault)?;
    let latest = latest.filter(|snapshot| snapshot.encoding >= encoding::SNAPSHOT_VERSION);
    let (mut state, mut seq) = match latest {
        Some(snapshot) => {
            let state = encoding::state(snapshot.encoding, &snapshot.bytes)
                .map_err(|error| format!("the snapshot at {}: {error}", snapshot.seq))?;
            (state, snapshot.seq)
        }
        None => (State::default(), 0),
    };
    let mut unreadable = None;
    reader
        .replay(seq + 1, |row| {
            match encoding::entries(&row.payload) {
                Ok(entries) => entries.iter().for_each(|entry| state.evolve(entry)),
                Err(error) => unreadable = Some(format!("journal row {}: {error}", row.seq)),
            }
            seq = row.seq;
            Ok::<(), Fault>(())
        })
        .map_err(fault)?;
    match unreadable {
        None => Ok((state, seq)),
        Some(message) => Err(message),
    }
}

/// Starts the thread; the state is loaded before this returns.
pub fn start(config: WriterConfig) -> Result<(Writer, std::thread::JoinHandle<()>), String> {
    let (state, seq) = load(&config.store.snapshots(), &config.store.reader())?;
    let clock = config.clock.clone();
    clock.set(ExchangeClock::start(state.last_at));
    let now = clock.now();
    let live = Live { state, now, liveness: Liveness::new(now), seq };
    let (queue, requests) = mpsc::channel(QUEUE_MAX);
    let mut thread = Thread { config, clock, live, requests };
    thread.publish_everything();
    let handle = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || thread.run())
        .map_err(|error| format!("the writer's thread: {error}"))?;
    Ok((Writer { queue }, handle))
}

struct Thread {
    config: WriterConfig,
    clock: SharedClock,
    live: Live,
    requests: mpsc::Receiver<Request>,
}

/// What is answered when the batch is committed.
struct Pending {
    then: Then,
    done: Vec<Done>,
}

impl Thread {
    fn publish_everything(&mut self) {
        let changes = dayan_exchange::changes::everything(&self.live.state, self.live.now);
        let state = Box::new(self.live.state.clone());
        let seq = self.live.seq;
        (self.config.publish)(Published::Reloaded { changes, state, seq });
    }

    fn run(&mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            self.live.now = self.clock.now();
            let begin = crate::clock::boot_micros();
            let mut making = Making::default();
            let mut pending = Vec::new();
            let mut questions = Vec::new();
            let mut stop = None;
            let mut commands = 0;
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Commands { actor, commands: list, then } => {
                        commands += list.len();
                        let done = self.decide(&mut making, actor, list);
                        pending.push(Pending { then, done });
                    }
                    Request::Question(ask) => questions.push(ask),
                    Request::Stop(done) => stop = Some(done),
                }
                if commands < BATCH_COMMANDS_MAX && stop.is_none() {
                    next = self.requests.try_recv().ok();
                }
            }
            match self.commit(making, begin) {
                Ok(()) => {
                    for Pending { then, done } in pending {
                        then(Ok((&self.live, done)));
                    }
                    for ask in questions {
                        ask(Ok(&self.live));
                    }
                }
                Err(fault) => {
                    let unavailable = Unavailable::Store(chain(&fault));
                    for Pending { then, .. } in pending {
                        then(Err(unavailable.clone()));
                    }
                    for ask in questions {
                        ask(Err(unavailable.clone()));
                    }
                    if !self.recover(&fault) {
                        return;
                    }
                }
            }
            if let Some(done) = stop {
                let _ = done.send(());
                return;
            }
        }
    }

    fn decide(&mut self, making: &mut Making, actor: Actor, commands: Vec<Command>) -> Vec<Done> {
        if let Actor::Agent { agent } = actor {
            self.live.liveness.heard(agent, self.live.now);
        }
        let run = |command| {
            self.live.liveness.admits(&self.live.state, &command, self.live.now)?;
            let request = (self.config.request_ids)();
            making.run(&mut self.live.state, self.live.now, request, actor, command)
        };
        commands.into_iter().map(run).collect()
    }

    /// Commits what was decided, then tells those who follow.
    fn commit(&mut self, mut making: Making, begin: i64) -> Result<(), Fault> {
        if !making.entries.is_empty() {
            let batch = StoreBatch {
                term: self.config.term,
                at: self.live.now,
                payload: encoding::payload(&making.entries),
                rows: making.rows(&self.live.state),
            };
            let committed = self.config.store.commit(&batch)?;
            self.live.seq = committed.seq;
        }
        if !making.entries.is_empty() || !making.effects.is_empty() {
            let batch = Arc::new(Batch { seq: self.live.seq, entries: making.entries });
            let Making { changes, effects, .. } = making;
            let micros = crate::clock::boot_micros() - begin;
            (self.config.publish)(Published::Batch { batch, changes, effects, micros });
        }
        Ok(())
    }

    /// Refuses everything until the store answers, then reads the state back. False when it never
    /// will for this process: the queue was closed, or another server leads.
    fn recover(&mut self, fault: &Fault) -> bool {
        tracing::error!(code = fault.code(), error = %chain(fault), "a commit failed");
        loop {
            let last = match self.config.store.recover() {
                Ok(head) if head.term > self.config.term => {
                    tracing::error!(term = head.term, "another server leads now; this one stops");
                    return false;
                }
                Ok(_) => match load(&self.config.store.snapshots(), &self.config.store.reader()) {
                    Ok((state, seq)) => {
                        self.clock.resume(state.last_at);
                        let now = self.clock.now();
                        // Whoever could not reach us meanwhile is not late.
                        let liveness = Liveness::new(now);
                        self.live = Live { state, now, liveness, seq };
                        self.publish_everything();
                        tracing::warn!(seq, "the store answers again; the state was read back");
                        return true;
                    }
                    Err(error) => error,
                },
                Err(error) => chain(&error),
            };
            if !self.refuse_for_a_while(&last) {
                return false;
            }
        }
    }

    fn refuse_for_a_while(&mut self, why: &str) -> bool {
        let until =
            crate::clock::boot_micros() + i64::try_from(RECOVER_EVERY.as_micros()).unwrap_or(0);
        loop {
            match self.requests.try_recv() {
                Ok(Request::Commands { then, .. }) => {
                    then(Err(Unavailable::Store(why.to_owned())));
                }
                Ok(Request::Question(ask)) => ask(Err(Unavailable::Store(why.to_owned()))),
                Ok(Request::Stop(done)) => {
                    let _ = done.send(());
                    return false;
                }
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
                Err(mpsc::error::TryRecvError::Empty) => {
                    if crate::clock::boot_micros() >= until {
                        return true;
                    }
                    std::thread::park_timeout(std::time::Duration::from_millis(5));
                }
            }
        }
    }
}

/// An error and its sources in one line; a source that only repeats what was said is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = next.source();
    }
    text
}
