//! Providers, pools, names, delays.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::{Action, Command, Made, Pool, Resource};
use dayan_identity::{self as identity, Answer, AttestationStanding, Nonce, Status};
use dayan_measure::Standing;
use dayan_schedule::{Closure, NodeName};
use dayan_topology::PlaceId;
use dayan_units::{
    FlopRate, Micro, MilliAccel, MilliCpu, PoolId, ProviderId, Resources, Span, Time,
};
use dayan_wire as wire;
use serde::Deserialize;

use super::Problems;
use super::access::{Created, created, unexpected};
use super::extract::{Body, Caller, Params, Path, id, whole};
use crate::app::{Shared, digest};
use crate::problem::Failure;
use crate::random::{random_bytes, secret};
use crate::writer::Live;

/// How long an invitation stands unless told.
const INVITATION_SECS: u32 = 3_600;
/// The reference core that capacities are told in now.
const CORE_REFERENCE: u32 = 1;
/// Places in one matrix: the table has 61.
const MATRIX_PLACES_MAX: usize = 64;

pub(super) fn status(name: &str) -> Result<Status, Failure> {
    Status::ALL.into_iter().find(|status| status.to_string() == name).ok_or_else(|| {
        Failure::invalid(
            "status.unknown",
            format!("`{}` is no status", name.chars().take(40).collect::<String>()),
            "use verified, active, suspended or retired",
        )
    })
}

/// Providers.
#[utoipa::path(get, path = "/v1/providers", responses((status = 200, body = wire::Page<wire::Provider>), Problems))]
pub async fn list_providers(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Provider>>, Failure> {
    caller.scope(Resource::Provider, Action::Read)?;
    // What others earn is theirs to know.
    let money = caller.scope(Resource::Deposit, Action::Read)?;
    let list = app.writer.ask(move |live| {
        let state = &live.state;
        let row = |provider: &dayan_exchange::Provider| {
            let account = state.ledger.account(provider.account);
            let visible = money.is_none_or(|own| own == provider.org);
            let earned = account.map_or(Micro::ZERO, dayan_ledger::Account::posted);
            let pools = state.supply.pools.values();
            wire::Provider {
                id: provider.id.to_string(),
                name: provider.name.clone(),
                org: state
                    .access
                    .orgs
                    .get(&provider.org)
                    .map_or_else(String::new, |o| o.name.clone()),
                status: provider.status.to_string(),
                earned: if visible { earned.decimal() } else { String::new() },
                currency: state.settings.currency.to_string(),
                pools: u32::try_from(pools.filter(|pool| pool.provider == provider.id).count())
                    .unwrap_or(u32::MAX),
            }
        };
        state.supply.providers.values().map(row).collect()
    });
    Ok(Json(whole(list.await?)))
}

/// An organisation applies as a provider.
#[utoipa::path(post, path = "/v1/providers", request_body = wire::NewProvider,
    responses((status = 201, body = Created), Problems))]
pub async fn apply(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewProvider>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let command =
        Command::ApplyProvider { org: new.org, name: new.name, credit_code: new.credit_code };
    match app.command(caller.actor(), command).await? {
        Made::Provider(id) => Ok(created(&id)),
        _ => Err(unexpected()),
    }
}

/// Moves a provider along: verified, active, suspended, retired.
#[utoipa::path(post, path = "/v1/providers/{id}/status", request_body = wire::SetStatus,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_provider_status(
    State(app): State<Shared>,
    caller: Caller,
    Path(provider): Path<String>,
    Body(body): Body<wire::SetStatus>,
) -> Result<StatusCode, Failure> {
    let provider: ProviderId = id("provider", &provider)?;
    let command = Command::SetProviderStatus { provider, status: status(&body.status)? };
    app.command(caller.actor(), command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A one-time join token for one agent of the provider. It is shown this once.
#[utoipa::path(post, path = "/v1/providers/{id}/invitations", request_body = wire::NewInvitation,
    params(("id" = String, Path)), responses((status = 201, body = wire::Invitation), Problems))]
pub async fn invite(
    State(app): State<Shared>,
    caller: Caller,
    Path(provider): Path<String>,
    Body(new): Body<wire::NewInvitation>,
) -> Result<(StatusCode, Json<wire::Invitation>), Failure> {
    let provider: ProviderId = id("provider", &provider)?;
    let secret = secret("dyi");
    let secs = new.expires_in.unwrap_or(INVITATION_SECS);
    let expires_at = app.now().plus(Span::from_secs(secs.into()));
    let command = Command::Invite { provider, digest: digest(&secret), expires_at };
    app.command(caller.actor(), command).await?;
    let token = wire::JoinToken { secret, fingerprint: app.fingerprint.clone() }.text();
    let invitation = wire::Invitation { token, expires_at: expires_at.to_string() };
    Ok((StatusCode::CREATED, Json(invitation)))
}

