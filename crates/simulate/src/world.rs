//! A world: one exchange, its sites, its people, its weather and a checker, driven by one calendar
//! on virtual time. The same seed and scenario always give the same journal, byte for byte.

mod faults;
mod network;
mod sites;

use std::collections::BTreeMap;

use dayan_exchange::{Actor, Command, Made};
use dayan_units::{AttemptId, Span, TaskId, Time};
use sha2::{Digest as _, Sha256};

use crate::audit::Audit;
use crate::cache::Cache;
use crate::calendar::Calendar;
use crate::clock::MachineClock;
use crate::host::{Asked, Asker, Committed, Done, Host};
use crate::keeper::Keeper;
use crate::messages::{Reply, Sync, SyncId};
use crate::people::{self, People};
use crate::random::Random;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::site::{Chore, Machine, Power, Site};
use crate::trace::Trace;
use crate::weather::{self, Fault};

/// How long a batch gathers at most: what a commit takes.
const BATCH: Span = Span::from_millis(20);
/// How often the timers look.
const TIMERS_EVERY: Span = Span::from_secs(1);
/// The planner looks again this often while something waits; less often than the live one, so that
/// a world of hours is run in a blink.
const LOOK_AGAIN: Span = Span::from_secs(5);
/// The state is compared with its journal every so many batches.
const REPLAY_EVERY: u64 = 400;
/// The checker's sums are compared every so many batches.
const CHECK_EVERY: u64 = 25;
/// What is left over after the last job has ended is looked for after this.
const SETTLE: Span = Span::from_secs(600);

/// Something happens.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrive(Box<Sync>),
    Answer(Box<Reply>),
    GiveUp(SyncId),
    HeldOver(SyncId),
    Commit,
    Timers,
    Plan,
    LookAgain,
    SiteWake(usize),
    KeeperWake(usize),
    Chore { site: usize, generation: u32, attempt: AttemptId, chore: Chore },
    Fault(Fault),
    ExchangeBack,
    AgentBack { site: usize, generation: u32 },
    MachineBack { site: usize },
    Wake { site: usize },
    Submit,
    ChangeMind,
    Quiet,
    Done,
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Busy,
    /// Nothing new comes in and nothing goes wrong any more.
    Quiet,
    /// Every job has ended; leftovers are looked for.
    Settling,
    Over,
}

/// A world.
#[derive(Debug)]
pub struct World {
    seed: u64,
    scenario: Scenario,
    started: Time,
    now: Time,
    calendar: Calendar<Happening>,
    network: Random,
    host: Host,
    host_is_up: bool,
    commit_due: bool,
    plan_due: bool,
    sites: Vec<Site>,
    people: People,
    audit: Audit,
    trace: Trace,
    stage: Stage,
    faults: u64,
    syncs: u64,
    published: BTreeMap<TaskId, Vec<(AttemptId, Time, Time)>>,
}

