//! What the test programs share: rows made from numbers, and the two kinds of place a store can
//! live in.
#![allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]

pub mod logs;
#[cfg(feature = "postgres")]
pub mod server;
#[macro_use]
pub mod suite;

use dayan_store::{
    AccountRow, AttemptRow, Batch, FindingRow, InvoiceRow, JobRow, LineRow, Location, OpenMode,
    RequestRow, Row, SiteCountRow, Store, TransferRow,
};
use dayan_units::{
    AgentId, AttemptId, InvoiceId, JobId, Micro, OrgId, PoolId, ProjectId, ProviderId, Time,
    TransferId,
};

/// Somewhere a store can be made, and its database be changed behind its back.
pub trait Place {
    /// A location with nothing in it.
    fn fresh(&self) -> Location;
    /// Runs SQL on the database of a store.
    fn tamper(&self, location: &Location, sql: &str);
    /// Bytes as this engine's SQL writes them.
    fn bytes_literal(&self, hex: &str) -> String;
    /// Flips a bit in the stored snapshot of that journal row.
    fn damage_snapshot(&self, location: &Location, seq: u64);
}

/// Data directories under one temporary folder.
pub struct Folders {
    root: tempfile::TempDir,
    count: std::cell::Cell<u32>,
}

impl Folders {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        Self { root, count: std::cell::Cell::new(0) }
    }
}

impl Place for Folders {
    fn fresh(&self) -> Location {
        self.count.set(self.count.get() + 1);
        Location::Sqlite(self.root.path().join(format!("store-{}", self.count.get())))
    }
    fn tamper(&self, location: &Location, sql: &str) {
        let Location::Sqlite(dir) = location else { panic!("a folder") };
        let db = rusqlite::Connection::open(dir.join("dayan.db")).unwrap();
        db.execute_batch(sql).unwrap();
    }
    fn bytes_literal(&self, hex: &str) -> String {
        format!("x'{hex}'")
    }
    fn damage_snapshot(&self, location: &Location, seq: u64) {
        let Location::Sqlite(dir) = location else { panic!("a folder") };
        let path = dir.join(format!("snapshots/{seq:020}.snap"));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
}

pub fn open(location: &Location) -> Store {
    Store::open(location, OpenMode::Write).unwrap()
}

/// A store with a term taken.
pub fn lead(location: &Location) -> (Store, u64) {
    let mut store = open(location);
    let term = store.take_term("server-1", time(0)).unwrap();
    (store, term)
}

pub fn batch(term: u64, payload: impl Into<Vec<u8>>, rows: Vec<Row>) -> Batch {
    Batch { term, at: time(1), payload: payload.into(), rows }
}

/// What a fault says with all its causes, as the edge prints it.
pub fn told(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub fn time(n: i64) -> Time {
    Time::from_micros(1_700_000_000_000_000 + n * 1_000_000)
}
pub fn job_id(n: u32) -> JobId {
    JobId::from_bits(u128::from(n) << 64 | 0xabc)
}
pub fn attempt_id(job: u32, task: u32, attempt: u32) -> AttemptId {
    AttemptId { job: job_id(job), task, attempt }
}
pub fn transfer_id(n: u32) -> TransferId {
    TransferId::from_bits(u128::from(n) << 64 | 0xdef)
}
pub fn org(n: u32) -> OrgId {
    OrgId::from_bits(u128::from(n) + 1)
}
pub fn project(n: u32) -> ProjectId {
    ProjectId::from_bits(u128::from(n) + 100)
}
pub fn provider(n: u32) -> ProviderId {
    ProviderId::from_bits(u128::from(n) + 1_000)
}

pub fn job(n: u32) -> JobRow {
    JobRow {
        id: job_id(n),
        project: project(n % 3),
        org: org(n % 2),
        name: format!("shot-{}", n % 4),
        state: if n.is_multiple_of(2) { "queued" } else { "running" }.to_owned(),
        submitted_at: time(i64::from(n)),
        ended_at: None,
        tasks_total: 48,
        tasks_paused: 0,
        tasks_queued: 40,
        tasks_running: 8,
        tasks_succeeded: 0,
        tasks_failed: 0,
        tasks_cancelled: 0,
        held: Micro(1_500_000),
        spent: Micro(n.into()),
        doc: Some(format!("{{\"n\":{n}}}")),
    }
}

pub fn attempt(job: u32, task: u32, number: u32) -> AttemptRow {
    AttemptRow {
        id: attempt_id(job, task, number),
        job: job_id(job),
        task,
        attempt: number,
        pool: PoolId::from_bits(7),
        node: None,
        state: "leased".to_owned(),
        exit_code: None,
        started_at: None,
        ended_at: None,
        doc: Some("{}".to_owned()),
    }
}

pub fn site_count(job: u32, task: u32, number: u32) -> SiteCountRow {
    let at = time(i64::from(number));
    SiteCountRow { job: job_id(job), task, attempt: number, at, doc: "{\"of\":1}".to_owned() }
}

pub fn transfer(n: u32) -> TransferRow {
    TransferRow {
        id: transfer_id(n),
        kind: "capture".to_owned(),
        debit: format!("project-{}", n % 3),
        credit: format!("provider-{}", n % 2),
        amount: Micro(i64::from(n) * 10),
        hold: n.checked_sub(1).map(transfer_id),
        code: "usage".to_owned(),
        reference: attempt_id(n, 0, 1).to_string(),
        at: time(n.into()),
    }
}

pub fn account(n: u32) -> AccountRow {
    AccountRow {
        id: format!("project-{n}"),
        owner_kind: "project".to_owned(),
        owner_id: project(n).to_string(),
        label: format!("影视 {n}"),
        floor: n.is_multiple_of(2).then_some(Micro::ZERO),
    }
}

pub fn line(n: u32) -> LineRow {
    LineRow {
        id: format!("line-{n:06}"),
        attempt: attempt_id(n % 5, n, 1),
        job: job_id(n % 5),
        project: project(n % 3),
        org: org(n % 2),
        provider: provider(n % 4),
        pool: PoolId::from_bits(7),
        period: format!("2026-{:02}", n % 2 + 1),
        from_at: time(n.into()),
        to_at: time(i64::from(n) + 60),
        cpu_milli_s: 60_000 * i64::from(n),
        memory_mb_s: 64_000 * 60,
        accel_milli_s: 0,
        amount: Micro(i64::from(n) * 17),
        doc: "{}".to_owned(),
    }
}

pub fn invoice(n: u32) -> InvoiceRow {
    InvoiceRow {
        id: InvoiceId::from_bits(n.into()),
        org: org(n % 2),
        period: "2026-11".to_owned(),
        total: Micro(i64::from(n) * 1_000),
        state: "open".to_owned(),
        doc: Some("{\"lines\":[]}".to_owned()),
    }
}

pub fn request(n: u32) -> RequestRow {
    RequestRow {
        key: format!("{}/key-{n}", org(0)),
        org: org(0),
        digest: vec![9; 32],
        outcome: "{\"job\":1}".to_owned(),
        at: time(n.into()),
    }
}

pub fn finding(n: u32) -> FindingRow {
    FindingRow {
        id: format!("finding-{n}"),
        agent: n.is_multiple_of(3).then(|| AgentId::from_bits(u128::from(n % 2))),
        code: if n.is_multiple_of(2) { "usage.shrinks" } else { "usage.signature" }.to_owned(),
        // Several at the same moment: the order must still be total.
        at: time(i64::from(n / 4)),
        doc: "{}".to_owned(),
    }
}
