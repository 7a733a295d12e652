//! Accelerator cards: NVIDIA by NVML, Ascend by `npu-smi`, AMD and Hygon by the kernel's KFD, the
//! others by what is on the PCI bus and by their device nodes.
//!
//! Each way of looking is a source of its own that finds cards or says why it found none. A card
//! that a vendor's own source described is not listed again by the bus.

use dayan_units::Bytes;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde::{Deserialize, Serialize};

use super::source::{Found, Sources, hashed};

/// One way of looking for cards, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceleratorSource {
    /// The vendor, as the catalogue names it, or `other`.
    pub vendor: String,
    /// The cards.
    pub cards: Found<Vec<Accelerator>>,
}

/// One card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// The vendor, as the catalogue names it.
    pub vendor: String,
    /// What the driver or the bus calls it; the catalogue knows many such names.
    pub model: String,
    /// Its number at the driver.
    pub index: u32,
    /// Its memory.
    pub memory: Option<Bytes>,
    /// Hash of its own id.
    pub id_hash: Option<String>,
    /// Version of the driver.
    pub driver: Option<String>,
    /// `4x16`: generation and lanes of the PCI Express link at its best.
    pub pcie: Option<String>,
    /// Links to other cards that are up.
    pub card_links: Option<u32>,
    /// Cards with the same number are joined by such links, straight or through switches.
    #[serde(default)]
    pub joined: Option<u32>,
    /// The part of the machine's memory that it is nearest to, as the kernel numbers them.
    #[serde(default)]
    pub numa: Option<u32>,
    /// Is it cut into instances?
    pub mig: Option<Mig>,
    /// Power limit as delivered, in milliwatts.
    pub power_limit_milliwatts: Option<u64>,
}

/// NVIDIA's multi-instance mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mig {
    /// The card is whole.
    Disabled,
    /// The card is or can be cut into instances.
    Enabled,
}

impl Accelerator {
    pub(crate) fn named(vendor: &str, model: impl Into<String>, index: u32) -> Self {
        Self {
            vendor: vendor.to_owned(),
            model: model.into(),
            index,
            memory: None,
            id_hash: None,
            driver: None,
            pcie: None,
            card_links: None,
            joined: None,
            numa: None,
            mig: None,
            power_limit_milliwatts: None,
        }
    }
}

pub(super) fn accelerators(sources: &Sources) -> Vec<AcceleratorSource> {
    let source = |vendor: &str, way: &str, cards| AcceleratorSource {
        vendor: vendor.to_owned(),
        cards: Found::new(way, cards),
    };
    let mut found = vec![
        source("nvidia", "libnvidia-ml", nvidia(sources)),
        source("ascend", "npu-smi", ascend(sources)),
        source("amd", "/sys/class/kfd", kfd(sources)),
    ];
    let described: Vec<String> = found
        .iter()
        .filter_map(|source| source.cards.value())
        .flatten()
        .map(|card| card.vendor.clone())
        .collect();
    let cards = on_the_bus(sources, &described);
    found.push(source("other", "/sys/bus/pci, /dev", cards));
    found
}

/// Text of an NVML failure; a missing library is the usual case and gets a plain sentence.
fn nvml_fault(fault: &NvmlError) -> String {
    match fault {
        NvmlError::LibloadingError(_) => "libnvidia-ml.so.1 is not installed".to_owned(),
        other => other.to_string(),
    }
}

