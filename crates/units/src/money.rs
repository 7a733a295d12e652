//! Money: integer micro-units (1/1,000,000 of a yuan) with the currency beside them. No floats.
//! An `i64` of micro-yuan reaches 9.2 trillion yuan, 3,000 times the platform's first period.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no money, or a sum is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not of the form `60.00 CNY`.
    #[error("`{0}` is not an amount of money; write it like `60.00 CNY`")]
    Form(String),
    /// More than six decimals: it cannot be held exactly.
    #[error("`{0}` has more than six decimals; the smallest amount is 0.000001")]
    TooFine(String),
    /// Over the range of 64 bits of micro-units.
    #[error("the amount is larger than can be kept")]
    Overflow,
    /// Two currencies in one sum.
    #[error("{0} and {1} cannot be added; there is no conversion here")]
    Currencies(Currency, Currency),
}

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Chinese yuan.
    pub const CNY: Self = Self(*b"CNY");

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII capitals are let in")
    }
}
impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::Form(text.chars().take(40).collect())),
        }
    }
}
impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}
impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Micro-units of the one currency a book is kept in. May be negative (a difference, a balance).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micro(pub i64);

impl Micro {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that can be kept.
    pub const MAX: Self = Self(i64::MAX);

    /// From whole units (yuan).
    pub const fn from_units(units: i32) -> Self {
        Self(units as i64 * 1_000_000)
    }
    /// Sum, unless it is over the range.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
    /// Difference, unless it is over the range.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }
    /// Sum, held at the ends of the range: for limits and reports, never for balances.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
    /// Difference, held at the ends of the range: for limits and reports, never for balances.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
    /// `self × numerator ÷ denominator`, rounded half to even, computed in 128 bits.
    pub fn mul_div_half_even(self, numerator: u64, denominator: u64) -> Option<Self> {
        let product = i128::from(self.0) * i128::from(numerator);
        i64::try_from(div_half_even(product, i128::from(denominator))).ok().map(Self)
    }
    /// With its currency.
    pub const fn of(self, currency: Currency) -> Money {
        Money { micro: self, currency }
    }
    /// As a decimal with at least two and at most six places: `60.00`, `0.000001`.
    pub fn decimal(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let mut fraction = format!("{:06}", magnitude % 1_000_000);
        while fraction.len() > 2 && fraction.ends_with('0') {
            fraction.pop();
        }
        format!("{sign}{}.{fraction}", magnitude / 1_000_000)
    }
    /// From a decimal such as `60`, `60.00` or `-0.5`.
    pub fn parse_decimal(text: &str) -> Result<Self, MoneyError> {
        let form = || MoneyError::Form(text.chars().take(40).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(form());
        }
        if digits.ends_with('.') {
            return Err(form());
        }
        if fraction.len() > 6 {
            return Err(MoneyError::TooFine(text.chars().take(40).collect()));
        }
        let whole: i64 = whole.parse().map_err(|_| MoneyError::Overflow)?;
        let fraction: i64 = format!("{fraction:0<6}").parse().map_err(|_| form())?;
        let micro = whole
            .checked_mul(1_000_000)
            .and_then(|micro| micro.checked_add(fraction))
            .ok_or(MoneyError::Overflow)?;
        Ok(Self(if negative { -micro } else { micro }))
    }
}
impl fmt::Display for Micro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.decimal())
    }
}
impl fmt::Debug for Micro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decimal())
    }
}

/// An amount with its currency, written `60.00 CNY`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money {
    /// How much.
    pub micro: Micro,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// Sum of two amounts of one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Currencies(self.currency, other.currency));
        }
        let micro = self.micro.checked_add(other.micro).ok_or(MoneyError::Overflow)?;
        Ok(Self { micro, currency: self.currency })
    }
}
impl FromStr for Money {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let form = || MoneyError::Form(text.chars().take(40).collect());
        let (amount, code) = text.trim().split_once(' ').ok_or_else(form)?;
        Ok(Self {
            micro: Micro::parse_decimal(amount)?,
            currency: code.trim_start().parse().map_err(|_| form())?,
        })
    }
}
impl TryFrom<String> for Money {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}
impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.micro.decimal(), self.currency)
    }
}
impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Integer division rounded to the nearest, a half to the even neighbour. The denominator must be
/// positive.
pub fn div_half_even(numerator: i128, denominator: i128) -> i128 {
    assert!(denominator > 0, "a rate has a positive base");
    let floor = numerator.div_euclid(denominator);
    // One division: the rest is small, whatever the product comes to beyond 128 bits.
    let twice_rest = numerator.wrapping_sub(floor.wrapping_mul(denominator)) * 2;
    match twice_rest.cmp(&denominator) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Greater => floor + 1,
        std::cmp::Ordering::Equal => floor + (floor & 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_half_to_even_on_both_sides_of_zero() {
        let check = |numerator, denominator, expect| {
            assert_eq!(div_half_even(numerator, denominator), expect, "{numerator}/{denominator}");
        };
        check(5, 2, 2);
        check(7, 2, 4);
        check(-5, 2, -2);
        check(-7, 2, -4);
        check(8, 3, 3);
        check(-8, 3, -3);
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        assert!(matches!("1.0000001 CNY".parse::<Money>(), Err(MoneyError::TooFine(_))));
        assert_eq!("99999999999999 CNY".parse::<Money>(), Err(MoneyError::Overflow));
        for bad in ["", "CNY", "1 cny", "1.", ".5 CNY", "1,5 CNY", "+1 CNY", "1CNY", "--1 CNY"] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_prints_parses_back(micro in (i64::MIN + 1)..=i64::MAX) {
            let money = Micro(micro).of(Currency::CNY);
            prop_assert_eq!(money.to_string().parse::<Money>(), Ok(money));
        }

        #[test]
        fn rounding_is_within_half(n in -1_000_000_000_000i128..1_000_000_000_000, d in 1i128..1_000_000) {
            let q = div_half_even(n, d);
            prop_assert!((n - q * d).abs() * 2 <= d);
        }
    }
}
