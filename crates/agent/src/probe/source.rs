//! Where facts come from: small files under `/proc`, `/sys` and `/dev`, and vendor tools.
//!
//! Invariant: a file is read up to a limit, a tool runs up to a limit, and failure is a value.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A fact with its source, or the reason why it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found<T> {
    /// It is known.
    Known {
        /// What was found.
        value: T,
        /// File, library or tool it came from.
        source: String,
    },
    /// It is not.
    Missing {
        /// Why not.
        why: String,
        /// Where it was looked for.
        source: String,
    },
}

impl<T> Found<T> {
    pub(crate) fn new(source: &str, value: Result<T, String>) -> Self {
        let source = source.to_owned();
        match value {
            Ok(value) => Self::Known { value, source },
            Err(why) => Self::Missing { why, source },
        }
    }
    /// What was found.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Missing { .. } => None,
        }
    }
}

/// The largest file read: `/proc/cpuinfo` of a machine with a thousand threads has about 1.5 MiB.
const FILE_MAX_BYTES: u64 = 8 << 20;
/// Healthy vendor tools answer within 2 s; on a sick card some never do.
const TOOL_MAX: Duration = Duration::from_secs(5);
/// No tool asked here prints more for a full machine.
const OUTPUT_MAX_BYTES: u64 = 1 << 20;
/// A machine has fewer directory entries of any kind that is listed here.
const NAMES_MAX: usize = 20_000;

/// Which machine is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Here,
    Recorded,
}

/// Files under a root, and tools if the root is this machine's.
pub(crate) struct Sources {
    root: PathBuf,
    machine: Machine,
}

impl Sources {
    pub(crate) fn live() -> Self {
        Self { root: PathBuf::from("/"), machine: Machine::Here }
    }
    pub(crate) fn recorded(root: PathBuf) -> Self {
        Self { root, machine: Machine::Recorded }
    }
    /// May libraries, tools and the processor itself be asked?
    pub(crate) fn is_live(&self) -> bool {
        self.machine == Machine::Here
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }
    /// A file's text without white space at its ends.
    pub(crate) fn text(&self, path: &str) -> Result<String, String> {
        let mut bytes = Vec::new();
        File::open(self.path(path))
            .and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes))
            .map_err(|fault| format!("{path}: {fault}"))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
    /// A file that holds one number.
    pub(crate) fn number<T: FromStr>(&self, path: &str) -> Result<T, String> {
        let text = self.text(path)?;
        text.parse().map_err(|_| format!("{path}: `{text}` is no such number"))
    }
    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<String>, String> {
        let entries =
            std::fs::read_dir(self.path(path)).map_err(|fault| format!("{path}: {fault}"))?;
        let mut names: Vec<String> = entries
            .take(NAMES_MAX)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }
    /// The names in a directory that are `prefix` and a number, by number.
    pub(crate) fn numbered(&self, path: &str, prefix: &str) -> Result<Vec<u32>, String> {
        let mut numbers: Vec<u32> = self
            .names(path)?
            .iter()
            .filter_map(|name| name.strip_prefix(prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
    /// The last part of what a symbolic link points to.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// What a vendor's tool prints. The tool is ended when it takes too long.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        if !self.is_live() {
            return Err(format!("{program}: not asked about a recorded machine"));
        }
        let mut child = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|fault| format!("{program}: {fault}"))?;
        let output = child.stdout.take().expect("it was asked to be piped");
        let (done, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(OUTPUT_MAX_BYTES).read_to_end(&mut bytes);
            // Nobody listens any more when the time is over; then there is nothing to tell.
            drop(done.send(read.map(|_| bytes)));
        });
        let read = answer.recv_timeout(TOOL_MAX);
        // Whatever happened, the tool must not stay: ending one that has ended does nothing.
        drop(child.kill());
        drop(child.wait());
        match read {
            Ok(Ok(bytes)) if !bytes.is_empty() => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(Ok(_)) => Err(format!("{program}: printed nothing")),
            Ok(Err(fault)) => Err(format!("{program}: {fault}")),
            Err(_) => Err(format!("{program}: no answer within {} s", TOOL_MAX.as_secs())),
        }
    }
}

