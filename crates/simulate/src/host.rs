//! The exchange as a server runs it: one writer that decides a batch of commands, a journal that
//! takes the batch whole or not at all, answers after the commit and never before, answers held
//! back for agents that wait, timers, and a state that is read back from the journal after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dayan_custody::Answer;
use dayan_exchange::liveness::Liveness;
use dayan_exchange::planning::{self, Planning};
use dayan_exchange::shares::{self, SHARES_EVERY};
use dayan_exchange::{
    Actor, At, AttemptNews, Command, Effect, Entry, Made, Phase, PoolNews, Refusal, State, Submit,
    changes, decide, due, due::ToAdmit, orders,
};
use dayan_identity::Nonce;
use dayan_schedule::{Change, Network, Placement, Preemption};
use dayan_spec::{Deadline, DeadlineKind};
use dayan_units::{AgentId, AttemptId, PoolId, RequestId, Span, Time};
use sha2::{Digest as _, Sha256};

use crate::messages::{Order, Payload, Reply, Sync, SyncId};
use crate::random::Random;

/// Shorter than the live one, so that short worlds see it.
const CHALLENGE_EVERY: Span = Span::from_secs(600);

/// What becomes of entries once they are written.
#[derive(Debug)]
enum Journal {
    /// They are kept: the state is replayed from them.
    Kept,
    /// Only their digest is: weeks of a whole market would not fit.
    Digested(Box<dyn Scribe>),
}

/// Writes a journal down that nobody reads again, and tells its digest.
pub trait Scribe: fmt::Debug {
    /// The entries of one commit, in order.
    fn write(&mut self, entries: Vec<Entry>);
    /// The digest of all that was written.
    fn digest(&mut self) -> String;
}

/// Writes at once.
#[derive(Clone, Debug, Default)]
pub struct Digester(Sha256);

impl Scribe for Digester {
    fn write(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.0.update(line(entry));
            self.0.update(b"\n");
        }
    }
    fn digest(&mut self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}

/// An entry as it stands in a journal.
fn line(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).expect("entries become JSON")
}

/// What came of one command.
pub(crate) type Done = Result<Made, Refusal>;

/// Who hears what came of commands.
#[derive(Debug)]
pub(crate) enum Asker {
    /// Nobody.
    Nobody,
    /// An agent waits for its answer.
    Agent(Box<Sync>),
    /// The planner.
    Planner(Vec<Placement>),
    /// The planner, of what it takes back.
    Preempting(Vec<Preemption>),
}

/// Commands that wait for the writer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) actor: Actor,
    pub(crate) commands: Vec<Command>,
    pub(crate) asker: Asker,
}

/// One command that was decided, for the checker.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) entry: Option<Entry>,
    pub(crate) outcome: Done,
}

/// A batch that was decided and is not in the journal yet: each request with what came of it, what
/// it means for the planner, who is to be woken.
type Open = (Vec<(Asked, Vec<Decided>)>, Vec<Change>, Vec<Effect>);

/// What a batch came to.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub(crate) replies: Vec<Reply>,
    /// Answers that are held back, and until when.
    pub(crate) held: Vec<(SyncId, Time)>,
    /// Is there something to plan?
    pub(crate) plan: bool,
    /// What came of the commands that nobody waits for.
    pub(crate) done: Vec<Done>,
}

/// The exchange.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) state: State,
    pub(crate) liveness: Liveness,
    pub(crate) planning: Planning,
    /// What the planner was told of who is not heard.
    silent: Option<BTreeSet<PoolId>>,
    /// When the planner was told how projects stand.
    shared_at: Time,
    /// The hour whose prices the planner knows.
    priced: Option<usize>,
    /// The journal: its entries as they are written.
    pub(crate) journal: Vec<Vec<u8>>,
    written: Journal,
    challenge_every: Span,
    /// The state that follows from the journal up to `replayed`.
    shadow: State,
    replayed: usize,
    queue: Vec<Asked>,
    held: BTreeMap<SyncId, (AgentId, Box<Sync>)>,
    /// Agents that have told what their sites' caches hold since it was started.
    holders: BTreeSet<AgentId>,
    random: Random,
    /// Was the work of the last round used up?
    pub(crate) exhausted: bool,
    pub(crate) commits: u64,
    pub(crate) refusals: BTreeMap<String, u64>,
}

impl Host {
    pub(crate) fn new(seed: u64, now: Time) -> Self {
        Self {
            state: State::default(),
            liveness: Liveness::new(now),
            planning: Planning::default(),
            silent: None,
            shared_at: now,
            priced: None,
            journal: Vec::new(),
            written: Journal::Kept,
            challenge_every: CHALLENGE_EVERY,
            shadow: State::default(),
            replayed: 0,
            queue: Vec::new(),
            held: BTreeMap::new(),
            holders: BTreeSet::new(),
            random: Random::new(seed, 0x686f_7374),
            exhausted: false,
            commits: 0,
            refusals: BTreeMap::new(),
        }
    }

