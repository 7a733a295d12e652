//! Drives the exchange through a market: one calendar on virtual time, the host that decides and
//! commits as the server does, the agents, and a listener.
//!
//! Invariant: everything that happens to the exchange is a command; what follows from a commit
//! follows at its moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_exchange::{
    Actor, Admission, Blame, Command, Digest, Event, Made, Outcome as How, RefusalKind, Role,
    Submit,
};
use dayan_spec::DeadlineKind;
use dayan_units::{AttemptId, JobId, Span, Time, UserId};
use sha2::{Digest as _, Sha256};

use super::agents::Agents;
use super::draw::{File, Market};
use super::found::{self, Opened};
use super::listener::Listener;
use super::network::Distances;
use super::report::Checks;
use super::scenario::Scenario;
use super::{DRAIN_MAX, MarketError, Outcome};
use crate::calendar::Calendar;
use crate::host::{Asked, Asker, Host, Scribe};

/// How often the timers look. The live ones look every second; windows are an hour, and an agent
/// counts as silent after forty seconds.
const TIMERS_EVERY: Span = Span::from_secs(20);
/// What a round of planning gathers: a hundredth of the shortest run times. The live one plans at
/// once; so seldom, a week of a region is run in a minute.
const PLAN_AFTER: Span = Span::from_secs(10);
/// The planner looks again this often while something waits.
const LOOK_AGAIN: Span = Span::from_secs(60);
/// The books are compared with the exchange's this often.
const CHECK_EVERY: Span = Span::from_secs(6 * 3_600);

/// After the last arrival, what only waits for money is taken back after so long: nobody pays in any
/// more, and what runs has ended or tells of its use once in an hour.
const UNPAID_AFTER: Span = Span::from_secs(2 * 86_400);

/// What came of it.
pub(super) struct Told {
    pub outcome: Outcome,
    /// The jobs that could not be paid for: refused when they came, stopped for want of money, or
    /// taken back while they waited for it.
    pub unpaid: BTreeSet<usize>,
    pub checks: Checks,
}

/// What became of a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// It is a job; its deadline, where it has one, is promised.
    Taken,
    /// Its deadline cannot be promised.
    NotInTime,
    /// Its consumer cannot pay for it.
    Unpaid,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Submit(usize),
    Start(AttemptId),
    End(AttemptId),
    Tell(usize),
    NodeFails(usize),
    NodeBack(usize),
    Cut(usize),
    CutOver(usize),
    Fence(usize),
    Timers,
    Plan,
    LookAgain,
    Check,
    GiveUp,
}

struct Drive<'a> {
    market: &'a Market,
    scenario: &'a Scenario,
    now: Time,
    calendar: Calendar<Happening>,
    host: Host,
    agents: Agents,
    opened: Opened,
    listener: Listener,
    plan_due: bool,
    left: usize,
    /// Consumers whose last lease was refused for want of money: the planner then leaves all of their
    /// work until money comes back, and tries again.
    short: BTreeSet<usize>,
}

/// Runs it to the end of the last job.
pub(super) fn run(
    market: &Market,
    scenario: &Scenario,
    seed: u64,
    scribe: Box<dyn Scribe>,
    progress: &mut dyn FnMut(f64),
) -> Result<Told, MarketError> {
    let network = Arc::new(Distances::between(market));
    let mut host = Host::of_market(seed, market.start, network, scribe);
    let mut listener = Listener::default();
    listener.outcome.done = vec![None; market.jobs.len()];
    let opened = found::open(&mut host, market, &scenario.clearing, &mut |event| {
        listener.hear(market.start, event);
    })?;
    for (nth, (pool, _)) in opened.pools.iter().enumerate() {
        listener.pools.insert(*pool, nth);
    }
    let agents = Agents::new(opened.pools.clone(), opened.shown.clone());
    let mut drive = Drive {
        market,
        scenario,
        now: market.start,
        calendar: Calendar::new(),
        host,
        agents,
        opened,
        listener,
        plan_due: false,
        left: market.jobs.len(),
        short: BTreeSet::new(),
    };
    drive.fill_calendar();
    drive.go_on(progress)
}

