//! A PostgreSQL server for the tests: the one that `DAYAN_TEST_POSTGRES_URL` names, or one started
//! here from the system's packages, on a socket in a temporary folder.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dayan_store::Location;

use super::Place;

pub struct Server {
    /// Of the maintenance database; other names take its place.
    url: String,
    own: Option<Own>,
    count: Cell<u32>,
}

struct Own {
    programs: PathBuf,
    data: PathBuf,
    /// Stops the server when this process ends, however it ends: its standard input closes.
    guard: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// None, with a visible line, where there is no server and none can be started.
    pub fn start() -> Option<Self> {
        if let Ok(url) = std::env::var("DAYAN_TEST_POSTGRES_URL") {
            return Some(Self { url, own: None, count: Cell::new(0) });
        }
        let own = Self::start_own();
        if own.is_none() {
            eprintln!("SKIPPED: no PostgreSQL; install it or set DAYAN_TEST_POSTGRES_URL");
        }
        own
    }

    /// One that can be stopped.
    pub fn start_own() -> Option<Self> {
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
        let own = Own { programs, data, guard, folder };
        own.control(&["-l", "log", "start"]);
        Some(Self { url, own: Some(own), count: Cell::new(0) })
    }

    /// As after a power cut: nothing is flushed, connections break.
    pub fn stop(&self) {
        self.own.as_ref().expect("a server of our own").control(&["-m", "immediate", "stop"]);
    }
    pub fn start_again(&self) {
        self.own.as_ref().expect("a server of our own").control(&["-l", "log", "start"]);
    }

    fn database(&self, name: &str) -> String {
        let (address, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (server, _) = address.rsplit_once('/').expect("an address ends with a database");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{server}/{name}{mark}{query}")
    }
}

impl Own {
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
            .status()
            .unwrap();
        assert!(done.success(), "pg_ctl {args:?}");
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
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

pub fn execute(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

impl Place for Server {
    fn fresh(&self) -> Location {
        self.count.set(self.count.get() + 1);
        let name = format!("dayan_test_{}_{}", std::process::id(), self.count.get());
        execute(&self.url, &format!("DROP DATABASE IF EXISTS {name}"));
        execute(&self.url, &format!("CREATE DATABASE {name}"));
        Location::Postgres(self.database(&name))
    }
    fn tamper(&self, location: &Location, sql: &str) {
        let Location::Postgres(url) = location else { panic!("an address") };
        execute(url, sql);
    }
    fn bytes_literal(&self, hex: &str) -> String {
        format!("'\\x{hex}'")
    }
    fn damage_snapshot(&self, location: &Location, seq: u64) {
        let flip = "UPDATE snapshots SET bytes = set_byte(bytes, 100, get_byte(bytes, 100) # 1)";
        self.tamper(location, &format!("{flip} WHERE part = 0 AND seq = {seq}"));
    }
}
