//! Processors, caches and NUMA nodes.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::Bytes;
use serde::{Deserialize, Serialize};

use super::source::{Found, Sources, list};

/// The processors of the machine; all sockets are taken to be alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// The brand string.
    pub model: String,
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// Packages.
    pub sockets: u32,
    /// Physical cores of all sockets.
    pub cores: u32,
    /// Logical processors that are online.
    pub threads: u32,
    /// Distinct caches, smallest level first.
    pub caches: Vec<Cache>,
    /// Instruction sets that matter for computing, sorted.
    pub isa: Vec<String>,
    /// Guaranteed clock.
    pub base_khz: Option<u64>,
    /// Highest clock of one core.
    pub max_khz: Option<u64>,
    /// Double-precision operations per cycle and core, by the catalogue or by CPUID's family.
    pub fp64_per_cycle: Option<u32>,
    /// Single-precision operations per cycle and core.
    pub fp32_per_cycle: Option<u32>,
}

/// Caches of one level and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is nearest to the core.
    pub level: u32,
    /// What it holds.
    pub kind: CacheKind,
    /// Of one of them.
    pub size: Bytes,
    /// How many the machine has.
    pub count: u32,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
}

/// One NUMA node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaNode {
    /// The kernel's number of it.
    pub node: u32,
    /// Logical processors in it.
    pub threads: u32,
    /// Its memory.
    pub memory: Bytes,
}

impl Cpu {
    fn last_level(&self) -> Option<&Cache> {
        self.caches.iter().filter(|c| c.kind != CacheKind::Instruction).max_by_key(|c| c.level)
    }
    /// The size of one last-level cache.
    pub fn one_last_level_cache(&self) -> Option<Bytes> {
        self.last_level().map(|cache| cache.size)
    }
    /// The size of all last-level caches together.
    pub fn all_last_level_caches(&self) -> Option<Bytes> {
        self.last_level().and_then(|cache| cache.size.checked_mul(u64::from(cache.count)))
    }
}

const CPU_DIR: &str = "/sys/devices/system/cpu";

/// What of the flags in `/proc/cpuinfo` says how fast a processor can compute.
const ISA_OF_INTEREST: [&str; 30] = [
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    "amx_tile",
    "asimd",
    "asimddp",
    "asimdhp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512f",
    "avx512vl",
    "avx_vnni",
    "bf16",
    "f16c",
    "fma",
    "fp",
    "i8mm",
    "lasx",
    "lsx",
    "sha_ni",
    "sse2",
    "sse4_2",
    "sve",
    "sve2",
];

pub(super) fn cpu(sources: &Sources) -> Found<Cpu> {
    Found::new("/proc/cpuinfo, /sys/devices/system/cpu, cpuid", read(sources))
}

fn read(sources: &Sources) -> Result<Cpu, String> {
    let info = sources.text("/proc/cpuinfo")?;
    let (model, flags) = (model(&info), isa(&info));
    let layout = layout(sources, &info);
    let clocks = clocks(sources, &model, &info);
    let (fp64_per_cycle, fp32_per_cycle) = per_cycle(&model, &info);
    Ok(Cpu {
        architecture: architecture(sources),
        sockets: layout.sockets,
        cores: layout.cores,
        threads: layout.threads,
        caches: caches(sources, &layout.online),
        isa: flags,
        base_khz: clocks.0,
        max_khz: clocks.1,
        fp64_per_cycle,
        fp32_per_cycle,
        model,
    })
}

fn architecture(sources: &Sources) -> String {
    // A recorded machine may be another kind than this one.
    let recorded = sources.text("/proc/sys/kernel/arch").ok();
    recorded.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// A field of `/proc/cpuinfo`, of the first processor that has it.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim().eq_ignore_ascii_case(name) && !value.trim().is_empty()).then(|| value.trim())
    })
}

/// Arm processors name themselves by implementer and part (Arm ARM, MIDR_EL1). These are the ones
/// that are met in data centres.
const ARM_PARTS: [(u32, u32, &str); 9] = [
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd0c, "Neoverse-N1"),
    (0x41, 0xd40, "Neoverse-V1"),
    (0x41, 0xd49, "Neoverse-N2"),
    (0x41, 0xd4f, "Neoverse-V2"),
    (0x48, 0xd01, "Kunpeng-920"),
    (0x48, 0xd02, "Kunpeng-920B"),
    (0x70, 0x662, "Phytium FT-2000+"),
    (0x70, 0x663, "Phytium S2500"),
];

