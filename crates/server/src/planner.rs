//! The planner's thread: hears of every committed change, plans, and has its placements committed
//! like any other command. What is refused goes back into its picture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use dayan_exchange::{Actor, Command, Place, Refusal, RefusalKind, Seat};
use dayan_schedule::{Atomicity, Avoid, Change, NodeUp, Placement, Planner, Tasks, Work};
use dayan_units::{PoolId, ProjectId, Span, Time};
use tokio::sync::oneshot;

use crate::clock::SharedClock;
use crate::writer::{Unavailable, Writer};

/// Work of one round, in elementary steps. A step is a few dozen nanoseconds: a round stays within
/// some 20 ms, so that a question or a change never waits longer.
const ROUND: Work = Work(500_000);
/// Placements in one request to the writer: enough to fill a batch, few enough that other requests
/// get into it too.
const PLACE_MAX: usize = 2_048;
/// Time alone changes what can be placed (an avoided pool, a reservation that comes due, a budget
/// that renews): the planner looks again this often while something waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A project without money is tried again after this, if nothing is heard of its money before.
const BLOCKED_FOR: Span = Span::from_secs(30);
/// A job that was refused its place for its own limits keeps off that pool for so long.
const REFUSED_FOR: Span = Span::from_secs(10);

/// A question, answered on the planner's thread.
type Question = Box<dyn FnOnce(&Planner, Time) + Send>;

enum Input {
    Changes(Vec<Change>),
    Reset(Vec<Change>),
    /// The pools whose agents are not heard, in full, and those of them and of before as they
    /// have shown themselves.
    Silent(BTreeSet<PoolId>, Vec<Change>),
    /// Money has moved: blocked projects may try again.
    MoneyMoved,
    Ask(Question),
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
    /// These pools are not heard now; `shown` is how the pools that changed have shown themselves.
    pub fn silent(&self, pools: BTreeSet<PoolId>, shown: Vec<Change>) {
        self.send(Input::Silent(pools, shown));
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
        let mut thread = Thread {
            inputs: self.receiver,
            writer,
            clock,
            network,
            planner: Planner::new(),
            blocked: BTreeMap::new(),
            silent: BTreeSet::new(),
            knows_silence: false,
        };
        std::thread::Builder::new().name("planner".to_owned()).spawn(move || thread.run())
    }
}

struct Thread {
    inputs: Receiver<Input>,
    writer: Writer,
    clock: SharedClock,
    network: std::sync::Arc<dyn dayan_schedule::Network>,
    planner: Planner,
    /// Projects without money, and since when.
    blocked: BTreeMap<ProjectId, Time>,
    /// Pools that are not heard: whatever they have shown, none of their nodes takes work.
    silent: BTreeSet<PoolId>,
    /// Nothing is placed before it is known who is there.
    knows_silence: bool,
}

/// Go on, or end.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

