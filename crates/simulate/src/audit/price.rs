//! What a use costs, computed in another way than the exchange does: in one exact fraction, from
//! the largest unit down.

use dayan_market::Terms;
use dayan_units::{Micro, Resources, Span};

/// The price of so much use, rounded half to even once, at most the cap.
pub(super) fn price(terms: &Terms, resources: &Resources, used: Span) -> Micro {
    let billed = if used == Span::ZERO { Span::ZERO } else { used.max(terms.minimum) };
    let rate = terms.rate;
    // Micro-units an hour, times 10⁹.
    let hourly = i128::from(rate.core_hour.0) * i128::from(resources.cpu.0) * 1_000_000
        + i128::from(rate.gb_hour.0) * i128::from(resources.memory.0)
        + i128::from(rate.card_hour.0) * i128::from(resources.accel.0) * 1_000_000;
    let top = hourly * i128::from(terms.permille) * i128::from(billed.micros());
    let bottom = 1_000_000_000_i128 * 1_000 * 3_600 * 1_000_000;
    let (whole, rest) = (top / bottom, top % bottom);
    let up = rest * 2 > bottom || (rest * 2 == bottom && whole % 2 == 1);
    let exact = i64::try_from(whole + i128::from(up)).expect("prices here are small");
    terms.cap.map_or(Micro(exact), |cap| Micro(exact.min(cap.0)))
}
