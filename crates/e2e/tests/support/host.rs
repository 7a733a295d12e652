//! The processes of this machine that belong to a folder, and signals to them.

use std::path::Path;

use rustix::process::{Pid, Signal};

/// The command line of a process, in words.
pub fn words(pid: i32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Processes that were started with the folder in their command line, or work below it.
pub fn below(folder: &Path) -> Vec<i32> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| u32::try_from(*pid) != Ok(own))
        .filter(|pid| {
            let works = std::fs::read_link(format!("/proc/{pid}/cwd"));
            let named = |word: &String| Path::new(word).starts_with(folder);
            works.is_ok_and(|works| works.starts_with(folder)) || words(*pid).iter().any(named)
        })
        .collect()
}

/// Sends a signal; a process that is gone already is no matter.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The same to each of several.
pub fn signal_all(pids: &[i32], to: Signal) {
    for pid in pids {
        signal(*pid, to);
    }
}
