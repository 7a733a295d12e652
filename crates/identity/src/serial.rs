//! Serials: the last part of a name, in the order of their making.

use std::fmt;
use std::str::FromStr;

use dayan_units::Time;

/// 60 bits: 44 of milliseconds since 1970 (until 2527) and 16 that tell apart names of one
/// millisecond. Written as 12 characters of lower-case Crockford base32, which sort as the
/// serials do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(u64);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LEN: usize = 12;
const TAIL_BITS: u32 = 16;
const MILLIS_MAX: i64 = (1 << 44) - 1;

impl Serial {
    /// A serial for a name made at that time; who makes several in one millisecond gives each
    /// another tail. Nothing for times before 1970 or after 2527.
    pub fn new(at: Time, tail: u16) -> Option<Self> {
        let millis = at.micros().div_euclid(1_000);
        if !(0..=MILLIS_MAX).contains(&millis) {
            return None;
        }
        Some(Self((u64::try_from(millis).ok()? << TAIL_BITS) | u64::from(tail)))
    }
    /// When the name was made, to the millisecond.
    pub fn made_at(self) -> Time {
        let millis = i64::try_from(self.0 >> TAIL_BITS).expect("44 bits");
        Time::from_micros(millis * 1_000)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..LEN)
            .rev()
            .map(|at| char::from(ALPHABET[(self.0 >> (5 * at) & 31) as usize]))
            .collect();
        f.write_str(&text)
    }
}
impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Serial {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != LEN {
            return Err(());
        }
        text.bytes()
            .try_fold(0, |bits, byte| {
                let value = ALPHABET.iter().position(|known| *known == byte).ok_or(())?;
                Ok((bits << 5) | value as u64)
            })
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::Span;
    use proptest::prelude::*;

    #[test]
    fn ends_of_the_range() {
        assert_eq!(Serial::new(Time::EPOCH, 0).expect("1970").to_string(), "000000000000");
        assert_eq!(Serial::new(Time::EPOCH.minus(Span::from_millis(1)), 0), None);
        let last = Time::from_micros(MILLIS_MAX * 1_000);
        assert_eq!(Serial::new(last, u16::MAX).expect("2527").to_string(), "zzzzzzzzzzzz");
        assert_eq!(Serial::new(last.plus(Span::from_millis(1)), 0), None);
        for bad in ["", "00000000000", "00000000000u", "00000000000U", "0000000000000"] {
            assert_eq!(bad.parse::<Serial>(), Err(()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn texts_sort_as_times(a in 0..=MILLIS_MAX, b in 0..=MILLIS_MAX, tail in any::<u16>()) {
            let serial = |millis: i64| Serial::new(Time::from_micros(millis * 1_000), tail).expect("in range");
            let (x, y) = (serial(a), serial(b));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
            prop_assert_eq!(x.to_string().parse(), Ok(x));
            prop_assert_eq!(x.made_at(), Time::from_micros(a * 1_000));
        }
    }
}
