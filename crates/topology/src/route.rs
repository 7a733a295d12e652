//! Routes: the cheapest way over several links where the direct one is missing or worse.
//!
//! Invariant: a route is never longer than the direct estimate, and of equal routes the one with
//! fewer legs, then the one through places earlier in the table, is taken. Relaying costs time at
//! every place passed; the percentiles of the legs are summed, which for the 99th is on the safe
//! side.

use std::collections::BTreeSet;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use crate::delay::{DelayEstimate, Percentile};
use crate::link::Layer;
use crate::place::{PlaceId, places};
use crate::topology::Topology;

/// What a relay adds: the equipment term of the optical model.
pub const RELAY_COST: Span = Span::from_micros(100);

/// One link of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leg {
    /// Where it starts.
    pub from: PlaceId,
    /// Where it ends.
    pub to: PlaceId,
    /// How long it takes and what that rests on.
    pub delay: DelayEstimate,
}

/// A way from one place to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Its links in order; a single one is the direct way.
    pub legs: Vec<Leg>,
    /// The sum over the legs and relays, one way.
    pub delay: Span,
}

impl Topology {
    /// The way with the least one-way delay at that percentile. Relays are only considered over
    /// links somebody measured or published: a chain of models is no better than the model.
    pub fn route(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
    ) -> Route {
        let direct = self.one_way(from, to, layers, percentile, now);
        let direct_route =
            Route { legs: vec![Leg { from, to, delay: direct }], delay: direct.span };
        if from == to {
            return direct_route;
        }
        self.relayed(from, to, layers, percentile, now, direct.span).unwrap_or(direct_route)
    }

    /// Dijkstra over the evidence; nothing unless the way found is shorter than `limit`.
    fn relayed(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
        limit: Span,
    ) -> Option<Route> {
        /// Delay, legs, place: the order in which places are settled.
        type Reached = (Span, usize, PlaceId);
        let mut best: Vec<Option<(Span, usize, Option<Leg>)>> = vec![None; places().len()];
        let mut open: BTreeSet<Reached> = BTreeSet::new();
        best[from.index()] = Some((Span::ZERO, 0, None));
        open.insert((Span::ZERO, 0, from));
        while let Some((span, legs, at)) = open.pop_first() {
            if at == to {
                break;
            }
            let relay = if at == from { Span::ZERO } else { RELAY_COST };
            for next in places().iter().map(|place| place.id).filter(|next| *next != at) {
                let Some(delay) = self.edge(at, next, layers, percentile, now) else { continue };
                let reached = (span.plus(relay).plus(delay.span), legs + 1);
                if reached.0 >= limit {
                    continue;
                }
                let known = best[next.index()].map(|(span, legs, _)| (span, legs));
                if known.is_none_or(|known| reached < known) {
                    if let Some((span, legs)) = known {
                        open.remove(&(span, legs, next));
                    }
                    best[next.index()] =
                        Some((reached.0, reached.1, Some(Leg { from: at, to: next, delay })));
                    open.insert((reached.0, reached.1, next));
                }
            }
        }
        let (delay, _, _) = best[to.index()]?;
        let mut legs = Vec::new();
        let mut at = to;
        while let Some((_, _, Some(leg))) = best[at.index()] {
            legs.push(leg);
            at = leg.from;
        }
        legs.reverse();
        Some(Route { legs, delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::Basis;
    use crate::link::LinkKind;
    use crate::link::tests::measured;
    use proptest::prelude::*;

    const NOW: Time = Time::from_micros(60_000_000);

    fn id(name: &str) -> PlaceId {
        PlaceId::find(name).expect(name)
    }

    fn route(topology: &Topology, from: &str, to: &str) -> (Vec<String>, i64) {
        let route = topology.route(id(from), id(to), Layer::DEFAULT_ORDER, Percentile::P99, NOW);
        let mut via: Vec<_> = route.legs.iter().map(|leg| leg.from.to_string()).collect();
        via.push(to.to_owned());
        (via, route.delay.micros())
    }

    #[test]
    fn direct_unless_a_relay_is_shorter() {
        let mut topology = Topology::default();
        assert_eq!(
            route(&topology, "guian", "beijing"),
            (vec!["guian".into(), "beijing".into()], 20_000)
        );
        for (from, to) in [("guian", "wuhan"), ("wuhan", "beijing")] {
            topology
                .upsert_measurement(measured(from, to, LinkKind::OneWay, 8, 9))
                .expect("possible");
        }
        let expect = ["guian", "wuhan", "beijing"].map(String::from).to_vec();
        assert_eq!(route(&topology, "guian", "beijing"), (expect, 18_100));
        // One way only: back, the published figure stands.
        assert_eq!(route(&topology, "beijing", "guian").1, 20_000);
    }

    #[test]
    fn staying_is_direct() {
        let got = route(&Topology::default(), "shenzhen", "shenzhen");
        assert_eq!(got.0.len(), 2);
    }

    proptest! {
        // Each case searches the whole map three times.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn never_longer_than_direct_and_never_longer_by_a_stop(
            links in prop::collection::vec((0usize..61, 0usize..61, 20i64..60), 0..80),
            from in 0usize..61, to in 0usize..61, stop in 0usize..61,
        ) {
            let mut topology = Topology::default();
            for (a, b, ms) in links {
                let (a, b) = (places()[a].name, places()[b].name);
                topology.upsert_measurement(measured(a, b, LinkKind::OneWay, ms, ms))
                    .expect("possible");
            }
            let (from, to, stop) = (places()[from].id, places()[to].id, places()[stop].id);
            let ask = |a, b| topology.route(a, b, Layer::DEFAULT_ORDER, Percentile::P99, NOW);
            let whole = ask(from, to);
            let direct = topology.one_way(from, to, Layer::DEFAULT_ORDER, Percentile::P99, NOW);
            prop_assert!(whole.delay <= direct.span);
            // The legs join up and add up.
            prop_assert_eq!(whole.legs[0].from, from);
            prop_assert_eq!(whole.legs[whole.legs.len() - 1].to, to);
            prop_assert!(whole.legs.windows(2).all(|pair| pair[0].to == pair[1].from));
            let relays = i64::try_from(whole.legs.len() - 1).expect("few");
            let sum = whole.legs.iter().fold(Span::ZERO, |sum, leg| sum.plus(leg.delay.span));
            prop_assert_eq!(whole.delay, sum.plus(RELAY_COST.times(relays)));
            // Over evidence alone no stop shortens the way.
            let (first, second) = (ask(from, stop), ask(stop, to));
            let evident = |route: &Route| {
                route.legs.iter().all(|leg| leg.delay.basis != Basis::Modelled)
            };
            if stop != from && stop != to && from != to && evident(&first) && evident(&second) {
                prop_assert!(whole.delay <= first.delay.plus(second.delay).plus(RELAY_COST));
            }
        }
    }
}
