//! What a container used, read where the kernel counts it, and a hold on its first process.
//!
//! The container's own cgroup goes with it, and its last counters too. Where the service lets us
//! choose, the container is put below a cgroup of ours, which stays until it was read. What the
//! service itself does there for the container (podman's conmon) is not the task's and is taken
//! off. Invariant: a process is touched only if its cgroup carries the container's id; a number
//! that another machine or another namespace gave is never taken for one of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dayan_units::{Bytes, Span};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::api::About;
use super::bell::Bell;
use crate::confine::{Reading, keyed, parse_io, parse_mounts, parse_own};
use crate::{Signal, proc};

/// Where podman puts its conmon, beside the container.
const CONMON: &str = "conmon";

/// The status of what SIGKILL ended.
const KILLED: i32 = 128 + libc::SIGKILL;

/// The largest page that a kernel counts memory by.
const PAGE: u64 = 64 << 10;

/// A limit as the kernel holds it: it rounds down to whole pages.
fn in_pages(limit: Bytes) -> Bytes {
    Bytes(limit.0 / PAGE * PAGE)
}

/// The cgroup trees of this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Trees {
    /// The unified tree, where it is the only one.
    unified: Option<PathBuf>,
    /// Controller → its tree, of the older kind.
    each: BTreeMap<String, PathBuf>,
    /// The folders of all older trees, controllers we do not read included.
    all: Vec<PathBuf>,
}

