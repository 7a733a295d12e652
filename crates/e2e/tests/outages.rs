//! What takes longer than a lease: an agent that never comes back, a machine that was suspended, a
//! link that is cut, a server that is away. Work goes on elsewhere, once; nobody runs it twice at
//! the same time, nobody pays twice.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use support::link::Link;
use support::{Serve, Stage, host, until};

/// The shortest lease that a job may ask for.
const SHORT: &str = "on_lost_link: {keep: 30s}\n";
/// When the exchange has given up a lease of 30 s, with its margin and the grace of a stop.
const LEASE_AND_MORE: Duration = Duration::from_secs(38);

/// A task that goes on for ever where it runs first, and ends at once where it runs again. What it
/// leaves behind tells whether the first was still there when the second began.
struct Witness {
    job: String,
    folder: PathBuf,
}

impl Witness {
    fn submit(stage: &Stage, name: &str) -> Self {
        let folder = stage.path(&format!("{name}-left"));
        let at = folder.display();
        let run = format!(
            "|\n  if mkdir {at}; then\n    while :; do date +%s%N > {at}/now && mv {at}/now {at}/first; \
             sleep 0.1; done\n  else\n    date +%s%N > {at}/second\n  fi"
        );
        let job = stage.submit_with(&run, name, SHORT);
        Self { job, folder }
    }

    fn time(&self, name: &str) -> Option<u128> {
        std::fs::read_to_string(self.folder.join(name)).ok()?.trim().parse().ok()
    }

    fn runs(&self) {
        until("a first sign of the task", || self.time("first"));
    }

    /// It succeeded at the second try, elsewhere, and was paid for once.
    fn ended_once(&self, stage: &Stage) {
        let shown = stage.ended(&self.job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        let attempts = shown["attempts"].as_array().expect("a list");
        let in_state = |state: &str| attempts.iter().filter(|a| a["state"] == state).count();
        assert_eq!((attempts.len(), in_state("succeeded")), (2, 1), "{shown}");
        let pools: Vec<_> = attempts.iter().map(|attempt| &attempt["pool"]).collect();
        assert_ne!(pools[0], pools[1], "elsewhere: {shown}");
        assert_eq!(shown["money"]["held"], "0.00", "{shown}");
        assert_eq!(
            stage.billed_attempts(&self.job),
            [2],
            "the lost attempt costs nothing: {shown}"
        );
    }

    /// The first attempt gave its last sign before the second began.
    fn never_overlapped(&self) {
        let (first, second) = (self.time("first"), self.time("second"));
        assert!(first.is_some() && first < second, "{first:?} {second:?}");
    }
}

#[test]
fn an_agent_that_never_comes_back_loses_its_tasks_to_another() {
    let mut stage = Stage::build("1");
    let witness = Witness::submit(&stage, "gone");
    witness.runs();
    stage.add_agent("spare", "1", None);
    stage.kill_agent("main");
    witness.ended_once(&stage);
    witness.never_overlapped();
    until("the end of the keeper's tasks", || {
        let left = stage.site("main");
        left.iter().all(|pid| host::words(*pid).iter().any(|word| word == "keeper")).then_some(())
    });
    stage.assert_sound();
}

#[test]
fn a_machine_that_was_suspended_past_its_lease_does_not_go_on() {
    let mut stage = Stage::build("1");
    let witness = Witness::submit(&stage, "suspended");
    witness.runs();
    stage.add_agent("spare", "1", None);
    let site = stage.site("main");
    host::signal_all(&site, Signal::STOP);
    witness.ended_once(&stage);
    witness.never_overlapped();
    host::signal_all(&site, Signal::CONT);
    until("the end of the suspended task", || {
        let left = stage.site("main");
        let tasks = left.iter().filter(|pid| host::words(**pid).iter().any(|word| word == "sleep"));
        (tasks.count() == 0).then_some(())
    });
    // The agent is back, tells of what it had, and takes work again.
    let job = stage.submit("true", "after");
    assert_eq!(stage.ended(&job)["state"], "succeeded");
    witness.ended_once(&stage);
    stage.assert_sound();
}

#[test]
fn a_link_cut_for_longer_than_the_lease_stops_the_task_by_the_agents_own_clock() {
    let mut stage = Stage::empty(Serve::default());
    let link = Link::to(&stage.address());
    stage.add_agent("main", "1", Some(&link.url));
    let witness = Witness::submit(&stage, "cut");
    witness.runs();
    stage.add_agent("spare", "1", None);
    link.cut();
    witness.ended_once(&stage);
    witness.never_overlapped();
    link.mend();
    let pool = until("the pool that was cut off takes work again", || {
        let job = stage.submit_with("true", "back", "placement: {providers: {allow: [dc]}}\n");
        Some(stage.ended(&job))
    });
    assert_eq!(pool["state"], "succeeded");
    witness.ended_once(&stage);
    stage.assert_sound();
}

#[test]
fn a_server_that_was_away_for_longer_than_every_lease_runs_nothing_again() {
    let mut stage = Stage::build("1");
    let quick: Vec<String> = (0..5)
        // Long enough that all are seen at work, also on a busy machine.
        .map(|number| stage.submit_with("sleep 20", &format!("quick-{number}"), SHORT))
        .collect();
    // The default lease of a batch job outlives the server's absence.
    let long = stage.submit("sleep 70", "long");
    for job in quick.iter().chain([&long]) {
        stage.running(job, 1);
    }
    stage.kill_server();
    support::pass(LEASE_AND_MORE);
    stage.start_server();
    for job in quick.iter().chain([&long]) {
        stage.assert_ran_once(job);
    }
    stage.assert_sound();
}
