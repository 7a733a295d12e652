//! The agent's main loop: answers of the exchange and news of the engine go into custody, what
//! custody decides is done.
//!
//! Invariant: only custody decides what is started, stopped, published and forgotten; here it is
//! only done. One task owns all state; what blocks (the engine, files) is done elsewhere and comes
//! back as an event.

mod holding;
mod publishing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayan_custody::{Publishes, Reading, Step};
use dayan_engines::{
    BootClock, BootId, EngineInfo, Fault, GangSeat, LeaseEnd, Observation, Phase, Placing,
    StartFault, wall_now,
};
use dayan_measure::{Measurement, Sharing};
use dayan_units::{AttemptId, BootTime, Span, Time};
use dayan_wire::{LeaseOrder, LogAsk, Outcome, SyncAnswer};
use tokio::sync::{Notify, mpsc};

use crate::book::Noted;
use crate::exec;
use crate::fault::AgentFault;
use crate::inventory::{self, Offered, Picture};
use crate::launch::{self, LaunchKey, Place};
use crate::logs::{self, Following};
use crate::runner::{Found, Heard, Runner, Work};
use crate::saving::{Saved, Saver, Tools};
use crate::staging::{Courier, Guard, Prepared, Roots, Sees, Snag, prepare};
use crate::sync::{Synced, Syncs};
use crate::time_signal::Timer;
use crate::words::{self, Action, Custody};

/// The longest the loop sleeps. Its timers stand still while the machine does; after a suspend it
/// looks at the boot clock within this time.
const SLEEP_MAX: Span = Span::from_secs(5);
/// How often use is told until the exchange says otherwise.
const USAGE_EVERY: Span = Span::from_secs(10);
/// The exchange may not ask for use more often than this.
const USAGE_EVERY_MIN: Span = Span::from_millis(100);
/// How often a cluster is looked at: four questions to its controller, of the kind that users ask by
/// the hundred.
const LOOK_EVERY: Span = Span::from_secs(30);

/// What an attempt is here, until it is forgotten.
enum Here {
    /// Its folder is being prepared.
    Staging(Guard),
    /// It is at the engine.
    Launched,
    /// It only holds its lease.
    Held,
    /// It has ended, and what it left of its state is being sent.
    Saving,
    /// Its outputs are being gathered, or wait for the grant, or are being published.
    Publishing(Guard),
}

/// Something that was done elsewhere.
enum Done {
    Staged {
        attempt: AttemptId,
        result: Result<Prepared, Snag>,
    },
    Gathered {
        attempt: AttemptId,
        result: Result<(), Snag>,
    },
    Published {
        attempt: AttemptId,
        result: Result<(), Snag>,
    },
    /// A picture that was taken, and for which challenge.
    Probed {
        nonce: Option<String>,
        picture: Result<Box<Picture>, Fault>,
    },
    LogSent {
        ask: u64,
    },
    Saved {
        attempt: AttemptId,
        saved: Saved,
    },
}

/// What the shell is made of.
pub(crate) struct Parts {
    pub(crate) runner: Runner,
    pub(crate) found: Found,
    pub(crate) heard: mpsc::Receiver<Heard>,
    pub(crate) syncs: Syncs,
    pub(crate) synced: mpsc::Receiver<Synced>,
    pub(crate) measured: mpsc::Receiver<Vec<Measurement>>,
    pub(crate) clock: BootClock,
    pub(crate) generation: u32,
    pub(crate) offered: Offered,
    pub(crate) roots: Roots,
    pub(crate) courier: Courier,
    pub(crate) data: PathBuf,
    pub(crate) lingers_after: Span,
}

/// The main loop's state.
pub(crate) struct Shell {
    custody: Custody,
    /// Goes before the runner, whose thread may be waiting to be heard when it is told to end.
    heard: mpsc::Receiver<Heard>,
    runner: Runner,
    syncs: Syncs,
    synced: mpsc::Receiver<Synced>,
    measured: mpsc::Receiver<Vec<Measurement>>,
    done: mpsc::Receiver<Done>,
    tell_done: mpsc::Sender<Done>,
    clock: BootClock,
    boot: BootId,
    info: EngineInfo,
    offered: Offered,
    roots: Arc<Roots>,
    courier: Arc<Courier>,
    place: Arc<Place>,
    data: PathBuf,
    /// After how long a task that has ended and is not published yet gives its room back.
    lingers_after: Span,
    /// Those that have ended, and when each of them does that.
    leaving: VecDeque<(BootTime, AttemptId)>,
    here: BTreeMap<AttemptId, Here>,
    /// Members that hold their leases while their launch's head runs.
    holding: BTreeMap<LaunchKey, BTreeSet<AttemptId>>,
    /// Who cares for the checkpoints of running attempts.
    savers: BTreeMap<AttemptId, Saver>,
    /// Of those that are told before their time is up.
    timers: BTreeMap<AttemptId, Timer>,
    /// Work for the engine, handed over at the end of each turn.
    work: Work,
    following: Following,
    /// Rung when there are logs to hand over.
    kept: Arc<Notify>,
    probing: Option<()>,
    /// When machines that come and go are looked at next.
    look_at: Option<BootTime>,
    idle: Idle,
}

