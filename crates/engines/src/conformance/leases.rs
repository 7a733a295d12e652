//! Leases: an attempt runs at most once and never past its lease.

use dayan_units::Span;

use super::bench::{holds, same};
use super::{Bench, Case, Need};
use crate::{BootId, Outcome, StartFault};

pub(super) const CASES: &[Case] = &[
    Case { name: "a double launch is refused", needs: &[], run: double },
    Case { name: "a double launch in one batch is refused", needs: &[], run: double_in_batch },
    Case { name: "a launch after the end is refused", needs: &[], run: after_end },
    Case { name: "another attempt of the task is another launch", needs: &[], run: next_attempt },
    Case { name: "a lease that is over is refused", needs: &[], run: lease_over },
    Case { name: "a lease of another boot is refused", needs: &[], run: other_boot },
    Case { name: "a lease's end ends the task", needs: &[], run: lease_ends },
    Case {
        name: "who ignores the notice is killed at the end",
        needs: &[Need::Programs],
        run: lease_kills,
    },
    Case { name: "an extension keeps it", needs: &[], run: extension },
    Case { name: "a shortened lease ends it", needs: &[], run: shortened },
    Case { name: "extending the unknown is passed over", needs: &[], run: extend_unknown },
];

fn double(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(300));
    let attempt = bench.start(launch.clone())?;
    same("answer", &bench.try_start(launch), &Err(StartFault::AlreadyLaunched(attempt)))?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    Ok(())
}

fn double_in_batch(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(10));
    let attempt = launch.attempt;
    let answers = bench.engine().start(vec![launch.clone(), launch]);
    same("answers", &answers, &vec![Ok(()), Err(StartFault::AlreadyLaunched(attempt))])?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    Ok(())
}

fn after_end(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(10));
    let attempt = bench.start(launch.clone())?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    same("answer", &bench.try_start(launch), &Err(StartFault::AlreadyLaunched(attempt)))
}

fn next_attempt(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.work(Span::from_millis(10));
    let first = bench.start(launch.clone())?;
    launch.attempt.attempt += 1;
    let second = bench.start(launch)?;
    bench.expect_end(first, &Outcome::Exited(0))?;
    bench.expect_end(second, &Outcome::Exited(0))?;
    Ok(())
}

fn lease_over(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.work(Span::from_millis(10));
    launch.lease_end = bench.lease(Span::from_micros(-1));
    let attempt = launch.attempt;
    same("answer", &bench.try_start(launch), &Err(StartFault::LeaseOver(attempt)))?;
    same("listed", &bench.listed(attempt)?, &None)
}

fn other_boot(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.work(Span::from_millis(10));
    launch.lease_end.boot = BootId(launch.lease_end.boot.0 ^ 1);
    let attempt = launch.attempt;
    same("answer", &bench.try_start(launch), &Err(StartFault::LeaseOver(attempt)))
}

fn lease_ends(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.work(Span::from_secs(60));
    let lease = Span::from_millis(500);
    launch.lease_end = bench.lease(lease);
    let attempt = bench.start(launch)?;
    let usage = bench.expect_end(attempt, &Outcome::LeaseEnded)?;
    holds(|| format!("it ran for {}", usage.wall), (usage.wall < Span::from_secs(20)).into())
}

fn lease_kills(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("trap '' TERM; while :; do sleep 0.02; done");
    launch.lease_end = bench.lease(Span::from_millis(500));
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::LeaseEnded)?;
    Ok(())
}

fn extension(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.work(Span::from_millis(900));
    launch.lease_end = bench.lease(Span::from_millis(600));
    let attempt = bench.start(launch)?;
    let longer = bench.lease(Span::from_secs(600));
    bench.engine().extend(&[(attempt, longer)]).map_err(|f| f.to_string())?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(0))?;
    holds(|| format!("it ran for {}", usage.wall), (usage.wall >= Span::from_millis(800)).into())
}

fn shortened(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(60));
    let attempt = bench.start(launch)?;
    let shorter = bench.lease(Span::from_millis(200));
    bench.engine().extend(&[(attempt, shorter)]).map_err(|f| f.to_string())?;
    bench.expect_end(attempt, &Outcome::LeaseEnded)?;
    Ok(())
}

fn extend_unknown(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.shell("true").attempt;
    let lease = bench.lease(Span::from_secs(1));
    bench.engine().extend(&[(attempt, lease)]).map_err(|f| f.to_string())?;
    same("listed", &bench.listed(attempt)?, &None)
}
