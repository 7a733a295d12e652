//! kill -9 at any moment: every acknowledged submission is there, finished once, billed once; the
//! books balance and the journal gives the state. `DAYAN_ROUNDS=50` for more rounds.

mod support;

use support::Stage;

fn rounds(usual: u32) -> u32 {
    std::env::var("DAYAN_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How many succeeded attempts a task of a job may have: one.
fn succeeded_attempts(job: &serde_json::Value) -> usize {
    let attempts = job["attempts"].as_array().expect("a list");
    attempts.iter().filter(|attempt| attempt["state"] == "succeeded").count()
}

#[test]
fn a_server_killed_under_load_loses_nothing_and_bills_once() {
    let mut stage = Stage::build("1");
    let mut jobs = Vec::new();
    for round in 0..rounds(3) {
        for number in 0..4 {
            jobs.push(stage.submit("sleep 0.2", &format!("r{round}-{number}")));
        }
        // Somewhere between the leases, the starts and the ends of what was just submitted.
        std::thread::park_timeout(std::time::Duration::from_millis(u64::from(round * 137 % 400)));
        stage.kill_server();
        stage.start_server();
    }
    let mut spent = 0;
    for job in &jobs {
        let shown = stage.ended(job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        assert_eq!(succeeded_attempts(&shown), 1, "{shown}");
        assert_eq!(shown["money"]["held"], "0.00", "{shown}");
        spent += usize::from(shown["money"]["spent"] != "0.00");
    }
    assert_eq!(spent, jobs.len(), "each was billed");
    let mut distinct = jobs.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), jobs.len(), "each submission is a job of its own");
    stage.assert_sound();
}

#[test]
fn an_agent_killed_while_tasks_run_adopts_them() {
    let mut stage = Stage::build("2");
    let jobs: Vec<String> =
        (0..6).map(|number| stage.submit("sleep 4", &format!("long-{number}"))).collect();
    support::until("running tasks", || {
        let runs = |job: &String| {
            let shown = stage.command(&stage.member, &["show", job]);
            shown["attempts"][0]["state"] == "running"
        };
        jobs.iter().all(runs).then_some(())
    });
    stage.kill_agent();
    stage.start_agent("2", None);
    for job in &jobs {
        let shown = stage.ended(job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        let attempts = shown["attempts"].as_array().expect("a list");
        assert_eq!(attempts.len(), 1, "adopted, not run again: {shown}");
    }
    stage.assert_sound();
}

#[test]
fn both_killed_at_once_come_back_to_the_same_books() {
    let mut stage = Stage::build("1");
    let jobs: Vec<String> =
        (0..5).map(|number| stage.submit("sleep 1", &format!("both-{number}"))).collect();
    stage.kill_server();
    stage.kill_agent();
    stage.start_server();
    stage.start_agent("1", None);
    for job in &jobs {
        let shown = stage.ended(job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        assert_eq!(succeeded_attempts(&shown), 1, "{shown}");
    }
    stage.assert_sound();
}
