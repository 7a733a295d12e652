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
        accelerator: None,
        score: vec![dayan_wire::Score {
            by: "price".to_owned(),
            value: Some(price.to_owned()),
            unit: "CNY".to_owned(),
        }],
    }
}

fn refusal(pool: &str) -> RefusedPool {
    let reason = |code: &str, message: &str| Waiting {
        code: code.to_owned(),
        message: message.to_owned(),
        lasting: true,
    };
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
        promise_price: Some("96.00".to_owned()),
        promise_currency: Some("CNY".to_owned()),
        order: [("room", "always"), ("price", "job"), ("start", "default")]
            .map(|(by, from)| PlanOrder {
                by: by.to_owned(),
                unit: "its unit".to_owned(),
                from: from.to_owned(),
            })
            .to_vec(),
        warnings: vec![Waiting {
            code: "deadline.shorter_than_time".to_owned(),
            message: "its soft deadline of 10m is shorter than `resources.time`, 1h".to_owned(),
            lasting: false,
        }],
        at: Some("2026-11-23T12:00:00Z".to_owned()),
        revision: Some(7),
        file: Some(json!({ "version": 1, "name": "saved" })),
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
        PlanAnswer { candidates: Vec::new(), promise: None, warnings: Vec::new(), ..answer() };
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
        promise: None,
        promise_carbon_g: None,
        at: Some("2026-11-23T12:00:00Z".to_owned()),
        ..answer()
    };
    let difference = Difference::between(&answer(), &newer);
    assert_eq!(difference.added.len(), 1);
    assert_eq!(difference.removed.len(), 1);
    assert_eq!(difference.changed.len(), 1);
    insta::assert_snapshot!(both(&difference));
    let same = Difference::between(&answer(), &answer());
    assert!(same.is_none());
}

#[test]
fn a_clock_that_went_on_changes_no_plan() {
    let later = |secs: f64, at: &str| PlanAnswer {
        candidates: vec![option("guian-1", "120.00", 0.0), option("shenzhen-1", "240.00", secs)],
        at: Some(at.to_owned()),
        ..answer()
    };
    let differs = |later: &PlanAnswer| {
        let difference = Difference::between(&answer(), later);
        difference.changed.into_iter().flat_map(|change| change.differs).collect::<Vec<_>>()
    };
    // Ninety seconds to wait, and a minute later half a minute of it is left.
    assert_eq!(differs(&later(30.0, "2026-11-23T12:01:00Z")), [""; 0]);
    assert_eq!(differs(&later(0.0, "2026-11-23T12:01:30Z")), [""; 0], "it is over as was said");
    assert_eq!(differs(&later(0.0, "2026-11-23T13:00:00Z")), [""; 0], "it is over for long");
    assert_eq!(differs(&later(0.0, "2026-11-23T12:00:01Z")), ["start_p50_s"], "sooner");
    assert_eq!(differs(&later(900.0, "2026-11-23T12:01:00Z")), ["start_p50_s"]);
    let dearer = PlanAnswer {
        candidates: vec![option("guian-1", "130.00", 0.0), option("shenzhen-1", "240.00", 90.0)],
        ..answer()
    };
    assert_eq!(differs(&dearer), ["price"]);
    let turned =
        PlanAnswer { candidates: answer().candidates.into_iter().rev().collect(), ..answer() };
    let difference = Difference::between(&answer(), &turned);
    assert_eq!(difference.changed, []);
    insta::assert_snapshot!("another_first", both(&difference));
}

