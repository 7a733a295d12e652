//! Unified social credit codes (GB 32100-2015): 18 characters that identify an organisation in
//! China. The last is a check character over the others.
//!
//! Invariant: a [`CreditCode`] in hand has passed the check.

use std::fmt;
use std::str::FromStr;

/// The 31 characters in use; I, O, S, V and Z are left out.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const LEN: usize = 18;

/// A code that passed its check. Upper-case, as certificates print it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreditCode([u8; LEN]);

/// Why a text is no such code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditCodeError {
    /// Not 18 characters.
    #[error("a unified social credit code has 18 characters, this has {0}")]
    Length(usize),
    /// A character that the standard leaves out.
    #[error("`{0}` does not occur in unified social credit codes")]
    Character(char),
    /// The last character does not fit the others.
    #[error("the check character of the unified social credit code is wrong; was it mistyped?")]
    Check,
}

impl CreditCode {
    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }

    /// The code that begins with these 17 characters.
    pub fn complete(first: &str) -> Result<Self, CreditCodeError> {
        let values = values(first, LEN - 1)?;
        let mut code = [0; LEN];
        for (slot, value) in code.iter_mut().zip(&values) {
            *slot = ALPHABET[*value as usize];
        }
        code[LEN - 1] = check_character(&values);
        Ok(Self(code))
    }
}

/// Clause 5.2: Σ value · 3ⁱ and the check value add up to a multiple of 31.
fn check_character(values: &[u32]) -> u8 {
    let mut weight = 1;
    let mut sum = 0;
    for value in values {
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    ALPHABET[((31 - sum % 31) % 31) as usize]
}

fn values(text: &str, len: usize) -> Result<Vec<u32>, CreditCodeError> {
    let count = text.chars().count();
    if count != len {
        return Err(CreditCodeError::Length(count));
    }
    text.chars()
        .map(|c| {
            let upper = c.to_ascii_uppercase();
            let at = ALPHABET.iter().position(|byte| char::from(*byte) == upper);
            at.and_then(|at| u32::try_from(at).ok()).ok_or(CreditCodeError::Character(c))
        })
        .collect()
}

impl FromStr for CreditCode {
    type Err = CreditCodeError;
    fn from_str(text: &str) -> Result<Self, CreditCodeError> {
        let values = values(text, LEN)?;
        let last = ALPHABET[values[LEN - 1] as usize];
        if check_character(&values[..LEN - 1]) != last {
            return Err(CreditCodeError::Check);
        }
        let mut code = [0; LEN];
        for (slot, value) in code.iter_mut().zip(&values) {
            *slot = ALPHABET[*value as usize];
        }
        Ok(Self(code))
    }
}
impl fmt::Display for CreditCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl fmt::Debug for CreditCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_of_well_known_organisations_pass() {
        for code in [
            "9144030071526726XG",
            "91330100799655058B",
            "914403001922038216",
            "91110000802100433B",
            "91110302562134916R",
            "91440300192181490G",
            "91440400192548256N",
            "91100000100003962T",
            "91110000710925462X",
            "91440606722473344C",
            "12100000400000624D",
            "12100000400002259P",
        ] {
            assert_eq!(code.parse::<CreditCode>().map(|c| c.to_string()), Ok(code.into()));
            assert_eq!(code.to_lowercase().parse::<CreditCode>().expect(code).as_str(), code);
            assert_eq!(CreditCode::complete(&code[..17]).expect(code).as_str(), code);
        }
    }

    #[test]
    fn wrong_codes_say_why() {
        let check = |text: &str, expect| assert_eq!(text.parse::<CreditCode>(), Err(expect));
        check("", CreditCodeError::Length(0));
        check("9144030071526726X", CreditCodeError::Length(17));
        check("9144030071526726XH", CreditCodeError::Check);
        check("9144030071526726OG", CreditCodeError::Character('O'));
        check("9144030071526726X中", CreditCodeError::Character('中'));
    }

    proptest! {
        #[test]
        fn every_wrong_character_and_swap_is_noticed(
            first in "[0-9A-HJ-NPQRTUWXY]{17}", at in 0usize..18, other in 0usize..31,
        ) {
            let code = CreditCode::complete(&first).expect("in the alphabet");
            prop_assert_eq!(code.as_str().parse(), Ok(code));
            let mut wrong = code.0;
            wrong[at] = ALPHABET[other];
            prop_assert_eq!(
                std::str::from_utf8(&wrong).expect("ASCII").parse::<CreditCode>().is_ok(),
                wrong == code.0
            );
            if at < 17 {
                let mut swapped = code.0;
                swapped.swap(at, at + 1);
                prop_assert_eq!(
                    std::str::from_utf8(&swapped).expect("ASCII").parse::<CreditCode>().is_ok(),
                    swapped == code.0
                );
            }
        }
    }
}
