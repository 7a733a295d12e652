//! The books are checked while the exchange goes on: what is booked meanwhile is neither missed nor
//! held against them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use support::Exchange;

const PAYERS: u32 = 6;
const CHECKS: u32 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_books_balance_at_any_moment_under_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    exchange.set_up("lab/demo").await;
    let (exchange, done) = (Arc::new(exchange), Arc::new(AtomicBool::new(false)));
    let mut payers = tokio::task::JoinSet::new();
    for payer in 0..PAYERS {
        let (exchange, done) = (exchange.clone(), done.clone());
        payers.spawn(async move {
            let mut paid = 0u64;
            while !done.load(Ordering::Relaxed) {
                paid += 1;
                let reference = format!("wire {payer}-{paid}");
                let money = json!({ "amount": "1.00 CNY", "reference": reference });
                exchange.post(&exchange.operator, "/v1/orgs/lab/deposits", money).await;
            }
            paid
        });
    }
    let mut seen = Vec::new();
    for _ in 0..CHECKS {
        let check = exchange.get(&exchange.operator, "/v1/ledger/check").await;
        assert_eq!(check["balanced"], true, "{check}");
        seen.push(check["transfers"].as_u64().expect("a number"));
    }
    done.store(true, Ordering::Relaxed);
    let paid: u64 = payers.join_all().await.into_iter().sum();
    assert!(seen.first() < seen.last(), "it was busy meanwhile: {seen:?}");
    let last = exchange.get(&exchange.operator, "/v1/ledger/check").await;
    // The set-up's own payment besides.
    assert_eq!(last["transfers"], paid + 1, "{last}");
    Arc::into_inner(exchange).expect("nobody else holds it").stop().await;
}
