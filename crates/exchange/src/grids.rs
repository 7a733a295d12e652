//! How dirty a pool's electricity is: by the hour where its provider or the operator has said so, else
//! the yearly average of its province. Must not know what follows from it.

use dayan_schedule::{Carbon, HourlyCarbon};
use dayan_topology::{GridSeries, PlaceId};
use dayan_units::{Span, Time};

use crate::state::{Pool, State, Supply};

/// Power usage effectiveness of a data centre that has not said its own: what the policy for new
/// ones in the national clusters asks for.
pub const PUE_PERMILLE: u32 = 1_200;

const HOUR: Span = Span::from_secs(3_600);

/// The series that counts for a pool: its own, else that of the narrowest region it lies in.
pub fn series_of<'a>(supply: &'a Supply, pool: &'a Pool) -> Option<&'a GridSeries> {
    if let Some(own) = &pool.grid {
        return Some(own);
    }
    if supply.grids.is_empty() {
        return None;
    }
    let place = PlaceId::find(supply.place_of(pool)).ok()?.place();
    let regions = [place.cluster, Some(place.province), place.hub];
    regions.into_iter().flatten().find_map(|region| supply.grids.get(region))
}

/// What the planner is told of a pool; none where nothing is known.
pub fn carbon_of(state: &State, pool: &Pool, now: Time) -> Option<Carbon> {
    let supply = &state.supply;
    let place = PlaceId::find(supply.place_of(pool)).ok().map(PlaceId::place);
    let average =
        place.and_then(|place| place.grid_mg_per_kwh).map(|milligrams| milligrams / 1_000);
    let series = series_of(supply, pool);
    // Where the province is not known, the mean of what was said stands for it.
    let grams_per_kwh = average.or_else(|| series.map(GridSeries::mean))?;
    let pue_permille = pool.pue_permille.unwrap_or(PUE_PERMILLE);
    let hours = series.map(|series| {
        let into = Span::from_micros(now.micros().rem_euclid(HOUR.micros()));
        let shown = now.minus(into);
        std::sync::Arc::new(HourlyCarbon { shown, series: series.clone() })
    });
    Some(Carbon { grams_per_kwh, pue_permille, hours })
}