#[test]
fn what_is_decided_beside_the_pools_is_compared_too() {
    let check = |plan: &PlanAnswer, expect: &[&str]| {
        let difference = Difference::between(&answer(), plan);
        let shown = serde_json::to_value(&difference).expect("text keys");
        let told = shown.as_object().expect("keys").iter();
        let told = told.filter(|(_, value)| !value.as_array().is_some_and(Vec::is_empty));
        assert_eq!(told.map(|(key, _)| key.as_str()).collect::<Vec<_>>(), expect);
        assert_eq!(difference.is_none(), expect.is_empty());
        assert_eq!(Replayed::between(&answer(), plan).same, expect.is_empty());
        difference
    };
    let promise = |starts_by: &str, ends_by: &str| {
        let [starts_by, ends_by] = [starts_by, ends_by].map(|time| format!("2026-11-23T{time}Z"));
        Some(dayan_wire::Promise { starts_by, ends_by })
    };
    let at = |time: &str| Some(format!("2026-11-23T{time}Z"));
    let hour_later = promise("13:20:00", "14:00:00");
    let turned = check(&PlanAnswer { promise: hour_later.clone(), ..answer() }, &["promise"]);
    insta::assert_snapshot!("another_promise", both(&turned));
    check(&PlanAnswer { promise: None, ..answer() }, &["promise"]);
    check(&PlanAnswer { promise_price: Some("97.00".to_owned()), ..answer() }, &["promise"]);
    check(&PlanAnswer { promise_carbon_g: Some(9.0), ..answer() }, &["promise"]);
    // Within the minute that estimates are good to.
    check(&PlanAnswer { promise: promise("12:20:59", "13:01:00"), ..answer() }, &[]);
    // What started at once an hour ago starts at once now.
    let at_once = |starts: &str, ends: &str, asked: &str| PlanAnswer {
        candidates: vec![option("guian-1", "120.00", 0.0)],
        promise: promise(starts, ends),
        at: at(asked),
        ..answer()
    };
    let (then, now) =
        (at_once("12:00:02", "12:40:02", "12:00:00"), at_once("13:00:03", "13:40:03", "13:00:00"));
    assert!(Difference::between(&then, &now).is_none());

    let poor = PlanAnswer { submission: Some(no_money()), ..answer() };
    let refused = check(&poor, &["submission"]);
    insta::assert_snapshot!("another_submission", both(&refused));
    let asked_anew =
        |request: &str| dayan_wire::Problem { request: request.to_owned(), ..no_money() };
    let (one, other) = ["req_1", "req_2"]
        .map(|request| PlanAnswer { submission: Some(asked_anew(request)), ..answer() })
        .into();
    assert!(Difference::between(&one, &other).is_none());

    let order = answer().order.into_iter().rev().collect();
    insta::assert_snapshot!(
        "another_order",
        both(&check(&PlanAnswer { order, ..answer() }, &["order"]))
    );
    let turned =
        PlanAnswer { candidates: answer().candidates.into_iter().rev().collect(), ..answer() };
    check(&turned, &["first", "ranks"]);
    let last = option("chengdu-1", "300.00", 0.0);
    let [first, second] = [0, 1].map(|nth| answer().candidates[nth].clone());
    let three = |all: [&Candidate; 3]| PlanAnswer {
        candidates: all.map(Clone::clone).to_vec(),
        ..answer()
    };
    let (then, now) = (three([&first, &second, &last]), three([&first, &last, &second]));
    let difference = Difference::between(&then, &now);
    assert_eq!(difference.first, None);
    insta::assert_snapshot!("other_ranks", both(&difference));
}

#[tokio::test]
async fn a_saved_plan_is_asked_again_with_its_own_file() {
    let fake = Fake::start(|_, _| Says::json(200, &answer().data())).await;
    let dir = tempfile::tempdir().expect("a folder");
    let saved = dir.path().join("saved.json");
    let path = saved.display().to_string();
    let replay = |plan: PlanAnswer| {
        std::fs::write(&saved, plan.data().to_string()).expect("written");
        let line = ["plan", "--replay", &path, "-o", "json"].map(str::to_owned);
        let environment = fake.environment();
        async move { dayan(environment, &line.each_ref().map(String::as_str)).await }
    };
    let same = replay(answer()).await;
    assert_eq!(same.exit, Exit::Ok, "{}", same.stderr);
    let shown: Value = serde_json::from_str(&same.stdout).expect("JSON");
    assert_eq!((&shown["same"], &shown["was_at"]), (&json!(true), &json!(7)));
    let cheaper = PlanAnswer { candidates: vec![option("guian-1", "1.00", 0.0)], ..answer() };
    let other = replay(cheaper.clone()).await;
    assert_eq!(other.exit, Exit::Failed, "{}", other.stdout);
    insta::assert_snapshot!("replayed", both(&Replayed::between(&cheaper, &answer())));
    let asked = fake.lines().len();
    assert_eq!(replay(PlanAnswer { file: None, ..answer() }).await.exit, Exit::Usage);
    assert_eq!(fake.lines().len(), asked, "a plan without its file is no question");
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
