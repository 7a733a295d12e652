//! Checks that need nothing but the store: for auditors, beside a running exchange or without one.

use std::ops::ControlFlow;
use std::path::Path;

use dayan_exchange::State;
use dayan_ledger::{AccountId, Amount, Ledger, Rest, Transfer, TransferKind};
use dayan_store::{Fault, Location, OpenMode, Reader, Store, TransferRow};
use dayan_units::{Currency, Micro, Time};
use dayan_wire::{JournalCheck, LedgerCheck};

use crate::encoding;

/// A stored booking as the ledger reads it; none where the row makes no sense.
fn transfer(row: &TransferRow) -> Option<Transfer> {
    let account = |text: &str| text.parse::<AccountId>().ok();
    let amount = || Amount::new(row.amount);
    let kind = match row.kind.as_str() {
        "post" => TransferKind::Post {
            debit: account(&row.debit)?,
            credit: account(&row.credit)?,
            amount: amount()?,
        },
        "hold" => TransferKind::Hold {
            debit: account(&row.debit)?,
            credit: account(&row.credit)?,
            amount: amount()?,
            until: None,
        },
        "capture" => TransferKind::Capture { hold: row.hold?, amount: amount()?, rest: Rest::Keep },
        "capture_last" => {
            TransferKind::Capture { hold: row.hold?, amount: amount()?, rest: Rest::Release }
        }
        "release" => TransferKind::Release { hold: row.hold? },
        "extend" => TransferKind::Extend { hold: row.hold?, amount: amount()?, until: None },
        _ => return None,
    };
    Some(Transfer {
        id: row.id,
        kind,
        code: row.code.parse().ok()?,
        user_data: u128::from_str_radix(&row.reference, 16).ok()?,
        at: row.at,
    })
}

/// Re-derives the books from every stored booking and compares them, account by account.
///
/// The bookings are replayed by time. Bookings of one moment may depend on each other in any
/// order, so what does not apply yet is tried again after the others of its moment.
///
/// `until` is the time of the newest entry in `live`: bookings that were committed after it, while
/// the exchange goes on, are not of these books. No two batches have the same time.
pub fn check_books(
    reader: &Reader,
    live: &Ledger,
    currency: Currency,
    until: Time,
) -> Result<LedgerCheck, Fault> {
    let mut differences = Vec::new();
    let mut transfers = Vec::new();
    reader.each_transfer(|row| {
        match transfer(&row) {
            Some(transfer) if transfer.at > until => {}
            Some(transfer) => transfers.push(transfer),
            None => differences.push(format!("transfer {} cannot be read", row.id)),
        }
        ControlFlow::Continue(())
    })?;
    transfers.sort_by_key(|transfer| (transfer.at, order(&transfer.kind), transfer.id));
    let report = live.books_check();
    let mut derived = Ledger::new();
    for account in live.accounts() {
        derived.open(&dayan_ledger::NewAccount {
            id: account.id,
            kind: account.kind,
            floor: account.floor,
        });
    }
    let count = transfers.len() as u64;
    let mut waiting: Vec<Transfer> = Vec::new();
    let mut moment = Time::EPOCH;
    for transfer in transfers {
        if transfer.at != moment {
            settle(&mut derived, &mut waiting);
            moment = transfer.at;
        }
        if derived.check(&transfer).is_ok() {
            derived.apply(&transfer);
        } else {
            waiting.push(transfer);
        }
    }
    settle(&mut derived, &mut waiting);
    differences.extend(
        waiting
            .iter()
            .map(|transfer| format!("transfer {} does not follow from the others", transfer.id)),
    );
    differences
        .extend(live.compare(&derived).into_iter().map(|difference| format!("{difference:?}")));
    differences.extend(report.differences.iter().map(|difference| format!("{difference:?}")));
    let (debits, credits) =
        live.accounts().iter().fold((Micro::ZERO, Micro::ZERO), |sum, account| {
            (
                sum.0.saturating_add(account.debits_posted),
                sum.1.saturating_add(account.credits_posted),
            )
        });
    Ok(LedgerCheck {
        balanced: report.balanced && differences.is_empty() && debits == credits,
        accounts: live.accounts().len() as u64,
        transfers: count,
        debits: debits.decimal(),
        credits: credits.decimal(),
        currency: currency.to_string(),
        differences,
    })
}

/// Of one moment: money comes in before it is held, is held before it is captured, is captured
/// before it is split.
const fn order(kind: &TransferKind) -> u8 {
    match kind {
        TransferKind::Hold { .. } => 1,
        TransferKind::Extend { .. } => 2,
        TransferKind::Capture { .. } => 3,
        TransferKind::Release { .. } => 4,
        TransferKind::Post { .. } => 5,
    }
}

/// Applies what has become applicable, until nothing more does.
fn settle(derived: &mut Ledger, waiting: &mut Vec<Transfer>) {
    loop {
        let before = waiting.len();
        waiting.retain(|transfer| {
            let fits = derived.check(transfer).is_ok();
            if fits {
                derived.apply(transfer);
            }
            !fits
        });
        if waiting.is_empty() || waiting.len() == before {
            return;
        }
    }
}

/// Reads the whole journal; with a state, also replays it and compares. Of a damaged one: the rows
/// that hold, the hash of the last of them, and what is wrong with the next.
pub fn check_journal(reader: &Reader, live: Option<(&[u8], u64)>) -> JournalCheck {
    let survey = match reader.survey() {
        Ok(survey) => survey,
        Err(fault) => {
            return JournalCheck {
                intact: false,
                rows: 0,
                head: String::new(),
                replay_equal: None,
                broken: Some(crate::writer::chain(&fault)),
            };
        }
    };
    let intact = survey.broken.is_none();
    JournalCheck {
        intact,
        rows: survey.rows,
        head: survey.hash.to_string(),
        replay_equal: live.filter(|_| intact).map(|(bytes, seq)| replays_to(reader, bytes, seq)),
        broken: survey.broken.map(|broken| broken.to_string()),
    }
}

