//! A small world beside the planner: the state as an exchange keeps it, changed by random steps,
//! told to the planner as changes; and checks that share no code with the planner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_schedule::order::{BEHIND_MAX, ShortJobs};
use dayan_schedule::{
    Appointment, Ask, Atomicity, Avoid, Cards, Change, Closure, HourlyRates, JobAsk, LeaseEnd,
    Mode, NoAppointment, NodeName, NodeUp, NodeView, OfferView, Payer, Plan, Planner, Policy,
    PoolView, Quota, QuotaOf, Residence, Same, Seat, Tasks, Tenure, Trust, Work,
};
use dayan_units::{
    AttemptId, Bytes, JobId, Micro, MilliAccel, MilliCpu, OfferId, OrgId, PoolId, ProjectId,
    ProviderId, Rate, Resources, SiteId, Span, TaskId, Time,
};
use proptest::prelude::*;

pub const MINUTE: Span = Span::from_secs(60);

pub fn pool_id(n: u8) -> PoolId {
    PoolId::from_bits(u128::from(n) + 1)
}
pub fn job_id(n: u32) -> JobId {
    JobId::from_bits(u128::from(n) + 1)
}
pub fn project_id(n: u8) -> ProjectId {
    ProjectId::from_bits(u128::from(n) + 1)
}
pub fn resources(cores: u64, gb: u64, milli_cards: u64) -> Resources {
    Resources {
        cpu: MilliCpu(cores * 1_000),
        memory: Bytes(gb * 1_000_000_000),
        disk: Bytes::ZERO,
        accel: MilliAccel(milli_cards),
    }
}

/// A pool with nodes of (cores, GB, cards, model), all up.
pub fn pool(n: u8, nodes: &[(u64, u64, u64, Option<&str>)]) -> PoolView {
    let node =
        |(at, &(cores, gb, cards, model)): (usize, &(u64, u64, u64, Option<&str>))| NodeView {
            accelerator: model.map(str::to_owned),
            ..NodeView::plain(&format!("n{at}"), resources(cores, gb, cards * 1_000))
        };
    PoolView {
        provider: ProviderId::from_bits(u128::from(n) + 1),
        site: SiteId::from_bits(u128::from(n / 2)),
        place: "Guiyang".to_owned(),
        regions: [if n.is_multiple_of(2) { "Guizhou" } else { "Sichuan" }.to_owned()].into(),
        residence: if n.is_multiple_of(3) { Residence::Domestic } else { Residence::Any },
        trust: if n.is_multiple_of(2) { Trust::Measured } else { Trust::Listed },
        features: BTreeSet::from(["process".to_owned()]),
        fabric: n.is_multiple_of(2).then(|| "ib".to_owned()),
        ..PoolView::plain(pool_id(n), nodes.iter().enumerate().map(node).collect())
    }
}

pub fn offer(n: u8, price: i64) -> OfferView {
    let rate =
        Rate { core_hour: Micro(price), gb_hour: Micro(price / 10), card_hour: Micro(price * 20) };
    let plain = OfferView::plain(OfferId::from_bits(u128::from(n) + 1), rate);
    // Every other one sells spot.
    let spot_permille = n.is_multiple_of(2).then_some(400);
    // Every third one is cheaper in every third hour.
    let hours = n.is_multiple_of(3).then(|| {
        let cheaper = Rate { core_hour: Micro(price / 2), ..rate };
        let of = |hour: usize| if hour.is_multiple_of(3) { cheaper } else { rate };
        Arc::new(HourlyRates { ahead: Span::ZERO, rates: std::array::from_fn(of) })
    });
    OfferView { reliability_permille: 990, spot_permille, hours, ..plain }
}

pub fn payer_of(ask: &JobAsk) -> Payer {
    Payer { project: ask.project, org: ask.org }
}

pub fn job(n: u32, ask: Ask, tasks: u32) -> JobAsk {
    let submitted_at = Time::from_micros(i64::from(n));
    JobAsk {
        org: OrgId::from_bits(1),
        buyer_class: "external".to_owned(),
        tasks: Tasks::range(0..tasks),
        tasks_total: u64::from(tasks),
        ..JobAsk::plain(job_id(n), project_id(0), submitted_at, Arc::new(ask))
    }
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub payer: Payer,
    pub licenses: BTreeMap<String, u32>,
    pub seat: Seat,
    pub end: LeaseEnd,
    pub tenure: Tenure,
}

