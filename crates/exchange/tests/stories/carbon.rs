//! Carbon of grids by the hour: who may say it, what the planner is told, and how it changes with the
//! hour.

use dayan_exchange::{CarbonOf, Command, Event, SetCarbon, changes};
use dayan_schedule::{Carbon, Change};
use dayan_topology::GridSeries;
use dayan_units::{PoolId, Time};

use crate::story::{Story, seconds};

impl Story {
    fn says_carbon(&mut self, of: CarbonOf, grams: &[u32]) -> Result<(), String> {
        let from = Time::from_micros(self.now.micros() / 3_600_000_000 * 3_600_000_000);
        let series =
            (!grams.is_empty()).then(|| GridSeries { from, grams_per_kwh: grams.to_vec() });
        let command = Command::SetCarbon(Box::new(SetCarbon { of, series }));
        self.asks(command).map(drop).map_err(|refusal| refusal.code.into_owned())
    }
    fn shown(&self) -> Option<Carbon> {
        let pool = &self.state.supply.pools[&self.pool];
        changes::pool_view(&self.state, pool, self.now).carbon
    }
    /// Milligrams for a kilowatt-hour of what would run for an hour from now on.
    fn an_hour(&self) -> Option<i64> {
        self.shown().map(|carbon| carbon.milligrams_per_kwh(self.now, seconds(3_600)))
    }
}

#[test]
fn a_pools_own_series_counts_before_its_regions_and_that_before_the_average() {
    let mut story = Story::new();
    let average = story.shown().expect("Guizhou's grid is known");
    assert!(average.hours.is_none() && average.pue_permille == 1_200);
    assert!(changes::of_hour(&story.state, story.now).is_empty(), "nothing changes with the hour");
    let region = || CarbonOf::Region("贵州".to_owned());
    story.says_carbon(region(), &[400, 100, 400]).expect("the operator may");
    assert_eq!(story.an_hour(), Some(480_000), "a fifth more is drawn by the building");
    let of = CarbonOf::Pool(story.pool);
    story.says_carbon(of.clone(), &[50, 60, 70]).expect("its provider, or the operator");
    assert_eq!(story.an_hour(), Some(60_000));
    // The hour passes, and the planner is told.
    story.passes(seconds(3_600));
    let told = changes::of_hour(&story.state, story.now);
    let [Change::PoolShown(view)] = told.as_slice() else { panic!("{told:?}") };
    let carbon = view.carbon.as_ref().expect("known");
    assert_eq!(carbon.milligrams_per_kwh(story.now, seconds(3_600)), 72_000);
    story.says_carbon(of, &[]).expect("taken back");
    assert_eq!(story.an_hour(), Some(120_000), "the region's second hour");
    story.says_carbon(region(), &[]).expect("taken back");
    assert_eq!(story.shown(), Some(average));
    let set = story.events.iter().filter(|event| matches!(event, Event::CarbonSet { .. }));
    assert_eq!(
        set.count(),
        4,
        "a region is written down by its English name, once for each change"
    );
}

#[test]
fn a_building_draws_more_than_its_machines() {
    let mut story = Story::new();
    let pool = story.pool;
    let set = |story: &mut Story, pool: PoolId, pue_permille: Option<u32>| {
        story
            .asks(Command::SetPue { pool, pue_permille })
            .map(drop)
            .map_err(|no| no.code.into_owned())
    };
    assert_eq!(set(&mut story, pool, Some(999)), Err("carbon.pue".to_owned()));
    assert_eq!(set(&mut story, pool, Some(3_001)), Err("carbon.pue".to_owned()));
    set(&mut story, pool, Some(1_080)).expect("a good building");
    assert_eq!(story.shown().expect("known").pue_permille, 1_080);
    set(&mut story, pool, None).expect("taken back");
    assert_eq!(story.shown().expect("known").pue_permille, 1_200);
}

#[test]
fn what_is_no_series_of_these_days_is_refused() {
    let mut story = Story::new();
    let of = |name: &str| CarbonOf::Region(name.to_owned());
    assert_eq!(story.says_carbon(of("Guizou"), &[1]), Err("carbon.region".to_owned()));
    assert_eq!(story.says_carbon(of("Guizhou"), &[2_001]), Err("carbon.series".to_owned()));
    assert_eq!(story.says_carbon(of("Guizhou"), &[1; 337]), Err("carbon.series".to_owned()));
    let unknown = CarbonOf::Pool(PoolId::from_bits(77));
    assert!(story.says_carbon(unknown, &[1]).is_err());
    let series = GridSeries { from: Time::EPOCH, grams_per_kwh: vec![1; 24] };
    let old = SetCarbon { of: of("Guizhou"), series: Some(series) };
    let refused = story.asks(Command::SetCarbon(Box::new(old))).expect_err("of 1970");
    assert_eq!(refused.code, "carbon.past");
}
