//! The state in the planner's words: what an event means for it, and everything at once for a
//! planner that starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_identity::Status;
use dayan_market::{BuyerClass, OfferMode};
use dayan_measure::{Attribute, Precision};
use dayan_schedule as plan;
use dayan_schedule::{Change, Tasks};
use dayan_spec::{AcceleratorKind, After, DeadlineKind, Feature, JobSpec};
use dayan_topology::{DelayClasses, Place, PlaceId, Region};
use dayan_units::{AttemptId, FlopRate, JobId, PoolId, ProviderId, QuoteId, SiteId, Span, Time};

use crate::command::CarbonOf;
use crate::event::{Entry, Event, Next};
use crate::state::{
    Gate, Job, Lease, Node, Placing, Pool, QUEUE_NODE, State, VERIFIED_FOR, grown, mode_of,
};

/// What the events of an entry mean for the planner; `state` is as after them.
pub fn of_entry(state: &State, entry: &Entry, out: &mut Vec<Change>) {
    for event in &entry.events {
        of_event(state, entry.at, event, out);
    }
}

/// Everything a planner that starts must be told.
pub fn everything(state: &State, now: Time) -> Vec<Change> {
    let mut out = Vec::new();
    for pool in state.supply.pools.values() {
        of_pool(state, pool, now, &mut out);
    }
    for job in state.work.jobs.values().filter(|job| job.ended.is_none()) {
        queued(state, job, now, &mut out);
    }
    for lease in state.work.leases.values() {
        out.push(placed(state, lease));
    }
    out.extend(state.supply.pools.keys().filter_map(|pool| preempted(state, *pool)));
    for (job, made) in state.work.promises.iter() {
        out.push(Change::Appointed { job, appointments: made.cloned().collect() });
    }
    let access = &state.access;
    let orgs = access.orgs.values().map(|org| (plan::QuotaOf::Org(org.id), org.quota));
    let projects = access.projects.values().map(|one| (plan::QuotaOf::Project(one.id), one.quota));
    let quotas = orgs.chain(projects).filter(|(_, quota)| !quota.is_unlimited());
    out.extend(quotas.map(|(of, quota)| Change::QuotaSet { of, quota }));
    let wanted = state.work.specs.values().flat_map(|stored| &stored.spec.licenses);
    let names: BTreeSet<&String> =
        access.licenses.keys().chain(wanted.map(|license| &license.name)).collect();
    out.extend(names.into_iter().map(|name| Change::LicenseSet {
        name: name.clone(),
        // Nobody gets what is not counted any more.
        count: Some(access.licenses.get(name).copied().unwrap_or(0)),
    }));
    let behind = crate::shares::behind(state, now).into_iter();
    out.extend(behind.map(|(project, behind)| Change::ProjectBehind { project, behind }));
    out
}

/// A job in full.
fn queued(state: &State, job: &Job, now: Time, out: &mut Vec<Change>) {
    out.push(Change::JobQueued(Box::new(job_ask(state, job, waiting(state, job)))));
    let avoid = avoid(state, job, now);
    if !avoid.is_empty() {
        out.push(Change::TasksQueued { job: job.id, tasks: Tasks::none(), avoid });
    }
}

/// The tasks of a job that may be placed.
fn waiting(state: &State, job: &Job) -> Tasks {
    match job.gate {
        Gate::Open => job.next_of(state.work.ready_tasks(job)),
        Gate::Paused => Tasks::none(),
    }
}

fn of_event(state: &State, at: Time, event: &Event, out: &mut Vec<Change>) {
    told(state, at, event, out);
    let job = if let Event::Leased { lease, .. } = event {
        lease.attempt.job
    } else if let Event::AttemptEnded { attempt, .. } = event {
        attempt.job
    } else if let Event::TasksCancelled { job, .. } | Event::JobResumed { job } = event {
        *job
    } else {
        return;
    };
    // Whose turn it is may have changed by it.
    let mixed = state.work.jobs.get(&job).filter(|job| job.ended.is_none() && job.is_mixed());
    if let Some(job) = mixed
        && !waiting(state, job).is_empty()
    {
        queued(state, job, at, out);
    }
}

