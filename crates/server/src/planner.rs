//! The planner's thread: hears of every committed change, plans, and has its placements committed
//! like any other command. What is refused goes back into its picture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use dayan_exchange::due::Silence;
use dayan_exchange::planning::{Beside, Planning, command, estimates, preempt};
use dayan_exchange::{Actor, Admission};
use dayan_schedule::{Change, JobAsk, Placement, Planner, Preemption, StartEstimate};
use dayan_spec::JobSpec;
use dayan_units::{JobId, PoolId, ProjectId, Span, Time};
use tokio::sync::oneshot;

use crate::clock::SharedClock;
use crate::writer::{Unavailable, Writer};

/// Placements in one request to the writer: enough to fill a batch, few enough that other requests
/// get into it too.
const PLACE_MAX: usize = 2_048;
/// Time alone changes what can be placed (an avoided pool, a reservation that comes due, a budget
/// that renews): the planner looks again this often while something waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A question, answered on the planner's thread.
type Question = Box<dyn FnOnce(&Planner, Time) + Send>;

/// A hard deadline, to be admitted or not.
struct Admit {
    ask: Box<JobAsk>,
    spec: Arc<JobSpec>,
    /// What its deadline counts from; now, unless it was due at another time.
    start: Option<Time>,
    answer: oneshot::Sender<Admission>,
}

enum Input {
    Changes(Vec<Change>),
    Reset(Vec<Change>),
    /// Others are not heard than before.
    Silence(Silence),
    /// What others than us do in a pool.
    Others(PoolId, Beside),
    /// How far behind which projects stand.
    Shares(BTreeMap<ProjectId, Span>),
    /// What the cache of a pool's site holds.
    Holds(PoolId, BTreeSet<u64>),
    /// Money has moved: blocked projects may try again.
    MoneyMoved,
    Ask(Question),
    Admit(Admit),
    Stop,
}

/// A handle to the planner's thread; cheap to clone.
#[derive(Clone)]
pub struct PlannerHandle {
    inputs: Sender<Input>,
}

impl std::fmt::Debug for PlannerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlannerHandle")
    }
}

impl PlannerHandle {
    /// What was committed.
    pub fn changes(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.send(Input::Changes(changes));
        }
    }
    /// Everything anew.
    pub fn reset(&self, changes: Vec<Change>) {
        self.send(Input::Reset(changes));
    }
    /// Others are not heard than before.
    pub fn silence(&self, silence: Silence) {
        self.send(Input::Silence(silence));
    }
    /// So a pool stands beside what is ours.
    pub fn others(&self, pool: PoolId, beside: Beside) {
        self.send(Input::Others(pool, beside));
    }
    /// How far behind which projects stand, and no others.
    pub fn shares(&self, behind: BTreeMap<ProjectId, Span>) {
        self.send(Input::Shares(behind));
    }
    /// What the cache of a pool's site holds.
    pub fn holds(&self, pool: PoolId, files: BTreeSet<u64>) {
        self.send(Input::Holds(pool, files));
    }
    /// Money came in or was given back, or limits changed.
    pub fn money_moved(&self) {
        self.send(Input::MoneyMoved);
    }
    /// Ends the thread.
    pub fn stop(&self) {
        self.send(Input::Stop);
    }
    /// Asks the planner something.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Planner, Time) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (send, receive) = oneshot::channel();
        self.send(Input::Ask(Box::new(move |planner, now| {
            drop(send.send(question(planner, now)));
        })));
        receive.await.map_err(|_| Unavailable::Stopping)
    }
    /// Asks whether a hard deadline can be promised.
    pub async fn admit(
        &self,
        ask: JobAsk,
        spec: Arc<JobSpec>,
        start: Option<Time>,
    ) -> Result<Admission, Unavailable> {
        let (answer, receive) = oneshot::channel();
        self.send(Input::Admit(Admit { ask: Box::new(ask), spec, start, answer }));
        receive.await.map_err(|_| Unavailable::Stopping)
    }
    fn send(&self, input: Input) {
        // A planner that has stopped takes nothing in any more, and nobody minds.
        drop(self.inputs.send(input));
    }
}

/// Starts the thread without a writer yet: what it hears before [`Start::run`] waits.
pub fn prepare() -> (PlannerHandle, Start) {
    let (inputs, receiver) = channel();
    (PlannerHandle { inputs }, Start { receiver })
}