/// Has nothing run here since this agent started?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Idle {
    Yes,
    No,
}

impl Drop for Shell {
    /// What is being copied ends at the next file: nobody waits for it any more, and the next
    /// agent of this folder begins it anew.
    fn drop(&mut self) {
        for here in self.here.values() {
            match here {
                Here::Staging(guard) | Here::Publishing(guard) => guard.cancel(),
                Here::Launched | Here::Held | Here::Saving => {}
            }
        }
    }
}

impl Shell {
    /// Takes up what runs here already.
    pub(crate) fn new(parts: Parts) -> Self {
        let (tell_done, done) = mpsc::channel(256);
        let Found { info, boot, observations, noted } = parts.found;
        let place = Arc::new(launch::place(&info, parts.syncs.picture(), &parts.offered));
        let now = words::from_engine(parts.clock.now());
        let look_at = parts.offered.machines.change().then(|| now.plus(LOOK_EVERY));
        let mut shell = Self {
            place,
            look_at,
            custody: Custody::new(USAGE_EVERY),
            runner: parts.runner,
            heard: parts.heard,
            syncs: parts.syncs,
            synced: parts.synced,
            measured: parts.measured,
            done,
            tell_done,
            clock: parts.clock,
            boot,
            info,
            offered: parts.offered,
            roots: Arc::new(parts.roots),
            courier: Arc::new(parts.courier),
            data: parts.data,
            lingers_after: parts.lingers_after,
            leaving: VecDeque::new(),
            here: BTreeMap::new(),
            holding: BTreeMap::new(),
            savers: BTreeMap::new(),
            timers: BTreeMap::new(),
            work: Work::default(),
            following: Following::default(),
            kept: Arc::new(Notify::new()),
            probing: None,
            idle: if observations.is_empty() { Idle::Yes } else { Idle::No },
        };
        shell.adopt(&observations, noted, parts.generation);
        shell
    }

    fn adopt(
        &mut self,
        observations: &[Observation],
        mut noted: BTreeMap<AttemptId, Noted>,
        generation: u32,
    ) {
        for observation in observations {
            let attempt = observation.attempt;
            let counted = words::counters(&observation.usage);
            let known = noted.remove(&attempt);
            let (order, used, over) = if let Some(Noted { order, used, over }) = known {
                (words::order((*order).clone()), used, over)
            } else {
                tracing::warn!(%attempt, "found without its order; it is stopped");
                self.work.stops.push(attempt);
                (words::stray(attempt), dayan_custody::Counters::default(), None)
            };
            let usage = Reading::resumed(generation, used.grown_to(counted));
            let step = match over {
                Some(end) => Step::Ended { end },
                // It may still wait in a queue of the site's.
                None if matches!(observation.phase, Phase::Starting) => Step::Starting,
                None => Step::Running,
            };
            self.watch(&order.payload);
            self.care(&order.payload, Some(observation.usage.wall));
            self.custody.adopt(order, step, usage);
            self.here.insert(attempt, Here::Launched);
        }
        for (attempt, Noted { order, used, over }) in noted {
            match (launch::launch_key(&order), launch::holds_only(&order), over) {
                (Some(key), true, None) => {
                    let usage = Reading::resumed(generation, used);
                    let step = if used.wall_us > 0 { Step::Running } else { Step::Starting };
                    self.custody.adopt(words::order((*order).clone()), step, usage);
                    self.hold(attempt, key);
                }
                // Noted and never launched: the exchange orders it again if it wants it.
                (Some(_) | None, _, _) => self.work.forgets.push(attempt),
            }
        }
        let running = observations.len();
        if running > 0 {
            tracing::info!(running, "took up the attempts of the last run");
        }
        for observation in observations {
            self.observed(observation);
        }
    }