fn pool_of(live: &Live, pool: &dayan_exchange::Pool) -> wire::Pool {
    let supply = &live.state.supply;
    let load = live.state.work.load.get(&pool.id);
    let silent = live.liveness.is_silent(pool.agent, live.now);
    let node = |node: &dayan_exchange::Node| {
        let used = load.and_then(|nodes| nodes.get(&node.name)).map_or(MilliCpu::ZERO, |r| r.cpu);
        let MilliAccel(_) = node.total.accel;
        wire::Node {
            name: node.name.clone(),
            cpus: node.total.cpu.to_string(),
            memory: node.total.memory.0,
            accelerators: node.total.accel.to_string(),
            accelerator: node.accelerator.clone(),
            features: node.features.clone(),
            leaf: node.leaf.clone(),
            islands: node.islands.clone(),
            up: node.up && !silent,
            cpus_used: used.to_string(),
            cpus_others: None,
        }
    };
    wire::Pool {
        id: pool.id.to_string(),
        crn: pool.crn.to_string(),
        name: pool.name.clone(),
        provider: supply.providers.get(&pool.provider).map_or_else(String::new, |p| p.name.clone()),
        site: supply.place_of(pool).to_owned(),
        status: pool.status.to_string(),
        engine: pool.shown.engine.clone(),
        fence: match pool.shown.fence {
            dayan_exchange::Fence::Keeper => "keeper",
            dayan_exchange::Fence::Wrapper => "wrapper",
            dayan_exchange::Fence::Cluster => "cluster",
            dayan_exchange::Fence::None => "none",
        }
        .to_owned(),
        isolation: pool.shown.inventory.get("agent.isolation").cloned(),
        cluster: cluster_of(&pool.shown.inventory),
        fabric: pool.shown.fabric.clone(),
        nodes: pool.shown.nodes.iter().map(node).collect(),
        heard_at: live.liveness.last(pool.agent).map(|at| at.to_string()),
        verified_at: pool.verified_at.map(|at| at.to_string()),
        standard: standard_units(pool, live.now),
        closures: closures_of(pool, live.now),
        reliability: Some(reliability(&pool.record)),
        queue_ahead: pool.shown.queue.map(|queue| {
            let cores = queue.unit.cpu.0.saturating_mul(u64::from(queue.places)) / 1_000;
            u32::try_from(cores).unwrap_or(u32::MAX)
        }),
        others: None,
    }
}

/// Whose lines of an inventory speak of a cluster.
const OF_A_CLUSTER: [&str; 2] = ["slurm.", "kubernetes."];

/// The lines about the cluster behind a pool that say something.
fn cluster_of(inventory: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let of = |name: &str| OF_A_CLUSTER.iter().any(|begin| name.starts_with(begin));
    let lines = inventory.iter().filter(|(name, value)| of(name) && !value.is_empty());
    lines.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What an hour of the whole pool comes to, as far as its speed was measured and still stands.
fn standard_units(pool: &dayan_exchange::Pool, now: Time) -> Vec<wire::StandardUnits> {
    const HOUR: Span = Span::from_secs(3_600);
    let found = |unit: &str, micro: u64, formula: u32, method: &dayan_measure::Method| {
        wire::StandardUnits {
            unit: unit.to_owned(),
            per_hour: Micro(i64::try_from(micro).unwrap_or(i64::MAX)).decimal(),
            formula,
            method: format!("{} {}", method.name, method.version),
        }
    };
    let standing = |attribute| match pool.measured.standing(attribute, now) {
        Standing::Valid(measurement) => Some(measurement),
        Standing::Expired(_) | Standing::Voided(_) | Standing::Unmeasured => None,
    };
    let mut units = Vec::new();
    let shown = &pool.shown.nodes;
    let cores = MilliCpu(shown.iter().map(|node| node.total.cpu.0).sum());
    let per_core = dayan_exchange::changes::per_core(pool, dayan_measure::Precision::Fp64, now);
    if let (Some(rate), Some(measured), Some(reference)) = (
        per_core,
        standing(dayan_measure::Attribute::CpuDgemmAll),
        dayan_measure::reference(CORE_REFERENCE),
    ) {
        let method = measured.method.clone();
        let hours = dayan_measure::normalise_cores(reference, rate, method, cores, HOUR);
        units.extend(hours.map(|n| found("core-h", n.quantity.0, n.version, &n.method)));
    }
    let cards = MilliAccel(shown.iter().map(|node| node.total.accel.0).sum());
    if let Some(measured) = standing(dayan_measure::Attribute::AccelFp16)
        && cards > MilliAccel::ZERO
    {
        // Without a nominal rate the measured one is the whole of it.
        let nominal = FlopRate(measured.nominal.unwrap_or(measured.measured));
        let (rate, method) = (FlopRate(measured.measured), measured.method.clone());
        let derate = dayan_measure::Derate::from_benchmark(nominal, rate, method);
        let units_of =
            |derate| dayan_measure::normalise_accelerators(nominal, &derate, cards, HOUR);
        let hours = derate.and_then(units_of);
        units.extend(hours.map(|n| found("SCU", n.quantity.0, n.version, &n.method)));
    }
    units
}

/// Pools.
#[utoipa::path(get, path = "/v1/pools", responses((status = 200, body = wire::Page<wire::Pool>), Problems))]
pub async fn list_pools(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Pool>>, Failure> {
    caller.scope(Resource::Pool, Action::Read)?;
    let list = app.writer.ask(|live| {
        let pools = live.state.supply.pools.values();
        pools.map(|pool| (pool.id, pool_of(live, pool))).collect::<Vec<_>>()
    });
    let pools = list.await?.into_iter();
    Ok(Json(whole(pools.map(|(id, pool)| with_others(&app, id, pool)).collect())))
}

/// One pool.
#[utoipa::path(get, path = "/v1/pools/{id}", params(("id" = String, Path)),
    responses((status = 200, body = wire::Pool), Problems))]