fn told(state: &State, at: Time, event: &Event, out: &mut Vec<Change>) {
    let job = |id: &JobId| state.work.jobs.get(id);
    match event {
        Event::AgentJoined { pool, .. }
        | Event::PoolShown { pool, .. }
        | Event::PoolStatusChanged { pool, .. }
        | Event::ClosuresSet { pool, .. }
        | Event::CarbonSet { of: CarbonOf::Pool(pool), .. }
        | Event::PueSet { pool, .. }
        | Event::Measured { pool, .. }
        | Event::ChallengeFailed { pool }
        | Event::ChallengeMet { pool } => {
            if let Some(pool) = state.supply.pools.get(pool) {
                of_pool(state, pool, at, out);
            }
        }
        Event::CarbonSet { of: CarbonOf::Region(_), .. } => {
            for pool in state.supply.pools.values().filter(|pool| pool.status == Status::Active) {
                out.push(Change::PoolShown(Box::new(pool_view(state, pool, at))));
            }
        }
        Event::OfferListed { offer } => show_offers(state, offer.pool, at, out),
        // The retired offer is gone from the state; every pool's list is short.
        Event::OfferRetired { .. } => {
            for pool in state.supply.pools.values().filter(|pool| pool.status == Status::Active) {
                show_offers(state, pool.id, at, out);
            }
        }
        Event::JobSubmitted { job: id, .. }
        | Event::TasksRetried { job: id, .. }
        | Event::MemoryRaised { job: id, .. } => {
            if let Some(job) = job(id) {
                queued(state, job, at, out);
            }
        }
        Event::Appointed { job, appointments } => {
            let appointments = appointments.clone();
            out.push(Change::Appointed { job: *job, appointments });
        }
        Event::JobPaused { job: id } => {
            if let Some(job) = job(id) {
                out.push(Change::TasksTaken { job: *id, tasks: job.queued.clone() });
            }
        }
        Event::JobResumed { job: id } => {
            if let Some(job) = job(id) {
                let tasks = waiting(state, job);
                out.push(Change::TasksQueued { job: *id, tasks, avoid: Vec::new() });
            }
        }
        Event::TasksCancelled { job, tasks } | Event::GangShrunk { job, tasks } => {
            out.push(Change::TasksTaken { job: *job, tasks: tasks.clone() });
        }
        Event::GangSettled { job: id, next: Next::RequeuedFree | Next::Requeued } => {
            if let Some(job) = job(id) {
                let tasks = waiting(state, job);
                out.push(Change::TasksQueued { job: *id, tasks, avoid: avoid(state, job, at) });
            }
        }
        Event::JobEnded { job, .. } => {
            out.push(Change::JobGone(*job));
            free_dependents(state, *job, |_| true, out);
        }
        Event::Started { attempt, .. } => {
            free_dependents(state, attempt.job, |after| after == After::Started, out);
        }
        Event::Leased { lease, .. } => out.push(placed(state, lease)),
        Event::StopAsked { attempt, .. } | Event::PublishGranted { attempt } => {
            out.push(Change::LeaseStopping { attempt: *attempt, by: None });
        }
        Event::Preempted { for_job, victims, ends_by, places } => {
            for attempt in victims {
                out.push(Change::LeaseStopping { attempt: *attempt, by: Some(*ends_by) });
                if let Some(lease) = state.work.leases.get(attempt) {
                    out.extend(preempted(state, lease.pool));
                }
            }
            out.push(Change::Appointed { job: *for_job, appointments: places.clone() });
        }
        // Nobody gets what is not counted any more.
        Event::LicenseSet { name, count } => {
            out.push(Change::LicenseSet { name: name.clone(), count: Some(count.unwrap_or(0)) });
        }
        Event::QuotaSet { of, quota } => {
            out.push(Change::QuotaSet { of: *of, quota: *quota });
        }
        Event::PlacesLapsed { job } => {
            out.push(Change::Appointed { job: *job, appointments: Vec::new() });
        }
        Event::AttemptEnded { attempt, pool, next, .. } => {
            out.push(Change::LeaseEnded { attempt: *attempt });
            let record = state.supply.pools.get(pool).filter(|pool| pool.status == Status::Active);
            if record.is_some_and(|pool| pool.record.moved) {
                show_offers(state, *pool, at, out);
            }
            if *next == Next::Succeeded {
                free_elements(state, *attempt, out);
            }
            let requeued = matches!(next, Next::Requeued | Next::RequeuedFree);
            let open = job(&attempt.job).filter(|job| job.gate == Gate::Open);
            if let Some(job) = open.filter(|_| requeued) {
                let avoid = avoid(state, job, at);
                let tasks = Tasks::one(attempt.task);
                out.push(Change::TasksQueued { job: attempt.job, tasks, avoid });
            }
        }
        Event::Founded { .. }
        | Event::OrgCreated { .. }
        | Event::UserCreated { .. }
        | Event::RoleSet { .. }
        | Event::UserRemoved { .. }
        | Event::TokenIssued { .. }
        | Event::TokenRevoked { .. }
        | Event::ProjectCreated { .. }
        | Event::BudgetSet { .. }
        | Event::WeightSet { .. }
        | Event::Estimated { .. }
        | Event::Entered { .. }
        | Event::DependsOn { .. }
        | Event::NotPromised { .. }
        | Event::BudgetWarned { .. }
        | Event::Deposited { .. }
        | Event::ProviderApplied { .. }
        | Event::ProviderStatusChanged { .. }
        | Event::Invited { .. }
        | Event::SiteOpened { .. }
        | Event::Challenged { .. }
        | Event::Found { .. }
        | Event::UsageSigned { .. }
        | Event::SpecStored { .. }
        | Event::GangSettled { .. }
        | Event::JobRetired { .. }
        // Their runs are jobs like any other.
        | Event::ScheduleMade { .. }
        | Event::SchedulePaused { .. }
        | Event::ScheduleResumed { .. }
        | Event::ScheduleAdvanced { .. }
        | Event::RunsMissed { .. }
        | Event::RunSkipped { .. }
        | Event::ScheduleEnded { .. }
        | Event::ScheduleRetired { .. }
        | Event::QuoteIssued { .. }
        | Event::QuoteLapsed { .. }
        | Event::Staging { .. }
        | Event::UsageRecorded { .. }
        | Event::WindowClosed { .. }
        | Event::TransfersRetired { .. } => {}
    }
}

