//! What is to be run: the program, its limits, its place, and until when it may.
//!
//! Invariant: a [`Launch`] is complete in itself. Nothing of the environment of who asks, nor of
//! who runs it, is added behind the caller's back. These are values; nothing here touches the
//! world.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use dayan_units::{AttemptId, Bytes, MilliCpu, Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which start of the machine a reading of the boot clock belongs to: the kernel's random boot id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub u128);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for BootId {
    type Err = String;
    /// Reads 32 hexadecimal digits, with or without the dashes of a UUID.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        match (digits.len(), u128::from_str_radix(&digits, 16)) {
            (32, Ok(bits)) => Ok(Self(bits)),
            _ => Err(format!("`{}` is not a boot id", text.trim())),
        }
    }
}
impl Serialize for BootId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// A reading of CLOCK_BOOTTIME: microseconds since the machine started, suspended time included.
/// Unlike the wall clock nobody can set it, and unlike CLOCK_MONOTONIC it goes on while asleep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(i64);

impl BootTime {
    /// Later than every reading.
    pub const NEVER: Self = Self(i64::MAX);
    /// From microseconds since the machine started.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Microseconds since the machine started.
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// This reading and a span; held at the ends of the range.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.micros()))
    }
    /// How long since `earlier` (negative if it is later).
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// When a lease ends, on the clock of the machine that runs the task. A lease of another boot is
/// over: its machine went down with everything it ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseEnd {
    /// The boot the reading belongs to.
    pub boot: BootId,
    /// The first moment at which the task may no longer run.
    pub at: BootTime,
}

/// What to execute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program and its arguments, passed on exactly. A name without `/` is looked up in the
    /// task's own `PATH`.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`, as in a job file's `run:`. Where the line has no meaning to a
    /// shell beyond its words, it is executed without one.
    Shell(String),
}

/// Where the task runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workdir {
    /// A folder of the attempt's own, empty but for what was staged into it beforehand, removed
    /// when the attempt is forgotten.
    #[default]
    Fresh,
    /// A folder that exists. It is neither made nor removed.
    At(PathBuf),
}

/// What an isolated task sees of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's own.
    #[default]
    Host,
    /// Only a loopback of its own.
    None,
}

/// Which devices an isolated task sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    /// Those every program expects: null, zero, random, terminals.
    #[default]
    Basic,
    /// The machine's own, with the rights of the keeper's user: accelerators are among them.
    Machine,
}

/// How far the task is kept apart from the machine beyond its limits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Limits only.
    #[default]
    None,
    /// Namespaces by bubblewrap: read-only root, private `/tmp`, own process ids, no capabilities,
    /// the attempt's folder writable. Refused with a reason where bubblewrap does not work. A
    /// program that a signal ends is seen as one that exited with 128 and the signal's number.
    Bubblewrap {
        /// What it sees of the network.
        network: Network,
        /// Which devices it sees.
        #[serde(default)]
        devices: Devices,
        /// Folders it finds empty: what the machine keeps from tasks.
        #[serde(default)]
        hidden: Vec<PathBuf>,
    },
}

/// What one attempt may use at most. They are on by default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time per wall time. Held by the kernel where cgroups are.
    pub cpu: MilliCpu,
    /// Memory of all its processes together, page cache included where cgroups are.
    pub memory: Bytes,
    /// Time from the start of the process to its end; [`Span::MAX`] for none.
    pub wall: Span,
    /// Processes and threads at once.
    pub pids: u32,
    /// Bytes kept of each of the two output streams: the first half and the last half.
    pub log: Bytes,
    /// Open files per process.
    pub open_files: u64,
    /// Processors the task is pinned to; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_set: Vec<u32>,
}

impl Launch {
    /// Does it ask for what only an engine of containers of this machine has?
    pub(crate) fn needs_containers(&self) -> bool {
        !self.steps.is_empty() || !self.mounts.is_empty()
    }
}

impl Default for Limits {
    /// One core, 1 GiB, one hour; 1,024 processes stop a fork bomb and pass a parallel `make`;
    /// 8 MiB of each stream are more than a person reads; 4,096 files are what servers ask for.
    fn default() -> Self {
        Self {
            cpu: MilliCpu(1_000),
            memory: Bytes(1 << 30),
            wall: Span::from_secs(3_600),
            pids: 1_024,
            log: Bytes(8 << 20),
            open_files: 4_096,
            cpu_set: Vec::new(),
        }
    }
}

/// A signal by its Linux number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