/// One step of the world.
#[derive(Clone, Debug)]
pub enum Step {
    ShowPool {
        n: u8,
        nodes: Vec<(u8, u8)>,
        price: u8,
    },
    HidePool {
        n: u8,
    },
    Price {
        n: u8,
        price: u8,
    },
    Node {
        n: u8,
        node: u8,
        up: NodeUp,
    },
    Queue {
        shape: u8,
        tasks: u8,
        priority: u8,
        kind: u8,
    },
    End {
        nth: u8,
        requeue: bool,
    },
    Drop {
        nth: u8,
    },
    Again {
        nth: u8,
    },
    Take {
        nth: u8,
        task: u8,
    },
    Block {
        project: u8,
    },
    Unblock {
        project: u8,
    },
    Behind {
        project: u8,
        minutes: u16,
    },
    /// So many cores, for the organisation or one of its projects.
    Quota {
        of: u8,
        cores: Option<u8>,
    },
    Wait {
        minutes: u8,
    },
    /// Something short came.
    Short {
        cores: u8,
        milli_cards: u16,
    },
    /// A job is to be done in so many minutes.
    Admit {
        nth: u8,
        within: u8,
    },
    /// A pool, or the first of its nodes, closes in so many minutes for so many.
    Close {
        n: u8,
        first_only: bool,
        after: u8,
        minutes: u8,
    },
    Plan {
        refuse: u8,
        budget: Option<u16>,
    },
}

pub fn any_step() -> impl Strategy<Value = Step> {
    let nodes = proptest::collection::vec((0u8..6, 1u8..3), 1..5);
    prop_oneof![
        2 => (0u8..4, nodes, 1u8..9).prop_map(|(n, nodes, price)| Step::ShowPool { n, nodes, price }),
        1 => (0u8..4).prop_map(|n| Step::HidePool { n }),
        1 => (0u8..4, 1u8..9).prop_map(|(n, price)| Step::Price { n, price }),
        1 => (0u8..4, 0u8..5, prop_oneof![Just(NodeUp::Up), Just(NodeUp::Down)])
            .prop_map(|(n, node, up)| Step::Node { n, node, up }),
        8 => (0u8..12, 1u8..7, 0u8..3, 0u8..12)
            .prop_map(|(shape, tasks, priority, kind)| Step::Queue { shape, tasks, priority, kind }),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(nth, requeue)| Step::End { nth, requeue }),
        1 => any::<u8>().prop_map(|nth| Step::Drop { nth }),
        1 => any::<u8>().prop_map(|nth| Step::Again { nth }),
        1 => (any::<u8>(), 0u8..6).prop_map(|(nth, task)| Step::Take { nth, task }),
        1 => (0u8..2).prop_map(|project| Step::Block { project }),
        1 => (0u8..2).prop_map(|project| Step::Unblock { project }),
        1 => (0u8..2, 0u16..2_000)
            .prop_map(|(project, minutes)| Step::Behind { project, minutes }),
        1 => (0u8..3, proptest::option::weighted(0.8, 0u8..24))
            .prop_map(|(of, cores)| Step::Quota { of, cores }),
        2 => (0u8..60).prop_map(|minutes| Step::Wait { minutes }),
        1 => (1u8..9, prop_oneof![Just(0u16), 1u16..2_000])
            .prop_map(|(cores, milli_cards)| Step::Short { cores, milli_cards }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(nth, within)| Step::Admit { nth, within }),
        1 => (0u8..4, any::<bool>(), 0u8..100, 1u8..60).prop_map(|(n, first_only, after, minutes)| {
            Step::Close { n, first_only, after, minutes }
        }),
        8 => (any::<u8>(), proptest::option::weighted(0.2, 0u16..60))
            .prop_map(|(refuse, budget)| Step::Plan { refuse, budget }),
    ]
}

pub struct World {
    pub planner: Planner,
    pub policy: Policy,
    pub now: Time,
    pub pools: BTreeMap<PoolId, PoolView>,
    pub offers: BTreeMap<PoolId, Vec<OfferView>>,
    pub jobs: BTreeMap<JobId, JobAsk>,
    pub avoid: BTreeMap<JobId, Vec<Avoid>>,
    pub leases: BTreeMap<AttemptId, Lease>,
    pub attempts: BTreeMap<TaskId, u32>,
    pub blocked: BTreeSet<ProjectId>,
    pub behind: BTreeMap<ProjectId, Span>,
    pub quotas: BTreeMap<QuotaOf, Quota>,
    pub appointments: BTreeMap<JobId, Vec<Appointment>>,
    /// When leases of a pool were taken back, and how often those of a task, last then.
    pub preempted: BTreeMap<PoolId, Vec<Time>>,
    pub taken_off: BTreeMap<TaskId, (u32, Time)>,
    pub jobs_made: u32,
    pub short: ShortJobs,
}