/// What waited for such a thing of this job may go on now, if nothing else is in its way.
fn free_dependents(state: &State, on: JobId, of: impl Fn(After) -> bool, out: &mut Vec<Change>) {
    let depends = &state.work.depends;
    let waited = |id: &JobId| depends.of(*id).iter().any(|wait| wait.on == on && of(wait.after));
    for id in depends.by(on).filter(waited) {
        let Some(job) = state.work.jobs.get(&id).filter(|job| job.ended.is_none()) else {
            continue;
        };
        let tasks = waiting(state, job);
        if !tasks.is_empty() {
            out.push(Change::TasksQueued { job: id, tasks, avoid: Vec::new() });
        }
    }
}

/// A task has ended well: those of the same number that waited for it may go on.
fn free_elements(state: &State, done: AttemptId, out: &mut Vec<Change>) {
    for id in state.work.depends.by(done.job) {
        let Some(job) = state.work.jobs.get(&id) else { continue };
        let waits = job.gate == Gate::Open && job.queued.contains(done.task);
        if waits && state.work.is_ready(job, done.task) {
            let tasks = Tasks::one(done.task);
            out.push(Change::TasksQueued { job: id, tasks, avoid: Vec::new() });
        }
    }
}

/// Where the job does not go for now: everything of a provider under whom it failed lately.
fn avoid(state: &State, job: &Job, now: Time) -> Vec<plan::Avoid> {
    if job.setbacks.is_empty() {
        return Vec::new();
    }
    let until: BTreeMap<ProviderId, Time> = job.setbacks.standing(now).collect();
    let active = state.supply.pools.values().filter(|pool| pool.status == Status::Active);
    active
        .filter_map(|pool| {
            until.get(&pool.provider).map(|until| plan::Avoid { pool: pool.id, until: *until })
        })
        .collect()
}

