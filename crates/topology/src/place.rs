//! The places: 61 cities and clusters with their coordinates, hub, power mix and, where one was
//! published, the one-way delay to Guizhou.
//!
//! Invariant: the table is data (`data/cities.csv`, each row names its source), read once, and
//! its rows are only ever appended, so that ids keep their order from release to release.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use dayan_units::{Span, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::distance::great_circle_metres;
use crate::names::{self, UnknownPlace};

/// A place of the table. Cheap to copy and compare; written as its slug (`guian`, `shenzhen`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(u16);

/// A published one-way delay between Guizhou and a place. It was quoted without a percentile, so
/// it stands for all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// One way.
    pub one_way: Span,
    /// The day of publication.
    pub as_of: Time,
}

/// A city, new area or data-centre cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its id.
    pub id: PlaceId,
    /// Lower-case ASCII name that ids are written with.
    pub slug: String,
    /// English name.
    pub name: &'static str,
    /// Chinese name.
    pub name_zh: &'static str,
    /// Province, region or municipality in English.
    pub province: &'static str,
    /// Latitude in millionths of a degree north.
    pub lat_micro_degrees: i32,
    /// Longitude in millionths of a degree east.
    pub lon_micro_degrees: i32,
    /// The national computing hub it lies in.
    pub hub: Option<&'static str>,
    /// The national data-centre cluster that it is.
    pub cluster: Option<&'static str>,
    /// The published delay to Guizhou.
    pub published_to_guizhou: Option<Published>,
    /// Average emission of the provincial grid in 2022, in milligrams of CO₂ per kWh.
    pub grid_mg_per_kwh: Option<u32>,
    /// Bandwidth to Guizhou in bit/s. The split over cities is synthetic; only its sum is real.
    pub demo_bandwidth_bps: Option<u64>,
    /// Where the row comes from.
    pub source: &'static str,
}

impl Place {
    /// Does it lie in Guizhou, to which the published delays refer?
    pub fn in_guizhou(&self) -> bool {
        self.province == "Guizhou"
    }
}

static PLACES: LazyLock<Vec<Place>> =
    LazyLock::new(|| parse_table(include_str!("../data/cities.csv")));

/// Great-circle metres between all pairs, row by row: the planner asks for delays by the million.
static METRES: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let at = |place: &Place| (place.lat_micro_degrees, place.lon_micro_degrees);
    PLACES
        .iter()
        .flat_map(|a| PLACES.iter().map(move |b| great_circle_metres(at(a), at(b))))
        .collect()
});

/// All places, in the order of their ids.
pub fn places() -> &'static [Place] {
    &PLACES
}

impl PlaceId {
    /// The place with that name: English, Chinese or alias, with or without `city:` before it;
    /// case, spaces and apostrophes do not matter.
    pub fn find(text: &str) -> Result<Self, UnknownPlace> {
        names::find(text)
    }
    /// What is known of it.
    pub fn place(self) -> &'static Place {
        &PLACES[self.index()]
    }
    /// Its position in [`places`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
    /// Great-circle distance in metres between the centres.
    pub fn metres_to(self, other: Self) -> u64 {
        METRES[self.index() * PLACES.len() + other.index()]
    }
}

impl fmt::Display for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.place().slug)
    }
}
impl fmt::Debug for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PlaceId {
    type Err = UnknownPlace;
    fn from_str(text: &str) -> Result<Self, UnknownPlace> {
        Self::find(text)
    }
}
impl Serialize for PlaceId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.place().slug)
    }
}
impl<'de> Deserialize<'de> for PlaceId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = PlaceId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a place")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<PlaceId, E> {
                PlaceId::find(text).map_err(E::custom)
            }
        }
        d.deserialize_str(Visitor)
    }
}

fn parse_table(text: &'static str) -> Vec<Place> {
    text.lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(row, line)| {
            parse_row(row, line).unwrap_or_else(|| panic!("row {row} of the places: {line}"))
        })
        .collect()
}

/// The fields of one line; a field in double quotes may hold commas (the table has no quotes
/// inside of quotes).
fn fields(line: &'static str) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                (field, after.strip_prefix(','))
            }
            None => match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            },
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return fields,
        }
    }
}

