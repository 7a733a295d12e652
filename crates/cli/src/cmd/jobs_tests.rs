//! Jobs, attempts and logs as they are printed.

use super::*;
use crate::tests::{Fake, Says, both, dayan, sample};

const JOB: &str = "job_01h455vb4pex5vsknk084sn02q";
const POOL: &str = "pool_01h455vb4pex5vsknk084sn02q";

fn summary(state: &str) -> JobSummary {
    JobSummary {
        id: JOB.to_owned(),
        name: "shot-120".to_owned(),
        project: "studio-a/film-3".to_owned(),
        user: None,
        state: state.to_owned(),
        submitted_at: "2026-11-23T12:00:00Z".to_owned(),
        ended_at: (state == "succeeded").then(|| "2026-11-23T12:30:00.5Z".to_owned()),
        tasks: TaskCounts {
            total: 60,
            queued: 50,
            running: 8,
            succeeded: 1,
            failed: 1,
            ..TaskCounts::default()
        },
        money: dayan_wire::JobMoney {
            currency: "CNY".to_owned(),
            held: "1.50".to_owned(),
            spent: "12.34".to_owned(),
        },
        waiting: if state == "queued" { vec![no_room()] } else { Vec::new() },
    }
}

fn no_room() -> Waiting {
    Waiting {
        code: "pool.busy".to_owned(),
        message: "it fits, but others are there now".to_owned(),
        lasting: false,
    }
}

fn attempt(task: u32, state: &str, exit_code: Option<i32>) -> Attempt {
    Attempt {
        task,
        attempt: 1,
        pool: POOL.to_owned(),
        node: "node-1".to_owned(),
        state: state.to_owned(),
        exit_code,
        started_at: exit_code.map(|_| "2026-11-23T12:00:01Z".to_owned()),
        ended_at: exit_code.map(|_| "2026-11-23T12:10:00Z".to_owned()),
        reason: (state == "failed").then(|| "it ended with 1".to_owned()),
        used: exit_code.map(|_| dayan_wire::Counters {
            wall_us: 599_000_000,
            cpu_us: 1_198_400_000,
            memory_peak: 512_300_000,
            read_bytes: 10,
            write_bytes: 20,
            energy_uj: Some(54_321_000_000),
        }),
        site_count: None,
        site_count_of: None,
        copying: None,
    }
}

fn job(state: &str, attempts: Vec<Attempt>, waiting: Vec<Waiting>) -> Job {
    Job {
        summary: JobSummary { waiting, ..summary(state) },
        attempts,
        queued: Vec::new(),
        cancelled: Vec::new(),
        quote: Some("quo_01h455vb4pex5vsknk084sn02q".to_owned()),
        deadline: Some("2026-11-23T13:00:00Z".to_owned()),
        deadline_met: (state == "succeeded").then_some(true),
        workflow: Vec::new(),
        checkpoints: Vec::new(),
        raised: Vec::new(),
        promise: (state == "queued").then(|| dayan_wire::Promise {
            starts_by: "2026-11-23T12:20:00Z".to_owned(),
            ends_by: "2026-11-23T13:00:00Z".to_owned(),
        }),
        schedule: None,
        scheduled_at: None,
        spec: json!({ "version": 1 }),
    }
}

fn waits() -> Vec<Waiting> {
    vec![Waiting {
        code: "capacity.cpu".to_owned(),
        message: "no node has 16 cores free".to_owned(),
        lasting: false,
    }]
}

#[test]
fn jobs_as_people_see_them() {
    insta::assert_snapshot!(both(&vec![summary("running"), summary("succeeded")]));
    let attempts = vec![attempt(1, "running", None), attempt(0, "failed", Some(1))];
    let pools = BTreeMap::from([(POOL.to_owned(), "guian-1".to_owned())]);
    insta::assert_snapshot!(
        "one_job",
        both(&ShownJob { job: job("running", attempts, waits()), pools })
    );
}

#[test]
fn what_a_site_counted_is_shown_where_it_counted_one_attempt_alone() {
    let count = dayan_wire::SiteCount {
        job: "1234_5".to_owned(),
        elapsed_us: 61_000_000,
        cpu_us: Some(58_500_000),
        memory_peak: None,
    };
    let shown = |site_count_of| {
        let counted = Attempt {
            site_count: Some(count.clone()),
            site_count_of: Some(site_count_of),
            ..attempt(0, "succeeded", Some(0))
        };
        let job = job("succeeded", vec![counted], Vec::new());
        let shown = ShownJob { job, pools: BTreeMap::new() };
        shown.table(&crate::tests::view(crate::words::Lang::En))
    };
    // Memory it did not look at.
    assert!(shown(1).contains("58.5 s 512.3 MB 15.09 Wh (1234_5)"), "{}", shown(1));
    assert!(shown(2).contains("1198.4 s 512.3 MB 15.09 Wh") && !shown(2).contains("1234_5"));
}

