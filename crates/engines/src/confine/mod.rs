//! Holding a task within its limits: cgroup v2, cgroup v1, or, where neither may be written, by
//! resource limits and by looking.
//!
//! Invariant: a slot (a cgroup or one per v1 controller) is used by one task at a time and given
//! back empty. Slots are reused for the next task with the same limits, because making and
//! removing them costs as much as the task; their counters are read as differences. What is
//! possible is found by trying once, at the start, and said in words.

mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayan_units::{Bytes, MilliCpu, Span};

use crate::proc::{self, Process};
use crate::{Enforcement, Limits};

#[cfg(feature = "containers")]
pub(crate) use v1::{parse_mounts, parse_own};
#[cfg(feature = "containers")]
pub(crate) use v2::parse_io;

/// Which ways may be tried; tests ask for one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Allowed {
    /// The best that works.
    Best,
    /// Cgroup v2 or nothing.
    V2,
    /// Cgroup v1 or nothing.
    V1,
    /// No cgroups.
    Watch,
}

/// The limits a slot enforces; slots with equal ones are interchangeable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SlotLimits {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub pids: u32,
}

impl From<&Limits> for SlotLimits {
    fn from(limits: &Limits) -> Self {
        Self { cpu: limits.cpu, memory: limits.memory, pids: limits.pids }
    }
}

/// A slot's counters, since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reading {
    pub cpu: Span,
    /// The kernel's estimate of the part spent in the kernel.
    pub cpu_system: Span,
    pub memory_peak: Bytes,
    pub oom_kills: u64,
    pub read: Bytes,
    pub written: Bytes,
}

/// Cgroups for one task.
pub(crate) struct Slot {
    pub name: String,
    /// To be written by the task's first process.
    pub join: Arc<Vec<OwnedFd>>,
    limits: SlotLimits,
    folders: Vec<PathBuf>,
    members: Members,
    kill: Option<File>,
    meters: Meters,
    /// Counters when the present task got it.
    base: Reading,
    /// Can its memory peak be reset for the next task?
    reusable: bool,
}

/// How a slot's processes are listed.
enum Members {
    /// By a file kept open, which v2 makes anew at every reading.
    Open(File),
    /// By a file opened each time: v1 keeps a list for each open file, and as long as it is read
    /// more often than once a second the list never changes. The count of the pids controller has
    /// no such memory, and says first whether there is anything to list.
    Path { procs: PathBuf, count: Option<File> },
}

impl Members {
    fn list(&self) -> Vec<i32> {
        let text = match self {
            Self::Open(procs) => text(procs),
            Self::Path { count: Some(count), .. } if number(count) == Some(0) => String::new(),
            Self::Path { procs, .. } => fs::read_to_string(procs).unwrap_or_default(),
        };
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }
}

enum Meters {
    V1(v1::Meters),
    V2(v2::Meters),
}

impl Slot {
    fn raw(&self) -> Reading {
        match &self.meters {
            Meters::V1(meters) => meters.read(),
            Meters::V2(meters) => meters.read(),
        }
    }

    /// What the present task used.
    pub(crate) fn reading(&self) -> Reading {
        let (now, base) = (self.raw(), self.base);
        Reading {
            cpu: now.cpu.minus(base.cpu),
            cpu_system: now.cpu_system.minus(base.cpu_system),
            memory_peak: now.memory_peak,
            oom_kills: now.oom_kills.saturating_sub(base.oom_kills),
            read: Bytes(now.read.0.saturating_sub(base.read.0)),
            written: Bytes(now.written.0.saturating_sub(base.written.0)),
        }
    }

    /// Processes in it.
    pub(crate) fn members(&self) -> Vec<i32> {
        self.members.list()
    }

    /// Kills everything in it, once; what forks meanwhile is seen by the next look.
    pub(crate) fn kill(&self) {
        if let Some(kill) = &self.kill
            && kill.write_at(b"1", 0).is_ok()
        {
            return;
        }
        kill_members(&self.members());
    }

    fn begin(&mut self) {
        self.reusable = match &self.meters {
            Meters::V1(meters) => meters.reset(),
            Meters::V2(meters) => meters.reset(),
        };
        self.base = self.raw();
    }
}

