//! What to answer when a name is asked for, and for how long the answer may be kept.
//!
//! Invariant: an answer is never kept past the moment at which it would come out otherwise by the
//! record alone. Where a person may change it any moment (suspended, expired, unknown), it is kept
//! for a minute at most.

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::status::Status;

/// How long "there is no such name" may be kept. Short: the usual asker is a provider that has
/// just applied.
pub const NEGATIVE_TTL: Span = Span::from_secs(60);
/// How long an answer may be kept that a person may reverse.
pub const UNSETTLED_TTL_MAX: Span = Span::from_secs(60);
/// How long "retired" may be kept: it never changes, so a day only bounds the memory of caches.
pub const RETIRED_TTL: Span = Span::from_secs(86_400);

/// The answer to a question about a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is open; here is the record.
    Found {
        /// The record.
        record: Record,
        /// For how long this may be kept.
        ttl: Span,
    },
    /// It is there and closed for the time being: nothing is to be placed on it.
    Suspended {
        /// The record, without its endpoint.
        record: Record,
        /// For how long this may be kept.
        ttl: Span,
    },
    /// Its validity has ended and was not renewed.
    Expired {
        /// The record, without its endpoint.
        record: Record,
        /// For how long this may be kept.
        ttl: Span,
    },
    /// It is closed for ever; the record remains for old bills.
    Retired {
        /// The record, without its endpoint.
        record: Record,
        /// For how long this may be kept.
        ttl: Span,
    },
    /// There is no such name, or it is not open yet: an application is the owner's affair.
    NotFound {
        /// For how long this may be kept.
        ttl: Span,
    },
}

impl Answer {
    /// For how long the answer may be kept.
    pub const fn ttl(&self) -> Span {
        match self {
            Self::Found { ttl, .. }
            | Self::Suspended { ttl, .. }
            | Self::Expired { ttl, .. }
            | Self::Retired { ttl, .. }
            | Self::NotFound { ttl } => *ttl,
        }
    }
    /// The record, where there is one to show.
    pub const fn record(&self) -> Option<&Record> {
        match self {
            Self::Found { record, .. }
            | Self::Suspended { record, .. }
            | Self::Expired { record, .. }
            | Self::Retired { record, .. } => Some(record),
            Self::NotFound { .. } => None,
        }
    }
    /// May work be placed on what the name stands for?
    pub const fn is_usable(&self) -> bool {
        match self {
            Self::Found { .. } => true,
            Self::Suspended { .. }
            | Self::Expired { .. }
            | Self::Retired { .. }
            | Self::NotFound { .. } => false,
        }
    }
}

/// The public answer at `now`. Retirement is told before expiry, expiry before suspension: what
/// lasts longest comes first.
pub fn resolve(record: Option<&Record>, now: Time) -> Answer {
    let Some(record) = record else { return Answer::NotFound { ttl: NEGATIVE_TTL } };
    let closed = || Record { endpoint: None, ..record.clone() };
    match record.status {
        Status::Retired => return Answer::Retired { record: closed(), ttl: RETIRED_TTL },
        Status::Applied | Status::Verified => return Answer::NotFound { ttl: NEGATIVE_TTL },
        Status::Active | Status::Suspended => {}
    }
    if now < record.valid_from {
        let ttl = NEGATIVE_TTL.min(record.valid_from.since(now));
        return Answer::NotFound { ttl };
    }
    if now >= record.valid_until {
        return Answer::Expired { record: closed(), ttl: UNSETTLED_TTL_MAX.min(record.ttl) };
    }
    let ttl = record.ttl.min(record.valid_until.since(now));
    match record.status {
        Status::Suspended => {
            Answer::Suspended { record: closed(), ttl: UNSETTLED_TTL_MAX.min(ttl) }
        }
        Status::Active | Status::Applied | Status::Verified | Status::Retired => {
            Answer::Found { record: record.clone(), ttl }
        }
    }
}

/// An answer somebody keeps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CachedAnswer {
    /// The answer.
    pub answer: Answer,
    /// When it was given.
    pub at: Time,
}

impl CachedAnswer {
    /// The answer, while it may be given on without asking again. One from the future (a clock
    /// was set back) is asked for again.
    pub fn at(&self, now: Time) -> Option<&Answer> {
        (self.at <= now && now < self.at.plus(self.answer.ttl())).then_some(&self.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{at, record};
    use proptest::prelude::*;

    /// The word the answer is written with.
    fn word(answer: &Answer) -> String {
        serde_json::to_value(answer).expect("text")["answer"].as_str().expect("a word").to_owned()
    }

    #[test]
    fn every_state_has_its_answer() {
        let check = |status, now_secs, expect: &str, ttl_secs| {
            let mut record = record("acme", "a", "b", 0);
            record.status = status;
            record.endpoint = Some("https://agent".into());
            record.valid_from = at(100);
            record.valid_until = at(1_000);
            let answer = resolve(Some(&record), at(now_secs));
            assert_eq!(word(&answer), expect, "{status} {now_secs}");
            assert_eq!(answer.ttl(), Span::from_secs(ttl_secs), "{status} {now_secs}");
            assert_eq!(answer.is_usable(), expect == "found");
            let shown = answer.record().and_then(|record| record.endpoint.as_ref());
            assert_eq!(shown.is_some(), expect == "found", "{status} {now_secs}");
        };
        check(Status::Applied, 500, "not_found", 60);
        check(Status::Verified, 500, "not_found", 60);
        check(Status::Active, 0, "not_found", 60);
        check(Status::Active, 70, "not_found", 30);
        check(Status::Active, 100, "found", 300);
        check(Status::Active, 900, "found", 100);
        check(Status::Active, 1_000, "expired", 60);
        check(Status::Suspended, 500, "suspended", 60);
        check(Status::Suspended, 970, "suspended", 30);
        check(Status::Suspended, 1_000, "expired", 60);
        check(Status::Retired, 500, "retired", 86_400);
        check(Status::Retired, 5_000, "retired", 86_400);
        assert_eq!(resolve(None, at(0)), Answer::NotFound { ttl: NEGATIVE_TTL });
    }

    #[test]
    fn answers_are_kept_for_their_ttl() {
        let cached = CachedAnswer { answer: resolve(None, at(10)), at: at(10) };
        assert!(cached.at(at(9)).is_none());
        assert!(cached.at(at(10)).is_some() && cached.at(at(69)).is_some());
        assert!(cached.at(at(70)).is_none());
    }

    proptest! {
        #[test]
        fn a_kept_answer_is_the_answer_that_would_be_given(
            status in prop::sample::select(Status::ALL.to_vec()),
            from in 0i64..50, length in 0i64..500, ttl in 1i64..400, asked in 0i64..600,
            later in 0i64..600,
        ) {
            let mut record = record("acme", "a", "b", 0);
            record.status = status;
            record.valid_from = at(from);
            record.valid_until = at(from + length);
            record.ttl = Span::from_secs(ttl);
            let cached = CachedAnswer { answer: resolve(Some(&record), at(asked)), at: at(asked) };
            if let Some(answer) = cached.at(at(later)) {
                prop_assert_eq!(word(answer), word(&resolve(Some(&record), at(later))));
            }
        }
    }
}
