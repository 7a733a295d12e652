//! The conformance suite on the engines of this crate.

use std::ffi::OsString;
use std::path::Path;

use dayan_engines::conformance::{self, Bed};
use dayan_engines::{Engine, ProcessConfig, ProcessEngine, SimulatedEngine};

/// The process engine in a folder of its own, confined in one of the ways.
struct Processes {
    dir: tempfile::TempDir,
    confine: &'static str,
}

impl Processes {
    fn config(&self) -> ProcessConfig {
        ProcessConfig {
            dir: self.dir.path().join("agent"),
            keeper: vec![env!("CARGO_BIN_EXE_dayan-keeper-test").into()],
            options: ["--confine", self.confine, "--idle", "2s"].map(OsString::from).to_vec(),
        }
    }
}

/// The keeper of a folder, found by its command line.
fn keeper_of(dir: &Path) -> Option<rustix::process::Pid> {
    let dir = dir.canonicalize().ok()?;
    let wanted = ["--dir", dir.to_str()?];
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let ours = words
            .windows(2)
            .any(|pair| pair[0] == wanted[0].as_bytes() && pair[1] == wanted[1].as_bytes());
        let pid = entry.file_name().to_str()?.parse().ok()?;
        ours.then(|| rustix::process::Pid::from_raw(pid))?
    })
}

impl Bed for Processes {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(ProcessEngine::open(self.config()).expect("opens"))
    }
    fn kill_keeper(&mut self) -> bool {
        keeper_of(&self.dir.path().join("agent")).is_some_and(|pid| {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
        })
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if let Some(pid) = keeper_of(&self.dir.path().join("agent")) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

fn processes(confine: &'static str, at_least: usize) {
    let mut bed = Processes { dir: tempfile::tempdir().expect("a folder"), confine };
    let only = std::env::var("CONFORMANCE_CASE").ok();
    let report = conformance::run_some(&mut bed, |name| {
        only.as_deref().is_none_or(|only| name.contains(only))
    });
    assert!(report.is_clean(), "confined by {confine}:\n{report}");
    assert!(only.is_some() || report.passed() >= at_least, "too much was skipped:\n{report}");
}

#[test]
fn processes_confined_as_well_as_this_machine_can() {
    processes("best", 60);
}

#[test]
fn processes_in_a_bare_cgroup_v2() {
    processes("v2", 58);
}

#[test]
fn processes_by_resource_limits_and_watching() {
    processes("watch", 60);
}

struct Simulated;

impl Bed for Simulated {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(SimulatedEngine::new().expect("opens"))
    }
}

#[test]
fn simulated_work_keeps_the_same_promises() {
    let report = conformance::run(&mut Simulated);
    assert!(report.is_clean(), "{report}");
    assert!(report.passed() >= 18, "too much was skipped:\n{report}");
}