fn parse_row(row: usize, line: &'static str) -> Option<Place> {
    let fields = fields(line);
    let [
        name,
        name_zh,
        province,
        lat,
        lon,
        hub,
        cluster,
        _role,
        _km,
        _optical,
        _ip,
        published_ms,
        _basis,
        _tier,
        _tier_basis,
        grid,
        gbps,
        source,
    ] = fields.as_slice()
    else {
        return None;
    };
    let given = |text: &'static str| (!text.is_empty()).then_some(text);
    let published_to_guizhou = match given(published_ms) {
        None => None,
        Some(ms) => Some(Published {
            one_way: Span::from_micros(decimal(ms, 3)?),
            as_of: publication_day(source)?,
        }),
    };
    let grid_mg_per_kwh = match given(grid) {
        None => None,
        Some(kg) => Some(u32::try_from(decimal(kg, 6)?).ok()?),
    };
    let gbps: u64 = gbps.parse().ok()?;
    Some(Place {
        id: PlaceId(u16::try_from(row).ok()?),
        slug: names::slug(name),
        name,
        name_zh,
        province,
        lat_micro_degrees: i32::try_from(decimal(lat, 6)?).ok()?,
        lon_micro_degrees: i32::try_from(decimal(lon, 6)?).ok()?,
        hub: given(hub),
        cluster: given(cluster),
        published_to_guizhou,
        grid_mg_per_kwh,
        demo_bandwidth_bps: (gbps > 0).then_some(gbps * 1_000_000_000),
        source,
    })
}

/// A non-negative decimal times ten to the `places`; nothing if it is finer than that.
fn decimal(text: &str, places: usize) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || fraction.len() > places || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok().filter(|value| *value >= 0)
}

/// The newest date in the source note. One source is dated only "c. Sep-Oct 2024": the first day
/// of that is taken.
fn publication_day(source: &str) -> Option<Time> {
    let is_date = |text: &&str| {
        text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    let vague = source.contains("Sep-Oct 2024").then_some("2024-09-01");
    let exact = (0..source.len()).filter_map(|at| source.get(at..at + 10)).filter(is_date);
    let day = exact.chain(vague).max()?;
    format!("{day}T00:00:00Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sane() {
        assert_eq!(places().len(), 61);
        for (row, place) in places().iter().enumerate() {
            let name = place.name;
            assert_eq!(place.id.index(), row);
            assert!(!place.slug.is_empty() && place.slug.bytes().all(|b| b.is_ascii_lowercase()));
            assert!(!name.is_empty() && name.is_ascii(), "{name}");
            assert!(!place.name_zh.is_empty() && !place.name_zh.is_ascii(), "{name}");
            // China's mainland and islands.
            assert!((18_000_000..54_000_000).contains(&place.lat_micro_degrees), "{name}");
            assert!((73_000_000..135_100_000).contains(&place.lon_micro_degrees), "{name}");
            // Between the cleanest province (Yunnan) and the dirtiest (Hebei).
            assert!(
                place.grid_mg_per_kwh.is_none_or(|g| (100_000..800_000).contains(&g)),
                "{name}"
            );
            if let Some(published) = place.published_to_guizhou {
                assert!((3_000..=20_000).contains(&published.one_way.micros()), "{name}");
                let year = published.as_of.to_string();
                assert!(year.starts_with("2023") || year.starts_with("2024"), "{name} {year}");
            }
            assert!(!place.source.is_empty());
            assert_eq!(PlaceId::find(name).expect(name), place.id);
            assert_eq!(PlaceId::find(place.name_zh).expect(name), place.id);
            assert_eq!(PlaceId::find(&place.slug).expect(name), place.id);
        }
        let count = |test: fn(&Place) -> bool| places().iter().filter(|p| test(p)).count();
        assert_eq!(count(|p| p.published_to_guizhou.is_some()), 38);
        assert_eq!(count(|p| p.cluster.is_some()), 10);
        assert_eq!(count(|p| p.demo_bandwidth_bps.is_some()), 40);
        assert_eq!(
            places().iter().filter_map(|p| p.demo_bandwidth_bps).sum::<u64>(),
            49_500_000_000_000
        );
    }

    /// The table carries the distance to Gui'an that its author computed: an independent check of
    /// coordinates and formula in every row.
    #[test]
    fn distances_agree_with_the_table() {
        let guian = PlaceId::find("Gui'an").expect("listed");
        for (place, line) in places().iter().zip(include_str!("../data/cities.csv").lines().skip(1))
        {
            let km: u64 = fields(line)[8].parse().expect("a number");
            let metres = place.id.metres_to(guian);
            assert!(metres.abs_diff(km * 1_000) <= 2_500, "{}: {metres} m, {km} km", place.name);
        }
    }

    #[test]
    fn ids_are_written_as_slugs() {
        let shenzhen = PlaceId::find("深圳").expect("listed");
        assert_eq!(shenzhen.to_string(), "shenzhen");
        assert_eq!(serde_json::to_string(&shenzhen).expect("text"), "\"shenzhen\"");
        assert_eq!(serde_json::from_str::<PlaceId>("\"shenzhen\"").expect("id"), shenzhen);
        assert!(serde_json::from_str::<PlaceId>("\"atlantis\"").is_err());
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal("26.4", 6), Some(26_400_000));
        assert_eq!(decimal("0.4989", 6), Some(498_900));
        assert_eq!(decimal("3", 3), Some(3_000));
        for bad in ["", "1.2.3", "-1", "1.0000001", "x"] {
            assert_eq!(decimal(bad, 6), None, "{bad}");
        }
    }
}
