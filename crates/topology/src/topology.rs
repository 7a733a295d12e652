//! The topology: all links that were handed in, over the published figures and the models.
//!
//! Invariant: for every ordered pair of places and every question there is exactly one answer,
//! and it is the best evidence that holds at `now`. The same links in any order of arrival give
//! the same topology.

use std::collections::BTreeMap;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use crate::class::{DelayClass, DelayClasses, Reason};
use crate::delay::{Basis, DelayEstimate, Percentile};
use crate::link::{Layer, Link, LinkError, LinkKind, Source, Upsert};
use crate::model::modelled;
use crate::place::{PlaceId, Published};

/// One link per way, layer, source and kind; a newer figure replaces the older.
type Key = (PlaceId, PlaceId, Layer, Source, LinkKind);

/// Links, class bounds and what follows from them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Topology {
    classes: DelayClasses,
    pub(crate) links: BTreeMap<Key, Link>,
}

/// How it is written: a list, since JSON has no maps with composite keys.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    classes: DelayClasses,
    #[serde(default)]
    links: Vec<Link>,
}

impl TryFrom<Stored> for Topology {
    type Error = LinkError;
    fn try_from(stored: Stored) -> Result<Self, LinkError> {
        let mut topology = Self::with_classes(stored.classes);
        for link in stored.links {
            topology.upsert_measurement(link)?;
        }
        Ok(topology)
    }
}
impl From<Topology> for Stored {
    fn from(topology: Topology) -> Self {
        Self { classes: topology.classes, links: topology.links.into_values().collect() }
    }
}

fn key(link: &Link) -> Key {
    (link.from, link.to, link.layer, link.source, link.kind)
}

/// The delays between some places, both percentiles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// Rows and columns, in the order asked for.
    pub places: Vec<PlaceId>,
    /// `cells[i][j]` is the way from the i-th place to the j-th.
    pub cells: Vec<Vec<MatrixCell>>,
}

/// One way of a matrix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MatrixCell {
    /// Median.
    pub p50: DelayEstimate,
    /// 99th percentile.
    pub p99: DelayEstimate,
    /// The strictest class the way keeps, judged as [`Topology::class_holds`] does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DelayClass>,
}

/// What a measured round trip is read as.
#[derive(Clone, Copy)]
enum RoundTripAs {
    /// Half of it, for planning.
    Estimate,
    /// All of it, for promises.
    Bound,
}

impl Topology {
    /// Without links, with class bounds of one's own.
    pub fn with_classes(classes: DelayClasses) -> Self {
        Self { classes, links: BTreeMap::new() }
    }

    /// The bounds of the delay classes.
    pub const fn classes(&self) -> &DelayClasses {
        &self.classes
    }

    /// All links that were handed in, in the order of place, layer, source and kind.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Takes in a link. Of two figures for the same way, layer, source and kind the one dated
    /// later stays, so that repeats and reordering change nothing.
    pub fn upsert_measurement(&mut self, link: Link) -> Result<Upsert, LinkError> {
        link.validate()?;
        match self.links.get_mut(&key(&link)) {
            None => {
                self.links.insert(key(&link), link);
                Ok(Upsert::Inserted)
            }
            // Two figures of one instant: the larger stays, whichever came first.
            Some(old)
                if (old.as_of, old.p99, old.p50, old.ttl, old.bandwidth_bps)
                    >= (link.as_of, link.p99, link.p50, link.ttl, link.bandwidth_bps) =>
            {
                Ok(Upsert::Kept)
            }
            Some(old) => {
                *old = link;
                Ok(Upsert::Replaced)
            }
        }
    }

    /// Forgets links that stopped holding before `now`; returns how many. Answers at or after
    /// `now` do not change by it.
    pub fn forget_stale(&mut self, now: Time) -> usize {
        let before = self.links.len();
        self.links.retain(|_, link| now < link.as_of.plus(link.ttl));
        before - self.links.len()
    }

    /// The one-way delay as best known at `now`: among the given layers the most trusted source
    /// counts, and inside of one source the order of the layers. A measured round trip is read as
    /// its half and says so. With no usable layer given, the default order is taken.
    pub fn one_way(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
    ) -> DelayEstimate {
        self.best(from, to, layers, percentile, now, RoundTripAs::Estimate)
    }