#[test]
fn many_attempts_are_cut_and_said_so() {
    let attempts = (0..30).map(|task| attempt(task, "succeeded", Some(0))).collect();
    let shown = ShownJob { job: job("succeeded", attempts, Vec::new()), pools: BTreeMap::new() };
    let table = shown.table(&crate::tests::view(crate::words::Lang::En));
    assert_eq!(table.matches("node-1").count(), ATTEMPTS_SHOWN);
    assert!(table.contains("The newest 20 attempts are shown"), "{table}");
}

#[test]
fn jobs_as_scripts_see_them() {
    let attempts = vec![attempt(0, "running", None)];
    let shown = ShownJob { job: job("running", attempts, waits()), pools: BTreeMap::new() };
    insta::assert_snapshot!(sample(&shown));
    insta::assert_snapshot!("ps_json", sample(&vec![summary("queued")]));
}

#[test]
fn explanations() {
    let explanation = Explanation {
        job: JOB.to_owned(),
        standing: "waiting".to_owned(),
        position: Some(3),
        behind_s: Some(5_400.0),
        urgency: Some(dayan_wire::Urgency {
            start_by: "2026-11-23T14:30:00Z".to_owned(),
            lifted: true,
            lost: false,
            met: 12,
            missed: 2,
        }),
        tasks_waiting: 50,
        reasons: vec![dayan_wire::Reason {
            code: "capacity.cpu".to_owned(),
            message: "no node has 16 cores free".to_owned(),
            pools: 2,
        }],
        relaxations: vec![
            dayan_wire::Relaxation {
                code: "placement.regions".to_owned(),
                pools: 1,
                example: "shenzhen-1".to_owned(),
                key: Some("placement.regions".to_owned()),
            },
            // Nothing that a job file could say otherwise.
            dayan_wire::Relaxation {
                code: "pool.feature".to_owned(),
                pools: 2,
                example: "lacks jobs_without_image".to_owned(),
                key: None,
            },
        ],
        start_p50_s: Some(90.0),
        start_p90_s: Some(3_600.0),
        told: Some(dayan_wire::Told {
            at: "2026-11-23T12:00:00Z".to_owned(),
            start_p50_s: 60.0,
            start_p90_s: 900.0,
            waited_s: None,
        }),
        estimates: dayan_wire::Estimates { scored: 400, within_p50: 204, within_p90: 364 },
    };
    insta::assert_snapshot!(both(&explanation));
    let ended = Explanation {
        standing: "not_waiting".to_owned(),
        position: None,
        behind_s: None,
        urgency: None,
        tasks_waiting: 0,
        reasons: Vec::new(),
        relaxations: Vec::new(),
        start_p50_s: None,
        start_p90_s: None,
        told: Some(dayan_wire::Told {
            at: "2026-11-23T12:00:00Z".to_owned(),
            start_p50_s: 60.0,
            start_p90_s: 900.0,
            waited_s: Some(71.0),
        }),
        ..explanation
    };
    insta::assert_snapshot!("not_waiting", both(&ended));
    insta::assert_snapshot!("explain_json", sample(&ended));
}

