//! Operating system, boot, virtualisation, memory and energy counters.

use dayan_units::Bytes;
use serde::{Deserialize, Serialize};

use super::source::{Found, Sources};

/// What runs the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Kernel release.
    pub kernel: String,
    /// The distribution's own name for itself.
    pub distribution: Option<String>,
    /// Changes with every boot; none where the kernel hides it.
    pub boot_id: Option<String>,
    /// The hypervisor, if there is one that shows itself.
    pub hypervisor: Option<String>,
    /// The kind of container around this process, if one shows itself.
    pub container: Option<String>,
}

pub(super) fn system(sources: &Sources) -> Found<System> {
    let read = || {
        Ok(System {
            kernel: sources.text("/proc/sys/kernel/osrelease")?,
            distribution: distribution(sources),
            boot_id: sources.text("/proc/sys/kernel/random/boot_id").ok(),
            hypervisor: hypervisor(sources),
            container: container(sources),
        })
    };
    Found::new("/proc/sys/kernel, /etc/os-release, cpuid", read())
}

fn distribution(sources: &Sources) -> Option<String> {
    let text = sources.text("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

fn hypervisor(sources: &Sources) -> Option<String> {
    if sources.is_live()
        && let Some(name) = cpuid_hypervisor()
    {
        return Some(name);
    }
    if let Ok(kind) = sources.text("/sys/hypervisor/type") {
        return Some(kind);
    }
    let info = sources.text("/proc/cpuinfo").ok()?;
    let flags = info.lines().find(|line| line.starts_with("flags"))?;
    flags.split_whitespace().any(|flag| flag == "hypervisor").then(|| "unnamed".to_owned())
}

#[cfg(target_arch = "x86_64")]
fn cpuid_hypervisor() -> Option<String> {
    let leaf = raw_cpuid::CpuId::new();
    let info = leaf.get_hypervisor_info()?;
    Some(format!("{:?}", info.identify()).to_lowercase())
}
#[cfg(not(target_arch = "x86_64"))]
fn cpuid_hypervisor() -> Option<String> {
    None
}

fn container(sources: &Sources) -> Option<String> {
    let marks = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
    if let Some((_, name)) = marks.iter().find(|(path, _)| sources.exists(path)) {
        return Some((*name).to_owned());
    }
    let own = sources.text("/run/systemd/container").ok()?;
    (!own.is_empty()).then_some(own)
}

pub(super) fn memory(sources: &Sources) -> Found<Bytes> {
    const FILE: &str = "/proc/meminfo";
    let read = || {
        let text = sources.text(FILE)?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let bytes = kib.and_then(|kib| kib.checked_mul(1 << 10));
        bytes.map(Bytes).ok_or_else(|| format!("{FILE}: no MemTotal"))
    };
    Found::new(FILE, read())
}

/// Online memory blocks times their size: what the hardware has, before the kernel takes its part.
pub(super) fn memory_blocks(sources: &Sources) -> Found<Bytes> {
    const DIR: &str = "/sys/devices/system/memory";
    let read = || {
        let text = sources.text(&format!("{DIR}/block_size_bytes"))?;
        let size = u64::from_str_radix(&text, 16)
            .map_err(|_| format!("{DIR}/block_size_bytes: `{text}` is no hexadecimal number"))?;
        let blocks = sources.numbered(DIR, "memory")?;
        let online = blocks.into_iter().filter(|block| {
            sources.text(&format!("{DIR}/memory{block}/online")).is_ok_and(|state| state == "1")
        });
        match size.checked_mul(online.count() as u64) {
            Some(bytes) if bytes > 0 => Ok(Bytes(bytes)),
            _ => Err(format!("{DIR}: no block is online")),
        }
    };
    Found::new(DIR, read())
}

/// RAPL zones whose counter this process can read; since Linux 5.10 that takes a privilege.
pub(super) fn energy(sources: &Sources) -> Found<Vec<String>> {
    const DIR: &str = "/sys/class/powercap";
    let read = || {
        let zones = sources.names(DIR)?;
        let readable: Vec<String> = zones
            .iter()
            .filter(|zone| sources.number::<u64>(&format!("{DIR}/{zone}/energy_uj")).is_ok())
            .map(|zone| {
                let name = sources.text(&format!("{DIR}/{zone}/name")).unwrap_or_default();
                format!("{zone} {name}").trim_end().to_owned()
            })
            .collect();
        if readable.is_empty() {
            return Err(format!("{DIR}: no energy counter that we may read"));
        }
        Ok(readable)
    };
    Found::new(DIR, read())
}
