//! A price per resource-hour, and the one place where resources and time become money.
//!
//! A rate is a sum over meters (core-hours, GB-hours, card-hours). The cost of a use is computed
//! whole in 128 bits and rounded once, half to even, so that no order of partial sums changes it.

use serde::{Deserialize, Serialize};

use crate::{Micro, Resources, Span, div_half_even};

/// What an hour of each resource costs, in micro-units of the exchange's currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// For one processor core for an hour.
    pub core_hour: Micro,
    /// For one GB (10⁹ bytes) of memory for an hour.
    #[serde(default)]
    pub gb_hour: Micro,
    /// For one accelerator card for an hour.
    #[serde(default)]
    pub card_hour: Micro,
}

/// One thousand permille: the list price.
pub const PERMILLE_ONE: u32 = 1_000;

/// A share of a share, rounded down: the buyer's side of a rounding that is worth less than a
/// thousandth of the list price.
pub fn permille_of_floor(permille: u32, of: u32) -> u32 {
    let product = u64::from(permille) * u64::from(of) / u64::from(PERMILLE_ONE);
    u32::try_from(product).unwrap_or(u32::MAX)
}

/// The common base of the meters: thousandths of a core and of a card are scaled to bytes per GB.
const GB: i128 = 1_000_000_000;
const MILLI_TO_GB_BASE: i128 = GB / 1_000;
const HOUR_MICROS: i128 = 3_600_000_000;
const SECOND_MICROS: i64 = 1_000_000;

impl Rate {
    /// What `resources` cost for `span` at `permille` of the list price (a buyer class, a spot
    /// factor), rounded once, half to even. `None` where it is over the range of money or the span
    /// is negative.
    pub fn cost(&self, resources: &Resources, span: Span, permille: u32) -> Option<Micro> {
        let meter = |price: Micro, amount: u64, base: i128| {
            i128::from(price.0).checked_mul(i128::from(amount))?.checked_mul(base)
        };
        let hourly = meter(self.core_hour, resources.cpu.0, MILLI_TO_GB_BASE)?
            .checked_add(meter(self.gb_hour, resources.memory.0, 1)?)?
            .checked_add(meter(self.card_hour, resources.accel.0, MILLI_TO_GB_BASE)?)?;
        if span.micros() < 0 {
            return None;
        }
        // Limits are whole seconds: the fraction is shortened by a million, so that what it is divided
        // by has 64 bits. The planner asks this of every pool for every kind of task.
        let (time, base) = if span.micros() % SECOND_MICROS == 0 {
            (span.micros() / SECOND_MICROS, HOUR_MICROS / i128::from(SECOND_MICROS))
        } else {
            (span.micros(), HOUR_MICROS)
        };
        let numerator = hourly.checked_mul(i128::from(time))?.checked_mul(i128::from(permille))?;
        let denominator = GB * base * i128::from(PERMILLE_ONE);
        i64::try_from(div_half_even(numerator, denominator)).ok().map(Micro)
    }

    /// What an hour of `resources` costs at list price.
    pub fn per_hour(&self, resources: &Resources) -> Option<Micro> {
        self.cost(resources, Span::from_secs(3_600), PERMILLE_ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, MilliAccel, MilliCpu};
    use proptest::prelude::*;

    fn resources(cpu: u64, memory: u64, accel: u64) -> Resources {
        Resources {
            cpu: MilliCpu(cpu),
            memory: Bytes(memory),
            accel: MilliAccel(accel),
            ..Resources::ZERO
        }
    }

    #[test]
    fn meters_add_up_and_round_once() {
        let rate =
            Rate { core_hour: Micro(100_000), gb_hour: Micro(10_000), card_hour: Micro(2_400_000) };
        let check = |r: Resources, secs, permille, expect| {
            assert_eq!(
                rate.cost(&r, Span::from_secs(secs), permille),
                Some(Micro(expect)),
                "{r} {secs}s"
            );
        };
        check(resources(1_000, 0, 0), 3_600, 1_000, 100_000);
        check(
            resources(16_000, 64_000_000_000, 1_000),
            3_600,
            1_000,
            1_600_000 + 640_000 + 2_400_000,
        );
        check(resources(0, 0, 250), 3_600, 600, 360_000);
        // 100,000 micro × 1 s ÷ 3,600 s = 27.78
        check(resources(1_000, 0, 0), 1, 1_000, 28);
        check(resources(1_000, 0, 0), 0, 1_000, 0);
        assert_eq!(rate.cost(&resources(1_000, 0, 0), Span::from_secs(-1), 1_000), None);
        assert_eq!(rate.cost(&resources(u64::MAX, 0, 0), Span::MAX, 1_000), None);
    }

    proptest! {
        #[test]
        fn whole_seconds_are_rounded_as_the_fraction_in_microseconds_is(
            (core_hour, cpu) in (0i64..10_000_000, 0u64..1_000_000),
            memory in 0u64..1_000_000_000_000,
            micros in prop_oneof![0i64..100_000_000, (0i64..1_000_000).prop_map(|s| s * 1_000_000)],
            permille in 0u32..2_000,
        ) {
            let rate = Rate { core_hour: Micro(core_hour), gb_hour: Micro(10_000), ..Rate::default() };
            let hourly = i128::from(core_hour) * i128::from(cpu) * MILLI_TO_GB_BASE
                + 10_000 * i128::from(memory);
            let expect = div_half_even(
                hourly * i128::from(micros) * i128::from(permille),
                GB * HOUR_MICROS * 1_000,
            );
            let found = rate.cost(&resources(cpu, memory, 0), Span::from_micros(micros), permille);
            prop_assert_eq!(found.map(|cost| i128::from(cost.0)), Some(expect));
        }
    }
}
