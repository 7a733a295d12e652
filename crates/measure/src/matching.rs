//! Does a card satisfy what a job asks for?
//!
//! An ask is a family (`A100`), a model (`A100-SXM4-80GB`), or a group: `any`, `any-domestic`,
//! `any-nvidia` and so on for each maker. A card the catalogue does not know satisfies its own
//! name and the groups its name shows it belongs to.

use std::sync::LazyLock;

use crate::accelerator::{Model, Vendor, find_family, find_model, models, normalise, plain};

/// An ask that names no model, family or group of the catalogue. A pool may have such a card all
/// the same; the job then waits for it, which is worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no accelerator is called `{text}`{}", hint(.suggestions))]
pub struct UnknownAsk {
    /// What was asked for.
    pub text: String,
    /// Names spelt nearly so, the nearest first.
    pub suggestions: Vec<String>,
}

impl UnknownAsk {
    /// Stable code of this warning.
    pub const CODE: &'static str = "measure.unknown_accelerator";
}

fn hint(suggestions: &[String]) -> String {
    match suggestions {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

/// Which cards a group holds.
enum Group {
    Any,
    Domestic,
    Of(Vendor),
}

fn group(ask: &str) -> Option<Group> {
    let ask = plain(ask);
    match ask.strip_prefix("any")? {
        "" => Some(Group::Any),
        "domestic" => Some(Group::Domestic),
        name => Vendor::ALL.into_iter().find(|v| plain(v.name()) == name).map(Group::Of),
    }
}

/// The maker, from the catalogue by model or family or, for an unknown one, from the maker's name
/// before it.
pub fn vendor(model: &str) -> Option<Vendor> {
    find_model(model).or_else(|| find_family(model)).map(|known| known.vendor).or_else(|| {
        let text = plain(model);
        Vendor::ALL.into_iter().find(|vendor| text.starts_with(&plain(vendor.name())))
    })
}

/// Does a card of that model satisfy the ask?
pub fn matches(ask: &str, model: &str) -> bool {
    match group(ask) {
        Some(Group::Any) => !plain(model).is_empty(),
        Some(Group::Domestic) => vendor(model).is_some_and(Vendor::is_domestic),
        Some(Group::Of(maker)) => vendor(model) == Some(maker),
        None => {
            let wanted = normalise(ask);
            if wanted.is_empty() {
                return false;
            }
            let known = find_model(model);
            // The ask may be another alias of the same model, or of the one that carries the name
            // of its family (`910B` asks for any of them).
            let same = match (find_model(ask), known) {
                (Some(asked), Some(known)) => {
                    asked.name == known.name || asked.name == known.family
                }
                (None | Some(_), None) | (None, Some(_)) => wanted == normalise(model),
            };
            same || known.is_some_and(|known| normalise(known.family) == wanted)
        }
    }
}

/// The names of all models of the catalogue that satisfy the ask, in its order, and then those of
/// families: of a card of which only that is known. The same as asking [`matches`] of each, without
/// reading the names anew each time.
pub fn matching(ask: &str) -> Vec<&'static str> {
    if group(ask).is_some() {
        let all = models().iter().map(|model| model.name).chain(only_families().map(|f| f.0));
        return all.filter(|name| matches(ask, name)).collect();
    }
    let wanted = normalise(ask);
    if wanted.is_empty() {
        return Vec::new();
    }
    let asked = find_model(ask).map(|asked| asked.name);
    let satisfies = |(model, family): &(&'static Model, String)| {
        asked.is_some_and(|asked| asked == model.name || asked == model.family) || *family == wanted
    };
    let named = FAMILIES.iter().filter(|known| satisfies(known)).map(|(model, _)| model.name);
    let family = only_families().filter(|(_, family)| *family == wanted).map(|(name, _)| name);
    named.chain(family).collect()
}

/// Each model with the name of its family as names are compared.
static FAMILIES: LazyLock<Vec<(&'static Model, String)>> =
    LazyLock::new(|| models().iter().map(|model| (model, normalise(model.family))).collect());

/// Names of families that are no model's, as they are written and as they are compared.
static ONLY_FAMILIES: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let mut all: Vec<(&'static str, String)> = Vec::new();
    for (model, family) in FAMILIES.iter() {
        if find_model(model.family).is_none() && all.iter().all(|(_, known)| known != family) {
            all.push((model.family, family.clone()));
        }
    }
    all
});

fn only_families() -> impl Iterator<Item = (&'static str, &'static str)> {
    ONLY_FAMILIES.iter().map(|(name, compared)| (*name, compared.as_str()))
}

/// Does the ask name anything the catalogue knows?
pub fn check_ask(ask: &str) -> Result<(), UnknownAsk> {
    if group(ask).is_some() || models().iter().any(|model| matches(ask, model.name)) {
        return Ok(());
    }
    let wanted = normalise(ask);
    let groups = ["any".to_owned(), "any-domestic".to_owned()]
        .into_iter()
        .chain(Vendor::ALL.iter().map(|vendor| format!("any-{vendor}")));
    let names =
        models().iter().flat_map(|m| [m.family.to_owned(), m.name.to_owned()]).chain(groups);
    let edits_max = (wanted.len() / 4).max(1);
    let mut near: Vec<(usize, String)> = names
        .map(|name| (strsim::osa_distance(&wanted, &normalise(&name)), name))
        .filter(|(edits, _)| *edits <= edits_max)
        .collect();
    near.sort_unstable();
    near.dedup();
    let suggestions = near.into_iter().map(|(_, name)| name).take(3).collect();
    Err(UnknownAsk { text: ask.chars().take(40).collect(), suggestions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn asks_and_cards() {
        let check = |ask: &str, model: &str, expect| {
            assert_eq!(matches(ask, model), expect, "{ask} / {model}");
        };
        check("A100", "NVIDIA A100-SXM4-80GB", true);
        check("A100", "A100-SXM4-40GB", true);
        check("A100-80GB", "NVIDIA A100-SXM4-80GB", true);
        check("A100-80GB", "NVIDIA A100-SXM4-40GB", false);
        check("nvidia a100", "a100_sxm4_80gb", true);
        check("A10", "NVIDIA A100-SXM4-80GB", false);
        check("H100", "NVIDIA H100 80GB HBM3", true);
        check("Ascend910B", "910B4", true);
        check("Ascend910B4", "910B", false);
        check("910b", "Ascend 910B3", true);
        check("any", "Whatever 9000", true);
        check("any", "", false);
        check("any-nvidia", "Tesla T4", true);
        check("any-nvidia", "NVIDIA Something New", true);
        check("any-nvidia", "910B4", false);
        check("any-ascend", "910B4", true);
        check("ANY_ASCEND", "310P3", true);
        check("any-domestic", "MLU590", true);
        check("any-domestic", "Ascend 999", true);
        check("any-domestic", "AMD Instinct MI210", false);
        check("any-moore-threads", "MTT S4000", true);
        check("any-thing", "Tesla T4", false);
        // Unknown to the catalogue, and still the same card.
        check("GTX 480", "NVIDIA GeForce GTX 480", true);
        check("GTX 480", "GTX 470", false);
        check("", "Tesla T4", false);
        // As nodes of a Kubernetes cluster are labelled, and as resources are called there.
        check("H100", "NVIDIA-H100-80GB-HBM3", true);
        check("A100-80GB", "NVIDIA-A100-SXM4-80GB", true);
        check("A100", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", false);
        check("T4", "Tesla-T4-SHARED", false);
        check("Ascend910B", "910B3", true);
        check("any-ascend", "Ascend910", true);
        // Of which no more than the family is known.
        check("A100", "a100", true);
        check("any-nvidia", "a100", true);
        check("any-domestic", "a100", false);
        check("A100-80GB", "A100", false);
        check("V100", "a100", false);
        // A slice of a card is not the card.
        check("A100", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", false);
    }

    #[test]
    fn misspelt_asks_get_suggestions() {
        for good in ["H100", "L20", "Ascend310P", "any", "any-kunlun", "a100-40gb"] {
            assert_eq!(check_ask(good), Ok(()), "{good}");
        }
        let check = |ask: &str, expect: &str| {
            let error = check_ask(ask).expect_err(ask);
            assert!(error.suggestions.iter().any(|s| s == expect), "{ask}: {error}");
        };
        check("H10", "H100");
        check("any-nvida", "any-nvidia");
        check("Ascend910D", "Ascend910B");
        assert!(check_ask("zzzzzz").expect_err("none").suggestions.is_empty());
    }

    proptest! {
        #[test]
        fn every_model_satisfies_itself_its_family_and_its_groups(at in 0..models().len()) {
            let model = &models()[at];
            let own = format!("any-{}", model.vendor);
            for ask in [model.name, model.family, "any", own.as_str()] {
                prop_assert!(matches(ask, model.name), "{ask} {}", model.name);
            }
            prop_assert_eq!(matches("any-domestic", model.name), model.vendor.is_domestic());
        }

        #[test]
        fn all_that_match_are_those_that_do_one_by_one(at in 0..models().len(), text in "\\PC{0,20}") {
            let model = &models()[at];
            let group = format!("any-{}", model.vendor);
            for ask in [model.name, model.family, "any-domestic", "", &group, &text] {
                let each = models().iter().map(|model| model.name);
                let each = each.chain(only_families().map(|(name, _)| name));
                let each: Vec<&str> = each.filter(|name| matches(ask, name)).collect();
                prop_assert_eq!(matching(ask), each, "{}", ask);
            }
        }

        #[test]
        fn any_text_is_answered(ask in "\\PC{0,100}", model in "\\PC{0,100}") {
            let _ = matches(&ask, &model);
            let _ = check_ask(&ask);
        }
    }
}