    /// One that knows the network, keeps no journal but its digest, and has pools prove themselves
    /// as seldom as the live one.
    pub(crate) fn of_market(
        seed: u64,
        now: Time,
        network: Arc<dyn Network>,
        scribe: Box<dyn Scribe>,
    ) -> Self {
        let planning = Planning::new(network);
        let written = Journal::Digested(scribe);
        let challenge_every = Span::from_secs(3_600);
        Self { planning, written, challenge_every, ..Self::new(seed, now) }
    }

    /// The digest of all entries, where they were not kept.
    pub(crate) fn digest(&mut self) -> Option<String> {
        match &mut self.written {
            Journal::Kept => None,
            Journal::Digested(scribe) => Some(scribe.digest()),
        }
    }

    fn request_id(&mut self, now: Time) -> RequestId {
        let millis = u128::try_from(now.micros() / 1_000).unwrap_or(0);
        let high = u128::from(self.random.bits() >> 48);
        RequestId::from_bits(millis << 80 | high << 64 | u128::from(self.random.bits()))
    }

    /// As the shell does before it asks: the planner looks whether a hard deadline can be promised.
    pub(crate) fn seek(&mut self, command: Command, now: Time) -> Command {
        let Command::Submit(submit) = command else { return command };
        let hard = |deadline: &Deadline| deadline.kind == DeadlineKind::Hard;
        if submit.spec.schedule.is_some() || !submit.spec.deadline.as_ref().is_some_and(hard) {
            return Command::Submit(submit);
        }
        let project = self.state.access.project_by_path(&submit.spec.project.to_string());
        let org = project.and_then(|project| self.state.access.orgs.get(&project.org));
        let Some((project, org)) = project.zip(org) else { return Command::Submit(submit) };
        let mut ask = changes::ask_for(&self.state, &submit.spec, org.class, &submit.data);
        (ask.project, ask.org, ask.submitted_at) = (project.id, org.id, now);
        ask.quote = submit.quote.and_then(|quote| changes::pin(&self.state, quote));
        let admission = self.planning.admit(&ask, &submit.spec, now, now);
        Command::Submit(Box::new(Submit { admission, ..*submit }))
    }

    pub(crate) fn ask(&mut self, asked: Asked) {
        self.queue.push(asked);
    }

    /// A sync has come in.
    pub(crate) fn receive(&mut self, agent: AgentId, sync: Box<Sync>) {
        // Nothing rests on it but where work goes: it is no command, and not in the journal.
        let pool = self.state.supply.agents.get(&agent).map(|agent| agent.pool);
        if let (Some(holds), Some(pool)) = (&sync.holds, pool) {
            self.planning.hold(pool, holds.clone());
            self.holders.insert(agent);
        }
        let commands = commands_of(agent, &sync);
        if !commands.is_empty() {
            // A newer call supersedes one that is still held back.
            self.release(agent);
        }
        self.queue.push(Asked {
            actor: Actor::Agent { agent },
            commands,
            asker: Asker::Agent(sync),
        });
    }

    /// Looks once more at what is held back for an agent.
    fn release(&mut self, agent: AgentId) {
        let waiting: Vec<SyncId> =
            self.held.iter().filter(|(_, (of, _))| *of == agent).map(|(id, _)| *id).collect();
        for id in waiting {
            self.look_again(id);
        }
    }

