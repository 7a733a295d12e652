//! Cgroup v1: one hierarchy per controller, as on older systems and in hybrid containers.
//!
//! A memory controller is required, because it is what tells running out of memory apart; cpu,
//! cpuacct and pids are used where they are mounted and writable. The freezer is not needed: a
//! process limit stops a fork bomb from outrunning the killing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayan_units::{Bytes, Span};

use super::{
    LEFTOVER_BYTES_MAX, PERIOD_MICROS, Reading, Slot, SlotLimits, keyed, number, open_both,
    open_read, open_write, quota, set, text,
};

const CONTROLLERS: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

/// Our folder in each hierarchy that may be written.
pub(super) struct Hierarchies {
    memory: PathBuf,
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    pids: Option<PathBuf>,
}

/// Open counters of one slot.
pub(super) struct Meters {
    cpu: Option<File>,
    cpu_split: Option<File>,
    peak: File,
    usage: File,
    oom: File,
    empty: File,
}

impl Meters {
    pub(super) fn read(&self) -> Reading {
        let split = self.cpu_split.as_ref().map(text).unwrap_or_default();
        // cpuacct.stat counts in USER_HZ, 100 a second.
        let system = keyed(&split, "system").unwrap_or(0).saturating_mul(10_000);
        Reading {
            cpu: micros(self.cpu.as_ref().and_then(number).unwrap_or(0) / 1_000),
            cpu_system: micros(system),
            memory_peak: Bytes(number(&self.peak).unwrap_or(0)),
            oom_kills: keyed(&text(&self.oom), "oom_kill").unwrap_or(0),
            // The block controller counts per device and misses what the page cache writes
            // later; the process's own counts are used instead.
            read: Bytes::ZERO,
            written: Bytes::ZERO,
        }
    }

    pub(super) fn reset(&self) -> bool {
        if number(&self.usage).is_some_and(|bytes| bytes > LEFTOVER_BYTES_MAX) {
            // Fails only if something is still in it; then the peak is too high, not too low.
            let _ = self.empty.write_at(b"0", 0);
        }
        self.peak.write_at(b"0", 0).is_ok()
    }
}