fn model(info: &str) -> String {
    if let Some(name) = field(info, "model name") {
        return name.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let hexadecimal = |name| {
        field(info, name)
            .and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    };
    match (hexadecimal("CPU implementer"), hexadecimal("CPU part")) {
        (Some(maker), Some(part)) => ARM_PARTS
            .iter()
            .find(|known| (known.0, known.1) == (maker, part))
            .map_or_else(|| format!("arm {maker:#x}/{part:#x}"), |known| known.2.to_owned()),
        _ => "unknown".to_owned(),
    }
}

fn isa(info: &str) -> Vec<String> {
    let flags = field(info, "flags").or_else(|| field(info, "Features"));
    let flags: BTreeSet<&str> = flags.unwrap_or("").split_whitespace().collect();
    ISA_OF_INTEREST.iter().filter(|name| flags.contains(**name)).map(|n| (*n).to_owned()).collect()
}

struct Layout {
    online: Vec<u32>,
    sockets: u32,
    cores: u32,
    threads: u32,
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn layout(sources: &Sources, info: &str) -> Layout {
    let online = sources.text(&format!("{CPU_DIR}/online")).map(|text| list(&text));
    let online = online.unwrap_or_else(|_| {
        let listed = info.lines().filter(|line| line.starts_with("processor"));
        (0..count(listed.count()).max(1)).collect()
    });
    let topology =
        |cpu: &u32, name: &str| sources.text(&format!("{CPU_DIR}/cpu{cpu}/topology/{name}")).ok();
    let distinct = |name: &str| {
        let values: BTreeSet<String> =
            online.iter().filter_map(|cpu| topology(cpu, name)).collect();
        count(values.len())
    };
    let threads = count(online.len());
    let sockets = distinct("physical_package_id").max(1);
    // Where the kernel says nothing of siblings every thread is taken to be a core.
    let cores = match distinct("thread_siblings_list") {
        0 => threads,
        cores => cores,
    };
    Layout { online, sockets, cores, threads }
}

fn caches(sources: &Sources, online: &[u32]) -> Vec<Cache> {
    let mut seen: BTreeMap<(u32, CacheKind, u64), BTreeSet<String>> = BTreeMap::new();
    for cpu in online {
        let dir = format!("{CPU_DIR}/cpu{cpu}/cache");
        for index in sources.numbered(&dir, "index").unwrap_or_default() {
            let file = |name: &str| sources.text(&format!("{dir}/index{index}/{name}")).ok();
            let found = || {
                let kind = match file("type")?.as_str() {
                    "Data" => CacheKind::Data,
                    "Instruction" => CacheKind::Instruction,
                    "Unified" => CacheKind::Unified,
                    _ => return None,
                };
                let size = size(&file("size")?)?;
                let sharers = file("shared_cpu_list").unwrap_or_else(|| cpu.to_string());
                Some(((file("level")?.parse().ok()?, kind, size), sharers))
            };
            if let Some((key, sharers)) = found() {
                seen.entry(key).or_default().insert(sharers);
            }
        }
    }
    seen.into_iter()
        .map(|((level, kind, size), sharers)| Cache {
            level,
            kind,
            size: Bytes(size),
            count: count(sharers.len()),
        })
        .collect()
}

/// `32768K` as the cache files write it.
fn size(text: &str) -> Option<u64> {
    match text.strip_suffix('K') {
        Some(kib) => kib.parse::<u64>().ok()?.checked_mul(1 << 10),
        None => match text.strip_suffix('M') {
            Some(mib) => mib.parse::<u64>().ok()?.checked_mul(1 << 20),
            None => text.parse().ok(),
        },
    }
}

/// Base and highest clock in kHz, where the kernel, CPUID or the brand string tell.
fn clocks(sources: &Sources, model: &str, info: &str) -> (Option<u64>, Option<u64>) {
    let cpus = sources.numbered(CPU_DIR, "cpu").unwrap_or_default();
    let read = |cpu: &u32, name: &str| {
        sources.number::<u64>(&format!("{CPU_DIR}/cpu{cpu}/cpufreq/{name}")).ok()
    };
    let max = cpus.iter().filter_map(|cpu| read(cpu, "cpuinfo_max_freq")).max();
    let base = cpus.iter().filter_map(|cpu| read(cpu, "base_frequency")).max();
    let (leaf_base, leaf_max) = if sources.is_live() { cpuid_clocks() } else { (None, None) };
    let base = base.or(leaf_base).or_else(|| clock_in_brand(model));
    (base.or_else(|| clock_of_counter(info)), max.or(leaf_max))
}

/// A virtual machine is often told nothing. Its time-stamp counter then still runs at the base
/// clock, whatever the core does (Intel SDM vol. 3B, invariant TSC; AMD APM vol. 2, P0), and
/// where no counters of the real clock are shown it is what the kernel prints as `cpu MHz`.
/// Rounded to 10 MHz: it is calibrated anew at every start.
fn clock_of_counter(info: &str) -> Option<u64> {
    let flags: BTreeSet<&str> = field(info, "flags")?.split_whitespace().collect();
    if !flags.contains("constant_tsc") || flags.contains("aperfmperf") {
        return None;
    }
    let (whole, _) = field(info, "cpu MHz")?.split_once('.')?;
    let mhz: u64 = whole.parse().ok()?;
    (mhz > 0).then(|| (mhz + 5) / 10 * 10_000)
}

/// `@ 2.30GHz` at the end of Intel's brand strings is the base clock.
fn clock_in_brand(model: &str) -> Option<u64> {
    let ghz = model.rsplit_once('@')?.1.trim().strip_suffix("GHz")?;
    let (whole, fraction) = ghz.split_once('.')?;
    let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(target_arch = "x86_64")]
fn cpuid_clocks() -> (Option<u64>, Option<u64>) {
    let known = |mhz: u16| (mhz > 0).then(|| u64::from(mhz) * 1_000);
    // Leaf 16H, Intel SDM vol. 2A, CPUID.
    match raw_cpuid::CpuId::new().get_processor_frequency_info() {
        Some(leaf) => {
            (known(leaf.processor_base_frequency()), known(leaf.processor_max_frequency()))
        }
        None => (None, None),
    }
}
#[cfg(not(target_arch = "x86_64"))]
fn cpuid_clocks() -> (Option<u64>, Option<u64>) {
    (None, None)
}

/// Operations per cycle in double and single precision.
fn per_cycle(model: &str, info: &str) -> (Option<u32>, Option<u32>) {
    if let Some(family) = dayan_measure::find_cpu(model) {
        return (Some(family.fp64_per_cycle), family.fp32_per_cycle);
    }
    // Clouds shorten brand strings ("AMD EPYC"); family and model numbers still tell.
    let number = |name| field(info, name).and_then(|text| text.parse::<u32>().ok());
    let fp64 = match (field(info, "vendor_id"), number("cpu family"), number("model")) {
        (Some(vendor), Some(family), Some(model)) => family_fp64(vendor, family, model),
        _ => None,
    };
    (fp64, fp64.map(|rate| rate * 2))
}

/// Double-precision operations per cycle by CPUID family and model: vector units × lanes × 2 for
/// the fused multiply-add. Sources: AMD Software Optimization Guides for families 17h, 19h and 1Ah
/// (§2.11, floating-point unit); Intel Optimization Reference Manual, ch. 2. Intel parts whose
/// second 512-bit unit depends on the product are left unknown.
fn family_fp64(vendor: &str, family: u32, model: u32) -> Option<u32> {
    match (vendor, family, model) {
        ("AuthenticAMD", 0x17, 0..=0x2f) | ("HygonGenuine", 0x18, _) => Some(8),
        // Zen 2 to Zen 4; Haswell and Broadwell servers.
        ("AuthenticAMD", 0x17 | 0x19, _) | ("GenuineIntel", 6, 0x3f | 0x4f | 0x56) => Some(16),
        // Zen 5 servers and desktops have full 512-bit units, mobile parts half as wide. Ice Lake,
        // Sapphire Rapids, Emerald Rapids and Granite Rapids servers have two such units.
        ("AuthenticAMD", 0x1a, 0..=0x1f | 0x40..=0x4f)
        | ("GenuineIntel", 6, 0x6a | 0x6c | 0x8f | 0xad | 0xcf) => Some(32),
        _ => None,
    }
}

pub(super) fn numa(sources: &Sources) -> Found<Vec<NumaNode>> {
    const DIR: &str = "/sys/devices/system/node";
    let nodes = sources.numbered(DIR, "node").and_then(|numbers| {
        numbers
            .into_iter()
            .map(|node| {
                let cpus = list(&sources.text(&format!("{DIR}/node{node}/cpulist"))?);
                let info = sources.text(&format!("{DIR}/node{node}/meminfo"))?;
                let by_blocks = node_blocks(sources, &format!("{DIR}/node{node}"));
                let memory = by_blocks.or_else(|| node_memory(&info));
                let memory = memory.ok_or_else(|| format!("node{node}: no MemTotal"))?;
                Ok(NumaNode { node, threads: count(cpus.len()), memory })
            })
            .collect()
    });
    Found::new(DIR, nodes)
}

/// Hardware blocks of the node times their size: unlike `MemTotal` the same after every boot.
fn node_blocks(sources: &Sources, dir: &str) -> Option<Bytes> {
    let size = sources.text("/sys/devices/system/memory/block_size_bytes").ok()?;
    let size = u64::from_str_radix(&size, 16).ok()?;
    let blocks = sources.numbered(dir, "memory").ok()?.len() as u64;
    size.checked_mul(blocks).filter(|bytes| *bytes > 0).map(Bytes)
}

/// `Node 0 MemTotal:  263847424 kB`.
fn node_memory(info: &str) -> Option<Bytes> {
    let line = info.lines().find(|line| line.contains("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().rev().nth(1)?.parse().ok()?;
    kib.checked_mul(1 << 10).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processors() {
        let check = |info: &str, expect: &str| assert_eq!(model(info), expect);
        check(
            "model name\t: Intel(R) Xeon(R)   Gold 6330 CPU @ 2.00GHz\n",
            "Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz",
        );
        check("processor : 0\nCPU implementer\t: 0x48\nCPU part\t: 0xd01\n", "Kunpeng-920");
        check("CPU implementer\t: 0x99\nCPU part\t: 0x001\n", "arm 0x99/0x1");
        check("Model Name\t\t: Loongson-3C5000\n", "Loongson-3C5000");
        check("", "unknown");
    }

    #[test]
    fn clocks_in_brand_strings() {
        let check = |brand, expect| assert_eq!(clock_in_brand(brand), expect, "{brand}");
        check("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", Some(2_300_000));
        check("Intel(R) Xeon(R) CPU @ 2.8GHz", Some(2_800_000));
        check("AMD EPYC 9654 96-Core Processor", None);
        check("x @ fast", None);
    }

    #[test]
    fn a_constant_counter_runs_at_the_base_clock() {
        let check = |flags: &str, mhz: &str, expect| {
            let info = format!("flags\t: fpu {flags} sse2\ncpu MHz\t\t: {mhz}\n");
            assert_eq!(clock_of_counter(&info), expect, "{info}");
        };
        check("constant_tsc nonstop_tsc", "2596.152", Some(2_600_000));
        check("constant_tsc", "2399.996", Some(2_400_000));
        check("constant_tsc aperfmperf", "1197.310", None);
        check("tsc", "2596.152", None);
        check("constant_tsc", "fast", None);
    }

    #[test]
    fn operations_per_cycle_without_a_brand() {
        let check = |info: &str, expect| {
            assert_eq!(per_cycle("AMD EPYC", info).0, expect, "{info}");
        };
        check("vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 17\n", Some(16));
        check("vendor_id : AuthenticAMD\ncpu family : 26\nmodel : 2\n", Some(32));
        check("vendor_id : AuthenticAMD\ncpu family : 23\nmodel : 1\n", Some(8));
        check("vendor_id : GenuineIntel\ncpu family : 6\nmodel : 85\n", None);
        check("", None);
    }

    #[test]
    fn sizes_and_node_memory() {
        assert_eq!(size("32768K"), Some(33_554_432));
        assert_eq!(size("2M"), Some(2_097_152));
        assert_eq!(size("big"), None);
        assert_eq!(node_memory("Node 0 MemTotal:   1024 kB\n"), Some(Bytes(1_048_576)));
        assert_eq!(node_memory("nothing"), None);
    }
}
