//! The catalogue of accelerators: nominal rates per precision, memory, power, and the names a
//! card goes by in tools, schedulers and job files.
//!
//! Invariant: nothing here was measured, and nothing is guessed: a rate nobody published is
//! missing. Each row names its source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use dayan_units::{Bytes, FlopRate};

use crate::precision::Precision;
use crate::table;

/// Who makes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Huawei Ascend.
    Ascend,
    /// Cambricon.
    Cambricon,
    /// Hygon (DCU).
    Hygon,
    /// Moore Threads.
    MooreThreads,
    /// Biren.
    Biren,
    /// Enflame.
    Enflame,
    /// Iluvatar CoreX.
    Iluvatar,
    /// Kunlunxin.
    Kunlun,
    /// MetaX.
    Metax,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Nvidia,
        Self::Amd,
        Self::Ascend,
        Self::Cambricon,
        Self::Hygon,
        Self::MooreThreads,
        Self::Biren,
        Self::Enflame,
        Self::Iluvatar,
        Self::Kunlun,
        Self::Metax,
    ];

    /// As in `any-nvidia`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Ascend => "ascend",
            Self::Cambricon => "cambricon",
            Self::Hygon => "hygon",
            Self::MooreThreads => "moore-threads",
            Self::Biren => "biren",
            Self::Enflame => "enflame",
            Self::Iluvatar => "iluvatar",
            Self::Kunlun => "kunlun",
            Self::Metax => "metax",
        }
    }

    /// Designed in China, as `domestic: true` asks for.
    pub const fn is_domestic(self) -> bool {
        match self {
            Self::Nvidia | Self::Amd => false,
            Self::Ascend
            | Self::Cambricon
            | Self::Hygon
            | Self::MooreThreads
            | Self::Biren
            | Self::Enflame
            | Self::Iluvatar
            | Self::Kunlun
            | Self::Metax => true,
        }
    }
}
impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A model of accelerator as its maker describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// The name used in offers and bills.
    pub name: &'static str,
    /// What a job file asks for when form factor and memory do not matter.
    pub family: &'static str,
    /// Who makes it.
    pub vendor: Vendor,
    /// Memory of a card; decimal gigabytes, which nominal capacities round to.
    pub memory: Option<Bytes>,
    /// Memory bandwidth in byte/s.
    pub memory_bytes_per_second: Option<u64>,
    /// Thermal design power in watts.
    pub tdp_watts: Option<u32>,
    /// Nominal dense rate per precision.
    pub rates: BTreeMap<Precision, FlopRate>,
    /// Where the figures come from.
    pub source: &'static str,
}

impl Model {
    /// The nominal dense rate of a card at that precision, where it is public.
    pub fn nominal(&self, precision: Precision) -> Option<FlopRate> {
        self.rates.get(&precision).copied()
    }
}

struct Catalogue {
    models: Vec<Model>,
    by_name: BTreeMap<String, usize>,
    /// The first model of each family.
    by_family: BTreeMap<String, usize>,
}

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| parse(include_str!("../data/accelerators.csv")));

/// All models, in the order of the table.
pub fn models() -> &'static [Model] {
    &CATALOGUE.models
}

/// The model that goes by this name: ours, an alias, or what a tool prints. Case, spaces, hyphens
/// and the maker's name before it do not matter. A family with a single model is found by the
/// family's name; of one with several, the name alone does not say which is meant.
pub fn find_model(text: &str) -> Option<&'static Model> {
    CATALOGUE.by_name.get(&normalise(text)).map(|at| &CATALOGUE.models[*at])
}

/// The family that goes by this name, by one of its models: schedulers often say no more of a card
/// than `a100`.
pub(crate) fn find_family(text: &str) -> Option<&'static Model> {
    CATALOGUE.by_family.get(&normalise(text)).map(|at| &CATALOGUE.models[*at])
}

/// Our name for the model, else for the family, or the text as it is where the catalogue does not
/// know it.
pub fn canonical(text: &str) -> &str {
    find_model(text)
        .map(|model| model.name)
        .or_else(|| find_family(text).map(|model| model.family))
        .unwrap_or(text)
}

/// Words that tools put before the model.
const MAKERS: &[&str] = &[
    "nvidia",
    "tesla",
    "geforce",
    "quadro",
    "graphics",
    "huawei",
    "amd",
    "instinct",
    "cambricon",
    "hygon",
    "moorethreads",
    "biren",
    "enflame",
    "iluvatar",
    "kunlunxin",
    "metax",
];

/// Lower-case letters and digits without the maker's name.
pub(crate) fn normalise(text: &str) -> String {
    let plain = plain(text);
    let mut rest = plain.as_str();
    while let Some(shorter) =
        MAKERS.iter().find_map(|maker| rest.strip_prefix(maker)).filter(|rest| !rest.is_empty())
    {
        rest = shorter;
    }
    rest.to_owned()
}

/// Lower-case letters and digits. Longer texts than any tool prints are cut: they match nothing.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .take(80)
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn parse(text: &'static str) -> Catalogue {
    let mut catalogue =
        Catalogue { models: Vec::new(), by_name: BTreeMap::new(), by_family: BTreeMap::new() };
    for (at, row) in table::rows(text).enumerate() {
        let (model, aliases) =
            parse_row(&row).unwrap_or_else(|| panic!("row of the accelerators: {row:?}"));
        for name in std::iter::once(model.name).chain(aliases) {
            let taken = catalogue.by_name.insert(normalise(name), at);
            assert!(taken.is_none_or(|by| by == at), "two accelerators are called {name}");
        }
        catalogue.by_family.entry(normalise(model.family)).or_insert(at);
        catalogue.models.push(model);
    }
    catalogue
}

