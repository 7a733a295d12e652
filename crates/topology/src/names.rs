//! Finding places and regions by what people call them.
//!
//! Invariant: two places never share a name; an unknown name is answered with the nearest known
//! ones, never with a guess.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use crate::place::{PlaceId, places};

/// No place goes by that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no place is called `{text}`{}", did_you_mean(.suggestions))]
pub struct UnknownPlace {
    /// What was asked for.
    pub text: String,
    /// Names that are spelt nearly so, the nearest first.
    pub suggestions: Vec<&'static str>,
}
impl UnknownPlace {
    /// Stable code of this refusal.
    pub const CODE: &'static str = "topology.unknown_place";
}

/// No province, hub or cluster goes by that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no province, hub or cluster is called `{text}`{}", did_you_mean(.suggestions))]
pub struct UnknownRegion {
    /// What was asked for.
    pub text: String,
    /// Names that are spelt nearly so, the nearest first.
    pub suggestions: Vec<&'static str>,
}
impl UnknownRegion {
    /// Stable code of this refusal.
    pub const CODE: &'static str = "topology.unknown_region";
}

fn did_you_mean(suggestions: &[&str]) -> String {
    match suggestions {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

/// A province, a national hub or a cluster, as `placement.regions` names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(&'static str);

impl Region {
    /// The region with that name, English or (provinces) Chinese.
    pub fn find(text: &str) -> Result<Self, UnknownRegion> {
        let wanted = normalise(text.trim().strip_prefix("region:").unwrap_or(text));
        REGIONS.get(&wanted).copied().map(Self).ok_or_else(|| UnknownRegion {
            text: clip(text),
            suggestions: nearest(&wanted, REGIONS.iter().map(|(key, name)| (key.as_str(), *name))),
        })
    }
    /// Its English name.
    pub const fn name(self) -> &'static str {
        self.0
    }
    /// Does the place lie in it?
    pub fn contains(self, place: PlaceId) -> bool {
        let place = place.place();
        place.province == self.0 || place.hub == Some(self.0) || place.cluster == Some(self.0)
    }
}
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}
impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Other spellings in use, and the prefectures by which the seats of autonomous prefectures are
/// commonly known. To the slug of the place.
const ALIASES: &[(&str, &str)] = &[
    ("Gui'an", "guian"),
    ("贵安", "guian"),
    ("黔东南", "kaili"),
    ("Qiandongnan", "kaili"),
    ("黔南", "duyun"),
    ("Qiannan", "duyun"),
    ("黔西南", "xingyi"),
    ("Qianxinan", "xingyi"),
    ("Canton", "guangzhou"),
    ("Hongkong", "hongkong"),
    ("Macau", "macao"),
    ("Peking", "beijing"),
    ("青浦", "qingpu"),
    ("长三角示范区", "qingpu"),
    ("Huhehaote", "hohhot"),
    ("Wulanchabu", "ulanqab"),
    ("Haerbin", "harbin"),
    ("Wulumuqi", "urumqi"),
    ("Lasa", "lhasa"),
];

/// Chinese names of the provinces, regions and municipalities in the table.
const PROVINCES_ZH: &[(&str, &str)] = &[
    ("贵州", "Guizhou"),
    ("四川", "Sichuan"),
    ("重庆", "Chongqing"),
    ("云南", "Yunnan"),
    ("广西", "Guangxi"),
    ("湖南", "Hunan"),
    ("广东", "Guangdong"),
    ("香港", "Hong Kong"),
    ("澳门", "Macao"),
    ("浙江", "Zhejiang"),
    ("上海", "Shanghai"),
    ("江苏", "Jiangsu"),
    ("安徽", "Anhui"),
    ("北京", "Beijing"),
    ("天津", "Tianjin"),
    ("河北", "Hebei"),
    ("内蒙古", "Inner Mongolia"),
    ("甘肃", "Gansu"),
    ("宁夏", "Ningxia"),
    ("青海", "Qinghai"),
    ("陕西", "Shaanxi"),
    ("山西", "Shanxi"),
    ("河南", "Henan"),
    ("湖北", "Hubei"),
    ("江西", "Jiangxi"),
    ("福建", "Fujian"),
    ("山东", "Shandong"),
    ("辽宁", "Liaoning"),
    ("吉林", "Jilin"),
    ("黑龙江", "Heilongjiang"),
    ("海南", "Hainan"),
    ("新疆", "Xinjiang"),
    ("西藏", "Tibet"),
];

static NAMES: LazyLock<BTreeMap<String, PlaceId>> = LazyLock::new(|| {
    let mut names = BTreeMap::new();
    for place in places() {
        for name in [place.name, place.name_zh] {
            names.insert(normalise(name), place.id);
            // `Chengdu (Tianfu)` goes by either part.
            for part in name.split(['(', ')']) {
                let part = normalise(part);
                // `YRD demo zone` says what Qingpu is; nobody looks it up by that alone.
                if !part.is_empty() && part != "yrddemozone" {
                    names.insert(part, place.id);
                }
            }
        }
        names.insert(place.slug.clone(), place.id);
    }
    for (alias, slug) in ALIASES {
        let id = names[*slug];
        names.insert(normalise(alias), id);
    }
    names
});

