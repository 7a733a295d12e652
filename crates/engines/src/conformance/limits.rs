//! Limits, usage, and telling why a task ended.

use dayan_units::{Bytes, MilliCpu, Span};

use super::bench::{holds, marked, same};
use super::{Bench, Case, Need};
use crate::{Outcome, Signal, Stream};

const PROGRAMS: &[Need] = &[Need::Programs];

pub(super) const CASES: &[Case] = &[
    Case { name: "a wall time limit ends a task", needs: &[], run: time_limit },
    Case {
        name: "out of memory is told apart",
        needs: &[Need::Programs, Need::OomToldApart],
        run: oom,
    },
    Case {
        name: "a child out of memory ends the task",
        needs: &[Need::Programs, Need::OomToldApart],
        run: oom_child,
    },
    Case {
        name: "who outlives its child out of memory has not done well",
        needs: &[Need::Programs, Need::OomToldApart],
        run: oom_outlived,
    },
    Case {
        name: "a heap beyond the limit ends as out of memory",
        needs: &[Need::Programs, Need::MemoryLimit],
        run: oom_heap,
    },
    Case {
        name: "memory that is asked for and not filled is not refused",
        needs: &[Need::Programs, Need::MemoryLimit],
        run: asked_not_filled,
    },
    Case { name: "a failure is not called out of memory", needs: PROGRAMS, run: not_oom },
    Case { name: "open files are limited", needs: PROGRAMS, run: open_files },
    Case {
        name: "a fork bomb is contained",
        needs: &[Need::Programs, Need::PidsLimit],
        run: fork_bomb,
    },
    Case {
        name: "a processor limit holds",
        needs: &[Need::Programs, Need::CpuLimit, Need::Usage],
        run: cpu_limit,
    },
    Case { name: "a busy loop's usage is sane", needs: &[Need::Programs, Need::Usage], run: busy },
    Case { name: "memory's peak is sane", needs: &[Need::Programs, Need::Usage], run: memory_peak },
    Case { name: "usage grows while it runs", needs: PROGRAMS, run: usage_grows },
    Case { name: "stopping asks first", needs: PROGRAMS, run: stop_asks },
    Case { name: "stopping kills after the grace", needs: PROGRAMS, run: stop_kills },
    Case {
        name: "stopping uses the signal asked for",
        needs: &[Need::Programs, Need::AnySignal],
        run: stop_signal,
    },
    Case {
        name: "a signal reaches who catches it, and nobody else",
        needs: &[Need::Programs, Need::Signals],
        run: signal_asks,
    },
    Case { name: "a stopped process is stopped for good", needs: PROGRAMS, run: stop_stopped },
    Case { name: "stopped before it runs", needs: &[], run: stop_before },
    Case { name: "stopping what has ended changes nothing", needs: &[], run: stop_after },
    Case { name: "orphans end with their task", needs: PROGRAMS, run: orphans },
    Case { name: "an end is reported within moments", needs: &[], run: latency },
];

fn time_limit(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.work(Span::from_secs(60));
    launch.limits.wall = Span::from_millis(300);
    let attempt = bench.start(launch)?;
    let usage = bench.expect_end(attempt, &Outcome::TimeLimit)?;
    holds(
        || format!("it ran for {}", usage.wall),
        (usage.wall >= Span::from_millis(300) && usage.wall < Span::from_secs(20)).into(),
    )
}

fn oom(bench: &mut Bench<'_>) -> Result<(), String> {
    // `tail` keeps all of a line, and /dev/zero never ends one.
    let mut launch = bench.argv(&["tail", "/dev/zero"]);
    launch.limits.memory = Bytes(48 << 20);
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::OutOfMemory)?;
    Ok(())
}

fn oom_child(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("tail /dev/zero; sleep 60");
    launch.limits.memory = Bytes(48 << 20);
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::OutOfMemory)?;
    Ok(())
}