impl World {
    pub fn new(policy: Policy) -> Self {
        let mut planner = Planner::new();
        planner.observe(&Change::PolicySet(policy.clone()));
        Self {
            planner,
            policy,
            now: Time::from_micros(1_000_000_000),
            pools: BTreeMap::new(),
            offers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            avoid: BTreeMap::new(),
            leases: BTreeMap::new(),
            attempts: BTreeMap::new(),
            blocked: BTreeSet::new(),
            behind: BTreeMap::new(),
            quotas: BTreeMap::new(),
            appointments: BTreeMap::new(),
            preempted: BTreeMap::new(),
            taken_off: BTreeMap::new(),
            jobs_made: 0,
            short: ShortJobs::default(),
        }
    }

    pub fn show(&mut self, view: PoolView, offers: Vec<OfferView>) {
        let pool = view.pool;
        self.planner.observe(&Change::PoolShown(Box::new(view.clone())));
        self.planner.observe(&Change::OffersShown { pool, offers: offers.clone() });
        self.pools.insert(pool, view);
        self.offers.insert(pool, offers);
    }

    pub fn queue(&mut self, ask: JobAsk) {
        self.planner.observe(&Change::JobQueued(Box::new(ask.clone())));
        self.jobs.insert(ask.job, ask);
    }

    pub fn put_behind(&mut self, project: ProjectId, behind: Span) {
        self.planner.observe(&Change::ProjectBehind { project, behind });
        self.behind.insert(project, behind.min(BEHIND_MAX));
    }

    pub fn limit(&mut self, of: QuotaOf, quota: Quota) {
        self.planner.observe(&Change::QuotaSet { of, quota });
        self.quotas.insert(of, quota);
    }

    /// A planner that was told the present state and nothing else, in another order.
    pub fn fresh(&self) -> Planner {
        let mut planner = Planner::new();
        planner.observe(&Change::PolicySet(self.policy.clone()));
        for (attempt, lease) in self.leases.iter().rev() {
            planner.observe(&lease_placed(*attempt, lease));
        }
        for (pool, at) in &self.preempted {
            planner.observe(&Change::PoolPreempted { pool: *pool, at: at.clone() });
        }
        for ask in self.jobs.values().rev() {
            planner.observe(&Change::JobQueued(Box::new(ask.clone())));
            if let Some(avoid) = self.avoid.get(&ask.job) {
                let (job, avoid) = (ask.job, avoid.clone());
                planner.observe(&Change::TasksQueued { job, tasks: Tasks::none(), avoid });
            }
        }
        for project in &self.blocked {
            let (project, reason) = (*project, "no money".to_owned());
            planner.observe(&Change::ProjectBlocked { project, reason });
        }
        for (&of, &quota) in &self.quotas {
            planner.observe(&Change::QuotaSet { of, quota });
        }
        for (&project, &behind) in &self.behind {
            planner.observe(&Change::ProjectBehind { project, behind });
        }
        for (pool, offers) in self.offers.iter().rev() {
            let (pool, offers) = (*pool, offers.clone());
            planner.observe(&Change::OffersShown { pool, offers });
        }
        planner.observe(&Change::ShortJobs(self.short.clone()));
        let half = self.appointments.len() / 2;
        let appoint = |planner: &mut Planner, (job, made): (&JobId, &Vec<Appointment>)| {
            planner.observe(&Change::Appointed { job: *job, appointments: made.clone() });
        };
        self.appointments.iter().take(half).for_each(|one| appoint(&mut planner, one));
        for view in self.pools.values().rev() {
            planner.observe(&Change::PoolShown(Box::new(view.clone())));
        }
        self.appointments.iter().skip(half).for_each(|one| appoint(&mut planner, one));
        planner
    }

    /// Asks for appointments, and keeps them.
    pub fn admit(&mut self, job: JobId, by: Time) -> Result<Vec<Appointment>, NoAppointment> {
        let appointments = self.planner.admit(&self.jobs[&job], by, self.now)?;
        let change = Change::Appointed { job, appointments: appointments.clone() };
        self.planner.observe(&change);
        self.appointments.insert(job, appointments.clone());
        Ok(appointments)
    }

