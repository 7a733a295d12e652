//! Reading `/proc`: who a process is, whose task it belongs to, what it uses.
//!
//! Used where no cgroup holds a task together, and by a new keeper to find what a dead one left.
//! A process is known by its pid *and* its start time, because pids are reused.

use std::fs;
use std::io::Read;

use dayan_units::{Bytes, Span};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::command::FENCE_VARIABLE;
use crate::sys::page_bytes;

/// So much of a program's name is kept: `TASK_COMM_LEN` less its end.
const NAME_MAX: usize = 15;

/// One process as `/proc/PID/stat` shows it (proc(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    pub pid: i32,
    pub session: i32,
    /// What runs in it, cut to what the kernel keeps of a name.
    name: [u8; NAME_MAX],
    /// Has it ended, and only waits for its parent to notice? It runs nothing any more.
    pub is_zombie: bool,
    /// Start time in clock ticks since the machine started: with the pid, who it is.
    pub birth: u64,
    pub user: Span,
    pub system: Span,
    pub resident: Bytes,
}

impl Process {
    /// Does it run a program of that name, which is a short one?
    pub fn runs(&self, program: &str) -> bool {
        self.name.split(|byte| *byte == 0).next() == Some(program.as_bytes())
    }
}

/// Ticks of user-visible times: `USER_HZ` is 100 on every Linux.
const TICK_MICROS: i64 = 10_000;

fn parse_stat(text: &str) -> Option<Process> {
    // The name in the second field may hold spaces and parentheses; the last one closes it.
    let (head, tail) = text.rsplit_once(')')?;
    let (pid, comm) = head.split_once(" (")?;
    let pid = pid.parse().ok()?;
    let mut name = [0u8; NAME_MAX];
    name.iter_mut().zip(comm.bytes()).for_each(|(to, from)| *to = from);
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    // `fields[0]` is field 3 of proc(5), so field n is `fields[n - 3]`.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let ticks = |field| Some(Span::from_micros(number(field)?.saturating_mul(TICK_MICROS)));
    Some(Process {
        pid,
        name,
        session: i32::try_from(number(6)?).ok()?,
        is_zombie: matches!(fields.first(), Some(&"Z" | &"X")),
        birth: u64::try_from(number(22)?).ok()?,
        user: ticks(14)?,
        system: ticks(15)?,
        resident: Bytes(u64::try_from(number(24)?.max(0)).ok()?.saturating_mul(page_bytes())),
    })
}

/// The process with this pid, if there is one.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let mut text = [0u8; 1_024];
    let mut file = fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    let length = file.read(&mut text).ok()?;
    parse_stat(&String::from_utf8_lossy(&text[..length]))
}

/// Every process that can still run.
pub(crate) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .filter(|process| !process.is_zombie)
        .collect()
}

/// The fence in the environment the process was executed with.
pub(crate) fn fence_of(pid: i32) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environ.split(|byte| *byte == 0).find_map(|entry| {
        let fence = entry.strip_prefix(FENCE_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(fence.to_vec()).ok()
    })
}

/// Kills this very process; one that took its pid in between is left alone.
pub(crate) fn kill(target: Process) {
    signal(target, crate::Signal::KILL);
}

/// Sends a signal to this very process; one that took its pid in between is left alone.
pub(crate) fn signal(target: Process, signal: crate::Signal) {
    let Some(signal) = Signal::from_named_raw(signal.0) else { return };
    let Some(pid) = Pid::from_raw(target.pid) else { return };
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // The descriptor is fixed now, so comparing the birth after opening it decides.
    if process(target.pid).is_some_and(|now| now.birth == target.birth) {
        let _ = pidfd_send_signal(&fd, signal);
    }
}

/// Does the process catch the signal? One that ignores it or lets the default happen does not.
pub(crate) fn catches(pid: i32, signal: crate::Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = u32::try_from(signal.0 - 1).ok().filter(|bit| *bit < 64);
    bit.is_some_and(|bit| mask & (1 << bit) != 0)
}

/// Sends a signal to those of the processes that catch it.
pub(crate) fn ask(processes: impl IntoIterator<Item = i32>, signal: crate::Signal) {
    for pid in processes {
        // Who it is first: what catches the signal must be who is sent it.
        if let Some(process) = process(pid)
            && catches(pid, signal)
        {
            self::signal(process, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_an_awkward_name() {
        let line = "42 (a) b (c) S 1 42 41 0 -1 4194560 1 2 3 4 7 9 0 0 20 0 1 0 12345 1000 3 0";
        let process = parse_stat(line).expect("well-formed");
        assert!(!process.is_zombie);
        assert_eq!((process.pid, process.session, process.birth), (42, 41, 12_345));
        assert_eq!((process.user, process.system), (Span::from_millis(70), Span::from_millis(90)));
        assert_eq!(process.resident.0, 3 * page_bytes());
        assert!(process.runs("a) b (c") && !process.runs("a"));
        let long = line.replace("a) b (c", "a-name-of-sixteen");
        assert!(parse_stat(&long).expect("well-formed").runs("a-name-of-sixte"));
        for bad in ["", "42", "42 (a", "42 (a) S 1 2"] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
    }

    #[test]
    fn finds_itself() {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        assert!(
            processes()
                .iter()
                .any(|p| p.pid == me && Some(p.birth) == process(me).map(|p| p.birth))
        );
    }
}
