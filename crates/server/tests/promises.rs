//! Hard deadlines and closures over HTTP: promised, told, kept from others, refused with the
//! earliest end there could be.

mod support;

use serde_json::{Value, json};
use support::{Ask, Exchange, FakeAgent};

fn file(cpus: u32, deadline: &str) -> String {
    format!(
        "version: 1\nname: urgent\ntype: batch\nproject: lab/demo\n\
         resources: {{cpus: {cpus}, memory: 100MB, time: 10m}}\nrun: ./work\n{deadline}"
    )
}

async fn plan(exchange: &Exchange, token: &str, file: &str) -> Value {
    let (status, _, answer) = exchange.answer(Ask::post(token, "/v1/plan", file)).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_deadline_is_promised_or_refused_with_the_earliest_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let cores = exchange.get(&exchange.operator, &format!("/v1/pools/{}", agent.pool)).await;
    let cores: u32 = cores["nodes"][0]["cpus"].as_str().expect("cores").parse().expect("whole");
    // All cores are taken for ten minutes at most.
    let running = exchange.submit(&setup.member, &file(cores, "")).await;
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&running), "{order}");

    let soon = file(cores, "deadline: {finish_within: 15m, kind: hard}\n");
    let told = plan(&exchange, &setup.member, &soon).await;
    assert_eq!(told["submission"]["code"], "deadline.too_early", "{told}");
    exchange
        .refused(Ask::post(&setup.member, "/v1/jobs", soon.as_str()), 409, "deadline.too_early")
        .await;

    let later = file(cores, "deadline: {finish_within: 25m, kind: hard}\n");
    let told = plan(&exchange, &setup.member, &later).await;
    assert!(told["promise"]["ends_by"].is_string(), "{told}");
    let job = exchange.submit(&setup.member, &later).await;
    let shown = exchange.get(&setup.member, &format!("/v1/jobs/{job}")).await;
    let promise = &shown["promise"];
    assert!(promise["starts_by"].as_str() < shown["deadline"].as_str(), "{shown}");
    // The same time is not promised twice, in a batch neither.
    let spec = json!({
        "version": 1, "name": "urgent", "type": "batch", "project": "lab/demo", "run": "./work",
        "resources": { "cpus": cores, "memory": "100MB", "time": "10m" },
        "deadline": { "finish_within": "25m", "kind": "hard" },
    });
    let batch = Ask::post(&setup.member, "/v1/jobs/batch", json!([spec]).to_string());
    let (status, _, answer) = exchange.answer(batch).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer[0]["problem"]["code"], "deadline.too_early", "{answer}");
    exchange
        .refused(Ask::post(&setup.member, "/v1/jobs", later.as_str()), 409, "deadline.too_early")
        .await;
    // Who cancels gives the time back.
    let cancel = format!("/v1/jobs/{job}/cancel");
    exchange.post(&setup.member, &cancel, json!({})).await;
    exchange.submit(&setup.member, &later).await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_started_on_a_machine_that_closes_and_only_its_owner_closes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let closures = format!("/v1/pools/{}/closures", agent.pool);
    let member = setup.member.as_str();
    let first = exchange.submit(member, &file(1, "")).await;
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&first), "{order}");
    fn put<'a>(token: &'a str, path: &'a str, body: &Value) -> Ask<'a> {
        Ask { method: reqwest::Method::PUT, ..Ask::post(token, path, body.to_string()) }
    }
    let op = exchange.operator.as_str();
    let far = json!([{ "until": "2199-01-01T00:00:00Z" }]);
    exchange.refused(put(op, &closures, &far), 422, "closure.invalid").await;
    let soon = json!([{ "until": "soon" }]);
    exchange.refused(put(op, &closures, &soon), 422, "closure.time").await;
    let now = exchange.get(member, &format!("/v1/jobs/{first}")).await;
    let now: dayan_units::Time =
        now["submitted_at"].as_str().expect("a time").parse().expect("a time");
    let until = now.plus(dayan_units::Span::from_secs(3_600)).to_string();
    let body = json!([{ "until": until }]);
    exchange.refused(put(member, &closures, &body), 403, "auth.role").await;
    let (status, _, answer) = exchange.answer(put(op, &closures, &body)).await;
    assert_eq!(status, 204, "{answer}");
    let shown = exchange.get(&exchange.operator, &format!("/v1/pools/{}", agent.pool)).await;
    assert_eq!(shown["closures"][0]["until"], until, "{shown}");
    let job = exchange.submit(&setup.member, &file(1, "")).await;
    let why = exchange.get(&setup.member, &format!("/v1/jobs/{job}/explain")).await;
    assert_eq!(why["reasons"][0]["code"], "pool.promised", "{why}");
    let (status, ..) = exchange.answer(put(op, &closures, &json!([]))).await;
    assert_eq!(status, 204);
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&job), "{order}");
    exchange.stop().await;
}
