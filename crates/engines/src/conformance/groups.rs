//! Many at once: arrays, gangs, and what is left when a node is lost.

use dayan_units::Span;

use super::bench::{holds, same};
use super::{Bench, Case, Need};
use crate::{GangSeat, Outcome, Phase, Stream};

const PROGRAMS: &[Need] = &[Need::Programs];

pub(super) const CASES: &[Case] = &[
    Case { name: "200 tasks at once", needs: &[], run: two_hundred },
    Case { name: "a large array ends element by element", needs: PROGRAMS, run: array },
    Case { name: "a gang of four runs at once", needs: PROGRAMS, run: gang },
    Case { name: "one of many is stopped and no other", needs: PROGRAMS, run: one_of_many },
    Case { name: "a large array is stopped", needs: &[], run: array_stopped },
    Case { name: "a lost node's task ends by its lease", needs: &[], run: lost_node },
];

/// How many elements are launched in one call, as an agent does with what came in one sync.
const BATCH: usize = 100;

fn two_hundred(bench: &mut Bench<'_>) -> Result<(), String> {
    let many = bench.array_size().min(200);
    let launches: Vec<_> = (0..many).map(|_| bench.work(Span::from_millis(400))).collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    let answers = bench.engine().start(launches);
    same("answers", &answers, &vec![Ok(()); attempts.len()])?;
    for attempt in attempts {
        bench.expect_end(attempt, &Outcome::Exited(0))?;
    }
    Ok(())
}

fn array(bench: &mut Bench<'_>) -> Result<(), String> {
    let size = bench.array_size();
    let launches: Vec<_> = (0..size)
        .map(|number| {
            let mut launch = bench.shell("exit $((DAYAN_ARRAY_FIRST % 3))");
            launch.env.insert("DAYAN_ARRAY_FIRST".to_owned(), number.to_string());
            launch
        })
        .collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    for batch in launches.chunks(BATCH) {
        let answers = bench.engine().start(batch.to_vec());
        same("answers", &answers, &vec![Ok(()); batch.len()])?;
    }
    for (number, attempt) in (0i32..).zip(&attempts) {
        bench.expect_end_within(*attempt, &Outcome::Exited(number % 3), PATIENT)?;
    }
    bench.engine().forget(&attempts).map_err(|fault| fault.to_string())?;
    let left = bench.engine().list().map_err(|fault| fault.to_string())?;
    let left = left.iter().filter(|seen| attempts.contains(&seen.attempt)).count();
    same("known after they were forgotten", &left, &0)
}

/// A large array takes an engine its time; each of its elements may take this long.
const PATIENT: Span = Span::from_secs(120);

fn gang(bench: &mut Bench<'_>) -> Result<(), String> {
    let line =
        "echo $DAYAN_NODE_RANK; while [ ! -e go ]; do sleep 0.02; done; exit $DAYAN_NODE_RANK";
    let launches: Vec<_> = (0..4)
        .map(|rank| {
            let mut launch = bench.shell(line);
            launch.env.insert("DAYAN_NODE_RANK".to_owned(), rank.to_string());
            launch.gang = Some(GangSeat { launch: 1, nodes: 4, members: 4, rank });
            launch.node = format!("node-{}", rank + 1);
            launch
        })
        .collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    let answers = bench.engine().start(launches);
    same("answers", &answers, &vec![Ok(()); 4])?;
    for attempt in &attempts {
        bench.until(*attempt, "it runs", |seen| matches!(seen.phase, Phase::Running { .. }))?;
    }
    // All of them run now, for none ends by itself.
    for (rank, attempt) in attempts.iter().enumerate() {
        bench.until_written(*attempt, &format!("{rank}\n"))?;
    }
    for attempt in &attempts {
        let folder = bench.workdir(*attempt)?;
        std::fs::write(folder.join("go"), "").map_err(|error| error.to_string())?;
    }
    for (rank, attempt) in (0i32..).zip(attempts) {
        bench.expect_end(attempt, &Outcome::Exited(rank))?;
        same("rank", &bench.text(attempt, Stream::Stdout)?, &format!("{rank}\n"))?;
    }
    Ok(())
}

fn one_of_many(bench: &mut Bench<'_>) -> Result<(), String> {
    let line = "while [ ! -e go ]; do sleep 0.02; done";
    let launches: Vec<_> = (0..4).map(|_| bench.shell(line)).collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in bench.engine().start(launches) {
        answer.map_err(|fault| fault.to_string())?;
    }
    for attempt in &attempts {
        bench.running(*attempt)?;
    }
    let signal = crate::Signal::TERM;
    bench.engine().stop(attempts[2], Span::ZERO, signal).map_err(|fault| fault.to_string())?;
    bench.expect_end(attempts[2], &Outcome::Stopped)?;
    for attempt in attempts.iter().filter(|attempt| **attempt != attempts[2]) {
        let seen = bench.listed(*attempt)?.ok_or("not listed")?;
        holds(|| format!("another one is {:?}", seen.phase), seen.end().is_none().into())?;
        let folder = bench.workdir(*attempt)?;
        std::fs::write(folder.join("go"), "").map_err(|error| error.to_string())?;
        bench.expect_end(*attempt, &Outcome::Exited(0))?;
    }
    Ok(())
}

fn array_stopped(bench: &mut Bench<'_>) -> Result<(), String> {
    let size = bench.array_size().min(100);
    let launches: Vec<_> = (0..size).map(|_| bench.work(Span::from_secs(300))).collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in bench.engine().start(launches) {
        answer.map_err(|fault| fault.to_string())?;
    }
    // Some run, some wait to be started: all of them end.
    for attempt in &attempts {
        let signal = crate::Signal::TERM;
        bench.engine().stop(*attempt, Span::ZERO, signal).map_err(|fault| fault.to_string())?;
    }
    for attempt in attempts {
        bench.expect_end_within(attempt, &Outcome::Stopped, PATIENT)?;
    }
    Ok(())
}

fn lost_node(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(300));
    let node = launch.node.clone();
    let attempt = bench.start(launch)?;
    bench.until(attempt, "it runs", |seen| matches!(seen.phase, Phase::Running { .. }))?;
    if !bench.lose_node(&node) {
        return Err(super::CANNOT.to_owned());
    }
    let lease = bench.lease(Span::from_secs(2));
    bench.engine().extend(&[(attempt, lease)]).map_err(|fault| fault.to_string())?;
    let outcome = bench.end_within(attempt, PATIENT)?;
    // It may still run over there until its lease is over, and no longer.
    holds(|| "its end came before its lease's".to_owned(), (bench.now() >= lease.at).into())?;
    let right = matches!(outcome, Outcome::LeaseEnded | Outcome::KeeperDied);
    holds(|| format!("it ended with {outcome:?}"), right.into())
}
