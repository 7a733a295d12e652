//! Processors: floating-point operations per cycle and core by family, for a nominal rate.
//!
//! The rate is a statement about an instruction set and a clock. Processors slow down under wide
//! instructions, so measured values under it are expected; values over it are doubtful only
//! beyond what turbo explains.

use std::sync::LazyLock;

use dayan_units::FlopRate;
use serde::{Deserialize, Serialize};

use crate::precision::Precision;
use crate::table;

/// The widest vector instruction set that counts for a nominal rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// x86 with 128-bit vectors, no fused multiply-add.
    Sse2,
    /// x86 with 256-bit vectors, no fused multiply-add.
    Avx,
    /// x86 with 256-bit vectors and fused multiply-add.
    Avx2,
    /// x86 with 512-bit vectors.
    Avx512,
    /// Arm with 128-bit vectors.
    Neon,
    /// Arm with scalable vectors; their width is the processor's.
    Sve,
    /// LoongArch with 256-bit vectors.
    Lasx,
}

impl Isa {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Sse2, "sse2"),
        (Self::Avx, "avx"),
        (Self::Avx2, "avx2"),
        (Self::Avx512, "avx512"),
        (Self::Neon, "neon"),
        (Self::Sve, "sve"),
        (Self::Lasx, "lasx"),
    ];

    /// Double-precision operations per cycle of a core with two vector units of that set, where
    /// the set fixes their width. For processors the table of families does not know.
    pub const fn typical_fp64_per_cycle(self) -> Option<u32> {
        match self {
            Self::Sse2 => Some(4),
            Self::Avx | Self::Neon => Some(8),
            Self::Avx2 | Self::Lasx => Some(16),
            Self::Avx512 => Some(32),
            Self::Sve => None,
        }
    }
}

/// A family of processors with the same execution units.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CpuFamily {
    /// What people call it.
    pub name: &'static str,
    /// Who makes it.
    pub vendor: &'static str,
    /// Where it was designed.
    pub origin: Origin,
    /// Instruction set the rates are for.
    pub isa: Isa,
    /// Double-precision operations per cycle and core.
    pub fp64_per_cycle: u32,
    /// Single-precision operations per cycle and core, where known.
    pub fp32_per_cycle: Option<u32>,
    /// What the figures rest on.
    pub source: &'static str,
    patterns: Vec<Vec<String>>,
}

/// Where a processor was designed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// In China.
    Domestic,
    /// Elsewhere.
    Foreign,
}

impl CpuFamily {
    /// Operations per cycle and core; only the two widest formats have a processor rate.
    pub const fn per_cycle(&self, precision: Precision) -> Option<u32> {
        match precision {
            Precision::Fp64 => Some(self.fp64_per_cycle),
            Precision::Fp32 => self.fp32_per_cycle,
            Precision::Tf32
            | Precision::Fp16
            | Precision::Bf16
            | Precision::Fp8
            | Precision::Int8 => None,
        }
    }
}

static FAMILIES: LazyLock<Vec<CpuFamily>> = LazyLock::new(|| {
    table::rows(include_str!("../data/cpus.csv"))
        .map(|row| parse_row(&row).unwrap_or_else(|| panic!("row of the processors: {row:?}")))
        .collect()
});

/// All families, in the order of the table.
pub fn cpu_families() -> &'static [CpuFamily] {
    &FAMILIES
}

/// The family a brand string belongs to, as `/proc/cpuinfo` or CPUID give it, such as
/// `Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz`.
pub fn find_cpu(brand: &str) -> Option<&'static CpuFamily> {
    // No processor has a brand string longer than CPUID's 48 bytes, and few tools add as much.
    let words = words(&brand.chars().take(120).collect::<String>());
    let holds = |pattern: &Vec<String>| {
        pattern.iter().all(|wanted| words.iter().any(|word| same(wanted, word)))
    };
    FAMILIES.iter().find(|family| family.patterns.iter().any(holds))
}

/// Makers by a word of their brand strings, for processors that no family of the table names.
const MAKERS: [(&str, Origin); 13] = [
    ("intel", Origin::Foreign),
    ("amd", Origin::Foreign),
    ("apple", Origin::Foreign),
    ("ampere", Origin::Foreign),
    ("ibm", Origin::Foreign),
    ("power9", Origin::Foreign),
    ("power10", Origin::Foreign),
    ("hygon", Origin::Domestic),
    ("kunpeng", Origin::Domestic),
    ("phytium", Origin::Domestic),
    ("loongson", Origin::Domestic),
    ("zhaoxin", Origin::Domestic),
    ("sunway", Origin::Domestic),
];

