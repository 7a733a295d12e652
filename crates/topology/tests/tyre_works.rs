//! The tyre works' story: a service with delay class T2 counted from two cities, judged over what
//! agents report, through the public interface only.

use dayan_topology::{
    Basis, DelayClass, Layer, Link, LinkKind, Percentile, PlaceId, Region, Source, Topology, Upsert,
};
use dayan_units::{Bytes, Span, Time};

fn place(name: &str) -> PlaceId {
    PlaceId::find(name).expect(name)
}

fn probe(from: &str, to: &str, kind: LinkKind, p99_ms: i64, as_of: Time) -> Link {
    Link {
        from: place(from),
        to: place(to),
        kind,
        layer: Layer::PrivateIp,
        source: Source::Measured,
        p50: Span::from_millis(p99_ms - 1),
        p99: Span::from_millis(p99_ms),
        bandwidth_bps: Some(500_000_000),
        as_of,
        ttl: Span::from_secs(600),
    }
}

#[test]
fn a_class_follows_what_is_measured_and_falls_back_when_it_is_stale() {
    let now: Time = "2026-03-01T08:00:00Z".parse().expect("a time");
    let from = [place("city:Guiyang"), place("city:Chengdu")];
    let candidates = ["Gui'an", "Zunyi", "Chengdu", "Hangzhou"];
    let holds = |topology: &Topology, now| -> Vec<&str> {
        let keeps = |to: &&&str| {
            topology.class_holds(DelayClass::T2, &from, place(to), Percentile::P99, now).is_ok()
        };
        candidates.iter().filter(keeps).copied().collect()
    };
    let mut topology = Topology::default();
    assert_eq!(holds(&topology, now), ["Gui'an", "Zunyi", "Chengdu"]);

    // A cable is cut: Chengdu's one-way delay to Gui'an goes up.
    let slow = probe("Chengdu", "Gui'an", LinkKind::OneWay, 14, now);
    assert_eq!(topology.upsert_measurement(slow), Ok(Upsert::Inserted));
    assert_eq!(holds(&topology, now), ["Zunyi", "Chengdu"]);

    // Repaired; an old report that comes late does not bring the fault back.
    let later = now.plus(Span::from_secs(60));
    let good = probe("Chengdu", "Gui'an", LinkKind::OneWay, 7, later);
    assert_eq!(topology.upsert_measurement(good), Ok(Upsert::Replaced));
    let late = probe("Chengdu", "Gui'an", LinkKind::OneWay, 14, now);
    assert_eq!(topology.upsert_measurement(late), Ok(Upsert::Kept));
    let held = topology
        .class_holds(DelayClass::T2, &from, place("Gui'an"), Percentile::P99, later)
        .expect("7 ms and 3 ms");
    assert_eq!((held.span, held.basis), (Span::from_millis(7), Basis::OneWayMeasured));

    // The probe falls silent: the published figure counts again.
    let stale = later.plus(Span::from_secs(600));
    let held = topology
        .class_holds(DelayClass::T2, &from, place("Gui'an"), Percentile::P99, stale)
        .expect("published");
    assert_eq!((held.span, held.basis), (Span::from_millis(6), Basis::Published));
    assert_eq!(topology.forget_stale(stale), 1);
}

#[test]
fn a_refusal_tells_the_user_what_is_missing() {
    let topology = Topology::default();
    let now = Time::EPOCH;
    let refusal = topology
        .class_holds(DelayClass::T2, &[place("Guiyang")], place("Hangzhou"), Percentile::P99, now)
        .expect_err("16 ms");
    assert_eq!(
        refusal.to_string(),
        "guiyang to hangzhou takes 16 ms, published (private_ip); T2 allows 10 ms"
    );
}

#[test]
fn data_take_as_long_as_the_measured_line_says() {
    let now = Time::EPOCH;
    let mut topology = Topology::default();
    topology
        .upsert_measurement(probe("Shenzhen", "Gui'an", LinkKind::OneWay, 11, now))
        .expect("possible");
    // 10 GB over 500 Mbit/s, and 10 ms there (measured) and 10 ms back (published).
    let estimate =
        topology.transfer(place("Shenzhen"), place("Gui'an"), Bytes(10_000_000_000), now);
    assert_eq!(estimate.span, Span::from_millis(160_020));
    assert!(Region::find("贵州").expect("a province").contains(place("Gui'an")));
}
