//! Reads a series as it is published: a table with a column of times and one of values, or the JSON
//! that services for carbon data answer with. The live exchange and the simulator read the same.
//!
//! Invariant: every row is a moment and a whole number of the small unit, or an error that names its
//! line. Its unit is what its column, its row or the answer says; one that is not known is refused, not
//! guessed. Moments with an offset are taken to UTC; those without one are on the clock of the file,
//! which is UTC's where other rows show an offset. What the rows are used for is not known here.

use std::io::{BufRead, Read as _};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

use super::series::{ROWS_MAX, SeriesError, heading, wrong};
use crate::table::{LineError, Lines, scaled};

/// A JSON answer: a year of five minutes is a tenth of it.
const JSON_BYTES_MAX: u64 = 128 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Carbon,
    Price,
}

/// What a column holds.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    what: What,
    /// Its key in JSON, where it is not `value`.
    key: &'static str,
    /// Words of the heading by which its column is known.
    names: &'static [&'static str],
    /// Digits behind the point that are kept.
    places: usize,
    /// The least and the most, in the small unit.
    range: [i64; 2],
    /// What a value is that is none.
    none: &'static str,
}

/// Grams of CO₂ for a kilowatt-hour, kept in milligrams.
pub const GRAMS: Quantity = Quantity {
    what: What::Carbon,
    key: "carbonIntensity",
    names: &["carbon", "gram", "gco2", "g/kwh", "co2", "intensity"],
    places: 3,
    range: [0, 100_000_000],
    none: "not grams for a kilowatt-hour",
};
/// A price of a kilowatt-hour, kept in millionths; it may be below zero.
pub const PRICE: Quantity = Quantity {
    what: What::Price,
    key: "price",
    names: &["price", "tariff", "cost", "/kwh", "/mwh"],
    places: 6,
    range: [-1_000_000_000_000, 1_000_000_000_000],
    none: "not a price",
};

/// A row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The line it stands on; 0: it stands in JSON.
    pub line: usize,
    /// Seconds since 1970 on the clock of the file, which is UTC's where it says so.
    pub at: i64,
    /// In the small unit.
    pub value: i64,
}

/// All rows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Samples {
    /// In the order of the file.
    pub rows: Vec<Sample>,
    /// Rows whose value is left empty.
    pub empty: usize,
    /// Whether any time says its offset.
    pub zoned: bool,
}

/// Reads either form.
pub fn read_samples(mut from: impl BufRead, of: Quantity) -> Result<Samples, SeriesError> {
    let failed = |source| LineError::Read { line: 0, source };
    let begins = from.fill_buf().map_err(failed)?;
    let begins = begins.strip_prefix("\u{feff}".as_bytes()).unwrap_or(begins).trim_ascii_start();
    if matches!(begins.first(), Some(b'{' | b'[')) {
        let mut text = String::new();
        let read = from.take(JSON_BYTES_MAX).read_to_string(&mut text);
        read.map_err(failed)?;
        return json(text.trim_start_matches('\u{feff}'), of);
    }
    table(from, of)
}

/// A moment: on which clock its seconds are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    /// UTC's.
    Utc(i64),
    /// That of the file.
    Local(i64),
}

/// A time with its offset, or without one; with a `T` or a space, with seconds or without; also seconds or
/// milliseconds since 1970, days as `31.12.2026`, and of a span of time its beginning. A day with slashes is
/// one thing here and another there, and is not guessed.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let text = text.split_once(" - ").map_or(text, |(from, _)| from.trim());
    if text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        let seconds = if text.len() >= 12 { number / 1_000 } else { number };
        return Timestamp::from_second(seconds).ok().map(|at| Moment::Utc(at.as_second()));
    }
    if let Some(turned) = day_first(text) {
        return moment(&turned);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Moment::Utc(at.as_second()));
    }
    if let Some(civil) = text.strip_suffix(['Z', 'z']) {
        return civil.trim_end().parse().ok().and_then(seconds).map(Moment::Utc);
    }
    text.parse().ok().and_then(seconds).map(Moment::Local)
}

/// `31.12.2026 23:00` as `2026-12-31 23:00`.
fn day_first(text: &str) -> Option<String> {
    let (day, rest) = text.split_once('.')?;
    let (month, rest) = rest.split_once('.')?;
    let year = rest.get(..4)?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = number(day) && number(month) && number(year) && day.len() <= 2 && month.len() <= 2;
    fits.then(|| format!("{year}-{month:0>2}-{day:0>2}{}", &rest[4..]))
}