#[tokio::test]
async fn a_name_stands_for_its_job() {
    let fake = Fake::start(|came, _| {
        if came.line.starts_with("GET /v1/jobs?") {
            Says::json(200, &json!({ "items": [summary("running")] }))
        } else {
            Says::bytes(204, b"")
        }
    })
    .await;
    let ran = dayan(fake.environment(), &["cancel", "shot-120/7"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("", &*format!("Taken back: {JOB}/7\n"))
    );
    assert_eq!(
        fake.lines(),
        [
            "GET /v1/jobs?limit=6&state=paused%2Cqueued%2Crunning&name=shot-120".to_owned(),
            format!("GET /v1/jobs/{JOB}"),
            format!("POST /v1/jobs/{JOB}/cancel")
        ]
    );
    assert_eq!(fake.came()[2].body, r#"{"task":7}"#);
}

#[tokio::test]
async fn of_those_with_a_name_the_one_that_lives_is_meant() {
    const OLD: &str = "job_01h455vb4pex5vsknk084sn02r";
    let fake = Fake::start(|came, _| {
        let one = |id: &str, state| {
            let mut row = serde_json::to_value(summary(state)).expect("JSON");
            row["id"] = json!(id);
            row
        };
        let lives = came.line.contains("state=paused");
        match came.line.as_str() {
            line if line.starts_with("GET /v1/schedules") => Says::json(200, &json!([])),
            line if line.starts_with("GET /v1/jobs?") && line.contains("name=done") => {
                let ended = [one(JOB, "failed"), one(OLD, "succeeded")];
                Says::json(200, &json!({ "items": if lives { &ended[..0] } else { &ended[..] } }))
            }
            line if line.starts_with("GET /v1/jobs?") => {
                let all = [one(JOB, "running"), one(OLD, "succeeded")];
                Says::json(200, &json!({ "items": if lives { &all[..1] } else { &all[..] } }))
            }
            _ => Says::bytes(204, b""),
        }
    })
    .await;
    for order in ["cancel", "pause", "resume"] {
        let ran = dayan(fake.environment(), &[order, "shot-120"]).await;
        assert_eq!(ran.exit, Exit::Ok, "{order}: {}", ran.stderr);
    }
    // What runs is not run again; and among those that have ended nobody knows which is meant.
    for line in [["retry", "shot-120"], ["cancel", "done"]] {
        let ran = dayan(fake.environment(), &line).await;
        assert_eq!(ran.exit, Exit::Usage, "{line:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(JOB) && ran.stderr.contains(OLD), "{}", ran.stderr);
    }
    let posts: Vec<String> =
        fake.lines().into_iter().filter(|line| line.starts_with("POST")).collect();
    let expect = ["cancel", "pause", "resume"];
    assert_eq!(posts, expect.map(|word| format!("POST /v1/jobs/{JOB}/{word}")));
}

#[tokio::test]
async fn orders_go_where_they_belong() {
    let fake = Fake::start(|_, _| Says::bytes(204, b"")).await;
    for command in ["cancel", "retry", "pause", "resume"] {
        let ran = dayan(fake.environment(), &[command, JOB, "-o", "json"]).await;
        assert_eq!(ran.exit, Exit::Ok);
        let said: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(said, json!({ "job": JOB }));
    }
    let orders: Vec<String> =
        fake.lines().into_iter().filter(|line| line.starts_with("POST")).collect();
    let expect = ["cancel", "retry", "pause", "resume"];
    assert_eq!(orders, expect.map(|word| format!("POST /v1/jobs/{JOB}/{word}")));
}

#[tokio::test]
async fn what_has_ended_is_not_said_to_be_taken_back() {
    for state in ["succeeded", "failed", "cancelled", "running"] {
        let fake = Fake::start(move |came, _| {
            if came.line.starts_with("GET") {
                let job = job(state, Vec::new(), Vec::new());
                Says::json(200, &serde_json::to_value(job).expect("JSON"))
            } else {
                Says::bytes(204, b"")
            }
        })
        .await;
        let ran = dayan(fake.environment(), &["cancel", JOB]).await;
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
        let asked = fake.lines().iter().any(|line| line.starts_with("POST"));
        let ended = state != "running";
        assert_eq!((asked, ran.stderr.contains("Taken back")), (!ended, !ended), "{state}");
        assert_eq!(ran.stderr.contains(&format!("had already ended ({state})")), ended, "{state}");
    }
}

#[tokio::test]
async fn what_takes_whole_jobs_refuses_tasks_before_asking() {
    let fake = Fake::start(|_, _| Says::bytes(204, b"")).await;
    for line in [["pause", "j/1"], ["show", "j/1"], ["explain", "j/1"], ["cancel", "j/1.2"]] {
        assert_eq!(dayan(fake.environment(), &line).await.exit, Exit::Usage, "{line:?}");
    }
    assert!(fake.lines().is_empty());
}

#[tokio::test]
async fn show_gives_scripts_every_attempt() {
    let all: Vec<Attempt> = (0..70).map(|task| attempt(task, "succeeded", Some(0))).collect();
    let page = all[..60].to_vec();
    let fake = Fake::start(move |came, _| match came.line.as_str() {
        line if line.contains("after=") => Says::json(200, &json!({ "items": all[60..] })),
        line if line.contains("/attempts") => {
            Says::json(200, &json!({ "items": all[..60], "next": "60" }))
        }
        _ => Says::json(
            200,
            &serde_json::to_value(job("succeeded", page.clone(), Vec::new())).expect("JSON"),
        ),
    })
    .await;
    let ran = dayan(fake.environment(), &["show", JOB, "-o", "json"]).await;
    let shown: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(70));
}