static REGIONS: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
    let mut regions = BTreeMap::new();
    // Where a cluster and a province share a name the province is meant: it is inserted last.
    for place in places() {
        regions.extend(place.cluster.map(|name| (normalise(name), name)));
    }
    for place in places() {
        regions.extend(place.hub.map(|name| (normalise(name), name)));
    }
    for place in places() {
        regions.insert(normalise(place.province), place.province);
    }
    regions.extend(PROVINCES_ZH.iter().map(|(zh, name)| (normalise(zh), *name)));
    regions
});

/// Letters and digits in lower case; spaces, hyphens and apostrophes of every kind fall away.
fn normalise(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How ids are written: the English name before any bracket, without "New Area".
pub(crate) fn slug(name: &str) -> String {
    let head = name.split('(').next().unwrap_or(name).trim();
    normalise(head.strip_suffix("New Area").unwrap_or(head))
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

/// At most three known names within a third of the length in single-letter edits.
fn nearest<'a>(
    wanted: &str,
    known: impl Iterator<Item = (&'a str, &'static str)>,
) -> Vec<&'static str> {
    // Longer texts are no misspelling of a name, and the distance costs their product.
    let length = wanted.chars().count();
    if length > 40 {
        return Vec::new();
    }
    let edits_max = (length / 3).max(1);
    let mut near: Vec<_> = known
        .map(|(key, name)| (strsim::osa_distance(wanted, key), name))
        .filter(|(edits, _)| *edits <= edits_max)
        .collect();
    near.sort_unstable();
    let mut names: Vec<&'static str> = Vec::new();
    for (_, name) in near {
        if !names.contains(&name) && names.len() < 3 {
            names.push(name);
        }
    }
    names
}

pub(crate) fn find(text: &str) -> Result<PlaceId, UnknownPlace> {
    let trimmed = text.trim();
    let wanted = normalise(trimmed.strip_prefix("city:").unwrap_or(trimmed));
    let without_suffix = wanted.strip_suffix('市').or_else(|| wanted.strip_suffix("city"));
    NAMES.get(&wanted).or_else(|| NAMES.get(without_suffix?)).copied().ok_or_else(|| UnknownPlace {
        text: clip(text),
        suggestions: nearest(
            &wanted,
            NAMES.iter().map(|(key, id)| (key.as_str(), id.place().name)),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_go_by_many_names() {
        let check = |text: &str, slug: &str| {
            assert_eq!(find(text).expect(text).place().slug, slug, "{text}");
        };
        check("city:Guiyang", "guiyang");
        check("Gui'an", "guian");
        check("Gui\u{2019}an", "guian");
        check("guian", "guian");
        check("GUI AN", "guian");
        check("Gui'an New Area", "guian");
        check("贵安新区", "guian");
        check("贵安", "guian");
        check("贵阳市", "guiyang");
        check("city: Shenzhen", "shenzhen");
        check("Shenzhen City", "shenzhen");
        check("Chengdu", "chengdu");
        check("tianfu", "chengdu");
        check("天府", "chengdu");
        check("Hohhot", "hohhot");
        check("和林格尔", "hohhot");
        check("Xi'an", "xian");
        check("Hong Kong", "hongkong");
        check("青浦", "qingpu");
    }

    #[test]
    fn unknown_places_get_suggestions() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(find(text).expect_err(text).suggestions, expect, "{text}");
        };
        check("Guiyan", &["Gui'an New Area", "Guiyang"]);
        check("city:Shenzen", &["Shenzhen"]);
        check("Atlantis", &[]);
        check("", &[]);
        check(&"x".repeat(1_000_000), &[]);
        let message = find("Hangzou").expect_err("misspelt").to_string();
        assert!(message.contains("`Hangzou`; did you mean Hangzhou"), "{message}");
    }

    #[test]
    fn no_two_places_share_a_name() {
        let mut owner: BTreeMap<String, PlaceId> = BTreeMap::new();
        for place in places() {
            let parts = [place.name, place.name_zh].into_iter().flat_map(|n| n.split(['(', ')']));
            for part in parts.map(normalise).chain([place.slug.clone()]) {
                if !part.is_empty() {
                    let first = *owner.entry(part.clone()).or_insert(place.id);
                    assert_eq!(first, place.id, "{part}");
                }
            }
        }
        for (alias, slug) in ALIASES {
            let key = normalise(alias);
            assert!(owner.get(&key).is_none_or(|id| id.place().slug == *slug), "{alias}");
        }
    }

    #[test]
    fn regions_are_provinces_hubs_and_clusters() {
        let check = |region: &str, place: &str, expect| {
            let region = Region::find(region).expect(region);
            assert_eq!(region.contains(find(place).expect(place)), expect, "{region} {place}");
        };
        check("Guizhou", "Zunyi", true);
        check("贵州", "Zunyi", true);
        check("guizhou", "Chengdu", false);
        check("Chengdu-Chongqing", "Chongqing", true);
        check("Sichuan", "Chengdu", true);
        check("Yangtze River Delta", "Ningbo", true);
        check("Horinger", "Hohhot", true);
        let error = Region::find("Guizou").expect_err("misspelt");
        assert_eq!(error.suggestions, ["Guizhou"]);
        for place in places() {
            assert!(PROVINCES_ZH.iter().any(|(_, name)| *name == place.province), "{place:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            if let Ok(id) = find(&text) {
                prop_assert_eq!(find(&id.place().slug), Ok(id));
            }
            let _ = Region::find(&text);
        }
    }
}
