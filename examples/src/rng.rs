//! Random numbers from an explicit seed, the same on every machine.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA
//! 2014): 64 bits of state, every seed good, cheap enough to make one per pixel. Not for secrets.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A stream of its own for every seed.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// A stream of its own for every combination of the parts, e.g. seed, frame and pixel.
    pub fn of(parts: &[u64]) -> Rng {
        let state = parts.iter().fold(0, |state, part| mix(state ^ mix(*part ^ GOLDEN)));
        Rng { state }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in `0.0..1.0`, single precision.
    #[inline]
    pub fn unit_f32(&mut self) -> f32 {
        // 24 bits fill the mantissa exactly, so 1.0 cannot appear by rounding.
        (self.bits() >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in `0.0..1.0`, double precision.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias of the multiplication is below 2^-32 for the
    /// small ranges used here.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Normally distributed, mean 0, variance 1 (Box–Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// 2^64 divided by the golden ratio, odd: the increment of the published generator.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The published finaliser; also a good hash of an integer.
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        // First outputs for seed 1234567, as listed with the reference implementation.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn units_stay_inside_and_have_the_right_mean() {
        let mut rng = Rng::new(7);
        let (mut sum, mut normal, mut square) = (0.0, 0.0, 0.0);
        let n = 20_000;
        for _ in 0..n {
            let u = rng.unit();
            assert!((0.0..1.0).contains(&u));
            assert!((0.0..1.0).contains(&rng.unit_f32()));
            assert!(rng.below(6) < 6);
            let g = rng.normal();
            sum += u;
            normal += g;
            square += g * g;
        }
        let n = f64::from(n);
        assert!((sum / n - 0.5).abs() < 0.01);
        assert!((normal / n).abs() < 0.03);
        assert!((square / n - 1.0).abs() < 0.04);
    }

    #[test]
    fn streams_differ_by_every_part() {
        let a = Rng::of(&[1, 2, 3]).bits();
        assert_ne!(a, Rng::of(&[1, 2, 4]).bits());
        assert_ne!(a, Rng::of(&[2, 1, 3]).bits());
        assert_eq!(a, Rng::of(&[1, 2, 3]).bits());
    }
}