pub async fn show_pool(
    State(app): State<Shared>,
    caller: Caller,
    Path(pool): Path<String>,
) -> Result<Json<wire::Pool>, Failure> {
    caller.scope(Resource::Pool, Action::Read)?;
    let wanted: PoolId = id("pool", &pool)?;
    let found = app
        .writer
        .ask(move |live| live.state.supply.pools.get(&wanted).map(|pool| pool_of(live, pool)));
    let found = found.await?.ok_or_else(|| Failure::not_found("pool", &pool))?;
    Ok(Json(with_others(&app, wanted, found)))
}

/// A pool with what others do in it, as far as that is known.
fn with_others(app: &Shared, id: PoolId, pool: wire::Pool) -> wire::Pool {
    let Some((at, load)) = app.loads.of(id, app.now()) else { return pool };
    let all = load.held.iter().map(|part| part.resources);
    let sum = all.fold(Resources::ZERO, |sum, one| sum.checked_add(&one).unwrap_or(sum));
    let forecast = |secs| at.plus(Span::from_secs(i64::try_from(secs).unwrap_or(i64::MAX)));
    let others = wire::OthersLoad {
        cpus: sum.cpu.to_string(),
        memory: sum.memory.0,
        accelerators: sum.accel.to_string(),
        waiting: load.others_waiting,
        ours_waiting: load.ours_waiting,
        forecast_at: load.forecast_s.map(|secs| forecast(secs).to_string()),
        accounts: load.accounts,
        seen_at: at.to_string(),
    };
    let mut by_node: BTreeMap<&str, MilliCpu> = BTreeMap::new();
    for part in &load.held {
        let sum = by_node.entry(part.node.as_str()).or_insert(MilliCpu::ZERO);
        *sum = MilliCpu(sum.0.saturating_add(part.resources.cpu.0));
    }
    let with = |node: wire::Node| {
        let held = by_node.get(node.name.as_str()).map(MilliCpu::to_string);
        wire::Node { cpus_others: held, ..node }
    };
    let nodes = pool.nodes.into_iter().map(with).collect();
    wire::Pool { nodes, others: Some(others), ..pool }
}

fn attributes(live: &Live, pool: &dayan_exchange::Pool) -> Vec<wire::Attribute> {
    let measured = &pool.measured;
    let rows = measured.slots().filter_map(|(attribute, _)| {
        let (measurement, standing) = match measured.standing(attribute, live.now) {
            Standing::Valid(measurement) => (measurement, "valid"),
            Standing::Expired(measurement) => (measurement, "expired"),
            Standing::Voided(measurement) => (measurement, "voided"),
            Standing::Unmeasured => return None,
        };
        Some(wire::Attribute {
            name: attribute.name().to_owned(),
            unit: attribute.unit().symbol().to_owned(),
            nominal: measurement.nominal,
            measured: Some(measurement.measured),
            method: Some(format!("{} {}", measurement.method.name, measurement.method.version)),
            at: Some(measurement.at.to_string()),
            sharing: Some(word(measurement.sharing)),
            standing: standing.to_owned(),
            key: measurement.signature.as_ref().map(|signed| signed.key.clone()),
            signature: measurement.signature.as_ref().map(|signed| signed.signature.clone()),
            signed: measurement.signature.is_some().then(|| measurement.material()),
        })
    });
    rows.collect()
}

