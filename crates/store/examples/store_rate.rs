//! How fast batches become durable, beside the limit of SQLite itself in the same run.
//!
//! `cargo run --release -p dayan-store --example store_rate [DIR|postgres://…]`
//!
//! Per batch size: commits and rows a second through the store, then the same values through
//! bare prepared inserts in the same tables with the same settings, and the ratio. A batch of N
//! events writes one journal row (120 bytes an event) and N transfers: the table with the most
//! rows of all.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use dayan_store::{Batch, Location, OpenMode, Row, Store, TransferRow};
use dayan_units::{Micro, Time, TransferId};
use rusqlite::{Connection, params};

const SIZES: [u32; 4] = [1, 16, 256, 4_096];
const PAYLOAD_BYTES_PER_EVENT: usize = 120;
/// Rounds of both sides in turn, so that a slow moment of the machine meets both.
const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(600);
const STATE_BYTES: usize = 200_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let named = std::env::args().nth(1);
    if let Some(url) = named.as_deref().filter(|place| place.starts_with("postgres")) {
        return postgres(url);
    }
    let root = named.map_or_else(|| folder.path().to_owned(), Into::into);
    println!("                    store                       raw                      of raw");
    println!(
        "events/batch  commits/s    rows/s  us/row  commits/s    rows/s  us/row   rate    cpu"
    );
    for size in SIZES {
        let dir = root.join(format!("rate-{size}"));
        let mut ours = Ours::open(&Location::Sqlite(dir.join("store")))?;
        let mut raw = Raw::open(&dir.join("raw"))?;
        let (mut store_rate, mut raw_rate) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            store_rate.push(rate(|| ours.commit(size))?);
            raw_rate.push(rate(|| raw.commit(size))?);
        }
        let (store, raw) = (median(&store_rate), median(&raw_rate));
        let rows = f64::from(size + 1);
        println!(
            "{size:>12}  {:>9.0} {:>9.0} {:>7.2}  {:>9.0} {:>9.0} {:>7.2}  {:>3.0} %  {:>3.0} %",
            store.per_second,
            store.per_second * rows,
            store.cpu_us / rows,
            raw.per_second,
            raw.per_second * rows,
            raw.cpu_us / rows,
            100.0 * store.per_second / raw.per_second,
            100.0 * store.cpu_us / raw.cpu_us
        );
    }
    snapshot(&root)
}

/// What a start reads and the shadow writes: a state of 200 MB of the kind it is made of.
fn snapshot(root: &Path) -> Outcome {
    let mut state = Vec::with_capacity(STATE_BYTES);
    for n in 0u64.. {
        let job = TransferId::from_bits(u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let at = 1_700_000_000_000_000 + n * 137;
        state
            .extend(format!("{{\"id\":\"{job}\",\"state\":\"queued\",\"at\":{at}}},").into_bytes());
        if state.len() >= STATE_BYTES {
            break;
        }
    }
    let store = Store::open(&Location::Sqlite(root.join("rate-snapshot")), OpenMode::Write)?;
    let snapshots = store.snapshots();
    let started = Instant::now();
    let written = snapshots.put_bytes(0, 1, &state)?;
    let put = started.elapsed();
    let started = Instant::now();
    let read = snapshots.latest()?.is_some_and(|snapshot| snapshot.bytes == state);
    println!(
        "snapshot of {} MB: written in {put:.1?} as {} MB, read in {:.1?}, equal: {read}",
        written.bytes / 1_000_000,
        written.stored / 1_000_000,
        started.elapsed()
    );
    Ok(())
}

fn postgres(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut ours = Ours::open(&Location::Postgres(url.to_owned()))?;
    println!("events/batch        commits/s     rows/s");
    for size in SIZES {
        let rate = rate(|| ours.commit(size))?;
        let rows = rate.per_second * f64::from(size + 1);
        println!("{size:>12}  {:>15.0} {rows:>10.0}", rate.per_second);
    }
    Ok(())
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Clone, Copy)]
struct Rate {
    /// Commits a second.
    per_second: f64,
    /// Microseconds of processor a commit, of this thread: unlike the rate, hardly moved by what
    /// else the machine does.
    cpu_us: f64,
}

