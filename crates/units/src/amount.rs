//! Amounts of what a machine has: bytes, thousandths of a processor core, thousandths of an
//! accelerator card, floating-point operations a second. Integers; text as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::quantity::{QuantityError, parse_scaled};

macro_rules! amounts {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);
            /// Sum, unless it is over the range.
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) { Some(v) => Some(Self(v)), None => None }
            }
            /// Difference, unless it would be negative.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) { Some(v) => Some(Self(v)), None => None }
            }
            /// This many times as much, unless it is over the range.
            pub const fn checked_mul(self, factor: u64) -> Option<Self> {
                match self.0.checked_mul(factor) { Some(v) => Some(Self(v)), None => None }
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
    )*};
}

amounts! {
    /// Bytes. `GB` is 10⁹, `GiB` is 2³⁰.
    Bytes;
    /// Thousandths of a processor core.
    MilliCpu;
    /// Thousandths of an accelerator card: a quarter of a card is exactly 250.
    MilliAccel;
    /// Floating-point operations a second.
    FlopRate;
}

const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];
const FLOP_UNITS: &[(&str, u64)] = &[
    ("FLOPS", 1),
    ("MFLOPS", 1_000_000),
    ("GFLOPS", 1_000_000_000),
    ("TFLOPS", 1_000_000_000_000),
    ("PFLOPS", 1_000_000_000_000_000),
];

impl FromStr for Bytes {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse_scaled(text, BYTE_UNITS, "64GB").map(Self)
    }
}
impl FromStr for FlopRate {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse_scaled(text, FLOP_UNITS, "600 TFLOPS").map(Self)
    }
}
impl FromStr for MilliCpu {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse_scaled(text, &[("", 1_000)], "16").map(Self)
    }
}
impl FromStr for MilliAccel {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse_scaled(text, &[("", 1_000)], "8").map(Self)
    }
}

/// The largest unit in which the amount is at least one, with at most two decimals.
fn scaled(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(u64, &str)]) -> fmt::Result {
    let &(size, unit) = units.iter().rev().find(|(size, _)| amount >= *size).unwrap_or(&units[0]);
    let hundredths = u128::from(amount) * 100 / u128::from(size);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let text = match rest {
        0 => format!("{whole}{unit}"),
        r if r % 10 == 0 => format!("{whole}.{}{unit}", r / 10),
        r => format!("{whole}.{r:02}{unit}"),
    };
    f.pad(&text)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1, "B"),
            (1_000, "KB"),
            (1_000_000, "MB"),
            (1_000_000_000, "GB"),
            (1_000_000_000_000, "TB"),
        ];
        scaled(f, self.0, &units)
    }
}
impl fmt::Display for FlopRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1, " FLOPS"),
            (1_000_000, " MFLOPS"),
            (1_000_000_000, " GFLOPS"),
            (1_000_000_000_000, " TFLOPS"),
            (1_000_000_000_000_000, " PFLOPS"),
        ];
        scaled(f, self.0, &units)
    }
}

fn thousandths(f: &mut fmt::Formatter<'_>, milli: u64) -> fmt::Result {
    let mut text = format!("{}.{:03}", milli / 1_000, milli % 1_000);
    while text.ends_with('0') {
        text.pop();
    }
    f.pad(text.trim_end_matches('.'))
}
impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        thousandths(f, self.0)
    }
}
impl fmt::Display for MilliAccel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        thousandths(f, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_units() {
        let check = |text: &str, bytes, shown: &str| {
            let parsed: Bytes = text.parse().expect(text);
            assert_eq!(parsed, Bytes(bytes), "{text}");
            assert_eq!(parsed.to_string(), shown);
        };
        check("64GB", 64_000_000_000, "64GB");
        check("1.5 GB", 1_500_000_000, "1.5GB");
        check("512MiB", 536_870_912, "536.87MB");
        check("0B", 0, "0B");
        assert_eq!("0.25".parse(), Ok(MilliAccel(250)));
        assert_eq!("16".parse(), Ok(MilliCpu(16_000)));
        assert_eq!(MilliCpu(1_500).to_string(), "1.5");
        assert_eq!(MilliCpu(100_000).to_string(), "100");
        assert_eq!("600 TFLOPS".parse(), Ok(FlopRate(600_000_000_000_000)));
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for bad in ["", "GB", "64", "-1GB", "1e9B", "64 gigs", "1.00000000001B"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
        assert!("0.0001".parse::<MilliAccel>().is_err());
        assert!("99999999PB".parse::<Bytes>().is_err());
    }
}
