//! Splitting an amount between those who have a share in it.
//!
//! Invariant: the parts add up to the whole, each is within one micro-unit of its exact share, and
//! equal inputs give equal parts. By largest remainder: everyone gets the exact share rounded
//! down, what is left goes, one micro-unit each, to those who lost most; among equals to the
//! earlier.

use dayan_units::{Micro, PERMILLE_ONE};
use serde::{Deserialize, Serialize};

/// Shares in permille that add up to the whole, in the order in which their parts are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Shares(Vec<u32>);

/// Why a list is not one of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shares must add up to 1000 permille, not {sum}")]
pub struct SharesDefect {
    /// What they add up to.
    pub sum: u64,
}

impl SharesDefect {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        "market.shares_sum"
    }
    /// What to do next.
    pub const fn advice(self) -> &'static str {
        "give shares in permille that add up to 1000"
    }
}

impl Shares {
    /// From permille.
    pub fn new(permille: Vec<u32>) -> Result<Self, SharesDefect> {
        let sum = permille.iter().copied().map(u64::from).sum();
        if sum == u64::from(PERMILLE_ONE) { Ok(Self(permille)) } else { Err(SharesDefect { sum }) }
    }

    /// The provider's share and the platform's fee, in this order.
    pub fn provider_and_platform(fee_permille: u32) -> Result<Self, SharesDefect> {
        let provider = PERMILLE_ONE
            .checked_sub(fee_permille)
            .ok_or(SharesDefect { sum: u64::from(fee_permille) })?;
        Self::new(vec![provider, fee_permille])
    }

    /// The shares, in order.
    pub fn permille(&self) -> &[u32] {
        &self.0
    }

    /// The parts of an amount, in the order of the shares. A negative amount (something paid back)
    /// gives the negatives of the parts of its magnitude, so that paying back undoes a payment.
    pub fn split(&self, amount: Micro) -> Vec<Micro> {
        let (magnitude, sign) = (amount.0.unsigned_abs(), amount.0.signum());
        let base = u128::from(PERMILLE_ONE);
        let exact = |share: u32| u128::from(magnitude) * u128::from(share);
        let mut parts: Vec<u64> = self
            .0
            .iter()
            .map(|share| u64::try_from(exact(*share) / base).expect("a share is at most the whole"))
            .collect();
        let left = magnitude - parts.iter().sum::<u64>();
        let mut by_loss: Vec<usize> = (0..self.0.len()).collect();
        by_loss.sort_by_key(|place| (std::cmp::Reverse(exact(self.0[*place]) % base), *place));
        for (place, _) in by_loss.into_iter().zip(0..left) {
            parts[place] += 1;
        }
        parts
            .into_iter()
            .map(|part| {
                let signed = i128::from(part) * i128::from(sign);
                Micro(i64::try_from(signed).expect("a part is at most the whole"))
            })
            .collect()
    }
}

impl TryFrom<Vec<u32>> for Shares {
    type Error = SharesDefect;
    fn try_from(permille: Vec<u32>) -> Result<Self, SharesDefect> {
        Self::new(permille)
    }
}
impl From<Shares> for Vec<u32> {
    fn from(shares: Shares) -> Self {
        shares.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_to_who_lost_most() {
        let check = |shares: &[u32], amount, expect: &[i64]| {
            let parts = Shares::new(shares.to_vec()).expect("whole").split(Micro(amount));
            assert_eq!(parts, expect.iter().map(|part| Micro(*part)).collect::<Vec<_>>());
        };
        check(&[950, 50], 100, &[95, 5]);
        check(&[950, 50], 1, &[1, 0]);
        check(&[500, 500], 3, &[2, 1]);
        check(&[333, 333, 334], 2, &[1, 0, 1]);
        check(&[900, 50, 30, 20], 33, &[30, 1, 1, 1]);
        check(&[950, 50], -101, &[-96, -5]);
        check(&[1_000], i64::MIN, &[i64::MIN]);
    }

    #[test]
    fn shares_are_of_the_whole() {
        assert_eq!(Shares::new(vec![500, 499]), Err(SharesDefect { sum: 999 }));
        assert_eq!(Shares::new(vec![]), Err(SharesDefect { sum: 0 }));
        assert!(Shares::provider_and_platform(1_001).is_err());
        let shares = Shares::provider_and_platform(30).expect("whole");
        assert_eq!(shares.permille(), [970, 30]);
    }
}