fn parse_row(row: &[&'static str]) -> Option<(Model, impl Iterator<Item = &'static str> + use<>)> {
    let [
        name,
        family,
        vendor,
        memory,
        bandwidth,
        tdp,
        fp64,
        fp32,
        tf32,
        fp16,
        bf16,
        fp8,
        int8,
        aliases,
        source,
    ] = *row
    else {
        return None;
    };
    // An empty field is a missing value; a malformed one is a fault in the table.
    let scaled = |field: &'static str, thousandth: u64| match table::given(field) {
        None => Some(None),
        Some(field) => Some(Some(table::thousandths(field)?.checked_mul(thousandth)?)),
    };
    const TERA_THOUSANDTH: u64 = 1_000_000_000;
    const GIGA_THOUSANDTH: u64 = 1_000_000;
    let mut rates = BTreeMap::new();
    let fields = [fp64, fp32, tf32, fp16, bf16, fp8, int8];
    for (precision, field) in Precision::ALL.into_iter().zip(fields) {
        if let Some(rate) = scaled(field, TERA_THOUSANDTH)? {
            rates.insert(precision, FlopRate(rate));
        }
    }
    let model = Model {
        name,
        family,
        vendor: Vendor::ALL.into_iter().find(|v| v.name() == vendor)?,
        memory: scaled(memory, GIGA_THOUSANDTH)?.map(Bytes),
        memory_bytes_per_second: scaled(bandwidth, GIGA_THOUSANDTH)?,
        tdp_watts: match table::given(tdp) {
            None => None,
            Some(watts) => Some(watts.parse().ok()?),
        },
        rates,
        source,
    };
    Some((model, aliases.split('|').filter(|alias| !alias.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sane() {
        assert!(models().len() >= 55);
        for model in models() {
            let name = model.name;
            assert!(!model.source.is_empty(), "{name}");
            assert!(
                model.memory.is_none_or(|m| (16..=192).contains(&(m.0 / 1_000_000_000))),
                "{name}"
            );
            assert!(model.tdp_watts.is_none_or(|w| (70..=1_000).contains(&w)), "{name}");
            // Narrower formats are never slower, TF32 aside (some cards run it at the FP32 rate).
            let order = [Precision::Fp64, Precision::Fp32, Precision::Fp16, Precision::Int8];
            let rates: Vec<_> = order.iter().filter_map(|p| model.nominal(*p)).collect();
            assert!(rates.is_sorted(), "{name}: {rates:?}");
            for rate in model.rates.values() {
                assert!((500_000_000_000..5_000_000_000_000_000).contains(&rate.0), "{name}");
            }
            if let (Some(fp16), Some(bf16)) =
                (model.nominal(Precision::Fp16), model.nominal(Precision::Bf16))
            {
                assert_eq!(fp16, bf16, "{name}");
            }
        }
        for vendor in Vendor::ALL {
            assert!(models().iter().any(|model| model.vendor == vendor), "{vendor}");
        }
    }

    #[test]
    fn models_are_found_as_tools_write_them() {
        let check = |text: &str, expect: &str| {
            assert_eq!(find_model(text).map(|m| m.name), Some(expect), "{text}");
        };
        check("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB");
        check("NVIDIA A100 80GB PCIe", "A100-PCIE-80GB");
        check("Tesla V100-SXM2-32GB", "V100-SXM2-32GB");
        check("Tesla T4", "T4");
        check("tesla_t4", "T4");
        check("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB");
        check("NVIDIA H100 PCIe", "H100-PCIE-80GB");
        check("NVIDIA GeForce RTX 4090 D", "RTX4090D");
        check("NVIDIA GeForce RTX 4090", "RTX4090");
        check("NVIDIA RTX A6000", "RTXA6000");
        check("nvidia_l40s", "L40S");
        check("910B3", "Ascend910B3");
        check("Ascend 910B", "Ascend910B");
        check("310P3", "Ascend310P");
        check("MLU370-X8", "MLU370-X8");
        check("AMD Instinct MI300X", "MI300X");
        check("MTT S4000", "S4000");
        for unknown in ["", "A100", "NVIDIA", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "GTX 480"] {
            assert_eq!(find_model(unknown).map(|m| m.name), None, "{unknown}");
        }
        assert_eq!(canonical("Tesla T4"), "T4");
        assert_eq!(canonical("GTX 480"), "GTX 480");
        // As a scheduler's generic resources are called.
        assert_eq!(canonical("a100"), "A100");
        assert_eq!(canonical("tesla_v100"), "V100");
        assert_eq!(canonical("a100_1g.5gb"), "a100_1g.5gb");
    }

    #[test]
    fn figures_that_others_build_on() {
        let check = |name: &str, precision, tera: u64, gb: u64, watts| {
            let model = find_model(name).expect(name);
            let rate = model.nominal(precision).expect(name).0;
            assert_eq!(rate / 1_000_000_000_000, tera, "{name}");
            assert_eq!(model.memory, Some(Bytes(gb * 1_000_000_000)), "{name}");
            assert_eq!(model.tdp_watts, Some(watts), "{name}");
        };
        check("A100-80GB", Precision::Fp16, 312, 80, 400);
        check("H100-80GB", Precision::Fp16, 989, 80, 700);
        check("H200", Precision::Bf16, 989, 141, 700);
        check("H20", Precision::Fp8, 296, 96, 400);
        check("910B", Precision::Fp16, 320, 64, 400);
        check("RTX 4090", Precision::Fp16, 165, 24, 450);
        check("L40S", Precision::Fp16, 362, 48, 350);
        check("V100-32GB", Precision::Fp16, 125, 32, 300);
        check("T4", Precision::Fp16, 65, 16, 70);
    }
}
