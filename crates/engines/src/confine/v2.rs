//! Cgroup v2: one tree, of which a part must be delegated to us (as systemd does with
//! `Delegate=yes`, or root has anyway).
//!
//! A cgroup that holds processes cannot hand controllers to its children, so where our own does,
//! keeper and agent first move to a leaf beside the tasks; if anybody else is in it, it is not
//! ours to rearrange and this way is given up.

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

const WANTED: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// Where keeper and agent move to, beside the tasks.
const LEAF: &str = "dayan-agent";

/// Our folder of the tree.
pub(super) struct Subtree {
    root: PathBuf,
    controllers: Vec<String>,
}

/// Open counters of one slot.
pub(super) struct Meters {
    cpu: File,
    peak: Option<File>,
    usage: Option<File>,
    reclaim: Option<File>,
    events: Option<File>,
    io: Option<File>,
}

impl Meters {
    pub(super) fn read(&self) -> Reading {
        let cpu = text(&self.cpu);
        let micros = |key| {
            Span::from_micros(i64::try_from(keyed(&cpu, key).unwrap_or(0)).unwrap_or(i64::MAX))
        };
        let events = self.events.as_ref().map(text).unwrap_or_default();
        let (read, written) = self.io.as_ref().map(|io| parse_io(&text(io))).unwrap_or_default();
        Reading {
            cpu: micros("usage_usec"),
            cpu_system: micros("system_usec"),
            memory_peak: Bytes(self.peak.as_ref().and_then(number).unwrap_or(0)),
            oom_kills: keyed(&events, "oom_kill").unwrap_or(0),
            read: Bytes(read),
            written: Bytes(written),
        }
    }

    /// The peak can be reset since Linux 6.12; before, a slot serves one task.
    pub(super) fn reset(&self) -> bool {
        let Some(peak) = &self.peak else { return true };
        if let (Some(usage), Some(reclaim)) = (&self.usage, &self.reclaim)
            && let Some(bytes) = number(usage).filter(|bytes| *bytes > LEFTOVER_BYTES_MAX)
        {
            // EAGAIN says that less was there to take; fine.
            let _ = reclaim.write_at(bytes.to_string().as_bytes(), 0);
        }
        peak.write_at(b"reset", 0).is_ok()
    }
}

