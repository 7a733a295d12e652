//! The agents of a market, light: one for each pool. They run no custody and no keeper (those are
//! tested in worlds with faults); what they tell the exchange is what a sync becomes there, and what
//! they keep is what a fence keeps: nothing runs on after its lease, and nothing that was lost is
//! told of again.
//!
//! Invariant: while a link is cut nothing is heard of its agents, and they hear nothing. It must not
//! know what the planner thinks.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{
    AttemptNews, Command, Counters, Lease, Outcome, PoolNews, Seen, Shown, State, UsageRecord,
    challenge_digest,
};
use dayan_units::{AgentId, AttemptId, PoolId, Span, Time};

/// An attempt at its machine.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub pool: usize,
    pub node: String,
    pub run: Span,
    pub keep: Span,
    pub started: Option<Time>,
    cores_milli: i64,
    milliwatts: i64,
    seq: u64,
}

/// A cut: since when, and what waits to be told.
#[derive(Debug, Default)]
struct Cut {
    since: Time,
    until: Time,
    outbox: Vec<Command>,
    stops: BTreeSet<AttemptId>,
}

/// All of them, by the number of their pool.
#[derive(Debug)]
pub(super) struct Agents {
    ids: Vec<(PoolId, AgentId)>,
    numbers: BTreeMap<PoolId, usize>,
    shown: Vec<Shown>,
    pub live: BTreeMap<AttemptId, Running>,
    by_pool: Vec<BTreeSet<AttemptId>>,
    cuts: Vec<Option<Cut>>,
}

impl Agents {
    pub fn new(ids: Vec<(PoolId, AgentId)>, shown: Vec<Shown>) -> Self {
        let numbers = ids.iter().enumerate().map(|(nth, (pool, _))| (*pool, nth)).collect();
        let by_pool = vec![BTreeSet::new(); ids.len()];
        let cuts = ids.iter().map(|_| None).collect();
        Self { ids, numbers, shown, live: BTreeMap::new(), by_pool, cuts }
    }

    pub fn number(&self, pool: PoolId) -> usize {
        self.numbers[&pool]
    }

    pub fn agent(&self, pool: usize) -> AgentId {
        self.ids[pool].1
    }

    pub fn is_cut(&self, pool: usize) -> bool {
        self.cuts[pool].is_some()
    }

    /// An order is on its way; it starts when the agent has heard of it.
    pub fn ordered(&mut self, lease: &Lease, run: Span, milliwatts: i64) {
        let pool = self.number(lease.pool);
        let running = Running {
            pool,
            node: lease.node.clone(),
            run,
            keep: lease.keep,
            started: None,
            cores_milli: i64::try_from(lease.resources.cpu.0).expect("a machine's cores"),
            milliwatts,
            seq: 0,
        };
        self.live.insert(lease.attempt, running);
        self.by_pool[pool].insert(lease.attempt);
    }

    /// Starts it, if its agent can hear of it: when it will have ended, and what is told.
    pub fn start(&mut self, attempt: AttemptId, now: Time) -> Option<(Time, usize, Command)> {
        let running = self.live.get_mut(&attempt)?;
        if self.cuts[running.pool].is_some() || running.started.is_some() {
            return None;
        }
        running.started = Some(now);
        let (pool, ends) = (running.pool, now.plus(running.run));
        let agent = self.ids[pool].1;
        let seen = Some(Seen::Running);
        let news = AttemptNews { agent, attempt, seen, usage: None, evidence: None, node: None };
        Some((ends, pool, Command::AttemptNews(Box::new(news))))
    }

    /// Is the machine of an attempt down?
    pub fn is_down(&self, attempt: AttemptId) -> bool {
        self.live.get(&attempt).is_some_and(|running| {
            let nodes = &self.shown[running.pool].nodes;
            nodes.iter().any(|node| node.name == running.node && !node.up)
        })
    }

    fn used(running: &mut Running, attempt: AttemptId, now: Time) -> Option<UsageRecord> {
        let wall = now.since(running.started?).micros();
        running.seq += 1;
        let counters = Counters {
            wall_us: wall,
            cpu_us: wall / 1_000 * running.cores_milli,
            energy_uj: u64::try_from(wall / 1_000 * running.milliwatts).ok(),
            ..Counters::default()
        };
        Some(UsageRecord { attempt, seq: running.seq, counters })
    }

    /// An attempt has ended; what is told, unless its link is cut: then it is told later.
    pub fn end(&mut self, attempt: AttemptId, outcome: Outcome, now: Time) -> Option<Command> {
        let mut running = self.live.remove(&attempt)?;
        self.by_pool[running.pool].remove(&attempt);
        let usage = Self::used(&mut running, attempt, now);
        let agent = self.ids[running.pool].1;
        let seen = Some(Seen::Ended { outcome });
        let news = AttemptNews { agent, attempt, seen, usage, evidence: None, node: None };
        let told = Command::AttemptNews(Box::new(news));
        match &mut self.cuts[running.pool] {
            Some(cut) => {
                cut.outbox.push(told);
                None
            }
            None => Some(told),
        }
    }

