//! The main job over HTTP, on the embedded store, with an agent played by the test: a provider
//! joins, a job is submitted, leased, run, metered, billed; the books balance; a restart loses
//! nothing.

mod support;

use serde_json::json;
use support::{Exchange, FakeAgent, ended_well, shown};

const JOB: &str = "version: 1
name: hello
type: batch
project: lab/demo
resources: {cpus: 1, memory: 100MB, time: 10m}
run: echo hello
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_and_is_billed_and_a_restart_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;

    let job = exchange.submit(&setup.member, JOB).await;
    let order = agent.next_order().await;
    assert_eq!(order["run"], "echo hello");
    assert_eq!(order["env"]["DAYAN_JOB"], json!(job));
    // Tools that know jobs by numbers find it by the one that the task was told.
    let number = order["env"]["DAYAN_JOB_NUMBER"].as_str().expect("a number");
    let found = exchange.get(&setup.member, &format!("/v1/jobs?number={number}")).await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!((&found["items"][0]["id"], &found["items"][0]["user"]), (&json!(job), &json!("m")));
    let next = number.parse::<u64>().expect("a number") + 1;
    let found = exchange.get(&setup.member, &format!("/v1/jobs?number={next}")).await;
    assert_eq!(found["items"], json!([]));
    let attempt = order["attempt"].as_str().expect("an id").to_owned();

    agent.report(json!([{ "attempt": attempt, "seen": "running" }]), None).await;
    let shown = exchange.show(&setup.member, &job).await;
    assert_eq!(shown["state"], "running");
    assert_eq!(shown["tasks"]["running"], 1);
    assert_ne!(shown["money"]["held"], "0.00");

    let (ended, usage) = ended_well(&attempt);
    let answer = agent.report(ended.clone(), Some(usage.clone())).await;
    assert_eq!(answer["forget"], json!([attempt]));
    // Said again, it changes nothing.
    let again = agent.report(ended, Some(usage)).await;
    assert_eq!(again["forget"], json!([attempt]));

    let shown = exchange.show(&setup.member, &job).await;
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(shown["money"]["held"], "0.00");
    // 0.36 CNY an hour, a minimum of 10 s: 0.001.
    assert_eq!(shown["money"]["spent"], "0.001");
    assert_eq!(shown["attempts"][0]["state"], "succeeded");
    assert_eq!(shown["attempts"][0]["exit_code"], 0);
    assert_eq!(shown["attempts"][0]["used"]["wall_us"].as_i64(), Some(1_000), "{shown}");

    assert_eq!(shown["attempts"][0].get("site_count"), None, "{shown}");

    // What its site's accounting counted comes later, is shown beside it, and bills nothing. The first word
    // of it stands.
    for (elapsed, cpu) in [(2_000_000, 1_900_000), (7_000_000, 1)] {
        let count = json!([{ "attempts": [attempt], "job": "17_3", "elapsed_us": elapsed,
            "cpu_us": cpu, "memory_peak": 1 << 20 }]);
        agent.sync(json!({ "site_counts": count })).await;
        let shown = exchange.show(&setup.member, &job).await;
        let counted = json!({ "job": "17_3", "elapsed_us": 2_000_000, "cpu_us": 1_900_000,
            "memory_peak": 1 << 20 });
        assert_eq!(shown["attempts"][0]["site_count"], counted, "{shown}");
        assert_eq!(shown["attempts"][0]["site_count_of"], 1, "{shown}");
        assert_eq!(shown["attempts"][0]["used"]["wall_us"].as_i64(), Some(1_000), "{shown}");
        let listed = exchange.get(&setup.member, &format!("/v1/jobs/{job}/attempts")).await;
        assert_eq!(listed["items"], shown["attempts"]);
    }

    let lines = exchange.get(&setup.member, &format!("/v1/jobs/{job}/lines")).await;
    assert_eq!(lines["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(lines["items"][0]["amount"], "0.001");
    exchange.assert_balanced().await;
    let before = exchange.get(&exchange.operator, "/v1/ledger/accounts").await;

    exchange.stop().await;
    let exchange = Exchange::start(folder.path()).await;
    let after = exchange.get(&exchange.operator, "/v1/ledger/accounts").await;
    assert_eq!(before, after);
    assert_eq!(exchange.show(&setup.member, &job).await["state"], "succeeded");
    exchange.assert_balanced().await;
    exchange.stop().await;
}

/// A pool's own scheduler may say where a task is only after it has begun to run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_task_is_found_to_be_is_shown_while_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let job = exchange.submit(&setup.member, JOB).await;
    let order = agent.next_order().await;
    let attempt = order["attempt"].as_str().expect("an id").to_owned();
    let mut pool = shown();
    let mut other = pool["nodes"][0].clone();
    other["name"] = json!("n2");
    pool["nodes"].as_array_mut().expect("a list").push(other);
    agent.sync(json!({ "shown": pool })).await;

    agent.report(json!([{ "attempt": attempt, "seen": "running" }]), None).await;
    let running = exchange.show(&setup.member, &job).await["attempts"][0].clone();
    assert_eq!((&running["node"], &running["state"]), (&json!("n1"), &json!("running")));
    let located = json!([{ "attempt": attempt, "seen": "running", "node": "n2" }]);
    agent.report(located, None).await;
    let found = exchange.show(&setup.member, &job).await["attempts"][0].clone();
    assert_eq!((&found["node"], &found["state"]), (&json!("n2"), &json!("running")));
    assert_eq!(found["started_at"], running["started_at"]);

    // Results that take long are said to, wherever it is found to have been, until it is over.
    agent.report(json!([{ "attempt": attempt, "seen": "publishing" }]), None).await;
    let publishing = exchange.show(&setup.member, &job).await["attempts"][0].clone();
    assert_eq!((&publishing["state"], publishing.get("reason")), (&json!("publishing"), None));
    for node in ["n2", "n1"] {
        let lingers = json!([{ "attempt": attempt, "seen": "lingering", "node": node }]);
        agent.report(lingers, None).await;
        let lingers = exchange.show(&setup.member, &job).await["attempts"][0].clone();
        let reason = lingers["reason"].as_str().expect("one");
        assert!(reason.contains("its results are being sent, or wait for a store"), "{reason}");
        assert_eq!((&lingers["state"], &lingers["node"]), (&json!("publishing"), &json!(node)));
    }
    exchange.stop().await;
}