    /// The same for promises: a measured round trip counts whole.
    pub fn one_way_bound(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
    ) -> DelayEstimate {
        self.best(from, to, layers, percentile, now, RoundTripAs::Bound)
    }

    fn best(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
        round_trip: RoundTripAs,
    ) -> DelayEstimate {
        self.evidence(from, to, layers, percentile, now, round_trip).unwrap_or_else(|| {
            let by_model = |layer: &Layer| {
                let span = modelled(from, to, *layer, percentile)?;
                Some(DelayEstimate {
                    span,
                    basis: Basis::Modelled,
                    layer: *layer,
                    source: Source::Modelled,
                    as_of: None,
                })
            };
            layers
                .iter()
                .find_map(by_model)
                .or_else(|| Layer::DEFAULT_ORDER.iter().find_map(by_model))
                .expect("every layer of the default order has a model")
        })
    }

    /// What somebody measured, published or handed in, without our own models.
    fn evidence(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
        round_trip: RoundTripAs,
    ) -> Option<DelayEstimate> {
        let usable = || layers.iter().copied().filter(|layer| *layer != Layer::Loopback);
        let stored = |source: Source, layer: Layer| {
            self.stored(from, to, layer, source, percentile, now, round_trip)
        };
        usable()
            .find_map(|layer| stored(Source::Measured, layer))
            .or_else(|| {
                usable().find_map(|layer| {
                    stored(Source::Published, layer).or_else(|| published(from, to, layer))
                })
            })
            .or_else(|| usable().find_map(|layer| stored(Source::Modelled, layer)))
    }

    #[expect(clippy::too_many_arguments, reason = "one private lookup; each is part of its key")]
    fn stored(
        &self,
        from: PlaceId,
        to: PlaceId,
        layer: Layer,
        source: Source,
        percentile: Percentile,
        now: Time,
        round_trip: RoundTripAs,
    ) -> Option<DelayEstimate> {
        let fresh = |from, to, kind| {
            self.links.get(&(from, to, layer, source, kind)).filter(|link| link.is_fresh(now))
        };
        let estimate = |link: &Link, span: Span, basis: Basis| DelayEstimate {
            span,
            basis: match source {
                Source::Measured => basis,
                Source::Published => Basis::Published,
                Source::Modelled => Basis::Modelled,
            },
            layer,
            source,
            as_of: Some(link.as_of),
        };
        if let Some(link) = fresh(from, to, LinkKind::OneWay) {
            return Some(estimate(link, link.at(percentile), Basis::OneWayMeasured));
        }
        // A round trip is the same from either end; the newer of the two figures counts.
        let there = fresh(from, to, LinkKind::RoundTrip);
        let back = fresh(to, from, LinkKind::RoundTrip);
        let link = there.into_iter().chain(back).max_by_key(|link| (link.as_of, link.p99))?;
        let whole = link.at(percentile);
        Some(match round_trip {
            RoundTripAs::Bound => estimate(link, whole, Basis::RoundTripBound),
            RoundTripAs::Estimate => {
                let half = Span::from_micros((whole.micros() + 1) / 2);
                estimate(link, half, Basis::RoundTripHalf)
            }
        })
    }

    /// Does the class hold for all of `from` at that percentile? The answer carries the worst of
    /// them. Layers are asked in the default order.
    pub fn class_holds(
        &self,
        class: DelayClass,
        from: &[PlaceId],
        to: PlaceId,
        percentile: Percentile,
        now: Time,
    ) -> Result<DelayEstimate, Reason> {
        let bound = self.classes.bound(class);
        let layers = Layer::DEFAULT_ORDER;
        let (worst_from, worst) = from
            .iter()
            .map(|from| (*from, self.one_way_bound(*from, to, layers, percentile, now)))
            .max_by_key(|(from, estimate)| (estimate.span, *from))
            .ok_or(Reason::NoOrigin)?;
        if worst.span <= bound {
            return Ok(worst);
        }
        let from = worst_from;
        Err(match worst.basis {
            Basis::RoundTripBound => {
                let half = self.one_way(from, to, layers, percentile, now);
                Reason::NotProven {
                    from,
                    to,
                    class,
                    bound,
                    round_trip: worst.span,
                    half_estimate: half.span,
                }
            }
            Basis::OneWayMeasured | Basis::RoundTripHalf | Basis::Published | Basis::Modelled => {
                Reason::OverBound { from, to, class, bound, got: worst }
            }
        })
    }

