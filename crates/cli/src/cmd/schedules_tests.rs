//! Schedules: what is asked of the exchange and what is printed.

use serde_json::json;

use super::super::jobs::Listed;
use super::super::session::tests_support::JOB_FILE;
use super::*;
use crate::tests::{Fake, Says, both, dayan, sample};

const SCHEDULE: &str = "sch_01h455vb4pex5vsknk084sn02q";
const JOB: &str = "job_01h455vb4pex5vsknk084sn02q";

fn run(state: &str, due: &str) -> ScheduleRun {
    let made = !matches!(state, "skipped" | "missed");
    let why = (state == "skipped").then_some(("market.budget_day", "0.10 CNY are left"));
    ScheduleRun {
        due: due.to_owned(),
        until: (state == "missed").then(|| "2026-11-23T00:20:00Z".to_owned()),
        state: state.to_owned(),
        job: made.then(|| JOB.to_owned()),
        ended_at: (state == "succeeded").then(|| "2026-11-23T07:30:00Z".to_owned()),
        code: why.map(|(code, _)| code.to_owned()),
        message: why.map(|(_, message)| message.to_owned()),
    }
}

fn schedule(state: &str) -> Schedule {
    let open = state == "scheduled";
    let next = ["2026-11-24T00:20:00Z", "2026-11-24T06:20:00Z", "2026-11-24T12:20:00Z"];
    Schedule {
        id: SCHEDULE.to_owned(),
        name: "forecast".to_owned(),
        project: "gz-meteo/ops".to_owned(),
        state: state.to_owned(),
        submitted_at: "2026-11-22T12:00:00Z".to_owned(),
        ended_at: (state == "cancelled").then(|| "2026-11-23T20:00:00Z".to_owned()),
        cron: "20 0,6,12,18 * * *".to_owned(),
        timezone: "UTC".to_owned(),
        overlap: "forbid".to_owned(),
        catch_up: "latest".to_owned(),
        next: next.into_iter().filter(|_| open).map(str::to_owned).collect(),
        to_make_up: Vec::new(),
        runs: vec![
            run("running", "2026-11-23T18:20:00Z"),
            run("skipped", "2026-11-23T12:20:00Z"),
            run("succeeded", "2026-11-23T06:20:00Z"),
            run("missed", "2026-11-22T12:20:00Z"),
        ],
        spec: None,
    }
}

#[test]
fn schedules_as_people_and_scripts_see_them() {
    insta::assert_snapshot!(both(&schedule("scheduled")));
    insta::assert_snapshot!("cancelled", both(&schedule("cancelled")));
    insta::assert_snapshot!("schedule_json", sample(&schedule("paused")));
    let fresh = Schedule { runs: Vec::new(), ..schedule("scheduled") };
    insta::assert_snapshot!("list", both(&vec![schedule("paused"), fresh]));
}

#[test]
fn a_list_of_jobs_is_one_for_scripts_and_has_schedules_for_people() {
    let schedules = vec![schedule("scheduled"), schedule("cancelled")];
    let listed = Listed { jobs: Vec::new(), schedules };
    assert_eq!(listed.data(), json!([]));
    let table = listed.table(&crate::tests::view(crate::words::Lang::En));
    assert_eq!(table.matches(SCHEDULE).count(), 1, "not what was cancelled: {table}");
}

fn exchange(came: &crate::tests::Came) -> Says {
    let json = |schedule: Schedule| serde_json::to_value(schedule).expect("JSON");
    match came.line.as_str() {
        line if line.starts_with("GET /v1/schedules?") && line.ends_with("&name=forecast") => {
            Says::json(200, &json!({ "items": [json(schedule("scheduled"))] }))
        }
        line if line.starts_with("GET /v1/schedules?") => Says::json(200, &json!({ "items": [] })),
        line if line.starts_with("GET /v1/schedules/") => {
            Says::json(200, &json(schedule("scheduled")))
        }
        line if line.starts_with("GET /v1/jobs?") => Says::json(200, &json!({ "items": [] })),
        line if line.starts_with("POST /v1/jobs?") => {
            Says::json(201, &json!({ "schedule": SCHEDULE, "next": "2026-11-24T00:20:00Z" }))
        }
        _ => Says::bytes(204, b""),
    }
}

#[tokio::test]
async fn a_name_stands_for_its_schedule_first() {
    let fake = Fake::start(|came, _| exchange(came)).await;
    let ran = dayan(fake.environment(), &["show", "forecast"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.stderr);
    assert!(ran.stdout.contains(SCHEDULE), "{}", ran.stdout);
    assert!(!fake.lines().iter().any(|line| line.contains("/v1/jobs")), "{:?}", fake.lines());
    for (command, said) in [("pause", "Paused"), ("resume", "Runs again"), ("cancel", "Ended")] {
        let ran = dayan(fake.environment(), &[command, "forecast"]).await;
        assert!(ran.exit == Exit::Ok && ran.stderr.starts_with(said), "{}", ran.stderr);
        let asked = format!("POST /v1/schedules/{SCHEDULE}/{command}");
        assert_eq!(fake.lines().last(), Some(&asked));
    }
    let ran = dayan(fake.environment(), &["retry", "forecast"]).await;
    assert_eq!(ran.exit, Exit::Usage, "{}", ran.stderr);
    // Where there is none of the name, jobs are asked for.
    let ran = dayan(fake.environment(), &["show", "other"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(fake.lines().last().is_some_and(|line| line.starts_with("GET /v1/jobs?")));
}

#[tokio::test]
async fn what_is_submitted_says_when_it_runs_and_has_no_end_to_wait_for() {
    let fake = Fake::start(|came, _| exchange(came)).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("job.yaml");
    let text = format!("{JOB_FILE}schedule: {{cron: '20 0,6,12,18 * * *'}}\n");
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let ran = dayan(fake.environment(), &["submit", &file, "--wait"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(fake.lines().is_empty(), "nothing was submitted: {:?}", fake.lines());
    let ran = dayan(fake.environment(), &["submit", &file]).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Ok, &*format!("{SCHEDULE}\n")));
    assert!(ran.stderr.contains("2026-11-24 00:20"), "{}", ran.stderr);
    let ran = dayan(fake.environment(), &["submit", &file, "-o", "json"]).await;
    let said: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(said, json!({ "schedule": SCHEDULE, "next": "2026-11-24T00:20:00Z" }));
}
