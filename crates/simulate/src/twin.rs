//! The agent's twin: the same `custody` as the real agent's, and around it what the real shell
//! does, without I/O: it stages, launches, gathers, publishes, syncs, and takes up what an earlier
//! process of it left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_custody::{Publishes, Reading, Step};
use dayan_exchange::{Blame, Counters, Outcome, Seen, UsageRecord, challenge_digest};
use dayan_units::{AttemptId, BootTime, Span};

use crate::keeper::{Launch, NotLaunched};
use crate::messages::{Action, Custody, Lie, News, Order, Payload, Reply, Sync, SyncId};
use crate::script::Script;
use crate::site::{Chore, Machine, Noted, Todo};

/// For how long the exchange may hold an answer back, as the real agent asks.
const WAIT_MAX: Span = Span::from_secs(20);
/// Results that take longer than this give their attempt's room back while they are published. The agent
/// waits for a minute; here tasks are short.
const LINGERS_AFTER: Span = Span::from_secs(5);
/// At most this part of the shortest lease.
const WAITS_PER_LEASE: i64 = 4;
/// A sync without an answer is given up after this, beyond its wait.
pub(crate) const ANSWER_WITHIN: Span = Span::from_secs(10);
/// How often running attempts tell their use.
const USAGE_EVERY: Span = Span::from_secs(10);
const REPORTS_MAX: usize = 1_000;
/// The longest pause after a failure.
const PAUSE_MAX: Span = Span::from_secs(8);
const PAUSE_MIN: Span = Span::from_millis(250);
/// Files that lie in the cache are there after this.
const LINKED_IN: Span = Span::from_millis(10);
/// Of a thousand syncs of a liar, so many hold a lie.
const LIES_PERMILLE: u32 = 300;

/// What an attempt is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Here {
    Staging,
    Launched,
    Publishing,
}

/// A sync under way.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    sent_at: BootTime,
    told: News,
    showed: bool,
    /// What it said the cache holds.
    holds: Option<BTreeSet<u64>>,
}

/// One process of an agent.
#[derive(Debug)]
pub(crate) struct Twin {
    pub(crate) custody: Custody,
    generation: u32,
    here: BTreeMap<AttemptId, Here>,
    waiting: Option<UnderWay>,
    telling: Option<UnderWay>,
    syncs: u64,
    show: bool,
    /// What was heard of what the cache holds.
    told_holds: Option<BTreeSet<u64>>,
    challenge: Option<(dayan_identity::Nonce, dayan_exchange::Digest)>,
    not_before: BootTime,
    pause: Span,
    /// When the publication that is under way began.
    publishing: BTreeMap<AttemptId, BootTime>,
    /// An attempt of another agent, to lie about.
    pub(crate) foreign: Option<AttemptId>,
}

impl Twin {
    pub(crate) fn start(
        machine: &mut Machine,
        generation: u32,
        now: BootTime,
        todo: &mut Vec<Todo>,
    ) -> Self {
        let mut twin = Self {
            custody: Custody::new(USAGE_EVERY),
            generation,
            here: BTreeMap::new(),
            waiting: None,
            telling: None,
            syncs: 0,
            show: true,
            told_holds: None,
            challenge: None,
            not_before: BootTime(i64::MIN),
            pause: PAUSE_MIN,
            publishing: BTreeMap::new(),
            foreign: None,
        };
        twin.adopt(machine, now, todo);
        twin
    }

    /// Takes up what the keeper has and the book knows.
    fn adopt(&mut self, machine: &mut Machine, now: BootTime, todo: &mut Vec<Todo>) {
        let keeper = &machine.keeper;
        let known: Vec<AttemptId> =
            keeper.running.keys().chain(keeper.ended.keys()).copied().collect();
        for attempt in &known {
            let counted = keeper.counters(*attempt, now).unwrap_or_default();
            let noted = &machine.book[attempt];
            let usage = Reading::resumed(self.generation, noted.used.grown_to(counted));
            let step = match &noted.over {
                Some(end) => Step::Ended { end: end.clone() },
                None => Step::Running,
            };
            self.custody.adopt(noted.order.clone(), step, usage);
            self.here.insert(*attempt, Here::Launched);
        }
        // Noted and never launched: the exchange orders it again if it wants it.
        machine.book.retain(|attempt, _| known.contains(attempt));
        for attempt in known {
            self.observed(machine, attempt, now, todo);
        }
    }

    // ---- what custody wants ----

