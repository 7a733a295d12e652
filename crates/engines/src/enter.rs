//! A command beside a running task: in its folder, with its environment, under its limits and in
//! its namespaces.
//!
//! An engine says how to get in ([`Entrance`]); whoever asked starts it as an ordinary process. It
//! is one more process of the task: it counts against its limits and ends with it at the latest.
//! Invariant: nobody has more rights inside than the task itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::proc::{self, Process};

/// What is to be run beside a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit<'a> {
    /// The program and its words.
    pub command: &'a [String],
    /// What kind of terminal it is started at, for `TERM`; none: with three pipes.
    pub terminal: Option<&'a str>,
}

/// How to start a command beside a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entrance {
    /// The program and its words.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The folder to start in; none: the entrance leads there by itself.
    pub folder: Option<PathBuf>,
    /// Who makes the session of a command at a terminal.
    pub session: Session,
}

/// Who makes the session that a terminal belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Session {
    /// Who starts the command, with the terminal as its own.
    Starters,
    /// The command, once it is among the task's processes: those see nobody outside, and a shell there could
    /// give the terminal back to nobody when it ends. Who starts it leaves the terminal without a session.
    Inside,
}

/// Why there is no way in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnterFault {
    /// Nothing of it runs.
    #[error("nothing of the task runs")]
    NotRunning,
    /// What keeps it apart is being set up: its program begins within a moment.
    #[error("the task is being set up; ask again")]
    NotYet,
    /// This engine does not offer it.
    #[error("{0}")]
    Unsupported(String),
    /// It could not be found out.
    #[error("{0}")]
    Failed(String),
}

impl EnterFault {
    /// Its stable dotted code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotRunning => "exec.not_running",
            Self::NotYet => "exec.not_yet",
            Self::Unsupported(_) => "exec.unsupported",
            Self::Failed(_) => "exec.failed",
        }
    }
}

/// Joins the cgroups that the words before `--` name, and becomes what stands behind it.
const JOIN: &str =
    "while [ \"$1\" != -- ]; do echo 0 > \"$1\" || exit 126; shift; done; shift; exec \"$@\"";

/// The program that isolates tasks, by its file's name.
const ISOLATOR: &str = "bwrap";

/// The namespaces a task may have of its own, with how nsenter(1) enters them.
const NAMESPACES: [(&str, &[&str]); 7] = [
    ("user", &["--user", "--preserve-credentials"]),
    ("mnt", &["--mount"]),
    ("pid", &["--pid"]),
    ("ipc", &["--ipc"]),
    ("uts", &["--uts"]),
    ("net", &["--net"]),
    ("cgroup", &["--cgroup"]),
];

/// The way to a process of this machine that belongs to a task with this fence.
pub(crate) fn beside(fence: &str, visit: Visit<'_>) -> Result<Entrance, EnterFault> {
    let mut own: Vec<Process> = proc::processes();
    own.retain(|process| proc::fence_of(process.pid).is_some_and(|found| found == fence));
    own.sort_by_key(|process| (process.birth, process.pid));
    if own.is_empty() {
        return Err(EnterFault::NotRunning);
    }
    // Who isolates a task stands outside of its namespaces, or sets them up: whoever came along would have more
    // than the task, or find nothing there.
    own.retain(|process| !isolates(process.pid));
    let leader = own.first().ok_or(EnterFault::NotYet)?;
    let failed = |what: &str, error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => EnterFault::NotRunning,
        _ => EnterFault::Failed(format!("{what}: {error}")),
    };
    let at = PathBuf::from(format!("/proc/{}", leader.pid));
    let env = fs::read(at.join("environ")).map_err(|e| failed("reading its environment", e))?;
    let groups = fs::read_to_string(at.join("cgroup")).map_err(|e| failed("its cgroups", e))?;
    let mut argv: Vec<OsString> = ["/bin/sh", "-c", JOIN, "sh"].map(OsString::from).to_vec();
    argv.extend(members_files(&groups).into_iter().map(PathBuf::into_os_string));
    argv.push("--".into());
    let enter = namespaces(leader.pid);
    let (folder, session) = if enter.is_empty() {
        let folder = fs::read_link(at.join("cwd")).map_err(|e| failed("finding its folder", e))?;
        (Some(folder), Session::Starters)
    } else {
        argv.extend(["nsenter", "--target", &leader.pid.to_string()].map(OsString::from));
        argv.extend(enter.into_iter().map(OsString::from));
        argv.extend(["--wd", "--"].map(OsString::from));
        // Who enters keeps its own rights, root its capabilities: the task has none.
        let without = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
        argv.extend(without.map(OsString::from));
        argv.push("--".into());
        if visit.terminal.is_some() {
            argv.extend(["setsid", "--ctty", "--wait"].map(OsString::from));
        }
        (None, Session::Inside)
    };
    argv.extend(visit.command.iter().map(OsString::from));
    let mut env = pairs(&env);
    if let Some(kind) = visit.terminal {
        env.retain(|(name, _)| name != "TERM");
        env.push(("TERM".into(), kind.into()));
    }
    Ok(Entrance { argv, env, folder, session })
}