/// What was measured of a pool, nominal beside measured.
#[utoipa::path(get, path = "/v1/pools/{id}/measured", params(("id" = String, Path)),
    responses((status = 200, body = Vec<wire::Attribute>), Problems))]
pub async fn measured(
    State(app): State<Shared>,
    caller: Caller,
    Path(pool): Path<String>,
) -> Result<Json<Vec<wire::Attribute>>, Failure> {
    caller.scope(Resource::Pool, Action::Read)?;
    let wanted: PoolId = id("pool", &pool)?;
    let found = app
        .writer
        .ask(move |live| live.state.supply.pools.get(&wanted).map(|pool| attributes(live, pool)));
    found.await?.map(Json).ok_or_else(|| Failure::not_found("pool", &pool))
}

/// Suspends a pool, makes it active again, or retires it.
#[utoipa::path(post, path = "/v1/pools/{id}/status", request_body = wire::SetStatus,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_pool_status(
    State(app): State<Shared>,
    caller: Caller,
    Path(pool): Path<String>,
    Body(body): Body<wire::SetStatus>,
) -> Result<StatusCode, Failure> {
    let pool: PoolId = id("pool", &pool)?;
    let command = Command::SetPoolStatus { pool, status: status(&body.status)? };
    app.command(caller.actor(), command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says when a pool, or some of its machines, are closed. The list replaces the one before.
#[utoipa::path(put, path = "/v1/pools/{id}/closures", request_body = Vec<wire::Closure>,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_closures(
    State(app): State<Shared>,
    caller: Caller,
    Path(pool): Path<String>,
    Body(body): Body<Vec<wire::Closure>>,
) -> Result<StatusCode, Failure> {
    let pool: PoolId = id("pool", &pool)?;
    let now = app.now();
    let closures = body.iter().map(|closure| closure_of(closure, now)).collect::<Result<_, _>>()?;
    app.command(caller.actor(), Command::SetClosures { pool, closures }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn closure_of(told: &wire::Closure, now: Time) -> Result<Closure, Failure> {
    let time = |text: &String| {
        text.parse::<Time>().map_err(|why| {
            let title = format!("`{text}` is no time: {why}");
            Failure::invalid("closure.time", title, "write it like 2026-12-01T08:00:00+08:00")
        })
    };
    Ok(Closure {
        nodes: told.nodes.iter().map(|node| NodeName::new(node)).collect(),
        from: told.from.as_ref().map_or(Ok(now), time)?,
        until: time(&told.until)?,
    })
}

fn reliability(record: &dayan_exchange::Record) -> wire::Reliability {
    let (attempts, failed) = record.counts();
    wire::Reliability { permille: record.permille, attempts, failed }
}

fn closures_of(pool: &Pool, now: Time) -> Vec<wire::Closure> {
    let to_come = pool.closures.iter().filter(|closure| closure.until > now);
    let told = to_come.map(|closure| wire::Closure {
        nodes: closure.nodes.iter().map(|node| node.as_str().to_owned()).collect(),
        from: Some(closure.from.to_string()),
        until: closure.until.to_string(),
    });
    told.collect()
}

/// Asks a pool to prove its inventory now.
#[utoipa::path(post, path = "/v1/pools/{id}/challenge", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn challenge(
    State(app): State<Shared>,
    caller: Caller,
    Path(pool): Path<String>,
) -> Result<StatusCode, Failure> {
    caller.scope(Resource::Exchange, Action::Update)?;
    let pool: PoolId = id("pool", &pool)?;
    let command = Command::Challenge { pool, nonce: Nonce(random_bytes()) };
    app.command(caller.actor(), command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a compute-resource name stands for.
#[utoipa::path(get, path = "/v1/resolve/{name}", params(("name" = String, Path)),
    responses((status = 200, body = wire::Record), Problems))]
pub async fn resolve(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<wire::Record>, Failure> {
    caller.scope(Resource::Pool, Action::Read)?;
    let wanted = Wanted::parse(&name)?;
    let found = app.writer.ask(move |live| {
        let supply = &live.state.supply;
        let pool = match wanted {
            Wanted::Pool(id) => supply.pools.get(&id)?,
            Wanted::Name(name) => supply.pools.values().find(|pool| pool.crn == name)?,
        };
        let provider = supply.providers.get(&pool.provider)?;
        let answer =
            identity::resolve(Some(&pool.record(provider.org, live.state.exchange?)), live.now);
        let record = answer.record()?;
        Some(wire::Record {
            crn: record.name.to_string(),
            aliases: vec![pool.id.to_string()],
            owner: provider.name.clone(),
            issuer: live.state.name.clone(),
            answer: match answer {
                Answer::Found { .. } => "found",
                Answer::Suspended { .. } => "suspended",
                Answer::Expired { .. } => "expired",
                Answer::Retired { .. } => "retired",
                Answer::NotFound { .. } => return None,
            }
            .to_owned(),
            status: record.status.to_string(),
            valid_from: record.valid_from.to_string(),
            ttl: answer.ttl().secs_floor(),
            attributes: record.attributes.clone(),
            attestations: record
                .attributes
                .keys()
                .map(|name| attested(record, name, live.now))
                .collect(),
            measured: attributes(live, pool),
            verified_at: pool.verified_at.map(|at| at.to_string()),
        })
    });
    found.await?.map(Json).ok_or_else(|| Failure::not_found("name", &name))
}

/// What is asked about: a name, or the id that the exchange itself calls it by.
enum Wanted {
    Name(identity::Name),
    Pool(PoolId),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(pool) = text.parse() {
            return Ok(Self::Pool(pool));
        }
        text.parse().map(Self::Name).map_err(|error: identity::NameError| {
            let advice = "check the name; its last two digits prove it";
            Failure::invalid(error.code(), error.to_string(), advice)
        })
    }
}

fn attested(record: &identity::Record, name: &str, now: Time) -> wire::Attested {
    let (standing, by) = match record.standing(name, now) {
        AttestationStanding::Confirmed(by) => ("confirmed", Some(by)),
        AttestationStanding::Refuted(by) => ("refuted", Some(by)),
        AttestationStanding::Expired(by) => ("expired", Some(by)),
        AttestationStanding::Unattested => ("unattested", None),
    };
    wire::Attested {
        attribute: name.to_owned(),
        standing: standing.to_owned(),
        method: by.map(|by| by.method.clone()),
        at: by.map(|by| by.at.to_string()),
        valid_until: by.map(|by| by.at.plus(by.valid_for).to_string()),
        attestor: by.map(|by| by.attestor.clone()),
    }
}

/// An enum as the API writes it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Which places.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MatrixQuery {
    /// Their names, separated by commas; the places of all pools unless told.
    #[serde(default)]
    places: Option<String>,
}

/// One-way delays between places, each with what it is based on.
#[utoipa::path(get, path = "/v1/net/matrix", params(MatrixQuery),
    responses((status = 200, body = wire::NetMatrix), Problems))]