    /// Whether it was woken or its time is over: it is answered now.
    pub(crate) fn look_again(&mut self, id: SyncId) {
        if let Some((agent, mut sync)) = self.held.remove(&id) {
            sync.wait = Span::ZERO;
            let actor = Actor::Agent { agent };
            self.queue.push(Asked { actor, commands: Vec::new(), asker: Asker::Agent(sync) });
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Decides everything that waits, in order. The state runs ahead of the journal.
    fn decide_all(
        &mut self,
        now: Time,
        queue: Vec<Asked>,
        seen: &mut dyn FnMut(&State, &Asked, &[Decided]),
    ) -> Open {
        let (mut all, mut changes, mut effects) = (Vec::new(), Vec::new(), Vec::new());
        for mut asked in queue {
            if let Actor::Agent { agent } = asked.actor {
                self.liveness.heard(agent, now);
            }
            let mut decided = Vec::with_capacity(asked.commands.len());
            for command in std::mem::take(&mut asked.commands) {
                if self.liveness.admits(&self.state, &command, now).is_err() {
                    continue;
                }
                let request = self.request_id(now);
                let actor = asked.actor;
                let at = At { now, request, actor, command };
                match decide(&self.state, &at) {
                    Ok(decision) => {
                        effects.extend(decision.effects);
                        let mut entry = None;
                        if !decision.events.is_empty() {
                            let made = Entry { at: now, request, actor, events: decision.events };
                            self.state.evolve(&made);
                            changes::of_entry(&self.state, &made, &mut changes);
                            entry = Some(made);
                        }
                        decided.push(Decided { entry, outcome: Ok(decision.made) });
                    }
                    Err(refusal) => {
                        *self.refusals.entry(refusal.code.to_string()).or_default() += 1;
                        decided.push(Decided { entry: None, outcome: Err(refusal) });
                    }
                }
            }
            seen(&self.state, &asked, &decided);
            all.push((asked, decided));
        }
        (all, changes, effects)
    }

    /// Decides and commits a batch, then answers. `seen` is shown each request after it was
    /// decided.
    pub(crate) fn commit(
        &mut self,
        now: Time,
        seen: &mut dyn FnMut(&State, &Asked, &[Decided]),
    ) -> Committed {
        let queue = std::mem::take(&mut self.queue);
        let (mut all, changes, effects) = self.decide_all(now, queue, seen);
        let decided = all.iter_mut().flat_map(|(_, decided)| decided);
        let entries: Vec<Entry> = decided.filter_map(|decided| decided.entry.take()).collect();
        match &mut self.written {
            Journal::Kept => self.journal.extend(entries.iter().map(line)),
            Journal::Digested(_) if entries.is_empty() => {}
            Journal::Digested(scribe) => scribe.write(entries),
        }
        self.commits += 1;
        let mut committed = Committed::default();
        // What was refused is heard before what has changed, as in the server.
        for (asked, decided) in all {
            match asked.asker {
                Asker::Nobody => {
                    committed.done.extend(decided.into_iter().map(|decided| decided.outcome));
                }
                Asker::Planner(placements) => {
                    for (placement, decided) in placements.iter().zip(&decided) {
                        let outcome = decided.outcome.as_ref().map(|_| ());
                        self.planning.settled(placement, outcome, now);
                    }
                    committed.plan = true;
                }
                Asker::Preempting(all) => {
                    for (taken, decided) in all.iter().zip(&decided) {
                        let outcome = decided.outcome.as_ref().map(|_| ());
                        self.planning.preempted(taken, outcome, now);
                    }
                }
                Asker::Agent(sync) => self.answer(sync, asked.actor, now, &mut committed),
            }
        }
        committed.plan |= !changes.is_empty();
        self.planning.observe(&changes);
        for Effect::WakeAgent(agent) in effects {
            self.release(agent);
        }
        committed
    }

    fn answer(&mut self, sync: Box<Sync>, actor: Actor, now: Time, committed: &mut Committed) {
        let Actor::Agent { agent } = actor else { return };
        let named = sync.reports.iter().map(|(attempt, _)| *attempt);
        let (revision, found) = orders::since(&self.state, agent, sync.known);
        let answer = Answer {
            revision,
            orders: found.iter().map(|found| order(&self.state, found)).collect(),
            forget: orders::unknown(&self.state, agent, named),
        };
        let record = self.state.supply.agents.get(&agent);
        let pool = record.and_then(|agent| self.state.supply.pools.get(&agent.pool));
        let challenge = pool.and_then(|pool| pool.challenge);
        let want_shown = pool.and_then(|pool| pool.doubted_at).map(|_| ());
        let nothing = revision == sync.known
            && answer.forget.is_empty()
            && challenge.is_none()
            && want_shown.is_none();
        if sync.wait > Span::ZERO && nothing {
            committed.held.push((sync.id, now.plus(sync.wait)));
            self.held.insert(sync.id, (agent, sync));
            return;
        }
        let want_holds = (!self.holders.contains(&agent)).then_some(());
        committed.replies.push(Reply { to: sync.id, answer, challenge, want_shown, want_holds });
    }

    /// What time alone brings about.
    pub(crate) fn timers(&mut self, now: Time) {
        let random = &mut self.random;
        let nonce = || {
            let mut nonce = [0; 32];
            nonce[..8].copy_from_slice(&random.bits().to_le_bytes());
            Nonce(nonce)
        };
        let mut due = due::due(&self.state, &self.liveness, now, self.challenge_every, nonce);
        for command in &mut due {
            if let Some(ToAdmit { ask, spec, start }) = due::to_admit(&self.state, command, now) {
                command.admitted(self.planning.admit(&ask, &spec, start, now));
            }
        }
        let news = due::silence(&self.state, &self.liveness, now, self.silent.as_ref());
        if let Some(due::Silence { pools, shown }) = news {
            self.silent = Some(pools.clone());
            self.planning.silence(pools, &shown);
        }
        let hour = changes::hour(&self.state, now);
        if self.priced != Some(hour) {
            self.priced = Some(hour);
            self.planning.observe(&changes::of_hour(&self.state, now));
        }
        if now.since(self.shared_at) >= SHARES_EVERY {
            self.shared_at = now;
            self.planning.stand(&shares::behind(&self.state, now));
        }
        if !due.is_empty() {
            let asked = Asked { actor: Actor::System, commands: due, asker: Asker::Nobody };
            self.queue.push(asked);
        }
    }

    /// Plans once; true when something is to be placed.
    pub(crate) fn plan(&mut self, now: Time) -> bool {
        let planning::Round { placements, preemptions, estimates, exhausted } =
            self.planning.round(now);
        self.exhausted = exhausted;
        let actor = Actor::System;
        let busy = !placements.is_empty() || !preemptions.is_empty();
        if !placements.is_empty() {
            let commands = placements.iter().map(planning::command).collect();
            self.queue.push(Asked { actor, commands, asker: Asker::Planner(placements) });
        }
        if !estimates.is_empty() {
            let commands = planning::estimates(&estimates);
            self.queue.push(Asked { actor, commands, asker: Asker::Nobody });
        }
        if !preemptions.is_empty() {
            let commands = preemptions.iter().map(planning::preempt).collect();
            self.queue.push(Asked { actor, commands, asker: Asker::Preempting(preemptions) });
        }
        busy
    }

    /// The process ends: what was not committed is gone, and so is everybody who waited.
    pub(crate) fn crash(&mut self) {
        self.queue.clear();
        self.held.clear();
    }

    /// The process starts: the state is what the journal says, and no lease is late.
    pub(crate) fn start(&mut self, now: Time) {
        self.catch_up();
        self.state = self.shadow.clone();
        self.liveness = Liveness::new(now);
        self.planning = Planning::default();
        self.planning.observe(&changes::everything(&self.state, now));
        self.holders.clear();
        self.silent = None;
    }

    fn catch_up(&mut self) {
        for line in &self.journal[self.replayed..] {
            let entry: Entry = serde_json::from_slice(line).expect("what was written is read");
            self.shadow.evolve(&entry);
        }
        self.replayed = self.journal.len();
    }

    /// Is the live state what the journal says?
    pub(crate) fn replays(&mut self) -> bool {
        self.catch_up();
        self.state == self.shadow
    }

    /// The same byte for byte, for a replay from the very beginning and for a state that was
    /// written and read.
    pub(crate) fn replays_from_nothing(&self) -> bool {
        let mut state = State::default();
        for line in &self.journal {
            let entry: Entry = serde_json::from_slice(line).expect("what was written is read");
            state.evolve(&entry);
        }
        let live = bytes(&self.state);
        let read: State = serde_json::from_slice(&live).expect("a state is read back");
        live == bytes(&state) && live == bytes(&read)
    }
}

fn bytes(state: &State) -> Vec<u8> {
    serde_json::to_vec(state).expect("a state becomes JSON")
}

fn order(state: &State, order: &orders::Order<'_>) -> Order {
    let lease = order.lease;
    let job = state.work.jobs.get(&lease.attempt.job);
    let inputs = job.into_iter().flat_map(|job| &job.data).filter_map(|data| data.key);
    Order {
        attempt: lease.attempt,
        keep: lease.keep,
        stop: lease.stop.is_some(),
        publish: matches!(lease.phase, Phase::Publishing { .. }),
        payload: Arc::new(Payload {
            time_limit: lease.time_limit,
            cores_milli: i64::try_from(lease.resources.cpu.0).expect("a node's cores"),
            has_outputs: !order.stored.spec.outputs.is_empty(),
            inputs: inputs.collect(),
        }),
    }
}

/// The commands one sync comes to, as the server makes them.
fn commands_of(agent: AgentId, sync: &Sync) -> Vec<Command> {
    let mut commands = Vec::new();
    if sync.shown.is_some() || sync.challenge.is_some() {
        let shown = sync.shown.clone();
        let answer = sync.challenge;
        let news = PoolNews { agent, shown, measured: Vec::new(), answer };
        commands.push(Command::PoolNews(Box::new(news)));
    }
    let mut news: BTreeMap<AttemptId, AttemptNews> = BTreeMap::new();
    let fresh = |attempt| AttemptNews {
        agent,
        attempt,
        seen: None,
        usage: None,
        evidence: None,
        node: None,
    };
    for record in &sync.usage {
        let entry = news.entry(record.attempt).or_insert_with(|| fresh(record.attempt));
        entry.usage = Some(*record);
    }
    for (attempt, seen) in &sync.reports {
        let entry = news.entry(*attempt).or_insert_with(|| fresh(*attempt));
        entry.seen = Some(seen.clone());
    }
    commands.extend(news.into_values().map(|news| Command::AttemptNews(Box::new(news))));
    commands
}