impl Signal {
    /// Asks to end.
    pub const TERM: Self = Self(15);
    /// Interrupts, as from a terminal.
    pub const INT: Self = Self(2);
    /// Ends without asking.
    pub const KILL: Self = Self(9);
    /// A terminal was hung up.
    pub const HUP: Self = Self(1);
    /// The first signal left to the program's own use.
    pub const USR1: Self = Self(10);
    /// The second one.
    pub const USR2: Self = Self(12);
}

/// When an image is fetched from its registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// Before every start: a tag that moves is followed.
    Always,
    /// Where it is not there yet.
    #[default]
    Missing,
    /// Never: what is not there cannot be started.
    Never,
}

impl FromStr for Pull {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "missing" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            other => Err(format!("`{other}` is not one of always, missing and never")),
        }
    }
}

/// What a container sees of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageNetwork {
    /// A loopback of its own.
    #[default]
    None,
    /// A network of the engine's, from which the world is reached and which nobody reaches.
    Bridge,
    /// The machine's own.
    Host,
}

impl FromStr for ImageNetwork {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "bridge" => Ok(Self::Bridge),
            "host" => Ok(Self::Host),
            other => Err(format!("`{other}` is not one of none, bridge and host")),
        }
    }
}

/// By what name and password a registry is asked. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The container image a task runs in, and how.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Image {
    /// Its name, as a registry or the engine knows it.
    pub name: String,
    /// When it is fetched.
    #[serde(default)]
    pub pull: Pull,
    /// What the container sees of the network.
    #[serde(default)]
    pub network: ImageNetwork,
    /// By what its registry is asked, where it wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Devices it gets: names of the Container Device Interface, such as `nvidia.com/gpu=0`, and
    /// files of `/dev`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// Part of the attempt's folder, seen at another place inside its containers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// A path inside the attempt's folder: a file that is there, or a folder, made where it is
    /// missing.
    pub from: PathBuf,
    /// Where it is seen: an absolute path.
    pub at: String,
}

/// A command in a container of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// The image.
    pub image: Image,
    /// The program and its arguments, as they are.
    pub argv: Vec<String>,
    /// Where it starts, inside the container; none: where the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Variables beside the launch's, which they hide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The file inside the container that it reads as its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The file inside the container that its standard output goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The file inside the container that its standard error goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Does the next step begin although this one exits with another status than 0?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_error: bool,
}

/// One attempt of a task, ready to be run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// Which attempt; the key under which everything about it is found again.
    pub attempt: AttemptId,
    /// What to execute.
    pub program: Program,
    /// The whole environment, but for `PATH`, `HOME` and `TMPDIR` where it does not set them and
    /// for `DAYAN_FENCE`, by which a stray process is known as ours.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub workdir: Workdir,
    /// What it may use.
    pub limits: Limits,
    /// Until when it may run, unless extended.
    pub lease_end: LeaseEnd,
    /// How it is kept apart.
    pub isolation: Isolation,
    /// The node it was placed on, for an engine that stands for several.
    pub node: String,
    /// The NVIDIA cards it was given, as their driver numbers them: whose energy is counted for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<u32>,
    /// How many accelerators it was given, for an engine that hands them out itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accelerators: u32,
    /// Its place in a gang, for an engine whose own scheduler starts all of it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<GangSeat>,
    /// The image it runs in; none: programs of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Parts of its folder at other places, for an engine of containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// What runs instead of the program, for an engine of containers: one after the other, in one
    /// attempt with one lease and one limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The organisation that pays, for an engine that keeps those apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// What the job says to the site's own scheduler, for an engine that hands it on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub site_words: BTreeMap<String, String>,
    /// What its nodes are to have, for an engine that chooses them: those of the names that the engine
    /// shows are asked for, others are the exchange's own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub node_features: BTreeSet<String>,
}

/// A member's place in a gang that starts at once or not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GangSeat {
    /// A number that all members of one launch of the job share.
    pub launch: u32,
    /// How many nodes the gang has.
    pub nodes: u32,
    /// How many of its members run a command: all, or only the one of rank 0.
    pub members: u32,
    /// Its rank, from 0.
    pub rank: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids_read_as_the_kernel_writes_them() {
        let id: BootId = "de305d54-75b4-431b-adb2-eb6b9e546014\n".parse().expect("a UUID");
        assert_eq!(id.to_string(), "de305d5475b4431badb2eb6b9e546014");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "xyz", "de305d54"] {
            assert!(bad.parse::<BootId>().is_err(), "{bad}");
        }
    }
}