/// What lacks a part may say that all is well, as a shell does that nobody has told to ask.
fn oom_outlived(bench: &mut Bench<'_>) -> Result<(), String> {
    for line in ["tail /dev/zero; exit 0", "tail /dev/zero; exit 3"] {
        let mut launch = bench.shell(line);
        launch.limits.memory = Bytes(48 << 20);
        let attempt = bench.start(launch)?;
        bench.expect_end(attempt, &Outcome::OutOfMemory)?;
    }
    Ok(())
}

/// However memory is held: a program that fills it is ended as what it is, and not left to fail in its own
/// way. `dd` fills a block and then waits for a reader.
fn oom_heap(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("dd if=/dev/zero bs=200000000 count=1 2>/dev/null | sleep 60");
    launch.limits.memory = Bytes(48 << 20);
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::OutOfMemory)?;
    Ok(())
}

/// A block of which a few bytes are ever written: what threads' stacks and allocators' arenas look like.
fn asked_not_filled(bench: &mut Bench<'_>) -> Result<(), String> {
    let line = "printf x | dd bs=2000000000 count=1 2>/dev/null";
    let mut launch = bench.shell(line);
    launch.limits.memory = Bytes(48 << 20);
    let out = bench.output_of(launch)?;
    same("output", &out.as_str(), &"x")
}

fn not_oom(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("kill -9 $$")?;
    let expect = bench.signalled(9);
    bench.expect_end(attempt, &expect)?;
    let attempt = bench.start_line("exit 137")?;
    bench.expect_end(attempt, &Outcome::Exited(137))?;
    Ok(())
}

fn open_files(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("ulimit -n; ulimit -Hn; ulimit -c");
    launch.limits.open_files = 100;
    same("limits", &bench.output_of(launch)?.as_str(), &"100\n100\n0\n")
}

fn fork_bomb(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("f() { sleep 60 & f; }; f");
    launch.limits.pids = 30;
    launch.limits.wall = Span::from_secs(2);
    let attempt = bench.start(launch)?;
    // It fails to fork, is killed for it, or is stopped by the clock: it ends, that is the point.
    let (outcome, _) = bench.end(attempt)?;
    holds(|| "it succeeded".to_owned(), (outcome != Outcome::Exited(0)).into())?;
    let attempt = bench.start_line("exit 6")?;
    bench.expect_end(attempt, &Outcome::Exited(6))?;
    Ok(())
}

fn cpu_limit(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("(while :; do :; done) & while :; do :; done");
    launch.limits.cpu = MilliCpu(400);
    launch.limits.wall = Span::from_secs(1);
    let attempt = bench.start(launch)?;
    let usage = bench.expect_end(attempt, &Outcome::TimeLimit)?;
    // 0.4 of a core, and at most one period of 100 ms on each of two cores over it.
    let most = usage.wall.secs_f64() * 0.4 + 0.2;
    holds(
        || format!("{} of processor in {}", usage.cpu(), usage.wall),
        (usage.cpu().secs_f64() <= most).into(),
    )
}

/// Burns a known amount of processor time, whatever the machine's speed and load: the shell's own
/// `times` says how much it was.
const BUSY: &str = "while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; \
    case $(cut -d' ' -f14 /proc/$$/stat) in [0-9]|[12][0-9]) ;; *) break;; esac; done";

fn busy(bench: &mut Bench<'_>) -> Result<(), String> {
    // Until its own user time is 0.3 s.
    let attempt = bench.start_line(BUSY)?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(0))?;
    let cpu = usage.cpu();
    holds(
        || format!("0.3 s of work were {cpu}"),
        (cpu >= Span::from_millis(250) && cpu <= Span::from_millis(600)).into(),
    )?;
    holds(
        || format!("{cpu} of processor in {} of time", usage.wall),
        (usage.wall.times(2) >= cpu).into(),
    )
}

