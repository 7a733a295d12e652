//! How much of the machine this process may use: the least of affinity, cpusets, quotas and memory
//! limits of every control group above it.

use std::path::PathBuf;

use dayan_units::{Bytes, MilliCpu};
use serde::{Deserialize, Serialize};

use super::source::{Mount, Sources, mounts};

/// What is really usable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Logical processors this process may run on.
    pub affinity: Option<u32>,
    /// The tightest CPU quota.
    pub cpu_quota: Option<Quota<MilliCpu>>,
    /// The tightest memory limit.
    pub memory_limit: Option<Quota<Bytes>>,
    /// The least of affinity and quota.
    pub cpu: MilliCpu,
    /// The least of the machine's memory and the limit; none where neither is known.
    pub memory: Option<Bytes>,
}

/// A limit and the file that sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota<T> {
    /// How much.
    pub amount: T,
    /// Who says so.
    pub source: String,
}

impl Limits {
    /// Logical processors that can be kept busy: a quota of 2.5 keeps two busy.
    pub fn whole_cpus(&self) -> usize {
        usize::try_from(self.cpu.0 / 1_000).unwrap_or(usize::MAX).max(1)
    }
}

pub(super) fn limits(sources: &Sources, memory_total: Option<Bytes>) -> Limits {
    let files = group_files(sources);
    let mut cpu_quota: Option<Quota<MilliCpu>> = None;
    let mut memory_limit: Option<Quota<Bytes>> = None;
    for group in &files {
        let (cpu, memory) = match group.version {
            Version::One => (cpu_v1(sources, &group.dir), memory_v1(sources, &group.dir)),
            Version::Two => (cpu_v2(sources, &group.dir), memory_v2(sources, &group.dir)),
        };
        tighten(&mut cpu_quota, cpu, &group.dir);
        tighten(&mut memory_limit, memory, &group.dir);
    }
    let affinity = affinity(sources);
    let by_affinity = MilliCpu(u64::from(affinity.unwrap_or(1)) * 1_000);
    let cpu = cpu_quota.as_ref().map_or(by_affinity, |quota| quota.amount.min(by_affinity));
    let memory = match (memory_total, &memory_limit) {
        (Some(total), Some(limit)) => Some(total.min(limit.amount)),
        (Some(total), None) => Some(total),
        (None, limit) => limit.as_ref().map(|limit| limit.amount),
    };
    Limits { affinity, cpu_quota, memory_limit, cpu, memory }
}

fn tighten<T: Ord>(least: &mut Option<Quota<T>>, amount: Option<T>, source: &str) {
    if let Some(amount) = amount
        && least.as_ref().is_none_or(|quota| amount < quota.amount)
    {
        *least = Some(Quota { amount, source: source.to_owned() });
    }
}

/// Affinity already holds what cpusets allow.
fn affinity(sources: &Sources) -> Option<u32> {
    if sources.is_live() {
        return rustix::thread::sched_getaffinity(None).ok().map(|set| set.count());
    }
    let online = sources.text("/sys/devices/system/cpu/online").ok()?;
    u32::try_from(super::source::list(&online).len()).ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

struct Group {
    version: Version,
    dir: String,
}

/// The directories of this process's control groups, each with all that are above it (cgroups(7)).
fn group_files(sources: &Sources) -> Vec<Group> {
    let (Ok(own), Ok(mounts)) = (sources.text("/proc/self/cgroup"), mounts(sources)) else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let controls = |name: &str| controllers.split(',').any(|c| c == name);
        let version = match controllers {
            "" => Version::Two,
            _ if controls("cpu") || controls("memory") => Version::One,
            _ => continue,
        };
        let mount = mounts.iter().find(|mount| match version {
            Version::Two => mount.kind == "cgroup2",
            Version::One => {
                mount.kind == "cgroup"
                    && mount.options.split(',').any(|o| !o.is_empty() && controls(o))
            }
        });
        if let Some(mount) = mount {
            groups.extend(ancestors(mount, path).map(|dir| Group { version, dir }));
        }
    }
    groups
}

/// From the group to the mount point. In a container the mount may show a subtree (`root`) of what
/// the path is relative to.
fn ancestors(mount: &Mount, path: &str) -> impl Iterator<Item = String> {
    let inside = path.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or(path);
    let point = PathBuf::from(&mount.point);
    let own = point.join(inside.trim_start_matches('/'));
    let dirs: Vec<String> = own
        .ancestors()
        .take_while(|dir| dir.starts_with(&point))
        .map(|dir| dir.to_string_lossy().into_owned())
        .collect();
    dirs.into_iter()
}

/// `cpu.max`: quota and period in microseconds, or `max`.
fn cpu_v2(sources: &Sources, dir: &str) -> Option<MilliCpu> {
    let text = sources.text(&format!("{dir}/cpu.max")).ok()?;
    let (quota, period) = text.split_once(' ')?;
    milli_cpus(quota.parse().ok()?, period.parse().ok()?)
}
fn cpu_v1(sources: &Sources, dir: &str) -> Option<MilliCpu> {
    let quota: i64 = sources.number(&format!("{dir}/cpu.cfs_quota_us")).ok()?;
    let period: u64 = sources.number(&format!("{dir}/cpu.cfs_period_us")).ok()?;
    // −1 means no quota.
    milli_cpus(u64::try_from(quota).ok()?, period)
}
fn milli_cpus(quota: u64, period: u64) -> Option<MilliCpu> {
    quota.checked_mul(1_000)?.checked_div(period).map(MilliCpu)
}
fn memory_v2(sources: &Sources, dir: &str) -> Option<Bytes> {
    sources.number(&format!("{dir}/memory.max")).ok().map(Bytes)
}
fn memory_v1(sources: &Sources, dir: &str) -> Option<Bytes> {
    // Without a limit the kernel shows the largest page-aligned i64; no machine has half of that.
    const UNLIMITED_FROM: u64 = 1 << 62;
    let bytes = sources.number(&format!("{dir}/memory.limit_in_bytes")).ok()?;
    (bytes < UNLIMITED_FROM).then_some(Bytes(bytes))
}
