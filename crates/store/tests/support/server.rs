//! A PostgreSQL server for the tests: the one that `DAYAN_TEST_POSTGRES_URL` names, or one started
//! here from the system's packages, on a socket in a temporary folder.

use std::cell::Cell;

use dayan_store::Location;
use dayan_testbed::Postgres;

use super::Place;

pub struct Server {
    /// Of the maintenance database; other names take its place.
    url: String,
    own: Option<Postgres>,
    count: Cell<u32>,
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
        let own = Postgres::start()?;
        Some(Self { url: own.url().to_owned(), own: Some(own), count: Cell::new(0) })
    }

    /// As after a power cut: nothing is flushed, connections break.
    pub fn stop(&self) {
        self.own.as_ref().expect("a server of our own").stop();
    }
    pub fn start_again(&self) {
        self.own.as_ref().expect("a server of our own").start_again();
    }

    fn database(&self, name: &str) -> String {
        let (address, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (server, _) = address.rsplit_once('/').expect("an address ends with a database");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{server}/{name}{mark}{query}")
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
