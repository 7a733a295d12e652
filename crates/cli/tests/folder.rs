//! The real binary on the data folder of an exchange that is damaged, or not whole: what it says
//! leads on, and not in a circle.

mod support;

use std::path::Path;

use dayan_store::{Batch, Location, OpenMode, Store};
use dayan_testbed::{MARK, damage};
use support::{dayan, text};

/// How the line ended, and what it said on both streams.
fn said(home: &Path, line: &[&str]) -> (Option<i32>, String, String) {
    let out = dayan(home, line);
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

/// A journal of twelve rows without events, of which one is marked.
fn journal(data: &Path, marked: usize) {
    let location = Location::Sqlite(data.to_owned());
    let mut store = Store::open(&location, OpenMode::Write).expect("a new store");
    let term = store.take_term("test", dayan_units::Time::EPOCH).expect("nobody else leads");
    for row in 1..=12 {
        let mark = if row == marked { MARK } else { "" };
        let payload = format!("{{\"v\":1,\"entries\":[{mark}]}}").into_bytes();
        store.commit(&Batch { term, payload, ..Batch::default() }).expect("committed");
    }
}

#[test]
fn a_damaged_journal_is_verified_up_to_its_damage() {
    for (marked, rows) in [(10, "9"), (12, "11")] {
        let home = tempfile::tempdir().expect("a folder");
        let data = home.path().join("data");
        journal(&data, marked);
        damage(&data);
        let (code, out, err) = said(home.path(), &["audit", "verify", "--data", "data"]);
        assert_eq!(code, Some(1), "{out}{err}");
        let value = |name: &str| {
            let line = out.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {out}")).trim().to_owned()
        };
        assert_eq!((value("intact").as_str(), value("rows").as_str()), ("no", rows));
        assert_eq!(value("newest hash").len(), 64, "{out}");
        let broken = format!("journal row {marked}: its content does not match its hash");
        assert_eq!(value("broken"), broken);
        assert!(err.contains("dayan restore") && !err.contains("audit verify"), "{err}");
    }
}

#[test]
fn a_start_on_a_damaged_journal_leads_to_the_verification() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    journal(&data, 12);
    damage(&data);
    let line = ["serve", "--data", "data", "--listen", "127.0.0.1:0"];
    let (code, _, err) = said(home.path(), &line);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("journal row 12") && err.contains("dayan audit verify --data"), "{err}");
}

#[test]
fn an_exchange_whose_key_is_missing_does_not_start() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    journal(&data, 12);
    let line = ["serve", "--data", "data", "--listen", "127.0.0.1:0"];
    let (code, out, err) = said(home.path(), &line);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("data/exchange.key") && err.contains("--new-key"), "{err}");
    assert!(!data.join("exchange.key").exists(), "none is made without a word");
}

#[test]
fn what_is_no_exchange_and_no_backup_is_called_so_once() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join("empty")).expect("a folder");
    let check = |line: &[&str], expect: &str| {
        let (code, out, err) = said(home.path(), line);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert_eq!(err, format!("error{expect}\n"), "{line:?}");
    };
    check(
        &["restore", "nowhere", "--data", "new"],
        "[store.restore]: cannot restore from nowhere: there is no such folder; name a folder that \
         `dayan backup` wrote",
    );
    check(
        &["restore", "empty", "--data", "new"],
        "[store.restore]: cannot restore from empty: there is no dayan.db in it; name a folder that \
         `dayan backup` wrote",
    );
    assert!(!home.path().join("new").exists(), "nothing was made for that");
    check(
        &["ledger", "check", "--data", "empty"],
        ": cannot open the store at empty: there is no dayan.db in it; name the data folder of an \
         exchange, or a backup of one",
    );
}

#[test]
fn an_agent_that_cannot_start_says_its_code_and_claims_no_work() {
    let home = tempfile::tempdir().expect("a folder");
    let line = ["agent", "--url", "http://127.0.0.1:1", "--data", "agent"];
    let (code, _, err) = said(home.path(), &line);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("error[agent.not_joined]: this folder has not joined"), "{err}");
    assert!(!err.contains("works for"), "{err}");
}