impl World {
    /// A new world at the beginning of its time.
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        Self::traced(seed, scenario, Trace::off())
    }

    /// The same, and it tells what happens.
    pub fn traced(seed: u64, scenario: Scenario, trace: Trace) -> Self {
        let mut weather = Random::new(seed, 0x7765_6174);
        // Some time of some day of 2026, so that days and months end under running jobs.
        let started =
            Time::from_micros(1_767_225_600_000_000 + weather.between(0, 364 * 86_400) * 1_000_000);
        let mut world = Self {
            seed,
            started,
            now: started,
            calendar: Calendar::new(),
            network: Random::new(seed, 0x6e65_7477),
            host: Host::new(seed, started),
            host_is_up: true,
            commit_due: false,
            plan_due: false,
            sites: Vec::new(),
            people: People::new(seed),
            audit: Audit::default(),
            trace,
            stage: Stage::Busy,
            faults: 0,
            syncs: 0,
            published: BTreeMap::new(),
            scenario,
        };
        world.found(&mut weather);
        weather::forecast(&mut weather, &world.scenario, started, &mut world.calendar);
        for _ in 0..world.scenario.jobs {
            let at = started.plus(weather.span(Span::from_secs(5), world.scenario.busy));
            world.calendar.enter(at, Happening::Submit);
        }
        for _ in 0..world.scenario.moves {
            let at = started.plus(weather.span(Span::from_secs(5), world.scenario.busy));
            world.calendar.enter(at, Happening::ChangeMind);
        }
        world.calendar.enter(started.plus(TIMERS_EVERY), Happening::Timers);
        world.calendar.enter(started.plus(LOOK_AGAIN), Happening::LookAgain);
        world.calendar.enter(started.plus(world.scenario.busy), Happening::Quiet);
        world
    }

    fn found(&mut self, random: &mut Random) {
        for command in self.people.found(&self.scenario) {
            self.order(command).expect("a world is founded without refusals");
        }
        for index in 0..self.scenario.sites {
            let opening = self.people.open_site(&self.host.state, index, &self.scenario);
            let mut joined = None;
            for command in opening {
                if let Made::Agent(agent, pool) = self.order(command).expect("a site is let in") {
                    joined = Some((agent, pool));
                }
            }
            let (agent, pool) = joined.expect("the last command was its agent's");
            let offer = self.people.offer(pool);
            self.order(offer).expect("an offer is listed");
            let drift = self.scenario.faults.drift_ppm;
            let booted = self.started.minus(random.span(Span::ZERO, Span::from_secs(1_000_000)));
            let liar = index < self.scenario.liars;
            if !liar {
                self.audit.honest.insert(agent);
            }
            let machine = Machine {
                seed: self.seed,
                index: index as usize,
                clock: MachineClock::started(booted, random.between(-drift, drift)),
                keeper: Keeper::default(),
                book: BTreeMap::new(),
                shown: self.host.state.supply.pools[&pool].shown.clone(),
                cache: Cache::default(),
                liar: liar.then(|| Random::new(self.seed, 0x6c69_6172 + u64::from(index))),
                published: Vec::new(),
            };
            self.sites.push(Site {
                machine,
                agent,
                power: Power::On,
                generation: 0,
                twin: None,
                cut_until: Time::EPOCH,
                wake_at: None,
                keeper_at: None,
            });
            self.with_site(index as usize, Site::start_agent);
        }
    }

    /// Has one command decided and committed at once.
    fn order(&mut self, command: Command) -> Done {
        let commands = vec![command];
        self.host.ask(Asked { actor: Actor::System, commands, asker: Asker::Nobody });
        let mut committed = self.commit_batch();
        let done = committed.done.pop().expect("one command, one outcome");
        self.publish(committed);
        done
    }

    // ---- running ----

    /// Lets time pass until `until`, or until a violation is found.
    pub fn run_until(&mut self, until: Time) {
        while self.audit.violations.is_empty()
            && self.stage != Stage::Over
            && let Some((at, what)) = self.calendar.next(until)
        {
            self.now = at;
            self.happen(what);
        }
        if self.audit.violations.is_empty() && until != Time::NEVER {
            self.now = self.now.max(until);
        }
    }

    /// Runs until every job has ended and nothing is left over, and checks that this is so.
    pub fn run(&mut self) -> Report {
        let limit = self.scenario.busy.plus(self.scenario.quiet_max);
        self.run_until(self.started.plus(limit));
        if self.audit.violations.is_empty() && self.stage != Stage::Over {
            let open = people::endings(&self.host.state);
            let waits: Vec<String> = self
                .host
                .state
                .work
                .jobs
                .values()
                .filter(|job| job.ended.is_none())
                .map(|job| {
                    let why = self.host.planning.planner().explain(job.id, self.now);
                    format!("{job:?} waits because {why:?}")
                })
                .collect();
            let text = format!("not every job has ended: {open:?}\n{}", waits.join("\n"));
            self.audit.must::<()>(self.now, "liveness", Err(text));
        }
        self.report()
    }

    /// When the world began.
    pub const fn started(&self) -> Time {
        self.started
    }

    /// How far it is.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The exchange's state, to look at.
    pub const fn state(&self) -> &dayan_exchange::State {
        &self.host.state
    }

    /// What it came to so far.
    pub fn report(&self) -> Report {
        let (attempts, billed, waived) = self.audit.attempts_ended();
        let (earned, spent) = self.audit.turnover();
        let mut journal = Sha256::new();
        for entry in &self.host.journal {
            journal.update(entry);
            journal.update(b"\n");
        }
        Report {
            seed: self.seed,
            lasted: self.now.since(self.started),
            jobs: self.audit.jobs(),
            attempts,
            preempted: self.audit.preempted(),
            promised: self.audit.promises.made,
            in_time: self.audit.promises.in_time,
            late: self.audit.promises.late,
            billed,
            waived,
            outcomes: self.audit.outcomes.clone(),
            spent,
            earned,
            batches: self.host.commits,
            syncs: self.syncs,
            faults: self.faults,
            refusals: self.host.refusals.clone(),
            findings: self.audit.findings.clone(),
            licensed: self.audit.licensed(),
            staged: self.audit.inputs.staged,
            runs: self.audit.runs.len() as u64,
            journal: hex::encode(journal.finalize()),
            violations: self.audit.violations.clone(),
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrive(sync) => self.arrive(sync),
            Happening::Answer(reply) => self.answer(reply),
            Happening::GiveUp(id) => self.give_up(id),
            Happening::HeldOver(id) => {
                self.host.look_again(id);
                self.commit_soon();
            }
            Happening::Commit => {
                self.commit_due = false;
                if self.host_is_up && self.host.has_work() {
                    let committed = self.commit_batch();
                    self.publish(committed);
                    self.commit_soon();
                }
            }
            Happening::Timers => {
                self.calendar.enter(self.now.plus(TIMERS_EVERY), Happening::Timers);
                if self.host_is_up {
                    self.host.timers(self.now);
                    self.commit_soon();
                }
                self.settle();
            }
            Happening::Plan => {
                self.plan_due = false;
                if self.host_is_up && self.host.plan(self.now) {
                    self.commit_soon();
                }
            }
            Happening::LookAgain => {
                self.calendar.enter(self.now.plus(LOOK_AGAIN), Happening::LookAgain);
                if self.host_is_up && self.host.planning.planner().stats().tasks_waiting > 0 {
                    self.plan_soon();
                }
            }
            Happening::SiteWake(site) => {
                self.sites[site].wake_at = None;
                self.with_site(site, |_, _, _| ());
            }
            Happening::KeeperWake(site) => self.keeper_wake(site),
            Happening::Chore { site, generation, attempt, chore } => {
                if let Power::Asleep(until) = self.sites[site].power {
                    let again = Happening::Chore { site, generation, attempt, chore };
                    self.calendar.enter(until, again);
                    return;
                }
                self.with_site(site, |site, now, todo| {
                    let now = site.now(now);
                    if site.generation == generation
                        && let Some(twin) = &mut site.twin
                    {
                        twin.done(&mut site.machine, attempt, chore, now, todo);
                    }
                });
            }
            Happening::Fault(fault) => self.strike(fault),
            Happening::ExchangeBack => {
                self.trace.say(self.now, || "the exchange is back");
                self.host.start(self.now);
                self.host_is_up = true;
                self.plan_soon();
            }
            Happening::AgentBack { site, generation } => {
                let here = &self.sites[site];
                if let Power::Asleep(until) = here.power {
                    self.calendar.enter(until, Happening::AgentBack { site, generation });
                    return;
                }
                if here.generation == generation && here.twin.is_none() && here.power == Power::On {
                    self.trace.say(self.now, || format!("agent {site} is back"));
                    self.with_site(site, Site::start_agent);
                }
            }
            Happening::MachineBack { site } => {
                self.trace.say(self.now, || format!("machine {site} has started"));
                self.sites[site].power = Power::On;
                self.sites[site].machine.clock.restart(self.now);
                self.with_site(site, Site::start_agent);
            }
            Happening::Wake { site } => {
                if let Power::Asleep(_) = self.sites[site].power {
                    self.trace.say(self.now, || format!("machine {site} wakes"));
                    self.sites[site].power = Power::On;
                    self.keeper_wake(site);
                }
            }
            Happening::Submit => {
                let all = self.people.submit(&self.host.state, &self.scenario, self.now);
                self.request(all);
            }
            Happening::ChangeMind => {
                if self.stage == Stage::Busy {
                    let all = self.people.change_mind(&self.host.state, self.now);
                    self.request(all);
                }
            }
            Happening::Quiet => self.quiet(),
            Happening::Done => self.done(),
        }
    }

    /// People ask for something. What the exchange can not take now, they ask again.
    fn request(&mut self, all: Vec<(Actor, Command)>) {
        if !self.host_is_up {
            self.calendar.enter(self.now.plus(Span::from_secs(7)), Happening::ChangeMind);
            return;
        }
        for (actor, command) in all {
            self.trace.say(self.now, || {
                format!("asked: {command:?}").chars().take(160).collect::<String>()
            });
            let command = self.host.seek(command, self.now);
            self.host.ask(Asked { actor, commands: vec![command], asker: Asker::Nobody });
        }
        self.commit_soon();
    }

    // ---- the exchange ----

    fn commit_batch(&mut self) -> Committed {
        let (now, audit, trace) = (self.now, &mut self.audit, &self.trace);
        let committed = self.host.commit(now, &mut |state, asked, decided| {
            for decided in decided {
                if let Some(entry) = &decided.entry {
                    for event in &entry.events {
                        trace.say(now, || {
                            format!("event: {event:?}").chars().take(400).collect::<String>()
                        });
                    }
                }
                if let Err(refusal) = &decided.outcome {
                    trace.say(now, || format!("refused: {} {}", refusal.code, refusal.message));
                }
            }
            audit.decided(state, now, asked, decided);
        });
        if self.host.commits.is_multiple_of(CHECK_EVERY) {
            self.audit.check(&self.host.state, self.now);
        }
        if self.host.commits.is_multiple_of(REPLAY_EVERY) {
            self.check_replay();
        }
        committed
    }

    fn check_replay(&mut self) {
        let same = self.host.replays();
        let text = "the journal does not give the state".to_owned();
        self.audit.must(self.now, "replay", same.then_some(()).ok_or(text));
    }

    /// After the commit, and only then: what was decided is told.
    fn publish(&mut self, committed: Committed) {
        for reply in committed.replies {
            let site = reply.to.site;
            let reply = Box::new(reply);
            self.travel(site, move || Happening::Answer(reply.clone()));
        }
        for (id, until) in committed.held {
            self.calendar.enter(until, Happening::HeldOver(id));
        }
        if committed.plan {
            self.plan_soon();
        }
    }

    fn commit_soon(&mut self) {
        if !self.commit_due && self.host_is_up && self.host.has_work() {
            self.commit_due = true;
            let at = self.now.plus(self.network.span(Span::ZERO, BATCH));
            self.calendar.enter(at, Happening::Commit);
        }
    }

    fn plan_soon(&mut self) {
        if !self.plan_due {
            self.plan_due = true;
            let at = self.now.plus(self.network.millis(1, 40));
            self.calendar.enter(at, Happening::Plan);
        }
    }

    // ---- the end ----

    /// From now on nothing new comes in and nothing goes wrong.
    fn quiet(&mut self) {
        self.trace.say(self.now, || "it becomes quiet");
        self.stage = Stage::Quiet;
        self.audit.check(&self.host.state, self.now);
        if self.host_is_up {
            let all = self.people.put_right(&self.host.state);
            self.request(all);
        } else {
            self.calendar.enter(self.now.plus(Span::from_secs(30)), Happening::Quiet);
        }
    }

    /// Once every job has ended, leftovers are given time to go.
    fn settle(&mut self) {
        if self.stage == Stage::Quiet && self.host_is_up && people::all_ended(&self.host.state) {
            self.stage = Stage::Settling;
            self.calendar.enter(self.now.plus(SETTLE), Happening::Done);
        }
    }

    fn done(&mut self) {
        self.audit.check_quiet(&self.host.state, self.now);
        let whole = self.host.replays_from_nothing();
        let text = "the whole journal does not give the state".to_owned();
        self.audit.must(self.now, "replay", whole.then_some(()).ok_or(text));
        for index in 0..self.sites.len() {
            let left = self.left_over(index);
            self.audit.must(self.now, "leftovers", left);
            let belief = self.check_belief(index);
            self.audit.must(self.now, "caches", belief);
        }
        self.stage = Stage::Over;
    }
}