    /// All ways between the places, on the default layers.
    pub fn matrix(&self, places: &[PlaceId], now: Time) -> Matrix {
        let cell = |from: PlaceId, to: PlaceId| {
            let at = |percentile| self.one_way(from, to, Layer::DEFAULT_ORDER, percentile, now);
            let bound = self.one_way_bound(from, to, Layer::DEFAULT_ORDER, Percentile::P99, now);
            MatrixCell {
                p50: at(Percentile::P50),
                p99: at(Percentile::P99),
                class: self.classes.strictest(bound.span),
            }
        };
        let row = |from: &PlaceId| places.iter().map(|to| cell(*from, *to)).collect();
        Matrix { places: places.to_vec(), cells: places.iter().map(row).collect() }
    }

    /// Evidence for routes; see [`crate::Route`].
    pub(crate) fn edge(
        &self,
        from: PlaceId,
        to: PlaceId,
        layers: &[Layer],
        percentile: Percentile,
        now: Time,
    ) -> Option<DelayEstimate> {
        self.evidence(from, to, layers, percentile, now, RoundTripAs::Estimate)
    }
}

/// The published figures are for Guizhou as a whole and for its IP network; one was published for
/// an optical circuit (Ningbo), and is no less true of that.
fn published(from: PlaceId, to: PlaceId, layer: Layer) -> Option<DelayEstimate> {
    let (a, b) = (from.place(), to.place());
    let far = match (a.in_guizhou(), b.in_guizhou()) {
        (true, _) => b,
        (false, true) => a,
        (false, false) => return None,
    };
    let published_on =
        if far.slug == PUBLISHED_OPTICAL { Layer::Optical } else { Layer::PrivateIp };
    if layer != published_on {
        return None;
    }
    let Published { one_way, as_of } = far.published_to_guizhou?;
    Some(DelayEstimate {
        span: one_way,
        basis: Basis::Published,
        layer,
        source: Source::Published,
        as_of: Some(as_of),
    })
}

