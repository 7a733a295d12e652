//! The journal's rows and the chain that ties them. Pure: hashing and checking, no database.
//!
//! The hash of a row is SHA-256 over this text, then the payload as it is:
//!
//! ```text
//! dayan-journal-1⏎
//! <hash of the row before, 64 lower-case hex digits; all zero before the first>⏎
//! <seq>⏎ <term>⏎ <at>⏎          (decimal, each on a line of its own)
//! ```
//!
//! Decimal text ended by a line feed cannot run into the next field, the payload is last, and a
//! person can check a row with `sqlite3` and `sha256sum` (docs/reference/journal.md).

use std::fmt;
use std::str::FromStr;

use dayan_units::Time;
use sha2::{Digest, Sha256};

use crate::fault::{Broken, Damage, Fault};
use crate::rows::Row;

/// The hash of a journal row; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// What the first row follows.
    pub const GENESIS: Self = Self([0; 32]);
}
impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for ChainHash {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// What is committed at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The term under which it was decided.
    pub term: u64,
    /// The time it was decided at.
    pub at: Time,
    /// The events, in the caller's encoding.
    pub payload: Vec<u8>,
    /// The read-model rows that follow from them.
    pub rows: Vec<Row>,
}

/// A batch that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the journal.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
}

/// Where the journal stands and who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The last row; 0 while there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
    /// The newest term; 0 while nobody has led.
    pub term: u64,
    /// Who took it.
    pub holder: String,
    /// When.
    pub taken_at: Time,
}

impl Head {
    /// The head of an empty store.
    pub(crate) fn empty() -> Self {
        Self {
            seq: 0,
            hash: ChainHash::GENESIS,
            term: 0,
            holder: String::new(),
            taken_at: Time::EPOCH,
        }
    }

    /// Why a batch of term `mine` that expected `seq` to be the last row was refused here.
    pub(crate) fn refuses(&self, mine: u64, seq: u64) -> Fault {
        if self.term == mine {
            Fault::HeadMoved { expected: seq, found: self.seq }
        } else {
            Fault::TermLost { mine, current: self.term, holder: self.holder.clone() }
        }
    }
}

/// One batch as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its place, from 1 without gaps.
    pub seq: u64,
    /// The term under which it was decided.
    pub term: u64,
    /// The time it was decided at.
    pub at: Time,
    /// The events, in the caller's encoding.
    pub payload: Vec<u8>,
    /// The hash of the row before.
    pub prev: ChainHash,
    /// The hash of this row.
    pub hash: ChainHash,
}

impl JournalRow {
    /// The hash its content gives; equals `hash` in a row that was not touched.
    pub fn computed_hash(&self) -> ChainHash {
        row_hash(&self.prev, self.seq, self.term, self.at, &self.payload)
    }
}

/// The hash of the row with this content.
pub(crate) fn row_hash(
    prev: &ChainHash,
    seq: u64,
    term: u64,
    at: Time,
    payload: &[u8],
) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(format!("dayan-journal-1\n{prev}\n{seq}\n{term}\n{}\n", at.micros()));
    hasher.update(payload);
    ChainHash(hasher.finalize().into())
}

/// What [`crate::Reader::verify`] found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The first row checked.
    pub from: u64,
    /// How many rows were checked.
    pub rows: u64,
    /// Payload bytes among them.
    pub payload_bytes: u64,
    /// The head they lead to.
    pub head: Head,
}

/// How far a journal holds: what [`crate::Reader::survey`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Rows that hold, from the first on without a gap.
    pub rows: u64,
    /// The hash of the last of them; [`ChainHash::GENESIS`] where there is none.
    pub hash: ChainHash,
    /// The first row that does not hold; none: all do, and they end at the head.
    pub broken: Option<Broken>,
}

/// Checks rows one after the other against the chain.
pub(crate) struct Chain {
    next: u64,
    /// None: the first row is taken on trust, there is nothing before it to compare with.
    hash: Option<ChainHash>,
    term: u64,
}

impl Chain {
    /// Before the first row.
    pub(crate) fn genesis() -> Self {
        Self { next: 1, hash: Some(ChainHash::GENESIS), term: 0 }
    }
    /// After this row, whose own content was checked.
    pub(crate) fn after(row: &JournalRow) -> Self {
        Self { next: row.seq + 1, hash: Some(row.hash), term: row.term }
    }
    /// Before a row in the middle, with nothing known about the one before.
    pub(crate) fn at(seq: u64) -> Self {
        if seq <= 1 { Self::genesis() } else { Self { next: seq, hash: None, term: 0 } }
    }

