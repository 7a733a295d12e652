//! Smooth random fields: value noise on a lattice and sums of octaves of it.
//!
//! Invariant: a pure function of place and seed, so every frame and thread sees the same hills.

use crate::rng::mix;

/// A random number in `0.0..1.0` for a lattice point.
#[inline]
pub fn hash2(x: i32, y: i32, seed: u32) -> f32 {
    let key = (u64::from(x as u32) << 32) | u64::from(y as u32);
    (mix(key ^ (u64::from(seed) << 17)) >> 40) as f32 * (1.0 / 16_777_216.0)
}

/// The whole number not above a value and what is left over. A conversion and a comparison, where
/// `f32::floor` is a call on processors without a rounding instruction.
#[inline]
pub fn split(x: f32) -> (i32, f32) {
    let near = x as i32;
    let whole = if near as f32 > x { near.wrapping_sub(1) } else { near };
    (whole, x - whole as f32)
}

/// Value noise in `0.0..1.0`, one feature per unit of length.
#[inline]
pub fn noise2(x: f32, y: f32, seed: u32) -> f32 {
    let ((ix, tx), (iy, ty)) = (split(x), split(y));
    // The quintic has no kink in its second derivative, so slopes lit by it show no lattice.
    let ease = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let (sx, sy) = (ease(tx), ease(ty));
    let low = hash2(ix, iy, seed) * (1.0 - sx) + hash2(ix.wrapping_add(1), iy, seed) * sx;
    let iy = iy.wrapping_add(1);
    let high = hash2(ix, iy, seed) * (1.0 - sx) + hash2(ix.wrapping_add(1), iy, seed) * sx;
    low * (1.0 - sy) + high * sy
}

/// Octaves of noise, each half as strong and twice as fine; in `0.0..1.0`.
pub fn fbm2(x: f32, y: f32, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut weight, mut total) = (0.0, 0.5, 0.0);
    let (mut x, mut y) = (x, y);
    for octave in 0..octaves {
        sum += weight * noise2(x, y, seed.wrapping_add(octave));
        total += weight;
        weight *= 0.5;
        // Turned by about 37° each time, so that the lattices of the octaves do not line up.
        (x, y) = (1.6 * x - 1.2 * y + 3.7, 1.2 * x + 1.6 * y - 1.3);
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_is_floor() {
        for x in [-2.0, -1.5, -0.25, 0.0, 0.75, 3.0, 1234.5] {
            let (whole, rest) = split(x);
            assert_eq!((whole as f32, rest), (x.floor(), x - x.floor()));
        }
    }

    #[test]
    fn noise_is_bounded_and_continuous() {
        for i in 0..500 {
            let (x, y) = (i as f32 * 0.173 - 30.0, i as f32 * -0.091 + 4.0);
            let here = fbm2(x, y, 4, 9);
            assert!((0.0..=1.0).contains(&here));
            assert!((noise2(x, y, 9) - noise2(x + 1e-3, y, 9)).abs() < 0.01);
        }
        assert_ne!(noise2(0.5, 0.5, 1), noise2(0.5, 0.5, 2));
    }
}
