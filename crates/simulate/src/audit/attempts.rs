//! Attempts, followed through the journal: who holds a lease on what, what was told and billed, how
//! each ended. One task, one lease; a gang whole or not at all; no node over what it has shown;
//! every attempt that ran billed once or waived.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{Counters, Event, Lease, Line, Next, Shown, State, UsageRecord, Waived};
use dayan_market::Terms;
use dayan_schedule::Cards;
use dayan_spec::JobSpec;
use dayan_units::{
    AgentId, AttemptId, JobId, Micro, MilliCpu, OrgId, PoolId, ProjectId, Resources, Span, Time,
};

use super::price::price;
use crate::messages::{Lie, Sync};

#[derive(Debug)]
struct Job {
    org: OrgId,
    project: ProjectId,
    tasks: u32,
    /// Members of the present launch.
    gang: Option<u32>,
    /// How few of how many will do.
    elastic: (u32, u32),
    limit: Option<Micro>,
    quoted: bool,
    /// By task.
    active: BTreeMap<u32, u32>,
    newest: BTreeMap<u32, u32>,
    succeeded: BTreeSet<u32>,
    /// Failed or taken back.
    over: BTreeSet<u32>,
    members: BTreeSet<u32>,
    ended: bool,
    /// A moment is promised to it.
    promised: bool,
    /// Its file says that it may be taken back, and whether it then goes again.
    spot: bool,
    again: bool,
    /// How many cores will do, and are of use.
    cores: (MilliCpu, MilliCpu),
    taken_off: BTreeMap<u32, (u32, Time)>,
}

#[derive(Clone, Debug)]
struct Attempt {
    agent: AgentId,
    pool: PoolId,
    node: String,
    resources: Resources,
    cards: Cards,
    /// Nothing of it runs any more; it publishes.
    room_free: bool,
    terms: Terms,
    placed_at: Time,
    preempted: bool,
    cancelled: bool,
    started: bool,
    seq: u64,
    told: Counters,
    lines: u32,
    billed_to: Span,
    billed: Micro,
}

/// What an attempt's bill should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bill {
    pub(super) org: OrgId,
    pub(super) project: ProjectId,
    /// No limit of the job's own and no quote.
    pub(super) free_of_limits: bool,
    pub(super) due: Micro,
    pub(super) billed: Micro,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    specs: BTreeMap<u128, std::sync::Arc<JobSpec>>,
    jobs: BTreeMap<JobId, Job>,
    live: BTreeMap<AttemptId, Attempt>,
    shown: BTreeMap<PoolId, Shown>,
    last_bill: Option<(AttemptId, Bill)>,
    ended: u64,
    billed: u64,
    waived: u64,
    /// When leases of each pool were taken back lately, and how many in all.
    taken_back: BTreeMap<PoolId, Vec<Time>>,
    pub(super) preempted: u64,
}

fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

/// Clocks may run apart by a hundredth and syncs may wait: what the exchange believes at most.
fn believable(wall: i64, placed_at: Time, now: Time) -> bool {
    let elapsed = now.since(placed_at).micros();
    wall <= elapsed + elapsed / 100 + 2_000_000
}

fn shrinks(new: &Counters, old: &Counters) -> bool {
    new.wall_us < old.wall_us
        || new.cpu_us < old.cpu_us
        || new.memory_peak < old.memory_peak
        || new.read_bytes < old.read_bytes
        || new.write_bytes < old.write_bytes
}

