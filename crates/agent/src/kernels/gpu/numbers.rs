//! Number formats of matrices on cards: random test values as bytes, and bytes back as values.
//!
//! Values are not zeros, since a card that multiplies zeros draws less power and clocks higher
//! than it ever does at work. All are normal and below one in size; one in four is negative, so that a
//! sum of products is far from zero and a wrong one is seen.

/// How a value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Sign, exponent with IEEE bias, mantissa.
    Float {
        /// Bits of the exponent.
        exponent: u32,
        /// Bits of the mantissa.
        mantissa: u32,
    },
    /// A two's complement integer of so many bits.
    Integer {
        /// 8 or 32.
        bits: u32,
    },
}

pub(super) const FP64: Format = Format::Float { exponent: 11, mantissa: 52 };
pub(super) const FP32: Format = Format::Float { exponent: 8, mantissa: 23 };
pub(super) const FP16: Format = Format::Float { exponent: 5, mantissa: 10 };
pub(super) const BF16: Format = Format::Float { exponent: 8, mantissa: 7 };
/// OCP 8-bit floating point, E4M3.
pub(super) const FP8: Format = Format::Float { exponent: 4, mantissa: 3 };
pub(super) const INT8: Format = Format::Integer { bits: 8 };
pub(super) const INT32: Format = Format::Integer { bits: 32 };

impl Format {
    /// Bytes of one value.
    pub(super) const fn bytes(self) -> usize {
        let bits = match self {
            Self::Float { exponent, mantissa } => 1 + exponent + mantissa,
            Self::Integer { bits } => bits,
        };
        (bits / 8) as usize
    }

    /// The bits of a test value, made of random bits.
    const fn encode(self, random: u64) -> u64 {
        match self {
            Self::Integer { bits } => random & (u64::MAX >> (64 - bits)),
            Self::Float { exponent, mantissa } => {
                let bias = (1 << (exponent - 1)) - 1;
                // From 1/16 to below 1: exponents −4 to −1.
                let power = bias - 1 - ((random >> 60) & 3);
                let sign = (random >> 63) & (random >> 59) & 1;
                let fraction = random & ((1 << mantissa) - 1);
                (sign << (exponent + mantissa)) | (power << mantissa) | fraction
            }
        }
    }

    /// The value of so many bits; zero and subnormal numbers included, infinities not.
    pub(super) fn decode(self, raw: u64) -> f64 {
        match self {
            Self::Integer { bits } => {
                let shift = 64 - bits;
                ((raw << shift).cast_signed() >> shift) as f64
            }
            Self::Float { exponent, mantissa } => {
                let bias = (1i32 << (exponent - 1)) - 1;
                let sign = if (raw >> (exponent + mantissa)) & 1 == 1 { -1.0 } else { 1.0 };
                let power = (raw >> mantissa) & ((1 << exponent) - 1);
                let fraction = (raw & ((1 << mantissa) - 1)) as f64 / (1u64 << mantissa) as f64;
                let power = i32::try_from(power).expect("at most eleven bits");
                if power == 0 {
                    sign * fraction * 2f64.powi(1 - bias)
                } else {
                    sign * (1.0 + fraction) * 2f64.powi(power - bias)
                }
            }
        }
    }

    /// So many test values as bytes, little-endian.
    pub(super) fn pattern(self, count: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(count * self.bytes());
        for _ in 0..count {
            // SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let value = self.encode(z ^ (z >> 31)).to_le_bytes();
            bytes.extend_from_slice(&value[..self.bytes()]);
        }
        bytes
    }

    /// The values of a pattern.
    pub(super) fn values(self, bytes: &[u8]) -> impl Iterator<Item = f64> {
        bytes.chunks_exact(self.bytes()).map(move |chunk| {
            let mut raw = [0; 8];
            raw[..chunk.len()].copy_from_slice(chunk);
            self.decode(u64::from_le_bytes(raw))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_the_formats_say() {
        let check = |format: Format, raw: u64, expect: f64| {
            assert!((format.decode(raw) - expect).abs() < 1e-12, "{format:?} {raw:#x}");
        };
        check(FP64, 1.5f64.to_bits(), 1.5);
        check(FP32, u64::from((-0.15625f32).to_bits()), -0.15625);
        check(FP16, 0x3c00, 1.0);
        check(FP16, 0xc400, -4.0);
        check(FP16, 0x0001, 2f64.powi(-24));
        check(BF16, 0x3f80, 1.0);
        check(BF16, 0xbf00, -0.5);
        check(FP8, 0x38, 1.0);
        check(FP8, 0x7e, 448.0);
        check(INT8, 0xff, -1.0);
        check(INT32, 0x8000_0000, -2_147_483_648.0);
        check(FP32, 0, 0.0);
    }

    #[test]
    fn test_values_are_small_signed_and_never_zero() {
        for format in [FP64, FP32, FP16, BF16, FP8] {
            let pattern = format.pattern(500, 7);
            assert_eq!(pattern.len(), 500 * format.bytes());
            let values: Vec<f64> = format.values(&pattern).collect();
            assert!(values.iter().all(|v| (1.0 / 16.0..1.0).contains(&v.abs())), "{format:?}");
            let negative = values.iter().filter(|v| **v < 0.0).count();
            assert!((80..180).contains(&negative), "{format:?}: {negative}");
        }
        let integers: Vec<f64> = INT8.values(&INT8.pattern(500, 7)).collect();
        assert!(integers.iter().any(|v| *v < -100.0) && integers.iter().any(|v| *v > 100.0));
    }
}
