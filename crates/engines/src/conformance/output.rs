//! Logs, and what is left when an attempt is forgotten.

use dayan_units::{Bytes, Span};

use super::bench::{holds, same};
use super::{Bench, Case, Need};
use crate::{LogChunk, Outcome, StartFault, Stream};

const PROGRAMS: &[Need] = &[Need::Programs];

pub(super) const CASES: &[Case] = &[
    Case {
        name: "output is kept apart by stream",
        needs: &[Need::Programs, Need::Streams],
        run: streams,
    },
    Case { name: "binary output is kept exactly", needs: PROGRAMS, run: binary },
    Case { name: "huge output keeps head and tail", needs: PROGRAMS, run: huge },
    Case { name: "output can be followed", needs: PROGRAMS, run: follow },
    Case { name: "of an unknown attempt there is no output", needs: &[], run: unknown },
    Case { name: "standard input is empty", needs: PROGRAMS, run: stdin },
    Case { name: "forgetting removes what was kept", needs: PROGRAMS, run: forget },
    Case { name: "a running task is not forgotten", needs: &[], run: forget_running },
    Case { name: "a forgotten attempt is not launched again", needs: &[], run: forgotten_launch },
];

fn streams(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("echo out; echo err >&2; echo out2");
    let attempt = launch.attempt;
    same("stdout", &bench.output_of(launch)?.as_str(), &"out\nout2\n")?;
    same("stderr", &bench.text(attempt, Stream::Stderr)?.as_str(), &"err\n")
}

fn binary(bench: &mut Bench<'_>) -> Result<(), String> {
    // All 256 bytes, by octal escapes.
    let escapes = (0..256).map(|byte| format!("\\{byte:03o}")).collect::<Vec<_>>().concat();
    let launch = bench.argv(&["printf", &escapes]);
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    let chunks = bench.chunks(attempt, Stream::Stdout, 1 << 20)?;
    let data: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.data).collect();
    same("bytes", &data, &(0..=255).collect::<Vec<u8>>())
}

fn huge(bench: &mut Bench<'_>) -> Result<(), String> {
    const LIMIT: u64 = 256 << 10;
    // Lines of ten bytes whose text is their own number, counted from this on: 3.2 MB.
    const FIRST: u64 = 100_000_000;
    const LINES: u64 = 320_000;
    let mut launch = bench.shell(&format!("seq {FIRST} {}", FIRST + LINES - 1));
    launch.limits.log = Bytes(LIMIT);
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    let chunks = bench.chunks(attempt, Stream::Stdout, 64 << 10)?;
    let kept: u64 = chunks.iter().map(|chunk| chunk.data.len() as u64).sum();
    holds(
        || format!("kept {kept} of a limit of {LIMIT}"),
        (LIMIT / 2..=LIMIT).contains(&kept).into(),
    )?;
    same("end of the last chunk", &chunks.last().map(LogChunk::next), &Some(LINES * 10))?;
    same("gaps", &chunks.iter().filter(|chunk| chunk.skipped > 0).count(), &1)?;
    for chunk in &chunks {
        let right = chunk.data.iter().zip(chunk.offset..).all(|(byte, at)| {
            format!("{}\n", FIRST + at / 10).as_bytes()[(at % 10) as usize] == *byte
        });
        holds(|| format!("wrong bytes after {}", chunk.offset), right.into())?;
    }
    Ok(())
}

fn follow(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two")?;
    bench.until_written(attempt, "one\n")?;
    let chunk = bench.engine().logs(attempt, Stream::Stdout, 0, 2).map_err(|f| f.to_string())?;
    same("a piece", &chunk, &LogChunk { offset: 0, data: b"on".to_vec(), skipped: 0 })?;
    let folder = bench.workdir(attempt)?;
    std::fs::write(folder.join("go"), "").map_err(|e| e.to_string())?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    let chunk = bench.engine().logs(attempt, Stream::Stdout, 4, 100).map_err(|f| f.to_string())?;
    same("the rest", &chunk, &LogChunk { offset: 4, data: b"two\n".to_vec(), skipped: 0 })
}

fn unknown(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.shell("true").attempt;
    let chunk = bench.engine().logs(attempt, Stream::Stderr, 3, 10).map_err(|f| f.to_string())?;
    same("chunk", &chunk, &LogChunk { offset: 3, ..LogChunk::default() })
}

fn stdin(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("cat; echo end");
    same("stdout", &bench.output_of(launch)?.as_str(), &"end\n")
}

fn forget(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("mkdir -p a/b; echo x > a/b/c; echo said");
    let attempt = launch.attempt;
    bench.output_of(launch)?;
    let folder = bench.workdir(attempt)?;
    bench.engine().forget(&[attempt]).map_err(|f| f.to_string())?;
    bench.engine().forget(&[attempt]).map_err(|f| format!("a second time: {f}"))?;
    same("listed", &bench.listed(attempt)?, &None)?;
    let until = bench.now().plus(Span::from_secs(30));
    while folder.exists() || !bench.text(attempt, Stream::Stdout)?.is_empty() {
        if bench.now() > until {
            return Err("its folder or its output is still there".to_owned());
        }
        bench.observe(Span::from_millis(5))?;
    }
    Ok(())
}

fn forget_running(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(300));
    let attempt = bench.start(launch)?;
    bench.engine().forget(&[attempt]).map_err(|f| f.to_string())?;
    holds(|| "it is not listed".to_owned(), bench.listed(attempt)?.is_some().into())?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    Ok(())
}

fn forgotten_launch(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(10));
    let attempt = bench.start(launch.clone())?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    bench.engine().forget(&[attempt]).map_err(|f| f.to_string())?;
    same("answer", &bench.try_start(launch), &Err(StartFault::AlreadyLaunched(attempt)))
}
