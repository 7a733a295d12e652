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

/// Runs the suite in several folders at once, each with its share of the cases: most of a case is
/// waiting.
fn processes(confine: &'static str, at_least: usize) {
    const SHARES: usize = 6;
    let names: Vec<&'static str> = conformance::cases().map(|case| case.name).collect();
    let reports: Vec<conformance::Report> = std::thread::scope(|scope| {
        let share = |number: usize| {
            let mine: Vec<_> = names.iter().copied().skip(number).step_by(SHARES).collect();
            scope.spawn(move || {
                let mut bed = Processes { dir: tempfile::tempdir().expect("a folder"), confine };
                conformance::run_some(&mut bed, |name| mine.contains(&name))
            })
        };
        let running: Vec<_> = (0..SHARES).map(share).collect();
        running.into_iter().map(|share| share.join().expect("a share ran")).collect()
    });
    let shown: String = reports.iter().map(ToString::to_string).collect();
    assert!(reports.iter().all(conformance::Report::is_clean), "confined by {confine}:\n{shown}");
    let passed: usize = reports.iter().map(conformance::Report::passed).sum();
    assert!(passed >= at_least, "too much was skipped:\n{shown}");
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