fn memory_peak(bench: &mut Bench<'_>) -> Result<(), String> {
    // `dd` holds one block of 40 MiB.
    let launch = bench.shell("dd if=/dev/zero of=/dev/null bs=41943040 count=3 2>/dev/null");
    let attempt = bench.start(launch)?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(0))?;
    let peak = usage.memory_peak.0 >> 20;
    holds(|| format!("40 MiB were {peak} MiB"), (36..120).contains(&peak).into())?;
    let attempt = bench.start_line("/bin/true")?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(0))?;
    let peak = usage.memory_peak.0 >> 20;
    holds(|| format!("the next one's nothing was {peak} MiB"), (peak < 20).into())
}

fn usage_grows(bench: &mut Bench<'_>) -> Result<(), String> {
    if !bench.counts_use() {
        return Err(super::CANNOT.to_owned());
    }
    let attempt = bench.start_line("while :; do :; done")?;
    bench.running(attempt)?;
    let mut before = bench.listed(attempt)?.ok_or("not listed")?.usage;
    for _ in 0..3 {
        let until = bench.now().plus(Span::from_secs(30));
        loop {
            let usage = bench.listed(attempt)?.ok_or("not listed")?.usage;
            let shrank = usage.cpu_user < before.cpu_user
                || usage.cpu_system < before.cpu_system
                || usage.wall < before.wall;
            holds(|| format!("{usage:?} after {before:?}"), (!shrank).into())?;
            if usage.cpu() > before.cpu() && usage.wall > before.wall {
                before = usage;
                break;
            }
            if bench.now() > until {
                return Err(format!("usage stands still at {usage:?}"));
            }
            bench.observe(Span::from_millis(20))?;
        }
    }
    bench.engine().stop(attempt, Span::ZERO, Signal::TERM).map_err(|f| f.to_string())?;
    let usage = bench.expect_end(attempt, &Outcome::Stopped)?;
    holds(
        || format!("at the end {usage:?} after {before:?}"),
        (usage.cpu() >= before.cpu()
            && usage.cpu_user >= before.cpu_user
            && usage.cpu_system >= before.cpu_system)
            .into(),
    )
}

fn stop_asks(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench
        .start_line("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.02; done")?;
    bench.until_written(attempt, "ready")?;
    bench.engine().stop(attempt, Span::from_secs(60), Signal::TERM).map_err(|f| f.to_string())?;
    bench.expect_end(attempt, &Outcome::Stopped)?;
    same("stdout", &bench.text(attempt, Stream::Stdout)?.as_str(), &"ready\nasked\n")
}

fn stop_kills(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("trap '' TERM; echo ready; while :; do sleep 0.02; done")?;
    bench.until_written(attempt, "ready")?;
    let before = bench.now();
    let grace = Span::from_millis(200);
    bench.engine().stop(attempt, grace, Signal::TERM).map_err(|f| f.to_string())?;
    bench.expect_end(attempt, &Outcome::Stopped)?;
    let took = bench.now().since(before);
    holds(|| format!("it took {took}"), (took >= grace && took < Span::from_secs(20)).into())
}

fn stop_signal(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line(
        "trap 'echo checkpoint; exit 0' USR1; echo ready; while :; do sleep 0.02; done",
    )?;
    bench.until_written(attempt, "ready")?;
    bench.engine().stop(attempt, Span::from_secs(60), Signal::USR1).map_err(|f| f.to_string())?;
    bench.expect_end(attempt, &Outcome::Stopped)?;
    same("stdout", &bench.text(attempt, Stream::Stdout)?.as_str(), &"ready\ncheckpoint\n")
}

fn signal_asks(bench: &mut Bench<'_>) -> Result<(), String> {
    // The outer shell and the sleepers do not catch it, and would die of it.
    let attempt = bench.start_line(
        "sh -c 'trap \"echo saved\" USR1; echo ready; while [ ! -e go ]; do sleep 0.02; done'; \
         echo after $?",
    )?;
    bench.until_written(attempt, "ready")?;
    let send = |bench: &mut Bench<'_>, signal| {
        bench.engine().signal(attempt, signal).map_err(|fault| fault.to_string())
    };
    send(bench, Signal::USR1)?;
    bench.until_written(attempt, "ready\nsaved\n")?;
    // Nobody catches this one; the next one is the same as the first.
    send(bench, Signal::HUP)?;
    send(bench, Signal::USR1)?;
    bench.until_written(attempt, "ready\nsaved\nsaved\n")?;
    bench.engine().stop(attempt, Span::ZERO, Signal::TERM).map_err(|f| f.to_string())?;
    bench.expect_end(attempt, &Outcome::Stopped)?;
    // What has ended, or was never there, is passed over.
    send(bench, Signal::USR1)?;
    let never = bench.shell("true").attempt;
    bench.engine().signal(never, Signal::USR1).map_err(|fault| fault.to_string())
}

