//! The fisherman on his bamboo raft, as a signed distance field in the raft's own space.
//!
//! Origin on the water in the middle of the raft, x along it, y up, z across; metres. Distances
//! are never too large, so that sphere tracing (Hart, "Sphere tracing", 1996) misses nothing.

use super::shape::{Surface, passes};
use super::vec3::{Vec3, smooth, v3};

/// Boxes that hold the raft with what lies on it, the man with his pole, and the mast: most rays
/// near the raft pass between them.
const BOXES: [(Vec3, Vec3); 3] = [
    (v3(-3.1, -0.15, -0.62), v3(3.1, 0.85, 0.62)),
    (v3(-0.85, 0.0, -0.40), v3(0.45, 3.25, 0.40)),
    (v3(1.70, 0.8, -0.05), v3(2.16, 1.46, 0.05)),
];

/// The part that a point is nearest to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Bamboo,
    Cloth,
    Straw,
    Skin,
    Basket,
}

fn capsule(p: Vec3, a: Vec3, b: Vec3, ra: f32, rb: f32) -> f32 {
    let (pa, ba) = (p - a, b - a);
    let h = (pa.dot(ba) / ba.dot(ba)).clamp(0.0, 1.0);
    // A cone with round ends, taken as a capsule of changing radius: a little short, never long.
    ((pa - ba * h).length() - (ra + (rb - ra) * h)) * 0.95
}

/// Distance to the figure and the part it is.
fn distance(p: Vec3) -> (f32, Part) {
    // Five stalks side by side, bent upwards at both ends.
    let bend = 0.30 * smooth(1.1, 3.0, p.x.abs());
    let y = p.y - 0.06 - bend;
    let stalk = (p.z / 0.17).round().clamp(-2.0, 2.0) * 0.17;
    let z = p.z - stalk;
    let over = (p.x.abs() - 2.75).max(0.0);
    let raft = ((y * y + z * z).sqrt() - 0.085).max(over) * 0.9;
    let mut best = (raft, Part::Bamboo);
    let mut take = |d: f32, part| {
        if d < best.0 {
            best = (d, part);
        }
    };
    // The man stands a little aft of the middle, weight on the right leg, leaning to the pole.
    let hip = v3(-0.52, 0.98, 0.0);
    let neck = v3(-0.40, 1.47, 0.01);
    let legs = capsule(p, v3(-0.68, 0.16, 0.10), hip, 0.075, 0.12).min(capsule(
        p,
        v3(-0.36, 0.16, -0.09),
        hip,
        0.075,
        0.12,
    ));
    let coat = capsule(p, hip, neck, 0.19, 0.13);
    let arms = capsule(p, v3(-0.38, 1.40, 0.16), v3(-0.10, 1.22, 0.20), 0.06, 0.05)
        .min(capsule(p, v3(-0.10, 1.22, 0.20), v3(0.12, 1.38, 0.13), 0.05, 0.04))
        .min(capsule(p, v3(-0.40, 1.40, -0.14), v3(-0.16, 1.12, -0.16), 0.06, 0.05))
        .min(capsule(p, v3(-0.16, 1.12, -0.16), v3(0.05, 1.02, 0.10), 0.05, 0.04));
    take(legs.min(coat).min(arms), Part::Cloth);
    take((p - v3(-0.36, 1.63, 0.01)).length() - 0.105, Part::Skin);
    // The hat: a flat cone.
    let h = p - v3(-0.36, 1.69, 0.01);
    let out = (h.x * h.x + h.z * h.z).sqrt();
    let hat = (out * 0.46 + h.y * 0.89 - 0.135).max(-h.y - 0.01).max(out - 0.33) * 0.9;
    take(hat, Part::Straw);
    take(capsule(p, v3(-0.02, 0.0, 0.22), v3(0.30, 3.2, 0.05), 0.022, 0.016), Part::Bamboo);
    // A basket aft, a short mast forward that carries the lamp.
    let basket = capsule(p, v3(-1.55, 0.22, 0.05), v3(-1.55, 0.40, 0.05), 0.20, 0.25);
    take(basket, Part::Basket);
    take(capsule(p, v3(1.75, 0.1, 0.0), v3(1.75, 1.35, 0.0), 0.025, 0.02), Part::Bamboo);
    take(capsule(p, v3(1.75, 1.35, 0.0), v3(2.12, 1.42, 0.0), 0.02, 0.014), Part::Bamboo);
    // Two cormorants on the bow, waiting.
    for (x, z) in [(0.85_f32, 0.20_f32), (1.18, -0.16)] {
        let bird = capsule(p, v3(x, 0.24, z), v3(x + 0.05, 0.44, z), 0.075, 0.06).min(capsule(
            p,
            v3(x + 0.05, 0.46, z),
            v3(x + 0.10, 0.66, z),
            0.04,
            0.03,
        ));
        let beak = capsule(p, v3(x + 0.10, 0.67, z), v3(x + 0.22, 0.70, z), 0.03, 0.01);
        take(bird.min(beak), Part::Cloth);
    }
    best
}

