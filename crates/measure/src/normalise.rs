//! Standard units: one figure for use of unlike hardware, for reports. Prices are per meter, and
//! every normalised quantity keeps the raw one beside it.
//!
//! - 1 SCU = 1 PFLOPS (FP16, dense, effective) for 1 hour; effective = nominal × derate, where the
//!   derate is measured ÷ nominal by a named benchmark.
//! - 1 normalised core-hour = core-hours × (measured rate of a core ÷ that of the reference core).
//!
//! Invariant: integer arithmetic in 128 bits, rounded once, half to even. Formula and reference
//! carry a version; a quantity says by which it was computed and can be recomputed for ever.

use std::fmt;

use dayan_units::{FlopRate, MilliAccel, MilliCpu, Span, div_half_even};
use serde::{Deserialize, Serialize};

use crate::vector::Method;

/// The version of the formulas on this page.
pub const SCU_FORMULA: u32 = 1;

/// Millionths of a standard unit.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroScu(pub u64);

/// Millionths of a normalised core-hour.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroCoreHours(pub u64);

fn millionths(f: &mut fmt::Formatter<'_>, micro: u64, unit: &str) -> fmt::Result {
    f.pad(&format!("{}.{:06} {unit}", micro / 1_000_000, micro % 1_000_000))
}
impl fmt::Display for MicroScu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        millionths(f, self.0, "SCU")
    }
}
impl fmt::Display for MicroCoreHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        millionths(f, self.0, "core-h")
    }
}

/// The share of its nominal rate that hardware was measured to reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Derate {
    /// Millionths; over a million where a processor runs above its stated clock.
    pub ppm: u32,
    /// By which benchmark.
    pub method: Method,
}

impl Derate {
    /// Measured ÷ nominal, rounded down: in doubt the unit counts less. Nothing where the nominal
    /// rate is zero or the ratio over the range.
    pub fn from_benchmark(nominal: FlopRate, measured: FlopRate, method: Method) -> Option<Self> {
        let ppm = (u128::from(measured.0) * 1_000_000).checked_div(u128::from(nominal.0))?;
        Some(Self { ppm: u32::try_from(ppm).ok()?, method })
    }

    /// nominal × derate, rounded down.
    pub fn effective_floor(&self, nominal: FlopRate) -> FlopRate {
        let rate = u128::from(nominal.0) * u128::from(self.ppm) / 1_000_000;
        FlopRate(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// What was used, before it is made comparable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawUse {
    /// Cards for a time.
    Accelerators {
        /// How many.
        cards: MilliAccel,
        /// For how long.
        span: Span,
    },
    /// Cores for a time.
    Cores {
        /// How many.
        cores: MilliCpu,
        /// For how long.
        span: Span,
    },
}

/// A normalised quantity with what it was computed from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Normalised<Q> {
    /// What was used.
    pub raw: RawUse,
    /// The same in standard units.
    pub quantity: Q,
    /// The rate that was applied: effective FP16 of a card, or measured FP64 of a core.
    pub rate: FlopRate,
    /// The benchmark behind the rate.
    pub method: Method,
    /// [`SCU_FORMULA`] for cards, the version of the reference table for cores.
    pub version: u32,
}

const HOUR_MICROS: i128 = 3_600_000_000;
const PETA: i128 = 1_000_000_000_000_000;

fn scaled(rate: FlopRate, milli: u64, span: Span, denominator: i128) -> Option<u64> {
    let numerator = i128::from(rate.0)
        .checked_mul(i128::from(milli))?
        .checked_mul(i128::from(span.micros()))?;
    u64::try_from(div_half_even(numerator, denominator)).ok()
}

/// Standard units for cards of that nominal FP16 rate. Nothing for a negative span or a result
/// over the range.
pub fn normalise_accelerators(
    nominal_fp16: FlopRate,
    derate: &Derate,
    cards: MilliAccel,
    span: Span,
) -> Option<Normalised<MicroScu>> {
    let rate = derate.effective_floor(nominal_fp16);
    // FLOP/s × thousandths of a card × µs, over PFLOPS × hour, in millionths.
    let quantity = MicroScu(scaled(rate, cards.0, span, PETA * HOUR_MICROS * 1_000 / 1_000_000)?);
    let raw = RawUse::Accelerators { cards, span };
    Some(Normalised { raw, quantity, rate, method: derate.method.clone(), version: SCU_FORMULA })
}

/// The core that others are compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreReference {
    /// Version of the reference table.
    pub version: u32,
    /// The attribute that is compared: `cpu.dgemm.all` divided by the cores.
    pub benchmark: &'static str,
    /// Its value for the reference core.
    pub per_core: FlopRate,
}

/// All references ever in force, oldest first. Entries are added, never changed.
const REFERENCES: &[CoreReference] = &[CoreReference {
    version: 1,
    benchmark: "cpu.dgemm.all",
    // A core with two 256-bit multiply-add units (16 operations a cycle) at 2 GHz.
    per_core: FlopRate(32_000_000_000),
}];

