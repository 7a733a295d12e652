//! What a choice between feasible places is made by: a struct whose derived order is the whole
//! rule. Less is better; the last fields are ids, so no two places are ever equal.

use dayan_units::{OfferId, PoolId};

use crate::answer::{Measured, Scored};
use crate::policy::{Policy, Preference};

/// All preferences there are, in the order that fills up a policy.
const ALL: [Preference; 6] = [
    Preference::Price,
    Preference::Start,
    Preference::Deadline,
    Preference::Delay,
    Preference::Carbon,
    Preference::Reliability,
];

/// The job's own preferences, then the policy's, then the rest; each once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Order([Preference; ALL.len()]);

impl Order {
    pub fn of(own: &[Preference], policy: &Policy) -> Self {
        let mut order = ALL;
        let mut len = 0;
        for &preference in own.iter().chain(&policy.prefer).chain(&ALL) {
            if !order[..len].contains(&preference) {
                order[len] = preference;
                len += 1;
            }
        }
        Self(order)
    }
    /// What is looked at before all else.
    pub const fn first(&self) -> Preference {
        self.0[0]
    }
    /// All of them, in order.
    pub const fn as_slice(&self) -> &[Preference] {
        &self.0
    }
}

/// The measure of each preference at one place; less is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Measures {
    pub price_micro: i64,
    pub transfer_micros: i64,
    pub delay_micros: i64,
    pub carbon: i64,
    pub unreliability_permille: i64,
}

impl Measures {
    pub const fn of(&self, preference: Preference) -> i64 {
        match preference {
            Preference::Price => self.price_micro,
            Preference::Start | Preference::Deadline => self.transfer_micros,
            Preference::Delay => self.delay_micros,
            Preference::Carbon => self.carbon,
            Preference::Reliability => self.unreliability_permille,
        }
    }
}

/// How good a place is for a job.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Score {
    /// It would wait in a queue there: only where nobody has room.
    waits: u8,
    /// It would pay the price on demand there, and would like spot better.
    falls_back: u8,
    /// Which of the job's accelerator alternatives; the user put the best first.
    alternative: u8,
    /// The measures in the order of preference.
    measures: [i64; ALL.len()],
    /// Cards that would stand idle beside work that wants none.
    idles_cards: u8,
    pool: PoolId,
    bay_number: u32,
    offer: OfferId,
}

impl Score {
    /// The part that is compared first, as a number of 80 bits in the same order.
    pub fn head_of((waits, falls_back, alternative): (u8, u8, u8), measure: i64) -> u128 {
        let way = u16::from(waits) << 1 | u16::from(falls_back);
        let first = u128::from(way << 8 | u16::from(alternative));
        // With its sign turned, a number without one is in the order of what it was.
        let measure = measure.cast_unsigned() ^ (1 << (u64::BITS - 1));
        first << u64::BITS | u128::from(measure)
    }
    /// As people are told it: all of the rule but the ids. What is not known has no value.
    pub fn told(&self, order: &Order) -> Scored {
        let known = |(by, value): (&Preference, &i64)| Measured {
            by: *by,
            value: Some(*value).filter(|value| *value != i64::MAX),
        };
        Scored {
            falls_back: self.falls_back > 0,
            alternative: self.alternative,
            measures: order.0.iter().zip(&self.measures).map(known).collect(),
            idles_cards: self.idles_cards > 0,
        }
    }
    pub fn new(
        order: &Order,
        measures: &Measures,
        (waits, falls_back, alternative, idles_cards): (u8, u8, u8, u8),
        (pool, bay_number, offer): (PoolId, u32, OfferId),
    ) -> Self {
        let measures = order.0.map(|preference| measures.of(preference));
        Self { waits, falls_back, alternative, measures, idles_cards, pool, bay_number, offer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_preferences_come_first_and_each_counts_once() {
        let policy = Policy::default();
        let check = |own: &[Preference], expect: [Preference; 6]| {
            assert_eq!(Order::of(own, &policy), Order(expect));
        };
        use Preference::{Carbon, Deadline, Delay, Price, Reliability, Start};
        check(&[], [Price, Start, Reliability, Delay, Carbon, Deadline]);
        check(&[Delay, Delay, Price], [Delay, Price, Start, Reliability, Carbon, Deadline]);
    }
}