    pub(crate) fn take(&mut self, row: &JournalRow) -> Result<(), Broken> {
        let broken = |seq, why| Err(Broken { seq, why });
        if row.seq != self.next {
            return broken(self.next, Damage::Missing);
        }
        if row.computed_hash() != row.hash {
            return broken(row.seq, Damage::Altered);
        }
        if self.hash.is_some_and(|hash| hash != row.prev) {
            return broken(row.seq, Damage::Unchained);
        }
        if row.term < self.term {
            return broken(row.seq, Damage::TermWentBack);
        }
        *self = Self::after(row);
        Ok(())
    }

    /// The rows taken so far are all there are: do they end where the head says?
    pub(crate) fn ends_at(&self, head: &Head) -> Result<(), Broken> {
        let last = self.next - 1;
        if last < head.seq {
            return Err(Broken { seq: self.next, why: Damage::Missing });
        }
        if last > head.seq {
            return Err(Broken { seq: head.seq + 1, why: Damage::AfterHead });
        }
        if self.hash.is_some_and(|hash| hash != head.hash) {
            return Err(Broken { seq: last, why: Damage::NotTheHead });
        }
        Ok(())
    }
}

/// Are the newest rows (oldest of them first) sound, and do they end at the head? Run at every
/// open: this is where a torn, zeroed or lost last row is found.
pub(crate) fn check_tail(head: &Head, tail: &[JournalRow]) -> Result<(), Broken> {
    let first = tail.first().map_or(1, |row| row.seq);
    let mut chain = Chain::at(first);
    for row in tail {
        chain.take(row)?;
    }
    chain.ends_at(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain_of(payloads: &[Vec<u8>]) -> (Vec<JournalRow>, Head) {
        let mut prev = ChainHash::GENESIS;
        let mut rows = Vec::new();
        for (seq, payload) in (1u64..).zip(payloads) {
            let at = Time::from_micros(i64::try_from(seq).unwrap() * 1_000);
            let hash = row_hash(&prev, seq, 3, at, payload);
            rows.push(JournalRow { seq, term: 3, at, payload: payload.clone(), prev, hash });
            prev = hash;
        }
        let seq = rows.len() as u64;
        (rows, Head { seq, hash: prev, term: 3, ..Head::empty() })
    }

    fn check(rows: &[JournalRow], head: &Head) -> Result<(), Broken> {
        let mut chain = Chain::genesis();
        for row in rows {
            chain.take(row)?;
        }
        chain.ends_at(head)
    }

    /// The text of the module's head, worked out by hand with `sha256sum`.
    #[test]
    fn the_hash_is_what_the_documentation_says() {
        let hash = row_hash(&ChainHash::GENESIS, 1, 1, Time::from_micros(1_000_000), b"[]");
        assert_eq!(
            hash.to_string(),
            "f0d562c1a0e08f6c78a2dcb5f7cb4090ad349c3301a7bc05e250f9fd2720f8a9"
        );
    }

    proptest! {
        #[test]
        fn any_change_is_found_at_its_row(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..12),
            at: prop::sample::Index,
            how in 0u8..7,
        ) {
            let (mut rows, head) = chain_of(&payloads);
            prop_assert_eq!(check(&rows, &head), Ok(()));
            let at = at.index(rows.len());
            match how {
                0 => rows[at].payload.push(0),
                1 => rows[at].payload.clear(),
                2 => rows[at].term += 1,
                3 => rows[at].at = Time::from_micros(5),
                4 => rows[at].hash.0[7] ^= 1,
                5 => rows[at].prev.0[7] ^= 1,
                _ => { rows.remove(at); }
            }
            let changed = how != 1 || !payloads[at].is_empty();
            prop_assume!(changed);
            let broken = check(&rows, &head).expect_err("the change must be found");
            prop_assert_eq!(broken.seq, at as u64 + 1);
        }

        #[test]
        fn a_tail_is_judged_by_the_head(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 2..12),
            from: prop::sample::Index,
        ) {
            let (rows, head) = chain_of(&payloads);
            let tail = &rows[from.index(rows.len())..];
            prop_assert_eq!(check_tail(&head, tail), Ok(()));
            let lost = &rows[..rows.len() - 1];
            let broken = check_tail(&head, lost).expect_err("the last row is gone");
            prop_assert_eq!(broken, Broken { seq: rows.len() as u64, why: Damage::Missing });
        }
    }
}