    /// Until `shutdown`. Tasks go on under their keeper while their leases last.
    pub(crate) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AgentFault> {
        let mut shutdown = std::pin::pin!(shutdown);
        let (link, token) = self.syncs.link();
        let handing = logs::hand_over(self.runner.asking(), Arc::clone(&self.kept), link, token);
        let mut handing = std::pin::pin!(handing);
        loop {
            let now = self.now();
            let overdue = self.custody.tick(now);
            self.act(overdue);
            self.leave(now);
            let look = self.syncs.pump(&mut self.custody, now);
            self.note_told();
            self.runner.work(&mut self.work);
            self.look_again(now);
            let due = [look, self.custody.next_due(now), self.look_at, self.leaves_at()];
            let due = due.into_iter().flatten().min();
            let sleep = due.map_or(SLEEP_MAX, |due| due.since(now).min(SLEEP_MAX));
            tokio::select! {
                biased;
                () = &mut shutdown => {
                    let running = self.here.len();
                    tracing::info!(running, "the agent ends; its tasks go on while their leases last");
                    return Ok(());
                }
                heard = self.heard.recv() => match heard {
                    Some(heard) => self.on_heard(heard),
                    None => return Err(AgentFault::Broken("the engine's thread")),
                },
                Some(synced) = self.synced.recv() => self.on_synced(synced),
                Some(done) = self.done.recv() => self.on_done(done),
                Some(measured) = self.measured.recv() => self.on_measured(measured),
                () = &mut handing => return Err(AgentFault::Broken("the engine's thread")),
                () = tokio::time::sleep(sleep.to_std()) => {}
            }
            // What has come meanwhile is taken along: one sync and one batch for all of it.
            while let Ok(heard) = self.heard.try_recv() {
                self.on_heard(heard);
            }
        }
    }

