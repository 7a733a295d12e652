//! A real Slurm cluster for one test, by `tools/slurm-lab.sh`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// How often it is looked whether a daemon has ended, and how many times: a minute.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 3_000;

/// A cluster that is stopped when it is dropped.
pub struct Lab {
    dir: tempfile::TempDir,
}

/// Whether there is to be a database for accounting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accounts {
    Kept,
    Absent,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/slurm-lab.sh")
}

impl Lab {
    /// Starts one, or says that it cannot be had here and returns none. Its configuration is this
    /// process's from then on, so a test program has one at a time.
    pub fn start(accounts: Accounts, more: &[(&str, &str)]) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("slurm").tempdir().expect("a folder");
        // Other users of the machine, such as the controller's, go through it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("ours");
        let lab = Self { dir };
        let mut command = lab.command(&["start"]);
        command.env("DBD", if accounts == Accounts::Kept { "1" } else { "0" });
        command.envs(more.iter().copied());
        let said = command.output().expect("there is a shell");
        let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        if said.status.success() {
            return Some(lab);
        }
        let cannot = words.contains("it needs root") || words.contains("not installed:");
        assert!(cannot, "the lab does not start: {words}");
        println!("SKIPPED: no Slurm here ({words})");
        None
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(script());
        command.args(words).env("LAB", self.root());
        command
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("lab")
    }

    /// The commands of Slurm, told of this cluster.
    pub fn commands(&self) -> PathBuf {
        let folder = self.dir.path().join("bin");
        if !folder.exists() {
            std::fs::create_dir(&folder).expect("a folder");
            for name in
                ["sbatch", "squeue", "scancel", "scontrol", "srun", "sacct", "sacctmgr", "sdiag"]
            {
                let conf = self.configuration();
                let text =
                    format!("#!/bin/sh\nSLURM_CONF='{}' exec {name} \"$@\"\n", conf.display());
                write_program(&folder.join(name), &text);
            }
        }
        folder
    }

    /// What one of the commands says.
    pub fn ask(&self, name: &str, words: &[&str]) -> String {
        let said = Command::new(self.commands().join(name)).args(words).output().expect("runs");
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Its configuration.
    pub fn configuration(&self) -> PathBuf {
        self.root().join("etc/slurm.conf")
    }

    /// What its controller keeps on its disk.
    pub fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// Where its REST daemon listens on the machine.
    pub fn rest_port(&self) -> u16 {
        let text = std::fs::read_to_string(self.root().join("rest/port")).expect("it was started");
        text.trim().parse().expect("a port")
    }

    /// The same on its socket, as an address.
    pub fn rest_socket(&self) -> String {
        format!("unix://{}", self.root().join("rest/sock").display())
    }

    /// Starts that again.
    pub fn restart_rest(&self) {
        check(&self.command(&["rest"]).output().expect("there is a shell"));
    }

    /// What it is shown to be believed.
    pub fn token(&self) -> String {
        self.ask("scontrol", &["token", "lifespan=600"])
    }

    /// A folder on the file system that all nodes of the lab see.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Ends a daemon as by `kill -9`.
    pub fn kill(&self, daemon: &str) {
        check(&self.command(&["kill", daemon]).output().expect("there is a shell"));
    }

    /// Ends the controller in order: it writes down all that it knows.
    pub fn shut_down_controller(&self) {
        let pid = std::fs::read_to_string(self.root().join("run/slurmctld.pid")).expect("it runs");
        let process = PathBuf::from("/proc").join(pid.trim());
        self.ask("scontrol", &["shutdown", "slurmctld"]);
        for _ in 0..LOOKS_MAX {
            if !process.exists() {
                return;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        panic!("the controller does not end");
    }

    /// Pulls a node's plug: its daemon, the jobs' processes there and who keeps them are gone in a
    /// moment, and none of them says a word. Other clusters of this machine have nodes of that name.
    pub fn pull_plug(&self, node: &str) {
        self.kill(&format!("slurmd.{node}"));
        let mark = format!("SLURMD_NODENAME={node}");
        let own = self.dir.path().display().to_string();
        let read = |pid: i32, name: &str| {
            let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let all: Vec<(i32, i32)> = entries
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(|pid| {
                let stat = read(pid, "stat");
                let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()?;
                Some((pid, parent))
            })
            .collect();
        let wraps = |pid: i32| {
            let environment = read(pid, "environ");
            let there = environment.split('\0').any(|word| word == mark);
            there && (environment.contains(&own) || read(pid, "cmdline").contains(&own))
        };
        let mut doomed: Vec<i32> =
            all.iter().map(|(pid, _)| *pid).filter(|pid| wraps(*pid)).collect();
        // Who keeps them goes first: it would tell of their end.
        let keepers: Vec<i32> = all
            .iter()
            .filter(|(pid, _)| doomed.contains(pid))
            .map(|(_, parent)| *parent)
            .filter(|parent| read(*parent, "cmdline").starts_with("slurmstepd"))
            .collect();
        // The tasks themselves know nothing of Slurm.
        loop {
            let below: Vec<i32> = all
                .iter()
                .filter(|(pid, parent)| doomed.contains(parent) && !doomed.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if below.is_empty() {
                break;
            }
            doomed.extend(below);
        }
        for pid in keepers.into_iter().chain(doomed) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    /// What an operator does after a controller was killed: it has forgotten what it did last.
    pub fn heal(&self) {
        self.ask("scontrol", &["reconfigure"]);
        self.ask("scontrol", &["update", "nodename=n[1-2]", "state=resume"]);
    }

    /// Starts a daemon again.
    pub fn revive(&self, daemon: &str) {
        check(&self.command(&["revive", daemon]).output().expect("there is a shell"));
    }
}

/// Writes a script that can be executed.
pub fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("writes");
    let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, may_run).expect("ours");
}

fn check(said: &Output) {
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

impl Lab {
    /// What its daemons complained of, for who reads why a test failed.
    fn complaints(&self) -> String {
        const LINES_MAX: usize = 60;
        let logs = std::fs::read_dir(self.root().join("log")).into_iter().flatten().flatten();
        let mut said = String::new();
        for log in logs {
            let text = std::fs::read(log.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().filter(|line| line.contains("rror")).collect();
            for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
                let _ = writeln!(said, "{}: {line}", log.file_name().display());
            }
        }
        said
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.complaints());
            println!("{}", self.ask("scontrol", &["show", "jobs"]));
        }
        let _ = self.command(&["stop"]).output();
    }
}