fn kill_members(pids: &[i32]) {
    let mut doomed: Vec<Process> = pids.iter().filter_map(|pid| proc::process(*pid)).collect();
    while let Some(process) = doomed.pop() {
        proc::kill(process);
    }
}

enum Way {
    V1(v1::Hierarchies),
    V2(v2::Subtree),
    Watch,
}

/// Free slots with the same limits.
#[derive(Default)]
struct Free {
    slots: Vec<Slot>,
    /// How often they were tidied since one was last taken.
    idle: u32,
}

/// How tasks are confined here, and the slots that are free.
pub(crate) struct Confinement {
    way: Way,
    words: String,
    free: BTreeMap<SlotLimits, Free>,
    free_count: usize,
    next: u32,
    /// Folders that could not be removed yet.
    trash: Vec<PathBuf>,
}

/// Slots nobody took for so many rounds of tidying, about a minute, are removed.
const IDLE_ROUNDS_MAX: u32 = 30;

/// Free slots kept: more than a machine with 64 cores turns over in one round, and few enough
/// that idle ones do not weigh on the kernel.
const FREE_SLOTS_MAX: usize = 128;

impl Confinement {
    /// Finds out what is possible. `name` tells this keeper's cgroups from others'.
    pub(crate) fn probe(name: &str, allowed: Allowed) -> Self {
        let mut reasons = Vec::new();
        let mut found = None;
        if matches!(allowed, Allowed::Best | Allowed::V2) {
            match v2::Subtree::find(name, allowed == Allowed::V2) {
                Ok(subtree) => found = Some((subtree.words(), Way::V2(subtree))),
                Err(reason) => reasons.push(format!("cgroup v2: {reason}")),
            }
        }
        if found.is_none() && matches!(allowed, Allowed::Best | Allowed::V1) {
            match v1::Hierarchies::find(name) {
                Ok(hierarchies) => found = Some((hierarchies.words(), Way::V1(hierarchies))),
                Err(reason) => reasons.push(format!("cgroup v1: {reason}")),
            }
        }
        let (mut words, way) =
            found.unwrap_or_else(|| ("resource limits and watching".to_owned(), Way::Watch));
        if matches!(way, Way::Watch) && !reasons.is_empty() {
            words = format!("{words} ({})", reasons.join("; "));
        }
        Self { way, words, free: BTreeMap::new(), free_count: 0, next: 0, trash: Vec::new() }
    }

    /// In words, for people.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// How well processor, memory and process limits are held.
    pub(crate) fn enforcement(&self) -> [Enforcement; 3] {
        let held = |has: bool| if has { Enforcement::Enforced } else { Enforcement::Absent };
        match &self.way {
            Way::V1(hierarchies) => hierarchies.controllers().map(held),
            Way::V2(subtree) => subtree.controllers().map(held),
            Way::Watch => [Enforcement::Absent, Enforcement::Watched, Enforcement::Watched],
        }
    }

    /// Is every task in a cgroup?
    pub(crate) fn has_slots(&self) -> bool {
        match self.way {
            Way::V1(_) | Way::V2(_) => true,
            Way::Watch => false,
        }
    }

