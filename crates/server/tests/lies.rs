//! An agent that lies. What it says that cannot be so is not billed and is shown to the operator
//! under a code; what it says honestly besides is billed once; the books balance.

mod support;

use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::{Ask, Exchange, FakeAgent};

/// 0.1 CNY a second, without a least time: each microsecond that is believed is seen in the bill.
const CORE_HOUR: &str = "360";
const JOB: &str = "version: 1
name: lies
type: batch
project: lab/demo
resources: {cpus: 1, memory: 100MB, time: 1m}
run: echo hello
";

/// An exchange on which one attempt runs.
struct Scene {
    _folder: tempfile::TempDir,
    exchange: Exchange,
    member: String,
    agent: FakeAgent,
    provider: String,
    job: String,
    attempt: String,
}

impl Scene {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let exchange = Exchange::start(folder.path()).await;
        let setup = exchange.set_up("lab/demo").await;
        let agent = FakeAgent::proven(&exchange, &setup.join_token).await;
        exchange.offer_from(&agent.pool, CORE_HOUR, 0).await;
        let job = exchange.submit(&setup.member, JOB).await;
        let order = agent.next_order().await;
        let attempt = order["attempt"].as_str().expect("an id").to_owned();
        agent.report(json!([{ "attempt": attempt, "seen": "running" }]), None).await;
        // So long at least has the lease lasted, whatever is billed below: no machine is too fast.
        let time =
            |value: &Value| value.as_str().expect("text").parse::<Timestamp>().expect("RFC 3339");
        let started = exchange.show(&setup.member, &job).await["attempts"][0]["started_at"].clone();
        let until = time(&started) + SignedDuration::from_millis(10);
        while time(&exchange.get("", "/v1/health").await["now"]) < until {}
        let (member, provider) = (setup.member, setup.provider);
        Self { _folder: folder, exchange, member, agent, provider, job, attempt }
    }

    /// One record of the attempt.
    fn record(&self, seq: u64, wall_us: i64, cpu_us: i64) -> Value {
        json!([{ "attempt": self.attempt, "seq": seq, "counters": {
            "wall_us": wall_us, "cpu_us": cpu_us, "memory_peak": 1_000_000, "read_bytes": 10,
            "write_bytes": 10 } }])
    }

    async fn findings(&self) -> Vec<Value> {
        let path = "/v1/findings?limit=1000";
        let list = self.exchange.get(&self.exchange.operator, path).await;
        list["items"].as_array().expect("a list").clone()
    }

    /// What the attempt has come to: the job's state and money, and how many lines there are.
    async fn standing(&self) -> Value {
        let job = self.exchange.show(&self.member, &self.job).await;
        let lines = self.exchange.get(&self.member, &format!("/v1/jobs/{}/lines", self.job)).await;
        json!([job["state"], job["money"], lines["items"].as_array().map(Vec::len)])
    }

    /// The agent says it; nothing comes of it but a finding with this code.
    async fn lie(&self, by: &FakeAgent, request: Value, code: &str) {
        let (before, standing) = (self.findings().await, self.standing().await);
        let answer = by.sync(request.clone()).await;
        assert!(answer["revision"].is_u64(), "{answer}");
        let after = self.findings().await;
        assert_eq!(after.len(), before.len() + 1, "{request}: {after:?}");
        let found = after.iter().find(|finding| !before.contains(finding)).expect("a new one");
        assert_eq!(found["code"], code, "{request}: {found}");
        assert_eq!(found["agent"], json!(by.agent), "{found}");
        assert!(found["message"].as_str().is_some_and(|text| text.len() >= 10), "{found}");
        assert_eq!(self.standing().await, standing, "{request}");
    }

    /// Usage that is signed as it should be, and cannot be so.
    async fn usage(&self, records: Value, code: &str) {
        let usage = self.agent.sign(&records.to_string());
        self.lie(&self.agent, json!({ "usage": usage }), code).await;
    }

    /// The honest end after so much time, said twice; it is billed for that, once.
    async fn end(self, seq: u64, wall_us: i64, amount: &str) {
        let ended = json!([{ "attempt": self.attempt, "seen": "ended", "outcome": "exited",
            "code": 0 }]);
        for _ in 0..2 {
            let usage = self.record(seq, wall_us, wall_us);
            let answer = self.agent.report(ended.clone(), Some(usage)).await;
            assert_eq!(answer["forget"], json!([self.attempt]));
        }
        let shown = self.exchange.show(&self.member, &self.job).await;
        assert_eq!(shown["state"], "succeeded");
        assert_eq!(shown["money"]["held"], "0.00");
        assert_eq!(shown["money"]["spent"], amount);
        let lines = self.exchange.get(&self.member, &format!("/v1/jobs/{}/lines", self.job)).await;
        assert_eq!(lines["items"].as_array().map(Vec::len), Some(1), "{lines}");
        assert_eq!(lines["items"][0]["amount"], amount);
        self.exchange.assert_balanced().await;
        self.exchange.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_that_cannot_be_so_is_found_and_not_billed() {
    let scene = Scene::open().await;
    scene.agent.report(json!([]), Some(scene.record(3, 2_000, 1_000))).await;
    assert_eq!(scene.findings().await, Vec::<Value>::new());

    let hours = 10 * 3_600 * 1_000_000;
    scene.usage(scene.record(4, 1_000, 1_000), "usage.shrinks").await;
    scene.usage(scene.record(4, 2_000, 10), "usage.shrinks").await;
    scene.usage(scene.record(4, -1, -1), "usage.shrinks").await;
    scene.usage(scene.record(4, hours, 1_000), "usage.faster_than_time").await;
    scene.usage(scene.record(4, i64::MAX, 1_000), "usage.faster_than_time").await;
    scene.usage(scene.record(4, 3_000, hours), "usage.more_than_the_node").await;
    scene.usage(scene.record(4, 3_000, i64::MAX), "usage.more_than_the_node").await;
    scene.usage(scene.record(3, 2_001, 1_000), "usage.same_number").await;
    scene.usage(scene.record(3, hours, 1_000), "usage.same_number").await;
    scene.usage(scene.record(u64::MAX, 3_000, 3_000), "usage.number").await;
    // Of two records under one number that both could be so, none is taken on trust twice.
    scene.agent.report(json!([]), Some(scene.record(4, 3_000, 3_000))).await;
    scene.usage(scene.record(4, 4_000, 3_000), "usage.same_number").await;
    // What is old is no lie: it was on the way for long. It changes nothing.
    let before = scene.findings().await.len();
    scene.agent.report(json!([]), Some(scene.record(1, 1, 1))).await;
    assert_eq!(scene.findings().await.len(), before);

    scene.end(5, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lie_with_the_end_ends_the_attempt_and_is_not_billed() {
    let scene = Scene::open().await;
    scene.agent.report(json!([]), Some(scene.record(1, 5_000, 1_000))).await;
    let ended = json!([{ "attempt": scene.attempt, "seen": "ended", "outcome": "exited",
        "code": 0 }]);
    let hours = 10 * 3_600 * 1_000_000;
    scene.agent.report(ended, Some(scene.record(2, hours, 1_000))).await;
    let findings = scene.findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["code"], "usage.faster_than_time");
    // It has ended: all that is said of it now is told to be forgotten, the honest and the other.
    scene.end(3, 6_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_key_has_not_signed_is_not_read() {
    let scene = Scene::open().await;
    let agent = &scene.agent;
    agent.report(json!([]), Some(scene.record(1, 2_000, 1_000))).await;

    let records = scene.record(2, 3_000, 3_000).to_string();
    let good = agent.sign(&records)["signature"].clone();
    let changed = records.replace("3000", "4000");
    assert_ne!(records, changed);
    let unsigned = [
        FakeAgent::sign_with(8, &records),
        json!({ "records": changed, "signature": good }),
        json!({ "records": format!("{records} "), "signature": good }),
        json!({ "records": records, "signature": "" }),
        json!({ "records": records, "signature": "zz" }),
        json!({ "records": records, "signature": "0".repeat(128) }),
        json!({ "records": records, "signature": format!("{}00", good.as_str().expect("text")) }),
    ];
    for usage in unsigned {
        scene.lie(agent, json!({ "usage": usage }), "usage.signature").await;
    }
    let attempt = &scene.attempt;
    let malformed = [
        "",
        "[",
        "{}",
        "null",
        "\u{0}",
        "[{\"attempt\": \"nobody\", \"seq\": 1, \"counters\": {}}]",
        &format!("[{{\"attempt\": \"{attempt}\", \"seq\": -1, \"counters\": {{}}}}]"),
        &format!("[{{\"attempt\": \"{attempt}\", \"seq\": 2}}]"),
        &"[".repeat(100_000),
        &records.replace("3000", "1e99"),
    ];
    for text in malformed {
        scene.lie(agent, json!({ "usage": agent.sign(text) }), "usage.malformed").await;
    }
    // Nothing to say is no lie.
    let before = scene.findings().await.len();
    agent.sync(json!({ "usage": agent.sign("[]") })).await;
    assert_eq!(scene.findings().await.len(), before);
    scene.end(2, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_is_repeated_is_one_and_only_its_own_agents() {
    let scene = Scene::open().await;
    let invitation = scene.exchange.invite(&scene.provider).await;
    let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]);
    let own = format!("dya_{}", "0123456789abcdef".repeat(4));
    let asks = |key: &SigningKey, token: &str| {
        let mut request = FakeAgent::join_request(&invitation, key, "cluster-main");
        request["token"] = json!(token);
        request["more"] = json!(1);
        request
    };
    let post = async |request: &Value| {
        scene.exchange.answer(Ask::post("", "/v1/agent/join", request.to_string())).await
    };
    let (status, _, first) = post(&asks(&key(9), &own)).await;
    assert_eq!(status, 201, "{first}");
    // As if nobody had heard that; and after the last of the invitation as well.
    for _ in 0..2 {
        let (status, _, again) = post(&asks(&key(9), &own)).await;
        assert_eq!((status, &again), (201, &first));
        let mut other = asks(&key(9), &own.replace('0', "f"));
        other["pool"] = json!("cluster-gpu");
        let (status, _, other) = post(&other).await;
        assert_eq!(status, 201, "{other}");
    }
    let refused = async |request: &Value, status, code| {
        let ask = Ask::post("", "/v1/agent/join", request.to_string());
        scene.exchange.refused(ask, status, code).await
    };
    refused(&asks(&key(10), &own), 403, "join.own_token").await;
    refused(&asks(&key(9), &own.replace('0', "e")), 403, "join.token").await;
    for weak in ["dya_1", &own.to_uppercase(), &own.replace('0', "g"), &own[4..]] {
        refused(&asks(&key(9), weak), 422, "join.own_token").await;
    }
    scene.end(2, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_for_anothers_lease() {
    let scene = Scene::open().await;
    let invitation = scene.exchange.invite(&scene.provider).await;
    let other = FakeAgent::join_as(&scene.exchange, &invitation, 8, "other").await;
    other.prove(&scene.exchange).await;

    let attempt = &scene.attempt;
    let usage = other.sign(&scene.record(1, 2_000, 1_000).to_string());
    scene.lie(&other, json!({ "usage": usage }), "usage.foreign_lease").await;
    for seen in ["staging", "running", "publishing"] {
        let reports = json!([{ "attempt": attempt, "seen": seen }]);
        scene.lie(&other, json!({ "reports": reports }), "usage.foreign_lease").await;
    }
    let ended = json!([{ "attempt": attempt, "seen": "ended", "outcome": "exited", "code": 0 }]);
    let request = json!({ "reports": ended, "usage": usage });
    scene.lie(&other, request, "usage.foreign_lease").await;
    let failed = json!([{ "attempt": attempt, "seen": "ended", "outcome": "start_failed",
        "reason": "x" }]);
    scene.lie(&other, json!({ "reports": failed }), "usage.foreign_lease").await;

    let counted = |attempts: Value, elapsed: i64| json!({ "site_counts": [{ "attempts": attempts, "job": "7", "elapsed_us": elapsed }] });
    scene.lie(&other, counted(json!([attempt]), 1), "site_count.wrong").await;
    scene.lie(&scene.agent, counted(json!([attempt]), -1), "site_count.wrong").await;

    // An attempt that nobody has a lease for is to be forgotten, and no more.
    let nobodys = attempt.replace(&scene.job, "job_00000000000000000000000000");
    assert_ne!(&nobodys, attempt);
    let (before, standing) = (scene.findings().await, scene.standing().await);
    let reports = json!([{ "attempt": nobodys, "seen": "running" }]);
    let answer = other.sync(json!({ "reports": reports })).await;
    assert_eq!(answer["forget"], json!([nobodys]));
    assert_eq!(scene.findings().await, before);
    assert_eq!(scene.standing().await, standing);
    scene.end(2, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syncs_that_cannot_be_read_are_refused_whole() {
    let scene = Scene::open().await;
    let before = (scene.findings().await, scene.standing().await);
    let attempt = &scene.attempt;
    let usage = scene.agent.sign(&scene.record(1, 2_000, 1_000).to_string());
    let bodies = [
        "{\"known\": ".to_owned(),
        json!({}).to_string(),
        json!({ "known": -1 }).to_string(),
        json!({ "known": 0, "sleep": 1, "usage": usage }).to_string(),
        json!({ "known": 0, "usage": { "records": [], "signature": "" } }).to_string(),
        json!({ "known": 0, "usage": usage, "reports": [{ "attempt": attempt, "seen": "gone" }] })
            .to_string(),
        json!({ "known": 0, "usage": usage, "reports": [{ "attempt": "x", "seen": "running" }] })
            .to_string(),
    ];
    for body in bodies {
        let ask = Ask::post(&scene.agent.token, "/v1/agent/sync", body);
        scene.exchange.refused(ask, 422, "request.body").await;
    }
    let nonce = json!({ "known": 0, "usage": usage, "answer": { "nonce": "x", "digest": "y" } });
    let ask = Ask::post(&scene.agent.token, "/v1/agent/sync", nonce.to_string());
    scene.exchange.refused(ask, 422, "agent.hex").await;
    assert_eq!((scene.findings().await, scene.standing().await), before);
    scene.end(1, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_a_store_or_a_terminal_obeys_are_only_words() {
    let scene = Scene::open().await;
    let failed = json!([{ "attempt": scene.attempt, "seen": "ended", "outcome": "start_failed",
        "reason": format!("no\u{0} such\u{1b}[31m\nprogram{}", "!".repeat(10_000)) }]);
    let (status, answer) = scene.agent.try_sync(json!({ "reports": failed })).await;
    assert_eq!(status, 200, "{answer}");
    let shown = scene.exchange.show(&scene.member, &scene.job).await;
    let reason = shown["attempts"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("no  such [31m program!!!"), "{shown}");
    assert!(reason.len() < 400, "{}", reason.len());
    // Whoever comes next is served.
    let job = scene.exchange.submit(&scene.member, JOB).await;
    assert_ne!(job, scene.job);
    scene.exchange.assert_balanced().await;
    scene.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_a_signed_text_is_judged() {
    let scene = Scene::open().await;
    let one = |seq, wall_us: i64| scene.record(seq, wall_us, 1_000)[0].clone();
    let hours = 10 * 3_600 * 1_000_000;
    // The lie stands first, then in the middle; the honest one behind it does not cover it.
    for (number, records) in [
        json!([one(1, hours), one(2, 2_000)]),
        json!([one(3, 3_000), one(4, 2_500), one(5, 4_000)]),
        json!([one(6, 5_000), one(6, 6_000)]),
    ]
    .into_iter()
    .enumerate()
    {
        let usage = scene.agent.sign(&records.to_string());
        scene.agent.sync(json!({ "usage": usage })).await;
        assert_eq!(scene.findings().await.len(), number + 1, "{records}");
    }
    let codes: std::collections::BTreeSet<String> = scene
        .findings()
        .await
        .iter()
        .map(|finding| finding["code"].as_str().expect("text").to_owned())
        .collect();
    let expect = ["usage.faster_than_time", "usage.same_number", "usage.shrinks"];
    assert_eq!(codes, expect.map(str::to_owned).into());
    let padded = format!("{}{}", scene.record(7, 6_000, 1_000), " ".repeat(2_000));
    let usage = scene.agent.sign(&padded);
    scene.lie(&scene.agent, json!({ "usage": usage }), "usage.padded").await;
    scene.end(8, 8_000, "0.0008").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lies_without_end_fills_nothing() {
    let scene = Scene::open().await;
    scene.agent.report(json!([]), Some(scene.record(3, 2_000, 1_000))).await;
    // A thousand lies in one text, and a hundred more one by one; each would be a finding, and the
    // text of each would be kept.
    let lie = |seq| scene.record(seq, 1_000, 1_000)[0].clone();
    let many: Value = (4..1_004).map(lie).collect();
    scene.agent.report(json!([]), Some(many)).await;
    let journal = |health: Value| health["seq"].as_u64().expect("a number");
    let before = journal(scene.exchange.get("", "/v1/health").await);
    for seq in 4..104 {
        scene.agent.report(json!([]), Some(json!([lie(seq)]))).await;
        scene.agent.sync(json!({ "usage": { "records": "[]", "signature": "" } })).await;
    }
    let findings = scene.findings().await;
    let (left_out, kept): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding["code"] == "findings.left_out");
    assert_eq!(kept.len(), 32);
    // Eleven hundred are counted by doubling: about ten summaries, and never as many as forty.
    assert!((1..40).contains(&left_out.len()), "{left_out:?}");
    let said = left_out[0]["message"].as_str().expect("text");
    assert!(said.contains("are not kept: 32 in 60 minutes are"), "{said}");
    let after = journal(scene.exchange.get("", "/v1/health").await);
    assert!(after - before < 40, "{before} {after}");
    // It is heard as before when it is honest.
    scene.end(5, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_shows_no_more_than_a_pool_has() {
    let scene = Scene::open().await;
    let path = format!("/v1/pools/{}", scene.agent.pool);
    let long = "x".repeat(5_000);
    let node = json!({ "name": "n1", "up": true,
        "total": { "cpu": 4_000, "memory": 8_000_000_000u64, "disk": 0, "accel": 0 } });
    let good = json!({ "engine": "process", "fence": "keeper", "placing": "by_node",
        "features": ["staging"], "nodes": [node],
        "inventory": { "agent.isolation": "none", "cpu.model": "test", "memory": "8GB" } });
    scene.agent.sync(json!({ "shown": good })).await;
    let picture = async || {
        let mut pool = scene.exchange.get(&scene.exchange.operator, &path).await;
        pool["heard_at"] = json!(null);
        pool
    };
    let before = picture().await;
    assert_eq!(before["isolation"], "none");
    let with = |at: &str, value: Value| {
        let mut shown = good.clone();
        *shown.pointer_mut(at).expect("a place") = value;
        shown
    };
    let many: Vec<String> = (0..1_000).map(|number| format!("feature-{number}")).collect();
    let mut carded = node.clone();
    carded["accelerator"] = json!(long);
    let bad = [
        with("/engine", json!(long)),
        with("/engine", json!("")),
        with("/engine", json!("pro\u{1b}cess")),
        with("/features", json!([long])),
        with("/features", json!(many)),
        with("/nodes", json!([carded])),
        with("/nodes", json!([node, node])),
        with("/inventory", json!({ "agent.isolation": "best", (long.clone()): "1" })),
        with("/inventory", json!({ "agent.isolation": long })),
        with("/inventory", json!({ "cpu.model": "a\nb" })),
    ];
    for shown in bad {
        scene.agent.sync(json!({ "shown": shown })).await;
        assert_eq!(picture().await, before, "{shown}");
    }
    scene.end(1, 5_000, "0.0005").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_measured_value_that_its_key_has_not_signed_is_not_believed() {
    let scene = Scene::open().await;
    let value = json!({
        "attribute": "cpu.dgemm.all", "measured": 1_000_000_000u64,
        "method": { "name": "dayan.gemm", "version": "1" },
        "at": 0, "valid_for": 1_000_000_000_000_000_000i64, "sharing": "shared",
    });
    let signed = scene.agent.sign_measured(value.clone());
    let mut better = signed.clone();
    better["measured"] = json!(2_000_000_000u64);
    let mut of_nobody = signed.clone();
    of_nobody["signature"]["key"] = json!("00".repeat(32));
    let path = format!("/v1/pools/{}/measured", scene.agent.pool);
    for lie in [value, better, of_nobody] {
        scene.lie(&scene.agent, json!({ "measured": [lie] }), "measure.signature").await;
        let rows = scene.exchange.get(&scene.exchange.operator, &path).await;
        assert_eq!(rows, json!([]));
    }
    scene.agent.sync(json!({ "measured": [signed] })).await;
    let rows = scene.exchange.get(&scene.exchange.operator, &path).await;
    assert_eq!(rows[0]["measured"], 1_000_000_000u64, "{rows}");
    scene.end(1, 5_000, "0.0005").await;
}

/// The inventory line by line: which are proven.
async fn proven(exchange: &Exchange, pool: &str) -> Vec<String> {
    let shown = exchange.get(&exchange.operator, &format!("/v1/pools/{pool}")).await;
    let path = format!("/v1/resolve/{}", shown["crn"].as_str().expect("a name"));
    let record = exchange.get(&exchange.operator, &path).await;
    let lines = record["attestations"].as_array().expect("a list").iter();
    let confirmed = lines.filter(|line| line["standing"] == "confirmed");
    confirmed.map(|line| line["attribute"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_wrong_answer_the_inventory_is_compared_line_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::proven(&exchange, &setup.join_token).await;
    assert_eq!(proven(&exchange, &agent.pool).await, ["cpu.model", "memory"]);
    let path = format!("/v1/pools/{}/challenge", agent.pool);
    exchange.post(&exchange.operator, &path, json!({})).await;
    // It answers for another memory than it shows, and is asked at once what it has.
    let answer = agent.answer("cpu.model=test\nmemory=4GB").await;
    let answered = agent.sync(json!({ "answer": answer })).await;
    assert_eq!(answered["want_shown"], true, "{answered}");
    let mut shown = support::shown();
    shown["inventory"]["memory"] = json!("4GB");
    let answered = agent.sync(json!({ "shown": shown })).await;
    assert_eq!(answered["want_shown"], false, "{answered}");
    assert_eq!(proven(&exchange, &agent.pool).await, ["cpu.model"], "it voids only itself");
    let findings = exchange.get(&exchange.operator, "/v1/findings?limit=10").await;
    assert_eq!(findings["items"][0]["code"], "pool.challenge_failed", "{findings}");
    exchange.stop().await;
}