/// A hash that stands for a serial number, so that the same part offered twice is seen and the
/// number itself stays here. Unsalted for that reason: it hides a number from a reader, not from
/// one who tries all of them.
pub(crate) fn hashed(kind: &str, serial: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"dayan hardware id 1\0");
    hasher.update(kind.as_bytes());
    hasher.update(b"\0");
    hasher.update(serial.trim().to_ascii_lowercase().as_bytes());
    // 128 bits: no two parts on earth meet by chance.
    hex::encode(&hasher.finalize()[..16])
}

/// The numbers of a kernel list such as `0-3,8,10-11`.
pub(crate) fn list(text: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            // No kernel is built for more processors.
            numbers.extend(first..=last.min(first.saturating_add(65_536)));
        }
    }
    numbers
}

/// The file system's longest mount point that holds `path`, with the lines of
/// `/proc/self/mountinfo` (proc(5)): mount point, type, source, root within the file system.
pub(crate) struct Mount {
    pub(crate) point: String,
    pub(crate) root: String,
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) options: String,
}

/// All mounts of this process, in the kernel's order.
pub(crate) fn mounts(sources: &Sources) -> Result<Vec<Mount>, String> {
    let text = sources.text("/proc/self/mountinfo")?;
    Ok(text.lines().filter_map(mount).collect())
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let mut after = after.split(' ');
    // White space in paths is written as octal escapes; blanks are all that occurs in practice.
    let path = |text: &str| text.replace("\\040", " ");
    Some(Mount {
        root: path(before.next()?),
        point: path(before.next()?),
        kind: after.next()?.to_owned(),
        device: after.next()?.to_owned(),
        options: after.next().unwrap_or("").to_owned(),
    })
}

/// The mount that a path lies in: the longest mount point, of equals the latest.
pub(crate) fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| Path::new(&mount.point).components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists() {
        let check = |text, expect: &[u32]| assert_eq!(list(text), expect, "{text}");
        check("0-3,8,10-11", &[0, 1, 2, 3, 8, 10, 11]);
        check("0", &[0]);
        check("", &[]);
        check("\n", &[]);
        check("3-1,x,5", &[5]);
    }

    #[test]
    fn hashes_hide_the_number_and_ignore_its_case() {
        let hash = hashed("mac", "AA:BB:CC:00:11:22");
        assert_eq!(hash, hashed("mac", "aa:bb:cc:00:11:22\n"));
        assert_ne!(hash, hashed("disk", "AA:BB:CC:00:11:22"));
        assert_eq!(hash.len(), 32);
        assert!(!hash.to_lowercase().contains("aabb"));
    }

    #[test]
    fn mounts_are_read_and_the_longest_wins() {
        let line = "31 23 0:28 / /mnt/a\\040b rw,nosuid shared:1 - ext4 /dev/vdb rw";
        let root = "27 1 254:0 / / rw,relatime - xfs /dev/vda rw,discard";
        let mounts: Vec<Mount> = [root, line, "nonsense"].iter().filter_map(|l| mount(l)).collect();
        assert_eq!(mounts.len(), 2);
        let of = |path: &str| mount_of(&mounts, Path::new(path)).map(|m| m.device.as_str());
        assert_eq!(of("/mnt/a b/data"), Some("/dev/vdb"));
        assert_eq!(of("/mnt/a bc"), Some("/dev/vda"));
    }

    #[test]
    fn tools_answer_fail_or_are_missing() {
        let sources = Sources::live();
        assert_eq!(sources.tool("echo", &["here"]), Ok("here\n".to_owned()));
        assert_eq!(sources.tool("true", &[]), Err("true: printed nothing".to_owned()));
        let missing = sources.tool("no-such-tool-anywhere", &[]).expect_err("it is missing");
        assert!(missing.starts_with("no-such-tool-anywhere: "), "{missing}");
        let recorded = Sources::recorded(PathBuf::from("/nonexistent"));
        assert!(recorded.tool("echo", &["here"]).is_err());
    }
}
