//! Launches in steps, and parts of a task's folder seen elsewhere.

use std::collections::BTreeMap;

use dayan_units::{Bytes, Span};

use super::bench::{holds, same};
use super::{Bench, Case, Need};
use crate::{Image, Launch, Mount, Outcome, Phase, Pull, Signal, Step, StepRecord, Stream};

const IMAGES: &[Need] = &[Need::Programs, Need::Images];
const FOLDERS: &[Need] = &[Need::Programs, Need::Images, Need::Staging];

pub(super) const CASES: &[Case] = &[
    Case { name: "steps run one after the other", needs: IMAGES, run: in_order },
    Case { name: "a step that fails is the last", needs: IMAGES, run: failing },
    Case { name: "a step's error may be ignored", needs: IMAGES, run: ignored },
    Case { name: "a single step is a step", needs: IMAGES, run: single },
    Case { name: "a step has its own environment and place", needs: IMAGES, run: own },
    Case { name: "files take the place of a step's streams", needs: FOLDERS, run: files },
    Case { name: "parts of the folder are seen elsewhere", needs: FOLDERS, run: parts },
    Case { name: "a time limit is all steps' together", needs: IMAGES, run: limit },
    Case { name: "a step is stopped and no other begins", needs: IMAGES, run: stopped },
    Case { name: "a step whose image is not there is said", needs: IMAGES, run: no_image },
    Case {
        name: "a first image that is not there starts nothing",
        needs: IMAGES,
        run: no_first_image,
    },
    Case {
        name: "a later step's missing program is its own",
        needs: IMAGES,
        run: no_later_program,
    },
    Case {
        name: "out of memory is no error to ignore",
        needs: &[Need::Programs, Need::Images, Need::OomToldApart],
        run: ignored_oom,
    },
    Case {
        name: "steps go on while nobody looks",
        needs: &[Need::Programs, Need::Images, Need::SurvivesAgent, Need::Staging],
        run: away,
    },
    Case {
        name: "a step finds nothing in /tmp of another's",
        needs: &[Need::Programs, Need::Images, Need::OwnContainers],
        run: tmp,
    },
];

/// A step that runs a line, in the image of the bed.
fn step(launch: &Launch, line: &str) -> Step {
    Step {
        image: launch.image.clone().unwrap_or_default(),
        argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        ..Step::default()
    }
}

/// A launch of these lines, one step each.
fn launch(bench: &mut Bench<'_>, lines: &[&str]) -> Launch {
    let launch = bench.shell("echo never this; exit 99");
    let steps = lines.iter().map(|line| step(&launch, line)).collect();
    Launch { steps, ..launch }
}

/// How the steps ended. Who took over from somebody may have written a line again: the later one
/// counts.
fn records(bench: &mut Bench<'_>, launch: &Launch) -> Result<Vec<StepRecord>, String> {
    let text = bench.text(launch.attempt, Stream::Steps)?;
    let mut last = BTreeMap::new();
    for line in text.lines() {
        let read = serde_json::from_str(line);
        let record: StepRecord = read.map_err(|error| format!("`{line}`: {error}"))?;
        last.insert(record.step, record);
    }
    Ok(last.into_values().collect())
}

/// The steps that left a record, with their statuses.
fn statuses(bench: &mut Bench<'_>, launch: &Launch) -> Result<Vec<(u32, i32)>, String> {
    Ok(records(bench, launch)?.iter().map(|one| (one.step, one.exit_code)).collect())
}

/// What a step wrote to its standard output.
fn said(bench: &mut Bench<'_>, launch: &Launch, record: &StepRecord) -> Result<String, String> {
    let all = bench.text(launch.attempt, Stream::Stdout)?;
    let [begin, end] = record.stdout.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
    let part = all.get(begin..end);
    part.map(str::to_owned).ok_or_else(|| format!("{begin} to {end} is no part of `{all}`"))
}

fn ends(bench: &mut Bench<'_>, launch: &Launch, expect: &Outcome) -> Result<(), String> {
    bench.start(launch.clone())?;
    bench.expect_end(launch.attempt, expect).map(|_| ())
}

fn in_order(bench: &mut Bench<'_>) -> Result<(), String> {
    let lines = ["echo one; echo 1 >> order", "cat order; echo 2 >> order", "cat order"];
    let mut launch = launch(bench, &lines);
    for step in &mut launch.steps {
        step.argv[2] = format!("cd \"$HOME\"; {}", step.argv[2]);
    }
    ends(bench, &launch, &Outcome::Exited(0))?;
    let records = records(bench, &launch)?;
    let told: Vec<(u32, i32)> = records.iter().map(|one| (one.step, one.exit_code)).collect();
    same("how they ended", &told, &vec![(0, 0), (1, 0), (2, 0)])?;
    for (record, next) in records.iter().zip(records.iter().skip(1)) {
        let began = next.started_at.ok_or("it is not said when one began")?;
        let ended = record.ended_at;
        holds(|| format!("one began at {began}, before {ended}"), (ended <= began).into())?;
    }
    for (record, expect) in records.iter().zip(["one\n", "1\n", "1\n2\n"]) {
        same("what it wrote", &said(bench, &launch, record)?.as_str(), &expect)?;
    }
    Ok(())
}