    fn no_longer_appointed(&mut self, job: JobId, tasks: &Tasks) {
        if let Some(made) = self.appointments.get_mut(&job) {
            made.retain(|made| !tasks.contains(made.task));
            if made.is_empty() {
                self.appointments.remove(&job);
            }
        }
    }

    pub fn end(&mut self, attempt: AttemptId) -> Lease {
        self.planner.observe(&Change::LeaseEnded { attempt });
        self.leases.remove(&attempt).expect("the caller picked it")
    }

    /// The job is over, whatever of it waits.
    pub fn drop_job(&mut self, job: JobId) {
        self.planner.observe(&Change::JobGone(job));
        self.jobs.remove(&job);
        self.avoid.remove(&job);
        self.appointments.remove(&job);
    }

    /// Commits a plan but for the placements that `refuse` picks.
    pub fn commit(&mut self, plan: &Plan, refuse: impl Fn(usize) -> bool) {
        for (nth, placement) in plan.placements.iter().enumerate() {
            let job = placement.job;
            if refuse(nth) {
                let tasks: Tasks = placement.seats.iter().map(|seat| seat.task).collect();
                let pool = placement.seats[0].pool;
                let avoid = vec![Avoid { pool, until: plan.now.plus(MINUTE) }];
                self.remember(job, &avoid);
                self.planner.observe(&Change::PlacementRefused { job, tasks, avoid });
                continue;
            }
            for seat in &placement.seats {
                let task = TaskId { job, task: seat.task };
                let epoch = self.attempts.entry(task).or_insert(0);
                *epoch += 1;
                let ask = &self.jobs[&job];
                let limit = ask.ask.time;
                let expected = plan.now.plus(ask.expected.map_or(limit, |run| run.min(limit)));
                let end = LeaseEnd { expected, latest: plan.now.plus(limit) };
                let tenure = match ask.ask.mode {
                    Mode::OnDemand => Tenure::Kept,
                    Mode::Spot => {
                        let (times, last) = self.taken_off.get(&task).copied().unzip();
                        let spared_until =
                            self.policy.preemption.task_spared_until(times.unwrap_or(0), last);
                        Tenure::Spot { since: plan.now, spared_until }
                    }
                };
                let (payer, licenses) = (payer_of(ask), ask.ask.licenses.clone());
                let lease = Lease { payer, licenses, seat: seat.clone(), end, tenure };
                let attempt = task.attempt(*epoch);
                self.planner.observe(&lease_placed(attempt, &lease));
                self.leases.insert(attempt, lease);
                self.jobs.get_mut(&job).expect("planned").tasks.remove(seat.task);
                self.no_longer_appointed(job, &Tasks::one(seat.task));
            }
        }
    }

    /// Takes back what a plan wants taken back: the leases are told to stop.
    pub fn preempt(&mut self, plan: &Plan, refuse: impl Fn(usize) -> bool) {
        for (nth, taken) in plan.preemptions.iter().enumerate() {
            if refuse(nth) {
                continue;
            }
            let by = plan.now.plus(self.policy.preemption.notice);
            for attempt in &taken.victims {
                let lease = self.leases.get_mut(attempt).expect("checked");
                lease.tenure = Tenure::Kept;
                lease.end.latest = lease.end.latest.min(by);
                lease.end.expected = lease.end.expected.min(by);
                self.planner.observe(&Change::LeaseStopping { attempt: *attempt, by: Some(by) });
                let pool = lease.seat.pool;
                let at = self.preempted.entry(pool).or_default();
                at.push(plan.now);
                self.planner.observe(&Change::PoolPreempted { pool, at: at.clone() });
                let off = self.taken_off.entry(attempt.task_id()).or_insert((0, plan.now));
                *off = (off.0 + 1, plan.now);
            }
            let (job, appointments) = (taken.for_job, taken.places.clone());
            self.planner.observe(&Change::Appointed { job, appointments: appointments.clone() });
            self.appointments.insert(job, appointments);
        }
    }

    fn remember(&mut self, job: JobId, avoid: &[Avoid]) {
        let known = self.avoid.entry(job).or_default();
        for new in avoid {
            known.retain(|old| old.pool != new.pool);
            known.push(*new);
        }
    }

