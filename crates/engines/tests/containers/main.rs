//! The engine for containers on a real podman, and on a real docker.

mod cards;
mod lab;
mod owners;
mod registry;
mod steps;
mod trials;

use std::path::{Path, PathBuf};

use dayan_engines::conformance::{self, Bed};
use dayan_engines::{ContainerConfig, Containers, Engine, Image, container};
use rustix::process::{Pid, Signal, kill_process};

use lab::Lab;

/// An engine on the lab's service, in a folder of its own.
struct Boxes<'a> {
    lab: &'a Lab,
    folder: String,
    array_size: u32,
}

/// How many tasks an array has while other cases run: podman and docker start five to ten a second.
const BESIDE_OTHERS: u32 = 60;
/// And in a test of its own, of podman: docker's takes as long and shows the same. DAYAN_ARRAY_TASKS gives the
/// suite's case on either any size.
const ALONE: u32 = 1_000;

fn array_size() -> u32 {
    let told = std::env::var("DAYAN_ARRAY_TASKS").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(BESIDE_OTHERS)
}

impl Boxes<'_> {
    fn config(&self) -> ContainerConfig {
        ContainerConfig {
            dir: self.lab.folder(&self.folder),
            keeper: vec![env!("CARGO_BIN_EXE_dayan-keeper-test").into()],
            options: ["--idle", "2s"].map(std::ffi::OsString::from).to_vec(),
            whose: self.lab.runs(),
            socket: Some(self.lab.socket()),
        }
    }
}

/// The working keeper of a folder, not the one that waits for it, by its command line.
fn keeper_of(dir: &Path) -> Option<Pid> {
    let dir = dir.canonicalize().ok()?;
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let ours = words.windows(2).any(|pair| {
            pair[0] == b"--dir" && pair[1] == dir.to_str().unwrap_or_default().as_bytes()
        });
        let works = words.iter().any(|word| *word == b"--worker");
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (ours && works).then(|| Pid::from_raw(pid))?
    })
}

impl Bed for Boxes<'_> {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(container::open(self.config()).expect("opens"))
    }
    fn kill_keeper(&mut self) -> bool {
        keeper_of(&self.lab.folder(&self.folder))
            .is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    }
    fn image(&self) -> Option<Image> {
        Some(Image { name: "localhost/dayan-test:1".to_owned(), ..Image::default() })
    }
    fn folder_inside(&self) -> Option<PathBuf> {
        Some(PathBuf::from(container::FOLDER))
    }
    fn outside_variables(&self) -> &[&str] {
        container::OUTSIDE_VARIABLES
    }
    fn array_size(&self) -> u32 {
        self.array_size
    }
}

impl Drop for Boxes<'_> {
    fn drop(&mut self) {
        if let Some(pid) = keeper_of(&self.lab.folder(&self.folder)) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Runs the suite from several agents of one service at once, each with its share of the cases.
fn keeps_the_promises(runs: Containers) {
    const SHARES: usize = 4;
    let Some(lab) = Lab::start_one(runs) else { return };
    let only = std::env::var("DAYAN_CASE").ok();
    let report = conformance::run_in_shares(SHARES, only.as_deref(), |number| Boxes {
        lab: &lab,
        folder: format!("agent-{number}"),
        array_size: array_size(),
    });
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(only.is_some() || report.passed() >= 93, "too much was skipped:\n{report}");
}

#[test]
fn podman_keeps_the_promises() {
    keeps_the_promises(Containers::Podman);
}

#[test]
fn docker_keeps_the_promises() {
    keeps_the_promises(Containers::Docker);
}

/// The one case that takes minutes, with all of a thousand.
#[test]
fn podman_ends_an_array_of_a_thousand() {
    let Some(lab) = Lab::start_one(Containers::Podman) else { return };
    let mut bed = Boxes { lab: &lab, folder: "agent".to_owned(), array_size: ALONE };
    let report =
        conformance::run_some(&mut bed, |name| name == "a large array ends element by element");
    println!("{report}");
    assert!(report.is_clean() && report.passed() == 1, "{report}");
}
