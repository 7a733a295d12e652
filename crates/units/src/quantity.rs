//! Reading quantities as people write them: a decimal with a unit (`1.5GB`, `600 TFLOPS`), a span
//! (`6h`, `1h30m`), a range (`32..64`, `128GB..`). Exact: what cannot be held is refused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number with a known unit.
    #[error("`{text}` is not understood; write it like `{example}`")]
    Form {
        /// What was given.
        text: String,
        /// A correct value of this kind.
        example: &'static str,
    },
    /// Finer than the smallest step that is kept.
    #[error("`{0}` is finer than can be kept")]
    TooFine(String),
    /// Larger than can be kept.
    #[error("`{0}` is larger than can be kept")]
    TooLarge(String),
    /// A range whose end is before its start.
    #[error("the range `{0}` ends before it starts")]
    Backwards(String),
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A non-negative decimal followed by one of `units` (name, size in the kept step).
pub(crate) fn parse_scaled(
    text: &str,
    units: &[(&str, u64)],
    example: &'static str,
) -> Result<u64, QuantityError> {
    let form = || QuantityError::Form { text: clip(text), example };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim_start();
    let size = units.iter().find(|(name, _)| *name == unit).ok_or_else(form)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(fraction) || number.ends_with('.') {
        return Err(form());
    }
    if fraction.len() > 18 {
        return Err(QuantityError::TooFine(clip(text)));
    }
    let too_large = || QuantityError::TooLarge(clip(text));
    let scale = 10u128.pow(u32::try_from(fraction.len()).expect("at most 18"));
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let fraction: u128 =
        if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| form())? };
    let scaled = (u128::from(whole) * scale + fraction)
        .checked_mul(u128::from(size))
        .ok_or_else(too_large)?;
    if scaled % scale != 0 {
        return Err(QuantityError::TooFine(clip(text)));
    }
    u64::try_from(scaled / scale).map_err(|_| too_large())
}

const SPAN_UNITS: &[(&str, i64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

/// A span such as `90m`, `1h30m`, `1500ms`, `1.5h`. A number without a unit is refused: scripts
/// have mistaken minutes for seconds often enough.
pub fn parse_span(text: &str) -> Result<Span, QuantityError> {
    let example = "1h30m";
    let form = || QuantityError::Form { text: clip(text), example };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(form());
    }
    let mut total: i64 = 0;
    let mut last_size = i64::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(form)?;
        let unit_end = rest[number_end..]
            .find(|c: char| !c.is_ascii_alphabetic())
            .map_or(rest.len(), |at| number_end + at);
        let unit = &rest[number_end..unit_end];
        let size = SPAN_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(form)?.1;
        if size >= last_size {
            return Err(form());
        }
        last_size = size;
        let table = [(unit, u64::try_from(size).expect("unit sizes are positive"))];
        let part = parse_scaled(&rest[..unit_end], &table, example)?;
        total = i64::try_from(part)
            .ok()
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| QuantityError::TooLarge(clip(text)))?;
        rest = &rest[unit_end..];
    }
    Ok(Span::from_micros(total))
}

/// At least `min` and, when given, at most `max`. Written `16` (exactly), `32..64`, `128..`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Range<T> {
    /// The least that will do.
    pub min: T,
    /// The most that is of use; none means that more does no harm.
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    pub max: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

impl<T: Copy + Ord> Range<T> {
    /// Just this much.
    pub const fn exactly(value: T) -> Self {
        Self { min: value, max: Some(value) }
    }
    /// Does the value lie in it?
    pub fn contains(&self, value: T) -> bool {
        value >= self.min && self.max.is_none_or(|max| value <= max)
    }
}

impl<T> FromStr for Range<T>
where
    T: FromStr<Err = QuantityError> + Copy + Ord,
{
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let Some((min, max)) = text.split_once("..") else {
            return text.parse().map(Self::exactly);
        };
        let min = min.trim().parse()?;
        let max = match max.trim() {
            "" => None,
            max => Some(max.parse()?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(QuantityError::Backwards(clip(text)));
        }
        Ok(Self { min, max })
    }
}

impl<T: fmt::Display + PartialEq> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.max {
            None => write!(f, "{}..", self.min),
            Some(max) if *max == self.min => fmt::Display::fmt(&self.min, f),
            Some(max) => write!(f, "{}..{max}", self.min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, MilliCpu};
    use proptest::prelude::*;

    #[test]
    fn spans() {
        let check =
            |text: &str, secs| assert_eq!(parse_span(text), Ok(Span::from_secs(secs)), "{text}");
        check("6h", 21_600);
        check("1h30m", 5_400);
        check("1.5h", 5_400);
        check("90s", 90);
        check("2d", 172_800);
        assert_eq!(parse_span("1500ms"), Ok(Span::from_millis(1_500)));
        for bad in
            ["", "6", "h", "-1h", "30m1h", "1h1h", "1 h 3", "6 hours", "1h-", "9999999999999d"]
        {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges() {
        let open: Range<Bytes> = "128GB..".parse().expect("open");
        assert!(open.contains(Bytes(128_000_000_000)) && open.contains(Bytes(u64::MAX)));
        assert_eq!(open.to_string(), "128GB..");
        let both: Range<MilliCpu> = "32..64".parse().expect("both");
        assert!(both.contains(MilliCpu(64_000)) && !both.contains(MilliCpu(64_001)));
        assert!(matches!("64..32".parse::<Range<MilliCpu>>(), Err(QuantityError::Backwards(_))));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_panic(text in "\\PC{0,40}") {
            let _ = parse_span(&text);
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Range<MilliCpu>>();
        }
    }
}
