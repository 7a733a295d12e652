//! Delay as a function of distance, where nobody has measured or published it.
//!
//! The four formulas are fits to published figures (hub-to-hub tables of 2024 and the delays
//! published for Guizhou); d is the great-circle distance. Factors are whole nanoseconds per
//! kilometre, so that results are integers and reproducible.

use dayan_units::{Span, div_half_even};

use crate::delay::Percentile;
use crate::link::Layer;
use crate::place::PlaceId;

/// Light in fibre takes 4.9 µs/km, and fibre is 1.87 times as long as the great circle.
const OPTICAL_NS_PER_KM: u64 = 9_163;
/// Equipment at both ends.
const OPTICAL_FIXED_NS: u64 = 100_000;
const PRIVATE_IP_NS_PER_KM: u64 = 13_400;
const PUBLIC_IP_NS_PER_KM: u64 = 15_400;
const DIRECT_IP_NS_PER_KM: u64 = 9_680;
const DIRECT_IP_FIXED_NS: u64 = 2_000_000;
/// The largest deviation of the direct-IP fit from the figures it was fitted to.
const DIRECT_IP_ERROR: Span = Span::from_micros(1_800);
/// The optical fit's mean is within 5 % of the published hub table.
const OPTICAL_ERROR_PERCENT: i64 = 5;
/// Nothing is published on the scatter of the IP hub tables; twice the optical error is our
/// assumption.
const IP_ERROR_PERCENT: i64 = 10;

fn linear(metres: u64, ns_per_km: u64, fixed_ns: u64) -> Span {
    let nanos = i128::from(metres) * i128::from(ns_per_km) + i128::from(fixed_ns) * 1_000;
    let micros = div_half_even(nanos, 1_000_000);
    Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// One way over an optical circuit: 0.1 ms + 0.0049 · 1.87 ms/km · d.
pub fn optical(metres: u64) -> Span {
    linear(metres, OPTICAL_NS_PER_KM, OPTICAL_FIXED_NS)
}

/// One way over private IP: 0.0134 ms/km · d, and never under the optics that it rides on.
pub fn private_ip(metres: u64) -> Span {
    linear(metres, PRIVATE_IP_NS_PER_KM, 0).max(optical(metres))
}

/// One way over the public Internet: 0.0154 ms/km · d, and never under the optics.
pub fn public_ip(metres: u64) -> Span {
    linear(metres, PUBLIC_IP_NS_PER_KM, 0).max(optical(metres))
}

/// One way over a direct IP link between Guizhou and another province: 2.0 ms + 0.00968 ms/km · d.
pub fn direct_ip_from_guizhou(metres: u64) -> Span {
    linear(metres, DIRECT_IP_NS_PER_KM, DIRECT_IP_FIXED_NS)
}

/// The one-way delay between two places by the model of that layer; none for loopback. Models
/// have no percentiles of their own: the median is the formula, the 99th percentile adds the
/// formula's error, so that a promise never rests on the middle of a fit.
pub fn modelled(from: PlaceId, to: PlaceId, layer: Layer, percentile: Percentile) -> Option<Span> {
    let metres = from.metres_to(to);
    let percent = |span: Span, percent: i64| {
        // Rounded up: an error that is rounded away is none.
        Span::from_micros((span.micros() * percent + 99) / 100)
    };
    let leaves_guizhou = from.place().in_guizhou() != to.place().in_guizhou();
    let (middle, error) = match layer {
        Layer::Optical => {
            let span = optical(metres);
            (span, percent(span, OPTICAL_ERROR_PERCENT))
        }
        Layer::PrivateIp if leaves_guizhou => (direct_ip_from_guizhou(metres), DIRECT_IP_ERROR),
        Layer::PrivateIp => {
            let span = private_ip(metres);
            (span, percent(span, IP_ERROR_PERCENT))
        }
        Layer::PublicIp => {
            let span = public_ip(metres);
            (span, percent(span, IP_ERROR_PERCENT))
        }
        Layer::Loopback => return None,
    };
    Some(match percentile {
        Percentile::P50 => middle,
        Percentile::P99 => middle.plus(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::places;

    #[test]
    fn formulas_at_round_distances() {
        let check = |model: fn(u64) -> Span, km: u64, micros| {
            assert_eq!(model(km * 1_000), Span::from_micros(micros), "{km} km");
        };
        check(optical, 0, 100);
        check(optical, 1_000, 9_263);
        check(private_ip, 1_000, 13_400);
        check(private_ip, 0, 100);
        check(public_ip, 1_000, 15_400);
        check(direct_ip_from_guizhou, 1_000, 11_680);
    }

    /// The table's own estimates came from the same formulas, computed elsewhere, to 0.1 ms.
    #[test]
    fn agree_with_the_estimates_of_the_table() {
        let guian = PlaceId::find("guian").expect("listed");
        for (place, line) in places().iter().zip(include_str!("../data/cities.csv").lines().skip(1))
        {
            let fields: Vec<&str> = line.split(',').collect();
            let estimate = |at: usize| fields[at].parse::<f64>().expect("a number") * 1_000.0;
            let check = |layer, expect: f64| {
                let got = modelled(guian, place.id, layer, Percentile::P50).expect("no loopback");
                let off = got.micros() as f64 - expect;
                assert!(off.abs() <= 75.0, "{} {layer}: {off} us", place.name);
            };
            check(Layer::Optical, estimate(9));
            if !place.in_guizhou() {
                check(Layer::PrivateIp, estimate(10));
            }
        }
    }

    /// The direct-IP fit says that it is within 1.8 ms of what was published outside of Guizhou.
    #[test]
    fn the_stated_error_covers_published_city_values() {
        let guian = PlaceId::find("guian").expect("listed");
        for name in ["Guangzhou", "Shenzhen", "Hangzhou"] {
            let place = PlaceId::find(name).expect(name);
            let published = place.place().published_to_guizhou.expect(name).one_way;
            let model = modelled(guian, place, Layer::PrivateIp, Percentile::P50).expect("ip");
            let off = published.minus(model).micros().abs();
            assert!(off <= DIRECT_IP_ERROR.micros(), "{name}: {off} us");
        }
    }

    #[test]
    fn layers_are_ordered_and_loopback_has_no_model() {
        for a in places() {
            for b in places() {
                let at = |layer| modelled(a.id, b.id, layer, Percentile::P99);
                assert!(at(Layer::Optical) <= at(Layer::PublicIp));
                assert!(at(Layer::Optical) <= at(Layer::PrivateIp));
                assert_eq!(
                    at(Layer::PublicIp),
                    modelled(b.id, a.id, Layer::PublicIp, Percentile::P99)
                );
                assert_eq!(at(Layer::Loopback), None);
                assert!(at(Layer::Optical) > modelled(a.id, b.id, Layer::Optical, Percentile::P50));
            }
        }
    }
}