fn placed(state: &State, lease: &Lease) -> Change {
    let latest = lease.latest_end();
    let job = &state.work.jobs[&lease.attempt.job];
    let expected = job.expected.map_or(lease.time_limit, |run| run.min(lease.time_limit));
    Change::LeasePlaced {
        attempt: lease.attempt,
        payer: plan::Payer { project: job.project, org: job.org },
        licenses: licenses(&state.work.spec_of(job).spec),
        pool: lease.pool,
        node: plan::NodeName::new(&lease.node),
        resources: lease.resources,
        cards: lease.cards,
        end: plan::LeaseEnd { expected: lease.placed_at.plus(expected).min(latest), latest },
        tenure: tenure(state, lease),
    }
}

/// What a task holds of each, by name.
fn licenses(spec: &JobSpec) -> BTreeMap<String, u32> {
    spec.licenses.iter().map(|license| (license.name.clone(), license.count)).collect()
}

/// May it be taken back, and from when on?
fn tenure(state: &State, lease: &Lease) -> plan::Tenure {
    if !lease.may_be_preempted() {
        return plan::Tenure::Kept;
    }
    plan::Tenure::Spot { since: lease.placed_at, spared_until: state.work.spared_until(lease) }
}

/// When leases of a pool were taken back lately, if any were.
fn preempted(state: &State, pool: PoolId) -> Option<Change> {
    let at = &state.supply.pools.get(&pool)?.preempted;
    (!at.is_empty()).then(|| Change::PoolPreempted { pool, at: at.clone() })
}

/// A pool and its offers, in full.
pub fn of_pool(state: &State, pool: &Pool, now: Time, out: &mut Vec<Change>) {
    if pool.status != Status::Active {
        out.push(Change::PoolGone(pool.id));
        return;
    }
    out.push(Change::PoolShown(Box::new(pool_view(state, pool, now))));
    show_offers(state, pool.id, now, out);
}

/// What the hour changes: how dirty the electricity of pools is, where that is known by the hour, and
/// the offers of pools of which some have a tariff.
pub fn of_hour(state: &State, now: Time) -> Vec<Change> {
    let priced = state.supply.offers.values().filter(|offer| offer.tariff.is_some());
    let pools: BTreeSet<PoolId> = priced.map(|offer| offer.pool).collect();
    let active = |pool: &&PoolId| {
        state.supply.pools.get(pool).is_some_and(|pool| pool.status == Status::Active)
    };
    let mut out = Vec::new();
    for pool in state.supply.pools.values().filter(|pool| pool.status == Status::Active) {
        if crate::grids::series_of(&state.supply, pool).is_some() {
            out.push(Change::PoolShown(Box::new(pool_view(state, pool, now))));
        }
    }
    for pool in pools.iter().filter(active) {
        show_offers(state, *pool, now, &mut out);
    }
    out
}

/// The hour of the day that prices go by.
pub fn hour(state: &State, now: Time) -> usize {
    state.settings.zone.hour(now)
}

fn show_offers(state: &State, pool: PoolId, now: Time, out: &mut Vec<Change>) {
    let listed = state.supply.offers.values().filter(|offer| offer.pool == pool);
    let record = state.supply.pools.get(&pool).map(|pool| pool.record).unwrap_or_default();
    let time_max = state.supply.pools.get(&pool).and_then(longest);
    let mut offers: Vec<plan::OfferView> = listed
        .map(|offer| plan::OfferView {
            offer: offer.id,
            accelerator: offer.accelerator.clone(),
            rate: offer.rate_at(now, state.settings.zone),
            hours: offer.hourly_rates().map(|rates| {
                let ahead = Span::from_secs(i64::from(state.settings.zone.minutes()) * 60);
                Arc::new(plan::HourlyRates { ahead, rates })
            }),
            minimum: offer.minimum,
            least: offer.task_min,
            most: Some(offer.task_max),
            time_max,
            classes: offer
                .classes
                .iter()
                .map(|(class, permille)| (class.name().to_owned(), *permille))
                .collect(),
            spot_permille: offer.spot_permille,
            reliability_permille: record.permille,
            closed: false,
        })
        .collect();
    offers.extend(promised(state, pool, record.permille));
    out.push(Change::OffersShown { pool, offers });
}