impl Attempts {
    pub(super) fn event(
        &mut self,
        at: Time,
        event: &Event,
        honest: &BTreeSet<AgentId>,
        ended_well: &BTreeSet<AttemptId>,
    ) -> Result<(), String> {
        match event {
            Event::SpecStored { key, spec, .. } => {
                self.specs.insert(key.0, spec.clone());
                Ok(())
            }
            Event::AgentJoined { pool, shown, .. } | Event::PoolShown { pool, shown, .. } => {
                self.shown.insert(*pool, shown.as_ref().clone());
                Ok(())
            }
            Event::JobSubmitted { job, project, org, spec, tasks, quote, .. } => {
                let spec = &self.specs[&spec.0];
                let limits = [
                    spec.market.max_price.map(|money| money.micro),
                    spec.market.budget.as_ref().map(|budget| budget.amount.micro),
                ];
                let record = Job {
                    org: *org,
                    project: *project,
                    tasks: *tasks,
                    gang: spec.gang.as_ref().map(|gang| gang.nodes),
                    elastic: spec.gang.as_ref().map_or((1, 1), |gang| (gang.least(), gang.nodes)),
                    limit: limits.into_iter().flatten().min(),
                    quoted: quote.is_some(),
                    active: BTreeMap::new(),
                    newest: BTreeMap::new(),
                    succeeded: BTreeSet::new(),
                    over: BTreeSet::new(),
                    members: BTreeSet::new(),
                    ended: false,
                    promised: spec.is_promised(),
                    spot: spec.market.mode == dayan_spec::MarketMode::Spot,
                    cores: (spec.resources.cpus.min, spec.resources.most_cpus()),
                    again: spec.retry.when.contains(&dayan_spec::RetryCause::Preempted),
                    taken_off: BTreeMap::new(),
                };
                let new = self.jobs.insert(*job, record).is_none();
                ensure(new, || format!("{job} was made a second time"))
            }
            Event::TasksCancelled { job, tasks } => {
                let record = self.jobs.get_mut(job).expect("submitted before");
                record.over.extend(tasks.iter());
                ensure(tasks.iter().all(|task| !record.active.contains_key(&task)), || {
                    format!("a task of {job} was taken back from the queue while it ran")
                })
            }
            Event::TasksRetried { job, tasks } => {
                let record = self.jobs.get_mut(job).expect("submitted before");
                record.ended = false;
                record.gang = record.gang.map(|_| record.elastic.1);
                let known = tasks.iter().all(|task| record.over.remove(&task));
                ensure(known, || format!("a task of {job} goes again that had not failed"))
            }
            Event::GangSettled { job, next } => self.gang_settled(*job, *next),
            Event::GangShrunk { job, tasks } => {
                let record = self.jobs.get_mut(job).expect("submitted before");
                let (least, all) = record.elastic;
                let members = u64::from(all) - tasks.len();
                let size = u32::try_from(members).expect("below all");
                let first_left_out = tasks.iter().next();
                record.gang = Some(size);
                ensure(size >= least && first_left_out == Some(size), || {
                    format!("{job} starts with {size} of {least} to {all} members")
                })
            }
            Event::JobEnded { job, .. } => {
                let record = self.jobs.get_mut(job).expect("submitted before");
                let over = record.succeeded.len() + record.over.len();
                let tasks = record.gang.unwrap_or(record.tasks);
                let whole = u32::try_from(over) == Ok(tasks) && record.active.is_empty();
                let first = !std::mem::replace(&mut record.ended, true);
                ensure(whole && first, || format!("{job} ended with {over} of {tasks} tasks over"))
            }
            Event::Leased { lease, .. } => self.leased(lease),
            Event::Started { attempt } | Event::PublishGranted { attempt } => {
                self.attempt(*attempt)?.started = true;
                Ok(())
            }
            Event::UsageRecorded { attempt, seq, counters, .. } => {
                let record = self.attempt(*attempt)?;
                let grows = *seq > record.seq && !shrinks(counters, &record.told);
                let so = grows && believable(counters.wall_us, record.placed_at, at);
                (record.seq, record.told) = (*seq, *counters);
                ensure(so, || format!("use of {attempt} was believed that cannot be so"))
            }
            Event::WindowClosed { attempt, line, .. } => self.line(at, *attempt, line),
            Event::Preempted { for_job, victims, places, .. } => {
                self.preempted(at, *for_job, victims, places)
            }
            Event::RoomFreed { attempt } => {
                let record = self.attempt(*attempt)?;
                let first = !std::mem::replace(&mut record.room_free, true);
                ensure(first, || format!("the room of {attempt} is free a second time"))
            }
            Event::StopAsked { attempt, .. } => {
                self.attempt(*attempt)?.cancelled = true;
                Ok(())
            }
            Event::AttemptEnded { attempt, outcome, next, line, waived, .. } => {
                let honest = honest.contains(&self.attempt(*attempt)?.agent);
                if let Some(line) = line {
                    self.line(at, *attempt, line)?;
                }
                self.ends(*attempt, *next, line.as_ref(), *waived)?;
                let truly = !outcome.is_success() || !honest || ended_well.contains(attempt);
                ensure(truly, || format!("{attempt} is said to have ended well and has not"))
            }
            _ => Ok(()),
        }
    }