/// Where a ray in the raft's space meets the figure: distance, normal, surface.
pub fn hit(o: Vec3, d: Vec3, near: f32, far: f32) -> Option<(f32, Vec3, Surface)> {
    let inverse = Vec3::ONE / d;
    let (mut t, mut end) = (f32::MAX, f32::MIN);
    for (low, high) in BOXES {
        if let Some((enter, leave)) = passes(o, inverse, low, high, near, far) {
            (t, end) = (t.min(enter), end.max(leave));
        }
    }
    // 72 steps: rays that graze the raft along its length need the most, about 50.
    for _ in 0..72 {
        if t >= end {
            return None;
        }
        let p = o + d * t;
        let (distance, part) = distance(p);
        if distance < 0.003 {
            let surface = Surface::Diffuse(match part {
                Part::Bamboo => v3(0.36, 0.27, 0.13),
                Part::Cloth => v3(0.045, 0.05, 0.07),
                Part::Straw => v3(0.46, 0.34, 0.16),
                Part::Skin => v3(0.36, 0.21, 0.14),
                Part::Basket => v3(0.24, 0.16, 0.08),
            });
            return Some((t, normal(p), surface));
        }
        t += distance.max(0.002);
    }
    None
}

fn normal(p: Vec3) -> Vec3 {
    let e = 0.004;
    let slope = |a: Vec3| distance(p + a * e).0 - distance(p - a * e).0;
    v3(slope(v3(1.0, 0.0, 0.0)), slope(Vec3::UP), slope(v3(0.0, 0.0, 1.0))).unit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ray_meets_the_hat_from_above_and_misses_beside() {
        let down = v3(0.001, -1.0, 0.001).unit();
        let (t, normal, _) = hit(v3(-0.36, 6.0, 0.0), down, 1e-3, 50.0).unwrap();
        assert!((6.0 - t - 1.8).abs() < 0.1, "{t}");
        assert!(normal.y > 0.5);
        assert!(hit(v3(5.0, 6.0, 0.0), down, 1e-3, 50.0).is_none());
    }

    #[test]
    fn distances_never_overshoot() {
        // From any point, moving by the distance must not change its sign.
        for i in 0..400 {
            let f = i as f32;
            let p = v3((f * 0.37).sin() * 2.5, (f * 0.11).sin().abs() * 2.5, (f * 0.73).cos());
            let (d, _) = distance(p);
            if d > 0.0 {
                for axis in [v3(1.0, 0.0, 0.0), v3(0.0, 1.0, 0.0), v3(0.0, 0.0, 1.0)] {
                    for way in [axis, -axis] {
                        assert!(distance(p + way * (d * 0.98)).0 > -0.02, "{p:?} {way:?}");
                    }
                }
            }
        }
    }
}
