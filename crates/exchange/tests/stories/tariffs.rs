//! Prices by the hour of the day: a lease keeps the price of the hour it was given in, and the planner
//! is told what an hour costs.

use std::collections::BTreeMap;

use dayan_exchange::{Command, NewOffer, Seen, changes};
use dayan_market::{BuyerClass, Tariff};
use dayan_schedule::Change;
use dayan_units::{Micro, Rate, Span};

use crate::story::{Story, exits, first, seconds};

impl Story {
    /// Noon in the zone of the exchange, at half the price from 13 to 14 h.
    fn cheap_at_one(&mut self) {
        let mut hours = [1_000; 24];
        hours[13] = 500;
        let listed = self.does(Command::ListOffer(Box::new(NewOffer {
            pool: self.pool,
            rate: Rate { core_hour: Micro::from_units(2), ..Rate::default() },
            tariff: Some(Tariff(hours)),
            minimum: Span::ZERO,
            accelerator: None,
            min: None,
            max: None,
            classes: BTreeMap::from([(BuyerClass::External, 1_000)]),
            spot_permille: None,
            valid_until: None,
        })));
        let dayan_exchange::Made::Offer(offer) = listed else { panic!("{listed:?}") };
        self.does(Command::RetireOffer { offer: self.offer });
        self.offer = offer;
    }

    fn told(&self) -> Vec<Micro> {
        let offers = changes::of_hour(&self.state, self.now).into_iter();
        let rates = offers.flat_map(|change| match change {
            Change::OffersShown { offers, .. } => offers,
            other => panic!("{other:?}"),
        });
        rates.map(|offer| offer.rate.core_hour).collect()
    }
}

#[test]
fn a_lease_keeps_the_price_of_the_hour_it_was_given_in() {
    let mut story = Story::new();
    assert_eq!(story.told(), [], "nothing changes with the hour");
    story.cheap_at_one();
    assert_eq!(story.told(), [Micro::from_units(2)]);
    // It is told of the other hours too: somebody may wait for one.
    let Some(Change::OffersShown { offers, .. }) = changes::of_hour(&story.state, story.now).pop()
    else {
        panic!("an offer with a tariff")
    };
    let hours = offers[0].hours.clone().expect("they differ");
    let at_one = hours.next(story.now);
    assert_eq!(at_one, story.now.plus(seconds(3_600)));
    assert_eq!(hours.at(at_one).core_hour, Micro::from_units(1));
    assert_eq!(hours.at(at_one.plus(seconds(3_600))).core_hour, Micro::from_units(2));
    // From five before one to five past, and from then on for ten minutes.
    story.passes(seconds(55 * 60));
    let dear = story.submits("");
    story.places(dear, &[0]);
    story.passes(seconds(10 * 60));
    assert_eq!(story.told(), [Micro::from_units(1)]);
    let cheap = story.submits("");
    story.places(cheap, &[0]);
    let rate = |story: &Story, job| story.state.work.leases[&first(job, 0)].terms.rate.core_hour;
    assert_eq!(rate(&story, dear), Micro::from_units(2));
    assert_eq!(rate(&story, cheap), Micro::from_units(1));
    for (job, minutes) in [(dear, 10), (cheap, 10)] {
        story.says(first(job, 0), Seen::Running, None);
        story.says(
            first(job, 0),
            Seen::Ended { outcome: exits(0) },
            Some((1, seconds(minutes * 60))),
        );
    }
    // What was not listed for that hour is not given at its price.
    story.passes(seconds(60 * 60));
    assert_eq!(story.told(), [Micro::from_units(2)]);
}