    /// Folders of this keeper in which an earlier one may have left slots.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        match &self.way {
            Way::V1(hierarchies) => hierarchies.roots(),
            Way::V2(subtree) => vec![subtree.root().to_owned()],
            Way::Watch => Vec::new(),
        }
    }

    /// A slot with these limits, `None` where there are no cgroups.
    pub(crate) fn take(&mut self, limits: SlotLimits) -> io::Result<Option<Slot>> {
        let free = self.free.get_mut(&limits);
        if let Some(mut slot) = free.and_then(|free| {
            free.idle = 0;
            free.slots.pop()
        }) {
            self.free_count -= 1;
            slot.begin();
            return Ok(Some(slot));
        }
        let name = format!("s{}", self.next);
        let made = match &self.way {
            Way::V1(hierarchies) => hierarchies.make(name, limits),
            Way::V2(subtree) => subtree.make(name, limits),
            Way::Watch => return Ok(None),
        };
        self.next += 1;
        let mut slot = made?;
        slot.begin();
        Ok(Some(slot))
    }

    /// Takes back an empty slot.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        if slot.reusable && self.free_count < FREE_SLOTS_MAX {
            self.free_count += 1;
            self.free.entry(slot.limits).or_default().slots.push(slot);
        } else {
            self.trash.extend(slot.folders);
        }
    }

    /// Removes what could not be removed at once: a cgroup is busy until its last process is gone.
    pub(crate) fn tidy(&mut self) {
        self.trash.retain(|folder| match fs::remove_dir(folder) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
        for free in self.free.values_mut() {
            free.idle += 1;
        }
        let idle = self.free.extract_if(.., |_, free| free.idle > IDLE_ROUNDS_MAX);
        for slot in idle.flat_map(|(_, free)| free.slots).collect::<Vec<_>>() {
            self.free_count -= 1;
            self.trash.extend(slot.folders);
        }
    }

    /// Removes every free slot and the folders around them: the keeper goes.
    pub(crate) fn remove_all(&mut self) {
        for slot in std::mem::take(&mut self.free).into_values().flat_map(|free| free.slots) {
            self.trash.extend(slot.folders);
        }
        self.free_count = 0;
        self.tidy();
        for root in self.roots() {
            let _ = fs::remove_dir(root);
        }
    }
}

/// Slots below a root, and who is in them. Another keeper's remains.
pub(crate) fn left_in(root: &Path) -> Vec<(PathBuf, Vec<i32>)> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let pids = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
            (entry.path(), pids.lines().filter_map(|pid| pid.trim().parse().ok()).collect())
        })
        .collect()
}

/// Kills what is in the slots below these roots and removes them; true once nothing is left.
pub(crate) fn clear_left(roots: &[PathBuf]) -> bool {
    let mut clear = true;
    for (folder, pids) in roots.iter().flat_map(|root| left_in(root)) {
        if !pids.is_empty() {
            kill_members(&pids);
        }
        clear &= fs::remove_dir(&folder).is_ok() || !folder.exists();
    }
    clear
}

/// The text of a small kernel file kept open.
fn text(file: &File) -> String {
    let mut bytes = vec![0u8; 4_096];
    let mut length = 0;
    while let Ok(n @ 1..) = file.read_at(&mut bytes[length..], length as u64) {
        length += n;
        if length == bytes.len() {
            bytes.resize(length * 2, 0);
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).unwrap_or_default()
}

fn number(file: &File) -> Option<u64> {
    let mut bytes = [0u8; 32];
    let length = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..length]).ok()?.trim().parse().ok()
}

/// The number after `key ` in a file of such lines.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn open_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn open_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

fn open_both(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn set(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = folder.join(file);
    open_write(&path).and_then(|file| file.write_at(value.as_bytes(), 0)).map(drop).map_err(
        |error| io::Error::new(error.kind(), format!("{} = {value}: {error}", path.display())),
    )
}

/// Microseconds of processor time per period of 100 ms. The kernel refuses less than 1 ms; a
/// limit of the whole machine or more is none.
fn quota(cpu: MilliCpu) -> Option<u64> {
    (cpu.0 < cores() * 1_000).then(|| (cpu.0 * PERIOD_MICROS / 1_000).max(1_000))
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64
}

/// Over so long a time a processor limit is counted: what the kernel takes unless told.
const PERIOD_MICROS: u64 = 100_000;

/// A slot whose leftover page cache is above this is emptied before the next task, so that its
/// peak is not the last one's. 8 MiB: below the least memory limit that makes sense.
const LEFTOVER_BYTES_MAX: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_shares_of_a_period() {
        assert_eq!(quota(MilliCpu(500)), Some(50_000));
        assert_eq!(quota(MilliCpu(1)), Some(1_000));
        assert_eq!(quota(MilliCpu(u64::from(u32::MAX))), None);
    }

    #[test]
    fn keyed_lines_are_found_whole() {
        let text = "oom 1\noom_kill 3\noom_group_kill 2\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "oom"), Some(1));
        assert_eq!(keyed(text, "max"), None);
    }
}
