//! Spot work that falls back: what it pays and relies on is what is sold where it goes.

use dayan_exchange::{Command, Made, NewOffer};
use dayan_market::{BuyerClass, OfferMode};
use dayan_units::{JobId, Micro, Rate, Span};

use crate::story::{Story, first};

impl Story {
    /// The only offer from now on, which sells spot for that part of the price, or none.
    fn sells(&mut self, spot_permille: Option<u32>) {
        let listed = self.does(Command::ListOffer(Box::new(NewOffer {
            pool: self.pool,
            rate: Rate { core_hour: Micro::from_units(1), ..Rate::default() },
            tariff: None,
            minimum: Span::ZERO,
            accelerator: None,
            min: None,
            max: None,
            classes: [(BuyerClass::External, 1_000)].into(),
            spot_permille,
            valid_until: None,
        })));
        let Made::Offer(offer) = listed else { panic!("{listed:?}") };
        self.does(Command::RetireOffer { offer: self.offer });
        self.offer = offer;
    }
    /// How a job's task was leased, and what it pays of the list price.
    fn leased(&mut self, job: JobId) -> (OfferMode, u32) {
        self.places(job, &[0]);
        let lease = &self.state.work.leases[&first(job, 0)];
        (lease.mode, lease.terms.permille)
    }
}

#[test]
fn who_falls_back_has_spot_where_it_is_sold_and_pays_in_full_where_not() {
    const FALLS_BACK: &str = "market: {mode: spot, fallback: on_demand}\n";
    let mut story = Story::new();
    story.sells(Some(300));
    let spot = story.submits(FALLS_BACK);
    assert_eq!(story.leased(spot), (OfferMode::Spot, 300));
    assert!(story.state.work.leases[&first(spot, 0)].may_be_preempted());
    story.sells(None);
    let on_demand = story.submits(FALLS_BACK);
    assert_eq!(story.plans().len(), 1, "the planner finds a place for it");
    assert_eq!(story.leased(on_demand), (OfferMode::OnDemand, 1_000));
    assert!(!story.state.work.leases[&first(on_demand, 0)].may_be_preempted());
    let only_spot = story.submission("market: {mode: spot}\n", None);
    assert!(story.asks(only_spot).is_err(), "nobody sells it");
}