fn micros(micros: u64) -> Span {
    Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

impl Hierarchies {
    /// Makes our folder in every hierarchy it can.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
        let mounts = parse_mounts(&mounts);
        let own = parse_own(&own);
        let mut roots = CONTROLLERS.map(|controller| {
            let (mount, root) = mounts.get(controller).ok_or("not mounted")?;
            let own = own.get(controller).map_or("/", String::as_str);
            let inside = own.strip_prefix(root.trim_end_matches('/')).unwrap_or(own);
            make_folder(&mount.join(inside.trim_start_matches('/')).join(name))
                .map_err(|e| e.to_string())
        });
        let mut taken = |index: usize| std::mem::replace(&mut roots[index], Err(String::new()));
        let memory = taken(0).map_err(|reason| format!("memory: {reason}"))?;
        let found =
            Self { memory, cpu: taken(1).ok(), cpuacct: taken(2).ok(), pids: taken(3).ok() };
        if let Some(cpu) = &found.cpu {
            // All tasks together weigh as much as one process on every processor; without this,
            // as one process alone.
            let shares = (1_024 * super::cores()).min(262_144);
            let _ = set(cpu, "cpu.shares", &shares.to_string());
        }
        Ok(found)
    }

    pub(super) fn words(&self) -> String {
        let names = [("cpu", &self.cpu), ("cpuacct", &self.cpuacct), ("pids", &self.pids)];
        let there = names.iter().filter(|(_, path)| path.is_some()).map(|(name, _)| *name);
        let all: Vec<&str> = std::iter::once("memory").chain(there).collect();
        format!("cgroup v1 ({})", all.join(", "))
    }

    /// Which of processor, memory and process limits it holds.
    pub(super) fn controllers(&self) -> [bool; 3] {
        [self.cpu.is_some(), true, self.pids.is_some()]
    }

    pub(super) fn roots(&self) -> Vec<PathBuf> {
        let mut roots = vec![self.memory.clone()];
        roots.extend([&self.cpu, &self.cpuacct, &self.pids].into_iter().flatten().cloned());
        // Controllers may share a mount.
        roots.sort();
        roots.dedup();
        roots
    }

    pub(super) fn make(&self, name: String, limits: SlotLimits) -> io::Result<Slot> {
        let roots = self.roots();
        let folders: Vec<PathBuf> = roots.iter().map(|root| root.join(&name)).collect();
        // Whoever tidies up a machine takes empty ones away, ours between two tasks as well.
        for folder in roots.iter().chain(&folders) {
            make_folder(folder)?;
        }
        let slot = self.open(name, limits, &folders);
        if slot.is_err() {
            for folder in &folders {
                let _ = fs::remove_dir(folder);
            }
        }
        slot
    }

    fn open(&self, name: String, limits: SlotLimits, folders: &[PathBuf]) -> io::Result<Slot> {
        let memory = self.memory.join(&name);
        let bytes = limits.memory.0.to_string();
        set(&memory, "memory.limit_in_bytes", &bytes)?;
        // There only where swap is accounted; memory and swap together are the same limit.
        let _ = set(&memory, "memory.memsw.limit_in_bytes", &bytes);
        if let Some(cpu) = &self.cpu {
            let cpu = cpu.join(&name);
            // Its part when processors are short, 1,024 for a core as every other process has.
            let shares = (limits.cpu.0.saturating_mul(1_024) / 1_000).clamp(2, 262_144);
            let _ = set(&cpu, "cpu.shares", &shares.to_string());
            set(&cpu, "cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
            if let Some(quota) = quota(limits.cpu) {
                set(&cpu, "cpu.cfs_quota_us", &quota.to_string())?;
            }
        }
        if let Some(pids) = &self.pids {
            set(&pids.join(&name), "pids.max", &limits.pids.to_string())?;
        }
        let account = self.cpuacct.as_ref().map(|root| root.join(&name));
        let open = |file: &str| account.as_ref().map(|a| open_read(&a.join(file))).transpose();
        let join: io::Result<Vec<OwnedFd>> = folders
            .iter()
            .map(|folder| open_write(&folder.join("cgroup.procs")).map(OwnedFd::from))
            .collect();
        Ok(Slot {
            join: Arc::new(join?),
            limits,
            members: super::Members::Path {
                procs: memory.join("cgroup.procs"),
                count: self
                    .pids
                    .as_ref()
                    .map(|pids| open_read(&pids.join(&name).join("pids.current")))
                    .transpose()?,
            },
            kill: None,
            meters: super::Meters::V1(Meters {
                cpu: open("cpuacct.usage")?,
                cpu_split: open("cpuacct.stat")?,
                peak: open_both(&memory.join("memory.max_usage_in_bytes"))?,
                usage: open_read(&memory.join("memory.usage_in_bytes"))?,
                oom: open_read(&memory.join("memory.oom_control"))?,
                empty: open_write(&memory.join("memory.force_empty"))?,
            }),
            base: Reading::default(),
            reusable: true,
            folders: folders.to_vec(),
            name,
        })
    }
}

fn make_folder(path: &Path) -> io::Result<PathBuf> {
    match fs::create_dir(path) {
        Ok(()) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path.to_owned()),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot make {}: {error}", path.display())))
        }
    }
}

/// Controller → where it is mounted, and which folder of it is seen there (proc(5), mountinfo).
pub(crate) fn parse_mounts(mountinfo: &str) -> BTreeMap<String, (PathBuf, String)> {
    let mut mounts = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        if let ([_, _, _, root, point, ..], ["cgroup", _, options]) = (&left[..], &right[..]) {
            for controller in options.split(',').filter(|o| CONTROLLERS.contains(o)) {
                mounts.insert(controller.to_owned(), (PathBuf::from(point), (*root).to_owned()));
            }
        }
    }
    mounts
}

/// Controller → our own cgroup in its hierarchy (cgroups(7), /proc/PID/cgroup).
pub(crate) fn parse_own(cgroup: &str) -> BTreeMap<String, String> {
    let mut own = BTreeMap::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            for controller in controllers.split(',') {
                own.insert(controller.to_owned(), path.to_owned());
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_hierarchies_mounted_alone_and_together() {
        let mounts = parse_mounts(
            "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             31 25 0:27 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
             torn line",
        );
        let together = (PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"), "/".to_owned());
        assert_eq!(mounts.get("cpu"), Some(&together));
        assert_eq!(mounts.get("cpuacct"), Some(&together));
        assert_eq!(mounts["memory"].1, "/box");
        assert_eq!(mounts.len(), 3);
        let own = parse_own("8:pids:/\n4:cpu,cpuacct:/a:b\n0::/x\n");
        assert_eq!(own["cpuacct"], "/a:b");
        assert_eq!(own["pids"], "/");
    }
}