    fn attempt(&mut self, attempt: AttemptId) -> Result<&mut Attempt, String> {
        self.live.get_mut(&attempt).ok_or_else(|| format!("{attempt} has no lease"))
    }

    fn leased(&mut self, lease: &Lease) -> Result<(), String> {
        let attempt = lease.attempt;
        let job = self.jobs.get_mut(&attempt.job).expect("submitted before");
        let before = job.active.insert(attempt.task, attempt.attempt);
        let newest = job.newest.insert(attempt.task, attempt.attempt).unwrap_or(0);
        let done = job.succeeded.contains(&attempt.task) || job.over.contains(&attempt.task);
        let record = Attempt {
            agent: lease.agent,
            pool: lease.pool,
            node: lease.node.clone(),
            resources: lease.resources,
            cards: lease.cards,
            room_free: false,
            terms: lease.terms,
            placed_at: lease.placed_at,
            preempted: false,
            cancelled: false,
            started: false,
            seq: 0,
            told: Counters::default(),
            lines: 0,
            billed_to: Span::ZERO,
            billed: Micro::ZERO,
        };
        self.live.insert(attempt, record);
        ensure(before.is_none(), || format!("{attempt} is a second lease of its task"))?;
        ensure(attempt.attempt == newest + 1, || format!("{attempt} follows epoch {newest}"))?;
        ensure(!done, || format!("{attempt} is of a task that has ended"))?;
        let (least, most) = job.cores;
        let given = lease.resources.cpu;
        ensure(least <= given && given <= most, || {
            format!("{attempt} has {given} cores, asked are {least} to {most}")
        })?;
        self.room(lease)
    }

    /// Only what was sold so, not for others of its kind, in one place, not too often, and not too
    /// much of a pool.
    fn preempted(
        &mut self,
        at: Time,
        for_job: JobId,
        victims: &[AttemptId],
        places: &[dayan_schedule::Appointment],
    ) -> Result<(), String> {
        let head = &self.jobs[&for_job];
        let size = head.gang.unwrap_or(1) as usize;
        ensure(!head.spot && places.len() == size, || format!("{for_job} takes no room so"))?;
        let waits = places.iter().all(|made| {
            !head.active.contains_key(&made.task) && !head.succeeded.contains(&made.task)
        });
        ensure(waits, || format!("{for_job} has room made for what does not wait"))?;
        for victim in victims {
            let record = self.live.get_mut(victim).ok_or_else(|| format!("{victim} is over"))?;
            let stopping = std::mem::replace(&mut record.preempted, true) || record.cancelled;
            let pool = record.pool;
            let there =
                places.iter().any(|made| made.pool == pool && made.node.as_str() == record.node);
            let job = self.jobs.get_mut(&victim.job).expect("submitted before");
            let known = job.taken_off.entry(victim.task).or_insert((0, Time::EPOCH));
            let (times, last) = std::mem::replace(known, (known.0 + 1, at));
            ensure(job.spot, || format!("{victim} was not sold as one that may be taken back"))?;
            ensure(!job.promised, || format!("{victim} keeps a promise, and is taken back"))?;
            ensure(there && !stopping, || format!("{victim} is taken back for nothing"))?;
            let rested = times == 0 || at.since(last) >= Span::from_secs(600);
            ensure(times < 3 && rested, || format!("{victim} is taken off again too soon"))?;
            let lately = self.taken_back.entry(pool).or_default();
            lately.retain(|before| at.since(*before) < Span::from_secs(600));
            lately.push(at);
            ensure(lately.len() <= 16, || format!("too much is taken back in {pool}"))?;
        }
        self.preempted += victims.len() as u64;
        Ok(())
    }

