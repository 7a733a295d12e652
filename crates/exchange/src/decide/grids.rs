//! Carbon of grids by the hour, and the overhead of buildings: the operator says it for regions, a
//! provider for its own pools. What is said replaces what was said before.

use dayan_topology::Region;
use dayan_units::{PoolId, Time};

use super::{Ask, Decision};
use crate::authorize::{Action, Resource, authorize};
use crate::command::{CarbonOf, SetCarbon};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::Pool;

/// The most that a building can use for each part that reaches its machines, in thousandths: old rooms
/// come to two and a half. Less than one part is not possible.
const PUE_PERMILLE_MAX: u32 = 3_000;

impl Ask<'_> {
    pub(super) fn set_carbon(&self, new: &SetCarbon) -> Result<Decision, Refusal> {
        let SetCarbon { of, series } = new;
        let (of, known) = match of {
            CarbonOf::Region(name) => {
                authorize(self.actor, Resource::Exchange, Action::Update, None)?;
                let region = Region::find(name).map_err(|unknown| {
                    let advice = "give a province, a hub or a cluster, such as Guizhou";
                    Refusal::invalid("carbon.region", unknown.to_string(), advice)
                })?;
                let name = region.name().to_owned();
                let known = self.state.supply.grids.get(&name);
                (CarbonOf::Region(name), known)
            }
            CarbonOf::Pool(pool) => (of.clone(), self.pool_to_set(*pool)?.grid.as_ref()),
        };
        if let Some(series) = series {
            let advice = "give up to two weeks of hours, in grams of CO2 for a kilowatt-hour";
            series
                .check()
                .map_err(|defect| Refusal::invalid("carbon.series", defect.to_string(), advice))?;
            if !reaches(series, self.now) {
                let message = format!("it ends at {}, which is too long ago", series.until());
                let advice = "give a series of these days";
                return Err(Refusal::invalid("carbon.past", message, advice));
            }
        }
        if known == series.as_ref() {
            return Ok(Decision::nothing());
        }
        Ok(Decision::one(Event::CarbonSet { of, series: series.clone() }))
    }

    pub(super) fn set_pue(
        &self,
        pool: PoolId,
        pue_permille: Option<u32>,
    ) -> Result<Decision, Refusal> {
        let known = self.pool_to_set(pool)?.pue_permille;
        if pue_permille.is_some_and(|pue| !(1_000..=PUE_PERMILLE_MAX).contains(&pue)) {
            return Err(Refusal::invalid(
                "carbon.pue",
                "a power usage effectiveness lies between 1 and 3",
                "give what the building draws over what its machines draw, such as 1.25",
            ));
        }
        if known == pue_permille {
            return Ok(Decision::nothing());
        }
        Ok(Decision::one(Event::PueSet { pool, pue_permille }))
    }

    fn pool_to_set(&self, id: PoolId) -> Result<&Pool, Refusal> {
        let found = self.state.supply.pools.get(&id);
        let org = found.map(|pool| self.state.supply.providers[&pool.provider].org);
        authorize(self.actor, Resource::Pool, Action::Update, org)?;
        found.ok_or_else(|| {
            let message = format!("there is no pool {id}");
            Refusal::not_found("pool.unknown", message, "list them with `dayan pools`")
        })
    }
}

/// Does it say anything of now or later?
fn reaches(series: &dayan_topology::GridSeries, now: Time) -> bool {
    series.until() > now || series.at(now).is_some()
}
