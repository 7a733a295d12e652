//! kill -9 at any moment: every acknowledged submission is there, finished once, billed once; the
//! books balance and the journal gives the state. `DAYAN_ROUNDS=50` for more rounds, `DAYAN_SEED=2`
//! for other moments.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use support::{Stage, host};

fn number(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn rounds(usual: u32) -> u32 {
    number("DAYAN_ROUNDS", usual)
}

/// Lets the load go on for a while that differs from round to round: between submissions, leases,
/// starts, ends and commits of what is under way.
fn a_moment(round: u32) {
    // Weyl's sequence: well spread, and the same for the same seed.
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9).wrapping_mul(number("DAYAN_SEED", 1) | 1);
    std::thread::park_timeout(Duration::from_millis(u64::from(mixed >> 16) % 900));
}

fn attempts_that(job: &serde_json::Value, state: &str) -> usize {
    let attempts = job["attempts"].as_array().expect("a list");
    attempts.iter().filter(|attempt| attempt["state"] == state).count()
}

/// Each ended well, once, and was paid once, with nothing held any more.
fn assert_ended_once(stage: &Stage, jobs: &[String]) {
    for job in jobs {
        let shown = stage.ended(job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        assert_eq!(attempts_that(&shown, "succeeded"), 1, "{shown}");
        assert_eq!(shown["money"]["held"], "0.00", "{shown}");
    }
    let billed = stage.billed();
    for job in jobs {
        assert_eq!(billed.get(job), Some(&1), "{job} is one line of the bill");
    }
}

/// Submits from two threads, without a pause, while `harm` is done; gives back what was
/// acknowledged.
fn under_load(stage: &mut Stage, run: &str, harm: impl FnOnce(&mut Stage)) -> Vec<String> {
    let done = AtomicBool::new(false);
    let client = stage.client();
    std::thread::scope(|scope| {
        let submit = |thread: u32| {
            let (client, done) = (client.clone(), &done);
            move || {
                let mut jobs = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let key = format!("load-{thread}-{}", jobs.len());
                    jobs.push(client.submit(run, &key));
                }
                jobs
            }
        };
        let loads = [scope.spawn(submit(0)), scope.spawn(submit(1))];
        harm(stage);
        done.store(true, Ordering::Relaxed);
        loads.into_iter().flat_map(|load| load.join().expect("it submits")).collect()
    })
}

fn assert_distinct(jobs: &[String]) {
    let distinct: std::collections::BTreeSet<_> = jobs.iter().collect();
    assert_eq!(distinct.len(), jobs.len(), "each key is a job of its own, made once");
}

#[test]
fn a_server_killed_under_load_loses_nothing_and_bills_once() {
    let mut stage = Stage::build("1");
    let jobs = under_load(&mut stage, "sleep 0.2", |stage| {
        for round in 0..rounds(5) {
            a_moment(round);
            stage.kill_server();
            stage.start_server();
        }
    });
    assert!(!jobs.is_empty());
    assert_distinct(&jobs);
    assert_ended_once(&stage, &jobs);
    stage.assert_sound();
}

#[test]
fn an_agent_killed_while_a_hundred_tasks_run_adopts_them() {
    let mut stage = Stage::build("2");
    let job = stage.submit_with("sleep 12", "hundred", "array: {range: 0-99}\n");
    stage.running(&job, 100);
    for round in 0..rounds(2) {
        stage.kill_agent("main");
        a_moment(round);
        stage.start_agent("main", "2");
    }
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(attempts_that(&shown, "succeeded"), 100, "{shown}");
    let attempts = shown["attempts"].as_array().map(Vec::len);
    assert_eq!(attempts, Some(100), "adopted, not run again: {shown}");
    assert_eq!(stage.billed().get(&job), Some(&100), "each is one line of the bill");
    stage.assert_sound();
}

#[test]
fn both_killed_at_once_come_back_to_the_same_books() {
    let mut stage = Stage::build("2");
    let jobs = under_load(&mut stage, "sleep 0.5", |stage| {
        for round in 0..rounds(3) {
            a_moment(round);
            stage.kill_server();
            stage.kill_agent("main");
            stage.start_server();
            stage.start_agent("main", "2");
        }
    });
    assert_distinct(&jobs);
    assert_ended_once(&stage, &jobs);
    stage.assert_sound();
}

#[test]
fn a_killed_keeper_takes_its_tasks_with_it_and_they_run_again_once() {
    let stage = Stage::build("1");
    let left = stage.path("left");
    // It ends at once where it has begun before.
    let run = format!("mkdir {} && exec sleep 300 || true", left.display());
    let job = stage.submit(&run, "kept");
    stage.running(&job, 1);
    support::until("the task", || left.exists().then_some(()));
    host::signal(stage.keeper("main"), Signal::KILL);
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(attempts_that(&shown, "succeeded"), 1, "{shown}");
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(stage.billed_attempts(&job), [2], "{shown}");
    let tasks =
        stage.site("main").into_iter().filter(|pid| host::words(*pid).contains(&"300".into()));
    assert_eq!(tasks.count(), 0, "what the killed keeper ran is gone");
    stage.assert_sound();
}