fn failing(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = launch(bench, &["exit 0", "echo here; exit 5", "echo never"]);
    ends(bench, &launch, &Outcome::Exited(5))?;
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 0), (1, 5)])?;
    same("output", &bench.text(launch.attempt, Stream::Stdout)?.as_str(), &"here\n")
}

fn ignored(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["echo a; exit 7", "echo b", "echo c; exit 3"]);
    launch.steps[0].ignore_error = true;
    launch.steps[2].ignore_error = true;
    ends(bench, &launch, &Outcome::Exited(0))?;
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 7), (1, 0), (2, 3)])?;
    same("output", &bench.text(launch.attempt, Stream::Stdout)?.as_str(), &"a\nb\nc\n")
}

fn single(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = launch(bench, &["echo alone; exit 4"]);
    ends(bench, &launch, &Outcome::Exited(4))?;
    let records = records(bench, &launch)?;
    let [record] = &records[..] else { return Err(format!("it has {records:?}")) };
    same("how it ended", &(record.step, record.exit_code), &(0, 4))?;
    same("output", &said(bench, &launch, record)?.as_str(), &"alone\n")
}

fn own(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["echo $A $B; pwd", "echo $A $B"]);
    launch.env = [("A", "all's"), ("B", "all's")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    launch.steps[0].env.insert("B".to_owned(), "it's \"own\"".to_owned());
    launch.steps[0].workdir = Some("/tmp".to_owned());
    ends(bench, &launch, &Outcome::Exited(0))?;
    let expect = "all's it's \"own\"\n/tmp\nall's all's\n";
    same("output", &bench.text(launch.attempt, Stream::Stdout)?.as_str(), &expect)
}

fn mount(from: &str, at: &str) -> Mount {
    Mount { from: from.into(), at: at.to_owned() }
}

fn files(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["printf told > /data/in", "", "true"]);
    launch.mounts = vec![mount("m/0", "/data"), mount("m/1", "/results")];
    let filter = &mut launch.steps[1];
    "tr a-z A-Z; echo oops >&2; exit 2".clone_into(&mut filter.argv[2]);
    filter.stdin = Some("/data/in".to_owned());
    filter.stdout = Some("/results/deep/it's".to_owned());
    filter.stderr = Some("/results/errors".to_owned());
    filter.ignore_error = true;
    ends(bench, &launch, &Outcome::Exited(0))?;
    let folder = bench.workdir(launch.attempt)?;
    for (name, expect) in [("m/1/deep/it's", "TOLD"), ("m/1/errors", "oops\n")] {
        let text = std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
        same(name, &text.as_str(), &expect)?;
    }
    // The beginning of a file is where everything else is, too.
    let all = records(bench, &launch)?;
    let record = all.get(1).ok_or_else(|| format!("{all:?}"))?;
    same("status", &record.exit_code, &2)?;
    let said = said(bench, &launch, record)?;
    holds(|| format!("its log says `{said}`"), said.contains("TOLD").into())
}

fn parts(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["cat /in/given; echo x > /data/made", "cat /data/deep/made"]);
    launch.mounts = vec![mount("in", "/in"), mount("m", "/data"), mount("other", "/data/deep")];
    launch.steps[0].argv[2].push_str("; echo deep > /data/deep/made");
    let folder = bench.workdir(launch.attempt)?;
    std::fs::create_dir_all(folder.join("in")).map_err(|error| error.to_string())?;
    std::fs::write(folder.join("in/given"), "given\n").map_err(|error| error.to_string())?;
    ends(bench, &launch, &Outcome::Exited(0))?;
    let text = bench.text(launch.attempt, Stream::Stdout)?;
    same("output", &text.as_str(), &"given\ndeep\n")?;
    for (name, expect) in [("m/made", "x\n"), ("other/made", "deep\n")] {
        let text = std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
        same(name, &text.as_str(), &expect)?;
    }
    // Of a launch without steps too.
    let mut launch = bench.shell("echo y > /data/made");
    launch.mounts = vec![mount("m", "/data")];
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    let made = bench.workdir(attempt)?.join("m/made");
    let text = std::fs::read_to_string(made).map_err(|error| error.to_string())?;
    same("written", &text.as_str(), &"y\n")
}

fn limit(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["sleep 1", "sleep 600", "echo never"]);
    // Enough for the first to end on a machine that does much else.
    launch.limits.wall = Span::from_secs(8);
    ends(bench, &launch, &Outcome::TimeLimit)?;
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 0), (1, 124)])
}

fn stopped(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["echo first; sleep 600", "echo never"]);
    launch.steps[0].ignore_error = true;
    let attempt = bench.start(launch.clone())?;
    bench.until_written(attempt, "first\n")?;
    let stopped = bench.engine().stop(attempt, Span::from_secs(5), Signal::TERM);
    stopped.map_err(|fault| fault.to_string())?;
    bench.expect_end(attempt, &Outcome::Stopped)?;
    same("output", &bench.text(attempt, Stream::Stdout)?.as_str(), &"first\n")?;
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 143)])
}