fn nvidia(sources: &Sources) -> Result<Vec<Accelerator>, String> {
    /// NVLink 5 has 18 links a card; asking for one more than there is ends the count.
    const LINKS_MAX: u32 = 32;
    if !sources.is_live() {
        return Err("not asked about a recorded machine".to_owned());
    }
    // The name without a number belongs to the development package and is often absent.
    let nvml = Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init();
    let nvml = nvml.map_err(|fault| nvml_fault(&fault))?;
    let driver = nvml.sys_driver_version().ok();
    let count = nvml.device_count().map_err(|fault| nvml_fault(&fault))?;
    if count == 0 {
        return Err("the driver sees no card".to_owned());
    }
    let (mut cards, mut wires) = (Vec::new(), Vec::new());
    for index in 0..count {
        let device = nvml.device_by_index(index).map_err(|fault| nvml_fault(&fault))?;
        let links: Vec<u32> = (0..LINKS_MAX)
            .map_while(|link| device.link_wrapper_for(link).is_active().ok().map(|up| (link, up)))
            .filter_map(|(link, up)| up.then_some(link))
            .collect();
        let far = |link: &u32| device.link_wrapper_for(*link).remote_pci_info().ok();
        let own = device.pci_info().map(|pci| pci.bus_id).unwrap_or_default();
        let numa = numa_of(sources, &own);
        wires
            .push(Wires { own, far: links.iter().filter_map(far).map(|pci| pci.bus_id).collect() });
        let links = u32::try_from(links.len()).unwrap_or(u32::MAX);
        let pcie = device.max_pcie_link_gen().ok().zip(device.max_pcie_link_width().ok());
        cards.push(Accelerator {
            memory: device.memory_info().ok().map(|memory| Bytes(memory.total)),
            id_hash: device.uuid().ok().map(|uuid| hashed("nvidia", &uuid)),
            driver: driver.clone(),
            pcie: pcie.map(|(generation, lanes)| format!("{generation}x{lanes}")),
            card_links: Some(links),
            numa,
            mig: device.mig_mode().ok().map(|mode| match mode.current {
                0 => Mig::Disabled,
                _ => Mig::Enabled,
            }),
            power_limit_milliwatts: device.power_management_limit_default().ok().map(u64::from),
            ..Accelerator::named(
                "nvidia",
                device.name().map_err(|fault| nvml_fault(&fault))?,
                index,
            )
        });
    }
    for (card, joined) in cards.iter_mut().zip(joined(&wires)) {
        card.joined = joined;
    }
    Ok(cards)
}

/// Where a card is on the bus, and what is at the far ends of its links: cards or switches.
struct Wires {
    own: String,
    far: Vec<String>,
}

/// Which cards are joined, straight or through what they share. None where a card has no links.
fn joined(cards: &[Wires]) -> Vec<Option<u32>> {
    let mut groups: Vec<Option<u32>> =
        (0u32..).zip(cards).map(|(at, card)| (!card.far.is_empty()).then_some(at)).collect();
    let met = |a: &Wires, b: &Wires| {
        a.far.contains(&b.own)
            || b.far.contains(&a.own)
            || a.far.iter().any(|far| b.far.contains(far))
    };
    for (a, one) in cards.iter().enumerate() {
        for (b, other) in cards.iter().enumerate().skip(a + 1) {
            if let (Some(low), Some(high)) = (groups[a].min(groups[b]), groups[a].max(groups[b]))
                && met(one, other)
            {
                for group in groups.iter_mut().filter(|group| **group == Some(high)) {
                    *group = Some(low);
                }
            }
        }
    }
    groups
}

/// The memory that a device on the bus is nearest to. NVML writes a domain of eight digits, the kernel of four.
fn numa_of(sources: &Sources, bus_id: &str) -> Option<u32> {
    const ADDRESS_CHARS: usize = 12;
    let short = bus_id.get(bus_id.len().checked_sub(ADDRESS_CHARS)?..)?.to_ascii_lowercase();
    // -1 where there is only one.
    sources.text(&format!("/sys/bus/pci/devices/{short}/numa_node")).ok()?.trim().parse().ok()
}

fn ascend(sources: &Sources) -> Result<Vec<Accelerator>, String> {
    // Asking is only worth it where the driver has made its nodes.
    let nodes = sources.numbered("/dev", "davinci")?;
    if nodes.is_empty() {
        return Err("no /dev/davinci*".to_owned());
    }
    let driver = sources.text("/usr/local/Ascend/driver/version.info").ok();
    let driver = driver.and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("Version=").map(str::to_owned))
    });
    let mut cards = match sources.tool("npu-smi", &["info"]) {
        Ok(table) => {
            let numa = |(card, bus_id): (Accelerator, String)| Accelerator {
                numa: numa_of(sources, &bus_id),
                ..card
            };
            npu_table(&table).into_iter().map(numa).collect()
        }
        Err(_) => Vec::new(),
    };
    if cards.is_empty() {
        cards = nodes.iter().map(|node| Accelerator::named("ascend", "unknown", *node)).collect();
    }
    for card in &mut cards {
        card.driver.clone_from(&driver);
    }
    Ok(cards)
}