/// Is that no value at all, as tables of others leave it out?
fn is_none(text: &str) -> bool {
    const NONE: [&str; 7] = ["", "-", "n/a", "na", "nan", "null", "none"];
    NONE.contains(&text.to_lowercase().as_str())
}

fn seconds(civil: DateTime) -> Option<i64> {
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

const TIME: &str = "not a time like 2026-12-01T08:00:00+08:00 or 2026-12-01 08:00:00";

/// Puts rows together, all on one clock.
struct Gather {
    samples: Samples,
}

impl Gather {
    const fn new() -> Self {
        Self { samples: Samples { rows: Vec::new(), empty: 0, zoned: false } }
    }

    fn row(&mut self, line: usize, text: &str, value: Option<i64>) -> Result<(), SeriesError> {
        let found = moment(text).ok_or_else(|| wrong(line, TIME, text))?;
        let (at, zoned) = match found {
            Moment::Utc(at) => (at, true),
            Moment::Local(at) => (at, false),
        };
        self.samples.zoned |= zoned;
        match value {
            Some(value) => self.samples.rows.push(Sample { line, at, value }),
            None => self.samples.empty += 1,
        }
        Ok(())
    }
}

fn table(from: impl BufRead, of: Quantity) -> Result<Samples, SeriesError> {
    let mut lines = Lines::new(from, ROWS_MAX);
    let heading = heading(&mut lines)?;
    let names = heading.names();
    let times = ["time", "date", "from", "start", "utc", "hour"];
    let time = heading.find(|name| times.iter().any(|word| name.contains(word))).unwrap_or(0);
    if moment(&names[time].to_uppercase()).is_some() {
        // A row, and the column of values has no name that could say its unit.
        return Err(SeriesError::Heading { expected: "a column of times and one of values" });
    }
    let of_units = |name: &str| name == "units" || name.split([' ', '_']).next() == Some("unit");
    let units = heading.find(of_units);
    let others = (0..names.len()).filter(|at| *at != time && Some(*at) != units);
    let mut ranked = others.filter_map(|at| Some((at, rank(&names[at], of)?)));
    let better = |best: (usize, u8), one: (usize, u8)| if one.1 > best.1 { one } else { best };
    let best = ranked.next().map(|first| ranked.fold(first, better));
    let Some((column, _)) = best else {
        return Err(SeriesError::Heading { expected: "a column of times and one of values" });
    };
    let plain = if units.is_none() { Some(places_of(1, &names[column], of)?) } else { None };
    let mut gather = Gather::new();
    while let Some((line, text)) = lines.row()? {
        let fields = heading.row(&text);
        let field = |at: usize| fields.get(at).map_or("", String::as_str);
        if fields.len() <= column {
            return Err(wrong(line, "no column of values", &text));
        }
        let value = match field(column) {
            text if is_none(text) => None,
            text => {
                let places = match plain {
                    Some(places) => places,
                    None => match units.map_or("", field) {
                        "" if of.what == What::Price => {
                            return Err(SeriesError::PriceUnit { line, name: String::new() });
                        }
                        said => places_of(line, said, of)?,
                    },
                };
                let value = scaled(&heading.number(text), places).filter(|one| inside(*one, of));
                Some(value.ok_or_else(|| wrong(line, of.none, text))?)
            }
        };
        gather.row(line, field(time), value)?;
    }
    Ok(gather.samples)
}

/// How well a column's name says that it is the one, of several the first; none: it is another quantity.
fn rank(name: &str, of: Quantity) -> Option<u8> {
    const OTHERS: [&str; 10] = [
        "%",
        "percent",
        "estimat",
        "low_carbon",
        "low carbon",
        "zero carbon",
        "zero_carbon",
        "moer",
        "temperature",
        "demand",
    ];
    const POWER: [&str; 4] = ["w", "kw", "mw", "gw"];
    let mut words = name.split(|one: char| !one.is_alphanumeric());
    if OTHERS.iter().any(|other| name.contains(other)) || words.any(|word| POWER.contains(&word)) {
        return None;
    }
    let named = of.names.iter().any(|word| name.contains(word));
    let says_unit = ["kwh", "mwh", "kilowatt", "megawatt"].iter().any(|unit| name.contains(unit));
    // What was measured counts before what was expected.
    let measured = !name.contains("forecast");
    Some(u8::from(named && says_unit) * 4 + u8::from(named) * 2 + u8::from(measured))
}

fn inside(value: i64, of: Quantity) -> bool {
    of.range[0] <= value && value <= of.range[1]
}

/// The digits that are kept, by what says the unit: a price of a megawatt-hour is a thousandth of one of
/// a kilowatt-hour. Grams are not guessed from pounds and tonnes, nor from a name that says nothing.
fn places_of(line: usize, said: &str, of: Quantity) -> Result<usize, SeriesError> {
    let name = || said.chars().take(40).collect();
    let said = said.to_lowercase();
    let words = || said.split(|one: char| !one.is_alphanumeric());
    let per_mwh = said.contains("mwh") || said.contains("megawatt");
    let per_kwh = said.contains("kwh") || said.contains("kilowatt");
    match of.what {
        What::Price => {
            let of_energy = words().any(|word| word.ends_with("wh") || word.ends_with("watthour"));
            let parts = ["ct", "c", "cent", "cents", "p", "pence", "fen", "jiao"];
            let per_other = ["mj", "gj", "kw", "mw", "gw", "therm"];
            let in_parts = words().any(|word| parts.contains(&word)) || said.contains(['分', '角']);
            let of_other =
                of_energy && !(per_mwh || per_kwh) || words().any(|word| per_other.contains(&word));
            if of_other || in_parts {
                return Err(SeriesError::PriceUnit { line, name: name() });
            }
            Ok(if per_mwh { of.places - 3 } else { of.places })
        }
        What::Carbon => {
            let begins = |all: &[&str]| {
                words().any(|word| all.iter().any(|beginning| word.starts_with(beginning)))
            };
            if ["", "value", "values"].contains(&said.as_str()) {
                return Err(SeriesError::NoUnit { line, name: name() });
            }
            let other = begins(&["lb", "pound", "ton", "tco2", "kt", "mgco2", "oz", "ounce"])
                || words()
                    .any(|word| ["t", "mg", "mj", "gj", "wh", "gwh", "co2lb"].contains(&word));
            let kilograms = begins(&["kg", "kilogram"])
                || ["kgper", "kg_per", "千克", "公斤"].iter().any(|word| said.contains(word));
            let per_mwh = per_mwh || said.contains("兆瓦时");
            // Kilograms for a megawatt-hour are grams for a kilowatt-hour; neither goes with the other.
            if other || per_mwh != kilograms {
                return Err(SeriesError::Unit { line, name: name() });
            }
            Ok(of.places)
        }
    }
}

// ---- JSON ----

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Point>),
    Named {
        #[serde(alias = "forecast", alias = "history")]
        data: Vec<Point>,
        #[serde(default, alias = "units")]
        unit: Option<String>,
        #[serde(default)]
        meta: Meta,
    },
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default, alias = "units")]
    unit: Option<String>,
}

