//! Transfers a second that are checked by the ledger, booked, journalled and durable, in batches;
//! beside the same rows handed to the same store without any ledger, in turns in one run.
//!
//! `cargo run --release -p dayan-server --example books_rate [DIR]`
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use dayan_ledger::{
    AccountId, AccountKind, Amount, Ledger, NewAccount, Rest, Transfer, TransferKind,
};
use dayan_store::{Batch, Location, OpenMode, Row, Store, TransferRow};
use dayan_units::{Micro, Time, TransferId};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// As many as a region has organisations and pools.
const ACCOUNTS: u64 = 1_000;
const SIZES: [u64; 3] = [256, 2_048, 8_192];
/// Rounds of both sides in turn, so that a slow moment of the machine meets both.
const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(800);

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let root = std::env::args().nth(1).map_or_else(|| folder.path().to_owned(), Into::into);
    println!("transfers/batch   booked/s  store alone/s  of it");
    for size in SIZES {
        let mut books = Side::open(&root.join(format!("books-{size}")))?;
        let mut alone = Side::open(&root.join(format!("alone-{size}")))?;
        let (mut booked, mut stored) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            booked.push(rate(size, || books.book(size))?);
            stored.push(rate(size, || alone.store(size))?);
        }
        let (booked, stored) = (median(booked), median(stored));
        println!("{size:>15} {booked:>10.0} {stored:>14.0} {:>4.0} %", 100.0 * booked / stored);
        assert!(books.ledger.books_check().balanced, "the books balance");
    }
    Ok(())
}

fn rate(size: u64, mut commit: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let begin = Instant::now();
    let mut batches = 0;
    while begin.elapsed() < ROUND {
        commit()?;
        batches += 1;
    }
    Ok((batches * size) as f64 / begin.elapsed().as_secs_f64())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

struct Side {
    store: Store,
    term: u64,
    ledger: Ledger,
    /// The next transfer's place.
    next: u64,
}

impl Side {
    fn open(folder: &Path) -> Outcome<Self> {
        let mut store = Store::open(&Location::Sqlite(folder.to_owned()), OpenMode::Write)?;
        let term = store.take_term("rate", Time::EPOCH)?;
        let mut ledger = Ledger::new();
        for id in (0..ACCOUNTS).map(u128::from) {
            let kind = AccountKind { code: 1, label: id };
            ledger.open(&NewAccount { id: AccountId::from_bits(id), kind, floor: None });
        }
        Ok(Self { store, term, ledger, next: 0 })
    }

    /// As the writer does: decide, apply, write the events and the rows, commit.
    fn book(&mut self, count: u64) -> Outcome<()> {
        let transfers: Vec<Transfer> = (self.next..self.next + count).map(transfer).collect();
        self.next += count;
        for transfer in &transfers {
            self.ledger.check(transfer).map_err(|status| format!("{status:?}"))?;
            self.ledger.apply(transfer);
        }
        self.commit(&transfers)
    }

    fn store(&mut self, count: u64) -> Outcome<()> {
        let transfers: Vec<Transfer> = (self.next..self.next + count).map(transfer).collect();
        self.next += count;
        self.commit(&transfers)
    }

    fn commit(&mut self, transfers: &[Transfer]) -> Outcome<()> {
        let payload = serde_json::to_vec(transfers)?;
        let rows = transfers.iter().map(row).collect();
        self.store.commit(&Batch { term: self.term, at: Time::EPOCH, payload, rows })?;
        Ok(())
    }
}

/// Ids as the exchange makes them: ordered by time above, well mixed below.
fn id(place: u64) -> TransferId {
    let mut x = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    TransferId::from_bits((u128::from(place) << 64) | u128::from(x ^ (x >> 31)))
}

/// Each lease holds, captures a window, captures the rest or releases it; a hundred are open at any
/// time.
fn transfer(place: u64) -> Transfer {
    const OPEN: u64 = 100;
    let (round, lane) = (place / OPEN, place % OPEN);
    let hold = id((round - round % 3) * OPEN + lane);
    let account = |number: u64| AccountId::from_bits(u128::from(number % ACCOUNTS));
    let (debit, credit) = (account(lane), account(lane + 1));
    let kind = match (round % 3, lane % 2) {
        (0, _) => {
            let amount = Amount::new(Micro(1_000)).expect("positive");
            TransferKind::Hold { debit, credit, amount, until: None }
        }
        (1, _) => capture(hold, Rest::Keep),
        (_, 0) => capture(hold, Rest::Release),
        (_, _) => TransferKind::Release { hold },
    };
    let at = Time::from_micros(place.cast_signed());
    Transfer { id: id(place), kind, code: 1, user_data: u128::from(place), at }
}

fn capture(hold: TransferId, rest: Rest) -> TransferKind {
    TransferKind::Capture { hold, amount: Amount::new(Micro(300)).expect("positive"), rest }
}

fn row(transfer: &Transfer) -> Row {
    let (kind, hold) = match transfer.kind {
        TransferKind::Hold { .. } => ("hold", None),
        TransferKind::Capture { hold, .. } => ("capture", Some(hold)),
        TransferKind::Release { hold } => ("release", Some(hold)),
        TransferKind::Post { .. } | TransferKind::Extend { .. } => ("post", None),
    };
    Row::from(TransferRow {
        id: transfer.id,
        kind: kind.to_owned(),
        debit: "prj_01hq3v9k2m7c8d9e0f1g2h3j4k".to_owned(),
        credit: "prov_01hq3v9k2m7c8d9e0f1g2h3j4k".to_owned(),
        amount: Micro(300),
        hold,
        code: "usage".to_owned(),
        reference: "job_01hq3v9k2m7c8d9e0f1g2h3j4k/12.1".to_owned(),
        at: transfer.at,
    })
}
