//! What a user is told before a job is submitted and while it waits: where it could go, why it does
//! not, and nothing of this once it runs.

mod support;

use serde_json::{Value, json};
use support::{Ask, CORE_HOUR, Exchange, FakeAgent};

const JOB: &str = "version: 1
name: hello
type: batch
project: lab/demo
resources: {cpus: 1, memory: 100MB, time: 10m}
run: echo hello
";

fn has(reasons: &Value, code: &str) -> bool {
    reasons.as_array().expect("a list").iter().any(|reason| reason["code"] == code)
}

async fn plan(exchange: &Exchange, token: &str, file: &str) -> Value {
    let (status, _, answer) = exchange.answer(Ask::post(token, "/v1/plan", file)).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_takes_no_work_is_named_and_a_job_that_runs_waits_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let status = format!("/v1/pools/{}/status", agent.pool);
    let become_ = async |to: &str| {
        exchange.post(&exchange.operator, &status, json!({ "status": to })).await;
    };
    become_("suspended").await;
    let planned = plan(&exchange, &setup.member, JOB).await;
    assert_eq!(planned["candidates"], json!([]), "{planned}");
    assert!(has(&planned["refused"][0]["reasons"], "pool.not_active"), "{planned}");
    let job = exchange.submit(&setup.member, JOB).await;
    let explain = format!("/v1/jobs/{job}/explain");
    let waits = exchange.get(&setup.member, &explain).await;
    assert!(has(&waits["reasons"], "pool.not_active"), "{waits}");
    assert_eq!(waits["tasks_waiting"], 1, "{waits}");

    become_("active").await;
    let planned = plan(&exchange, &setup.member, JOB).await;
    assert_eq!(planned["candidates"][0]["pool"], agent.pool.as_str(), "{planned}");
    assert_eq!(planned["refused"], json!([]), "{planned}");
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&job), "{order}");
    let runs = exchange.get(&setup.member, &explain).await;
    assert_eq!(runs["standing"], "not_waiting", "{runs}");
    assert_eq!((&runs["reasons"], &runs["tasks_waiting"]), (&json!([]), &json!(0)), "{runs}");
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_that_there_is_no_money() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    FakeAgent::selling(&exchange, &setup.join_token).await;
    let op = &exchange.operator;
    exchange.post(op, "/v1/orgs", json!({ "name": "poor" })).await;
    exchange.post(op, "/v1/projects", json!({ "path": "poor/p" })).await;
    let member = exchange.user("poor", "m", "member").await;
    let file = JOB.replace("lab/demo", "poor/p");

    let planned = plan(&exchange, &member, &file).await;
    assert_eq!(planned["candidates"].as_array().map(Vec::len), Some(1), "{planned}");
    let refusal = &planned["submission"];
    let code = refusal["code"].as_str().expect("a reason");
    // Submitting it is refused for the same reason; nothing came of the dry run.
    exchange.refused(Ask::post(&member, "/v1/jobs", file.as_str()), 402, code).await;
    assert_eq!(exchange.get(&member, "/v1/jobs").await["items"], json!([]));

    let money = json!({ "amount": "10.00 CNY", "reference": "wire 2" });
    let deposits = "/v1/orgs/poor/deposits";
    assert_eq!(exchange.post(op, deposits, money.clone()).await["repeated"], false);
    assert_eq!(exchange.post(op, deposits, money).await["repeated"], true);
    let planned = plan(&exchange, &member, &file).await;
    assert_eq!(planned["submission"], Value::Null, "{planned}");
    exchange.submit(&member, &file).await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_offer_lists_is_for_who_sells_and_who_audits() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::proven(&exchange, &setup.join_token).await;
    let offer =
        json!({ "pool": agent.pool, "core_hour": CORE_HOUR, "classes": { "external": 500 } });
    exchange.post(&exchange.operator, "/v1/offers", offer).await;
    let seller = exchange.user("dc", "o", "owner").await;
    let auditor = exchange.user("operator", "a", "auditor").await;
    let first = async |token: &str| exchange.get(token, "/v1/offers").await["items"][0].clone();

    let bought = first(&setup.member).await;
    assert_eq!((&bought["core_hour"], &bought["listed"]), (&json!("0.18"), &Value::Null));
    for token in [&seller, &auditor, &exchange.operator] {
        let listed = first(token).await["listed"].clone();
        assert_eq!(
            (&listed["core_hour"], &listed["classes"]["external"]),
            (&json!("0.36"), &json!(500))
        );
    }
    let other = exchange.user("lab", "o", "owner").await;
    assert_eq!(first(&other).await["listed"], Value::Null);
    exchange.stop().await;
}
