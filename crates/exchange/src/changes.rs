//! The state in the planner's words: what an event means for it, and everything at once for a
//! planner that starts.

mod asks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_identity::Status;
use dayan_measure::{Attribute, Precision};
use dayan_schedule as plan;
use dayan_schedule::{Change, Tasks};
use dayan_spec::{After, Feature, JobSpec};
use dayan_topology::{Place, PlaceId};
use dayan_units::{AttemptId, FlopRate, JobId, PoolId, ProviderId, Span, Time};

use crate::command::CarbonOf;
use crate::event::{Entry, Event, Next};
use crate::partitions;
use crate::state::{Gate, Job, Lease, Node, Placing, Pool, QUEUE_NODE, State, VERIFIED_FOR};

pub use asks::{ask_for, data_key, job_ask, pin};

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
    for lease in state.work.leases.values().filter(|lease| !lease.room_free) {
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
    out.push(Change::ShortJobs(state.work.short.clone()));
    out
}

/// A job in full.
fn queued(state: &State, job: &Job, now: Time, out: &mut Vec<Change>) {
    let tasks = waiting(state, job);
    let avoid = avoid(state, job, &tasks, now);
    out.push(Change::JobQueued(Box::new(job_ask(state, job, tasks))));
    if !avoid.is_empty() {
        out.push(Change::TasksQueued { job: job.id, tasks: Tasks::none(), avoid });
    }
}

