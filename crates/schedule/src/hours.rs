//! Where and in which hour: what a task costs at each of its places by the hour in which it starts,
//! for work that waits for a cheaper one.
//!
//! Only work that says so waits: a hard deadline, and `price` before all else that it prefers. Its
//! places are then compared at the price of the hour and not at the present one. Must not know how
//! room is found.

use dayan_units::{Micro, Span, Time};

use crate::ask::JobAsk;
use crate::judge::Judge;
use crate::policy::Preference;
use crate::verdict::Verdict;

/// So far ahead cheaper hours are looked for: the prices of a day come again, and a night that has
/// no room any more is followed by another.
const AHEAD_MAX: Span = Span::from_secs(2 * 86_400);

/// So many of them are looked at for one job, the cheapest: each costs a look at all nodes of its place,
/// and where the cheapest are promised away, the next ones save little.
const LOOKED_AT_MAX: usize = 8;

/// A time in which a place has one price.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Hours {
    /// Which of the job's accelerator alternatives.
    alternative: u8,
    price: Option<Micro>,
    /// What starts from here on,
    pub opens: Time,
    /// The index of the choice.
    pub rank: usize,
    /// and before this has the price.
    pub closes: Time,
}

/// Does the job wait for a cheaper hour?
pub(crate) fn waits(ask: &JobAsk) -> bool {
    ask.prefer.first() == Some(&Preference::Price) && ask.quote.is_none()
}

/// The cheapest of them until `latest`, in that order; among equals the earliest, then the better place.
/// Empty where all hours cost the same.
pub(crate) fn cheapest_first(
    judge: &Judge<'_>,
    verdict: &Verdict,
    start: Time,
    latest: Time,
) -> Vec<Hours> {
    let latest = latest.min(start.plus(AHEAD_MAX));
    let mut found: Vec<Hours> = Vec::new();
    let mut differ = false;
    for (rank, choice) in verdict.choices.iter().enumerate() {
        let mut opens = start;
        while opens < latest {
            let (price, until) = judge.price_from(choice, &verdict.needs, opens);
            let closes = until.min(latest);
            match found.last_mut() {
                Some(before) if before.rank == rank && before.price == price => {
                    before.closes = closes;
                }
                Some(_) | None => {
                    differ |= opens > start;
                    let alternative = choice.alternative;
                    found.push(Hours { alternative, price, opens, rank, closes });
                }
            }
            opens = closes;
        }
    }
    if !differ {
        return Vec::new();
    }
    // Without a price there is none that could be compared.
    found.retain(|hours| hours.price.is_some());
    found.sort_unstable();
    found.truncate(LOOKED_AT_MAX);
    found
}
