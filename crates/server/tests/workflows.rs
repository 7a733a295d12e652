//! Jobs that wait for others, and quotas, over HTTP: what is waited for is told, drawn, and goes on by
//! itself.

mod support;

use serde_json::{Value, json};
use support::{Ask, Exchange, FakeAgent, ended_well};

fn file(name: &str, more: &str) -> String {
    format!(
        "version: 1\nname: {name}\ntype: batch\nproject: lab/demo\n\
         resources: {{cpus: 1, memory: 100MB, time: 10m}}\nrun: ./work\n{more}"
    )
}

async fn explain(exchange: &Exchange, token: &str, job: &str) -> Value {
    exchange.get(token, &format!("/v1/jobs/{job}/explain")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_for_another_says_so_is_drawn_with_it_and_goes_on_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let prep = exchange.submit(&setup.member, &file("prep", "")).await;
    let order = agent.next_order().await;
    let next = exchange.submit(&setup.member, &file("next", "depends_on: [prep]\n")).await;

    let why = explain(&exchange, &setup.member, &next).await;
    assert_eq!((&why["standing"], &why["tasks_waiting"]), (&json!("depends"), &json!(1)), "{why}");
    assert_eq!(why["reasons"][0]["code"], "job.depends", "{why}");
    assert!(why["reasons"][0]["message"].as_str().expect("text").contains(&prep), "{why}");
    let shown = exchange.show(&setup.member, &next).await;
    let drawn = [
        json!({ "id": prep, "name": "prep", "state": "running", "depth": 0, "after": [] }),
        json!({ "id": next, "name": "next", "state": "queued", "depth": 1, "after": [
            { "job": prep, "after": "succeeded", "met": false }] }),
    ];
    assert_eq!(shown["workflow"], json!(drawn), "{shown}");

    let (ended, usage) = ended_well(order["attempt"].as_str().expect("an id"));
    agent.report(ended, Some(usage)).await;
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&next), "{order}");
    let shown = exchange.show(&setup.member, &next).await;
    assert_eq!(shown["workflow"][1]["after"][0]["met"], true, "{shown}");
    let alone = Ask::post(&setup.member, "/v1/jobs", file("x", "depends_on: [nobody]\n"));
    exchange.refused(alone, 404, "depends.unknown").await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_holds_back_what_is_over_it_and_is_shown_with_what_is_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let projects = exchange.get(&exchange.operator, "/v1/projects").await;
    let project = projects["items"][0]["id"].as_str().expect("an id");
    let path = format!("/v1/projects/{project}/quota");
    let put = |body: Value| Ask {
        method: reqwest::Method::PUT,
        ..Ask::post(&exchange.operator, &path, body.to_string())
    };
    let (status, ..) = exchange.answer(put(json!({ "cpus": "1" }))).await;
    assert_eq!(status, 204);
    exchange.refused(put(json!({ "cpus": "much" })), 422, "request.quota").await;

    let first = exchange.submit(&setup.member, &file("first", "")).await;
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&first), "{order}");
    let second = exchange.submit(&setup.member, &file("second", "")).await;
    let rows = exchange.get(&setup.member, "/v1/quotas").await;
    let row = &rows["items"][0];
    assert_eq!((&row["quota"], &row["held"]["cpus"]), (&json!({ "cpus": "1" }), &json!("1")));
    let wide = file("wide", "").replace("cpus: 1", "cpus: 2");
    exchange.refused(Ask::post(&setup.member, "/v1/jobs", wide), 409, "quota.too_small").await;
    // Without it the second goes too.
    let (status, ..) = exchange.answer(put(json!({}))).await;
    assert_eq!(status, 204);
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&second), "{order}");
    exchange.stop().await;
}
