//! Jobs in the planner's words: what a file asks of places, and a job with the tasks of it that wait.
//!
//! Invariant: which partitions, regions and machines are asked for is the file's alone. Must not know
//! what happens to jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_market::{BuyerClass, OfferMode};
use dayan_schedule as plan;
use dayan_schedule::Tasks;
use dayan_spec::{AcceleratorKind, DeadlineKind, Feature, JobSpec};
use dayan_topology::{DelayClasses, Region};
use dayan_units::{JobId, ProviderId, QuoteId, SiteId, Time};

use super::{licenses, slurm_word};
use crate::partitions;
use crate::state::{Job, State, grown, mode_of};

/// A job as the planner sees it, with these tasks waiting.
pub fn job_ask(state: &State, job: &Job, tasks: Tasks) -> plan::JobAsk {
    let stored = state.work.spec_of(job);
    let class = state.access.orgs.get(&job.org).map_or(BuyerClass::External, |org| org.class);
    let mut ask = ask_for(state, &stored.spec, class, &job.data);
    // They ask for the same, but for those whose places were promised together.
    let memory = job.memory_among(&tasks);
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
    ask.at_least = job.at_least;
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
        at_least: None,
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

/// What each task of a job file asks of a place.
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
    let words = spec.backend.slurm.keys().filter(|word| *word != partitions::PARTITION);
    ask.pool_features.extend(words.map(|word| slurm_word(word)));
    ask.pool_one_of = partitions::asks(spec);
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
