//! Draws an X-ray picture of a tyre from a seed.
//!
//! Across the picture: bead, sidewall, tread with two crossing steel belts, sidewall, bead. The
//! carcass cords run from bead to bead, so they are horizontal lines with a period that wanders
//! a little. Must not know how pictures are inspected.

use std::f32::consts::{PI, TAU};

use super::{Defect, Kind, Picture};
use crate::rng::Rng;

const WIDTH: usize = 512;
const HEIGHT: usize = 320;
/// Columns where the parts begin: bead | sidewall | tread | sidewall | bead.
const PARTS: [f32; 4] = [26.0, 166.0, 346.0, 486.0];

/// What is really in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// The defect that was drawn, if any. About four pictures in ten have none.
    pub defect: Option<Defect>,
}

/// One carcass cord: its row at the left border, its lean, and how dark it is.
struct Cord {
    row: f32,
    lean: f32,
    depth: f32,
}

/// Draws the picture of a seed.
pub fn make(seed: u64) -> (Picture, Truth) {
    let mut rng = Rng::of(&[seed, 0x7_1e5]);
    let period = rng.between(8.6, 9.8) as f32;
    let defect = choose(&mut rng, period);
    let cords = carcass(&mut rng, period, defect);
    let wave = (rng.between(0.3, 1.0) as f32, TAU * rng.unit_f32());
    let light = (rng.between(0.52, 0.60) as f32, rng.between(-0.05, 0.05) as f32);
    let belt = (rng.between(5.6, 6.4) as f32, rng.between(0.38, 0.46) as f32);
    let belt_depth = rng.between(0.055, 0.075) as f32;
    let noise = rng.between(0.014, 0.022) as f32;
    let cord_half = 1.75;

    let mut grey = vec![0.0; WIDTH * HEIGHT];
    for y in 0..HEIGHT {
        let v = y as f32;
        for x in 0..WIDTH {
            let u = x as f32;
            // Thickness of rubber: thick beads, thin sidewalls, thick tread with shoulders.
            let tread = step(PARTS[1], u, 10.0) * step(u, PARTS[2], 10.0);
            let bead = 1.0 - step(PARTS[0], u, 3.0) * step(u, PARTS[3], 3.0);
            let mut value = light.0 + light.1 * (v / HEIGHT as f32 - 0.5) * 2.0;
            value += 0.10 * (PI * (u / WIDTH as f32)).sin() - 0.17 * tread - 0.34 * bead;
            value += 0.015 * (u * 0.021 + wave.1).sin() * (v * 0.017 + wave.1 * 2.0).cos();
            // Grooves of the tread: three bright bands round the tyre.
            for groove in [206.0, 256.0, 306.0] {
                value += 0.075 * bump((u - groove) / 5.5);
            }
            let sway = wave.0 * (TAU * u / 410.0 + wave.1).sin();
            // Cords are far enough apart that only the two nearest can matter.
            let guess = (v - sway) / period;
            for i in (guess.floor() as i32 - 2)..=(guess.floor() as i32 + 4) {
                let Some(cord) = usize::try_from(i + 2).ok().and_then(|i| cords.get(i)) else {
                    continue;
                };
                let (shift, strength) = disturbed(defect, i, u);
                let row = cord.row + cord.lean * u + sway + shift;
                let shown = cord.depth * strength * (1.0 - 0.55 * tread);
                value -= shown * bump((v - row) / cord_half);
            }
            for sign in [-1.0, 1.0] {
                // Two belts of steel at equal and opposite angles to the circumference.
                let across = u * belt.1.cos() + sign * v * belt.1.sin();
                let wire = 0.5 + 0.5 * (TAU * across / belt.0).cos();
                value -= belt_depth * tread * wire;
            }
            value += spot(defect, u, v);
            // Counting noise: brighter means more photons and more spread.
            value += noise * rng.normal() as f32 * (0.6 + 0.7 * value.max(0.0)).sqrt();
            grey[y * WIDTH + x] = value.clamp(0.0, 1.0);
        }
    }
    let picture = Picture { width: WIDTH, height: HEIGHT, grey };
    let defect = defect.map(|(defect, _, _)| defect);
    (picture, Truth { defect })
}

/// A defect with what its kind needs: for cords the cord's index, and its strength or offset.
type Drawn = (Defect, i32, f32);