    pub fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::ShowPool { n, nodes, price } => {
                let shape = |&(kind, size): &(u8, u8)| {
                    let size = u64::from(size);
                    match kind {
                        0..3 => (4 * size, 16 * size, 0, None),
                        3 | 4 => (8, 32, size, Some("H100")),
                        _ => (8, 32, 2 * size, Some("Ascend910B")),
                    }
                };
                let nodes: Vec<_> = nodes.iter().map(shape).collect();
                self.show(pool(*n, &nodes), vec![offer(*n, i64::from(*price) * 10_000)]);
            }
            Step::HidePool { n } => {
                self.planner.observe(&Change::PoolGone(pool_id(*n)));
                self.pools.remove(&pool_id(*n));
                self.offers.remove(&pool_id(*n));
            }
            Step::Price { n, price } => {
                let (pool, offers) = (pool_id(*n), vec![offer(*n, i64::from(*price) * 10_000)]);
                if self.pools.contains_key(&pool) {
                    let change = Change::OffersShown { pool, offers: offers.clone() };
                    self.planner.observe(&change);
                    self.offers.insert(pool, offers);
                }
            }
            Step::Node { n, node, up } => {
                let (pool, name) = (pool_id(*n), NodeName::new(&format!("n{node}")));
                let change = Change::NodeState { pool, node: name.clone(), up: *up };
                self.planner.observe(&change);
                if let Some(view) = self.pools.get_mut(&pool)
                    && let Some(node) = view.nodes.iter_mut().find(|node| node.name == name)
                {
                    node.up = *up;
                }
            }
            Step::Queue { shape, tasks, priority, kind } => {
                let ask = crate::draws::some_job(self.jobs_made, *shape, *tasks, *priority, *kind);
                self.jobs_made += 1;
                self.queue(ask);
            }
            Step::End { nth, requeue } => {
                let nth = usize::from(*nth) % self.leases.len().max(1);
                let Some(attempt) = self.leases.keys().nth(nth).copied() else { return Ok(()) };
                let lease = self.end(attempt);
                let job = attempt.job;
                if *requeue && let Some(ask) = self.jobs.get_mut(&job) {
                    ask.tasks.insert(attempt.task);
                    let until = self.now.plus(MINUTE);
                    let avoid = vec![Avoid { pool: lease.seat.pool, until }];
                    let tasks = Tasks::one(attempt.task);
                    self.remember(job, &avoid);
                    self.planner.observe(&Change::TasksQueued { job, tasks, avoid });
                }
            }
            Step::Again { nth } => {
                let nth = usize::from(*nth) % self.jobs.len().max(1);
                let Some(ask) = self.jobs.values().nth(nth).cloned() else { return Ok(()) };
                self.avoid.remove(&ask.job);
                self.planner.observe(&Change::JobQueued(Box::new(ask)));
            }
            Step::Drop { nth } => {
                let nth = usize::from(*nth) % self.jobs.len().max(1);
                let Some(job) = self.jobs.keys().nth(nth).copied() else { return Ok(()) };
                self.drop_job(job);
            }
            Step::Take { nth, task } => {
                let nth = usize::from(*nth) % self.jobs.len().max(1);
                let Some(job) = self.jobs.keys().nth(nth).copied() else { return Ok(()) };
                let tasks = Tasks::one(u32::from(*task));
                self.jobs.get_mut(&job).expect("picked").tasks.subtract(&tasks);
                self.no_longer_appointed(job, &tasks);
                self.planner.observe(&Change::TasksTaken { job, tasks });
            }
            Step::Block { project } => {
                let (project, reason) = (project_id(*project), "no money".to_owned());
                self.blocked.insert(project);
                self.planner.observe(&Change::ProjectBlocked { project, reason });
            }
            Step::Unblock { project } => {
                self.blocked.remove(&project_id(*project));
                self.planner.observe(&Change::ProjectUnblocked(project_id(*project)));
            }
            Step::Behind { project, minutes } => {
                self.put_behind(project_id(*project), MINUTE.times(i64::from(*minutes)));
            }
            Step::Quota { of, cores } => {
                let of = match of {
                    0 => QuotaOf::Org(OrgId::from_bits(1)),
                    n => QuotaOf::Project(project_id(n - 1)),
                };
                let cpu = cores.map(|cores| MilliCpu(u64::from(cores) * 1_000));
                self.limit(of, Quota { cpu, ..Quota::default() });
            }
            Step::Wait { minutes } => {
                self.now = self.now.plus(MINUTE.times(i64::from(*minutes)));
                for avoid in self.avoid.values_mut() {
                    avoid.retain(|avoid| avoid.until > self.now);
                }
            }
            Step::Short { cores, milli_cards } => {
                let takes = resources(u64::from(*cores), 1, u64::from(*milli_cards));
                self.short.came(self.now, &takes, MINUTE);
                self.planner.observe(&Change::ShortJobs(self.short.clone()));
            }
            Step::Admit { nth, within } => {
                let nth = usize::from(*nth) % self.jobs.len().max(1);
                let Some(ask) = self.jobs.values().nth(nth) else { return Ok(()) };
                let whole = ask.gang.is_none_or(|gang| ask.tasks.len() == u64::from(gang.size));
                if ask.tasks.is_empty() || ask.strict || !whole {
                    return Ok(());
                }
                let by = self.now.plus(MINUTE.times(i64::from(*within)));
                let (job, held) = (ask.job, self.policy.reservations_max > 0);
                let ask = ask.clone();
                // What it had been promised before does not stand in its way.
                self.appointments.remove(&job);
                self.planner.observe(&Change::Appointed { job, appointments: Vec::new() });
                let fresh = self.fresh().admit(&ask, by, self.now);
                let made = self.admit(job, by);
                if !held {
                    let fresh = if fresh.is_ok() == made.is_ok() { made.clone() } else { fresh };
                    prop_assert_eq!(&made, &fresh, "incremental equals fresh");
                }
                if let Ok(made) = made {
                    self.check_appointments(job, by, &made)?;
                }
            }
            Step::Close { n, first_only, after, minutes } => {
                let Some(view) = self.pools.get_mut(&pool_id(*n)) else { return Ok(()) };
                let nodes = if *first_only {
                    view.nodes.iter().take(1).map(|node| node.name.clone()).collect()
                } else {
                    BTreeSet::new()
                };
                let from = self.now.plus(MINUTE.times(i64::from(*after)));
                let until = from.plus(MINUTE.times(i64::from(*minutes)));
                view.closures.push(Closure { nodes, from, until });
                self.planner.observe(&Change::PoolShown(Box::new(view.clone())));
            }
            Step::Plan { refuse, budget } => self.plan(*refuse, *budget)?,
        }
        self.planner.consistency_check().map_err(TestCaseError::fail)
    }

    fn plan(&mut self, refuse: u8, budget: Option<u16>) -> Result<(), TestCaseError> {
        let whole = self.fresh().plan(self.now, Work::UNBOUNDED);
        prop_assert!(!whole.exhausted);
        if self.policy.reservations_max == 0 {
            let seat =
                |(task, seat): (TaskId, &Seat)| (task.job, task.task, seat.pool, seat.node.clone());
            let seats: Vec<_> = whole.seats().map(seat).collect();
            prop_assert_eq!(seats, crate::naive::seats(self), "the naive planner agrees");
        }
        let budget = budget.map_or(Work::UNBOUNDED, |budget| Work(u64::from(budget)));
        let plan = self.planner.plan(self.now, budget);
        self.planner.consistency_check().map_err(TestCaseError::fail)?;
        if plan.exhausted {
            // But for what is left over, which is shared out at the very end.
            let least = |(task, seat): (TaskId, &Seat)| {
                (task, Seat { resources: Resources::ZERO, ..seat.clone() })
            };
            let part: Vec<_> = plan.seats().map(least).collect();
            let all: Vec<_> = whole.seats().map(least).take(part.len()).collect();
            prop_assert_eq!(part, all, "a bounded plan is the first part of the whole one");
            for (task, seat) in plan.seats() {
                let wish = &self.jobs[&task.job].ask;
                prop_assert_eq!(seat.resources.cpu, wish.resources.cpu, "it ended first");
            }
        } else {
            prop_assert_eq!(&plan.placements, &whole.placements, "incremental equals fresh");
            prop_assert_eq!(&plan.refusals, &whole.refusals, "incremental equals fresh");
            prop_assert_eq!(&plan.preemptions, &whole.preemptions, "incremental equals fresh");
            let again = self.planner.plan(self.now, Work::UNBOUNDED);
            prop_assert_eq!(&again.placements, &plan.placements, "nothing changed between");
            prop_assert_eq!(&again.preemptions, &plan.preemptions, "nothing changed between");
        }
        self.check_plan(&plan)?;
        crate::quotas::check(self, &plan)?;
        crate::preemptions::check(self, &plan)?;
        let refuse = |nth: usize| refuse >> (nth % 8) & 1 == 1 && refuse.is_multiple_of(3);
        self.commit(&plan, refuse);
        let refused: Vec<JobId> = (plan.placements.iter().enumerate())
            .filter_map(|(nth, placement)| refuse(nth).then_some(placement.job))
            .collect();
        // What was planned after a placement that was refused may stand on it.
        if refused.is_empty() {
            self.preempt(&plan, refuse);
        }
        Ok(())
    }

    /// Everything a plan promises, checked from the state alone.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), TestCaseError> {
        let mut used: BTreeMap<(PoolId, NodeName), Resources> = BTreeMap::new();
        let mut cards: BTreeMap<(PoolId, NodeName, u8), u32> = BTreeMap::new();
        let mut running: BTreeMap<JobId, u32> = BTreeMap::new();
        let mut planned: BTreeMap<(PoolId, NodeName), Resources> = BTreeMap::new();
        let mut take = |seat: &Seat| {
            let at = (seat.pool, seat.node.clone());
            let sum = used.entry(at.clone()).or_default();
            *sum = sum.checked_add(&seat.resources).expect("small");
            for (card, milli) in card_shares(&seat.cards) {
                *cards.entry((at.0, at.1.clone(), card)).or_default() += milli;
            }
        };
        for (attempt, lease) in &self.leases {
            take(&lease.seat);
            *running.entry(attempt.job).or_default() += 1;
        }
        for placement in &plan.placements {
            let ask = &self.jobs[&placement.job];
            prop_assert!(!self.blocked.contains(&ask.project));
            prop_assert!(ask.begin.is_none_or(|begin| begin <= self.now), "it may begin");
            for seat in &placement.seats {
                take(seat);
                let new = planned.entry((seat.pool, seat.node.clone())).or_default();
                *new = new.checked_add(&seat.resources).expect("small");
                prop_assert!(ask.tasks.contains(seat.task), "it waits");
                self.check_seat(ask, seat)?;
                *running.entry(placement.job).or_default() += 1;
            }
            if let Some(most) = ask.max_parallel {
                prop_assert!(running[&placement.job] <= most);
            }
            if let Some(gang) = ask.gang {
                prop_assert_eq!(placement.atomicity, Atomicity::AllOrNothing);
                prop_assert_eq!(placement.seats.len(), gang.size as usize);
                let nodes: BTreeSet<_> =
                    placement.seats.iter().map(|seat| (seat.pool, seat.node.clone())).collect();
                prop_assert_eq!(nodes.len(), placement.seats.len(), "a node each");
                let sites: BTreeSet<SiteId> =
                    placement.seats.iter().map(|seat| self.pools[&seat.pool].site).collect();
                prop_assert_eq!(sites.len(), 1);
                for seat in &placement.seats {
                    let fabric = self.pools[&seat.pool].fabric.is_some();
                    prop_assert!(gang.same != Same::Fabric || fabric);
                }
            }
        }
        let distinct: BTreeSet<TaskId> = plan.seats().map(|(task, _)| task).collect();
        prop_assert_eq!(distinct.len(), plan.placed_len(), "no task twice");
        for (at, asked) in &planned {
            let new: Vec<(TaskId, &Seat, Time)> = plan
                .seats()
                .filter(|(_, seat)| (seat.pool, seat.node.clone()) == *at)
                .map(|(task, seat)| {
                    let made = self.appointments.get(&task.job).into_iter().flatten();
                    let own = made.filter(|made| {
                        (made.task, made.pool, &made.node) == (task.task, seat.pool, &seat.node)
                    });
                    let late = own.map(|made| crate::later::late(made, self.now)).next();
                    let end = self.now.plus(self.jobs[&task.job].ask.time);
                    (task, seat, end.minus(late.unwrap_or(Span::ZERO)))
                })
                .collect();
            let last = new.iter().map(|(_, _, end)| *end).max().expect("there is one");
            crate::later::check(self, &new, at, (self.now, last), asked)?;
        }
        // What shrank may be over-booked by old leases, but no more of it is promised.
        for ((pool, name), new) in planned {
            let view = &self.pools[&pool];
            let node = view.nodes.iter().find(|node| node.name == name).expect("shown");
            prop_assert_eq!(node.up, NodeUp::Up);
            let sum = used[&(pool, name.clone())];
            let within = |new: u64, sum: u64, has: u64| new == 0 || sum <= has;
            prop_assert!(within(new.cpu.0, sum.cpu.0, node.total.cpu.0), "{sum:?}");
            prop_assert!(within(new.memory.0, sum.memory.0, node.total.memory.0), "{sum:?}");
            prop_assert!(within(new.accel.0, sum.accel.0, node.total.accel.0), "{sum:?}");
        }
        for ((pool, node, card), milli) in cards {
            let fresh = plan.seats().any(|(_, seat)| {
                seat.pool == pool
                    && seat.node == node
                    && card_shares(&seat.cards).iter().any(|share| share.0 == card)
            });
            prop_assert!(!fresh || milli <= 1_000, "card {card} of {node}: {milli}");
        }
        Ok(())
    }

    /// Appointments are for all waiting tasks, in time, and each node can keep them.
    fn check_appointments(
        &self,
        job: JobId,
        by: Time,
        made: &[Appointment],
    ) -> Result<(), TestCaseError> {
        let ask = &self.jobs[&job];
        let tasks: Tasks = made.iter().map(|made| made.task).collect();
        prop_assert_eq!(&tasks, &ask.tasks);
        for made in made {
            prop_assert!(made.from >= self.now && made.until <= by);
            prop_assert!(ask.begin.is_none_or(|begin| begin <= made.from));
            prop_assert_eq!(made.until, made.from.plus(ask.ask.time));
            let span = (made.from, made.until);
            let at = (made.pool, made.node.clone());
            crate::later::check(self, &[], &at, span, &made.resources)?;
        }
        if let Some(most) = ask.max_parallel {
            for made_at in made {
                let during =
                    |other: &&Appointment| other.from <= made_at.from && made_at.from < other.until;
                prop_assert!(made.iter().filter(during).count() <= most as usize);
            }
        }
        if ask.gang.is_some() {
            let nodes: BTreeSet<_> = made.iter().map(|made| (made.pool, &made.node)).collect();
            let moments: BTreeSet<_> = made.iter().map(|made| made.from).collect();
            prop_assert_eq!((nodes.len(), moments.len()), (made.len(), 1), "a node each, at once");
        }
        Ok(())
    }

    fn check_seat(&self, ask: &JobAsk, seat: &Seat) -> Result<(), TestCaseError> {
        let view = &self.pools[&seat.pool];
        let node = view.nodes.iter().find(|node| node.name == seat.node).expect("shown");
        let wish = &ask.ask;
        let (least, most) = (&wish.resources, wish.most.unwrap_or(wish.resources));
        let within = |least: u64, given: u64, most: u64| least <= given && given <= most;
        prop_assert!(within(least.cpu.0, seat.resources.cpu.0, most.cpu.0), "{seat:?}");
        prop_assert!(within(least.memory.0, seat.resources.memory.0, most.memory.0), "{seat:?}");
        prop_assert!(wish.regions.is_empty() || !wish.regions.is_disjoint(&view.regions));
        prop_assert!(wish.sites.is_empty() || wish.sites.contains(&view.site));
        prop_assert!(view.trust >= wish.trust);
        prop_assert!(wish.residence == Residence::Any || view.residence == Residence::Domestic);
        prop_assert!(!wish.providers_denied.contains(&view.provider));
        prop_assert!(ask.quote.is_none_or(|pin| pin.pool == seat.pool && pin.offer == seat.offer));
        let avoid = self.avoid.get(&ask.job).into_iter().flatten();
        for avoid in avoid.filter(|avoid| avoid.pool == seat.pool) {
            prop_assert!(avoid.until <= self.now);
        }
        if let Some(choice) = wish.accelerators.iter().find(|choice| {
            node.accelerator.as_ref().is_some_and(|model| choice.models.accept(model))
        }) {
            prop_assert_eq!(seat.resources.accel, choice.cards);
        } else {
            prop_assert!(wish.accelerators.is_empty());
        }
        let shares: u32 = card_shares(&seat.cards).iter().map(|share| share.1).sum();
        prop_assert_eq!(u64::from(shares), seat.resources.accel.0, "the cards add up");
        let offer = self.offers[&seat.pool].iter().find(|offer| offer.offer == seat.offer);
        let offer = offer.expect("an open offer");
        if let Some(cap) = ask.max_unit_price {
            let hour = offer.rate.per_hour(&seat.resources).expect("small");
            prop_assert!(hour <= cap);
        }
        Ok(())
    }
}

pub fn card_shares(cards: &Cards) -> Vec<(u8, u32)> {
    let whole = (0..64u8).filter(|card| cards.whole >> card & 1 == 1).map(|card| (card, 1_000));
    whole.chain(cards.part.map(|part| (part.card, u32::from(part.milli)))).collect()
}

pub fn lease_placed(attempt: AttemptId, lease: &Lease) -> Change {
    let seat = &lease.seat;
    Change::LeasePlaced {
        attempt,
        payer: lease.payer,
        licenses: lease.licenses.clone(),
        pool: seat.pool,
        node: seat.node.clone(),
        resources: seat.resources,
        cards: seat.cards,
        end: lease.end,
        tenure: lease.tenure,
    }
}
