//! A real Slurm cluster for one test, by `tools/slurm-lab.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.command(&["stop"]).output();
    }
}
