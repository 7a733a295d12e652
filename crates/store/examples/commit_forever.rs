//! Commits batches to the store at the address or folder given until it is killed, and prints
//! `SEQ HASH` after each that was acknowledged. The crash tests kill it at random moments.

use std::io::Write as _;
use std::process::ExitCode;

use dayan_store::{Batch, Fault, Location, OpenMode, Row, Store, TransferRow};
use dayan_units::{Micro, Time, TransferId};

/// Rows and payload of a batch: large enough that most kills fall into the middle of one.
const ROWS: u64 = 200;
const PAYLOAD_BYTES: usize = 50_000;

fn main() -> ExitCode {
    let Some(place) = std::env::args().nth(1) else {
        eprintln!("usage: commit_forever DIR|postgres://…");
        return ExitCode::from(2);
    };
    let Ok(location) = place.parse::<Location>();
    match commit_forever(&location) {
        Ok(never) => match never {},
        Err(fault) => {
            eprintln!("{fault}: {:?}", std::error::Error::source(&fault));
            ExitCode::FAILURE
        }
    }
}

fn commit_forever(location: &Location) -> Result<std::convert::Infallible, Fault> {
    let mut store = Store::open(location, OpenMode::Write)?;
    let term = store.take_term("commit_forever", Time::EPOCH)?;
    let mut out = std::io::stdout().lock();
    loop {
        let seq = store.head().seq + 1;
        let rows = (0..ROWS).map(|n| Row::from(transfer(seq, n))).collect();
        let at = Time::from_micros(1_000_000);
        let payload = seq.to_string().repeat(PAYLOAD_BYTES / 4).into_bytes();
        let done = store.commit(&Batch { term, at, payload, rows })?;
        // If nobody reads any more, there is nothing left to prove.
        if writeln!(out, "{} {}", done.seq, done.hash).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }
}

fn transfer(seq: u64, n: u64) -> TransferRow {
    TransferRow {
        id: TransferId::from_bits(u128::from(seq) << 64 | u128::from(n)),
        kind: "post".to_owned(),
        debit: "cash".to_owned(),
        credit: "sales".to_owned(),
        amount: Micro(1),
        hold: None,
        code: "usage".to_owned(),
        reference: seq.to_string(),
        at: Time::EPOCH,
    }
}
