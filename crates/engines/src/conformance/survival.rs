//! What is left when the agent or the keeper dies.

use dayan_units::Span;

use super::bench::{holds, process_lives, same};
use super::{Bench, Case, Need};
use crate::{Outcome, Phase, StartFault, Stream};

const SURVIVES: &[Need] = &[Need::Programs, Need::SurvivesAgent];
const KEEPER: &[Need] = &[Need::Programs, Need::KillableKeeper];

pub(super) const CASES: &[Case] = &[
    Case { name: "a running task is adopted", needs: SURVIVES, run: adopted },
    Case { name: "an end while the agent was away is reported", needs: SURVIVES, run: ended_away },
    Case { name: "a lease ends without an agent", needs: SURVIVES, run: lease_away },
    Case { name: "100 running tasks are adopted", needs: SURVIVES, run: hundred_adopted },
    Case {
        name: "a double launch after adoption is refused",
        needs: SURVIVES,
        run: double_adopted,
    },
    Case { name: "a killed keeper takes its tasks along", needs: KEEPER, run: keeper_killed },
    Case { name: "orphans do not outlive a killed keeper", needs: KEEPER, run: keeper_orphans },
    Case { name: "after a killed keeper work goes on", needs: KEEPER, run: keeper_replaced },
    Case { name: "ends are remembered over a killed keeper", needs: KEEPER, run: keeper_remembers },
    Case { name: "a keeper killed while nobody looks", needs: KEEPER, run: keeper_killed_away },
];

fn pid_of(phase: &Phase) -> Result<u32, String> {
    match phase {
        Phase::Running { pid: Some(pid), .. } => Ok(*pid),
        other => Err(format!("it is {other:?}")),
    }
}

fn adopted(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("while [ ! -e go ]; do sleep 0.02; done; exit 5")?;
    let before = pid_of(&bench.running(attempt)?.phase)?;
    bench.reopen();
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("pid", &pid_of(&listed.phase)?, &before)?;
    bench.running(attempt)?;
    let folder = bench.workdir(attempt)?;
    std::fs::write(folder.join("go"), "").map_err(|e| e.to_string())?;
    bench.expect_end(attempt, &Outcome::Exited(5))?;
    Ok(())
}

fn ended_away(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("while [ ! -e go ]; do sleep 0.02; done; echo done; exit 6")?;
    let pid = pid_of(&bench.running(attempt)?.phase)?;
    let folder = bench.workdir(attempt)?;
    let clock = crate::BootClock::of_this_machine().map_err(|e| e.to_string())?;
    bench.away(|_| {
        let until = clock.now().plus(Span::from_secs(30));
        std::fs::write(folder.join("go"), "").map_err(|e| e.to_string())?;
        while process_lives(pid) {
            if clock.now() > until {
                return Err("it does not end".to_owned());
            }
            std::thread::yield_now();
        }
        Ok(())
    })?;
    bench.expect_end(attempt, &Outcome::Exited(6))?;
    same("stdout", &bench.text(attempt, Stream::Stdout)?.as_str(), &"done\n")
}

fn lease_away(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(60));
    let attempt = bench.start(launch)?;
    let pid = pid_of(&bench.running(attempt)?.phase)?;
    // Shortened only now: an engine with a queue of its own may take its time to start it.
    let shorter = bench.lease(Span::from_secs(1));
    bench.engine().extend(&[(attempt, shorter)]).map_err(|f| f.to_string())?;
    let clock = crate::BootClock::of_this_machine().map_err(|e| e.to_string())?;
    bench.away(|_| {
        let until = clock.now().plus(Span::from_secs(30));
        while process_lives(pid) {
            if clock.now() > until {
                return Err("it outlives its lease".to_owned());
            }
            std::thread::yield_now();
        }
        Ok(())
    })?;
    bench.expect_end(attempt, &Outcome::LeaseEnded)?;
    Ok(())
}

fn hundred_adopted(bench: &mut Bench<'_>) -> Result<(), String> {
    let launches: Vec<_> = (0..100).map(|_| bench.work(Span::from_millis(700))).collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in bench.engine().start(launches) {
        answer.map_err(|f| f.to_string())?;
    }
    bench.reopen();
    let listed = bench.engine().list().map_err(|f| f.to_string())?;
    let known = attempts.iter().all(|attempt| listed.iter().any(|seen| seen.attempt == *attempt));
    holds(|| "some are not listed".to_owned(), known.into())?;
    for attempt in attempts {
        bench.expect_end(attempt, &Outcome::Exited(0))?;
    }
    Ok(())
}

fn double_adopted(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(300));
    let attempt = bench.start(launch.clone())?;
    bench.reopen();
    same("answer", &bench.try_start(launch), &Err(StartFault::AlreadyLaunched(attempt)))?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    Ok(())
}

fn keeper_killed(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(300));
    let attempt = bench.start(launch.clone())?;
    let pid = pid_of(&bench.running(attempt)?.phase)?;
    bench.kill_keeper()?;
    // The first call may find the broken link; the next starts another keeper.
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("outcome", &listed.end().map(|end| end.outcome.clone()), &Some(Outcome::KeeperDied))?;
    holds(|| "its process lives".to_owned(), (!process_lives(pid)).into())?;
    same("answer", &bench.try_start(launch), &Err(StartFault::AlreadyLaunched(attempt)))
}

fn keeper_orphans(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("setsid sleep 300 & sleep 300 & (setsid sh -c 'sleep 300 & echo $! > pid; echo ready' &); wait")?;
    bench.until_written(attempt, "ready")?;
    bench.running(attempt)?;
    let folder = bench.workdir(attempt)?;
    let pid = std::fs::read_to_string(folder.join("pid")).map_err(|e| e.to_string())?;
    let pid: u32 = pid.trim().parse().map_err(|_| format!("`{pid}` is no pid"))?;
    holds(|| "the orphan does not live".to_owned(), process_lives(pid).into())?;
    bench.kill_keeper()?;
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("outcome", &listed.end().map(|end| end.outcome.clone()), &Some(Outcome::KeeperDied))?;
    holds(|| "the orphan lives".to_owned(), (!process_lives(pid)).into())
}

fn keeper_replaced(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(300));
    let attempt = bench.start(launch)?;
    bench.running(attempt)?;
    bench.kill_keeper()?;
    bench.engine().list().map_err(|f| f.to_string())?;
    bench.expect_end(attempt, &Outcome::KeeperDied)?;
    let attempt = bench.start_line("exit 3")?;
    bench.expect_end(attempt, &Outcome::Exited(3))?;
    Ok(())
}

fn keeper_remembers(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("echo kept; exit 9")?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(9))?;
    bench.kill_keeper()?;
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("outcome", &listed.end().map(|end| end.outcome.clone()), &Some(Outcome::Exited(9)))?;
    same("usage", &listed.usage, &usage)?;
    same("stdout", &bench.text(attempt, Stream::Stdout)?.as_str(), &"kept\n")
}

fn keeper_killed_away(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(300));
    let attempt = bench.start(launch)?;
    let pid = pid_of(&bench.running(attempt)?.phase)?;
    let killed = bench.away(|bed| bed.kill_keeper());
    holds(|| "its keeper was not killed".to_owned(), killed.into())?;
    bench.expect_end(attempt, &Outcome::KeeperDied)?;
    holds(|| "its process lives".to_owned(), (!process_lives(pid)).into())
}