#[derive(Deserialize)]
struct Point {
    #[serde(alias = "time", alias = "from", alias = "point_time")]
    datetime: String,
    #[serde(
        default,
        deserialize_with = "there",
        rename = "carbonIntensity",
        alias = "carbon_intensity",
        alias = "grams_per_kwh",
        alias = "intensity"
    )]
    carbon: Option<Reading>,
    #[serde(default, deserialize_with = "there")]
    price: Option<Reading>,
    #[serde(default, deserialize_with = "there")]
    value: Option<Reading>,
    #[serde(default, alias = "units")]
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reading {
    Plain(f64),
    /// What was measured counts before what was expected.
    Of {
        #[serde(default)]
        actual: Option<f64>,
        #[serde(default)]
        forecast: Option<f64>,
    },
    Nothing,
}

/// A key that is there with nothing behind it is no key that is missing.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reading>, D::Error> {
    Reading::deserialize(from).map(Some)
}

fn json(text: &str, of: Quantity) -> Result<Samples, SeriesError> {
    let answer: Answer = serde_json::from_str(text)
        .map_err(|why| SeriesError::Json { key: of.key, why: why.to_string() })?;
    let (points, unit) = match answer {
        Answer::List(points) => (points, None),
        Answer::Named { data, unit, meta } => (data, unit.or(meta.unit)),
    };
    let mut gather = Gather::new();
    for point in points {
        let own = match of.what {
            What::Carbon => point.carbon,
            What::Price => point.price,
        };
        let said = point.unit.as_deref().or(unit.as_deref());
        // What a key of its own means is known; what a value is, its unit says.
        let said = said.unwrap_or(if own.is_some() { of.key } else { "value" });
        let reading = own.or(point.value).ok_or_else(|| {
            let why = format!("there is none at {}", point.datetime);
            SeriesError::Json { key: of.key, why }
        })?;
        let value = match reading {
            Reading::Plain(value) => Some(value),
            Reading::Of { actual, forecast } => actual.or(forecast),
            Reading::Nothing => None,
        };
        let small = |value: f64| {
            let text = format!("{value:.*}", of.places);
            let none = || wrong(0, of.none, &value.to_string());
            let places = places_of(0, said, of)?;
            scaled(&text, places).filter(|value| inside(*value, of)).ok_or_else(none)
        };
        gather.row(0, &point.datetime, value.map(small).transpose()?)?;
    }
    Ok(gather.samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, of: Quantity) -> Result<Vec<i64>, String> {
        let samples = read_samples(text.as_bytes(), of).map_err(|why| why.to_string())?;
        Ok(samples.rows.iter().map(|row| row.value).collect())
    }

    fn check(text: &str, of: Quantity, expect: &[i64]) {
        assert_eq!(values(text, of).as_deref(), Ok(expect), "{text}");
    }

    fn refused(text: &str, of: Quantity, expect: &str) {
        let told = values(text, of).expect_err(text);
        assert!(told.starts_with(expect), "{text}: {told}");
    }

    #[test]
    fn a_table_says_its_unit_in_the_heading_or_by_the_row() {
        let table = |name: &str| format!("time,{name}\n2026-12-01T08:00Z,7.5\n");
        for grams in ["g", "gCO2eq/kWh", "Carbon Intensity", "kgCO2/MWh", "kilograms per MWh"] {
            check(&table(grams), GRAMS, &[7_500]);
        }
        let others = [
            "lb/MWh",
            "lbsCO2_per_mwh",
            "co2_pounds",
            "kgCO2/kWh",
            "g/MWh",
            "tCO2/MWh",
            "gCO2/MJ",
            "mgCO2/kWh",
            "gCO2/Wh",
            "CO2lb/kWh",
            "carbonIntensityKgPerKWh",
            "碳排放因子(千克/千瓦时)",
        ];
        for other in others {
            let expect = format!("line 1: `{}` is not in grams", other.to_lowercase());
            refused(&table(other), GRAMS, &expect);
        }
        refused(&table("value"), GRAMS, "line 1: `value` says no unit");
        check(&table("EUR/MWh"), PRICE, &[7_500]);
        check(&table("value"), PRICE, &[7_500_000]);
        let rows = |unit: &str| format!("time,value,unit\n2026-12-01T08:00Z,7.5,{unit}\n");
        check(&rows("gCO2/kWh"), GRAMS, &[7_500]);
        check(&rows("EUR/MWh"), PRICE, &[7_500]);
        refused(&rows("lbs_co2_per_mwh"), GRAMS, "line 2: `lbs_co2_per_mwh` is not in grams");
        refused(&rows(""), GRAMS, "line 2: `` says no unit");
        for other in ["", "EUR/GWh", "ct/kWh", "EUR/Wh"] {
            let expect = format!("line 2: `{other}` is no unit of a price");
            refused(&rows(other), PRICE, &expect);
        }
    }

    #[test]
    fn times_and_gaps_are_read_as_others_write_them() {
        let at = |text: &str| match moment(text) {
            Some(Moment::Utc(at)) => Ok(at),
            Some(Moment::Local(at)) => Err(Some(at)),
            None => Err(None),
        };
        let eight = 1_796_112_000;
        assert_eq!(at("2026-12-01T08:00Z"), Ok(eight));
        assert_eq!(at("1796112000"), Ok(eight));
        assert_eq!(at("1796112000000"), Ok(eight));
        for local in [
            "2026-12-01 08:00",
            "01.12.2026 08:00",
            "1.12.2026 08:00:00",
            "01.12.2026 08:00 - 01.12.2026 09:00",
            "2026-12-01T08:00 - 2026-12-01T09:00",
        ] {
            assert_eq!(at(local), Err(Some(eight)), "{local}");
        }
        // The first of December, or the twelfth of January.
        for other in ["01/12/2026 08:00", "8.00", "noon", "31.02.2026 08:00"] {
            assert_eq!(at(other), Err(None), "{other}");
        }
        let rows = ["7.5", "N/A", "-", "NaN", "", "8"].map(|value| format!("2026-12-01,{value}\n"));
        check(&format!("time,EUR/MWh\n{}", rows.concat()), PRICE, &[7_500, 8_000]);
        // A first row is no heading.
        for row in ["2026-12-01 08:00,7.5\n", "2026-12-01T08:00Z,7.5\n", "1796112000,7.5\n"] {
            refused(row, PRICE, "line 1: the heading is not");
        }
    }

    #[test]
    fn of_several_columns_the_one_is_taken_that_says_so() {
        let table = |names: &str| format!("time,{names}\n2026-12-01T08:00Z,1,7.5\n");
        check(&table("CFE percentage (%),Carbon intensity gCO2eq/kWh (direct)"), GRAMS, &[7_500]);
        check(&table("LOW_CARBON,CARBON_INTENSITY"), GRAMS, &[7_500]);
        check(&table("Forecast (gCO2/kWh),Actual (gCO2/kWh)"), GRAMS, &[7_500]);
        check(&table("CO2 emissions,Carbon intensity (gCO2/kWh)"), GRAMS, &[7_500]);
        check(&table("Cost zone,Price (EUR/kWh)"), PRICE, &[7_500_000]);
        for other in ["load_mw,wind_mw", "Temperature,MOER"] {
            assert!(values(&table(other), GRAMS).is_err(), "{other}");
        }
        for other in ["c/kWh", "p/kWh", "电价(分/千瓦时)", "EUR/GJ", "EUR per MW"] {
            let text = format!("time,{other}\n2026-12-01T08:00Z,7.5\n");
            assert!(values(&text, PRICE).is_err(), "{other}");
        }
    }

    #[test]
    fn an_answer_says_what_its_values_are() {
        let point = |more: &str| format!(r#"{{"datetime":"2026-12-01T08:00Z",{more}}}"#);
        let list = |more: &str| format!("[{}]", point(more));
        let data = |more: &str, beside: &str| format!(r#"{{"data":[{}]{beside}}}"#, point(more));
        check(&list(r#""carbonIntensity":7.5"#), GRAMS, &[7_500]);
        check(&list(r#""carbonIntensity":7.5,"price":9,"unit":"gCO2eq/kWh""#), GRAMS, &[7_500]);
        check(&list(r#""carbonIntensity":7.5,"price":9"#), PRICE, &[9_000_000]);
        check(&list(r#""value":98.55,"unit":"EUR/MWh""#), PRICE, &[98_550]);
        check(&data(r#""value":98.55"#, r#","unit":"EUR/MWh""#), PRICE, &[98_550]);
        check(&data(r#""value":7.5"#, r#","meta":{"units":"kg_co2_per_mwh"}"#), GRAMS, &[7_500]);
        check(&list(r#""price":null"#), PRICE, &[]);
        let pounds = data(r#""value":870"#, r#","meta":{"units":"lbs_co2_per_mwh"}"#);
        refused(&pounds, GRAMS, "`lbs_co2_per_mwh` is not in grams");
        refused(&list(r#""value":870"#), GRAMS, "`value` says no unit");
        let none = "neither a table nor JSON with `datetime` and `carbonIntensity`";
        refused(&list(r#""price":9"#), GRAMS, none);
        refused(&list(r#""carbonIntensity":9"#), PRICE, &none.replace("carbonIntensity", "price"));
    }

    #[test]
    fn what_stands_in_no_line_is_told_without_one() {
        let point =
            |hour: &str| format!(r#"{{"datetime":"2026-12-01T{hour}Z","carbonIntensity":7}}"#);
        let told = |hours: &[&str]| {
            let points: Vec<String> = hours.iter().map(|hour| point(hour)).collect();
            let text = format!("[{}]", points.join(","));
            super::super::read_carbon(text.as_bytes()).expect_err("it is wrong").to_string()
        };
        let back = told(&["08:00", "09:00", "08:30"]);
        assert!(back.starts_with("2026-12-01 08:30:00 comes after 2026-12-01 09:00"), "{back}");
        let gap = told(&["08:00", "08:30", "09:00", "15:00"]);
        assert!(gap.starts_with("5.5 hours from 2026-12-01 09:30:00 on are missing"), "{gap}");
        assert!(told(&["noon"]).starts_with("not a time like "));
    }
}