impl Drive<'_> {
    fn fill_calendar(&mut self) {
        let (market, start) = (self.market, self.market.start);
        for (nth, job) in market.jobs.iter().enumerate() {
            self.calendar.enter(job.at, Happening::Submit(nth));
        }
        for (nth, failure) in market.failures.iter().enumerate() {
            self.calendar.enter(failure.from, Happening::NodeFails(nth));
            self.calendar.enter(failure.until, Happening::NodeBack(nth));
        }
        for (nth, cut) in market.cuts.iter().enumerate() {
            self.calendar.enter(cut.from, Happening::Cut(nth));
            self.calendar.enter(cut.until, Happening::CutOver(nth));
        }
        let pools = i64::try_from(market.pools.len()).expect("pools are few");
        for pool in 0..market.pools.len() {
            // One after the other, so that no moment has all of it.
            let every = self.scenario.clearing.told_every.micros();
            let nth = i64::try_from(pool).expect("pools are few");
            let first = start.plus(Span::from_micros(every / pools * nth));
            self.calendar.enter(first, Happening::Tell(pool));
        }
        self.calendar.enter(start, Happening::Timers);
        self.calendar.enter(start.plus(LOOK_AGAIN), Happening::LookAgain);
        self.calendar.enter(start.plus(CHECK_EVERY), Happening::Check);
        self.calendar.enter(market.end.plus(UNPAID_AFTER), Happening::GiveUp);
    }

    fn go_on(mut self, progress: &mut dyn FnMut(f64)) -> Result<Told, MarketError> {
        let most = self.market.end.plus(DRAIN_MAX);
        let length = self.market.end.since(self.market.start).micros().max(1) as f64;
        let mut told = 0.0;
        while self.left > 0
            && let Some((at, what)) = self.calendar.next(most)
        {
            if at > self.now {
                self.commit();
                self.now = at;
                let part = at.since(self.market.start).micros() as f64 / length;
                if part - told > 0.01 && part <= 1.0 {
                    told = part;
                    progress(part);
                }
            }
            self.happen(what);
            if let Some((at, rule, text)) = self.listener.broken.take() {
                return Err(MarketError::Broken { policy: "dayan", at, rule, text });
            }
        }
        self.commit();
        self.close()
    }

    /// Nothing may be left over: every job has ended, no hold is open, the books balance.
    fn close(mut self) -> Result<Told, MarketError> {
        let at = self.now;
        let broken = |rule, text| MarketError::Broken { policy: "dayan", at, rule, text };
        if self.left > 0 {
            let text = format!("{} jobs have not ended", self.left);
            return Err(broken("liveness", text));
        }
        self.listener.books.check_quiet().map_err(|text| broken("books", text))?;
        let ledger = &self.host.state.ledger;
        self.listener.books.compare(ledger).map_err(|text| broken("books", text))?;
        let mut checks = self.listener.checks;
        checks.books_balanced = true;
        checks.commits = self.host.commits;
        checks.refusals = std::mem::take(&mut self.host.refusals);
        checks.journal = self.host.digest().unwrap_or_default();
        let (earned, spent) = self.listener.books.turnover();
        let lines: i128 = self.listener.outcome.attempts.iter().map(|attempt| attempt.cost).sum();
        if lines != spent {
            let text = format!("lines say {lines} was spent, the books {spent}");
            return Err(broken("books", text));
        }
        checks.spent = super::report::decimal(spent);
        checks.earned = super::report::decimal(earned);
        Ok(Told { outcome: self.listener.outcome, unpaid: self.listener.unpaid, checks })
    }

    fn ask(&mut self, actor: Actor, commands: Vec<Command>) {
        self.host.ask(Asked { actor, commands, asker: Asker::Nobody });
    }

    fn of_agent(&mut self, pool: usize, commands: Vec<Command>) {
        let agent = self.agents.agent(pool);
        self.ask(Actor::Agent { agent }, commands);
    }

    /// Decides and commits what waits, and lets what follows from it happen.
    fn commit(&mut self) {
        while self.host.has_work() {
            let (now, listener) = (self.now, &mut self.listener);
            let (mut ended, mut leases) = (0, Vec::new());
            let committed = self.host.commit(now, &mut |_, asked, decided| {
                if let Asker::Planner(placements) = &asked.asker {
                    for (placement, decided) in placements.iter().zip(decided) {
                        let refused = decided.outcome.as_ref().err().map(|refusal| refusal.kind);
                        leases.push((placement.job, refused));
                    }
                }
                for decided in decided {
                    for event in decided.entry.iter().flat_map(|entry| &entry.events) {
                        ended += usize::from(matches!(event, Event::JobEnded { .. }));
                        listener.hear(now, event);
                    }
                }
            });
            self.left -= ended;
            for (job, refused) in leases {
                let consumer = self.consumer(self.listener.jobs[&job]);
                match refused {
                    None => drop(self.short.remove(&consumer)),
                    Some(RefusalKind::Unaffordable) => drop(self.short.insert(consumer)),
                    // It says nothing of money.
                    Some(
                        RefusalKind::Conflict
                        | RefusalKind::NotFound
                        | RefusalKind::Invalid
                        | RefusalKind::Forbidden,
                    ) => {}
                }
            }
            if committed.plan {
                self.plan_soon();
            }
            let heard = std::mem::take(&mut self.listener.heard);
            for lease in heard.leased {
                self.lease(&lease);
            }
            for attempt in heard.stopped {
                if self.agents.stop(attempt) {
                    self.end(attempt, How::Stopped);
                }
            }
        }
    }

    fn plan_soon(&mut self) {
        if !self.plan_due {
            self.plan_due = true;
            self.calendar.enter(self.now.plus(PLAN_AFTER), Happening::Plan);
        }
    }

    fn lease(&mut self, lease: &dayan_exchange::Lease) {
        let job = self.listener.jobs[&lease.attempt.job];
        // Nothing else of its task may run under a lease.
        let task = lease.attempt.task_id();
        let twins = self.agents.live.range(task.attempt(0)..=task.attempt(u32::MAX));
        let mut twins = twins.filter(|(_, running)| running.started.is_some());
        if let Some((other, _)) = twins.next() {
            let text = format!("{} is leased while {other} runs", lease.attempt);
            self.listener.broken.get_or_insert((self.now, "double run", text));
        }
        let pool = &self.market.pools[self.agents.number(lease.pool)];
        let milliwatts = i64::try_from(pool.milliwatts(&lease.resources)).unwrap_or(i64::MAX);
        self.agents.ordered(lease, self.market.jobs[job].run, milliwatts);
        let at = self.now.plus(self.scenario.clearing.launch);
        self.calendar.enter(at, Happening::Start(lease.attempt));
    }

    fn end(&mut self, attempt: AttemptId, outcome: How) {
        let Some(pool) = self.agents.live.get(&attempt).map(|running| running.pool) else { return };
        if let Some(told) = self.agents.end(attempt, outcome, self.now) {
            self.of_agent(pool, vec![told]);
        }
    }

    fn start(&mut self, attempt: AttemptId) {
        if self.agents.is_down(attempt) {
            let reason = "its machine is down".to_owned();
            let (blame, for_good) = (Blame::Site, false);
            return self.end(attempt, How::StartFailed { reason, blame, for_good, status: None });
        }
        if let Some((ends, pool, told)) = self.agents.start(attempt, self.now) {
            self.of_agent(pool, vec![told]);
            self.calendar.enter(ends, Happening::End(attempt));
        }
    }

    fn pools_of(&self, provider: usize) -> Vec<usize> {
        let all = self.market.pools.iter().enumerate();
        all.filter(|(_, pool)| pool.provider == provider).map(|(nth, _)| nth).collect()
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Submit(nth) => self.submit(nth),
            Happening::Start(attempt) => self.start(attempt),
            Happening::End(attempt) => self.end(attempt, How::Exited { code: 0 }),
            Happening::Tell(pool) => {
                let told = self.agents.tell(pool, self.now);
                if !told.is_empty() {
                    self.of_agent(pool, told);
                }
                let at = self.now.plus(self.scenario.clearing.told_every);
                self.calendar.enter(at, Happening::Tell(pool));
            }
            Happening::NodeFails(nth) => {
                let (pool, node) = self.market.failures[nth].what;
                let (struck, told) = self.agents.turn(pool, &found::node_name(node), false);
                if let Some(told) = told {
                    self.of_agent(pool, vec![told]);
                }
                for attempt in struck {
                    self.end(attempt, How::NodeFailure);
                }
            }
            Happening::NodeBack(nth) => {
                let (pool, node) = self.market.failures[nth].what;
                let (_, told) = self.agents.turn(pool, &found::node_name(node), true);
                if let Some(told) = told {
                    self.of_agent(pool, vec![told]);
                }
            }
            Happening::Cut(nth) => {
                let cut = self.market.cuts[nth];
                for pool in self.pools_of(cut.what) {
                    self.agents.cut(pool, self.now, cut.until);
                    let keeps = self.agents.live.values().filter(|running| running.pool == pool);
                    let ends: std::collections::BTreeSet<Span> =
                        keeps.map(|running| running.keep).collect();
                    for keep in ends {
                        self.calendar.enter(self.now.plus(keep), Happening::Fence(pool));
                    }
                }
            }
            Happening::Fence(pool) => {
                for attempt in self.agents.fenced(pool, self.now) {
                    self.end(attempt, How::LeaseEnded);
                }
            }
            Happening::CutOver(nth) => {
                for pool in self.pools_of(self.market.cuts[nth].what) {
                    let state = &self.host.state;
                    let Some((told, stops, waits)) = self.agents.back(state, pool, self.now) else {
                        continue;
                    };
                    self.of_agent(pool, told);
                    for attempt in stops {
                        self.end(attempt, How::Stopped);
                    }
                    for attempt in waits {
                        self.start(attempt);
                    }
                }
            }
            Happening::Timers => self.timers(),
            Happening::Plan => {
                self.plan_due = false;
                let placed = self.host.plan(self.now);
                if self.host.exhausted && !placed {
                    self.plan_soon();
                }
            }
            Happening::LookAgain => {
                self.calendar.enter(self.now.plus(LOOK_AGAIN), Happening::LookAgain);
                if self.host.planning.planner().stats().tasks_waiting > 0 {
                    self.plan_soon();
                }
            }
            Happening::Check => {
                let same = self.listener.books.check();
                let same = same.and_then(|()| self.listener.books.compare(&self.host.state.ledger));
                if let Err(text) = same {
                    self.listener.broken.get_or_insert((self.now, "books", text));
                }
                self.calendar.enter(self.now.plus(CHECK_EVERY), Happening::Check);
            }
            Happening::GiveUp => {
                self.give_up();
                self.calendar.enter(self.now.plus(UNPAID_AFTER), Happening::GiveUp);
            }
        }
    }

    /// Everybody who can be heard is heard, answers what it was asked, and time does its part.
    fn timers(&mut self) {
        for pool in 0..self.market.pools.len() {
            if !self.agents.is_cut(pool) {
                let told = self.agents.prove(&self.host.state, pool);
                self.of_agent(pool, told.into_iter().collect());
            }
        }
        // Who is heard is known before it is asked who is not.
        self.commit();
        self.host.timers(self.now);
        self.calendar.enter(self.now.plus(TIMERS_EVERY), Happening::Timers);
    }

    /// Where a consumer cannot pay for the next lease and nothing of theirs runs any more, of which
    /// something might be given back, what still waits is taken back, as they would.
    fn give_up(&mut self) {
        let consumer = |job: &JobId| self.consumer(self.listener.jobs[job]);
        let running: BTreeSet<usize> =
            self.agents.live.keys().map(|attempt| consumer(&attempt.job)).collect();
        let waits = self.listener.going.iter().filter(|job| {
            let consumer = consumer(job);
            self.short.contains(&consumer) && !running.contains(&consumer)
        });
        for id in waits.copied().collect::<Vec<JobId>>() {
            let nth = self.listener.jobs[&id];
            self.listener.unpaid.insert(nth);
            let actor = self.actor(nth);
            self.ask(actor, vec![Command::Cancel { job: id, task: None }]);
        }
    }

    fn consumer(&self, nth: usize) -> usize {
        self.market.programs[self.market.jobs[nth].program].consumer
    }

    /// Who acts for a job's consumer.
    fn actor(&self, nth: usize) -> Actor {
        let org = self.opened.orgs[self.consumer(nth)];
        Actor::User { user: UserId::from_bits(org.bits()), org, role: Role::Owner }
    }

    /// A deadline is asked for as a promise; who cannot have it takes the work late rather than not.
    /// Who cannot pay has no job.
    fn submit(&mut self, nth: usize) {
        let file = self.market.files[self.market.jobs[nth].file].clone();
        let mut answer = self.answered(nth, &file);
        if answer == Answer::NotInTime {
            let mut spec = (*file.spec).clone();
            if let Some(deadline) = &mut spec.deadline {
                deadline.kind = DeadlineKind::Soft;
            }
            let canonical = serde_json::to_vec(&spec).expect("a job file is plain data");
            let digest = Digest(Sha256::digest(canonical).into());
            answer = self.answered(nth, &File { spec: Arc::new(spec), digest });
        }
        if answer == Answer::Unpaid {
            self.listener.unpaid.insert(nth);
            self.left -= 1;
        }
    }

    fn answered(&mut self, nth: usize, file: &File) -> Answer {
        let submit = Submit {
            spec: file.spec.clone(),
            digest: file.digest,
            quote: None,
            idempotency: None,
            admission: Admission::NotSought,
            data: Vec::new(),
        };
        // Alone in its batch, so that its id is known to be its own.
        self.commit();
        let command = self.host.seek(Command::Submit(Box::new(submit)), self.now);
        self.host.ask(Asked {
            actor: self.actor(nth),
            commands: vec![command],
            asker: Asker::Nobody,
        });
        let mut answer = Answer::Taken;
        let (now, listener) = (self.now, &mut self.listener);
        let committed = self.host.commit(now, &mut |_, _, decided| {
            for decided in decided {
                match &decided.outcome {
                    Ok(Made::Job(job)) => {
                        listener.jobs.insert(*job, nth);
                        listener.going.insert(*job);
                    }
                    Ok(_) => {}
                    Err(refusal) if refusal.code.starts_with("deadline.") => {
                        answer = Answer::NotInTime;
                    }
                    Err(refusal) if refusal.kind == RefusalKind::Unaffordable => {
                        answer = Answer::Unpaid;
                    }
                    Err(refusal) => {
                        let text = format!("a job was refused: {}", refusal.message);
                        listener.broken.get_or_insert((now, "submission", text));
                    }
                }
                for event in decided.entry.iter().flat_map(|entry| &entry.events) {
                    listener.hear(now, event);
                }
            }
        });
        if committed.plan {
            self.plan_soon();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lists;
    use super::super::sample::scenario;
    use super::*;
    use crate::host::Digester;

    /// A lab whose money is held for its first job, so that its second waits for it; and somebody
    /// whose work keeps both cards for four days.
    const TWO: &str = r#"
[work.long]
program = "long"
cards = ["A800:1"]
cores = [4]
memory_gb = [16]
run = ["96h", "96h"]
limit_permille = [1000, 1000]

[[consumers]]
name = "rich"
count = 1
weight = 1
cities = { "Guiyang" = 1 }
mix = { long = 1 }
deposit = "100000.00"
"#;

    #[test]
    fn who_was_short_of_money_once_may_wait_for_room_later() {
        let scenario = scenario(|text| {
            let text = text.replace("jobs_per_day = 1,", "jobs_per_day = 40,");
            // Six minutes, of an hour that is held: 5.00, of which 0.50 is paid.
            let text = text.replace(r#"["1h", "1h"]"#, r#"["6m", "6m"]"#);
            let text = text.replace("[1000, 1000]\n\n[[cons", "[10000, 10000]\n\n[[cons");
            text.replace(r#""1000.00""#, r#""9.00""#) + TWO
        });
        let mut market = Market::draw(&scenario, &Lists::default(), 1, 1).expect("it is drawn");
        let of = |consumer: usize, hours: i64| {
            let drawn = market.jobs.iter();
            let mut drawn = drawn.filter(|job| market.programs[job.program].consumer == consumer);
            let job = drawn.next().expect("each has some").clone();
            super::super::draw::Job { at: market.start.plus(Span::from_secs(3_600 * hours)), ..job }
        };
        market.jobs = vec![of(0, 0), of(0, 0), of(1, 4), of(1, 4), of(0, 5)];
        let told = run(&market, &scenario, 1, Box::new(Digester::default()), &mut |_| ());
        let told = told.unwrap_or_else(|error| panic!("{error}"));
        let refusals = &told.checks.refusals;
        assert!(refusals.contains_key("ledger.below_floor"), "the second waits: {refusals:?}");
        assert_eq!(told.unpaid, BTreeSet::new());
        assert!(told.outcome.done.iter().all(Option::is_some), "{:?}", told.outcome.done);
        let waited = told.outcome.done[4].expect("done").since(market.jobs[4].at);
        assert!(waited > UNPAID_AFTER.plus(super::super::draw::DAY), "it waits for room: {waited}");
    }
}