    /// No node over what it has shown, no card twice.
    fn room(&self, lease: &Lease) -> Result<(), String> {
        let shown = &self.shown[&lease.pool];
        let node = shown.nodes.iter().find(|node| node.name == lease.node);
        let total = node.ok_or_else(|| format!("{} is no node", lease.node))?.total;
        let here = |l: &&Attempt| l.pool == lease.pool && l.node == lease.node && !l.room_free;
        let there = || self.live.values().filter(here);
        let sum = |of: fn(&Resources) -> u64| there().map(|l| of(&l.resources)).sum::<u64>();
        let fits = sum(|r| r.cpu.0) <= total.cpu.0
            && sum(|r| r.memory.0) <= total.memory.0
            && sum(|r| r.disk.0) <= total.disk.0
            && sum(|r| r.accel.0) <= total.accel.0;
        ensure(fits, || format!("{} of {} is promised over", lease.node, lease.pool))?;
        for card in 0..64 {
            let held = |cards: &Cards| {
                let whole = u32::from(cards.whole >> card & 1 == 1) * 1_000;
                let part = cards.part.filter(|part| u32::from(part.card) == card);
                whole + part.map_or(0, |part| u32::from(part.milli))
            };
            let all: u32 = there().map(|l| held(&l.cards)).sum();
            ensure(all <= 1_000, || format!("card {card} of {} is held twice", lease.node))?;
        }
        Ok(())
    }

    /// After an entry that gave leases: gangs have all of theirs.
    pub(super) fn gangs_whole(&self, events: &[Event]) -> Result<(), String> {
        for event in events {
            let Event::Leased { lease, .. } = event else { continue };
            let id = lease.attempt.job;
            let job = &self.jobs[&id];
            let Some(size) = job.gang else { continue };
            let now = events.iter().filter(
                |event| matches!(event, Event::Leased { lease, .. } if lease.attempt.job == id),
            );
            let whole = now.count() == size as usize && job.active.len() == size as usize;
            ensure(whole, || {
                format!("{} of {size} members of {id} have leases", job.active.len())
            })?;
        }
        Ok(())
    }

    fn gang_settled(&mut self, id: JobId, next: Next) -> Result<(), String> {
        let job = self.jobs.get_mut(&id).expect("submitted before");
        let members = std::mem::take(&mut job.members);
        let whole = Some(members.len()) == job.gang.map(|size| size as usize);
        match next {
            Next::Succeeded => job.succeeded.extend(members),
            Next::Failed | Next::Cancelled => job.over.extend(members),
            Next::Requeued | Next::RequeuedFree => job.gang = Some(job.elastic.1),
            _ => return Err(format!("{id} is a gang and was settled as a member")),
        }
        ensure(whole && job.active.is_empty(), || format!("{id} was settled while members ran"))
    }

    /// One line: the next number, from where the last one ended, never more than was used.
    fn line(&mut self, at: Time, attempt: AttemptId, line: &Line) -> Result<(), String> {
        let record = self.attempt(attempt)?;
        ensure(line.attempt == attempt, || format!("a line of {attempt} names {}", line.attempt))?;
        let follows = line.number == record.lines + 1 && line.from == record.billed_to;
        let parts = line.provider.0 + line.fee.0 == line.amount.0
            && line.provider.0 >= 0
            && line.fee.0 >= 0
            && line.amount.0 >= 0;
        record.lines = line.number;
        record.billed_to = line.to;
        record.billed = Micro(record.billed.0 + line.amount.0);
        let told = Span::from_micros(record.told.wall_us);
        let lasted = at.since(record.placed_at);
        let most = told.min(lasted).max(record.terms.minimum);
        let due = price(&record.terms, &record.resources, line.to);
        ensure(follows, || format!("line {} of {attempt} does not follow", line.number))?;
        ensure(parts, || format!("line {} of {attempt} does not add up", line.number))?;
        ensure(line.to <= most, || {
            format!("{attempt} is billed for {} of {told} told in {lasted}", line.to)
        })?;
        ensure(record.billed <= due, || {
            format!("{attempt} was billed {} for what costs {due}", record.billed)
        })
    }