/// How long anything may run in the pool, where its site has a bound.
fn longest(pool: &Pool) -> Option<Span> {
    let minutes: i64 = pool.shown.inventory.get("slurm.minutes_max")?.parse().ok()?;
    Some(Span::from_secs(60).times(minutes))
}

/// Offers that are no longer listed, and that a firm quote of a job still promises.
fn promised(state: &State, pool: PoolId, reliability_permille: u32) -> Vec<plan::OfferView> {
    let taken = state.work.quotes.values().filter(|given| given.job.is_some());
    let lines = taken.flat_map(|given| &given.quote.lines);
    let gone =
        lines.filter(|line| line.pool == pool && !state.supply.offers.contains_key(&line.offer));
    let views: BTreeMap<_, _> = gone
        .map(|line| {
            let view = plan::OfferView {
                offer: line.offer,
                accelerator: None,
                rate: line.rate,
                hours: None,
                minimum: line.minimum,
                least: dayan_units::Resources::ZERO,
                most: None,
                time_max: None,
                classes: BTreeMap::new(),
                spot_permille: None,
                reliability_permille,
                closed: true,
            };
            (line.offer, view)
        })
        .collect();
    views.into_values().collect()
}

/// The pool as the planner sees it.
pub fn pool_view(state: &State, pool: &Pool, now: Time) -> plan::PoolView {
    let place = state.supply.place_of(pool);
    let found = PlaceId::find(place).ok().map(PlaceId::place);
    let verified = pool.verified_at.is_some_and(|at| now.since(at) <= VERIFIED_FOR);
    let stands = |attribute| pool.measured.measured(attribute, now).is_some();
    let measured = Attribute::ALL.iter().any(|attribute| stands(*attribute));
    let trust = match (verified, measured) {
        (true, true) => plan::Trust::Measured,
        (true, false) => plan::Trust::Verified,
        (false, _) => plan::Trust::Listed,
    };
    plan::PoolView {
        pool: pool.id,
        provider: pool.provider,
        site: pool.site,
        place: place.to_owned(),
        regions: found.map(regions).unwrap_or_default(),
        residence: residence(pool),
        trust,
        features: features(&pool.shown),
        placing: match pool.shown.placing {
            Placing::ByNode => plan::Placing::ByNode,
            Placing::ByPool => plan::Placing::ByPool,
        },
        fabric: pool.shown.fabric.clone(),
        nodes: {
            let nodes = pool.shown.nodes.iter().map(|node| node_view(pool, node, now));
            nodes.chain(queue_view(&pool.shown)).collect()
        },
        rules: plan::OrgRule::default(),
        carbon: crate::grids::carbon_of(state, pool, now),
        closures: pool.closures.iter().filter(|closure| closure.until > now).cloned().collect(),
    }
}

/// What its engine can do. One that runs images only says so itself if it has one for jobs that name
/// none; every other runs those.
fn features(shown: &crate::state::Shown) -> BTreeSet<String> {
    let mut features = shown.features.clone();
    if !IMAGE_ENGINES.contains(&shown.engine.as_str()) {
        features.insert(dayan_spec::JOBS_WITHOUT_IMAGE.to_owned());
    }
    features
}

/// The feature of a pool that lets jobs say this word to Slurm.
pub fn slurm_word(word: &str) -> String {
    format!("{}.{word}", Feature::SlurmOptions.as_str())
}

/// Engines that run container images and nothing else.
const IMAGE_ENGINES: [&str; 3] = ["podman", "docker", "kubernetes"];

/// What `placement.regions` may call the place by.
fn regions(place: &Place) -> BTreeSet<String> {
    [Some(place.province), place.hub, place.cluster]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
}

