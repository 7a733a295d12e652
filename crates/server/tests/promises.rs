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
    // The offer has one price at all hours.
    assert_eq!(told["promise_price"], told["candidates"][0]["price"], "{told}");
    assert_eq!(told["promise_currency"], "CNY", "{told}");
    let order: Vec<&str> = told["order"]
        .as_array()
        .expect("an order")
        .iter()
        .filter_map(|of| of["by"].as_str())
        .collect();
    assert_eq!(order[..3], ["room", "price", "start"], "{told}");
    let score = told["candidates"][0]["score"].as_array().expect("a score");
    let by: Vec<&str> = score.iter().filter_map(|of| of["by"].as_str()).collect();
    assert_eq!(by, order[1..], "each measure of the order but the room has a value");
    assert_eq!(score[0]["value"], told["candidates"][0]["price"], "{told}");
    assert_eq!(told["file"]["name"], "urgent", "{told}");
    assert!(told["revision"].is_u64() && told["at"].is_string(), "{told}");
    let short = file(1, "deadline: {finish_within: 5m, kind: soft}\n");
    let told = plan(&exchange, &setup.member, &short).await;
    assert_eq!(told["warnings"][0]["code"], "deadline.shorter_than_time", "{told}");
    // Spot is sold, and is not promised.
    let dearer = json!({ "pool": agent.pool, "core_hour": "0.72", "minimum": 10, "spot": 600 });
    exchange.post(&exchange.operator, "/v1/offers", dearer).await;
    let spot = format!("{later}market: {{mode: spot}}\n");
    let told = plan(&exchange, &setup.member, &spot).await;
    assert_eq!(told["submission"]["code"], "deadline.spot", "{told}");
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
    // The row of the list says so, too; that of what runs has nothing to say.
    let rows = exchange.get(&setup.member, "/v1/jobs").await;
    let row = |id: &str| {
        let rows = rows["items"].as_array().expect("rows");
        rows.iter().find(|row| row["id"] == id).expect("it is listed")["waiting"].clone()
    };
    assert_eq!(row(&job)[0]["code"], "pool.promised", "{rows}");
    assert_eq!(row(&first), json!([]), "{rows}");
    let over = json!([{ "until": "2020-01-01T00:00:00Z" }]);
    exchange.refused(put(op, &closures, &over), 422, "closure.over").await;
    let (status, ..) = exchange.answer(put(op, &closures, &json!([]))).await;
    assert_eq!(status, 204);
    let order = agent.next_order().await;
    assert!(order["attempt"].as_str().expect("an id").starts_with(&job), "{order}");
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_prefers_carbon_is_promised_the_cleanest_hour_of_its_deadline_and_told_why_it_waits() {
    const HOUR_MICROS: i64 = 3_600_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let (op, member) = (exchange.operator.as_str(), setup.member.as_str());
    fn put<'a>(token: &'a str, path: &'a str, body: &Value) -> Ask<'a> {
        Ask { method: reqwest::Method::PUT, ..Ask::post(token, path, body.to_string()) }
    }
    let first = exchange.submit(member, &file(1, "")).await;
    let now = exchange.get(member, &format!("/v1/jobs/{first}")).await;
    let now: dayan_units::Time =
        now["submitted_at"].as_str().expect("a time").parse().expect("a time");
    let hour = |n: i64| {
        let full = now.micros() / HOUR_MICROS * HOUR_MICROS;
        dayan_units::Time::from_micros(full + n * HOUR_MICROS).to_string()
    };
    // Only the fourth hour from this one on is clean.
    let mut grams = vec![500; 30];
    grams[4] = 50;
    let of = |pool: &str| json!({ "pool": pool, "from": hour(0), "grams_per_kwh": grams });
    exchange.refused(put(member, "/v1/carbon", &of(&agent.pool)), 403, "auth.role").await;
    let nobody = json!({ "from": hour(0), "grams_per_kwh": [1] });
    exchange.refused(put(op, "/v1/carbon", &nobody), 422, "carbon.whose").await;
    let whenever = json!({ "region": "Guizhou", "from": "soon", "grams_per_kwh": [1] });
    exchange.refused(put(op, "/v1/carbon", &whenever), 422, "carbon.time").await;
    let (status, _, answer) = exchange.answer(put(op, "/v1/carbon", &of(&agent.pool))).await;
    assert_eq!(status, 204, "{answer}");
    let pue = format!("/v1/pools/{}/pue", agent.pool);
    let (status, _, answer) =
        exchange.answer(put(op, &pue, &json!({ "pue_permille": 1_500 }))).await;
    assert_eq!(status, 204, "{answer}");
    let rows = exchange.get(member, "/v1/carbon").await;
    let row = &rows["items"][0];
    assert_eq!(row["source"], "pool", "{rows}");
    assert_eq!((&row["grams_per_kwh"], &row["pue_permille"]), (&json!(500), &json!(1_500)));
    assert_eq!(row["cleanest_at"], hour(4), "{rows}");

    let clean = file(1, "deadline: {finish_within: 20h, kind: hard}\nprefer: [carbon]\n");
    let told = plan(&exchange, member, &clean).await;
    // Ten minutes of one core are a sixth of 8 Wh: at 750 and at 75 g for a kilowatt-hour.
    let close = |value: &Value, expect: f64| (value.as_f64().unwrap_or(0.0) - expect).abs() < 2e-3;
    assert!(close(&told["candidates"][0]["carbon_g"], 1.0), "{told}");
    assert!(close(&told["promise_carbon_g"], 0.1), "{told}");
    assert_eq!(told["promise"]["starts_by"], hour(4), "{told}");
    let job = exchange.submit(member, &clean).await;
    let why = exchange.get(member, &format!("/v1/jobs/{job}/explain")).await;
    assert_eq!(why["reasons"][0]["code"], "job.hour", "{why}");
    let message = why["reasons"][0]["message"].as_str().expect("a sentence");
    assert!(message.contains("cleaner") && message.contains(&hour(4)), "{message}");
    exchange.stop().await;
}
