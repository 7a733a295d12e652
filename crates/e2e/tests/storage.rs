//! The store fails under a live exchange: a full disk, a database that is stopped. It says so,
//! keeps what it acknowledged, and goes on by itself when the store is back.

mod support;

use std::time::Duration;

use dayan_testbed::Postgres;
use support::{Serve, Stage, limit_files, until};

/// How long PostgreSQL is away.
const AWAY: Duration = Duration::from_secs(30);

fn largest_file(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).max().unwrap_or(0)
}

#[test]
fn a_full_disk_refuses_and_keeps_what_was_acknowledged() {
    // A write beyond the limit must be an error to the program, as on a full disk, not a signal.
    let shell = Some("trap '' XFSZ".to_owned());
    let mut stage = Stage::empty(Serve { shell, ..Serve::default() });
    stage.add_agent("main", "1", None);
    let mut jobs = vec![stage.submit("sleep 1", "before")];
    let room = largest_file(&stage.path("exchange")) + 64 * 1024;
    limit_files(stage.server_pid(), Some(room));
    let client = stage.client();
    let mut number = 0;
    let refusal = until("a refusal for want of room", || {
        number += 1;
        client.try_submit("true", &format!("full-{number}")).map_or_else(Some, |job| {
            jobs.push(job);
            None
        })
    });
    assert!(refusal.contains("store"), "it says what is wrong: {refusal}");
    // What is there can still be read.
    until("an answer while the disk is full", || stage.show(&jobs[0]));
    limit_files(stage.server_pid(), None);
    jobs.push(stage.submit("true", "after"));
    for job in &jobs {
        stage.assert_ran_once(job);
    }
    stage.assert_sound();
    // And the same from the file alone.
    stage.kill_server();
    stage.start_server();
    stage.assert_sound();
}

#[test]
fn a_postgresql_that_is_away_for_a_while_is_waited_for() {
    let Some(postgres) = Postgres::start() else {
        eprintln!("SKIPPED: no PostgreSQL that can be started here");
        return;
    };
    let database = Some(postgres.url().to_owned());
    let mut stage = Stage::empty(Serve { database, ..Serve::default() });
    stage.add_agent("main", "1", None);
    let running = stage.submit("sleep 20", "running");
    stage.running(&running, 1);
    let mut jobs: Vec<String> =
        (0..10).map(|number| stage.submit("sleep 1", &format!("before-{number}"))).collect();
    postgres.stop();
    let client = stage.client();
    let refusal = until("a refusal", || client.try_submit("true", "meanwhile").err());
    assert!(refusal.contains("store"), "it says what is wrong: {refusal}");
    support::pass(AWAY);
    postgres.start_again();
    jobs.push(stage.submit("true", "meanwhile"));
    for job in jobs.iter().chain([&running]) {
        stage.assert_ran_once(job);
    }
    stage.assert_sound();
}

#[test]
fn a_server_whose_books_another_has_taken_over_stops_and_says_so() {
    let Some(postgres) = Postgres::start() else {
        eprintln!("SKIPPED: no PostgreSQL that can be started here");
        return;
    };
    let database = Some(postgres.url().to_owned());
    let mut stage = Stage::empty(Serve { database, ..Serve::default() });
    stage.add_agent("main", "1", None);
    let job = stage.submit("sleep 1", "before");
    let mut deposed = stage.start_successor();
    let client = stage.client();
    let status = until("the end of the first server", || {
        // It learns of the other when it next writes.
        let _ = client.try_submit("true", "meanwhile");
        deposed.try_wait().expect("our child")
    });
    assert!(!status.success(), "{status}");
    let log = std::fs::read_to_string(stage.path("server.log")).expect("a log");
    assert!(log.contains("another server has taken over"), "{log}");
    // The successor goes on at the old address, and then agents and clients find it.
    stage.kill_server();
    stage.start_server();
    let after = stage.submit("true", "after");
    for job in [job, after] {
        let shown = stage.ended(&job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
    }
    stage.assert_sound();
}

#[test]
fn with_books_in_postgresql_the_data_store_has_to_be_named() {
    let Some(postgres) = Postgres::start() else {
        eprintln!("SKIPPED: no PostgreSQL that can be started here");
        return;
    };
    let database = Some(postgres.url().to_owned());
    let stage = Stage::empty(Serve { database: database.clone(), ..Serve::default() });
    std::fs::write(stage.path("x"), "kept\n").expect("written");
    let put = ["data", "put", "x", "dayan://lab/demo/x"];
    let refused = stage.member_run(&put, "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("data.no_store"), "{said}");
    assert!(said.contains("--data-store"), "it says what to do: {said}");
    drop(stage);

    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("shared").display().to_string();
    let words = vec!["--data-store".to_owned(), store];
    let Some(postgres) = Postgres::start() else {
        eprintln!("SKIPPED: no second PostgreSQL that can be started here");
        return;
    };
    let database = Some(postgres.url().to_owned());
    let mut stage = Stage::empty(Serve { database, words, ..Serve::default() });
    std::fs::write(stage.path("x"), "kept\n").expect("written");
    assert!(stage.member_run(&put, "").status.success());
    stage.kill_server();
    stage.start_server();
    let got = until("an answer", || {
        let got = stage.member_run(&["data", "get", "dayan://lab/demo/x", "-"], "");
        got.status.success().then_some(got.stdout)
    });
    assert_eq!(got, b"kept\n");
}