pub async fn net_matrix(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<MatrixQuery>,
) -> Result<Json<wire::NetMatrix>, Failure> {
    caller.scope(Resource::Pool, Action::Read)?;
    let names: Vec<String> = match query.places {
        Some(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        None => {
            let sites = app.writer.ask(|live| {
                let sites = live.state.supply.sites.values().map(|site| site.place.clone());
                sites.collect::<std::collections::BTreeSet<_>>()
            });
            sites.await?.into_iter().collect()
        }
    };
    if names.len() > MATRIX_PLACES_MAX {
        return Err(Failure::invalid(
            "net.places",
            format!("{} places; at most {MATRIX_PLACES_MAX}", names.len()),
            "ask for fewer",
        ));
    }
    let mut places = Vec::with_capacity(names.len());
    for name in &names {
        places.push(PlaceId::find(name).map_err(|unknown| {
            Failure::invalid("net.place", unknown.to_string(), "use a city of the table")
        })?);
    }
    let now = app.now();
    let classes = dayan_topology::DelayClasses::default();
    let mut cells = Vec::new();
    for from in &places {
        for to in places.iter().filter(|to| *to != from) {
            let estimate = app.network.one_way(
                *from,
                *to,
                dayan_topology::Layer::DEFAULT_ORDER,
                dayan_topology::Percentile::try_from(99).expect("99 is a percentile"),
                now,
            );
            cells.push(wire::NetCell {
                from: from.place().name.to_owned(),
                to: to.place().name.to_owned(),
                one_way_ms: estimate.span.secs_f64() * 1e3,
                basis: word(estimate.basis),
                layer: estimate.layer.to_string(),
                as_of: estimate.as_of.map(|at| at.to_string()),
                class: classes.strictest(estimate.span).map(|class| class.to_string()),
            });
        }
    }
    let places = places.iter().map(|place| place.place().name.to_owned()).collect();
    Ok(Json(wire::NetMatrix { places, cells }))
}