/// The reference of that version.
pub fn reference(version: u32) -> Option<&'static CoreReference> {
    REFERENCES.iter().find(|reference| reference.version == version)
}

/// Normalised core-hours for cores that were measured at `per_core` by the reference's benchmark.
/// Nothing for a negative span or a result over the range.
pub fn normalise_cores(
    reference: &CoreReference,
    per_core: FlopRate,
    method: Method,
    cores: MilliCpu,
    span: Span,
) -> Option<Normalised<MicroCoreHours>> {
    // Rate × thousandths of a core × µs, over the reference rate × hour, in millionths.
    let denominator = i128::from(reference.per_core.0) * HOUR_MICROS * 1_000;
    let numerator_scale = 1_000_000;
    let quantity = scaled(per_core, cores.0, span, denominator / numerator_scale)?;
    let raw = RawUse::Cores { cores, span };
    Some(Normalised {
        raw,
        quantity: MicroCoreHours(quantity),
        rate: per_core,
        method,
        version: reference.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn method() -> Method {
        Method { name: "dayan.gemm".into(), version: "1".into() }
    }
    const HOUR: Span = Span::from_secs(3_600);

    #[test]
    fn one_unit_is_a_petaflops_for_an_hour() {
        let peta = FlopRate(1_000_000_000_000_000);
        let full = Derate { ppm: 1_000_000, method: method() };
        let check = |nominal, derate: &Derate, cards, span, micro| {
            let got = normalise_accelerators(nominal, derate, MilliAccel(cards), span)
                .map(|normalised| normalised.quantity.0);
            assert_eq!(got, micro);
        };
        check(peta, &full, 1_000, HOUR, Some(1_000_000));
        check(peta, &full, 250, HOUR, Some(250_000));
        check(peta, &full, 1_000, Span::ZERO, Some(0));
        check(peta, &full, 1_000, Span::from_secs(-1), None);
        check(FlopRate(u64::MAX), &full, u64::MAX, Span::MAX, None);
        // Eight cards of 989.4 TFLOPS at 70 % for a day: 8 × 0.9894 × 0.7 × 24 = 132.97536
        let derate = Derate::from_benchmark(
            FlopRate(989_400_000_000_000),
            FlopRate(692_580_000_000_000),
            method(),
        )
        .expect("a ratio");
        assert_eq!(derate.ppm, 700_000);
        check(FlopRate(989_400_000_000_000), &derate, 8_000, HOUR.times(24), Some(132_975_360));
        assert_eq!(MicroScu(132_975_360).to_string(), "132.975360 SCU");
    }

    #[test]
    fn cores_are_counted_in_reference_cores() {
        let first = reference(1).expect("the first");
        let check = |giga: u64, cores, span, micro| {
            let rate = FlopRate(giga * 1_000_000_000);
            let got = normalise_cores(first, rate, method(), MilliCpu(cores), span);
            assert_eq!(got.map(|normalised| normalised.quantity.0), micro);
        };
        check(32, 1_000, HOUR, Some(1_000_000));
        check(64, 1_000, HOUR, Some(2_000_000));
        check(8, 16_000, HOUR, Some(4_000_000));
        check(32, 1_000, Span::from_secs(-1), None);
        assert_eq!(reference(0), None);
    }

    #[test]
    fn references_are_numbered_without_gaps() {
        for (at, reference) in REFERENCES.iter().enumerate() {
            assert_eq!(reference.version as usize, at + 1);
            assert!(reference.benchmark.parse::<crate::Attribute>().is_ok());
            assert!(reference.per_core.0 > 0);
        }
    }

    #[test]
    fn no_derate_over_nothing() {
        assert_eq!(Derate::from_benchmark(FlopRate(0), FlopRate(1), method()), None);
        assert_eq!(Derate::from_benchmark(FlopRate(1), FlopRate(u64::MAX), method()), None);
    }

    proptest! {
        #[test]
        fn effective_is_within_a_millionth_of_measured_and_never_over(
            nominal in 1_000_000u64..1 << 60, share in 0u64..=1_500_000,
        ) {
            let measured = u64::try_from(u128::from(nominal) * u128::from(share) / 1_000_000)
                .expect("small");
            let derate =
                Derate::from_benchmark(FlopRate(nominal), FlopRate(measured), method()).expect("a ratio");
            let effective = derate.effective_floor(FlopRate(nominal)).0;
            prop_assert!(effective <= measured);
            prop_assert!(measured - effective <= nominal / 1_000_000 + 2);
        }

        #[test]
        fn parts_add_up_to_the_whole_but_for_their_roundings(
            rate in 1u64..1 << 52, cards in 1u64..64_000, a in 0i64..1 << 40, b in 0i64..1 << 40,
        ) {
            let full = Derate { ppm: 1_000_000, method: method() };
            let of = |micros| {
                normalise_accelerators(FlopRate(rate), &full, MilliAccel(cards), Span::from_micros(micros))
                    .expect("in range").quantity.0
            };
            prop_assert!(of(a + b).abs_diff(of(a) + of(b)) <= 1);
        }
    }
}
