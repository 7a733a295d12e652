//! For whom a table is drawn: language, width, colour and time zone; and how single values look.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::exit::one_line;
use crate::words::{Lang, Word};

/// May colours be used?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colour {
    /// On a terminal.
    Yes,
    /// In a pipe, a file, or where `NO_COLOR` is set.
    No,
}

/// Who looks.
#[derive(Clone, Debug)]
pub struct View {
    /// In which language.
    pub lang: Lang,
    /// Columns of the terminal; none where there is no terminal and nothing is cut.
    pub width: Option<u16>,
    /// With colours?
    pub colour: Colour,
    /// In whose time.
    pub zone: TimeZone,
}

impl View {
    /// A message.
    pub fn word(&self, word: Word) -> &'static str {
        self.lang.word(word)
    }
    /// A state in words.
    pub fn state<'a>(&self, state: &'a str) -> &'a str {
        crate::words::state(self.lang, state)
    }
    /// A time as in RFC 3339, shown in the viewer's zone; what is no time stays as it is.
    pub fn time(&self, text: &str) -> String {
        text.parse::<Timestamp>().map_or_else(
            |_| one_line(text),
            |at| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }
    /// The same where there may be none.
    pub fn time_or_dash(&self, text: Option<&str>) -> String {
        text.map_or_else(|| "-".to_owned(), |text| self.time(text))
    }
}

/// An amount with its currency; an amount we may not see is left empty by the exchange.
pub fn money(amount: &str, currency: &str) -> String {
    if amount.is_empty() { "-".to_owned() } else { format!("{amount} {currency}") }
}

/// Seconds as people say them: `0s`, `1.5s`, `2h5m`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and it is for display"
    )]
    let micros = (seconds * 1e6).round() as i64;
    dayan_units::Span::from_micros(micros).to_string()
}

/// A quantity that may be unknown.
pub fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_viewers_zone() {
        let view = View {
            lang: Lang::En,
            width: None,
            colour: Colour::No,
            zone: TimeZone::fixed(jiff::tz::offset(8)),
        };
        assert_eq!(view.time("2026-11-23T16:30:00.25Z"), "2026-11-24 00:30:00");
        assert_eq!(view.time("soon\u{7}"), "soon ");
        assert_eq!(view.time_or_dash(None), "-");
    }

    #[test]
    fn seconds_read_as_people_say_them() {
        let check = |value, expect: &str| assert_eq!(seconds(value), expect);
        check(0.0, "0s");
        check(1.5, "1.5s");
        check(7_500.0, "2h5m");
        check(f64::NAN, "-");
        check(f64::INFINITY, "-");
    }
}