/// The tasks of a job that may be placed.
fn waiting(state: &State, job: &Job) -> Tasks {
    match job.gate {
        Gate::Open => job.next_of(&state.work.ready_tasks(job)),
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
    // Whose turn it is may have changed by it. Also where none waits: who waits next may ask otherwise.
    let anew = |job: &&Job| match event {
        // What some of its tasks stayed away from, all do from now on.
        Event::AttemptEnded { pool, next: Next::Requeued, .. } => {
            job.barred.since(*pool) == Some(at)
        }
        _ => false,
    };
    let living = state.work.jobs.get(&job).filter(|job| job.ended.is_none());
    if let Some(job) = living.filter(|job| job.is_mixed() || anew(job)) {
        queued(state, job, at, out);
    }
}

fn told(state: &State, at: Time, event: &Event, out: &mut Vec<Change>) {
    let job = |id: &JobId| state.work.jobs.get(id);
    match event {
        Event::AgentJoined { pool, .. }
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
        Event::PoolShown { pool, .. } | Event::PoolStatusChanged { pool, .. } => {
            if let Some(pool) = state.supply.pools.get(pool) {
                of_pool(state, pool, at, out);
                let shown_as_before = matches!(event, Event::PoolShown { .. }) && !pool.renamed;
                let beside = partitions::reaching(state)
                    .filter(|other| other.id != pool.id && !shown_as_before);
                out.extend(beside.map(|other| {
                    Change::PoolShown(Box::new(pool_view(state, other, at)))
                }));
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
        Event::JobSubmitted { job: id, .. } => {
            if let Some(job) = job(id) {
                queued(state, job, at, out);
            }
            out.push(Change::ShortJobs(state.work.short.clone()));
        }
        Event::TasksRetried { job: id, .. }
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
                again(state, job, waiting(state, job), at, out);
            }
        }
        Event::TasksCancelled { job, tasks } | Event::GangShrunk { job, tasks } => {
            out.push(Change::TasksTaken { job: *job, tasks: tasks.clone() });
        }
        Event::GangSettled { job: id, next: Next::RequeuedFree | Next::Requeued } => {
            if let Some(job) = job(id) {
                again(state, job, waiting(state, job), at, out);
            }
        }
        Event::JobEnded { job, .. } => {
            out.push(Change::JobGone(*job));
            free_dependents(state, *job, |_| true, at, out);
        }
        Event::Started { attempt, .. } => {
            free_dependents(state, attempt.job, |after| after == After::Started, at, out);
        }
        Event::Leased { lease, .. } => out.push(placed(state, lease)),
        Event::StopAsked { attempt, .. } | Event::PublishGranted { attempt } => {
            out.push(Change::LeaseStopping { attempt: *attempt, by: None });
        }
        Event::RoomFreed { attempt } => out.push(Change::LeaseEnded { attempt: *attempt }),
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
                free_elements(state, *attempt, at, out);
            }
            let requeued = matches!(next, Next::Requeued | Next::RequeuedFree);
            let open = job(&attempt.job).filter(|job| job.gate == Gate::Open);
            if let Some(job) = open.filter(|_| requeued) {
                again(state, job, Tasks::one(attempt.task), at, out);
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
        | Event::PriorityMostSet { .. }
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
        | Event::SiteCounted { .. }
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
        | Event::Located { .. }
        | Event::UsageRecorded { .. }
        | Event::WindowClosed { .. }
        | Event::TransfersRetired { .. } => {}
    }
}

/// Tasks of a job wait again.
fn again(state: &State, job: &Job, tasks: Tasks, at: Time, out: &mut Vec<Change>) {
    let avoid = avoid(state, job, &tasks, at);
    out.push(Change::TasksQueued { job: job.id, tasks, avoid });
}

/// What these tasks of a job waited for has happened.
fn may_go(state: &State, job: &Job, tasks: Tasks, at: Time, out: &mut Vec<Change>) {
    if job.is_mixed() {
        queued(state, job, at, out);
    } else {
        again(state, job, tasks, at, out);
    }
}

/// What waited for such a thing of this job may go on now, if nothing else is in its way.
fn free_dependents(
    state: &State,
    on: JobId,
    of: impl Fn(After) -> bool,
    at: Time,
    out: &mut Vec<Change>,
) {
    let depends = &state.work.depends;
    let waited = |id: &JobId| depends.of(*id).iter().any(|wait| wait.on == on && of(wait.after));
    for id in depends.by(on).filter(waited) {
        let Some(job) = state.work.jobs.get(&id).filter(|job| job.ended.is_none()) else {
            continue;
        };
        let tasks = waiting(state, job);
        if !tasks.is_empty() {
            may_go(state, job, tasks, at, out);
        }
    }
}

/// A task has ended well: those of the same number that waited for it may go on.
fn free_elements(state: &State, done: AttemptId, at: Time, out: &mut Vec<Change>) {
    for id in state.work.depends.by(done.job) {
        let Some(job) = state.work.jobs.get(&id) else { continue };
        let waits = job.gate == Gate::Open && job.queued.contains(done.task);
        if waits && state.work.is_ready(job, done.task) {
            may_go(state, job, Tasks::one(done.task), at, out);
        }
    }
}

/// Where these tasks of a job do not go for now: everything of a provider under whom it failed lately, and
/// pools that have not what they ask for.
fn avoid(state: &State, job: &Job, tasks: &Tasks, now: Time) -> Vec<plan::Avoid> {
    if job.setbacks.is_empty() && job.barred.is_empty() && !job.is_mixed() {
        return Vec::new();
    }
    let until: BTreeMap<ProviderId, Time> = job.setbacks.standing(now).collect();
    let bars = job.bars(tasks, now);
    let active = state.supply.pools.values().filter(|pool| pool.status == Status::Active);
    active
        .filter_map(|pool| {
            let barred = bars.get(&pool.id).copied();
            let until = until.get(&pool.provider).copied().max(barred)?;
            Some(plan::Avoid { pool: pool.id, until })
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
    if !state.work.may_be_preempted(lease) {
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
    let permille = state.supply.pools.get(&pool).map(|pool| pool.record.permille);
    let permille = permille.unwrap_or_else(|| crate::state::Record::default().permille);
    let time_max = state.supply.pools.get(&pool).and_then(longest);
    let mut offers: Vec<plan::OfferView> = listed
        .map(|offer| plan::OfferView {
            offer: offer.id,
            accelerator: offer.accelerator.as_deref().map(by_catalogue),
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
            reliability_permille: permille,
            closed: false,
        })
        .collect();
    offers.extend(promised(state, pool, permille));
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
    let nodes = pool.shown.nodes.iter().map(|node| node_view(pool, node, now));
    let nodes = nodes.chain(queue_view(&pool.shown)).collect();
    plan::PoolView { nodes, ..pool_alone(state, pool, now) }
}

/// The same without its nodes, of which there may be thousands.
pub fn pool_alone(state: &State, pool: &Pool, now: Time) -> plan::PoolView {
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
        features: features(state, pool),
        placing: match pool.shown.placing {
            Placing::ByNode => plan::Placing::ByNode,
            Placing::ByPool => plan::Placing::ByPool,
        },
        fabric: pool.shown.fabric.clone(),
        nodes: Vec::new(),
        rules: plan::OrgRule::default(),
        carbon: crate::grids::carbon_of(state, pool, now),
        closures: pool.closures.iter().filter(|closure| closure.until > now).cloned().collect(),
    }
}

/// What its engine can do. One that runs images only says so itself if it has one for jobs that name
/// none; every other runs those.
fn features(state: &State, pool: &Pool) -> BTreeSet<String> {
    let shown = &pool.shown;
    let mut features = shown.features.clone();
    features.extend(partitions::shown(state, pool));
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

/// Domestic unless a card in it, or its processor, is known to come from elsewhere. What the
/// catalogue does not know is not held against it: most pools show no more than their cards.
fn residence(pool: &Pool) -> plan::Residence {
    let vendors = || {
        let models = pool.shown.nodes.iter().filter_map(|node| node.accelerator.as_deref());
        models.filter_map(dayan_measure::vendor)
    };
    let processor = pool.shown.inventory.get("cpu.model");
    let origin = processor.and_then(|brand| dayan_measure::cpu_origin(brand));
    let foreign_cards = vendors().any(|vendor| !vendor.is_domestic());
    if foreign_cards || origin == Some(dayan_measure::Origin::Foreign) {
        plan::Residence::Any
    } else {
        plan::Residence::Domestic
    }
}

/// A model as the planner compares it, whichever name a pool or an offer was told it by, and before the
/// catalogue knew it.
fn by_catalogue(model: &str) -> String {
    dayan_measure::canonical(model).to_owned()
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
        accelerator: node.accelerator.as_deref().map(by_catalogue),
        capability: Precision::ALL.iter().filter_map(rate).collect(),
        features: node.features.clone(),
        leaf: node.leaf.clone(),
        islands: node.islands.clone(),
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