fn cpu_us() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e6 + spent.tv_nsec as f64 / 1e3
}

fn rate(mut commit: impl FnMut() -> Outcome) -> Result<Rate, Box<dyn std::error::Error>> {
    let started = Instant::now();
    let cpu_before = cpu_us();
    let mut commits = 0u32;
    while started.elapsed() < ROUND {
        commit()?;
        commits += 1;
    }
    let per_second = f64::from(commits) / started.elapsed().as_secs_f64();
    Ok(Rate { per_second, cpu_us: (cpu_us() - cpu_before) / f64::from(commits) })
}

/// The middle one of each.
fn median(rates: &[Rate]) -> Rate {
    let middle = |of: fn(&Rate) -> f64| {
        let mut values: Vec<f64> = rates.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Rate { per_second: middle(|rate| rate.per_second), cpu_us: middle(|rate| rate.cpu_us) }
}

fn transfer(seq: u64, n: u32) -> TransferRow {
    TransferRow {
        id: TransferId::from_bits(u128::from(seq) << 64 | u128::from(n)),
        kind: "capture".to_owned(),
        debit: format!("prj_01hq3v9k2m7c8d9e0f1g2h3{:03}", n % 500),
        credit: format!("prov_01hq3v9k2m7c8d9e0f1g2{:03}", n % 33),
        amount: Micro(1_250_000),
        hold: Some(TransferId::from_bits(u128::from(seq) << 64 | u128::from(n))),
        code: "usage".to_owned(),
        reference: "job_01hq3v9k2m7c8d9e0f1g2h3j4k/12.1".to_owned(),
        at: Time::from_micros(1_700_000_000_000_000),
    }
}

struct Ours {
    store: Store,
    term: u64,
}

impl Ours {
    fn open(location: &Location) -> Result<Self, Box<dyn std::error::Error>> {
        let mut store = Store::open(location, OpenMode::Write)?;
        let term = store.take_term("rate", Time::EPOCH)?;
        Ok(Self { store, term })
    }

    fn commit(&mut self, size: u32) -> Outcome {
        let seq = self.store.head().seq + 1;
        let rows = (0..size).map(|n| Row::from(transfer(seq, n))).collect();
        let payload = vec![b'e'; PAYLOAD_BYTES_PER_EVENT * size as usize];
        self.store.commit(&Batch { term: self.term, at: Time::EPOCH, payload, rows })?;
        Ok(())
    }
}

/// The least that can be done: the same rows by one prepared insert, no hash, no head.
struct Raw {
    db: Connection,
    seq: i64,
}

impl Raw {
    fn open(dir: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        // The same tables and indexes: those of a store that is closed again.
        drop(Store::open(&Location::Sqlite(dir.to_owned()), OpenMode::Write)?);
        let db = Connection::open(dir.join("dayan.db"))?;
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -32768",
        )?;
        Ok(Self { db, seq: 0 })
    }

    fn commit(&mut self, size: u32) -> Outcome {
        self.seq += 1;
        // What the caller has to make on either side.
        let seq = u64::try_from(self.seq)?;
        let rows: Vec<TransferRow> = (0..size).map(|n| transfer(seq, n)).collect();
        let payload = vec![b'e'; PAYLOAD_BYTES_PER_EVENT * size as usize];
        let db = &self.db;
        db.execute_batch("BEGIN IMMEDIATE")?;
        db.prepare_cached(
            "INSERT INTO journal (seq, term, at, payload, prev, hash) VALUES (?, 1, 0, ?, ?, ?)",
        )?
        .execute(params![self.seq, payload, [0u8; 32], [0u8; 32]])?;
        let mut insert =
            db.prepare_cached("INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for row in &rows {
            insert.execute(params![
                row.id.to_string(),
                row.kind,
                row.debit,
                row.credit,
                row.amount.0,
                row.hold.map(|hold| hold.to_string()),
                row.code,
                row.reference,
                row.at.micros(),
            ])?;
        }
        drop(insert);
        db.execute_batch("COMMIT")?;
        Ok(())
    }
}