    /// Looks at machines that come and go.
    fn look_again(&mut self, now: BootTime) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = Some(now.plus(LOOK_EVERY));
            if self.probing.is_none() {
                self.probe(None);
            }
        }
    }

    fn probe(&mut self, nonce: Option<String>) {
        self.probing = Some(());
        let (offered, info) = (self.offered.clone(), self.info.clone());
        let (data, tell) = (self.data.clone(), self.tell_done.clone());
        tokio::task::spawn_blocking(move || {
            let picture = offered.picture(&info, &data).map(Box::new);
            // The agent has ended meanwhile: the next looks for itself.
            let _ = tell.blocking_send(Done::Probed { nonce, picture });
        });
    }

    fn now(&self) -> BootTime {
        words::from_engine(self.clock.now())
    }

    // ---- what custody wants ----

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(order, _) => self.start(order.payload),
                Action::Extend(attempt, end) => match self.here.get(&attempt) {
                    Some(Here::Launched | Here::Saving) => {
                        self.work.extends.push((attempt, words::to_engine(end)));
                        if let Some(saver) = self.savers.get(&attempt) {
                            saver.extend(end);
                        }
                    }
                    Some(Here::Staging(guard) | Here::Publishing(guard)) => guard.extend(end),
                    Some(Here::Held) | None => {}
                },
                Action::Stop(attempt) => self.stop(attempt),
                Action::Publish(attempt) => self.publish(attempt),
                Action::Forget(attempt) => self.forget(attempt),
            }
        }
    }

    fn start(&mut self, order: Arc<LeaseOrder>) {
        let attempt = order.attempt;
        if let Err(snag) = self.roots.may_publish(&order) {
            return self.end(attempt, snag.not_started());
        }
        if let (Some(key), true) = (launch::launch_key(&order), launch::holds_only(&order)) {
            self.work.notes.push(order);
            self.hold(attempt, key);
        } else if launch::needs_staging(&order, &self.place) {
            let guard = Guard::until(self.custody.lease_end(attempt));
            self.here.insert(attempt, Here::Staging(guard.clone()));
            let (roots, tell) = (Arc::clone(&self.roots), self.tell_done.clone());
            let (place, courier) = (Arc::clone(&self.place), Arc::clone(&self.courier));
            let workdir = self.runner.workdir(attempt);
            tokio::spawn(async move {
                let folder = workdir.await.ok().flatten();
                let result = prepare(order, folder, guard, roots, courier, place).await;
                // The agent has ended meanwhile: it is staged again by the next.
                let _ = tell.send(Done::Staged { attempt, result }).await;
            });
        } else {
            self.launch(&order, None, BTreeMap::new(), 0);
        }
    }

    fn launch(
        &mut self,
        order: &Arc<LeaseOrder>,
        folder: Option<&Path>,
        secrets: BTreeMap<String, String>,
        resumed: u32,
    ) {
        let attempt = order.attempt;
        let Some(end) = self.custody.lease_end(attempt) else { return };
        let lease_end = LeaseEnd { boot: self.boot, at: words::to_engine(end) };
        let mut launch = launch::launch(order, lease_end, folder, &self.place);
        launch.gang = self.gang_seat(order);
        launch.env.extend(secrets);
        if resumed > 0 {
            launch.env.insert("DAYAN_CHECKPOINT_NUMBER".to_owned(), resumed.to_string());
        }
        self.idle = Idle::No;
        self.here.insert(attempt, Here::Launched);
        self.work.launches.push((Arc::clone(order), launch));
        self.watch(order);
        self.care(order, None);
    }

    /// Cares for the checkpoints of an attempt that starts, or has run for so long.
    fn care(&mut self, order: &Arc<LeaseOrder>, ran: Option<Span>) {
        if order.checkpoint.is_none() {
            return;
        }
        let (attempt, workdir) = (order.attempt, self.runner.workdir(order.attempt));
        let done = self.tell_done.clone();
        let tools = Tools {
            courier: Arc::clone(&self.courier),
            asking: self.runner.asking(),
            clock: self.clock,
            tell: Box::new(move |attempt, saved| {
                let done = done.clone();
                // The agent has ended meanwhile: the next cares for it anew.
                tokio::spawn(async move { done.send(Done::Saved { attempt, saved }).await });
            }),
        };
        let folder = async move { workdir.await.ok().flatten() };
        let end = self.custody.lease_end(attempt);
        self.savers.extend(Saver::begin(order, folder, ran, end, tools).map(|s| (attempt, s)));
    }

    /// Looks out for outputs that are sent while it runs.
    fn watch(&self, order: &Arc<LeaseOrder>) {
        if !order.outputs.iter().any(|output| output.file_closed) {
            return;
        }
        let (courier, order) = (Arc::clone(&self.courier), Arc::clone(order));
        let workdir = self.runner.workdir(order.attempt);
        let sees = match self.info.placing {
            Placing::ByPool => Sees::Nobody,
            Placing::ByNode => Sees::Kernel,
        };
        tokio::spawn(async move {
            if let Ok(Some(folder)) = workdir.await {
                courier.watch(&order, folder, sees);
            }
        });
    }

    /// The place in a gang that the engine's own scheduler starts at once. All members' orders come
    /// in one answer, so who of them runs is known here.
    fn gang_seat(&self, order: &LeaseOrder) -> Option<GangSeat> {
        let gang = order.gang.as_ref().filter(|_| self.info.placing == Placing::ByPool)?;
        let key = launch::launch_key(order);
        let members = self.custody.kept().values().filter(|kept| {
            let other = &kept.order.payload;
            let same = launch::launch_key(other) == key && !launch::holds_only(other);
            same && kept.step.may_run()
        });
        Some(GangSeat {
            launch: gang.slot,
            nodes: u32::try_from(gang.nodes.len()).unwrap_or(u32::MAX),
            members: u32::try_from(members.count()).unwrap_or(u32::MAX),
            rank: gang.rank,
        })
    }

    /// Why it was asked to stop.
    fn stop_reason(&self, attempt: AttemptId) -> Outcome {
        match self.custody.kept().get(&attempt) {
            Some(kept) if !kept.order.stop => Outcome::LeaseEnded,
            Some(_) | None => Outcome::Stopped,
        }
    }

    /// How long an attempt that is to stop has to save its state first.
    fn save_within(&self, attempt: AttemptId) -> Option<Span> {
        let kept = self.custody.kept().get(&attempt).filter(|kept| kept.order.stop)?;
        let within = Span::from_micros(kept.order.payload.save_within_us?);
        (within > Span::ZERO).then_some(within)
    }

    fn stop(&mut self, attempt: AttemptId) {
        let reason = self.stop_reason(attempt);
        match self.here.get(&attempt) {
            Some(Here::Launched) => match (self.save_within(attempt), self.savers.get(&attempt)) {
                (Some(within), Some(saver)) => saver.stop(within),
                (_, _) => self.work.stops.push(attempt),
            },
            Some(Here::Saving) => {
                self.savers.remove(&attempt);
                self.end(attempt, reason);
            }
            Some(Here::Staging(guard)) => {
                guard.cancel();
                self.end(attempt, reason);
            }
            Some(Here::Publishing(guard)) => {
                guard.cancel();
                self.custody.withdrawn(attempt, reason.clone());
                self.end(attempt, reason);
            }
            Some(Here::Held) | None => self.end(attempt, reason),
        }
    }

    fn forget(&mut self, attempt: AttemptId) {
        if let Some(Here::Staging(guard) | Here::Publishing(guard)) = self.here.remove(&attempt) {
            guard.cancel();
            let roots = Arc::clone(&self.roots);
            tokio::task::spawn_blocking(move || roots.clear(attempt));
        }
        self.courier.unwatch(attempt);
        self.courier.forget(attempt);
        self.savers.remove(&attempt);
        self.timers.remove(&attempt);
        for members in self.holding.values_mut() {
            members.remove(&attempt);
        }
        self.holding.retain(|_, members| !members.is_empty());
        self.work.forgets.push(attempt);
    }

    // ---- what the engine says ----

    fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Observed(observations) => {
                for observation in &observations {
                    self.observed(observation);
                }
            }
            Heard::Kept => self.kept.notify_one(),
            Heard::SiteCounts(counts) => self.syncs.say_counts(counts),
            Heard::NotStarted(faults) => {
                for (attempt, fault) in faults {
                    if let StartFault::AlreadyLaunched(_) = fault {
                        tracing::error!(%attempt, "was launched before and is not known any more");
                    }
                    self.end(attempt, words::not_started(&fault));
                }
            }
        }
    }

    fn observed(&mut self, observation: &Observation) {
        let attempt = observation.attempt;
        if !matches!(self.here.get(&attempt), Some(Here::Launched)) {
            return;
        }
        self.on_nodes(observation);
        match &observation.phase {
            Phase::Starting => {}
            Phase::Running { started_at, .. } => {
                self.time(attempt, *started_at);
                self.custody.running(attempt);
                self.custody.counted(attempt, words::counters(&observation.usage));
                self.members_follow(attempt);
            }
            Phase::Ended(end) => {
                self.custody.counted(attempt, words::counters(&observation.usage));
                self.members_follow(attempt);
                self.ended_at_engine(attempt, words::outcome(&end.outcome));
            }
        }
    }

    /// It runs since then: will it be told that its time is nearly up?
    fn time(&mut self, attempt: AttemptId, since: Time) {
        if self.timers.contains_key(&attempt) {
            return;
        }
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        let order = &kept.order.payload;
        let timer = Timer::begin(order, since, wall_now(), self.runner.asking());
        self.timers.extend(timer.map(|timer| (attempt, timer)));
    }

    fn ended_at_engine(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.following.ended(attempt);
        self.timers.remove(&attempt);
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        if !kept.step.may_run() {
            return;
        }
        self.courier.unwatch(attempt);
        let saves = self.save_within(attempt).is_some();
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        let well = matches!(outcome, Outcome::Exited { code: 0 });
        let (order, stopping) = (&kept.order.payload, kept.stopping);
        // Whoever was asked to stop and ends by itself has not done what it was to do: it has saved its
        // state, or may not publish what it made.
        let unfinished = stopping && (saves || (well && !order.outputs.is_empty()));
        let goes_on = match (&outcome, &order.checkpoint) {
            (Outcome::Exited { code }, Some(checkpoint)) => {
                saves || u8::try_from(*code).is_ok_and(|code| checkpoint.exits.contains(&code))
            }
            (_, _) => false,
        };
        let in_image = order.image.is_some() || !order.steps.is_empty();
        let outcome = match outcome {
            Outcome::Exited { .. } if unfinished => self.stop_reason(attempt),
            outcome if in_image => words::outcome_in_image(outcome),
            outcome => outcome,
        };
        if goes_on && let Some(saver) = self.savers.get(&attempt) {
            saver.ended(outcome);
            self.here.insert(attempt, Here::Saving);
            return;
        }
        self.savers.remove(&attempt);
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        let well = matches!(outcome, Outcome::Exited { code: 0 });
        if well && !kept.stopping && !kept.order.payload.outputs.is_empty() {
            self.gather(attempt);
        } else {
            self.end(attempt, outcome);
        }
    }

    /// It is over here, without outputs.
    fn end(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.following.ended(attempt);
        self.custody.ended(attempt, outcome, Publishes::Nothing);
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        if let (Some(key), false) =
            (launch::launch_key(&kept.order.payload), launch::holds_only(&kept.order.payload))
        {
            self.release_if_over(attempt, key);
        }
    }

    // ---- what was done elsewhere ----

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Staged { attempt, result } => {
                if !matches!(self.here.get(&attempt), Some(Here::Staging(_))) {
                    return;
                }
                let kept = self.custody.kept().get(&attempt);
                let Some(order) = kept
                    .filter(|kept| kept.step.may_run() && !kept.stopping)
                    .map(|kept| Arc::clone(&kept.order.payload))
                else {
                    return;
                };
                match result {
                    Ok(Prepared { folder, secrets, resumed }) => {
                        self.launch(&order, folder.as_deref(), secrets, resumed);
                    }
                    Err(snag) => self.end(attempt, snag.not_started()),
                }
            }
            Done::Gathered { attempt, result } => self.gathered(attempt, result),
            Done::Published { attempt, result } => self.published(attempt, result),
            Done::Probed { nonce, picture } => {
                self.probing = None;
                let picture = match picture {
                    Ok(picture) => picture,
                    Err(fault) => {
                        // The exchange asks again.
                        tracing::warn!(%fault, "cannot look at what is offered");
                        return;
                    }
                };
                if let Some(nonce) = nonce {
                    self.syncs.say_answer(inventory::answer(&nonce, &picture.shown));
                }
                self.syncs.say_load(picture.load.clone());
                if picture.digest != self.syncs.picture().digest {
                    self.syncs.show(Some(*picture));
                }
            }
            Done::Saved { attempt, saved } => match (saved, self.here.get(&attempt)) {
                (Saved::BeforeStop, Some(Here::Launched)) => self.work.stops.push(attempt),
                (Saved::AtEnd(outcome), Some(Here::Saving)) => {
                    self.savers.remove(&attempt);
                    self.end(attempt, outcome);
                }
                (_, _) => {}
            },
            Done::LogSent { ask } => {
                self.following.answered(ask);
            }
        }
    }

    // ---- what the exchange says ----

    fn on_synced(&mut self, mut synced: Synced) {
        let now = self.now();
        self.runner.counts_told(self.syncs.ended(&synced, now));
        match &mut synced.result {
            Ok(answer) => {
                let every = Span::from_millis(i64::from(answer.usage_every_ms));
                self.custody.set_usage_every(every.max(USAGE_EVERY_MIN));
                let decided = words::answer(answer);
                let actions = self.custody.answered(now, synced.sent_at, &synced.told, decided);
                self.act(actions);
                self.heed(answer);
            }
            Err(_) => self.custody.unanswered(&synced.told),
        }
    }

    /// What an answer asks besides leases.
    fn heed(&mut self, answer: &mut SyncAnswer) {
        if answer.want_shown {
            self.syncs.show(None);
        }
        if self.probing.is_none()
            && let Some(nonce) = answer.challenge.take()
        {
            self.probe(Some(nonce));
        }
        for ask in std::mem::take(&mut answer.execs) {
            let (asking, (link, token)) = (self.runner.asking(), self.syncs.link());
            tokio::spawn(exec::come(ask, asking, link, token));
        }
        for ask in std::mem::take(&mut answer.logs) {
            self.send_log(&ask);
        }
    }

    fn send_log(&mut self, ask: &LogAsk) {
        // What still runs writes on; everything else has written its last.
        let kept = self.custody.kept().get(&ask.attempt);
        let writes = kept.is_some_and(|kept| kept.step.may_run());
        let asking = self.runner.asking();
        let Some(sending) = self.following.take(ask, writes, asking, self.syncs.link()) else {
            return;
        };
        let (id, tell) = (ask.id, self.tell_done.clone());
        tokio::spawn(async move {
            sending.await;
            let _ = tell.send(Done::LogSent { ask: id }).await;
        });
    }

    /// What was measured while tasks ran is a lower bound.
    fn on_measured(&mut self, mut measured: Vec<Measurement>) {
        if let Idle::No = self.idle {
            for value in &mut measured {
                value.sharing = Sharing::Shared;
            }
        }
        self.syncs.say_measured(measured);
    }

    /// What is being told of running attempts goes into the book, so that the next process of
    /// this agent never says less.
    fn note_told(&mut self) {
        let told = self.syncs.take_told_running();
        self.work.used.extend(told);
    }
}