    /// The use of all that runs in a pool.
    pub fn tell(&mut self, pool: usize, now: Time) -> Vec<Command> {
        if self.is_cut(pool) {
            return Vec::new();
        }
        let agent = self.ids[pool].1;
        let mut all = Vec::new();
        for attempt in &self.by_pool[pool] {
            let running = self.live.get_mut(attempt).expect("listed while it runs");
            if let Some(record) = Self::used(running, *attempt, now) {
                let usage = Some(record);
                let news = AttemptNews {
                    agent,
                    attempt: *attempt,
                    seen: None,
                    usage,
                    evidence: None,
                    node: None,
                };
                all.push(Command::AttemptNews(Box::new(news)));
            }
        }
        all
    }

    /// A machine goes or comes back: what runs on it, and what is told of the pool.
    pub fn turn(&mut self, pool: usize, node: &str, up: bool) -> (Vec<AttemptId>, Option<Command>) {
        let shown = &mut self.shown[pool];
        if let Some(found) = shown.nodes.iter_mut().find(|found| found.name == node) {
            found.up = up;
        }
        let here = self.by_pool[pool].iter().copied();
        let struck = here.filter(|attempt| self.live[attempt].node == node).collect();
        (struck, if self.is_cut(pool) { None } else { Some(self.show(pool)) })
    }

    fn show(&self, pool: usize) -> Command {
        let (agent, shown) = (self.ids[pool].1, Some(self.shown[pool].clone()));
        let news = PoolNews { agent, shown, measured: Vec::new(), answer: None };
        Command::PoolNews(Box::new(news))
    }

    /// The answer to an open challenge, and the picture where the exchange doubts it.
    pub fn prove(&self, state: &State, pool: usize) -> Option<Command> {
        let (id, agent) = self.ids[pool];
        let record = state.supply.pools.get(&id)?;
        let answer = record
            .challenge
            .as_ref()
            .map(|challenge| (challenge.nonce, challenge_digest(challenge, &self.shown[pool])));
        let shown = record.doubted_at.map(|_| self.shown[pool].clone());
        if answer.is_none() && shown.is_none() {
            return None;
        }
        let news = PoolNews { agent, shown, measured: Vec::new(), answer };
        Some(Command::PoolNews(Box::new(news)))
    }

    /// The exchange asks an attempt to stop; whether it does now.
    pub fn stop(&mut self, attempt: AttemptId) -> bool {
        let Some(running) = self.live.get(&attempt) else { return false };
        match &mut self.cuts[running.pool] {
            Some(cut) => {
                cut.stops.insert(attempt);
                false
            }
            None => true,
        }
    }

    /// A link is cut; a longer cut of the same link goes on.
    pub fn cut(&mut self, pool: usize, now: Time, until: Time) {
        let cut = self.cuts[pool].get_or_insert_with(|| Cut { since: now, ..Cut::default() });
        cut.until = cut.until.max(until);
    }

    /// What the fence ends now: attempts whose lease was last renewed when the link was cut.
    pub fn fenced(&self, pool: usize, now: Time) -> Vec<AttemptId> {
        let Some(cut) = &self.cuts[pool] else { return Vec::new() };
        let over = |attempt: &&AttemptId| {
            let running = &self.live[*attempt];
            running.started.is_some() && cut.since.plus(running.keep) <= now
        };
        self.by_pool[pool].iter().filter(over).copied().collect()
    }

    /// The link is back, if it is: what is told, what is to stop, and what may start only now. What
    /// the exchange has given up is forgotten.
    pub fn back(
        &mut self,
        state: &State,
        pool: usize,
        now: Time,
    ) -> Option<(Vec<Command>, Vec<AttemptId>, Vec<AttemptId>)> {
        if self.cuts[pool].as_ref()?.until > now {
            return None;
        }
        let cut = self.cuts[pool].take()?;
        let here: Vec<AttemptId> = self.by_pool[pool].iter().copied().collect();
        for attempt in here.iter().filter(|attempt| !state.work.leases.contains_key(attempt)) {
            self.live.remove(attempt);
            self.by_pool[pool].remove(attempt);
        }
        let mut told = vec![self.show(pool)];
        told.extend(cut.outbox);
        let stops = cut.stops.into_iter().filter(|stop| self.live.contains_key(stop)).collect();
        let waits = self.by_pool[pool].iter().copied();
        let waits = waits.filter(|attempt| self.live[attempt].started.is_none()).collect();
        Some((told, stops, waits))
    }
}
