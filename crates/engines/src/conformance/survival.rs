//! What is left when the agent or the keeper dies.

use std::path::PathBuf;

use dayan_units::{AttemptId, Span};

use super::bench::{holds, process_lives, same, until_gone};
use super::{Bench, Case, Need};
use crate::{Outcome, Phase, StartFault, Stream};

const SURVIVES: &[Need] = &[Need::Programs, Need::SurvivesAgent];
const OUTLIVES: &[Need] = &[Need::Programs, Need::SurvivesAgent, Need::SurvivesKeeper];
const KEEPER: &[Need] = &[Need::Programs, Need::KillableKeeper];

pub(super) const CASES: &[Case] = &[
    Case { name: "a running task is adopted", needs: SURVIVES, run: adopted },
    Case { name: "an end while the agent was away is reported", needs: SURVIVES, run: ended_away },
    Case {
        name: "a lease ends without an agent",
        needs: &[Need::Programs, Need::SurvivesAgent, Need::FenceAtOnce],
        run: lease_away,
    },
    Case { name: "many running tasks are adopted", needs: SURVIVES, run: many_adopted },
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
    Case { name: "a task outlives a killed keeper", needs: OUTLIVES, run: outlives_keeper },
    Case { name: "output is whole over a killed keeper", needs: OUTLIVES, run: output_over_keeper },
    Case { name: "an end over a killed keeper is reported", needs: OUTLIVES, run: end_over_keeper },
    Case { name: "a lease holds over a killed keeper", needs: OUTLIVES, run: lease_over_keeper },
    Case {
        name: "a double launch over a killed keeper is refused",
        needs: OUTLIVES,
        run: double_over_keeper,
    },
];

fn pid_of(phase: &Phase) -> Result<u32, String> {
    match phase {
        Phase::Running { pid: Some(pid), .. } => Ok(*pid),
        other => Err(format!("it is {other:?}")),
    }
}

fn adopted(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("while [ ! -e go ]; do sleep 0.02; done; exit 5")?;
    // With its process, where that is one of this machine.
    let before = pid_of(&bench.running(attempt)?.phase).ok();
    bench.reopen();
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("pid", &pid_of(&listed.phase).ok(), &before)?;
    bench.running(attempt)?;
    let folder = bench.workdir(attempt)?;
    std::fs::write(folder.join("go"), "").map_err(|e| e.to_string())?;
    bench.expect_end(attempt, &Outcome::Exited(5))?;
    Ok(())
}

fn ended_away(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("while [ ! -e go ]; do sleep 0.02; done; echo done; exit 6");
    let (launch, mark) = bench.bearing_a_mark(launch);
    let attempt = bench.start(launch)?;
    bench.running(attempt)?;
    let folder = bench.workdir(attempt)?;
    bench.away(|_| {
        std::fs::write(folder.join("go"), "").map_err(|e| e.to_string())?;
        until_gone(&mark)
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

fn many_adopted(bench: &mut Bench<'_>) -> Result<(), String> {
    let many = bench.array_size().min(100);
    let launches: Vec<_> = (0..many).map(|_| bench.work(Span::from_millis(700))).collect();
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

/// A task that goes on until it finds a file.
fn waiting(bench: &mut Bench<'_>, then: &str) -> Result<(AttemptId, PathBuf), String> {
    let line = format!("echo before; while [ ! -e go ]; do sleep 0.02; done; {then}");
    let attempt = bench.start_line(&line)?;
    bench.until_written(attempt, "before\n")?;
    bench.running(attempt)?;
    Ok((attempt, bench.workdir(attempt)?.join("go")))
}

fn go(file: &std::path::Path) -> Result<(), String> {
    std::fs::write(file, "").map_err(|error| error.to_string())
}

fn outlives_keeper(bench: &mut Bench<'_>) -> Result<(), String> {
    let (attempt, file) = waiting(bench, "exit 5")?;
    let before = pid_of(&bench.running(attempt)?.phase)?;
    bench.kill_keeper()?;
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("pid", &pid_of(&listed.phase)?, &before)?;
    go(&file)?;
    bench.expect_end(attempt, &Outcome::Exited(5))?;
    Ok(())
}

fn output_over_keeper(bench: &mut Bench<'_>) -> Result<(), String> {
    // Binary, and without a line's end, so that nothing but the bytes themselves is kept.
    let then = "printf 'a\\000b\\377'; echo err >&2; seq 1 20000; printf end";
    let (attempt, file) = waiting(bench, then)?;
    // Some of it is written while nobody listens.
    bench.away(|bed| {
        let killed = bed.kill_keeper();
        go(&file).map(|()| killed)
    })?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    let chunks = bench.chunks(attempt, Stream::Stdout, 1 << 20)?;
    let data: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.data).collect();
    let mut expect = b"before\na\0b\xff".to_vec();
    (1..=20_000).for_each(|number| expect.extend(format!("{number}\n").bytes()));
    expect.extend(b"end");
    let differs = data.iter().zip(&expect).position(|(got, expect)| got != expect);
    same("first difference", &differs, &None)?;
    same("bytes", &data.len(), &expect.len())?;
    same("stderr", &bench.text(attempt, Stream::Stderr)?.as_str(), &"err\n")
}

fn end_over_keeper(bench: &mut Bench<'_>) -> Result<(), String> {
    let (attempt, file) = waiting(bench, "exit 6")?;
    let pid = pid_of(&bench.running(attempt)?.phase)?;
    let clock = crate::BootClock::of_this_machine().map_err(|e| e.to_string())?;
    bench.away(|bed| {
        bed.kill_keeper();
        go(&file)?;
        let until = clock.now().plus(Span::from_secs(30));
        while process_lives(pid) {
            if clock.now() > until {
                return Err("it does not end".to_owned());
            }
            std::thread::yield_now();
        }
        Ok(())
    })?;
    bench.expect_end(attempt, &Outcome::Exited(6))?;
    Ok(())
}

fn lease_over_keeper(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(300));
    let attempt = bench.start(launch)?;
    let pid = pid_of(&bench.running(attempt)?.phase)?;
    let shorter = bench.lease(Span::from_secs(2));
    bench.engine().extend(&[(attempt, shorter)]).map_err(|f| f.to_string())?;
    let clock = crate::BootClock::of_this_machine().map_err(|e| e.to_string())?;
    // Neither agent nor keeper is there.
    bench.away(|bed| {
        bed.kill_keeper();
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

fn double_over_keeper(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(800));
    let attempt = bench.start(launch.clone())?;
    bench.running(attempt)?;
    bench.kill_keeper()?;
    bench.engine().list().map_err(|f| f.to_string())?;
    same("answer", &bench.try_start(launch.clone()), &Err(StartFault::AlreadyLaunched(attempt)))?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    same("later", &bench.try_start(launch), &Err(StartFault::AlreadyLaunched(attempt)))
}
