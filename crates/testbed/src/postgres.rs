//! A PostgreSQL server started from the system's packages, on a socket in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server that lives as long as this does, and no longer than the process.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    /// Of the maintenance database; another name in its place is another database.
    url: String,
    /// Stops the server when this process ends, however it ends: its standard input closes.
    guard: Child,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// Starts one; none where the packages are missing.
    pub fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let programs = versions
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .find(|bin| bin.join("initdb").exists())?;
        let folder = tempfile::tempdir().ok()?;
        let data = folder.path().join("data");
        if rustix::process::geteuid().is_root() {
            // PostgreSQL does not run as root.
            let owned = Command::new("chown").arg("postgres").arg(folder.path()).status().ok()?;
            if !owned.success() {
                return None;
            }
        }
        let made = run_as_owner(&programs.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .ok()?;
        if !made.success() {
            return None;
        }
        let stop = format!(
            "cat > /dev/null; exec '{}' -D '{}' -m immediate stop > /dev/null 2>&1",
            programs.join("pg_ctl").display(),
            data.display()
        );
        let mut guard = run_as_owner(Path::new("/bin/sh"));
        let guard = guard.args(["-c", &stop]).stdin(Stdio::piped()).spawn().ok()?;
        let host = folder.path().to_str()?.replace('/', "%2F");
        let url = format!("postgres://postgres@{host}/postgres");
        let server = Self { programs, data, url, guard, folder };
        server.start_again();
        Some(server)
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As after a power cut: nothing is flushed, connections break.
    pub fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// After a stop.
    pub fn start_again(&self) {
        self.control(&["-l", "log", "start"]);
    }

    /// `pg_ctl`, which waits until it is done.
    fn control(&self, args: &[&str]) {
        let folder = self.folder.path();
        let options = format!("-c listen_addresses='' -c fsync=off -k {}", folder.display());
        let done = run_as_owner(&self.programs.join("pg_ctl"))
            .current_dir(folder)
            .arg("-D")
            .arg(&self.data)
            .args(["-w", "-o", &options])
            .args(args)
            .stdout(Stdio::null())
            .status();
        assert!(done.is_ok_and(|done| done.success()), "pg_ctl {args:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // It has nobody to tell that it could not be waited for.
        let _ = self.guard.wait();
    }
}

fn run_as_owner(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}