    fn act(&mut self, m: &mut Machine, actions: Vec<Action>, now: BootTime, todo: &mut Vec<Todo>) {
        for action in actions {
            match action {
                Action::Start(order, _) => self.start_order(m, &order, now, todo),
                Action::Extend(attempt, end) => {
                    if self.here.get(&attempt) == Some(&Here::Launched) {
                        m.keeper.extend(now, attempt, end);
                    }
                }
                Action::Stop(attempt) => self.stop(m, attempt, now),
                Action::Publish(attempt) => self.publish(m, attempt, now, todo),
                Action::Forget(attempt) => {
                    self.here.remove(&attempt);
                    self.publishing.remove(&attempt);
                    m.book.remove(&attempt);
                    m.keeper.forget(attempt);
                }
            }
        }
    }

    fn script(m: &Machine, attempt: AttemptId, payload: &Payload) -> Script {
        Script::of(m.seed, attempt, payload.time_limit)
    }

    fn start_order(&mut self, m: &mut Machine, order: &Order, now: BootTime, todo: &mut Vec<Todo>) {
        let attempt = order.attempt;
        let noted =
            Noted { order: order.clone(), used: dayan_custody::Counters::default(), over: None };
        m.book.insert(attempt, noted);
        if order.payload.has_outputs || !order.payload.inputs.is_empty() {
            self.here.insert(attempt, Here::Staging);
            let script = Self::script(m, attempt, &order.payload);
            // What is there already is linked, not fetched.
            let there = !order.payload.inputs.is_empty() && m.cache.has(&order.payload.inputs);
            let takes = if there { LINKED_IN } else { script.staging.0 };
            todo.push(Todo::Later(takes, attempt, Chore::Stage));
        } else {
            self.launch(m, attempt, &order.payload, now, todo);
        }
    }

    fn launch(
        &mut self,
        m: &mut Machine,
        attempt: AttemptId,
        payload: &Arc<Payload>,
        now: BootTime,
        todo: &mut Vec<Todo>,
    ) {
        let Some(lease_end) = self.custody.lease_end(attempt) else { return };
        self.here.insert(attempt, Here::Launched);
        let launch = Launch {
            attempt,
            lease_end,
            time_limit: payload.time_limit,
            cores_milli: payload.cores_milli,
            script: Self::script(m, attempt, payload),
        };
        match m.keeper.launch(now, launch) {
            Ok(()) => self.observed(m, attempt, now, todo),
            Err(NotLaunched::LeaseOver) => self.end(attempt, Outcome::LeaseEnded),
            // It is in the keeper's list, or was forgotten and is never launched again.
            Err(NotLaunched::Already) => {
                let known = m.keeper.counters(attempt, now).is_some();
                if known {
                    self.observed(m, attempt, now, todo);
                } else {
                    self.end(attempt, Outcome::NodeFailure);
                }
            }
        }
    }

    fn stop_reason(&self, attempt: AttemptId) -> Outcome {
        match self.custody.kept().get(&attempt) {
            Some(kept) if !kept.order.stop => Outcome::LeaseEnded,
            Some(_) | None => Outcome::Stopped,
        }
    }

    fn stop(&mut self, m: &mut Machine, attempt: AttemptId, now: BootTime) {
        let reason = self.stop_reason(attempt);
        match self.here.get(&attempt) {
            Some(Here::Launched) => m.keeper.stop(now, attempt),
            Some(Here::Publishing) => {
                self.custody.withdrawn(attempt, reason.clone());
                self.end(attempt, reason);
            }
            Some(Here::Staging) | None => self.end(attempt, reason),
        }
    }

    fn publish(
        &mut self,
        m: &mut Machine,
        attempt: AttemptId,
        now: BootTime,
        todo: &mut Vec<Todo>,
    ) {
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        let script = Self::script(m, attempt, &kept.order.payload);
        self.here.insert(attempt, Here::Publishing);
        self.publishing.insert(attempt, now);
        todo.push(Todo::Later(script.publishing.0, attempt, Chore::Publish));
    }

    fn end(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.custody.ended(attempt, outcome, Publishes::Nothing);
    }

    // ---- what the engine says ----

    /// The keeper has news of an attempt.
    pub(crate) fn observed(
        &mut self,
        m: &mut Machine,
        attempt: AttemptId,
        now: BootTime,
        todo: &mut Vec<Todo>,
    ) {
        if self.here.get(&attempt) != Some(&Here::Launched) {
            return;
        }
        let counted = m.keeper.counters(attempt, now);
        let Some(ended) = m.keeper.ended.get(&attempt) else {
            self.custody.running(attempt);
            self.custody.counted(attempt, counted.unwrap_or_default());
            return;
        };
        let outcome = ended.outcome.clone();
        self.custody.counted(attempt, ended.counters);
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        if !kept.step.may_run() {
            return;
        }
        if outcome.is_success() && !kept.stopping && kept.order.payload.has_outputs {
            let script = Self::script(m, attempt, &kept.order.payload);
            self.here.insert(attempt, Here::Publishing);
            if script.gathering.plus(script.publishing.0) > LINGERS_AFTER {
                self.custody.running(attempt);
                self.custody.lingers(attempt);
            }
            todo.push(Todo::Later(script.gathering, attempt, Chore::Gather));
        } else {
            self.end(attempt, outcome);
        }
    }

