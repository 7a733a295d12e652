//! Worlds by the hundred, each from its seed. `DAYAN_SEEDS=5000` runs more of them, `DAYAN_SEED=17`
//! only that one. A world that fails is run once more to show its last events.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dayan_simulate::{Report, Scenario, Trace, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    if let Some(one) = number("DAYAN_SEED") {
        return one..one + 1;
    }
    0..number("DAYAN_SEEDS").map_or(usual, |most| most.max(1))
}

/// Runs a world to its end; a broken rule or a panic comes back as words.
fn run(seed: u64, scenario: &Scenario, trace: &Trace) -> Result<Report, String> {
    let whole = || World::traced(seed, scenario.clone(), trace.clone()).run();
    let report = catch_unwind(AssertUnwindSafe(whole)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("panic: {}", text.unwrap_or_default())
    })?;
    match report.violations.first() {
        None => Ok(report),
        Some(broken) => Err(format!("{} [{}] {}", broken.at, broken.rule, broken.text)),
    }
}

fn check(name: &str, seed: u64, scenario: &Scenario) -> Report {
    match run(seed, scenario, &Trace::off()) {
        Ok(report) => report,
        Err(broken) => {
            let trace = Trace::on();
            let again = run(seed, scenario, &trace);
            for line in trace.lines() {
                eprintln!("{line}");
            }
            assert_eq!(again.as_ref().err(), Some(&broken), "the same seed fails in the same way");
            panic!("{name}, seed {seed}: {broken}");
        }
    }
}

fn check_all(name: &str, usual: u64, scenario: &Scenario) -> Vec<Report> {
    let reports: Vec<Report> = seeds(usual).map(|seed| check(name, seed, scenario)).collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    eprintln!(
        "{name}: {} worlds, {} jobs, {} attempts ({} billed, {} waived, {} taken back), {} faults, \
         {} syncs, {} promised ({} tasks in time, {} late), {} with licences, {} with inputs",
        reports.len(),
        sum(|r| r.jobs),
        sum(|r| r.attempts),
        sum(|r| r.billed),
        sum(|r| r.waived),
        sum(|r| r.preempted),
        sum(|r| r.faults),
        sum(|r| r.syncs),
        sum(|r| r.promised),
        sum(|r| r.in_time),
        sum(|r| r.late),
        sum(|r| r.licensed),
        sum(|r| r.staged),
    );
    let mut words: BTreeMap<&str, u64> = BTreeMap::new();
    for (outcome, count) in reports.iter().flat_map(|r| &r.outcomes) {
        *words.entry(outcome).or_default() += count;
    }
    for (code, count) in reports.iter().flat_map(|r| r.refusals.iter().chain(&r.findings)) {
        *words.entry(code).or_default() += count;
    }
    eprintln!("{name}: {words:?}");
    reports
}

#[test]
fn every_rule_holds_in_a_storm() {
    let reports = check_all("storm", 80, &Scenario::storm());
    let attempts: u64 = reports.iter().map(|report| report.attempts).sum();
    assert!(attempts >= 10 * reports.len() as u64, "hardly anything ran");
    let runs: u64 = reports.iter().map(|report| report.runs).sum();
    assert!(runs * 3 >= reports.len() as u64 || number("DAYAN_SEED").is_some(), "{runs} runs");
    let preempted: u64 = reports.iter().map(|report| report.preempted).sum();
    assert!(number("DAYAN_SEED").is_some() || preempted > 0, "nothing was taken back");
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let few = number("DAYAN_SEED").is_some();
    assert!(few || sum(|r| r.licensed) > reports.len() as u64, "hardly anything held a licence");
    assert!(few || sum(|r| r.staged) > reports.len() as u64, "hardly anything had inputs");
}

#[test]
fn every_rule_holds_without_faults() {
    let reports = check_all("calm", 15, &Scenario::calm());
    // Where nothing goes wrong, nobody loses a lease.
    for report in reports {
        for outcome in ["lease_ended", "site_lost", "node_failure"] {
            assert!(!report.outcomes.contains_key(outcome), "seed {}: {outcome}", report.seed);
        }
    }
}

#[test]
fn what_is_promised_is_kept_where_nothing_goes_wrong() {
    let reports = check_all("steady", 15, &Scenario::steady());
    let promised: u64 = reports.iter().map(|report| report.in_time).sum();
    assert!(promised > reports.len() as u64, "hardly anything was promised");
    for report in reports {
        assert_eq!(report.late, 0, "seed {}: a promise was broken", report.seed);
    }
}

#[test]
fn lies_about_use_are_found_and_never_billed() {
    let reports = check_all("lies", 15, &Scenario::lies());
    if number("DAYAN_SEED").is_none() {
        for code in
            ["usage.shrinks", "usage.faster_than_time", "usage.same_number", "usage.foreign_lease"]
        {
            assert!(reports.iter().any(|report| report.findings.contains_key(code)), "{code}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    for seed in seeds(3) {
        let one = check("storm", seed, &Scenario::storm());
        let two = check("storm", seed, &Scenario::storm());
        assert_eq!(one, two);
    }
    let other = check("storm", 1_000_003, &Scenario::storm());
    assert_ne!(check("storm", 0, &Scenario::storm()).journal, other.journal);
}
