//! Prices by the hour of the day.
//!
//! A lease keeps the price of the hour in which it was given, to its end: what it will cost is known
//! when it starts, and nobody's bill depends on how its hours fell.

use dayan_units::{PERMILLE_ONE, Rate, Time};
use serde::{Deserialize, Serialize};

use crate::period::ZoneOffset;

/// What each hour of a day costs, in permille of the list price, from midnight on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tariff(pub [u32; 24]);

/// The dearest hour: ten times the list price. More is a slip of the pen.
const HOUR_PERMILLE_MAX: u32 = 10 * PERMILLE_ONE;

impl Tariff {
    /// Can it be rated?
    pub fn is_valid(&self) -> bool {
        self.0.iter().all(|permille| *permille <= HOUR_PERMILLE_MAX)
    }
    /// The share of the list price at a moment.
    pub fn permille_at(&self, at: Time, zone: ZoneOffset) -> u32 {
        self.0[zone.hour(at)]
    }
    /// The share of the list price in the cheapest hour.
    pub fn least(&self) -> u32 {
        self.0.iter().copied().min().unwrap_or(PERMILLE_ONE)
    }
}

/// So many permille of each price, rounded half to even.
pub(crate) fn scaled(rate: Rate, permille: u32) -> Rate {
    let part = |price: dayan_units::Micro| {
        price.mul_div_half_even(permille.into(), u64::from(PERMILLE_ONE)).unwrap_or(price)
    };
    Rate {
        core_hour: part(rate.core_hour),
        gb_hour: part(rate.gb_hour),
        card_hour: part(rate.card_hour),
    }
}

#[cfg(test)]
mod tests {
    use dayan_units::{Micro, Span};

    use super::*;

    #[test]
    fn an_hour_is_one_of_the_clock_on_the_wall() {
        let mut hours = [1_000; 24];
        (hours[0], hours[23], hours[8]) = (700, 800, 1_300);
        let tariff = Tariff(hours);
        let at = |text: &str| text.parse::<Time>().expect("a time");
        for (moment, zone, permille) in [
            ("2026-11-30T16:00:00Z", ZoneOffset::CHINA, 700),
            ("2026-11-30T15:59:59.999999Z", ZoneOffset::CHINA, 800),
            ("2026-11-30T00:30:00Z", ZoneOffset::CHINA, 1_300),
            ("2026-11-30T00:30:00Z", ZoneOffset::UTC, 700),
            ("1969-12-31T23:59:59Z", ZoneOffset::UTC, 800),
        ] {
            assert_eq!(tariff.permille_at(at(moment), zone), permille, "{moment}");
        }
        assert_eq!(tariff.least(), 700);
        assert_eq!(tariff.permille_at(Time::NEVER.minus(Span::from_secs(1)), zone()), 1_000);
    }

    fn zone() -> ZoneOffset {
        ZoneOffset::from_minutes(330).expect("half an hour is a zone")
    }

    #[test]
    fn each_price_is_rounded_by_itself() {
        let rate = Rate { core_hour: Micro(1_001), gb_hour: Micro(5), card_hour: Micro(2_000_000) };
        let night = scaled(rate, 700);
        assert_eq!(night.core_hour, Micro(701));
        assert_eq!((night.gb_hour, night.card_hour), (Micro(4), Micro(1_400_000)));
        assert_eq!(scaled(rate, PERMILLE_ONE), rate);
    }
}
