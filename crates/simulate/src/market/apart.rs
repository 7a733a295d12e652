//! Sets jobs apart that their consumers could not pay for, so that the exchange, the rules beside it
//! and the bound are compared over the same jobs: rules and bounds know of no money.
//!
//! Invariant: the jobs that are left keep their order, and each attempt its job.

use std::collections::BTreeSet;

use serde::Serialize;

use super::draw::Market;
use super::report::decimal;
use super::{Attempt, Outcome};

/// What was set apart.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Apart {
    /// Jobs.
    pub jobs: usize,
    /// Their tasks.
    pub tasks: u64,
    /// What was paid for what of them ran.
    pub cost: String,
}

impl Apart {
    /// Nothing was.
    pub(super) fn none() -> Self {
        Self { cost: decimal(0), ..Self::default() }
    }
}

/// The market without those jobs, what the exchange made of the others, and what was set apart.
pub(super) fn set_apart(
    mut market: Market,
    outcome: Outcome,
    unpaid: &BTreeSet<usize>,
) -> (Market, Outcome, Apart) {
    let mut number = Vec::with_capacity(market.jobs.len());
    let mut left = 0;
    for nth in 0..market.jobs.len() {
        number.push((!unpaid.contains(&nth)).then_some(left));
        left += usize::from(!unpaid.contains(&nth));
    }
    let mut apart = Apart { jobs: unpaid.len(), ..Apart::default() };
    let (mut cost, mut kept) = (0, Outcome::default());
    for attempt in outcome.attempts {
        match number[attempt.job] {
            Some(job) => kept.attempts.push(Attempt { job, ..attempt }),
            None => cost += attempt.cost,
        }
    }
    apart.cost = decimal(cost);
    let done = outcome.done.into_iter().zip(&number);
    kept.done = done.filter(|(_, number)| number.is_some()).map(|(done, _)| done).collect();
    let jobs = std::mem::take(&mut market.jobs).into_iter().zip(&number);
    for (job, number) in jobs {
        match number {
            Some(_) => market.jobs.push(job),
            None => apart.tasks += u64::from(job.tasks),
        }
    }
    (market, kept, apart)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{hour, market};
    use super::*;

    #[test]
    fn what_is_left_keeps_its_order_and_its_attempts() {
        let market = market(3, None);
        let attempt = |job, cost| Attempt {
            job,
            task: 0,
            pool: 0,
            node: 0,
            cards: None,
            from: hour(&market, 0),
            until: hour(&market, 1),
            cost,
            ended_well: true,
        };
        let attempts = vec![attempt(0, 1), attempt(1, 2_000_000), attempt(2, 3)];
        let done = vec![Some(hour(&market, 1)), None, Some(hour(&market, 2))];
        let outcome = Outcome { attempts, done };
        let second = hour(&market, 2);
        let (market, kept, apart) = set_apart(market, outcome, &BTreeSet::from([1]));
        assert_eq!(apart, Apart { jobs: 1, tasks: 1, cost: "2.00".to_owned() });
        let left: Vec<_> = kept.attempts.iter().map(|one| (one.job, one.cost)).collect();
        assert_eq!((market.jobs.len(), left), (2, vec![(0, 1), (1, 3)]));
        assert_eq!(kept.done[1], Some(second));
    }
}
