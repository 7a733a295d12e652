//! Great-circle distance in whole metres.
//!
//! Invariant: only additions, multiplications, divisions and square roots of IEEE 754 doubles are
//! used. Those are exact to the last bit on every platform; the sine of a system's library is not,
//! and a plan must come out the same everywhere.

/// Mean radius of the Earth in metres (IUGG, R₁).
const EARTH_RADIUS_M: f64 = 6_371_008.8;
const MICRO_DEGREE: f64 = std::f64::consts::PI / 180e6;

/// Metres along the surface between two points given in millionths of a degree (latitude north,
/// longitude east), by the haversine formula on a sphere; within 0.6 % of the ellipsoid.
pub(crate) fn great_circle_metres(a: (i32, i32), b: (i32, i32)) -> u64 {
    let radians = |micro: i32| f64::from(micro) * MICRO_DEGREE;
    let (lat_a, lat_b) = (radians(a.0), radians(b.0));
    let half_lat = sine((lat_b - lat_a) / 2.0);
    let half_lon = sine((radians(b.1) - radians(a.1)) / 2.0);
    let haversine = half_lat * half_lat + cosine(lat_a) * cosine(lat_b) * half_lon * half_lon;
    // Rounding may push it a hair outside of the range in which the roots below are real.
    let haversine = haversine.clamp(0.0, 1.0);
    let angle = 2.0 * arctangent_of_ratio(haversine.sqrt(), (1.0 - haversine).sqrt());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most half of the circumference, and never negative"
    )]
    let metres = (angle * EARTH_RADIUS_M).round() as u64;
    metres
}

/// Taylor series; 15 terms reach the last bit for arguments up to π.
fn sine(x: f64) -> f64 {
    let square = x * x;
    let mut term = x;
    let mut sum = x;
    for n in 1..=15 {
        let n = f64::from(2 * n);
        term *= -square / (n * (n + 1.0));
        sum += term;
    }
    sum
}

fn cosine(x: f64) -> f64 {
    sine(std::f64::consts::FRAC_PI_2 - x)
}

/// The angle of the point (x, y) in the first quadrant. Three half-angle steps bring the argument
/// under tan(π/16) ≈ 0.2, where 14 terms of the series reach the last bit.
fn arctangent_of_ratio(y: f64, x: f64) -> f64 {
    let length = (x * x + y * y).sqrt();
    let mut ratio = y / (length + x);
    for _ in 0..2 {
        ratio /= 1.0 + (1.0 + ratio * ratio).sqrt();
    }
    let square = ratio * ratio;
    let mut power = ratio;
    let mut sum = ratio;
    for n in 1..=14 {
        power *= -square;
        sum += power / f64::from(2 * n + 1);
    }
    8.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_distances() {
        let check = |a, b, km: u64| {
            let metres = great_circle_metres(a, b);
            assert_eq!((metres + 500) / 1_000, km, "{a:?} {b:?}: {metres} m");
        };
        check((0, 0), (0, 0), 0);
        check((0, 0), (0, 90_000_000), 10_008);
        check((0, 0), (0, 180_000_000), 20_015);
        check((90_000_000, 0), (-90_000_000, 0), 20_015);
        // Beijing to Shanghai
        check((39_900_000, 116_400_000), (31_230_000, 121_470_000), 1_067);
    }

    proptest! {
        #[test]
        fn agrees_with_the_library_to_a_metre(
            a in (-90_000_000i32..=90_000_000, -180_000_000i32..=180_000_000),
            b in (-90_000_000i32..=90_000_000, -180_000_000i32..=180_000_000),
        ) {
            let r = |m: i32| (f64::from(m) / 1e6).to_radians();
            let h = ((r(b.0) - r(a.0)) / 2.0).sin().powi(2)
                + r(a.0).cos() * r(b.0).cos() * ((r(b.1) - r(a.1)) / 2.0).sin().powi(2);
            let expect = 2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin();
            let got = great_circle_metres(a, b) as f64;
            prop_assert!((got - expect).abs() < 1.0, "{got} against {expect}");
            prop_assert_eq!(great_circle_metres(a, b), great_circle_metres(b, a));
        }
    }
}
