//! Dynamic verification: on a timer the exchange challenges an agent to show that its inventory
//! still is what is on record.
//!
//! The agent answers with a digest over the challenge's nonce and its present inventory text, so
//! an old answer cannot be given again. Digest and signature are the caller's business; this page
//! says over which bytes, and what an answer means. A differing digest voids nothing by itself:
//! the full inventory is then asked for and compared attribute by attribute.

use std::fmt;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

/// 32 random bytes, drawn by the caller. Written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(pub [u8; 32]);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}
impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.to_string()
    }
}
impl TryFrom<String> for Nonce {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| "a nonce is 64 hexadecimal digits".to_owned())?;
        Ok(Self(bytes))
    }
}

/// A question to an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// What makes the answer fresh.
    pub nonce: Nonce,
    /// When it was asked.
    pub at: Time,
    /// Within what time the answer counts.
    pub answer_within: Span,
}

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The inventory is what is on record.
    Unchanged,
    /// It is not: ask for the whole and compare.
    Changed,
    /// The answer came after its time, and says nothing.
    Late,
}

/// Separates these digests from all others of ours and names the layout.
const HEADING: &str = "dayan-challenge 1\n";

impl Challenge {
    /// The bytes to be digested for an inventory text: heading, nonce in hexadecimal, line feed,
    /// text.
    pub fn material(&self, inventory_text: &str) -> Vec<u8> {
        format!("{HEADING}{}\n{inventory_text}", self.nonce).into_bytes()
    }

    /// Judges an answer that came at `answered_at` against the digest of what is on record. The
    /// digests are no secrets, so an early exit of the comparison tells nobody anything.
    pub fn judge(&self, expected: &[u8], answer: &[u8], answered_at: Time) -> Verdict {
        if answered_at > self.at.plus(self.answer_within) {
            Verdict::Late
        } else if answer == expected {
            Verdict::Unchanged
        } else {
            Verdict::Changed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn challenge(byte: u8) -> Challenge {
        Challenge { nonce: Nonce([byte; 32]), at: Time::EPOCH, answer_within: Span::from_secs(30) }
    }

    #[test]
    fn answers_are_judged_by_content_and_time() {
        let check = |answer: &[u8], secs, expect| {
            let at = Time::EPOCH.plus(Span::from_secs(secs));
            assert_eq!(challenge(1).judge(b"digest", answer, at), expect);
        };
        check(b"digest", 30, Verdict::Unchanged);
        check(b"other", 30, Verdict::Changed);
        check(b"", 0, Verdict::Changed);
        check(b"digest", 31, Verdict::Late);
    }

    #[test]
    fn nonces_are_written_in_hexadecimal() {
        let text = serde_json::to_string(&Nonce([0xab; 32])).expect("text");
        assert_eq!(text, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Nonce>(&text).expect("a nonce"), Nonce([0xab; 32]));
        assert!(serde_json::from_str::<Nonce>("\"ab\"").is_err());
    }

    proptest! {
        #[test]
        fn another_nonce_or_inventory_is_other_material(
            a in any::<u8>(), b in any::<u8>(), x in "[a-c\n]{0,4}", y in "[a-c\n]{0,4}",
        ) {
            let same = challenge(a).material(&x) == challenge(b).material(&y);
            prop_assert_eq!(same, a == b && x == y);
        }
    }
}