    /// Something that took its time is done.
    pub(crate) fn done(
        &mut self,
        m: &mut Machine,
        attempt: AttemptId,
        chore: Chore,
        now: BootTime,
        todo: &mut Vec<Todo>,
    ) {
        let Some(kept) = self.custody.kept().get(&attempt) else { return };
        let payload = Arc::clone(&kept.order.payload);
        let script = Self::script(m, attempt, &payload);
        match chore {
            Chore::Stage => {
                let wanted = kept.step.may_run() && !kept.stopping;
                if self.here.get(&attempt) != Some(&Here::Staging) || !wanted {
                    return;
                }
                let there = !payload.inputs.is_empty() && m.cache.has(&payload.inputs);
                let staged = if there { Ok(()) } else { script.staging.1 };
                match staged {
                    Ok(()) => {
                        m.cache.take_in(&payload.inputs);
                        self.launch(m, attempt, &payload, now, todo);
                    }
                    Err(reason) => {
                        let (blame, for_good) = (Blame::Site, false);
                        self.end(
                            attempt,
                            Outcome::StartFailed { reason, blame, for_good, status: None },
                        );
                    }
                }
            }
            Chore::Gather => {
                let refused = self.stop_reason(attempt);
                let end = Outcome::Exited { code: 0 };
                let outputs = Publishes::Outputs { refused };
                if let Some(action) = self.custody.ended(attempt, end, outputs) {
                    self.act(m, vec![action], now, todo);
                }
            }
            Chore::Publish => {
                let Some(began) = self.publishing.remove(&attempt) else { return };
                // The guard ends a publication with its lease.
                let over = self.custody.lease_end(attempt).is_none_or(|end| end <= now);
                let outcome = match script.publishing.1 {
                    Ok(()) if !over => Outcome::Exited { code: 0 },
                    Ok(()) => Outcome::PublishFailed {
                        reason: "its lease is over".to_owned(),
                        blame: Blame::Site,
                    },
                    Err(reason) => Outcome::PublishFailed { reason, blame: Blame::Site },
                };
                if outcome.is_success() {
                    m.published.push((attempt, began, now));
                }
                if let Some(noted) = m.book.get_mut(&attempt) {
                    noted.over = Some(outcome.clone());
                }
                self.custody.published(attempt, outcome);
            }
        }
    }

    // ---- the syncs ----

    /// Sends what is due.
    pub(crate) fn pump(&mut self, m: &mut Machine, now: BootTime, todo: &mut Vec<Todo>) {
        let overdue = self.custody.tick(now);
        self.act(m, overdue, now, todo);
        if now < self.not_before {
            todo.push(Todo::Wake(self.not_before));
        } else if self.telling.is_none() {
            let urgent = self.custody.is_urgent() || self.show || self.challenge.is_some();
            if urgent || self.custody.is_sync_due(now) {
                let under_way = self.send(m, now, Span::ZERO, todo);
                self.telling = Some(under_way);
            } else if self.waiting.is_none() {
                let keep = self.custody.keep_min().unwrap_or(Span::MAX);
                let wait = WAIT_MAX.min(Span::from_micros(keep.micros() / WAITS_PER_LEASE));
                let under_way = self.send(m, now, wait, todo);
                self.waiting = Some(under_way);
            }
        }
        if let Some(due) = self.custody.next_due(now) {
            todo.push(Todo::Wake(due));
        }
    }

    fn send(
        &mut self,
        m: &mut Machine,
        now: BootTime,
        wait: Span,
        todo: &mut Vec<Todo>,
    ) -> UnderWay {
        let running: Vec<AttemptId> = m.keeper.running.keys().copied().collect();
        for attempt in running {
            if let Some(counted) = m.keeper.counters(attempt, now) {
                self.custody.counted(attempt, counted);
            }
        }
        let told = self.custody.news(now, REPORTS_MAX);
        for record in &told.usage {
            if let Some(noted) = m.book.get_mut(&record.attempt) {
                noted.used = noted.used.grown_to(record.counters);
            }
        }
        self.syncs += 1;
        let number = self.syncs;
        // One sync at a time says it: two that pass each other on their way would leave the older.
        let under_way = [&self.waiting, &self.telling].into_iter().flatten();
        let mut said = under_way.filter(|under_way| under_way.holds.is_some());
        let files = m.cache.files();
        let news = said.next().is_none() && self.told_holds.as_ref() != Some(&files);
        let holds = news.then_some(files);
        let mut sync = Sync {
            id: SyncId { site: m.index, generation: self.generation, number },
            known: told.revision,
            wait,
            shown: self.show.then(|| m.shown.clone()),
            challenge: self.challenge.take(),
            reports: told.reports.iter().map(seen).collect(),
            usage: told.usage.iter().map(usage).collect(),
            holds: holds.clone(),
            lies: Vec::new(),
        };
        self.lie(m, &mut sync);
        todo.push(Todo::Send(Box::new(sync)));
        let showed = std::mem::take(&mut self.show);
        UnderWay { number, sent_at: now, told, showed, holds }
    }