impl Thread {
    fn run(&mut self) {
        self.start_anew(&[]);
        let mut more = false;
        loop {
            let first = if more {
                self.inputs.try_recv().ok()
            } else {
                match self.inputs.recv_timeout(LOOK_AGAIN) {
                    Ok(input) => Some(input),
                    Err(RecvTimeoutError::Timeout) if self.planner.stats().tasks_waiting == 0 => {
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

    fn start_anew(&mut self, changes: &[Change]) {
        self.planner = Planner::new();
        self.blocked.clear();
        self.planner.observe(&Change::Network(self.network.clone()));
        self.observe_all(changes);
    }

    fn observe_all(&mut self, changes: &[Change]) {
        for change in changes {
            self.observe(change);
        }
    }

    fn observe(&mut self, change: &Change) {
        match change {
            Change::PoolShown(view) if self.silent.contains(&view.pool) => {
                let mut view = view.clone();
                view.nodes.iter_mut().for_each(|node| node.up = NodeUp::Down);
                self.planner.observe(&Change::PoolShown(view));
            }
            _ => self.planner.observe(change),
        }
    }

    fn take(&mut self, input: Input) -> Flow {
        match input {
            Input::Changes(changes) => self.observe_all(&changes),
            Input::Silent(pools, shown) => {
                self.silent = pools;
                self.knows_silence = true;
                self.observe_all(&shown);
            }
            Input::Reset(changes) => self.start_anew(&changes),
            Input::MoneyMoved => self.unblock(Time::NEVER),
            Input::Ask(ask) => ask(&self.planner, self.clock.now()),
            Input::Stop => return Flow::Stop,
        }
        Flow::On
    }

    /// Lets projects try again that were blocked before a moment.
    fn unblock(&mut self, before: Time) {
        let due: Vec<ProjectId> =
            self.blocked.iter().filter(|(_, at)| **at < before).map(|(id, _)| *id).collect();
        for project in due {
            self.blocked.remove(&project);
            self.planner.observe(&Change::ProjectUnblocked(project));
        }
    }

    /// Plans once and has the plan committed. True when it is worth planning again at once.
    fn round(&mut self) -> bool {
        if !self.knows_silence {
            return false;
        }
        let now = self.clock.now();
        self.unblock(now.minus(BLOCKED_FOR));
        let plan = self.planner.plan(now, ROUND);
        if plan.placements.is_empty() {
            return plan.exhausted;
        }
        let mut placements: Vec<Placement> = plan.placements.into_iter().flat_map(apart).collect();
        while !placements.is_empty() {
            let rest = placements.split_off(placements.len().min(PLACE_MAX));
            if !self.commit(&placements, now) {
                return false;
            }
            placements = rest;
        }
        true
    }

    fn commit(&mut self, placements: &[Placement], now: Time) -> bool {
        let commands = placements.iter().map(place).collect();
        let outcome = self.writer.commands_blocking(Actor::System, commands, |_, done| done);
        let Ok(done) = outcome else {
            // The store is away: the picture is told anew when it is back.
            for placement in placements {
                self.refused(placement, Vec::new());
            }
            std::thread::park_timeout(LOOK_AGAIN);
            return false;
        };
        for (placement, outcome) in placements.iter().zip(done) {
            if let Err(refusal) = outcome {
                self.refusal(placement, &refusal, now);
            }
        }
        true
    }

    fn refusal(&mut self, placement: &Placement, refusal: &Refusal, now: Time) {
        let until = now.plus(REFUSED_FOR);
        let pools: std::collections::BTreeSet<_> =
            placement.seats.iter().map(|seat| seat.pool).collect();
        let keep_off = || pools.iter().map(|pool| Avoid { pool: *pool, until }).collect();
        match refusal.kind {
            RefusalKind::Unaffordable if refusal.code != "market.budget_job" => {
                self.refused(placement, Vec::new());
                self.blocked.insert(placement.project, now);
                self.planner.observe(&Change::ProjectBlocked {
                    project: placement.project,
                    reason: refusal.message.clone(),
                });
            }
            // Somebody was faster: the change that says so is on its way here.
            RefusalKind::Conflict if refusal.code.starts_with("place.not_queued") => {
                self.refused(placement, Vec::new());
            }
            RefusalKind::NotFound => self.refused(placement, Vec::new()),
            RefusalKind::Unaffordable
            | RefusalKind::Conflict
            | RefusalKind::Invalid
            | RefusalKind::Forbidden => {
                tracing::debug!(job = %placement.job, code = %refusal.code, "placement refused");
                self.refused(placement, keep_off());
            }
        }
    }

    fn refused(&mut self, placement: &Placement, avoid: Vec<Avoid>) {
        let tasks: Tasks = placement.seats.iter().map(|seat| seat.task).collect();
        self.planner.observe(&Change::PlacementRefused { job: placement.job, tasks, avoid });
    }
}

/// Seats that need not stand together are asked for one by one: money for some of them is enough
/// for some of them.
fn apart(placement: Placement) -> Vec<Placement> {
    match placement.atomicity {
        Atomicity::AllOrNothing => vec![placement],
        Atomicity::Each => {
            let Placement { job, project, atomicity, seats } = placement;
            let alone = |seat| Placement { job, project, atomicity, seats: [seat].into() };
            seats.into_iter().map(alone).collect()
        }
    }
}

fn place(placement: &Placement) -> Command {
    let seats = placement
        .seats
        .iter()
        .map(|seat| Seat {
            task: seat.task,
            pool: seat.pool,
            node: seat.node.as_str().to_owned(),
            offer: seat.offer,
            resources: seat.resources,
            cards: seat.cards,
        })
        .collect();
    Command::Place(Box::new(Place { job: placement.job, seats }))
}