/// Domestic unless a card in it is known to come from elsewhere.
fn residence(pool: &Pool) -> plan::Residence {
    let foreign =
        pool.shown.nodes.iter().filter_map(|node| node.accelerator.as_deref()).any(|model| {
            dayan_measure::find_model(model).is_some_and(|model| !model.vendor.is_domestic())
        });
    if foreign { plan::Residence::Any } else { plan::Residence::Domestic }
}

fn node_view(pool: &Pool, node: &Node, now: Time) -> plan::NodeView {
    let rate = |precision: &Precision| {
        let rate = if node.accelerator.is_some() {
            dayan_measure::capability(&pool.measured, *precision, now)?
        } else {
            per_core(pool, *precision, now)?
        };
        Some((precision.name().to_owned(), rate))
    };
    plan::NodeView {
        name: plan::NodeName::new(&node.name),
        total: node.total,
        count: 1,
        accelerator: node.accelerator.clone(),
        capability: Precision::ALL.iter().filter_map(rate).collect(),
        features: node.features.clone(),
        leaf: node.leaf.clone(),
        up: if node.up { plan::NodeUp::Up } else { plan::NodeUp::Down },
        waits: None,
    }
}

/// The places in its own queue, as one group of nodes.
fn queue_view(shown: &crate::state::Shown) -> Option<plan::NodeView> {
    let queue = shown.queue?;
    let up = shown.nodes.iter().any(|node| node.up);
    Some(plan::NodeView {
        count: queue.places,
        up: if up { plan::NodeUp::Up } else { plan::NodeUp::Down },
        waits: Some(queue.time_max),
        ..plan::NodeView::plain(QUEUE_NODE, queue.unit)
    })
}

/// What a core was measured to reach while all of them work: a part of the rate of all. The
/// machine counts its threads, which is what pools sell as cores.
pub fn per_core(pool: &Pool, precision: Precision, now: Time) -> Option<FlopRate> {
    let all = dayan_measure::cpu_capability(&pool.measured, precision, now)?;
    let threads: u64 = pool.shown.inventory.get("cpu.threads")?.parse().ok()?;
    all.0.checked_div(threads).map(FlopRate)
}

/// A job as the planner sees it, with these tasks waiting.
pub fn job_ask(state: &State, job: &Job, tasks: Tasks) -> plan::JobAsk {
    let stored = state.work.spec_of(job);
    let class = state.access.orgs.get(&job.org).map_or(BuyerClass::External, |org| org.class);
    let mut ask = ask_for(state, &stored.spec, class, &job.data);
    // They ask for the same, but for those whose places were promised together.
    let memory = if job.memory.is_some() || job.is_mixed() {
        tasks.iter().map(|task| job.memory_of(task)).max().flatten()
    } else {
        None
    };
    if memory.is_some() {
        let ask = Arc::make_mut(&mut ask.ask);
        ask.resources = grown(ask.resources, memory);
        ask.most = ask.most.map(|most| grown(most, memory));
    }
    ask.job = job.id;
    ask.project = job.project;
    ask.org = job.org;
    ask.submitted_at = job.submitted_at;
    ask.expected = job.expected;
    ask.tasks_total = job.task_count();
    ask.tasks = tasks;
    let soft = stored.spec.deadline.as_ref().is_some_and(|by| by.kind == DeadlineKind::Soft);
    ask.soft_deadline = job.deadline.filter(|_| soft);
    ask.quote = job.quote.and_then(|(quote, _)| pin(state, quote));
    ask
}

/// Where a quote binds its job to.
pub fn pin(state: &State, quote: QuoteId) -> Option<plan::Pin> {
    let line = *state.work.quotes.get(&quote)?.quote.lines.first()?;
    Some(plan::Pin { pool: line.pool, offer: line.offer })
}