impl Trees {
    /// Those that are mounted here.
    pub(super) fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let each: BTreeMap<String, PathBuf> =
            parse_mounts(&mounts).into_iter().map(|(name, (point, _))| (name, point)).collect();
        let of_kind = |kind: &'static str| {
            mounts.lines().filter_map(move |line| {
                let (left, right) = line.split_once(" - ")?;
                let point = left.split(' ').nth(4)?;
                right.starts_with(kind).then(|| PathBuf::from(point))
            })
        };
        let unified = if each.is_empty() { of_kind("cgroup2 ").next() } else { None };
        Self { unified, each, all: of_kind("cgroup ").collect() }
    }

    fn roots(&self) -> Vec<PathBuf> {
        self.unified.iter().chain(&self.all).cloned().collect()
    }

    /// May containers be put below a cgroup of ours, and be read there? `name` is tried.
    pub(super) fn can_hold(&self, about: &About, name: &str) -> bool {
        // systemd makes slices only, and takes them away with the last that is in them.
        if !about.cgroupfs || about.rootless {
            return false;
        }
        let memory = self.unified.as_ref().or_else(|| self.each.get("memory"));
        memory.is_some_and(|root| {
            let folder = root.join(name);
            fs::create_dir(&folder).is_ok() || folder.is_dir()
        })
    }

    /// What was used in a cgroup of ours, without what conmon used.
    pub(super) fn of_ours(&self, cgroup: &str) -> Reading {
        let path = cgroup.trim_start_matches('/');
        let whole = self.read(|_| Some(path.to_owned()));
        let aside = self.read(|_| Some(format!("{path}/{CONMON}")));
        Reading {
            cpu: whole.cpu.minus(aside.cpu).max(Span::ZERO),
            cpu_system: whole.cpu_system.minus(aside.cpu_system).max(Span::ZERO),
            // Peaks do not subtract: what conmon holds at its height, some megabytes, is in it.
            memory_peak: whole.memory_peak,
            oom_kills: whole.oom_kills,
            read: Bytes(whole.read.0.saturating_sub(aside.read.0)),
            written: Bytes(whole.written.0.saturating_sub(aside.written.0)),
        }
    }

    /// Was something in a cgroup of ours killed for want of memory? The older kind counts that where
    /// it went with the container; what stays is that all of the limit was in use.
    pub(super) fn ran_out(&self, cgroup: &str, memory: Bytes, exit_code: i32) -> bool {
        let whole = self.of_ours(cgroup);
        if self.unified.is_some() {
            return whole.oom_kills > 0;
        }
        exit_code == KILLED && whole.memory_peak >= in_pages(memory)
    }

    /// Was all of its limit in use at some time? A bell rings for whoever is below the cgroup that was full: of
    /// a folder of many containers for each of them.
    pub(super) fn was_full(&self, cgroup: &str, memory: Bytes) -> bool {
        self.of_ours(cgroup).memory_peak >= in_pages(memory)
    }

    /// What was used so far in the cgroup that a process is in.
    pub(super) fn of_process(&self, pid: i32) -> Reading {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let own = parse_own(&text);
        self.read(|controller| {
            // Who is about to be gone is in the root of all already, which counts the machine's.
            let path = own.get(controller).map(|path| path.trim_start_matches('/'));
            path.filter(|path| !path.is_empty()).map(str::to_owned)
        })
    }

    /// Has the kernel end all that is in a process's cgroup together when it ends one of them for want of
    /// memory. Only the unified tree can; elsewhere whoever looks ends the rest.
    pub(super) fn end_as_one(&self, pid: i32) {
        let Some(root) = &self.unified else { return };
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let Some(own) = parse_own(&text).remove("") else { return };
        let file = root.join(own.trim_start_matches('/')).join("memory.oom.group");
        if let Err(error) = fs::write(&file, "1") {
            tracing::debug!(%error, file = %file.display(), "its parts do not end together");
        }
    }

    /// A bell on the cgroup that a process is in, where its count goes with it.
    pub(super) fn bell(&self, pid: i32) -> Option<Bell> {
        let root = self.each.get("memory").filter(|_| self.unified.is_none())?;
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let own = parse_own(&text).remove("memory")?;
        Bell::hang(&root.join(own.trim_start_matches('/')))
    }

    fn read(&self, path: impl Fn(&str) -> Option<String>) -> Reading {
        let text = |root: Option<&PathBuf>, controller: &str, file: &str| {
            let path = root.zip(path(controller)).map(|(root, path)| root.join(path).join(file));
            path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
        };
        let micros = |micros: u64| Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
        if self.unified.is_some() {
            let of = |file: &str| text(self.unified.as_ref(), "", file);
            let cpu = of("cpu.stat");
            let (read, written) = parse_io(&of("io.stat"));
            return Reading {
                cpu: micros(keyed(&cpu, "usage_usec").unwrap_or(0)),
                cpu_system: micros(keyed(&cpu, "system_usec").unwrap_or(0)),
                memory_peak: Bytes(number(&of("memory.peak"))),
                oom_kills: keyed(&of("memory.events"), "oom_kill").unwrap_or(0),
                read: Bytes(read),
                written: Bytes(written),
            };
        }
        let of = |controller: &str, file: &str| text(self.each.get(controller), controller, file);
        // cpuacct.stat counts in USER_HZ, 100 a second.
        let ticks = keyed(&of("cpuacct", "cpuacct.stat"), "system").unwrap_or(0);
        Reading {
            cpu: micros(number(&of("cpuacct", "cpuacct.usage")) / 1_000),
            cpu_system: micros(ticks.saturating_mul(10_000)),
            memory_peak: Bytes(number(&of("memory", "memory.max_usage_in_bytes"))),
            oom_kills: keyed(&of("memory", "memory.oom_control"), "oom_kill").unwrap_or(0),
            // The block controller of this kind misses what the page cache writes later.
            read: Bytes::ZERO,
            written: Bytes::ZERO,
        }
    }

    /// The names of the cgroups below one of ours.
    pub(super) fn below(&self, cgroup: &str) -> BTreeSet<String> {
        let path = cgroup.trim_start_matches('/');
        let folders =
            self.roots().into_iter().filter_map(|root| fs::read_dir(root.join(path)).ok());
        let entries = folders.flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// Removes a cgroup of ours and what the service left in it; false while something is in it.
    pub(super) fn remove(&self, cgroup: &str) -> bool {
        let path = cgroup.trim_start_matches('/');
        // Several controllers may be one tree, known by several names.
        self.roots().into_iter().map(|root| root.join(path)).fold(true, |gone, folder| {
            let inner = fs::read_dir(&folder).into_iter().flatten().flatten();
            for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let _ = fs::remove_dir(entry.path());
            }
            let outcome = fs::remove_dir(&folder);
            gone && (outcome.is_ok() || !folder.exists())
        })
    }
}

/// A hold on a container's first process, with which all of it ends.
#[derive(Debug)]
pub(super) struct First {
    pub(super) pid: i32,
    /// With the pid, who it is.
    pub(super) birth: u64,
    pub(super) pidfd: OwnedFd,
}

impl First {
    /// The process with this pid, if it is in the container with this id.
    pub(super) fn of_container(pid: i32, id: &str) -> Option<Self> {
        let first = Self::open(pid)?;
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        // Asked for after the descriptor was opened, so it is that process's.
        (!id.is_empty() && cgroup.contains(id)).then_some(first)
    }

    /// The process that an earlier keeper held.
    pub(super) fn again(pid: i32, birth: u64) -> Option<Self> {
        Self::open(pid).filter(|first| first.birth == birth)
    }

    fn open(pid: i32) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let birth = proc::process(pid).filter(|process| !process.is_zombie)?.birth;
        Some(Self { pid, birth, pidfd })
    }

    /// Sends it a signal. The kernel ends all of a process namespace with its first process.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let signal = rustix::process::Signal::from_named_raw(signal.0)
            .ok_or_else(|| io::Error::other("not a signal"))?;
        Ok(pidfd_send_signal(self.pidfd.as_fd(), signal)?)
    }
}

/// Is this folder's path one that podman's and docker's mount words can carry?
pub(super) fn is_mountable(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains([':', ',']))
}