/// Where a processor was designed, by its family or else by its maker's name; none where its brand
/// string tells neither, as of many virtual machines.
pub fn cpu_origin(brand: &str) -> Option<Origin> {
    let short: String = brand.chars().take(120).collect();
    let of_maker = || {
        let words = words(&short);
        let (_, origin) = MAKERS.iter().find(|(name, _)| words.iter().any(|word| word == name))?;
        Some(*origin)
    };
    find_cpu(brand).map(|family| family.origin).or_else(of_maker)
}

/// The nominal rate of so many cores at that clock: cores × cycles/s × operations per cycle.
/// Nothing if it is over the range.
pub fn cpu_nominal(per_cycle: u32, cores: u32, clock_khz: u64) -> Option<FlopRate> {
    u64::from(per_cycle)
        .checked_mul(u64::from(cores))?
        .checked_mul(clock_khz)?
        .checked_mul(1_000)
        .map(FlopRate)
}

fn words(text: &str) -> Vec<String> {
    text.to_ascii_lowercase()
        .replace("(r)", " ")
        .replace("(tm)", " ")
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn same(wanted: &str, word: &str) -> bool {
    wanted.len() == word.len()
        && wanted.bytes().zip(word.bytes()).all(|(wanted, byte)| match wanted {
            b'#' => byte.is_ascii_digit(),
            exact => exact == byte,
        })
}

fn parse_row(row: &[&'static str]) -> Option<CpuFamily> {
    let [name, vendor, domestic, isa, fp64, fp32, patterns, source] = *row else { return None };
    Some(CpuFamily {
        name,
        vendor,
        origin: match domestic {
            "yes" => Origin::Domestic,
            "no" => Origin::Foreign,
            _ => return None,
        },
        isa: Isa::ALL.into_iter().find(|(_, text)| *text == isa)?.0,
        fp64_per_cycle: fp64.parse().ok()?,
        fp32_per_cycle: match table::given(fp32) {
            None => None,
            Some(number) => Some(number.parse().ok()?),
        },
        source,
        patterns: patterns.split('|').map(words).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_sane() {
        for family in cpu_families() {
            assert!([4, 8, 16, 32].contains(&family.fp64_per_cycle), "{family:?}");
            assert!(family.fp32_per_cycle.is_none_or(|n| n == 2 * family.fp64_per_cycle));
            assert!(!family.source.is_empty() && !family.patterns.is_empty());
            assert!(family.patterns.iter().all(|pattern| !pattern.is_empty()), "{family:?}");
        }
    }

    #[test]
    fn where_a_processor_comes_from_is_told_by_its_family_or_its_maker() {
        let check = |brand: &str, origin| assert_eq!(cpu_origin(brand), origin, "{brand}");
        check("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", Some(Origin::Foreign));
        check("Intel(R) Xeon(R) Processor", Some(Origin::Foreign));
        check("AMD Ryzen 9 Something New", Some(Origin::Foreign));
        check("Hygon C86 7285 32-core Processor", Some(Origin::Domestic));
        check("Phytium,D9000", None);
        check("Phytium S5000C", Some(Origin::Domestic));
        check("QEMU Virtual CPU version 2.5+", None);
        check("", None);
    }

    #[test]
    fn brand_strings_find_their_family() {
        let check = |brand: &str, expect: Option<(&str, u32)>| {
            let got = find_cpu(brand).map(|family| (family.name, family.fp64_per_cycle));
            assert_eq!(got, expect, "{brand}");
        };
        check("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", Some(("Xeon Scalable", 32)));
        check("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", Some(("Xeon Scalable", 32)));
        check(
            "Intel(R) Xeon(R) Gold 5118 CPU @ 2.30GHz",
            Some(("Xeon Scalable with one FMA unit", 16)),
        );
        check("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", Some(("Xeon E5/E7 v3-v4", 16)));
        check("AMD EPYC 7551 32-Core Processor", Some(("EPYC 7001", 8)));
        check("AMD EPYC 7763 64-Core Processor", Some(("EPYC 7002-7003", 16)));
        check("AMD EPYC 9654 96-Core Processor", Some(("EPYC 9004", 16)));
        check("Hygon C86 7285 32-core Processor", Some(("Hygon C86", 8)));
        check("Kunpeng-920", Some(("Kunpeng 920", 4)));
        check("Neoverse-N1", Some(("Neoverse N1", 8)));
        check("Some Processor @ 2.0GHz", None);
        check("", None);
    }

    #[test]
    fn nominal_rate() {
        // 64 cores × 2.45 GHz × 16 = 2,508.8 GFLOPS
        assert_eq!(cpu_nominal(16, 64, 2_450_000), Some(FlopRate(2_508_800_000_000)));
        assert_eq!(cpu_nominal(u32::MAX, u32::MAX, u64::MAX), None);
    }
}
