//! How many transfers a second the ledger itself takes, on one core, without any storage: applied
//! only (as in replay), and checked, applied and retired (as live). Run with `--release`.

use std::time::Instant;

use dayan_ledger::{
    AccountId, AccountKind, Amount, Ledger, NewAccount, Rest, Transfer, TransferKind,
};
use dayan_units::{Micro, Time, TransferId};

/// As many as a region has organisations and pools.
const ACCOUNTS: u64 = 1_000;
const TRANSFERS: u64 = 4_000_000;
/// Settled transfers are retired when so many are remembered, as a retention would.
const REMEMBERED_MAX: u64 = 1_000_000;

#[derive(Clone, Copy)]
enum Life {
    Replay,
    Live,
}

fn main() {
    for (what, transfers) in [("posts", posts()), ("holds, captures, releases", leases())] {
        let (replay, live) = (run(&transfers, Life::Replay), run(&transfers, Life::Live));
        println!(
            "{what}: applied {:.2} M/s; checked, applied and retired {:.2} M/s",
            replay / 1e6,
            live / 1e6
        );
    }
}

/// A well-mixed number for each place: the same in every run.
fn mixed(place: u64) -> u64 {
    let mut x = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 31)
}

fn parties(place: u64) -> (AccountId, AccountId) {
    let debit = mixed(place) % ACCOUNTS;
    let credit = (debit + 1 + mixed(place + 1) % (ACCOUNTS - 1)) % ACCOUNTS;
    (AccountId::from_bits(u128::from(debit)), AccountId::from_bits(u128::from(credit)))
}

/// Ids as the exchange makes them: ordered by time above, random below.
fn id(place: u64) -> TransferId {
    TransferId::from_bits((u128::from(place) << 64) | u128::from(mixed(place)))
}

fn transfer(place: u64, kind: TransferKind) -> Transfer {
    let at = Time::from_micros(place.cast_signed());
    Transfer { id: id(place), kind, code: 1, user_data: u128::from(place), at }
}

fn posts() -> Vec<Transfer> {
    let amount = Amount::new(Micro(1_000)).expect("positive");
    let post = |place| {
        let (debit, credit) = parties(place);
        transfer(place, TransferKind::Post { debit, credit, amount })
    };
    (0..TRANSFERS).map(post).collect()
}

/// Each lease holds, captures a window, and captures the rest for the last time or releases it,
/// with a thousand leases open at any time.
fn leases() -> Vec<Transfer> {
    const OPEN: u64 = 1_000;
    let held = Amount::new(Micro(1_000)).expect("positive");
    let window = Amount::new(Micro(300)).expect("positive");
    let step = |place: u64| {
        let (round, lane) = (place / OPEN, place % OPEN);
        let hold = id((round - round % 3) * OPEN + lane);
        let (debit, credit) = parties(place);
        let kind = match (round % 3, lane % 2) {
            (0, _) => TransferKind::Hold { debit, credit, amount: held, until: None },
            (1, _) => TransferKind::Capture { hold, amount: window, rest: Rest::Keep },
            (_, 0) => TransferKind::Capture { hold, amount: window, rest: Rest::Release },
            (_, _) => TransferKind::Release { hold },
        };
        transfer(place, kind)
    };
    (0..TRANSFERS).map(step).collect()
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch around pure code")]
fn run(transfers: &[Transfer], life: Life) -> f64 {
    let mut ledger = Ledger::new();
    for id in (0..ACCOUNTS).map(u128::from) {
        let kind = AccountKind { code: 1, label: id };
        ledger.open(&NewAccount { id: AccountId::from_bits(id), kind, floor: None });
    }
    let start = Instant::now();
    for (place, transfer) in (0..).zip(transfers) {
        if let Life::Live = life {
            ledger.check(transfer).expect("every transfer is acceptable");
        }
        ledger.apply(transfer);
        if place >= REMEMBERED_MAX {
            ledger.retire([id(place - REMEMBERED_MAX)]);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    assert!(ledger.books_check().balanced, "the books balance");
    transfers.len() as f64 / seconds
}