/// The table of `npu-smi info`: per chip a row `| 0  910B3 | OK | …` and a row
/// `| 0 | 0000:C1:00.0 | … | … / 0  3395 / 65536 |`, whose last `used / total` is the HBM in MB. With each
/// card its place on the bus.
fn npu_table(table: &str) -> Vec<(Accelerator, String)> {
    let mut cards = Vec::new();
    let mut name: Option<String> = None;
    for line in table.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [first, second, rest] = cells[..] else { continue };
        let words: Vec<&str> = first.split_whitespace().collect();
        match words[..] {
            [number, model] if number.parse::<u32>().is_ok() && !second.contains(':') => {
                name = Some(format!("Ascend{}", model.trim_start_matches("Ascend")));
            }
            [chip, ..] if chip.parse::<u32>().is_ok() && second.matches(':').count() == 2 => {
                let Some(name) = &name else { continue };
                let index = u32::try_from(cards.len()).unwrap_or(u32::MAX);
                let total = rest.rsplit('/').next().and_then(|mb| mb.trim().parse::<u64>().ok());
                // The tool says MB and means 2²⁰ bytes.
                let memory = total.filter(|mb| *mb > 0).and_then(|mb| mb.checked_mul(1 << 20));
                let card = Accelerator {
                    memory: memory.map(Bytes),
                    ..Accelerator::named("ascend", name.as_str(), index)
                };
                cards.push((card, second.to_owned()));
            }
            _ => {}
        }
    }
    cards
}

/// AMD's kernel interface for computing; Hygon's DCU has taken it over.
fn kfd(sources: &Sources) -> Result<Vec<Accelerator>, String> {
    const DIR: &str = "/sys/class/kfd/kfd/topology/nodes";
    let mut cards = Vec::new();
    for node in sources.names(DIR)? {
        let Ok(properties) = sources.text(&format!("{DIR}/{node}/properties")) else { continue };
        let number = |name: &str| property(&properties, name);
        // Nodes without vector units are processors.
        if number("simd_count").unwrap_or(0) == 0 {
            continue;
        }
        let vendor = match number("vendor_id") {
            Some(0x1d94) => "hygon",
            _ => "amd",
        };
        let index = u32::try_from(cards.len()).unwrap_or(u32::MAX);
        let gfx = number("gfx_target_version").map(gfx_name);
        let device = number("device_id").unwrap_or(0);
        let model = format!("{} {device:04x}", gfx.as_deref().unwrap_or("gfx?"));
        let banks = sources.names(&format!("{DIR}/{node}/mem_banks")).unwrap_or_default();
        let bytes = banks.iter().filter_map(|bank| {
            let text = sources.text(&format!("{DIR}/{node}/mem_banks/{bank}/properties")).ok()?;
            property(&text, "size_in_bytes")
        });
        let bytes: u64 = bytes.sum();
        let id = number("unique_id").filter(|id| *id != 0);
        cards.push(Accelerator {
            memory: (bytes > 0).then_some(Bytes(bytes)),
            id_hash: id.map(|id| hashed("kfd", &format!("{id:x}"))),
            driver: sources.text("/sys/module/amdgpu/version").ok(),
            ..Accelerator::named(vendor, model, index)
        });
    }
    if cards.is_empty() {
        return Err(format!("{DIR}: no node has vector units"));
    }
    for (card, name) in cards.iter_mut().zip(product_names(sources)) {
        card.model = name;
    }
    Ok(cards)
}