fn no_image(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["exit 0", "exit 0"]);
    let name = "127.0.0.1:9/no/such:1".to_owned();
    launch.steps[1].image = Image { name, pull: Pull::Never, ..Image::default() };
    let attempt = bench.start(launch.clone())?;
    match bench.end(attempt)? {
        // Found out before anything ran.
        (Outcome::StartFailed(why), _) if !in_pods(bench) => {
            let words = why.to_string();
            holds(|| format!("it says `{words}`"), words.contains("never").into())
        }
        // A node finds it out when its turn comes. What has run by then has run.
        (Outcome::Exited(125), usage) if in_pods(bench) => {
            holds(|| "it took no time".to_owned(), (usage.wall > Span::ZERO).into())?;
            let records = records(bench, &launch)?;
            let told: Vec<_> = records.iter().map(|one| (one.step, one.exit_code)).collect();
            same("how they ended", &told, &vec![(0, 0), (1, 125)])?;
            let errors = bench.text(attempt, Stream::Stderr)?;
            let [begin, end] = records[1].stderr.map(|at| usize::try_from(at).unwrap_or(0));
            let words = errors.get(begin..end).unwrap_or_default();
            holds(|| format!("`{errors}` says `{words}`"), words.contains("never").into())
        }
        (other, _) => Err(format!("ended with {other:?}")),
    }
}

/// Of an attempt of which nothing has run, it is the start that failed.
fn no_first_image(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["exit 0", "exit 0"]);
    let name = "127.0.0.1:9/no/such:1".to_owned();
    launch.steps[0].image = Image { name, pull: Pull::Never, ..Image::default() };
    let attempt = bench.start(launch)?;
    match bench.end(attempt)? {
        (Outcome::StartFailed(why), _) => {
            let words = why.to_string();
            holds(|| format!("it says `{words}`"), words.contains("never").into())
        }
        (other, _) => Err(format!("ended with {other:?}")),
    }
}

/// A program that is not there, in a step after one that ran.
fn no_later_program(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["echo ran", "true"]);
    launch.steps[1].argv = vec!["no-such-program".to_owned()];
    ends(bench, &launch, &Outcome::Exited(127))?;
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 0), (1, 127)])?;
    // A shell may have said more, where there is one stream.
    let out = bench.text(launch.attempt, Stream::Stdout)?;
    holds(|| format!("its log says `{out}`"), out.starts_with("ran\n").into())
}

/// An error may be ignored, and too much memory is none that a program made.
fn ignored_oom(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = launch(bench, &["exec tail /dev/zero", "echo never"]);
    launch.limits.memory = Bytes(48 << 20);
    launch.steps[0].ignore_error = true;
    ends(bench, &launch, &Outcome::OutOfMemory)?;
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 137)])
}

fn in_pods(bench: &Bench<'_>) -> bool {
    bench.info().kind == crate::EngineKind::Kubernetes
}

fn away(bench: &mut Bench<'_>) -> Result<(), String> {
    let waits = |number: u32| {
        format!(
            "cd \"$HOME\"; echo ran >> ran.{number}; echo step {number}; while [ ! -e go.{number} ]; \
             do sleep 0.02; done"
        )
    };
    let lines: Vec<String> = (0..3).map(waits).collect();
    let launch = launch(bench, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let attempt = bench.start(launch.clone())?;
    let folder = bench.workdir(attempt)?;
    bench.until(attempt, "it runs", |seen| matches!(seen.phase, Phase::Running { .. }))?;
    let go = |number: u32| {
        std::fs::write(folder.join(format!("go.{number}")), "").map_err(|error| error.to_string())
    };
    let begun = |number: u32| folder.join(format!("ran.{number}")).exists();
    // Two begin while there is an agent, or none: it makes no difference.
    bench.away(|_| go(0))?;
    let until = bench.now().plus(Span::from_secs(60));
    while !begun(1) {
        holds(|| "the second does not begin".to_owned(), (bench.now() < until).into())?;
        bench.observe(Span::from_millis(50))?;
    }
    bench.reopen();
    go(1)?;
    go(2)?;
    bench.expect_end(attempt, &Outcome::Exited(0))?;
    for number in 0..3 {
        let ran = std::fs::read_to_string(folder.join(format!("ran.{number}")));
        let ran = ran.map_err(|error| error.to_string())?;
        same("how often it ran", &ran.as_str(), &"ran\n")?;
    }
    same("how they ended", &statuses(bench, &launch)?, &vec![(0, 0), (1, 0), (2, 0)])?;
    for record in records(bench, &launch)? {
        let expect = format!("step {}\n", record.step);
        same("what it wrote", &said(bench, &launch, &record)?, &expect)?;
    }
    Ok(())
}

fn tmp(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = launch(bench, &["echo x > /tmp/mine", "ls /tmp"]);
    ends(bench, &launch, &Outcome::Exited(0))?;
    same("output", &bench.text(launch.attempt, Stream::Stdout)?.as_str(), &"")
}
