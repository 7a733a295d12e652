//! A real podman or docker for one test, by `tools/podman-lab.sh` and `tools/docker-lab.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dayan_engines::Containers;

fn name(runs: Containers) -> &'static str {
    match runs {
        Containers::Podman => "podman",
        Containers::Docker => "docker",
    }
}

/// Which users a lab's service has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Users {
    /// All: it is root.
    All,
    /// Root of its containers is nobody's root: docker maps users to a range.
    Mapped,
    /// It has no rights, and is the user nobody.
    Without,
}

impl Users {
    /// The first of the range that users are mapped to, on the machine.
    pub const FIRST: u32 = 2_000_000_000;
}

/// A podman or docker with storage, images and a service of its own, gone when it is dropped.
pub struct Lab {
    dir: tempfile::TempDir,
    runs: Containers,
    users: Users,
}

impl Lab {
    /// Starts a podman, or says that it cannot be had here and returns none.
    pub fn start() -> Option<Self> {
        Self::start_one(Containers::Podman)
    }

    pub fn start_one(runs: Containers) -> Option<Self> {
        Self::start_with(runs, Users::All)
    }

    pub fn start_with(runs: Containers, users: Users) -> Option<Self> {
        let name = name(runs);
        let dir = tempfile::Builder::new().prefix(name).tempdir().expect("a folder");
        if users == Users::Without {
            // Its service has to reach what is its own in there.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
            std::fs::set_permissions(dir.path(), open).expect("set");
        }
        let lab = Self { dir, runs, users };
        let said = lab.script(&["start"]);
        let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        if said.status.success() {
            return Some(lab);
        }
        let cannot = words.contains("it needs root") || words.contains("not installed:");
        assert!(cannot, "the lab does not start: {words}");
        println!("SKIPPED: no {name} here ({words})");
        None
    }

    /// A registry beside it that asks for a login, and an image there; none: no registry is here.
    /// Before [`start`](Self::start) reads where it is, so it is made with it.
    pub fn start_with_registry() -> Option<(Self, String)> {
        let dir = tempfile::Builder::new().prefix("podman").tempdir().expect("a folder");
        let lab = Self { dir, runs: Containers::Podman, users: Users::All };
        for words in [&["registry"][..], &["start"]] {
            let said = lab.script(words);
            let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            if !said.status.success() {
                let cannot = why.contains("it needs root") || why.contains("not installed:");
                assert!(cannot, "the lab does not start: {why}");
                println!("SKIPPED: no podman or registry here ({why})");
                return None;
            }
            if words == ["registry"] {
                let name = String::from_utf8_lossy(&said.stdout).trim().to_owned();
                std::fs::write(lab.folder("image"), &name).expect("written");
            }
        }
        let image = std::fs::read_to_string(lab.folder("image")).expect("written above");
        Some((lab, image))
    }

    pub fn runs(&self) -> Containers {
        self.runs
    }

    /// The engine's, and the program's.
    pub fn name(&self) -> &'static str {
        name(self.runs)
    }

    fn script(&self, words: &[&str]) -> Output {
        let script = format!("../../tools/{}-lab.sh", self.name());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let mut command = Command::new(script);
        command.args(words).env("LAB", self.dir.path().join("lab"));
        match self.users {
            Users::All => {}
            Users::Mapped => drop(command.env("MAPPED", "1")),
            Users::Without => drop(command.env("ROOTLESS", "1")),
        }
        command.output().expect("there is a shell")
    }

    /// A folder of the test's own beside the lab.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(format!("lab/{}.sock", name(self.runs)))
    }

    /// Kills the service, as by `kill -9`.
    pub fn kill_service(&self) {
        assert!(self.script(&["kill"]).status.success(), "the service was there");
    }

    /// Starts it again.
    pub fn start_service(&self) {
        let said = self.script(&["service"]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    /// What podman's or docker's own program says.
    pub fn run(&self, words: &[&str]) -> String {
        let all: Vec<&str> = std::iter::once("run").chain(words.iter().copied()).collect();
        let said = self.script(&all);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.script(&["stop"]);
    }
}