fn stop_stopped(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("echo ready; kill -STOP $$")?;
    bench.until_written(attempt, "ready")?;
    bench.engine().stop(attempt, Span::from_secs(60), Signal::TERM).map_err(|f| f.to_string())?;
    // If the stop came before the STOP, the process stops itself with TERM already taken; both
    // ways it ends long before the grace.
    bench.expect_end(attempt, &Outcome::Stopped)?;
    Ok(())
}

fn stop_before(bench: &mut Bench<'_>) -> Result<(), String> {
    // So many that the last ones still queue when they are stopped.
    let launches: Vec<_> = (0..60).map(|_| bench.work(Span::from_secs(60))).collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in bench.engine().start(launches) {
        answer.map_err(|f| f.to_string())?;
    }
    for attempt in attempts.iter().rev() {
        bench.engine().stop(*attempt, Span::ZERO, Signal::TERM).map_err(|f| f.to_string())?;
    }
    for attempt in attempts {
        bench.expect_end(attempt, &Outcome::Stopped)?;
    }
    Ok(())
}

fn stop_after(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(10));
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    bench.engine().stop(attempt, Span::ZERO, Signal::TERM).map_err(|f| f.to_string())?;
    let never = bench.shell("true").attempt;
    bench.engine().stop(never, Span::ZERO, Signal::TERM).map_err(|f| f.to_string())?;
    let listed = bench.listed(attempt)?.ok_or("not listed")?;
    same("outcome", &listed.end().map(|end| end.outcome.clone()), &Some(Outcome::Exited(0)))?;
    same("never launched", &bench.listed(never)?, &None)
}

fn orphans(bench: &mut Bench<'_>) -> Result<(), String> {
    // One in the task's own session, one in another, one that is a daemon twice removed.
    let line = "sleep 300 & setsid sleep 300 & \
                (setsid sh -c 'sleep 300 & echo $! >> pids' &) ; \
                while [ ! -e go ]; do sleep 0.01; done; exit 8";
    let launch = bench.shell(line);
    let (launch, mark) = bench.bearing_a_mark(launch);
    let attempt = bench.start(launch)?;
    let folder = bench.workdir(attempt)?;
    let until = bench.now().plus(Span::from_secs(30));
    // The three sleepers and the shell.
    while marked(&mark).len() < 4 || !folder.join("pids").exists() {
        if bench.now() > until {
            return Err(format!("not all of it runs: {:?}", marked(&mark)));
        }
        bench.observe(Span::from_millis(5))?;
    }
    std::fs::write(folder.join("go"), "").map_err(|e| e.to_string())?;
    bench.expect_end(attempt, &Outcome::Exited(8))?;
    same("alive after the end", &marked(&mark), &vec![])
}

fn latency(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(200));
    let attempt = bench.start(launch)?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(0))?;
    let seen = bench.listed(attempt)?.ok_or("not listed")?;
    let at = seen.end().ok_or("no end")?.at;
    let lag = crate::wall_now().since(at);
    // Far above the milliseconds it takes, far below any polling. A pod's end is dated to the second
    // and comes by way of its node and the API server.
    let in_pods = bench.info().kind == crate::EngineKind::Kubernetes;
    let most = if in_pods { Span::from_secs(10) } else { Span::from_secs(2) };
    holds(|| format!("seen {lag} after the end ({} of wall)", usage.wall), (lag < most).into())
}
