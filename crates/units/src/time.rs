//! Time: integer microseconds since 1970-01-01 UTC, and spans of them. RFC 3339 outside. Nothing
//! here reads a clock; whoever decides is handed the time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// A length of time in microseconds; may be negative (a difference).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

impl Time {
    /// 1970-01-01T00:00:00Z, also the start of virtual time.
    pub const EPOCH: Self = Self(0);
    /// Later than every moment that is written down.
    pub const NEVER: Self = Self(i64::MAX);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// This moment and a span; held at the ends of the range.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
    /// This moment less a span; held at the ends of the range.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
    /// How long since `earlier` (negative if it is later).
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// Longer than anything that is written down.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }
    /// From seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }
    /// Microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// Whole milliseconds, rounded down.
    pub const fn millis_floor(self) -> i64 {
        self.0.div_euclid(1_000)
    }
    /// Whole seconds, rounded down.
    pub const fn secs_floor(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    /// Whole seconds, rounded up.
    pub const fn secs_ceil(self) -> i64 {
        -((-self.0).div_euclid(1_000_000))
    }
    /// Seconds for display and physics.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
    /// Sum, held at the ends of the range.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
    /// Difference, held at the ends of the range.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
    /// This many times as long, held at the ends of the range.
    #[must_use]
    pub const fn times(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
    /// As the standard library's duration; a negative span is none.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(stamp) => fmt::Display::fmt(&stamp, f),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}
impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Time {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let stamp: jiff::Timestamp = text.parse().map_err(|_| {
            format!("`{}` is not a time as in RFC 3339", text.chars().take(40).collect::<String>())
        })?;
        Ok(Self(stamp.as_microsecond()))
    }
}
impl Serialize for Time {
    /// RFC 3339 text for people and APIs would cost 27 bytes and a parse for each of millions of
    /// journal entries; inside it is the integer. API types use [`Time::to_string`].
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(self.0)
    }
}
impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("microseconds since 1970 or an RFC 3339 text")
            }
            fn visit_i64<E: de::Error>(self, micros: i64) -> Result<Time, E> {
                Ok(Time(micros))
            }
            fn visit_u64<E: de::Error>(self, micros: u64) -> Result<Time, E> {
                i64::try_from(micros).map(Time).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl fmt::Display for Span {
    /// The largest units first, at most two of them above a second: `1h30m`, `90s` as `1m30s`,
    /// `1500ms` as `1.5s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let secs = micros / 1_000_000;
        let text = match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60) {
            (0, 0, 0, _) if micros == 0 => "0s".to_owned(),
            (0, 0, 0, 0) if micros < 1_000 => format!("{micros}us"),
            (0, 0, 0, 0) => format!("{}ms", micros / 1_000),
            (0, 0, 0, s) => match micros % 1_000_000 / 100_000 {
                0 => format!("{s}s"),
                tenths => format!("{s}.{tenths}s"),
            },
            (0, 0, m, 0) => format!("{m}m"),
            (0, 0, m, s) => format!("{m}m{s}s"),
            (0, h, 0, _) => format!("{h}h"),
            (0, h, m, _) => format!("{h}h{m}m"),
            (d, 0, _, _) => format!("{d}d"),
            (d, h, _, _) => format!("{d}d{h}h"),
        };
        f.pad(&format!("{sign}{text}"))
    }
}
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_outside_and_integers_inside() {
        let time: Time = "2026-11-23T12:00:00.25Z".parse().expect("a time");
        assert_eq!(time.to_string(), "2026-11-23T12:00:00.25Z");
        assert_eq!(time.plus(Span::from_secs(1)).since(time), Span::from_secs(1));
        assert!("yesterday".parse::<Time>().is_err());
    }

    #[test]
    fn spans_read_as_people_write_them() {
        let check =
            |millis, expect: &str| assert_eq!(Span::from_millis(millis).to_string(), expect);
        check(0, "0s");
        check(20, "20ms");
        check(1_500, "1.5s");
        check(90_000, "1m30s");
        check(5_400_000, "1h30m");
        check(90_000_000, "1d1h");
        check(-1_500, "-1.5s");
    }
}
