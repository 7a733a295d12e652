//! Where and in which hour: what a task costs, and emits, at each of its places by the hour in which it
//! starts, for work that waits for a better one.
//!
//! Only work that says so waits: a hard deadline, and `price` or `carbon` before all else that it
//! prefers. Its places are then compared by what they are in that hour and not at present. Must not
//! know how room is found.

use dayan_units::{Span, Time};

use crate::ask::JobAsk;
use crate::judge::Judge;
use crate::policy::Preference;
use crate::verdict::Verdict;

/// So far ahead better hours are looked for: the prices of a day come again, and a night that has
/// no room any more is followed by another. Of the wind more than two days are not known well.
const AHEAD_MAX: Span = Span::from_secs(2 * 86_400);

/// So many of them are looked at for one job, the best: each costs a look at all nodes of its place,
/// and where the best are promised away, the next ones save little.
const LOOKED_AT_MAX: usize = 8;

/// What changes with the hour, in the order in which the job prefers it: the price of a task in
/// millionths, milligrams for a kilowatt-hour. What it does not prefer is 0, what is not known the
/// worst.
type Measures = [i64; 2];

/// A time in which a place is the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Hours {
    /// Which of the job's accelerator alternatives.
    alternative: u8,
    measures: Measures,
    /// What starts from here on,
    pub opens: Time,
    /// The index of the choice.
    pub rank: usize,
    /// and before this is so.
    pub closes: Time,
}

/// What the job waits for: those of its preferences that change with the hour and that nothing else
/// comes before. Where there are none, it does not wait.
pub(crate) fn waits_for(ask: &JobAsk) -> &[Preference] {
    if ask.quote.is_some() {
        return &[];
    }
    let changes = |wish: &&Preference| matches!(wish, Preference::Price | Preference::Carbon);
    let hourly = ask.prefer.iter().take_while(changes).count();
    &ask.prefer[..hourly.min(2)]
}

/// The best of them until `latest`, in that order; among equals the earliest, then the better place.
/// Empty where all hours are the same.
pub(crate) fn best_first(
    judge: &Judge<'_>,
    verdict: &Verdict,
    wishes: &[Preference],
    (start, latest): (Time, Time),
) -> Vec<Hours> {
    let latest = latest.min(start.plus(AHEAD_MAX));
    let mut found: Vec<Hours> = Vec::new();
    let mut differ = false;
    for (rank, choice) in verdict.choices.iter().enumerate() {
        let mut opens = start;
        while opens < latest {
            let (mut measures, mut closes) = ([0; 2], latest);
            for (measure, wish) in measures.iter_mut().zip(wishes) {
                let (value, until) = if *wish == Preference::Carbon {
                    judge.carbon_from(choice, opens)
                } else {
                    let (price, until) = judge.price_from(choice, &verdict.needs, opens);
                    (price.map(|price| price.0), until)
                };
                *measure = value.unwrap_or(i64::MAX);
                closes = closes.min(until);
            }
            match found.last_mut() {
                Some(before) if before.rank == rank && before.measures == measures => {
                    before.closes = closes;
                }
                Some(_) | None => {
                    differ |= opens > start;
                    let alternative = choice.alternative;
                    found.push(Hours { alternative, measures, opens, rank, closes });
                }
            }
            opens = closes;
        }
    }
    if !differ {
        return Vec::new();
    }
    // What is not known of the first cannot be compared.
    found.retain(|hours| hours.measures[0] < i64::MAX);
    found.sort_unstable();
    found.truncate(LOOKED_AT_MAX);
    found
}