/// Is it bubblewrap, and not yet the task's own program?
fn isolates(pid: i32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program.file_name().is_some_and(|name| name == ISOLATOR))
}

/// How to enter the namespaces that a process does not share with us.
fn namespaces(pid: i32) -> Vec<&'static str> {
    let link = |who: &str, name: &str| fs::read_link(format!("/proc/{who}/ns/{name}")).ok();
    let other = |name: &str| {
        let theirs = link(&pid.to_string(), name);
        theirs.is_some() && theirs != link("self", name)
    };
    NAMESPACES
        .iter()
        .filter(|(name, _)| other(name))
        .flat_map(|(_, words)| *words)
        .copied()
        .collect()
}

fn pairs(environ: &[u8]) -> Vec<(OsString, OsString)> {
    let entries = environ.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .filter_map(|entry| {
            let equals = entry.iter().position(|byte| *byte == b'=')?;
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((text(&entry[..equals]), text(&entry[equals + 1..])))
        })
        .collect()
}

/// Where a process joins the cgroups of another, whose `/proc/PID/cgroup` says so.
fn members_files(text: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.strip_prefix('/').unwrap_or(path);
        let mounts: Vec<PathBuf> = if controllers.is_empty() {
            vec![root.to_owned(), root.join("unified")]
        } else {
            let name = controllers.strip_prefix("name=").unwrap_or(controllers);
            vec![root.join(name)]
        };
        let files = mounts.into_iter().map(|mount| mount.join(path).join("cgroup.procs"));
        // In a hierarchy that we share with it there is nothing to join.
        (!path.is_empty()).then(|| files.into_iter().find(|file| file.exists())).flatten()
    };
    text.lines().filter_map(line).filter(|file| !holds_us(file)).collect()
}

fn holds_us(file: &Path) -> bool {
    let us = std::process::id().to_string();
    fs::read_to_string(file).is_ok_and(|pids| pids.lines().any(|pid| pid == us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_read_as_it_was_given() {
        let read = pairs(b"A=b=c\0EMPTY=\0broken\0\0D=\xff\0");
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let expect =
            [("A", &b"b=c"[..]), ("EMPTY", b""), ("D", b"\xff")].map(|(n, v)| (n.into(), text(v)));
        assert_eq!(read, expect);
    }

    #[test]
    fn nobody_is_beside_a_task_that_does_not_run() {
        let visit = Visit { command: &["true".to_owned()], terminal: None };
        assert_eq!(beside("no such:fence", visit), Err(EnterFault::NotRunning));
    }

    #[test]
    fn what_we_share_is_not_entered_or_joined() {
        let us = i32::try_from(std::process::id()).expect("a pid");
        assert!(namespaces(us).is_empty());
        let ours = fs::read_to_string("/proc/self/cgroup").expect("Linux");
        assert_eq!(members_files(&ours), Vec::<PathBuf>::new());
    }
}