impl Subtree {
    /// Finds our cgroup and prepares it. With `bare` a tree without controllers will do.
    pub(super) fn find(name: &str, bare: bool) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| e.to_string())?;
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
        let (mount, seen) = parse_mount(&mounts).ok_or("not mounted")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).ok_or("no own cgroup")?;
        let inside = own.strip_prefix(seen.trim_end_matches('/')).unwrap_or(own);
        // A keeper started by an agent that has moved to the leaf is in the leaf itself.
        let inside = inside.strip_suffix(LEAF).unwrap_or(inside);
        let home = mount.join(inside.trim_matches('/'));
        let offered = fs::read_to_string(home.join("cgroup.controllers")).unwrap_or_default();
        let there = |wanted: &&&str| offered.split_ascii_whitespace().any(|o| o == **wanted);
        let controllers: Vec<String> =
            WANTED.iter().filter(there).map(|c| (*c).to_owned()).collect();
        if !bare && !["memory", "pids"].iter().all(|need| controllers.iter().any(|c| c == need)) {
            return Err(format!("memory and pids are not offered in {}", home.display()));
        }
        let root = home.join(name);
        match fs::create_dir(&root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("cannot make {}: {error}", root.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let prepared = hand_down(&home, &controllers).and_then(|()| enable(&root, &controllers));
        if let Err(reason) = prepared {
            let _ = fs::remove_dir(&root);
            return Err(reason);
        }
        // All tasks together weigh as much as one cgroup on every processor.
        let _ = set(&root, "cpu.weight", &(100 * super::cores()).min(10_000).to_string());
        Ok(Self { root, controllers })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn words(&self) -> String {
        format!("cgroup v2 ({})", self.controllers.join(", "))
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Which of processor, memory and process limits it holds.
    pub(super) fn controllers(&self) -> [bool; 3] {
        [self.has("cpu"), self.has("memory"), self.has("pids")]
    }

    pub(super) fn make(&self, name: String, limits: SlotLimits) -> io::Result<Slot> {
        let folder = self.root.join(&name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let slot = self.open(name, limits, &folder);
        if slot.is_err() {
            let _ = fs::remove_dir(&folder);
        }
        slot
    }

    fn open(&self, name: String, limits: SlotLimits, folder: &Path) -> io::Result<Slot> {
        if self.has("memory") {
            set(folder, "memory.max", &limits.memory.0.to_string())?;
            set(folder, "memory.oom.group", "1")?;
            // There only where swap is.
            let _ = set(folder, "memory.swap.max", "0");
        }
        if self.has("cpu") {
            // Its part when processors are short, 100 for a core as every other cgroup has.
            let weight = (limits.cpu.0 / 10).clamp(1, 10_000);
            set(folder, "cpu.weight", &weight.to_string())?;
        }
        if self.has("cpu")
            && let Some(quota) = quota(limits.cpu)
        {
            set(folder, "cpu.max", &format!("{quota} {PERIOD_MICROS}"))?;
        }
        if self.has("pids") {
            set(folder, "pids.max", &limits.pids.to_string())?;
        }
        let procs = folder.join("cgroup.procs");
        // Kernels before 5.19 have no memory.peak, before 5.14 no cgroup.kill.
        let optional = |file: &str| open_both(&folder.join(file)).ok();
        Ok(Slot {
            name,
            join: Arc::new(vec![OwnedFd::from(open_write(&procs)?)]),
            limits,
            members: super::Members::Open(open_read(&procs)?),
            kill: open_write(&folder.join("cgroup.kill")).ok(),
            meters: super::Meters::V2(Meters {
                cpu: open_read(&folder.join("cpu.stat"))?,
                peak: optional("memory.peak")
                    .or_else(|| open_read(&folder.join("memory.peak")).ok()),
                usage: open_read(&folder.join("memory.current")).ok(),
                reclaim: open_write(&folder.join("memory.reclaim")).ok(),
                events: open_read(&folder.join("memory.events")).ok(),
                io: open_read(&folder.join("io.stat")).ok(),
            }),
            base: Reading::default(),
            reusable: true,
            folders: vec![folder.to_owned()],
        })
    }
}

/// Lets `home` hand these controllers to its children.
fn hand_down(home: &Path, controllers: &[String]) -> Result<(), String> {
    let handed = fs::read_to_string(home.join("cgroup.subtree_control")).unwrap_or_default();
    if controllers.iter().all(|c| handed.split_ascii_whitespace().any(|h| h == c)) {
        return Ok(());
    }
    // The root of the tree may hold processes and hand down at once.
    if home.join("cgroup.type").exists() {
        let here = fs::read_to_string(home.join("cgroup.procs")).map_err(|e| e.to_string())?;
        let ours = [Some(rustix::process::getpid()), rustix::process::getppid()];
        let ours = ours.map(|pid| pid.map(|pid| pid.as_raw_nonzero().get().to_string()));
        let pids: Vec<&str> = here.lines().collect();
        if !pids.iter().all(|pid| ours.iter().flatten().any(|our| our == pid)) {
            return Err(format!("{} holds processes that are not ours", home.display()));
        }
        let leaf = home.join(LEAF);
        match fs::create_dir(&leaf) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("cannot make {}: {error}", leaf.display()));
            }
            Ok(()) | Err(_) => {}
        }
        for pid in pids {
            set(&leaf, "cgroup.procs", pid).map_err(|e| e.to_string())?;
        }
    }
    enable(home, controllers)
}

fn enable(folder: &Path, controllers: &[String]) -> Result<(), String> {
    controllers.iter().try_for_each(|controller| {
        set(folder, "cgroup.subtree_control", &format!("+{controller}")).map_err(|e| e.to_string())
    })
}

/// Where the tree is mounted, and which folder of it is seen there.
fn parse_mount(mountinfo: &str) -> Option<(PathBuf, String)> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        match (&left[..], right.starts_with("cgroup2 ")) {
            ([_, _, _, root, point, ..], true) => Some((PathBuf::from(point), (*root).to_owned())),
            _ => None,
        }
    })
}

/// Bytes read and written over all devices.
pub(crate) fn parse_io(stat: &str) -> (u64, u64) {
    let sum = |key: &str| {
        stat.split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
            .fold(0u64, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_words() {
        let io = "8:0 rbytes=100 wbytes=5 rios=1\n8:16 rbytes=20 wbytes=7 rios=2\n";
        assert_eq!(parse_io(io), (120, 12));
        let mounts = "1 0 0:1 / /proc rw - proc proc rw\n\
                      2 0 0:2 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let expect = (PathBuf::from("/sys/fs/cgroup"), "/user.slice".to_owned());
        assert_eq!(parse_mount(mounts), Some(expect));
    }
}