/// A job file as the planner sees it, for a question or for a job.
///
/// `data`: what is known of its inputs in the data store; the file may say more of others.
pub fn ask_for(
    state: &State,
    spec: &JobSpec,
    class: BuyerClass,
    data: &[plan::DataAt],
) -> plan::JobAsk {
    let zero = dayan_units::ProjectId::from_bits(0);
    let tasks = spec.task_count();
    plan::JobAsk {
        job: JobId::from_bits(0),
        project: zero,
        org: dayan_units::OrgId::from_bits(0),
        buyer_class: class.name().to_owned(),
        submitted_at: Time::EPOCH,
        priority: match spec.priority {
            dayan_spec::Priority::Low => -1,
            dayan_spec::Priority::Normal => 0,
            dayan_spec::Priority::High => 1,
        },
        ask: Arc::new(plan::Ask { data: inputs(spec, data), ..ask(state, spec) }),
        expected: None,
        strict: spec.strict,
        tasks: Tasks::range(0..tasks),
        tasks_total: u64::from(tasks),
        max_parallel: spec.array.as_ref().and_then(|array| array.max_parallel),
        gang: spec.gang.as_ref().map(|gang| plan::GangAsk {
            size: gang.nodes,
            same: match gang.same.iter().max() {
                Some(dayan_spec::Same::Leaf) => plan::Same::Leaf,
                Some(dayan_spec::Same::Fabric) => plan::Same::Fabric,
                // Members of a gang exchange data all the time: without a common fabric they at
                // least share a pool.
                Some(dayan_spec::Same::Site) | None => plan::Same::Pool,
            },
            near: gang.near.and_then(|near| match near {
                dayan_spec::Same::Leaf => Some(plan::Same::Leaf),
                dayan_spec::Same::Fabric => Some(plan::Same::Fabric),
                dayan_spec::Same::Site => None,
            }),
            least: gang.min,
        }),
        begin: spec.begin,
        soft_deadline: None,
        prefer: spec.prefer.iter().map(|wish| preference(*wish)).collect(),
        quote: None,
        max_unit_price: spec.market.max_unit_price.as_ref().map(|price| price.per_hour.micro),
        max_price: None,
    }
}

/// What has to be brought, as far as it is known how much it is and where it lies.
fn inputs(spec: &JobSpec, stored: &[plan::DataAt]) -> Vec<plan::DataAt> {
    let declared = spec.inputs.iter().filter_map(|input| {
        // What is in the data store is known better there.
        let elsewhere = !matches!(input.from, dayan_spec::Location::Store(_));
        let (bytes, at) = (input.size?, input.at.as_ref()?);
        let key = input.sha256.as_deref().and_then(data_key);
        elsewhere.then(|| plan::DataAt { place: place_name(at), bytes, key })
    });
    stored.iter().cloned().chain(declared).collect()
}

/// What a file is known by where its site's cache is compared: the first 64 bits of its SHA-256.
pub fn data_key(sha256: &str) -> Option<u64> {
    u64::from_str_radix(sha256.get(..16)?, 16).ok()
}

fn preference(wish: dayan_spec::Preference) -> plan::Preference {
    match wish {
        dayan_spec::Preference::Price => plan::Preference::Price,
        dayan_spec::Preference::Start | dayan_spec::Preference::Data => plan::Preference::Start,
        dayan_spec::Preference::Delay => plan::Preference::Delay,
        dayan_spec::Preference::Carbon => plan::Preference::Carbon,
        dayan_spec::Preference::Deadline => plan::Preference::Deadline,
    }
}