/// Does replaying the journal up to that row give that state?
fn replays_to(reader: &Reader, bytes: &[u8], seq: u64) -> bool {
    let mut state = State::default();
    let replayed = reader.replay(1, |row| {
        if row.seq <= seq
            && let Ok(entries) = encoding::entries(&row.payload)
        {
            for entry in &entries {
                state.evolve(entry);
            }
        }
        Ok::<(), Fault>(())
    });
    replayed.is_ok() && encoding::snapshot(&state) == bytes
}

/// `dayan ledger check --data DIR`.
pub fn ledger_check(data: &Path) -> Result<LedgerCheck, String> {
    let store = open(data, OpenMode::ReadOnly)?;
    let (state, _) = crate::writer::load(&store.snapshots(), &store.reader())?;
    check_books(&store.reader(), &state.ledger, state.settings.currency, state.last_at)
        .map_err(|fault| crate::writer::chain(&fault))
}

/// `dayan audit verify --data DIR`: the chain, and whether the newest snapshot with the rows after
/// it is what the whole journal gives.
pub fn audit_verify(data: &Path) -> Result<JournalCheck, String> {
    // Damage at the end is one of the answers here, so it must not keep us from looking.
    let store = open(data, OpenMode::Inspect)?;
    let (reader, snapshots) = (store.reader(), store.snapshots());
    let check = check_journal(&reader, None);
    if !check.intact {
        return Ok(check);
    }
    Ok(match crate::writer::load(&snapshots, &reader) {
        Ok((state, seq)) => {
            let bytes = encoding::snapshot(&state);
            JournalCheck { replay_equal: Some(replays_to(&reader, &bytes, seq)), ..check }
        }
        Err(error) => JournalCheck { replay_equal: Some(false), broken: Some(error), ..check },
    })
}

fn open(data: &Path, mode: OpenMode) -> Result<Store, String> {
    let location = Location::Sqlite(data.to_owned());
    Store::open(&location, mode).map_err(|fault| crate::writer::chain(&fault))
}

#[cfg(test)]
mod tests {
    use dayan_store::Batch;
    use dayan_testbed::{MARK, damage};

    use super::*;

    /// Five batches without events, of which one is marked.
    fn five_rows(data: &Path, marked: u64) {
        let location = Location::Sqlite(data.to_owned());
        let mut store = Store::open(&location, OpenMode::Write).expect("a new store");
        let term = store.take_term("test", Time::EPOCH).expect("nobody else leads");
        for seq in 1..=5 {
            let mark = if seq == marked { MARK } else { "" };
            let payload = format!("{{\"v\":1,\"entries\":[{mark}]}}").into_bytes();
            let batch = Batch { term, payload, ..Batch::default() };
            assert_eq!(store.commit(&batch).expect("committed").seq, seq);
        }
    }

    #[test]
    fn verification_says_how_far_a_damaged_journal_holds() {
        for marked in [1, 3, 5] {
            let folder = tempfile::tempdir().expect("a folder");
            five_rows(folder.path(), marked);
            let sound = audit_verify(folder.path()).expect("it opens");
            assert_eq!((sound.intact, sound.rows), (true, 5), "{sound:?}");
            assert_eq!((sound.replay_equal, &sound.broken), (Some(true), &None));

            damage(folder.path());
            let check = audit_verify(folder.path()).expect("it opens although it is damaged");
            assert_eq!((check.intact, check.rows), (false, marked - 1), "{check:?}");
            let expect = format!("journal row {marked}: its content does not match its hash");
            assert_eq!(check.broken.as_deref(), Some(expect.as_str()));
            let reader = open(folder.path(), OpenMode::Inspect).expect("it opens").reader();
            let before = reader.journal_from(marked - 1, 1).expect("rows");
            let last = before.first().filter(|row| row.seq == marked - 1);
            let last = last.map_or_else(|| "0".repeat(64), |row| row.hash.to_string());
            assert_eq!(check.head, last, "of the last row that holds");
            assert_ne!(check.head, sound.head);
        }
    }

    #[test]
    fn a_snapshot_of_an_older_program_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        five_rows(folder.path(), 3);
        let loaded = |version: u32| {
            let location = Location::Sqlite(folder.path().to_owned());
            let store = Store::open(&location, OpenMode::Write).expect("it opens");
            let written = State { name: format!("of {version}"), ..State::default() };
            let bytes = encoding::snapshot(&written);
            store.snapshots().put_bytes(3, version, &bytes).expect("it is put");
            let (state, seq) =
                crate::writer::load(&store.snapshots(), &store.reader()).expect("it is read");
            assert_eq!(seq, 5);
            state.name
        };
        let now = encoding::SNAPSHOT_VERSION;
        assert_eq!(loaded(now - 1), "", "the journal gives a state without a name");
        assert_eq!(loaded(now), format!("of {now}"));
    }

    #[test]
    fn a_fault_of_the_books_names_its_row_to_whoever_starts_on_them() {
        let folder = tempfile::tempdir().expect("a folder");
        five_rows(folder.path(), 3);
        damage(folder.path());
        let store = open(folder.path(), OpenMode::Inspect).expect("it opens");
        let error = crate::writer::load(&store.snapshots(), &store.reader()).map(|_| ());
        let error = error.expect_err("row 3 is damaged");
        assert!(error.contains("journal row 3"), "{error}");
    }
}