/// "All-optical 400G OTN, 2,808 km of fibre" is what was published with this figure.
const PUBLISHED_OPTICAL: &str = "ningbo";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tests::measured;
    use crate::place::places;
    use proptest::prelude::*;

    const NOW: Time = Time::from_micros(60_000_000);

    fn id(name: &str) -> PlaceId {
        PlaceId::find(name).expect(name)
    }

    fn ask(topology: &Topology, from: &str, to: &str) -> (i64, Basis) {
        let got = topology.one_way(id(from), id(to), Layer::DEFAULT_ORDER, Percentile::P99, NOW);
        (got.span.micros(), got.basis)
    }

    #[test]
    fn published_beats_model_and_measured_beats_published_while_fresh() {
        let mut topology = Topology::default();
        assert_eq!(ask(&topology, "Guiyang", "Shenzhen"), (10_000, Basis::Published));
        assert_eq!(ask(&topology, "Shenzhen", "Zunyi"), (10_000, Basis::Published));
        assert_eq!(ask(&topology, "Guiyang", "Ningbo"), (14_000, Basis::Published));
        assert_eq!(ask(&topology, "Guiyang", "Gui'an"), (3_000, Basis::Published));
        assert_eq!(ask(&topology, "Shenzhen", "Hangzhou").1, Basis::Modelled);
        assert_eq!(ask(&topology, "Guiyang", "Harbin").1, Basis::Modelled);

        let link = measured("Guiyang", "Shenzhen", LinkKind::OneWay, 9, 11);
        let expiry = link.as_of.plus(link.ttl);
        topology.upsert_measurement(link).expect("possible");
        assert_eq!(ask(&topology, "Guiyang", "Shenzhen"), (11_000, Basis::OneWayMeasured));
        // The other direction was not measured.
        assert_eq!(ask(&topology, "Shenzhen", "Guiyang"), (10_000, Basis::Published));
        let later = topology.one_way(
            id("Guiyang"),
            id("Shenzhen"),
            Layer::DEFAULT_ORDER,
            Percentile::P50,
            expiry,
        );
        assert_eq!(later.basis, Basis::Published);
    }

    #[test]
    fn round_trips_are_halved_for_plans_and_whole_for_promises() {
        let mut topology = Topology::default();
        topology
            .upsert_measurement(measured("Shenzhen", "Guiyang", LinkKind::RoundTrip, 16, 19))
            .expect("possible");
        assert_eq!(ask(&topology, "Guiyang", "Shenzhen"), (9_500, Basis::RoundTripHalf));
        assert_eq!(ask(&topology, "Shenzhen", "Guiyang"), (9_500, Basis::RoundTripHalf));
        let holds = |class| {
            topology.class_holds(class, &[id("Guiyang")], id("Shenzhen"), Percentile::P99, NOW)
        };
        let refused = holds(DelayClass::T2).expect_err("19 ms do not prove 10 ms");
        assert_eq!(refused.code(), "topology.delay_not_proven");
        assert!(refused.to_string().contains("estimate: 9.5 ms"), "{refused}");
        let held = holds(DelayClass::T3).expect("19 ms prove 20 ms");
        assert_eq!((held.span, held.basis), (Span::from_millis(19), Basis::RoundTripBound));
    }

    #[test]
    fn loopback_never_describes_a_way_between_cities() {
        let mut topology = Topology::default();
        let mut link = measured("Guiyang", "Shenzhen", LinkKind::RoundTrip, 16, 19);
        link.layer = Layer::Loopback;
        assert_eq!(
            topology.upsert_measurement(link.clone()).expect_err("refused").code(),
            "topology.loopback"
        );
        link.to = link.from;
        link.p50 = Span::from_micros(40);
        assert_eq!(topology.upsert_measurement(link), Ok(Upsert::Inserted));
        // Inside of the place it is on record, and still no answer.
        let got = topology.one_way(
            id("Guiyang"),
            id("Guiyang"),
            &[Layer::Loopback],
            Percentile::P50,
            NOW,
        );
        assert_eq!((got.layer, got.basis), (Layer::PrivateIp, Basis::Modelled));
    }

    #[test]
    fn classes_hold_for_the_worst_origin() {
        let topology = Topology::default();
        let check = |class, from: &[&str], to: &str, expect: Result<i64, &str>| {
            let from: Vec<_> = from.iter().map(|name| id(name)).collect();
            let got = topology
                .class_holds(class, &from, id(to), Percentile::P99, NOW)
                .map(|estimate| estimate.span.micros())
                .map_err(|reason| reason.code());
            assert_eq!(got, expect, "{class} {from:?} {to}");
        };
        check(DelayClass::T1, &["Guiyang"], "Gui'an", Ok(3_000));
        check(DelayClass::T1, &["Chengdu"], "Gui'an", Err("topology.delay_over_bound"));
        check(DelayClass::T2, &["Guiyang", "Chengdu"], "Gui'an", Ok(6_000));
        check(DelayClass::T2, &["Guiyang", "Beijing"], "Gui'an", Err("topology.delay_over_bound"));
        check(DelayClass::T3, &["Guiyang", "Beijing"], "Gui'an", Ok(20_000));
        check(DelayClass::T1, &[], "Gui'an", Err("topology.no_origin"));
        let strict = Topology::with_classes(DelayClasses {
            t2: Span::from_millis(5),
            ..DelayClasses::default()
        });
        assert!(
            strict
                .class_holds(DelayClass::T2, &[id("Chengdu")], id("Gui'an"), Percentile::P99, NOW)
                .is_err()
        );
    }

    #[test]
    fn layers_asked_for_are_the_layers_answered() {
        let topology = Topology::default();
        let at = |layers: &[Layer]| {
            topology.one_way(id("Guiyang"), id("Shenzhen"), layers, Percentile::P50, NOW)
        };
        assert_eq!(at(&[Layer::PublicIp]).layer, Layer::PublicIp);
        assert_eq!(at(&[Layer::Optical]).basis, Basis::Modelled);
        // A published figure on the second layer beats a model on the first.
        assert_eq!(at(&[Layer::Optical, Layer::PrivateIp]).layer, Layer::PrivateIp);
        assert_eq!(at(&[]).layer, Layer::PrivateIp);
    }

    #[test]
    fn matrix_is_square_and_labelled() {
        let all: Vec<_> = places().iter().map(|place| place.id).collect();
        let matrix = Topology::default().matrix(&all, NOW);
        assert_eq!(matrix.cells.len(), 61);
        assert!(matrix.cells.iter().all(|row| row.len() == 61));
        for row in &matrix.cells {
            for cell in row {
                assert!(cell.p50.span <= cell.p99.span && cell.p50.span > Span::ZERO);
            }
        }
        let guian = id("Gui'an").index();
        assert_eq!(matrix.cells[guian][id("Zunyi").index()].class, Some(DelayClass::T1));
        assert_eq!(matrix.cells[guian][id("Harbin").index()].class, None);
    }

    fn any_link() -> impl Strategy<Value = Link> {
        (0usize..4, 0usize..4, 0usize..3, any::<bool>(), 0i64..4, 20i64..40, 0i64..20, 1i64..100)
            .prop_map(|(from, to, layer, round, as_of, p50, more, ttl)| Link {
                from: places()[from * 9].id,
                to: places()[to * 9].id,
                kind: if round { LinkKind::RoundTrip } else { LinkKind::OneWay },
                layer: Layer::DEFAULT_ORDER[layer],
                source: Source::Measured,
                p50: Span::from_millis(p50),
                p99: Span::from_millis(p50 + more),
                bandwidth_bps: None,
                as_of: Time::from_micros(as_of * 20_000_000),
                ttl: Span::from_secs(ttl),
            })
    }

    proptest! {
        #[test]
        fn order_of_arrival_does_not_matter(
            links in prop::collection::vec(any_link(), 0..40),
            seed in any::<u64>(),
        ) {
            let build = |links: &[Link]| {
                let mut topology = Topology::default();
                for link in links {
                    topology.upsert_measurement(link.clone()).expect("possible");
                }
                topology
            };
            let mut shuffled = links.clone();
            let length = shuffled.len().max(1) as u64;
            for at in 0..shuffled.len() {
                let other = seed.wrapping_mul(at as u64 * 2 + 1) % length;
                shuffled.swap(at, usize::try_from(other).expect("small"));
            }
            let twice: Vec<_> = shuffled.iter().chain(&shuffled).cloned().collect();
            let topology = build(&links);
            prop_assert_eq!(&topology, &build(&twice));
            let text = serde_json::to_string(&topology).expect("text");
            prop_assert_eq!(&serde_json::from_str::<Topology>(&text).expect("topology"), &topology);
            let mut kept = topology.clone();
            kept.forget_stale(NOW);
            for a in 0..4 {
                for b in 0..4 {
                    let ask = |t: &Topology| t.one_way(
                        places()[a * 9].id, places()[b * 9].id,
                        Layer::DEFAULT_ORDER, Percentile::P99, NOW,
                    );
                    prop_assert_eq!(ask(&topology), ask(&kept));
                }
            }
        }

        #[test]
        fn a_promise_is_never_shorter_than_an_estimate(
            links in prop::collection::vec(any_link(), 0..20),
            from in 0usize..61, to in 0usize..61,
        ) {
            let mut topology = Topology::default();
            for link in links {
                topology.upsert_measurement(link).expect("possible");
            }
            let (from, to) = (places()[from].id, places()[to].id);
            let ask = |p| (
                topology.one_way(from, to, Layer::DEFAULT_ORDER, p, NOW),
                topology.one_way_bound(from, to, Layer::DEFAULT_ORDER, p, NOW),
            );
            let (estimate, bound) = ask(Percentile::P99);
            prop_assert!(estimate.span <= bound.span);
            prop_assert!(ask(Percentile::P50).0.span <= estimate.span);
        }
    }
}
