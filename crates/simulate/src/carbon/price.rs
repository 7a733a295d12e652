//! Reads prices of electricity: a series, `Time,Price`, or windows of the day, `From,To,Price`, as
//! tariffs by time of use have them.

use std::io::BufRead;

use jiff::civil::DateTime;

use super::samples::{PRICE, read_samples};
use super::series::{
    DAY, ROWS_MAX, SLOT_MINUTES, Series, SeriesError, half_hours, heading, minutes, wrong,
};
use crate::table::{Heading, LineError, Lines, scaled};

/// What a heading is looked for in.
const HEADING_BYTES_MAX: usize = 4_096;

/// Prices in millionths of the currency for a kilowatt-hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prices {
    /// For each half-hour of a time.
    Series(Series),
    /// For each half-hour of any day.
    Day(Vec<i64>),
}

impl Prices {
    /// The prices of so many half-hours from a time on; none where the series does not hold them.
    pub fn over(&self, start: DateTime, len: usize) -> Option<Vec<i64>> {
        match self {
            Self::Series(series) => {
                let skip = usize::try_from(minutes(series.start, start) / SLOT_MINUTES).ok()?;
                series.values.get(skip..skip.checked_add(len)?).map(<[i64]>::to_vec)
            }
            Self::Day(day) => {
                let first = i64::from(start.hour()) * 60 + i64::from(start.minute());
                let first = usize::try_from(first / SLOT_MINUTES).ok()?;
                Some(day.iter().copied().cycle().skip(first).take(len).collect())
            }
        }
    }
}

/// An amount of money in millionths, not negative: `0.08`.
pub fn amount(text: &str) -> Result<i64, String> {
    let micro = scaled(text, 6).filter(|micro| *micro >= 0);
    micro.ok_or_else(|| format!("`{text}` is not an amount like 0.08"))
}

/// Reads either.
pub fn read_prices(mut from: impl BufRead) -> Result<Prices, SeriesError> {
    let begins = from.fill_buf().map_err(|source| LineError::Read { line: 0, source })?;
    let begins = String::from_utf8_lossy(&begins[..begins.len().min(HEADING_BYTES_MAX)]);
    let begins = begins.lines().next().unwrap_or_default();
    let heading = Heading::new(begins);
    if let [from_name, to, price, ..] = heading.names()
        && from_name == "from"
        && to == "to"
        && price.contains("price")
    {
        return read_day(Lines::new(from, ROWS_MAX)).map(Prices::Day);
    }
    half_hours(read_samples(from, PRICE)?).map(Prices::Series)
}

fn read_day(mut lines: Lines<impl BufRead>) -> Result<Vec<i64>, SeriesError> {
    let heading = heading(&mut lines)?;
    let mut day: Vec<i64> = Vec::new();
    let mut last = 1;
    while let Some((line, text)) = lines.row()? {
        last = line;
        let fields = heading.row(&text);
        let [from, to, price, ..] = &fields[..] else {
            return Err(wrong(line, "not three columns", &text));
        };
        let clock = |text: &str| {
            slot_of(text).ok_or_else(|| wrong(line, "not a full half-hour like 08:30", text))
        };
        let (from, to) = (clock(from)?, clock(to)?);
        if from != day.len() || to <= from {
            return Err(wrong(line, "does not go on where the last window ends", &text));
        }
        let price =
            scaled(&heading.number(price), 6).ok_or_else(|| wrong(line, "not a price", price))?;
        day.resize(to, price);
    }
    if day.len() == DAY as usize {
        Ok(day)
    } else {
        Err(wrong(last, "the windows end before 24:00", ""))
    }
}

/// `08:30` as a half-hour of the day; 24:00 is its end.
fn slot_of(text: &str) -> Option<usize> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if plain { text.parse::<usize>().ok() } else { None }
    };
    let half = match two(minute)? {
        0 => 0,
        30 => 1,
        _ => return None,
    };
    Some(two(hour)? * 2 + half).filter(|slot| *slot <= DAY as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_become_half_hours_of_any_day() {
        let text = "From,To,Price\n00:00,08:00,0.31\n08:00,23:30,1.1234567\n23:30,24:00,-0.02\n";
        let prices = read_prices(text.as_bytes()).expect("well formed");
        let start = jiff::civil::date(2020, 5, 1).at(23, 0, 0, 0);
        assert_eq!(prices.over(start, 3), Some(vec![1_123_457, -20_000, 310_000]));
    }

    #[test]
    fn a_series_has_prices_where_it_has_rows() {
        let text = "Time,Price\n2020-01-01 00:00:00,0.5\n2020-01-01 00:30:00,0.25\n";
        let prices = read_prices(text.as_bytes()).expect("well formed");
        let start = jiff::civil::date(2020, 1, 1).at(0, 30, 0, 0);
        assert_eq!(prices.over(start, 1), Some(vec![250_000]));
        // A megawatt-hour is a thousand of them; an hour's price is that of both its halves.
        let hourly = "hour;EUR/MWh\n2020-01-01T00:00Z;31,5\n2020-01-01T01:00Z;-2\n";
        let hourly = read_prices(hourly.as_bytes()).expect("well formed");
        let midnight = jiff::civil::date(2020, 1, 1).at(0, 0, 0, 0);
        assert_eq!(hourly.over(midnight, 4), Some(vec![31_500, 31_500, -2_000, -2_000]));
        assert_eq!(prices.over(start, 2), None);
        assert_eq!(prices.over(jiff::civil::date(2019, 12, 31).at(0, 0, 0, 0), 1), None);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let check = |text: &str, expect: &str| {
            let error = read_prices(text.as_bytes()).expect_err("it is wrong");
            assert_eq!(error.to_string(), expect);
        };
        check("a\n", "line 1: the heading is not `a column of times and one of values`");
        let day = |row: &str| format!("From,To,Price\n00:00,12:00,1\n{row}\n");
        check(&day(""), "line 2: the windows end before 24:00: ``");
        check(&day("12:00,24:00"), "line 3: not three columns: `12:00,24:00`");
        check(&day("12:00,24:30,1"), "line 3: not a full half-hour like 08:30: `24:30`");
        check(&day("12:00,23:15,1"), "line 3: not a full half-hour like 08:30: `23:15`");
        check(&day("12:00,24:00,x"), "line 3: not a price: `x`");
        check(
            &day("12:30,24:00,1"),
            "line 3: does not go on where the last window ends: `12:30,24:00,1`",
        );
    }
}
