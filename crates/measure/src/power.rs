//! What a task is likely to draw, where nobody has metered it: for estimates that are told as such,
//! never for bills. Knows nothing of grids.

use dayan_units::{MilliAccel, MilliCpu, Span};

use crate::find_model;

/// A core with its part of memory, fans and supply: a server of 64 cores draws about 500 W under
/// load (SPECpower results of such machines lie between 400 and 600 W).
const CORE_MILLIWATTS: u64 = 8_000;
/// A card that the catalogue gives no power for: between a T4 and an A100.
const CARD_WATTS: u64 = 250;

/// What so many cores and cards draw while they work, in milliwatts: cards at their design power.
pub fn draw_milliwatts(cpu: MilliCpu, cards: MilliAccel, model: Option<&str>) -> u64 {
    let known = model.and_then(find_model).and_then(|model| model.tdp_watts);
    let card = known.map_or(CARD_WATTS, u64::from);
    // Thousandths of a card times watts are milliwatts.
    (cpu.0.saturating_mul(CORE_MILLIWATTS) / 1_000).saturating_add(cards.0.saturating_mul(card))
}

/// The energy of that over a time, in thousandths of a watt-hour.
pub fn milliwatt_hours(milliwatts: u64, time: Span) -> u64 {
    let micros = u128::try_from(time.micros().max(0)).unwrap_or(0);
    let energy = u128::from(milliwatts) * micros / 3_600_000_000;
    u64::try_from(energy).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_draw_what_the_catalogue_says_and_cores_their_part_of_a_server() {
        let check = |cpu, cards, model, watts: u64| {
            let drawn = draw_milliwatts(MilliCpu(cpu), MilliAccel(cards), model);
            assert_eq!(drawn, watts * 1_000, "{cpu} {cards} {model:?}");
        };
        check(64_000, 0, None, 512);
        check(8_000, 8_000, Some("NVIDIA H100 80GB HBM3"), 64 + 8 * 700);
        check(0, 500, Some("Tesla T4"), 35);
        check(0, 1_000, Some("no such card"), 250);
        assert_eq!(milliwatt_hours(700_000, Span::from_secs(7_200)), 1_400_000);
        assert_eq!(milliwatt_hours(700_000, Span::ZERO), 0);
    }
}