fn choose(rng: &mut Rng, period: f32) -> Option<Drawn> {
    let kind = match rng.below(10) {
        0..4 => return None,
        4 | 5 => Kind::Bubble,
        6 | 7 => Kind::ForeignBody,
        8 => Kind::CordOverlap,
        _ => Kind::BrokenCord,
    };
    let y = rng.between(36.0, HEIGHT as f64 - 36.0) as f32;
    let in_sidewall = |rng: &mut Rng, margin: f64| {
        let span = f64::from(PARTS[1] - PARTS[0]);
        let from = if rng.below(2) == 0 { PARTS[0] } else { PARTS[2] };
        (f64::from(from) + rng.between(margin, span - margin)) as f32
    };
    let drawn = match kind {
        Kind::Bubble => {
            let size = rng.between(18.0, 34.0) as f32;
            let x = rng.between(60.0, WIDTH as f64 - 60.0) as f32;
            (Defect { kind, x, y, size }, 0, rng.between(0.075, 0.14) as f32)
        }
        Kind::ForeignBody => {
            let size = rng.between(5.0, 10.0) as f32;
            let x = rng.between(50.0, WIDTH as f64 - 50.0) as f32;
            (Defect { kind, x, y, size }, 0, rng.between(0.26, 0.42) as f32)
        }
        Kind::CordOverlap => {
            let size = rng.between(48.0, 76.0) as f32;
            let x = in_sidewall(rng, 44.0);
            let side = if rng.below(2) == 0 { -1.0 } else { 1.0 };
            let shift = side * rng.between(0.52, 0.70) as f32 * period;
            (Defect { kind, x, y, size }, (y / period) as i32, shift)
        }
        Kind::BrokenCord => {
            let size = rng.between(32.0, 64.0) as f32;
            let x = in_sidewall(rng, 40.0);
            (Defect { kind, x, y, size }, (y / period) as i32, rng.between(0.0, 0.12) as f32)
        }
    };
    Some(drawn)
}

/// Cords from two above the picture to three below it; the index of a cord is its place plus 2.
fn carcass(rng: &mut Rng, period: f32, defect: Option<Drawn>) -> Vec<Cord> {
    let lean = rng.between(-0.006, 0.006) as f32;
    let count = (HEIGHT as f32 / period) as i32 + 5;
    (-2..count)
        .map(|i| {
            let jitter = rng.normal() as f32 * 0.32;
            // A cord that is a defect's own must lie where the truth says it does.
            let own = defect.is_some_and(|(_, cord, _)| cord == i);
            let jitter = if own { 0.0 } else { jitter.clamp(-0.8, 0.8) };
            Cord {
                row: (i as f32 + 0.5) * period + jitter,
                lean,
                depth: 0.17 + 0.012 * rng.normal() as f32,
            }
        })
        .collect()
}

/// What a defect does to a cord at a column: how far it is pushed, and what is left of it.
fn disturbed(defect: Option<Drawn>, cord: i32, u: f32) -> (f32, f32) {
    let Some((defect, own, amount)) = defect else { return (0.0, 1.0) };
    if cord != own {
        return (0.0, 1.0);
    }
    let half = defect.size / 2.0;
    let inside = step(defect.x - half, u, 3.0) * step(u, defect.x + half, 3.0);
    match defect.kind {
        Kind::Bubble | Kind::ForeignBody => (0.0, 1.0),
        Kind::CordOverlap => (amount * inside, 1.0),
        Kind::BrokenCord => (0.0, 1.0 - inside * (1.0 - amount)),
    }
}

/// Brightness a defect adds by itself.
fn spot(defect: Option<Drawn>, u: f32, v: f32) -> f32 {
    let Some((defect, _, amount)) = defect else { return 0.0 };
    let (dx, dy) = (u - defect.x, v - defect.y);
    match defect.kind {
        Kind::Bubble => {
            let q = (dx * dx + 1.35 * dy * dy).sqrt() / (defect.size / 2.0);
            amount * (1.0 - q * q).max(0.0).sqrt()
        }
        Kind::ForeignBody => {
            // An angular splinter: the larger of two skewed distances.
            let q =
                (dx * 0.9 + dy * 0.4).abs().max((dy * 0.95 - dx * 0.3).abs()) / (defect.size / 2.0);
            -amount * (1.0 - step(1.0, q, 0.12))
        }
        Kind::CordOverlap | Kind::BrokenCord => 0.0,
    }
}

/// 0 where `at` is well below `edge`, 1 well above, soft over `width`; as `edge` < `at`.
fn step(edge: f32, at: f32, width: f32) -> f32 {
    1.0 / (1.0 + (-(at - edge) / (0.25 * width)).exp())
}

/// A round bump of height 1 and half width 1.
fn bump(q: f32) -> f32 {
    (-q * q).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_picture() {
        let (a, truth) = make(11);
        let (b, again) = make(11);
        assert!(a == b && truth == again);
        assert_ne!(a, make(12).0);
    }

    #[test]
    fn every_kind_and_none_occur() {
        let mut seen: Vec<Option<Kind>> =
            (0..60).map(|seed| make_truth(seed).map(|d| d.kind)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5, "{seen:?}");
    }

    fn make_truth(seed: u64) -> Option<Defect> {
        let mut rng = Rng::of(&[seed, 0x7_1e5]);
        let period = rng.between(8.6, 9.8) as f32;
        choose(&mut rng, period).map(|(defect, _, _)| defect)
    }
}