fn ask(state: &State, spec: &JobSpec) -> plan::Ask {
    let resources = &spec.resources;
    let mut ask = plan::Ask::plain(resources.least(None), resources.time);
    let most = dayan_units::Resources { cpu: resources.most_cpus(), ..ask.resources };
    // Under a limit of the job's own, what one task has more another may lack.
    let limited = spec.market.max_price.is_some() || spec.market.budget.is_some();
    ask.most = Some(most).filter(|most| *most != ask.resources && !limited);
    ask.accelerators = resources
        .accelerators
        .iter()
        .map(|cards| plan::AcceleratorChoice {
            label: cards.kind.to_string(),
            models: models(&cards.kind),
            cards: cards.count,
        })
        .collect();
    ask.capability = resources
        .speed
        .iter()
        .map(|(precision, range)| (precision.as_str().to_owned(), range.min))
        .collect();
    ask.delay = spec.network.as_ref().map(|network| {
        let delay = &network.delay;
        plan::DelayAsk {
            class: delay.class.as_str().to_owned(),
            bound: DelayClasses::default().bound(match delay.class {
                dayan_spec::DelayClass::T1 => dayan_topology::DelayClass::T1,
                dayan_spec::DelayClass::T2 => dayan_topology::DelayClass::T2,
                dayan_spec::DelayClass::T3 => dayan_topology::DelayClass::T3,
            }),
            from: delay.from.iter().map(place_name).collect(),
            percentile: delay.percentile,
        }
    });
    let placement = &spec.placement;
    ask.licenses = licenses(spec);
    ask.node_features = placement.features.iter().cloned().collect();
    // As the network writes it, whatever the job file calls it.
    let named = |name: &String| Region::find(name).map_or(name.clone(), |r| r.name().to_owned());
    ask.regions = placement.regions.iter().map(named).collect();
    ask.sites = sites(state, &placement.sites);
    ask.residence =
        if placement.domestic { plan::Residence::Domestic } else { plan::Residence::Any };
    ask.providers_allowed = providers(state, &placement.providers.allow);
    ask.providers_denied = providers(state, &placement.providers.deny);
    ask.trust = match placement.trust {
        dayan_spec::Trust::Listed => plan::Trust::Listed,
        dayan_spec::Trust::Verified => plan::Trust::Verified,
        dayan_spec::Trust::Measured => plan::Trust::Measured,
    };
    // Spot is sold by offers, whatever the engine of their pool can do.
    let of_pools = dayan_spec::requirements(spec).into_iter().filter(|f| *f != Feature::Spot);
    ask.pool_features = of_pools.map(|feature| feature.as_str().to_owned()).collect();
    ask.pool_features.extend(spec.backend.slurm.keys().map(|word| slurm_word(word)));
    if spec.image.is_none() && spec.steps.is_empty() {
        ask.pool_features.insert(dayan_spec::JOBS_WITHOUT_IMAGE.to_owned());
    }
    ask.falls_back = spec.market.falls_back();
    ask.mode = match mode_of(spec) {
        OfferMode::OnDemand => plan::Mode::OnDemand,
        OfferMode::Spot => plan::Mode::Spot,
    };
    ask
}

fn place_name(place: &dayan_spec::Place) -> String {
    match place {
        dayan_spec::Place::City(city) => city.clone(),
    }
}

fn models(kind: &AcceleratorKind) -> plan::Models {
    match kind {
        AcceleratorKind::Any => plan::Models::Any,
        AcceleratorKind::AnyOf(_) | AcceleratorKind::Model(_) => {
            let ask = kind.to_string();
            let known = dayan_measure::matching(&ask).into_iter();
            let mut matching: BTreeSet<String> = known.map(str::to_owned).collect();
            // A model that the catalogue does not know is taken by its own name.
            matching.insert(ask);
            plan::Models::OneOf(Arc::new(matching))
        }
    }
}

/// Sites by what the job file calls them, as with providers below.
fn sites(state: &State, names: &[String]) -> BTreeSet<SiteId> {
    let known = state.supply.sites.values();
    let mut found: BTreeSet<SiteId> = known
        .filter(|site| names.iter().any(|name| site.is_called(name)))
        .map(|site| site.id)
        .collect();
    if found.is_empty() && !names.is_empty() {
        found.insert(SiteId::from_bits(0));
    }
    found
}

/// Providers by what the job file calls them. One that nobody knows matches nobody; an allow-list
/// of only such names must not become "anybody".
fn providers(state: &State, refs: &[dayan_spec::ProviderRef]) -> BTreeSet<ProviderId> {
    let known = state.supply.providers.values();
    let mut found: BTreeSet<ProviderId> = known
        .filter(|provider| refs.iter().any(|r| r.matches(provider.id, &provider.name)))
        .map(|provider| provider.id)
        .collect();
    if found.is_empty() && !refs.is_empty() {
        found.insert(ProviderId::from_bits(0));
    }
    found
}
