//! The life of a name: applied → verified → active ⇄ suspended, each of them → retired.
//!
//! Invariant: retirement is final. A name that was retired is never given to anything again, so
//! that old bills and logs keep their meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a name is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Asked for by the owner; nobody has looked yet.
    Applied,
    /// Owner and hardware were checked; not yet open.
    Verified,
    /// Open.
    Active,
    /// Closed for the time being, by owner or operator.
    Suspended,
    /// Closed for ever.
    Retired,
}

/// A step the life of a name does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name that is {from} cannot become {to}; it can become {}", .from.successors_text())]
pub struct IllegalTransition {
    /// What it is.
    pub from: Status,
    /// What it was to become.
    pub to: Status,
}

impl IllegalTransition {
    /// Stable code of this refusal.
    pub const CODE: &'static str = "identity.transition";
}

impl Status {
    /// All of them, in the order of life.
    pub const ALL: [Self; 5] =
        [Self::Applied, Self::Verified, Self::Active, Self::Suspended, Self::Retired];

    /// What may follow.
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::Applied => &[Self::Verified, Self::Retired],
            Self::Active => &[Self::Suspended, Self::Retired],
            Self::Verified | Self::Suspended => &[Self::Active, Self::Retired],
            Self::Retired => &[],
        }
    }

    /// The next status, if the step is legal.
    pub fn become_next(self, to: Self) -> Result<Self, IllegalTransition> {
        if self.successors().contains(&to) {
            Ok(to)
        } else {
            Err(IllegalTransition { from: self, to })
        }
    }

    fn successors_text(self) -> String {
        match self.successors() {
            [] => "nothing any more".to_owned(),
            some => some.iter().map(Self::to_string).collect::<Vec<_>>().join(" or "),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Applied => "applied",
            Self::Verified => "verified",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, written out once more.
    #[test]
    fn legal_steps() {
        let legal = [
            (Status::Applied, Status::Verified),
            (Status::Applied, Status::Retired),
            (Status::Verified, Status::Active),
            (Status::Verified, Status::Retired),
            (Status::Active, Status::Suspended),
            (Status::Active, Status::Retired),
            (Status::Suspended, Status::Active),
            (Status::Suspended, Status::Retired),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                assert_eq!(
                    from.become_next(to).is_ok(),
                    legal.contains(&(from, to)),
                    "{from} {to}"
                );
            }
        }
    }

    #[test]
    fn refusals_name_what_is_possible() {
        let check = |from: Status, to, expect: &str| {
            assert_eq!(from.become_next(to).expect_err(expect).to_string(), expect);
        };
        check(
            Status::Applied,
            Status::Active,
            "a name that is applied cannot become active; it can become verified or retired",
        );
        check(
            Status::Retired,
            Status::Active,
            "a name that is retired cannot become active; it can become nothing any more",
        );
    }
}
