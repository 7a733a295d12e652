//! Commands that ask more than once: logging in, submitting and waiting, following a log.

use serde_json::{Value, json};

use super::session::tests_support::JOB_FILE;
use crate::config::Environment;
use crate::exit::Exit;
use crate::tests::{Fake, Says, dayan};

const JOB: &str = "job_01h455vb4pex5vsknk084sn02q";

fn who() -> Value {
    json!({ "exchange": "dayan", "user": "usr_1", "name": "lin", "org": "studio-a",
        "role": "member", "rights": { "job": { "create": "own", "read": "own" } } })
}

#[tokio::test]
async fn what_was_logged_in_with_is_kept_and_used() {
    let fake = Fake::start(|came, _| {
        if came.headers.get("authorization").is_some_and(|value| value == "Bearer t0ken") {
            return Says::json(200, &who());
        }
        let problem = json!({ "type": "t", "status": 401, "code": "auth.token", "title": "no" });
        Says::json(401, &problem)
    })
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let bare = Environment { config_dir: Some(dir.path().into()), ..Environment::default() };

    let ran = dayan(bare.clone(), &["login", &fake.url, "--token", "wrong"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(!dir.path().join("config.json").exists(), "nothing is kept of a failed login");

    let ran = dayan(bare.clone(), &["login", &fake.url, "--token", " t0ken\n"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert_eq!(ran.stderr, "Logged in to dayan as studio-a/lin (member).\n");
    let ran = dayan(bare, &["whoami"]).await;
    insta::assert_snapshot!(ran.stdout);
}

fn job(state: &str, succeeded: u64) -> Value {
    json!({ "id": JOB, "name": "hello", "project": "studio-a/film-3", "state": state,
        "submitted_at": "2026-11-23T12:00:00Z",
        "tasks": { "total": 2, "paused": 0, "queued": 0, "running": 2 - succeeded,
            "succeeded": succeeded, "failed": 0, "cancelled": 0 },
        "money": { "currency": "CNY", "held": "0.00", "spent": "0.10" },
        "attempts": [], "waiting": [], "spec": {} })
}

/// Submits with `--wait` to an exchange where the job ends in a state after some looks, with an
/// outage in between.
async fn waits(state: &'static str) -> (crate::tests::Ran, Vec<String>) {
    let fake = Fake::start(move |came, before| {
        if came.line.starts_with("POST /v1/jobs?") {
            return Says::json(201, &json!({ "job": JOB }));
        }
        match before {
            1 => Says::json(200, &job("running", 0)),
            // More than the client tries by itself: the wait itself must go on.
            2..=6 => Says::bytes(503, b"{}").with("retry-after", "0"),
            _ => Says::json(200, &job(state, 2)),
        }
    })
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("job.yaml");
    std::fs::write(&file, JOB_FILE).expect("written");
    let file = file.display().to_string();
    let ran = dayan(fake.environment(), &["submit", &file, "--wait", "-o", "json"]).await;
    (ran, fake.lines())
}

#[tokio::test]
async fn a_wait_survives_an_outage_and_ends_as_the_job_does() {
    let (ran, lines) = waits("succeeded").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("{{\n  \"job\": \"{JOB}\"\n}}\n"));
    assert_eq!(ran.stderr, format!("{JOB}: succeeded, 0.10 CNY\n"));
    assert_eq!(lines.iter().filter(|line| line.starts_with("POST")).count(), 1);
    assert_eq!(waits("failed").await.0.exit, Exit::Failed);
    assert_eq!(waits("cancelled").await.0.exit, Exit::Failed);
}

#[tokio::test]
async fn a_refused_submission_says_why_and_ends_with_four() {
    let fake = Fake::start(|_, _| {
        let detail = json!({ "subject": "image", "code": "not_offered.containers",
            "message": "no pool offers container images" });
        let problem = json!({ "type": "t", "status": 422, "code": "submit.not_offered",
            "title": "no pool offers all of it", "advice": "leave it out",
            "details": [detail], "request": "req_1" });
        Says::json(422, &problem)
    })
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("job.yaml");
    std::fs::write(&file, JOB_FILE).expect("written");
    let ran = dayan(fake.environment(), &["submit", &file.display().to_string()]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Refused, ""));
    insta::assert_snapshot!(ran.stderr);
    assert!(fake.lines()[0].starts_with("POST /v1/jobs?key="), "a key of its own");
    assert_eq!(fake.came()[0].body, JOB_FILE);
}

fn log_server(ended_at: usize) -> impl Fn(&crate::tests::Came, usize) -> Says + Send + Sync {
    move |came, before| {
        const LOG: &[u8] = b"one\ntwo\nthree\n";
        let offset = came.line.split("offset=").nth(1).and_then(|text| text.parse().ok());
        let offset: usize = offset.expect("an offset");
        // Five bytes at a time, and now and then nothing at all.
        let end = if before % 3 == 2 { offset } else { LOG.len().min(offset + 5) };
        let says = Says::bytes(200, &LOG[offset..end]).with("dayan-log-next", &end.to_string());
        if before >= ended_at && end == LOG.len() {
            says.with("dayan-log-end", "true")
        } else {
            says
        }
    }
}

#[tokio::test]
async fn a_followed_log_comes_whole_and_ends_with_its_task() {
    let fake = Fake::start(log_server(4)).await;
    let line = format!("{JOB}/3.2");
    let ran = dayan(fake.environment(), &["logs", &line, "-f", "--stderr"]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Ok, "one\ntwo\nthree\n"));
    let first =
        format!("GET /v1/jobs/{JOB}/logs?task=3&attempt=2&stream=stderr&wait_ms=10000&offset=0");
    assert_eq!(fake.lines()[0], first);
}

#[tokio::test]
async fn a_follower_waits_for_the_start_and_not_for_what_never_starts() {
    let run = async |state: &'static str, ended_at: Option<&'static str>| {
        let fake = Fake::start(move |came, before| {
            let waits = json!({ "type": "t", "status": 404, "code": "logs.not_started",
                "title": "it has not been started", "advice": "wait", "request": "req_1" });
            match came.line.contains("/logs") {
                false => {
                    let mut job = job(state, 0);
                    job["ended_at"] = ended_at.into();
                    Says::json(200, &job)
                }
                true if before < 4 => Says::json(404, &waits),
                true => Says::bytes(200, b"one\n").with("dayan-log-end", "true"),
            }
        })
        .await;
        dayan(fake.environment(), &["logs", JOB, "-f"]).await
    };
    let ran = run("queued", None).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Ok, "one\n"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("not been started yet").count(), 1, "{}", ran.stderr);
    let ran = run("cancelled", Some("2026-11-23T12:00:01Z")).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.stderr);
}

#[tokio::test]
async fn what_is_not_kept_of_a_log_is_said_and_joins_no_lines() {
    let fake = Fake::start(|came, _| {
        let says = |bytes: &[u8], next: &str| Says::bytes(200, bytes).with("dayan-log-next", next);
        match came.line.rsplit("offset=").next() {
            Some("0") => says(b"1\n2", "3"),
            Some("3") => says(b"8\n9\n", "5007"),
            _ => says(b"", "5007").with("dayan-log-end", "true"),
        }
    })
    .await;
    let ran = dayan(fake.environment(), &["logs", JOB]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Ok, "1\n2\n8\n9\n"));
    assert_eq!(ran.stderr, "5KB of the output are not kept, from byte 3 on\n");
}

#[tokio::test]
async fn a_log_that_is_not_followed_ends_where_it_is() {
    let fake = Fake::start(log_server(usize::MAX)).await;
    let ran = dayan(fake.environment(), &["logs", JOB]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Ok, "one\ntwo\nth"));
    assert_eq!(fake.lines().len(), 3);
}