    fn ends(
        &mut self,
        attempt: AttemptId,
        next: Next,
        line: Option<&Line>,
        waived: Option<Waived>,
    ) -> Result<(), String> {
        let record = self.live.remove(&attempt).ok_or_else(|| format!("{attempt} ended twice"))?;
        let job = self.jobs.get_mut(&attempt.job).expect("submitted before");
        let was = job.active.remove(&attempt.task);
        if record.preempted && !record.cancelled {
            let goes_on = matches!(next, Next::Succeeded | Next::RequeuedFree);
            ensure(goes_on || !job.again, || format!("{attempt} was taken back and is {next:?}"))?;
        }
        let first = match next {
            Next::Succeeded => job.succeeded.insert(attempt.task),
            Next::Failed | Next::Cancelled => job.over.insert(attempt.task),
            Next::Requeued | Next::RequeuedFree => true,
            _ => job.members.insert(attempt.task),
        };
        self.ended += 1;
        self.billed += u64::from(record.billed > Micro::ZERO);
        self.waived += u64::from(waived.is_some());
        let used = Span::from_micros(record.told.wall_us);
        let used = used.max(record.billed_to);
        let bill = Bill {
            org: job.org,
            project: job.project,
            free_of_limits: job.limit.is_none() && !job.quoted,
            due: price(&record.terms, &record.resources, record.billed_to),
            billed: record.billed,
        };
        self.last_bill = waived.is_none().then_some((attempt, bill));
        ensure(was == Some(attempt.attempt), || format!("{attempt} was not the newest"))?;
        ensure(first, || format!("{attempt} is the second end of its task"))?;
        ensure(waived.is_none() || line.is_none(), || format!("{attempt} is waived and billed"))?;
        let ran = record.started || record.seq > 0;
        let settled = record.billed > Micro::ZERO || waived.is_some();
        ensure(!ran || settled, || {
            format!("{attempt} used {used} and is neither billed nor waived")
        })?;
        let never = waived == Some(Waived::NeverRan) && record.seq > 0 && used > Span::ZERO;
        ensure(!never, || format!("{attempt} ran for {used} and is waived as never run"))
    }

    pub(super) fn last_bill(&mut self, of: AttemptId) -> Option<Bill> {
        self.last_bill.take().filter(|(attempt, _)| *attempt == of).map(|(_, bill)| bill)
    }

    pub(super) fn job_limit(&self, job: JobId) -> Option<Micro> {
        self.jobs.get(&job).and_then(|job| job.limit)
    }

    /// Which lies of a sync must be found, by what is known before it is decided.
    pub(super) fn lies_found(
        &self,
        sync: &Sync,
        agent: AgentId,
        now: Time,
    ) -> Vec<(AttemptId, &'static str)> {
        let record = |attempt: &AttemptId| -> Option<(&Attempt, UsageRecord)> {
            let known = self.live.get(attempt)?;
            // The last record of an attempt is the one that counts.
            let said = sync.usage.iter().rfind(|record| record.attempt == *attempt)?;
            Some((known, *said))
        };
        let code = |lie: &Lie| -> Option<(AttemptId, &'static str)> {
            match lie {
                Lie::Foreign(attempt) => {
                    let (known, _) = record(attempt)?;
                    (known.agent != agent).then_some((*attempt, "usage.foreign_lease"))
                }
                Lie::Shrinks(attempt) => {
                    let (known, said) = record(attempt)?;
                    let so = said.seq > known.seq && shrinks(&said.counters, &known.told);
                    so.then_some((*attempt, "usage.shrinks"))
                }
                Lie::FasterThanTime(attempt) => {
                    let (known, said) = record(attempt)?;
                    let so = said.seq > known.seq
                        && !shrinks(&said.counters, &known.told)
                        && !believable(said.counters.wall_us, known.placed_at, now);
                    so.then_some((*attempt, "usage.faster_than_time"))
                }
                Lie::SameNumber(attempt) => {
                    let (known, said) = record(attempt)?;
                    let so = said.seq == known.seq && said.counters != known.told;
                    so.then_some((*attempt, "usage.same_number"))
                }
            }
        };
        sync.lies.iter().filter_map(code).collect()
    }

    /// Does the state hold the same leases?
    pub(super) fn compare(&self, state: &State) -> Result<(), String> {
        let same = state.work.leases.keys().eq(self.live.keys());
        ensure(same, || {
            format!("{} leases in force, not {}", state.work.leases.len(), self.live.len())
        })
    }

    pub(super) fn check_quiet(&self) -> Result<(), String> {
        if let Some(attempt) = self.live.keys().next() {
            return Err(format!("{attempt} still holds its lease"));
        }
        match self.jobs.iter().find(|(_, job)| !job.ended) {
            None => Ok(()),
            Some((id, _)) => Err(format!("{id} has not ended")),
        }
    }

    pub(super) fn jobs(&self) -> u64 {
        self.jobs.len() as u64
    }

    pub(super) const fn ended(&self) -> (u64, u64, u64) {
        (self.ended, self.billed, self.waived)
    }
}