/// A planner that does not run yet.
#[derive(Debug)]
pub struct Start {
    receiver: Receiver<Input>,
}

impl Start {
    /// Runs it.
    pub fn run(
        self,
        writer: Writer,
        clock: SharedClock,
        network: std::sync::Arc<dyn dayan_schedule::Network>,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let mut thread =
            Thread { inputs: self.receiver, writer, clock, planning: Planning::new(network) };
        std::thread::Builder::new().name("planner".to_owned()).spawn(move || thread.run())
    }
}

struct Thread {
    inputs: Receiver<Input>,
    writer: Writer,
    clock: SharedClock,
    planning: Planning,
}

/// Go on, or end.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

impl Thread {
    fn run(&mut self) {
        let mut more = false;
        loop {
            let first = if more {
                self.inputs.try_recv().ok()
            } else {
                match self.inputs.recv_timeout(LOOK_AGAIN) {
                    Ok(input) => Some(input),
                    Err(RecvTimeoutError::Timeout)
                        if self.planning.planner().stats().tasks_waiting == 0 =>
                    {
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            let mut next = first;
            while let Some(input) = next {
                if self.take(input) == Flow::Stop {
                    return;
                }
                next = self.inputs.try_recv().ok();
            }
            more = self.round();
        }
    }

    fn take(&mut self, input: Input) -> Flow {
        match input {
            Input::Changes(changes) => self.planning.observe(&changes),
            Input::Silence(Silence { pools, shown }) => self.planning.silence(pools, &shown),
            Input::Others(pool, beside) => self.planning.others(pool, beside, self.clock.now()),
            Input::Reset(changes) => self.planning.reset(&changes),
            Input::Shares(behind) => self.planning.stand(&behind),
            Input::Holds(pool, files) => self.planning.hold(pool, files),
            Input::MoneyMoved => self.planning.money_moved(),
            Input::Admit(Admit { ask, spec, start, answer }) => {
                let now = self.clock.now();
                // Who asked may have gone away.
                drop(answer.send(self.planning.admit(&ask, &spec, start.unwrap_or(now), now)));
            }
            Input::Ask(ask) => ask(self.planning.planner(), self.clock.now()),
            Input::Stop => return Flow::Stop,
        }
        Flow::On
    }

    /// Plans once and has the plan committed. True when it is worth planning again at once.
    fn round(&mut self) -> bool {
        let now = self.clock.now();
        let round = self.planning.round(now);
        self.estimate(&round.estimates);
        if round.placements.is_empty() && round.preemptions.is_empty() {
            return round.exhausted;
        }
        round.placements.chunks(PLACE_MAX).all(|some| self.commit(some, now))
            && self.preempt(&round.preemptions, now)
            && !round.placements.is_empty()
    }

    /// Has what is to be taken back committed: what changes by it comes back as changes.
    fn preempt(&mut self, all: &[Preemption], now: Time) -> bool {
        if all.is_empty() {
            return true;
        }
        let commands = all.iter().map(preempt).collect();
        let outcome = self.writer.commands_blocking(Actor::System, commands, |_, done| done);
        let Ok(done) = outcome else { return false };
        for (taken, outcome) in all.iter().zip(done) {
            if let Err(refusal) = &outcome {
                tracing::debug!(job = %taken.for_job, code = %refusal.code, "preemption refused");
            }
            self.planning.preempted(taken, outcome.as_ref().map(|_| ()), now);
        }
        true
    }

    /// Has it written down when jobs are expected to start. Where that fails, nobody waits for it.
    fn estimate(&self, all: &[(JobId, StartEstimate)]) {
        if !all.is_empty() {
            drop(self.writer.commands_blocking(Actor::System, estimates(all), |_, done| done));
        }
    }

    fn commit(&mut self, placements: &[Placement], now: Time) -> bool {
        let commands = placements.iter().map(command).collect();
        let outcome = self.writer.commands_blocking(Actor::System, commands, |_, done| done);
        let Ok(done) = outcome else {
            // The store is away: the picture is told anew when it is back.
            for placement in placements {
                self.planning.undecided(placement);
            }
            std::thread::park_timeout(LOOK_AGAIN);
            return false;
        };
        for (placement, outcome) in placements.iter().zip(done) {
            if let Err(refusal) = &outcome {
                tracing::debug!(job = %placement.job, code = %refusal.code, "placement refused");
            }
            self.planning.settled(placement, outcome.as_ref().map(|_| ()), now);
        }
        true
    }
}