    /// Puts a lie into a sync, where this agent lies.
    fn lie(&self, m: &mut Machine, sync: &mut Sync) {
        let Some(random) = &mut m.liar else { return };
        if !random.in_permille(LIES_PERMILLE) {
            return;
        }
        if let (Some(foreign), true) = (self.foreign, random.in_permille(300)) {
            let counters = Counters { wall_us: 1_000, ..Counters::default() };
            sync.usage.push(UsageRecord { attempt: foreign, seq: 1 << 40, counters });
            sync.lies.push(Lie::Foreign(foreign));
            return;
        }
        let Some(record) = sync.usage.first_mut() else { return };
        let attempt = record.attempt;
        match random.below(3) {
            0 => {
                record.seq += 1 << 20;
                record.counters.wall_us /= 2;
                record.counters.cpu_us /= 2;
                sync.lies.push(Lie::Shrinks(attempt));
            }
            1 => {
                record.seq += 1 << 20;
                record.counters.wall_us = record.counters.wall_us * 20 + 600_000_000;
                sync.lies.push(Lie::FasterThanTime(attempt));
            }
            _ => {
                record.seq -= 1;
                record.counters.write_bytes += 77_777;
                sync.lies.push(Lie::SameNumber(attempt));
            }
        }
    }

    /// An answer has come. Answers to syncs that were given up are not heard.
    pub(crate) fn answered(
        &mut self,
        m: &mut Machine,
        reply: Reply,
        now: BootTime,
        todo: &mut Vec<Todo>,
    ) {
        let Some(under_way) = self.take(reply.to.number) else { return };
        self.pause = PAUSE_MIN;
        self.not_before = BootTime(i64::MIN);
        let actions = self.custody.answered(now, under_way.sent_at, &under_way.told, reply.answer);
        self.act(m, actions, now, todo);
        self.show |= reply.want_shown.is_some();
        self.told_holds = match (reply.want_holds, under_way.holds) {
            (Some(()), _) => None,
            (None, Some(holds)) => Some(holds),
            (None, None) => self.told_holds.take(),
        };
        if let Some(challenge) = reply.challenge {
            self.challenge = Some((challenge.nonce, challenge_digest(&challenge, &m.shown)));
        }
    }

    /// A sync was not answered in time.
    pub(crate) fn gave_up(&mut self, number: u64, now: BootTime) {
        let Some(under_way) = self.take(number) else { return };
        self.custody.unanswered(&under_way.told);
        self.show |= under_way.showed;
        if under_way.holds.is_some() {
            self.told_holds = None;
        }
        self.not_before = self.not_before.max(now.plus(self.pause));
        self.pause = self.pause.times(2).min(PAUSE_MAX);
    }

    fn take(&mut self, number: u64) -> Option<UnderWay> {
        for slot in [&mut self.waiting, &mut self.telling] {
            if slot.as_ref().is_some_and(|under_way| under_way.number == number) {
                return slot.take();
            }
        }
        None
    }
}

fn seen((attempt, seen): &(AttemptId, dayan_custody::Seen<Outcome>)) -> (AttemptId, Seen) {
    let seen = match seen {
        dayan_custody::Seen::Staging => Seen::Staging,
        dayan_custody::Seen::Running => Seen::Running,
        dayan_custody::Seen::Publishing => Seen::Publishing,
        dayan_custody::Seen::Lingering => Seen::Lingering,
        dayan_custody::Seen::Ended(outcome) => Seen::Ended { outcome: outcome.clone() },
    };
    (*attempt, seen)
}

fn usage(record: &dayan_custody::UsageRecord) -> UsageRecord {
    let c = record.counters;
    UsageRecord {
        attempt: record.attempt,
        seq: record.seq,
        counters: Counters {
            wall_us: c.wall_us,
            cpu_us: c.cpu_us,
            memory_peak: c.memory_peak,
            read_bytes: c.read_bytes,
            write_bytes: c.write_bytes,
            energy_uj: c.energy_uj,
        },
    }
}
