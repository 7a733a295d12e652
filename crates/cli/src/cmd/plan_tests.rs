//! Quotes, plans and explanations as they are printed.

use dayan_wire::{QuoteLine, Waiting};
use serde_json::json;

use super::*;
use crate::tests::{Fake, Says, both, dayan, sample};

fn option(pool: &str, price: &str, start: f64) -> Candidate {
    Candidate {
        pool: format!("pool_{pool}"),
        pool_name: pool.to_owned(),
        provider: "guian-dc".to_owned(),
        site: "Gui'an".to_owned(),
        tasks: 12,
        price: price.to_owned(),
        price_per_task_hour: "1.92".to_owned(),
        currency: "CNY".to_owned(),
        start_p50_s: start,
        start_p90_s: start * 2.0,
        transfer_s: None,
        transfer_bytes: None,
        delay_ms: Some(2.75),
        carbon_g: (pool != "shenzhen-1").then_some(1_234.5),
    }
}

fn refusal(pool: &str) -> RefusedPool {
    let reason =
        |code: &str, message: &str| Waiting { code: code.to_owned(), message: message.to_owned() };
    RefusedPool {
        pool: format!("pool_{pool}"),
        pool_name: pool.to_owned(),
        reasons: vec![
            reason("delay.class", "its delay of 24 ms from Guiyang is over the 10 ms of class T2"),
            reason("placement.regions", "Zhejiang is not one of Guizhou, Sichuan"),
        ],
    }
}

fn answer() -> PlanAnswer {
    PlanAnswer {
        candidates: vec![option("guian-1", "120.00", 0.0), option("shenzhen-1", "240.00", 90.0)],
        refused: vec![refusal("hangzhou-1")],
        submission: None,
        promise: Some(dayan_wire::Promise {
            starts_by: "2026-11-23T12:20:00Z".to_owned(),
            ends_by: "2026-11-23T13:00:00Z".to_owned(),
        }),
        promise_carbon_g: Some(812.25),
        next: Vec::new(),
    }
}

fn no_money() -> dayan_wire::Problem {
    dayan_wire::Problem {
        kind: "urn:dayan:problem:market.budget_day".to_owned(),
        status: 402,
        code: "market.budget_day".to_owned(),
        title: "0.10 CNY are left of what `lab/sweep` may spend in this day".to_owned(),
        advice: "wait for the next day, or raise the limit with `dayan budget`".to_owned(),
        details: Vec::new(),
        request: String::new(),
    }
}

#[test]
fn plans_as_people_see_them() {
    insta::assert_snapshot!(both(&answer()));
    let none =
        PlanAnswer { candidates: Vec::new(), promise: None, promise_carbon_g: None, ..answer() };
    insta::assert_snapshot!("no_candidate", both(&none));
    let poor = PlanAnswer {
        submission: Some(no_money()),
        promise: None,
        promise_carbon_g: None,
        ..answer()
    };
    insta::assert_snapshot!("no_money", both(&poor));
    let next = vec!["2026-11-24T00:20:00Z".to_owned(), "2026-11-24T06:20:00Z".to_owned()];
    insta::assert_snapshot!("repeats", both(&PlanAnswer { next, ..answer() }));
    insta::assert_snapshot!("plan_json", sample(&answer()));
}

#[test]
fn quotes_as_people_and_scripts_see_them() {
    let quote = Quote {
        quote: "quo_01h455vb4pex5vsknk084sn02q".to_owned(),
        lines: vec![QuoteLine {
            pool: "pool_01h455vb4pex5vsknk084sn02q".to_owned(),
            pool_name: "guian-1".to_owned(),
            tasks: 12,
            price: "120.00".to_owned(),
            mode: Some("on_demand".to_owned()),
        }],
        total: "120.00".to_owned(),
        currency: "CNY".to_owned(),
        expires_at: "2026-11-23T12:15:00Z".to_owned(),
        signature: "ab".repeat(64),
    };
    insta::assert_snapshot!(both(&quote));
    insta::assert_snapshot!("quote_json", sample(&quote));
}

#[test]
fn differences_between_plans() {
    let newer = PlanAnswer {
        candidates: vec![option("guian-1", "110.00", 30.0), option("chengdu-1", "90.00", 0.0)],
        refused: vec![refusal("hangzhou-1"), refusal("shenzhen-1")],
        submission: None,
        promise: None,
        promise_carbon_g: None,
        next: Vec::new(),
    };
    let difference = Difference::between(&answer(), &newer);
    assert_eq!(difference.added.len(), 1);
    assert_eq!(difference.removed.len(), 1);
    assert_eq!(difference.changed.len(), 1);
    insta::assert_snapshot!(both(&difference));
    let same = Difference::between(&answer(), &answer());
    assert_eq!(same, Difference { added: Vec::new(), removed: Vec::new(), changed: Vec::new() });
}

#[tokio::test]
async fn a_saved_plan_is_compared_and_a_broken_one_refused_before_asking() {
    let fake = Fake::start(|_, _| Says::json(200, &answer().data())).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (job, saved) = (dir.path().join("job.yaml"), dir.path().join("saved.json"));
    std::fs::write(&job, super::super::session::tests_support::JOB_FILE).expect("written");
    let (job, saved_path) = (job.display().to_string(), saved.display().to_string());
    let first = dayan(fake.environment(), &["plan", &job, "-o", "json"]).await;
    assert_eq!(first.exit, Exit::Ok, "{}", first.stderr);
    std::fs::write(&saved, &first.stdout).expect("written");
    let line = ["plan", &job, "--diff", &saved_path, "-o", "json"];
    let ran = dayan(fake.environment(), &line).await;
    let shown: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(shown, json!({ "added": [], "removed": [], "changed": [] }));
    std::fs::write(&saved, "{}").expect("written");
    let asked = fake.lines().len();
    assert_eq!(dayan(fake.environment(), &line).await.exit, Exit::Usage);
    assert_eq!(fake.lines().len(), asked);
}
