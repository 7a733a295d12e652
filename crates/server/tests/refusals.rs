//! Bad input over HTTP: each is refused with a status, a stable code and what to do about it, and
//! leaves no trace in the state.

mod support;

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use support::{Ask, Exchange, FakeAgent};

const JOB: &str = "version: 1
name: hello
type: batch
project: lab/demo
resources: {cpus: 1, memory: 100MB, time: 10m}
run: echo hello
";

/// The usual job file with a line more.
fn with(line: &str) -> String {
    format!("{JOB}{line}\n")
}

/// The usual job file with one of its lines in another form.
fn instead(of: &str, line: &str) -> String {
    assert!(JOB.contains(of));
    JOB.replace(of, line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_files_that_cannot_be_are_refused_with_a_place_and_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let before = exchange.picture().await;

    let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b]";
    let many = format!("env: [{}1]", "1,".repeat(10_000));
    let cases = [
        ("", "spec.empty"),
        ("just words", "spec.not_a_map"),
        ("{\"version\": 1, \"name\":", "spec.json_syntax"),
        (&format!("{{\"a\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000)), "spec.too_deep"),
        (&with(&format!("env: {}", "[".repeat(10_000))), "spec.too_deep"),
        (&with(&format!("env: {}1{}", "[".repeat(200), "]".repeat(200))), "spec.too_deep"),
        (&with(bomb), "spec.anchor"),
        (&with(&many), "spec.too_many_values"),
        (&with(&"# words\n".repeat(10_000)), "spec.file_too_large"),
        (&with("walltime: 10m"), "spec.unknown_key"),
        (&with("name: again"), "spec.duplicate_key"),
        (&with("market: {max_price: -5.00 CNY}"), "spec.negative"),
        (&with("market: {max_price: 99999999999999999999 CNY}"), "spec.bad_money"),
        (&with("array: {range: 5-1}"), "spec.bad_array_range"),
        (&with("array: {range: ''}"), "spec.empty_value"),
        (&with("array: {range: 0-99999999}"), "spec.too_many_tasks"),
        (&with("array: {range: 0-9, chunk: 0}"), "spec.out_of_bounds"),
        (&with("gang: {nodes: 0}"), "spec.out_of_bounds"),
        (&instead("cpus: 1", "cpus: 0"), "spec.zero"),
        (&instead("cpus: 1", "cpus: -1"), "spec.negative"),
        (&instead("memory: 100MB", "memory: 999999999999999999TB"), "spec.too_large"),
        (&instead("time: 10m", "time: -10m"), "spec.negative"),
        (&instead("version: 1", "version: 2"), "spec.unknown_version"),
        (&instead("run: echo hello", "run: \"a\\0b\""), "spec.control_character"),
    ];
    let mut wrong = Vec::new();
    for (text, code) in cases {
        for path in ["/v1/jobs", "/v1/plan", "/v1/quotes"] {
            let ask = Ask::post(&setup.member, path, text);
            let problem = exchange.refused(ask, 422, "spec.invalid").await;
            let details = problem["details"].as_array().expect("details");
            let placed = details.iter().any(|detail| {
                detail["code"] == code
                    && detail["line"].as_u64().is_some_and(|line| line >= 1)
                    && detail["message"].as_str().is_some_and(|message| message.len() >= 8)
            });
            if !placed {
                wrong.push(format!("{path}, not {code}: {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let slip = Ask::post(&setup.member, "/v1/plan", instead("run:", "runn:"));
    let problem = exchange.refused(slip, 422, "spec.invalid").await;
    assert_eq!(problem["details"][0]["subject"], "runn");
    assert_eq!(problem["details"][0]["line"], 6);
    assert_eq!(problem["details"][0]["help"], "did you mean `run`?");

    assert_eq!(exchange.picture().await, before);
    exchange.assert_balanced().await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_judged_by_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let (op, member) = (exchange.operator.clone(), setup.member.clone());
    let before = exchange.picture().await;

    let huge = vec![b' '; (16 << 20) + 1];
    for path in ["/v1/jobs", "/v1/orgs", "/v1/jobs/batch"] {
        exchange.refused(Ask::post(&op, path, huge.clone()), 413, "request.too_large").await;
    }
    // The pages of a compressed or a binary file are not text, whatever they are called.
    let mut packed =
        Ask::post(&member, "/v1/jobs", [0x1f, 0x8b, 0x08, 0x00, 0xff, 0xfe].as_slice());
    packed.headers = vec![("content-encoding", "gzip"), ("content-type", "application/yaml")];
    exchange.refused(packed, 422, "request.encoding").await;
    let mut form = Ask::post(&op, "/v1/orgs", "name=acme&class=partner");
    form.headers = vec![("content-type", "application/x-www-form-urlencoded")];
    exchange.refused(form, 422, "request.body").await;
    let bodies = [
        "{\"name\": \"ac",
        "{\"name\": 7}",
        "[]",
        "null",
        "",
        "{}",
        "{\"name\": \"acme\", \"colour\": \"red\"}",
        "{\"name\": \"acme\", \"name\": \"acme\"}",
        "{\"name\": \"acme\"} {\"name\": \"other\"}",
    ];
    for body in bodies {
        exchange.refused(Ask::post(&op, "/v1/orgs", body), 422, "request.body").await;
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for path in ["/v1/orgs", "/v1/agent/join"] {
        exchange.refused(Ask::post(&op, path, deep.clone()), 422, "request.body").await;
    }
    let batch = format!("[{}{{}}]", "{},".repeat(1_000));
    exchange.refused(Ask::post(&member, "/v1/jobs/batch", batch), 422, "submit.batch").await;

    assert_eq!(exchange.picture().await, before);
    // A right body under a wrong name is a right body.
    let mut job = Ask::post(&member, "/v1/jobs?key=once", JOB);
    job.headers = vec![("content-type", "image/png")];
    let key = ("idempotency-key", "once");
    assert_eq!(exchange.answer(job).await.0, 201);
    let mut other = Ask::post(&member, "/v1/jobs", instead("hello\n", "other\n"));
    other.headers = vec![key];
    exchange.refused(other, 409, "submit.key_used").await;
    // Two keys are none: which of them would make a repeat a repeat?
    let mut two = Ask::post(&member, "/v1/jobs?key=twice", JOB);
    two.headers = vec![key];
    exchange.refused(two, 422, "submit.key").await;
    // In a batch each is judged for itself.
    let good = json!({ "version": 1, "name": "b", "type": "batch", "project": "lab/demo",
        "resources": { "cpus": 1, "memory": "100MB", "time": "10m" }, "run": "true" });
    let mut unknown = good.clone();
    unknown["project"] = json!("lab2/demo");
    let batch = json!([good, 7, { "version": 1 }, unknown]);
    let outcomes = exchange.post(&member, "/v1/jobs/batch", batch).await;
    let codes: Vec<_> = (1..4).map(|n| outcomes[n]["problem"]["code"].clone()).collect();
    assert_eq!(codes, ["spec.invalid", "spec.invalid", "project.unknown"], "{outcomes}");
    let jobs = exchange.get(&member, "/v1/jobs").await;
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(2), "{jobs}");
    exchange.assert_balanced().await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_names_and_numbers_that_make_no_sense() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::proven(&exchange, &setup.join_token).await;
    let op = exchange.operator.clone();
    let before = exchange.picture().await;

    let deposit = |amount: &str| json!({ "amount": amount, "reference": "wire 2" });
    let offer = |price: &str| json!({ "pool": agent.pool, "core_hour": price });
    let org = |name: &str| json!({ "name": name });
    let long = "x".repeat(41);
    let status = format!("/v1/providers/{}/status", setup.provider);
    let deposits = "/v1/orgs/lab/deposits";
    let cases = [
        (deposits, deposit("-5.00 CNY"), 422, "deposit.amount"),
        (deposits, deposit("0.00 CNY"), 422, "deposit.amount"),
        (deposits, deposit("99999999999999999999.00 CNY"), 422, "deposit.amount"),
        (deposits, deposit("1.0000001 CNY"), 422, "deposit.amount"),
        (deposits, deposit("NaN CNY"), 422, "deposit.amount"),
        (deposits, deposit("5.00 USD"), 422, "deposit.currency"),
        (deposits, json!({ "amount": "5.00 CNY", "reference": "a\nb" }), 422, "label.malformed"),
        ("/v1/orgs/nobody/deposits", deposit("5.00 CNY"), 404, "org.unknown"),
        ("/v1/orgs", json!({ "name": "acme", "credit": "-1" }), 422, "org.credit"),
        ("/v1/orgs", json!({ "name": "acme", "credit": "1e9" }), 422, "request.amount"),
        ("/v1/orgs", json!({ "name": "acme", "class": "friend" }), 422, "org.class"),
        ("/v1/orgs", org(""), 422, "name.malformed"),
        ("/v1/orgs", org("Acme Ltd"), 422, "name.malformed"),
        ("/v1/orgs", org("../lab"), 422, "name.malformed"),
        ("/v1/orgs", org(&long), 422, "name.malformed"),
        ("/v1/orgs", org("lab"), 409, "org.exists"),
        ("/v1/users", json!({ "org": "lab", "name": "x", "role": "root" }), 422, "user.role"),
        ("/v1/users", json!({ "org": "nobody", "name": "x" }), 404, "org.unknown"),
        ("/v1/projects", json!({ "path": "lab" }), 422, "project.malformed"),
        ("/v1/projects", json!({ "path": "nobody/x" }), 404, "org.unknown"),
        (
            "/v1/projects",
            json!({ "path": "lab/x", "budget": { "per_day": "-1" } }),
            422,
            "market.limits_negative",
        ),
        ("/v1/offers", offer("-0.36"), 422, "market.offer_negative_price"),
        ("/v1/offers", offer("cheap"), 422, "request.amount"),
        ("/v1/tokens", json!({ "user": "usr_nobody" }), 404, "user.unknown"),
        (&status, json!({ "status": "applied" }), 409, "status.transition"),
        (&status, json!({ "status": "great" }), 422, "status.unknown"),
    ];
    for (path, body, status, code) in cases {
        exchange.refused(Ask::post(&op, path, body.to_string()), status, code).await;
    }
    let unknown = instead("lab/demo", "nobody/demo");
    let unknown = Ask::post(&setup.member, "/v1/jobs", unknown);
    exchange.refused(unknown, 404, "project.unknown").await;
    exchange.offer(&agent.pool, "10000").await;
    let dear = Ask::post(&setup.member, "/v1/jobs", JOB);
    exchange.refused(dear, 402, "money.balance").await;

    let mut after = exchange.picture().await;
    // All that has changed is the offer that was listed here.
    assert_eq!(after["/v1/offers"]["items"].as_array().map(Vec::len), Some(1));
    after["/v1/offers"] = before["/v1/offers"].clone();
    after["/v1/pools"] = before["/v1/pools"].clone();
    after["seq"] = before["seq"].clone();
    assert_eq!(after, before);
    exchange.assert_balanced().await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_ids_and_cursors_that_nobody_gave_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let job = exchange.submit(&setup.member, JOB).await;
    let op = exchange.operator.clone();
    let before = exchange.picture().await;

    let foreign = hex::encode("findings\u{1f}1");
    let parts = hex::encode("jobs\u{1f}a\u{1f}b\u{1f}c\u{1f}d");
    let cases = [
        ("/v1/nothing", 404, "request.path"),
        ("/v1/jobs/../../etc/passwd", 404, "request.path"),
        ("/v1/jobs/%ff%fe", 400, "request.path"),
        ("/v1/jobs/x", 404, "job.unknown"),
        ("/v1/jobs/job_00000000000000000000000000", 404, "job.unknown"),
        ("/v1/jobs/%27%20OR%201%3D1%20--", 404, "job.unknown"),
        ("/v1/jobs/job_01%00", 404, "job.unknown"),
        (&format!("/v1/pools/{job}"), 404, "pool.unknown"),
        ("/v1/quotes/qte_1", 404, "quote.unknown"),
        ("/v1/invoices/nothing", 404, "invoice.unknown"),
        ("/v1/resolve/crn", 422, "identity.form"),
        ("/v1/jobs?after=zz", 422, "request.cursor"),
        ("/v1/jobs?after=", 422, "request.cursor"),
        (&format!("/v1/jobs?after={foreign}"), 422, "request.cursor"),
        (&format!("/v1/jobs?after={parts}"), 422, "request.cursor"),
        (&format!("/v1/jobs/{job}/attempts?after={foreign}"), 422, "request.cursor"),
        ("/v1/jobs?limit=-1", 422, "request.query"),
        ("/v1/jobs?limit=all", 422, "request.query"),
        ("/v1/jobs?name=%00", 422, "request.query"),
        ("/v1/jobs?number=x", 422, "request.query"),
        ("/v1/jobs?number=-1", 422, "request.query"),
        ("/v1/jobs?nosuch=1", 422, "request.query"),
        ("/v1/jobs?state=foo", 422, "jobs.state"),
        ("/v1/jobs?state=", 422, "jobs.state"),
        ("/v1/jobs?state=running,Queued", 422, "jobs.state"),
        ("/v1/usage?by=moon", 422, "usage.by"),
        ("/v1/usage?by=project&of=moon", 422, "request.query"),
        ("/v1/usage?period=2026-99", 422, "usage.period"),
        ("/v1/usage?period=november", 422, "usage.period"),
        ("/v1/findings?page=2", 422, "request.query"),
        ("/v1/invoices/nothing?form=html", 422, "request.query"),
        ("/v1/net/matrix?place=Guiyang", 422, "request.query"),
        ("/v1/net/matrix?places=Atlantis", 422, "net.place"),
        (&format!("/v1/jobs/{job}/logs?stream=stdin"), 422, "logs.stream"),
        (&format!("/v1/jobs/{job}/logs"), 404, "logs.not_started"),
    ];
    for (path, status, code) in cases {
        exchange.refused(Ask::get(&op, path), status, code).await;
    }
    // What would do is named.
    let ask = Ask::get(&op, "/v1/jobs?state=foo");
    let problem = exchange.refused(ask, 422, "jobs.state").await;
    let advice = problem["advice"].as_str().expect("advice");
    for state in ["paused", "queued", "running", "succeeded", "failed", "cancelled", "unfunded"] {
        assert!(advice.contains(state), "{advice}");
        let found = exchange.get(&op, &format!("/v1/jobs?state={state}")).await;
        let expect = usize::from(state == "queued");
        assert_eq!(found["items"].as_array().map(Vec::len), Some(expect), "{found}");
    }
    let found = exchange.get(&op, "/v1/jobs?state=running,queued").await;
    assert_eq!(found["items"][0]["id"], json!(job), "{found}");
    let ask = Ask::get(&op, "/v1/jobs?nosuch=1");
    let problem = exchange.refused(ask, 422, "request.query").await;
    let title = problem["title"].as_str().expect("a title");
    assert!(title.contains("nosuch") && title.contains("project"), "{title}");
    exchange.get(&op, "/v1/usage?period=2026-11").await;
    let put = Ask { method: Method::PUT, ..Ask::get(&op, "/v1/jobs") };
    exchange.refused(put, 405, "request.method").await;

    assert_eq!(exchange.picture().await, before);
    exchange.assert_balanced().await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_does_no_more_than_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let other = exchange.user("dc", "other", "member").await;
    let owner = exchange.user("lab", "o", "owner").await;
    let auditor = exchange.user("operator", "a", "auditor").await;
    let agent = FakeAgent::proven(&exchange, &setup.join_token).await;
    let job = exchange.submit(&setup.member, JOB).await;
    let paths = |what: &str| format!("/v1/jobs/{job}{what}");
    let (show, cancel) = (paths(""), paths("/cancel"));
    let before = exchange.picture().await;

    let (viewer, member) = (setup.viewer.as_str(), setup.member.as_str());
    // Reading: what is another organisation's is not there.
    for what in ["", "/attempts", "/explain", "/lines", "/logs"] {
        exchange.refused(Ask::get(&other, &paths(what)), 404, "job.unknown").await;
    }
    let jobs = exchange.get(&other, "/v1/jobs").await;
    assert_eq!(jobs["items"], json!([]));
    let operators = ["/v1/findings", "/v1/ledger/accounts", "/v1/ledger/check", "/v1/audit/verify"];
    for path in operators.into_iter().chain(["/v1/users", "/v1/tokens"]) {
        exchange.refused(Ask::get(member, path), 403, "auth.role").await;
    }
    for path in operators {
        let problem = exchange.refused(Ask::get(&owner, path), 403, "auth.role").await;
        // Whom to ask is said, and it is not the one who asks.
        assert_eq!(problem["advice"], "auditors and operators may; ask one");
    }
    let problem = exchange.refused(Ask::get(member, "/v1/users"), 403, "auth.role").await;
    let expect = "owners of your organisation, auditors and operators may; ask one";
    assert_eq!(problem["advice"], expect);
    let ask = Ask::post(&auditor, "/v1/backup", "{\"path\": \"/nowhere\"}");
    let problem = exchange.refused(ask, 403, "auth.role").await;
    assert_eq!(problem["advice"], "operators may; ask one");
    // Writing.
    let status = format!("/v1/providers/{}/status", setup.provider);
    let invitations = format!("/v1/providers/{}/invitations", setup.provider);
    let challenge = format!("/v1/pools/{}/challenge", agent.pool);
    let org = json!({ "name": "acme" }).to_string();
    let money = json!({ "amount": "1.00 CNY", "reference": "mine" }).to_string();
    let role = |role: &str| json!({ "org": "lab", "name": "x", "role": role }).to_string();
    let offer = json!({ "pool": agent.pool, "core_hour": "0" }).to_string();
    let backup = json!({ "path": folder.path().join("copy") }).to_string();
    let suspended = json!({ "status": "suspended" }).to_string();
    let cases = [
        (viewer, "/v1/jobs", JOB, "auth.role"),
        (viewer, &cancel, "", "auth.role"),
        (viewer, "/v1/orgs", &org, "auth.role"),
        (member, "/v1/orgs", &org, "auth.role"),
        (member, "/v1/orgs/lab/deposits", &money, "auth.role"),
        (member, "/v1/users", &role("viewer"), "auth.role"),
        (member, "/v1/projects", "{\"path\": \"lab/x\"}", "auth.role"),
        (member, "/v1/offers", &offer, "auth.role"),
        (member, "/v1/backup", &backup, "auth.role"),
        (member, &status, &suspended, "auth.role"),
        (member, &invitations, "", "auth.role"),
        (member, &challenge, "", "auth.role"),
        (&owner, "/v1/orgs/lab/deposits", &money, "auth.role"),
        (&owner, "/v1/users", &role("operator"), "auth.role_above"),
        (&owner, "/v1/offers", &offer, "auth.other_org"),
        (&owner, &status, &suspended, "auth.role"),
        (&auditor, "/v1/orgs", &org, "auth.role"),
        (&auditor, "/v1/jobs", JOB, "auth.role"),
        (&auditor, "/v1/backup", &backup, "auth.role"),
    ];
    for (token, path, body, code) in cases {
        exchange.refused(Ask::post(token, path, body), 403, code).await;
    }
    // A user is no agent, and an agent no user.
    let sync = json!({ "known": 0 }).to_string();
    exchange.refused(Ask::post(member, "/v1/agent/sync", sync), 401, "auth.token").await;
    exchange.refused(Ask::get(&agent.token, &show), 401, "auth.token").await;

    assert!(!folder.path().join("copy").exists());
    assert_eq!(exchange.picture().await, before);
    exchange.assert_balanced().await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_live_tokens_open_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let op = exchange.operator.clone();
    let users = exchange.get(&op, "/v1/users").await;
    let users = users["items"].as_array().expect("a list");
    let member = users.iter().find(|user| user["name"] == "m").expect("the member")["id"].clone();

    let past = json!({ "user": member, "expires_in": 0 }).to_string();
    exchange.refused(Ask::post(&op, "/v1/tokens", past), 422, "token.expired").await;
    let short = json!({ "user": member, "expires_in": 1 });
    let short = exchange.post(&op, "/v1/tokens", short).await;
    let revoked = exchange.post(&op, "/v1/tokens", json!({ "user": member })).await;
    let secret = |token: &serde_json::Value| token["secret"].as_str().expect("text").to_owned();
    let (short, revoked_secret) = (secret(&short), secret(&revoked));
    exchange.get(&revoked_secret, "/v1/whoami").await;
    let path = format!("/v1/tokens/{}", revoked["id"].as_str().expect("an id"));
    let revoke = || Ask { method: Method::DELETE, ..Ask::get(&op, &path) };
    assert_eq!(exchange.answer(revoke()).await.0, 204);
    exchange.refused(revoke(), 404, "token.unknown").await;
    // Its second is soon over; until then it is live.
    let ends = async { while exchange.answer(Ask::get(&short, "/v1/whoami")).await.0 == 200 {} };
    tokio::time::timeout(Duration::from_secs(30), ends).await.expect("it ends");
    let before = exchange.picture().await;

    // Its last digit is hexadecimal.
    let changed = format!("{}x", &setup.member[..setup.member.len() - 1]);
    let long = "x".repeat(8_000);
    for token in ["", "x", &changed, &long, "' OR 1=1 --", &short, &revoked_secret] {
        for path in ["/v1/whoami", "/v1/jobs", "/v1/ledger/check"] {
            exchange.refused(Ask::get(token, path), 401, "auth.token").await;
        }
        exchange.refused(Ask::post(token, "/v1/jobs", JOB), 401, "auth.token").await;
        exchange.refused(Ask::post(token, "/v1/agent/sync", "{}"), 401, "auth.token").await;
    }
    let mut basic = Ask::get("", "/v1/whoami");
    basic.headers = vec![("authorization", "Basic b3BlcmF0b3I6b3BlcmF0b3I=")];
    exchange.refused(basic, 401, "auth.token").await;

    assert_eq!(exchange.picture().await, before);
    exchange.assert_balanced().await;
    exchange.stop().await;
}

fn put<'a>(token: &'a str, path: &'a str, role: &str) -> Ask<'a> {
    let role = json!({ "role": role }).to_string();
    Ask { method: Method::PUT, ..Ask::post(token, path, role) }
}

fn delete<'a>(token: &'a str, path: &'a str) -> Ask<'a> {
    Ask { method: Method::DELETE, ..Ask::get(token, path) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_holds_from_its_change_on_and_a_user_who_went_has_no_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let owner = exchange.user("lab", "o", "owner").await;
    let auditor = exchange.user("operator", "a", "auditor").await;
    let op = exchange.operator.clone();
    let users = exchange.get(&op, "/v1/users").await;
    let path = |name: &str, what: &str| {
        let users = users["items"].as_array().expect("a list");
        let user = users.iter().find(|user| user["name"] == name).expect("a user");
        format!("/v1/users/{}{what}", user["id"].as_str().expect("an id"))
    };

    // A viewer submits nothing; as a member it does, with the token it has.
    exchange.refused(Ask::post(&setup.viewer, "/v1/jobs", JOB), 403, "auth.role").await;
    exchange.refused(put(&setup.member, &path("v", "/role"), "member"), 403, "auth.role").await;
    assert_eq!(exchange.answer(put(&owner, &path("v", "/role"), "member")).await.0, 204);
    exchange.submit(&setup.viewer, JOB).await;
    assert_eq!(exchange.answer(put(&owner, &path("v", "/role"), "viewer")).await.0, 204);
    exchange.refused(Ask::post(&setup.viewer, "/v1/jobs", JOB), 403, "auth.role").await;

    // Nobody makes, or unmakes, what is above the own role.
    exchange.refused(put(&owner, &path("v", "/role"), "operator"), 403, "auth.role_above").await;
    exchange.refused(put(&owner, &path("a", "/role"), "viewer"), 404, "user.unknown").await;
    exchange.refused(put(&auditor, &path("v", "/role"), "owner"), 403, "auth.role").await;
    exchange.refused(put(&op, &path("v", "/role"), "king"), 422, "user.role").await;
    let last = path("operator", "/role");
    exchange.refused(put(&op, &last, "viewer"), 409, "user.last_operator").await;
    exchange.refused(delete(&op, &path("operator", "")), 409, "user.last_operator").await;
    assert_eq!(exchange.answer(put(&op, &path("a", "/role"), "operator")).await.0, 204);
    exchange.refused(put(&op, &last, "viewer"), 409, "user.own_role").await;
    exchange.refused(delete(&op, &path("operator", "")), 409, "user.own_role").await;
    assert_eq!(exchange.answer(put(&auditor, &last, "viewer")).await.0, 204);
    exchange.refused(Ask::get(&op, "/v1/ledger/check"), 403, "auth.role").await;
    assert_eq!(exchange.answer(put(&auditor, &last, "operator")).await.0, 204);

    assert_eq!(exchange.answer(delete(&owner, &path("v", ""))).await.0, 204);
    exchange.refused(delete(&owner, &path("v", "")), 404, "user.unknown").await;
    exchange.refused(Ask::get(&setup.viewer, "/v1/whoami"), 401, "auth.token").await;
    exchange.get(&setup.member, "/v1/whoami").await;
    exchange.stop().await;

    // After a start from the journal it is the same.
    let again = Exchange::start(folder.path()).await;
    again.refused(Ask::get(&setup.viewer, "/v1/whoami"), 401, "auth.token").await;
    again.get(&auditor, "/v1/ledger/check").await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_organisations_answers_as_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let op = exchange.operator.clone();
    let job = exchange.submit(&setup.member, JOB).await;
    let (member, owner) =
        (exchange.user("dc", "m", "member").await, exchange.user("dc", "o", "owner").await);
    let of_lab = |path: &str, name: &str| {
        let (path, name) = (path.to_owned(), name.to_owned());
        let (exchange, op) = (&exchange, &op);
        async move {
            let list = exchange.get(op, &path).await;
            let of =
                |item: &&serde_json::Value| [&item["name"], &item["path"]].contains(&&json!(name));
            list["items"].as_array().expect("a list").iter().find(of).expect("it")["id"].clone()
        }
    };
    let user = of_lab("/v1/users", "v").await;
    let project = of_lab("/v1/projects", "lab/demo").await;
    let tokens = exchange.get(&op, "/v1/tokens").await;
    let token = tokens["items"].as_array().expect("a list").iter();
    let token = token.clone().find(|token| token["user"] == user).expect("it")["id"].clone();
    let before = exchange.picture().await;

    // The same call with a name that is there, another organisation's, and with one that is not:
    // but for the name itself the answers are the same.
    let (post, put, delete) = (Method::POST, Method::PUT, Method::DELETE);
    let nobody = |id: &str| format!("{}_00000000000000000000000000", &id[..3]);
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let (user, project, token) = (text(&user), text(&project), text(&token));
    let ids = |template: &str, body: &str, id: &str| {
        [id.to_owned(), nobody(id)].map(|id| (template.replace("{}", &id), body.replace("{}", &id)))
    };
    let names = |path: &str, body: &str| {
        ["lab", "nil"].map(|name| (path.replace("{}", name), body.replace("{}", name)))
    };
    let budget = "{\"per_day\": \"1\"}";
    let elsewhere = JOB.replace("lab/demo", "{}/demo");
    let cases = [
        (&member, &post, ids("/v1/jobs/{}/cancel", "", &job), "job.unknown"),
        (&member, &post, ids("/v1/jobs/{}/retry", "", &job), "job.unknown"),
        (&member, &post, ids("/v1/jobs/{}/pause", "", &job), "job.unknown"),
        (&member, &post, ids("/v1/jobs/{}/resume", "", &job), "job.unknown"),
        (&member, &post, names("/v1/jobs", &elsewhere), "project.unknown"),
        (&member, &post, names("/v1/plan", &elsewhere), "project.unknown"),
        (&member, &post, names("/v1/quotes", &elsewhere), "project.unknown"),
        (&owner, &post, names("/v1/users", "{\"org\":\"{}\",\"name\":\"x\"}"), "org.unknown"),
        (&owner, &post, names("/v1/projects", "{\"path\":\"{}/demo\"}"), "org.unknown"),
        (&owner, &post, names("/v1/providers", "{\"org\":\"{}\",\"name\":\"x\"}"), "org.unknown"),
        (&owner, &post, ids("/v1/tokens", "{\"user\":\"{}\"}", &user), "user.unknown"),
        (&owner, &put, ids("/v1/projects/{}/budget", budget, &project), "project.unknown"),
        (
            &owner,
            &put,
            ids("/v1/projects/{}/weight", "{\"weight\":2}", &project),
            "project.unknown",
        ),
        (&owner, &delete, ids("/v1/tokens/{}", "", &token), "token.unknown"),
    ];
    for (secret, method, pair, code) in cases {
        let mut answers = Vec::new();
        for (path, body) in &pair {
            let ask = Ask { method: method.clone(), ..Ask::post(secret, path, body.clone()) };
            let mut answer = exchange.refused(ask, 404, code).await;
            answer["request"] = json!(null);
            let plain = answer.to_string();
            let known = [&job, &user, &project, &token];
            let plain = known.iter().fold(plain, |text, id| text.replace(*id, &nobody(id)));
            answers.push(plain.replace("`lab", "`nil"));
        }
        assert_eq!(answers[0], answers[1]);
    }
    // Who may not do it at all hears that, whatever was named.
    let deposit = json!({ "amount": "1.00 CNY", "reference": "r" }).to_string();
    for org in ["lab", "dc", "nil"] {
        let path = format!("/v1/orgs/{org}/deposits");
        exchange.refused(Ask::post(&owner, &path, deposit.clone()), 403, "auth.role").await;
        let user = json!({ "org": org, "name": "x" }).to_string();
        exchange.refused(Ask::post(&member, "/v1/users", user), 403, "auth.role").await;
    }
    assert_eq!(exchange.picture().await, before);
    exchange.stop().await;
}
