//! A positive amount of money, and 128-bit references as hex text.

use std::fmt;

use dayan_units::Micro;
use serde::{Deserialize, Serialize};

/// A positive number of micro-units, at most [`Micro::MAX`]: the only thing a transfer can move.
/// Nothing is moved by not writing a transfer; something is moved back by turning its accounts
/// around.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Amount(i64);

impl Amount {
    /// From micro-units; `None` unless positive.
    pub const fn new(micro: Micro) -> Option<Self> {
        if micro.0 > 0 { Some(Self(micro.0)) } else { None }
    }
    /// In micro-units, always positive.
    pub const fn micro(self) -> Micro {
        Micro(self.0)
    }
}

impl TryFrom<i64> for Amount {
    type Error = &'static str;
    fn try_from(micro: i64) -> Result<Self, Self::Error> {
        Self::new(Micro(micro)).ok_or("the amount of a transfer must be positive")
    }
}
impl From<Amount> for i64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.micro(), f)
    }
}
impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.micro(), f)
    }
}

/// 32 lower-case hex digits, because most encodings hold no integer of 128 bits.
pub(crate) mod hex128 {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    /// Exactly 32 lower-case hex digits, so that every value has one text.
    pub(crate) fn parse(text: &str) -> Option<u128> {
        let canonical =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if canonical { u128::from_str_radix(text, 16).ok() } else { None }
    }

    pub(crate) fn serialize<S: Serializer>(value: &u128, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{value:032x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u128, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = u128;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 lower-case hex digits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<u128, E> {
                parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_amounts_exist() {
        let check = |micro: i64, expect: bool| {
            assert_eq!(Amount::new(Micro(micro)).is_some(), expect, "{micro}");
            let text = micro.to_string();
            assert_eq!(serde_json::from_str::<Amount>(&text).is_ok(), expect, "{micro}");
        };
        check(1, true);
        check(i64::MAX, true);
        check(0, false);
        check(-1, false);
        check(i64::MIN, false);
    }

    #[test]
    fn a_reference_has_one_text() {
        assert_eq!(hex128::parse("000000000000000000000000000000ff"), Some(255));
        for bad in ["ff", "000000000000000000000000000000FF", "+00000000000000000000000000000ff"] {
            assert_eq!(hex128::parse(bad), None, "{bad}");
        }
    }
}
