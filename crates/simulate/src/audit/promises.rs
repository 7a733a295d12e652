//! Promises for later, added up by the checker: at no moment has a node promised more than it has
//! shown, and where nothing goes wrong every promised task starts in time.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{Event, Lease, State};
use dayan_units::{AttemptId, JobId, PoolId, ProjectId, Resources, Span, Time};

/// A promised moment is kept where its task's lease is given this much later: a batch, a plan, and
/// the end of what was there before, which must be told first.
const PUNCTUAL: Span = Span::from_secs(60);

#[derive(Clone, Debug)]
struct Kept {
    pool: PoolId,
    node: String,
    resources: Resources,
    from: Time,
    until: Time,
    /// For a hard deadline; else it was freed by taking back what others held.
    by_deadline: bool,
}

/// What was promised and not taken up yet, and which leases there are.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    kept: BTreeMap<(JobId, u32), Kept>,
    leases: BTreeMap<AttemptId, (PoolId, String, Resources, Time)>,
    /// What each job is paid from.
    projects: BTreeMap<JobId, ProjectId>,
    /// Projects that could not pay for a place once: they start late, for that.
    poor: BTreeSet<ProjectId>,
    /// Jobs that were promised their deadline.
    pub(crate) made: u64,
    /// Tasks that got their lease in time, and too late.
    pub(crate) in_time: u64,
    pub(crate) late: u64,
}

impl Promises {
    pub(crate) fn event(&mut self, at: Time, event: &Event) {
        match event {
            Event::JobSubmitted { job, project, .. } => {
                self.projects.insert(*job, *project);
            }
            Event::Appointed { job, appointments } => {
                self.made += 1;
                self.drop(*job, |_| true);
                for made in appointments {
                    let kept = Kept {
                        pool: made.pool,
                        node: made.node.as_str().to_owned(),
                        resources: made.resources,
                        from: made.from,
                        until: made.until,
                        by_deadline: true,
                    };
                    self.kept.insert((*job, made.task), kept);
                }
            }
            Event::Preempted { for_job, victims, ends_by, places } => {
                for victim in victims {
                    if let Some((.., latest)) = self.leases.get_mut(victim) {
                        *latest = (*latest).min(*ends_by);
                    }
                }
                self.drop(*for_job, |_| true);
                for made in places {
                    let node = made.node.as_str().to_owned();
                    let (pool, resources) = (made.pool, made.resources);
                    let (from, until) = (made.from, made.until);
                    let kept = Kept { pool, node, resources, from, until, by_deadline: false };
                    self.kept.insert((*for_job, made.task), kept);
                }
            }
            Event::PlacesLapsed { job } => self.drop(*job, |_| true),
            Event::Leased { lease, .. } => {
                let Lease { attempt, pool, node, resources, time_limit, .. } = lease.as_ref();
                let held = (*pool, node.clone(), *resources, at.plus(*time_limit));
                self.leases.insert(*attempt, held);
                let kept = self.kept.remove(&(attempt.job, attempt.task));
                if let Some(kept) = kept.filter(|kept| kept.by_deadline) {
                    if at <= kept.from.plus(PUNCTUAL) {
                        self.in_time += 1;
                    } else if !self.poor.contains(&self.projects[&attempt.job]) {
                        self.late += 1;
                    }
                }
            }
            Event::RoomFreed { attempt } | Event::AttemptEnded { attempt, .. } => {
                self.leases.remove(attempt);
            }
            Event::TasksCancelled { job, tasks } => self.drop(*job, |task| tasks.contains(task)),
            Event::JobPaused { job } | Event::JobEnded { job, .. } => self.drop(*job, |_| true),
            _ => {}
        }
    }

    /// Is its task's promise not taken up yet?
    pub(crate) fn has(&self, attempt: &AttemptId) -> bool {
        self.kept.contains_key(&(attempt.job, attempt.task))
    }

    /// A placement of the project was refused for want of money.
    pub(crate) fn unaffordable(&mut self, project: ProjectId) {
        self.poor.insert(project);
    }

    fn drop(&mut self, job: JobId, is_over: impl Fn(u32) -> bool) {
        self.kept.retain(|(of, task), _| *of != job || !is_over(*task));
    }

    /// A lease was just given: everything that its node has promised until its limit can be kept
    /// beside it.
    pub(crate) fn check_lease(&self, state: &State, at: Time, lease: &Lease) -> Result<(), String> {
        let pool = &state.supply.pools[&lease.pool];
        let node = pool.shown.nodes.iter().find(|node| node.name == lease.node);
        let total = node.ok_or_else(|| format!("`{}` is not shown", lease.node))?.total;
        let until = at.plus(lease.time_limit);
        for closure in &pool.closures {
            let meant = closure.nodes.is_empty() || closure.nodes.contains(lease.node.as_str());
            if meant && closure.from < until && at < closure.until {
                return Err(format!("{} runs into a closure", lease.attempt));
            }
        }
        let here = |pool: PoolId, node: &str| pool == lease.pool && node == lease.node;
        let promised = || self.kept.values().filter(|kept| here(kept.pool, &kept.node));
        for begin in promised().map(|kept| kept.from.max(at)).filter(|from| *from < until) {
            let running = self.leases.values().filter(|(pool, node, ..)| here(*pool, node));
            let running = running.filter(|(.., latest)| *latest > begin).map(|(_, _, r, _)| *r);
            let active = promised().filter(|kept| kept.from.max(at) <= begin);
            let active = active.filter(|kept| begin < kept.until || kept.from <= at);
            let mut all = running.chain(active.map(|kept| kept.resources));
            let sum = all.try_fold(Resources::ZERO, |sum, one| sum.checked_add(&one));
            if !sum.is_some_and(|sum| sum.fits_in(&total)) {
                let attempt = lease.attempt;
                return Err(format!("{attempt} on `{}` breaks a promise for {begin}", lease.node));
            }
        }
        Ok(())
    }

    /// Both know of the same promises.
    pub(crate) fn compare(&self, state: &State) -> Result<(), String> {
        let theirs: Vec<(JobId, u32)> = state
            .work
            .promises
            .iter()
            .flat_map(|(job, made)| made.map(move |made| (job, made.task)).collect::<Vec<_>>())
            .collect();
        let ours: Vec<(JobId, u32)> = self.kept.keys().copied().collect();
        if ours == theirs { Ok(()) } else { Err(format!("promised {theirs:?}, heard {ours:?}")) }
    }
}
