//! Accounts, bills and audits as they are printed.

use super::*;
use crate::tests::{Fake, Says, both, dayan, sample};
use dayan_wire::{InvoiceJob, Line};

const ID: &str = "01h455vb4pex5vsknk084sn02q";

fn head() -> InvoiceSummary {
    InvoiceSummary {
        id: format!("inv_{ID}"),
        org: "studio-a".to_owned(),
        period: "2026-11".to_owned(),
        state: "open".to_owned(),
        total: "12.34".to_owned(),
        currency: "CNY".to_owned(),
    }
}

fn line(at: usize) -> Line {
    Line {
        id: format!("line-{at}"),
        job: format!("job_{ID}"),
        attempt: format!("job_{ID}/{at}.1"),
        pool: "guian-1".to_owned(),
        provider: "guian-dc".to_owned(),
        from: "2026-11-23T12:00:00Z".to_owned(),
        to: "2026-11-23T12:10:00Z".to_owned(),
        billed_s: "600.000000".to_owned(),
        core_s: "9600.00".to_owned(),
        gb_s: "38400.00".to_owned(),
        card_s: "0.00".to_owned(),
        price: dayan_wire::LinePrice {
            core_hour: "0.36".to_owned(),
            gb_hour: "0.01".to_owned(),
            card_hour: "0.00".to_owned(),
            permille: 900,
            offer: "off_1".to_owned(),
        },
        amount: "0.32".to_owned(),
        provider_amount: "0.30".to_owned(),
        fee: "0.02".to_owned(),
        currency: "CNY".to_owned(),
    }
}

fn invoice_of(lines: usize) -> Invoice {
    Invoice {
        summary: head(),
        issuer: "dayan".to_owned(),
        jobs: vec![InvoiceJob {
            job: format!("job_{ID}"),
            name: "forecast".to_owned(),
            project: "gz-meteo/ops".to_owned(),
            amount: "12.34".to_owned(),
            deadline: Some("2026-11-23T13:00:00Z".to_owned()),
            deadline_met: Some(false),
        }],
        lines: (0..lines).map(line).collect(),
    }
}

#[test]
fn bills_as_people_see_them() {
    insta::assert_snapshot!("invoices", both(&vec![head()]));
    insta::assert_snapshot!("invoice", both(&invoice_of(2)));
    let long = invoice_of(LINES_SHOWN + 1).table(&crate::tests::view(crate::words::Lang::En));
    assert!(long.contains("50 of 51 lines"), "{long}");
    insta::assert_snapshot!(
        "usage",
        both(&vec![UsageRow {
            subject: "studio-a/film-3".to_owned(),
            period: "2026-11".to_owned(),
            lines: 60,
            core_hours: "160.00".to_owned(),
            card_hours: "0.00".to_owned(),
            amount: "12.34".to_owned(),
            currency: "CNY".to_owned(),
        }])
    );
}

fn check(balanced: bool) -> LedgerCheck {
    LedgerCheck {
        balanced,
        accounts: 9,
        transfers: 1_234,
        debits: "5000.00".to_owned(),
        credits: "5000.00".to_owned(),
        currency: "CNY".to_owned(),
        differences: if balanced {
            Vec::new()
        } else {
            vec!["account 3 is off by 0.01".to_owned()]
        },
    }
}

fn journal(intact: bool, replay_equal: Option<bool>) -> JournalCheck {
    let broken = (!intact).then(|| "row 17: the hash does not follow".to_owned());
    JournalCheck { intact, rows: 99, head: "ab".repeat(32), replay_equal, broken }
}

#[test]
fn books_as_people_and_scripts_see_them() {
    insta::assert_snapshot!("balanced", both(&check(true)));
    insta::assert_snapshot!("unbalanced", both(&check(false)));
    insta::assert_snapshot!("ledger_json", sample(&check(false)));
    insta::assert_snapshot!("journal", both(&journal(false, None)));
    insta::assert_snapshot!(
        "accounts",
        both(&vec![Account {
            id: "1".to_owned(),
            kind: "consumer".to_owned(),
            owner: "studio-a".to_owned(),
            balance: "1000.00".to_owned(),
            held: "1.00".to_owned(),
            currency: "CNY".to_owned(),
        }])
    );
    insta::assert_snapshot!(
        "findings",
        both(&vec![Finding {
            id: "1".to_owned(),
            agent: format!("agt_{ID}"),
            code: "usage.shrinks".to_owned(),
            at: "2026-11-23T12:00:00Z".to_owned(),
            message: "record 4 says less than record 3".to_owned(),
        }])
    );
}

#[test]
fn a_journal_is_sound_when_nothing_speaks_against_it() {
    assert_eq!(sound(&journal(true, None)), Exit::Ok);
    assert_eq!(sound(&journal(true, Some(true))), Exit::Ok);
    assert_eq!(sound(&journal(true, Some(false))), Exit::Failed);
    assert_eq!(sound(&journal(false, None)), Exit::Failed);
}

#[test]
fn months_are_written_in_one_way() {
    assert_eq!(period_arg("2026-11"), Ok("2026-11".to_owned()));
    for bad in ["2026", "2026-13", "2026-1", "26-11", "2026-00", "2026-11-01", "x-y"] {
        assert!(period_arg(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn books_that_do_not_balance_end_with_one() {
    let fake =
        Fake::start(|_, _| Says::json(200, &serde_json::to_value(check(false)).expect("JSON")))
            .await;
    let ran = dayan(fake.environment(), &["ledger", "check", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Failed);
    let said: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(said["balanced"], json!(false));
}

#[tokio::test]
async fn whoever_verifies_a_damaged_journal_is_told_to_restore() {
    let fake = Fake::start(|_, _| {
        Says::json(200, &serde_json::to_value(journal(false, None)).expect("JSON"))
    })
    .await;
    let ran = dayan(fake.environment(), &["audit", "verify"]).await;
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.stdout.contains("row 17") && ran.stderr.contains("dayan restore"), "{ran:?}");
    assert!(!ran.stderr.contains("audit verify"), "{}", ran.stderr);
}

#[tokio::test]
async fn an_invoice_file_comes_as_it_is() {
    let fake = Fake::start(|_, _| Says::bytes(200, b"BilledCost,\xff\n1,2\n")).await;
    let ran = dayan(fake.environment(), &["invoice", "get", "inv_1", "--format", "focus"]).await;
    assert_eq!(ran.stdout, String::from_utf8_lossy(b"BilledCost,\xff\n1,2\n"));
    assert_eq!(fake.lines(), ["GET /v1/invoices/inv_1?format=focus&lang=en"]);
}
