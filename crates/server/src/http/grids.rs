//! Carbon of grids: what is known of each pool's electricity by the hour, and who says so.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::{Action, CarbonOf, Command, Pool, Resource, SetCarbon, grids};
use dayan_identity::Status;
use dayan_topology::{GridSeries, next_hour};
use dayan_units::{PoolId, Span, Time};
use dayan_wire as wire;

use super::Problems;
use super::extract::{Body, Caller, Path, id, whole};
use crate::app::Shared;
use crate::problem::Failure;
use crate::writer::Live;

/// The cleanest hour is looked for in so many hours to come: a day, as its hours come again.
const HOURS_AHEAD: usize = 24;

/// How dirty the electricity of each pool is, now and in the cleanest hour of the next day.
#[utoipa::path(get, path = "/v1/carbon",
    responses((status = 200, body = wire::Page<wire::PoolCarbon>), Problems))]
pub async fn carbon(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::PoolCarbon>>, Failure> {
    caller.scope(Resource::Pool, Action::Read)?;
    let rows = app.writer.ask(|live| {
        let pools = live.state.supply.pools.values();
        let mut rows: Vec<wire::PoolCarbon> = pools
            .filter(|pool| pool.status != Status::Retired)
            .map(|pool| row(live, pool))
            .collect();
        rows.sort_by(|one, other| one.pool_name.cmp(&other.pool_name));
        rows
    });
    Ok(Json(whole(rows.await?)))
}

fn row(live: &Live, pool: &Pool) -> wire::PoolCarbon {
    let (state, now) = (&live.state, live.now);
    let series = grids::series_of(&state.supply, pool);
    let known = grids::carbon_of(state, pool, now);
    let source = match (&pool.grid, series, &known) {
        (Some(_), ..) => "pool",
        (None, Some(_), _) => "region",
        (None, None, Some(_)) => "average",
        (None, None, None) => "unknown",
    };
    let grams = |at: Time| {
        let average = known.as_ref().map(|known| known.grams_per_kwh);
        series.and_then(|series| series.at(at)).or(average)
    };
    let mut hours = Vec::new();
    let mut at = now;
    while hours.len() < HOURS_AHEAD {
        hours.extend(series.and_then(|series| series.at(at)).map(|grams| (grams, at)));
        at = next_hour(at);
        if at.since(now) > Span::from_secs(86_400) {
            break;
        }
    }
    let cleanest = hours.into_iter().min();
    wire::PoolCarbon {
        pool: pool.id.to_string(),
        pool_name: pool.name.clone(),
        site: state.supply.place_of(pool).to_owned(),
        grams_per_kwh: grams(now),
        source: source.to_owned(),
        known_until: series.map(|series| series.until().to_string()),
        pue_permille: pool.pue_permille.unwrap_or(grids::PUE_PERMILLE),
        pue_told: pool.pue_permille.is_some(),
        cleanest_grams_per_kwh: cleanest.map(|(grams, _)| grams),
        cleanest_at: cleanest.map(|(_, at)| at.to_string()),
    }
}

/// How dirty the electricity of a region or of a pool is, by the hour. It replaces what was said
/// before; without hours, what was said does not count any more.
#[utoipa::path(put, path = "/v1/carbon", request_body = wire::SetCarbon,
    responses((status = 204), Problems))]
pub async fn set_carbon(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::SetCarbon>,
) -> Result<StatusCode, Failure> {
    let of = match (new.region, new.pool) {
        (Some(region), None) => CarbonOf::Region(region),
        (None, Some(pool)) => CarbonOf::Pool(id("pool", &pool)?),
        (Some(_), Some(_)) | (None, None) => {
            let title = "either a region or a pool has a series";
            return Err(Failure::invalid("carbon.whose", title, "give one of them"));
        }
    };
    let series = if new.grams_per_kwh.is_empty() {
        None
    } else {
        let from = new.from.as_deref().map(str::parse::<Time>);
        let Some(Ok(from)) = from else {
            let title = "`from` is the time at which the first hour begins";
            let advice = "write it like 2026-12-01T08:00:00+08:00";
            return Err(Failure::invalid("carbon.time", title, advice));
        };
        Some(GridSeries { from, grams_per_kwh: new.grams_per_kwh })
    };
    app.command(caller.actor(), Command::SetCarbon(Box::new(SetCarbon { of, series }))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How much the building of a pool draws for each part that reaches its machines.
#[utoipa::path(put, path = "/v1/pools/{id}/pue", request_body = wire::SetPue,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_pue(
    State(app): State<Shared>,
    caller: Caller,
    Path(pool): Path<String>,
    Body(new): Body<wire::SetPue>,
) -> Result<StatusCode, Failure> {
    let pool: PoolId = id("pool", &pool)?;
    let command = Command::SetPue { pool, pue_permille: new.pue_permille };
    app.command(caller.actor(), command).await?;
    Ok(StatusCode::NO_CONTENT)
}