fn property(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// 90402 is gfx942: major, minor and stepping in two decimal digits each, the last as hexadecimal.
fn gfx_name(version: u64) -> String {
    format!("gfx{}{:x}{:x}", version / 10_000, version / 100 % 100, version % 100)
}

/// Marketing names by card number, where the vendor's tool is installed.
fn product_names(sources: &Sources) -> Vec<String> {
    let Ok(text) = sources.tool("rocm-smi", &["--showproductname", "--json"]) else {
        return Vec::new();
    };
    product_names_in(&text)
}

/// `{"card0": {"Card Series": "AMD Instinct MI300X", …}, …}`; older tools write `Card series`.
fn product_names_in(text: &str) -> Vec<String> {
    let Ok(serde_json::Value::Object(cards)) = serde_json::from_str(text) else {
        return Vec::new();
    };
    let mut names: Vec<(u32, String)> = cards
        .iter()
        .filter_map(|(key, card)| {
            let number = key.strip_prefix("card")?.parse().ok()?;
            let name =
                ["Card Series", "Card series"].iter().find_map(|key| card.get(key)?.as_str());
            Some((number, name?.to_owned()))
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// PCI vendor ids of makers of accelerators (pci-ids.ucw.cz) with the catalogue's name.
const PCI_VENDORS: [(&str, &str); 12] = [
    ("0x10de", "nvidia"),
    ("0x1002", "amd"),
    ("0x19e5", "ascend"),
    ("0xcabc", "cambricon"),
    ("0x1d94", "hygon"),
    ("0x1ed5", "moore-threads"),
    ("0x1e3e", "iluvatar"),
    ("0x1e36", "enflame"),
    ("0x1d22", "kunlun"),
    ("0x9999", "metax"),
    ("0x1ee0", "biren"),
    ("0x8086", "intel"),
];

/// Device nodes of drivers whose cards may not show as accelerators on the bus.
const NODES: [(&str, &str); 4] = [
    ("cambricon_dev", "cambricon"),
    ("mtgpu.", "moore-threads"),
    ("iluvatar", "iluvatar"),
    ("xpu", "kunlun"),
];

fn on_the_bus(sources: &Sources, described: &[String]) -> Result<Vec<Accelerator>, String> {
    const DIR: &str = "/sys/bus/pci/devices";
    let mut cards: Vec<Accelerator> = Vec::new();
    for name in sources.names(DIR).unwrap_or_default() {
        let file = |file: &str| sources.text(&format!("{DIR}/{name}/{file}")).ok();
        let (Some(vendor), Some(class), Some(device)) =
            (file("vendor"), file("class"), file("device"))
        else {
            continue;
        };
        // PCI Code and ID Assignment 1.11: 12 00 processing accelerator, 03 02 3D controller. A
        // plain display adapter (03 00) is often only the board's own screen.
        if !(class.starts_with("0x1200") || class.starts_with("0x0302")) {
            continue;
        }
        let Some((_, vendor)) = PCI_VENDORS.iter().find(|(id, _)| *id == vendor) else { continue };
        let index = u32::try_from(cards.len()).unwrap_or(u32::MAX);
        cards.push(Accelerator::named(vendor, format!("pci {device}"), index));
    }
    for (prefix, vendor) in NODES {
        if cards.iter().any(|card| card.vendor == vendor) {
            continue;
        }
        let numbers = sources.numbered("/dev", prefix).unwrap_or_default();
        cards.extend(numbers.into_iter().map(|n| Accelerator::named(vendor, "unknown", n)));
    }
    cards.retain(|card| !described.contains(&card.vendor));
    if cards.is_empty() {
        return Err("no further accelerator".to_owned());
    }
    Ok(cards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_ascend_cards() {
        let table = "\
+------------------------------------------------------------------------------------------+
| npu-smi 23.0.0                   Version: 23.0.0                                         |
+---------------------------+---------------+----------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)     Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)  |
+===========================+===============+==============================================+
| 0     910B3               | OK            | 95.1        43                0    / 0       |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3395 / 65536   |
+===========================+===============+==============================================+
| 1     910B3               | OK            | 92.0        41                0    / 0       |
| 0                         | 0000:01:00.0  | 0           0    / 0          3310 / 65536   |
+===========================+===============+==============================================+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)|
| No running processes found in NPU 0                                                      |
";
        let cards = npu_table(table);
        assert_eq!(cards.len(), 2);
        let (card, bus_id) = &cards[1];
        assert_eq!((card.model.as_str(), bus_id.as_str()), ("Ascend910B3", "0000:01:00.0"));
        assert_eq!((card.index, card.memory), (1, Some(Bytes(65_536 << 20))));
        assert!(dayan_measure::find_model(&cards[0].0.model).is_some(), "{}", cards[0].0.model);
        assert!(npu_table("npu-smi: no device").is_empty());
    }

    #[test]
    fn cards_are_joined_by_links_and_through_switches() {
        let check = |cards: &[(&str, &[&str])], expect: &[Option<u32>]| {
            let wires = cards.iter().map(|(own, far)| Wires {
                own: (*own).to_owned(),
                far: far.iter().map(|far| (*far).to_owned()).collect(),
            });
            assert_eq!(joined(&wires.collect::<Vec<_>>()), expect, "{cards:?}");
        };
        check(&[("a", &[]), ("b", &[])], &[None, None]);
        // Two pairs with bridges.
        let pairs: [(&str, &[&str]); 4] =
            [("a", &["c"]), ("b", &["d"]), ("c", &["a"]), ("d", &["b"])];
        check(&pairs, &[Some(0), Some(1), Some(0), Some(1)]);
        // A ring, and all on one switch.
        check(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])], &[Some(0); 3]);
        check(&[("a", &["s1"]), ("b", &["s1", "s2"]), ("c", &["s2"])], &[Some(0); 3]);
    }

    #[test]
    fn names_of_graphics_targets() {
        assert_eq!(gfx_name(90_402), "gfx942");
        assert_eq!(gfx_name(90_010), "gfx90a");
        assert_eq!(gfx_name(110_000), "gfx1100");
    }

    #[test]
    fn names_by_the_tool_are_in_card_order() {
        let text =
            r#"{"card10": {"Card series": "B"}, "card2": {"Card Series": "A"}, "system": {}}"#;
        assert_eq!(product_names_in(text), ["A", "B"]);
        assert!(product_names_in("not json").is_empty());
    }
}
