//! Starting, ending, arguments, environment, folders.

use dayan_units::Span;

use super::bench::{holds, same};
use super::{Bench, Case, Need};
use crate::{
    Devices, Isolation, Network, Outcome, Phase, Signal, StartFailure, StartFault, Stream, Workdir,
};

const PROGRAMS: &[Need] = &[Need::Programs];
const FOLDERS: &[Need] = &[Need::Programs, Need::Images, Need::Staging];
const HOST: &[Need] = &[Need::Programs, Need::HostPrograms];

pub(super) const CASES: &[Case] = &[
    Case { name: "a task runs and ends", needs: &[], run: runs_and_ends },
    Case { name: "an exit code is reported", needs: PROGRAMS, run: exit_code },
    Case { name: "a signal is reported", needs: PROGRAMS, run: signal },
    Case { name: "a missing program is 127", needs: PROGRAMS, run: missing },
    Case { name: "a file that is no program is 126", needs: PROGRAMS, run: not_executable },
    Case { name: "a missing working folder is said", needs: HOST, run: missing_workdir },
    Case { name: "a missing folder of its own is said", needs: FOLDERS, run: missing_own_folder },
    Case { name: "what a task prints is no word of ours", needs: PROGRAMS, run: pretending },
    Case { name: "a script without a first line runs", needs: HOST, run: bare_script },
    Case { name: "an empty command is refused", needs: &[], run: empty_command },
    Case {
        name: "a shell line is a shell's",
        needs: &[Need::Programs, Need::Streams],
        run: shell_line,
    },
    Case { name: "arguments arrive exactly", needs: PROGRAMS, run: arguments },
    Case { name: "the environment is the launch's", needs: PROGRAMS, run: environment },
    Case { name: "the working folder is fresh", needs: PROGRAMS, run: workdir },
    Case {
        name: "staged inputs are seen, outputs stay",
        needs: &[Need::Programs, Need::Staging],
        run: staging,
    },
    Case { name: "a given working folder is used", needs: PROGRAMS, run: given_workdir },
    Case { name: "a task has a session and nothing else open", needs: HOST, run: session },
    Case {
        name: "bubblewrap isolates",
        needs: &[Need::Programs, Need::Bubblewrap],
        run: bubblewrap,
    },
    Case {
        name: "what is hidden from an isolated task is not there",
        needs: &[Need::Programs, Need::Bubblewrap],
        run: hidden,
    },
    Case {
        name: "an isolated task is asked to stop before it is killed",
        needs: &[Need::Programs, Need::Bubblewrap],
        run: isolated_is_asked,
    },
    Case { name: "one bad task disturbs no other", needs: PROGRAMS, run: undisturbed },
    Case { name: "observing waits no longer than asked", needs: &[], run: bounded_wait },
    Case { name: "the waker ends a wait", needs: &[], run: waker },
];

fn runs_and_ends(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_millis(100));
    let attempt = bench.start(launch)?;
    let usage = bench.expect_end(attempt, &Outcome::Exited(0))?;
    holds(
        || format!("100 ms of work took {}", usage.wall),
        (usage.wall >= Span::from_millis(90)).into(),
    )
}

fn exit_code(bench: &mut Bench<'_>) -> Result<(), String> {
    for code in [0, 1, 7, 255] {
        let attempt = bench.start_line(&format!("exit {code}"))?;
        bench.expect_end(attempt, &Outcome::Exited(code))?;
    }
    Ok(())
}

fn signal(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("kill -USR1 $$; exit 3")?;
    let expect = bench.signalled(10);
    bench.expect_end(attempt, &expect)?;
    Ok(())
}

fn missing(bench: &mut Bench<'_>) -> Result<(), String> {
    for name in ["no-such-program-here", "/no/such/program"] {
        let launch = bench.argv(&[name, "x"]);
        let attempt = bench.start(launch)?;
        let (outcome, _) = bench.end(attempt)?;
        same("exit code", &outcome.exit_code(), &127)?;
    }
    Ok(())
}

fn not_executable(bench: &mut Bench<'_>) -> Result<(), String> {
    for name in ["/etc/passwd", "/etc"] {
        let launch = bench.argv(&[name]);
        let attempt = bench.start(launch)?;
        let (outcome, _) = bench.end(attempt)?;
        same("exit code", &outcome.exit_code(), &126)?;
    }
    Ok(())
}

fn missing_workdir(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("true");
    launch.workdir = Workdir::At("/no/such/folder".into());
    let attempt = bench.start(launch)?;
    match bench.end(attempt)? {
        (Outcome::StartFailed(StartFailure::Workdir(_)), _) => Ok(()),
        (other, _) => Err(format!("ended with {other:?}")),
    }
}

/// What lies in the attempt's own folder is seen from here, before anything runs.
fn missing_own_folder(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("true");
    launch.workdir = Workdir::At(bench.workdir(launch.attempt)?.join("no/such"));
    let attempt = bench.start(launch)?;
    match bench.end(attempt)? {
        (Outcome::StartFailed(StartFailure::Workdir(_)), _) => Ok(()),
        (other, _) => Err(format!("ended with {other:?}")),
    }
}

/// What a task writes is no word of its engine: it has run, whatever it says.
fn pretending(bench: &mut Bench<'_>) -> Result<(), String> {
    for word in ["dayan: no working folder: /x", "dayan: the step exited with 0"] {
        let line = format!("echo '{word}' >&2; echo '{word}'; exit 126");
        let attempt = bench.start_line(&line)?;
        bench.expect_end(attempt, &Outcome::Exited(126))?;
    }
    Ok(())
}

fn bare_script(bench: &mut Bench<'_>) -> Result<(), String> {
    let attempt = bench.start_line("echo 'exit 9' > s; chmod +x s; exec ./s")?;
    bench.expect_end(attempt, &Outcome::Exited(9))?;
    let folder = bench.workdir(attempt)?;
    let mut launch = bench.argv(&["./s"]);
    launch.workdir = Workdir::At(folder);
    let attempt = bench.start(launch)?;
    bench.expect_end(attempt, &Outcome::Exited(9))?;
    Ok(())
}

fn empty_command(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.argv(&[]);
    match bench.try_start(launch) {
        Err(StartFault::Invalid(_)) => Ok(()),
        other => Err(format!("the answer was {other:?}")),
    }
}

fn shell_line(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("printf '%s\\n' b a | sort | tr '\\n' ' ' && echo \"$WORD\" >&2");
    launch.env.insert("WORD".to_owned(), "算力".to_owned());
    let attempt = launch.attempt;
    let out = bench.output_of(launch)?;
    same("stdout", &out.as_str(), &"a b ")?;
    same("stderr", &bench.text(attempt, Stream::Stderr)?.as_str(), &"算力\n")
}

fn arguments(bench: &mut Bench<'_>) -> Result<(), String> {
    let words = ["", " two  words ", "line\nbreak", "\"q'u\\o$te*", "算力 🙂", "-n", "tab\t"];
    let mut argv = vec!["printf", "<%s>"];
    argv.extend(words);
    let launch = bench.argv(&argv);
    let expect = format!("<{}>", words.join("><"));
    same("stdout", &bench.output_of(launch)?, &expect)?;
    let mut nul = bench.argv(&["printf", "a\0b"]);
    nul.env.clear();
    let attempt = bench.start(nul)?;
    let (outcome, _) = bench.end(attempt)?;
    holds(
        || format!("a NUL ended with {outcome:?}"),
        matches!(outcome, Outcome::StartFailed(_)).into(),
    )
}

fn environment(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.argv(&["env"]);
    launch.env.insert("GIVEN".to_owned(), "a b = c".to_owned());
    let attempt = launch.attempt;
    let out = bench.output_of(launch)?;
    let folder = bench.inside(attempt)?.display().to_string();
    let outside = bench.outside_variables();
    let mut names: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !outside.iter().any(|outside| outside == name))
        .collect();
    names.sort_unstable();
    same("names", &names, &vec!["DAYAN_FENCE", "GIVEN", "HOME", "PATH", "TMPDIR"])?;
    for line in ["GIVEN=a b = c".to_owned(), format!("HOME={folder}"), format!("TMPDIR={folder}")] {
        holds(|| format!("{line} is missing in {out}"), out.lines().any(|l| l == line).into())?;
    }
    Ok(())
}

fn workdir(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("ls -A; touch mine && pwd; umask");
    let attempt = launch.attempt;
    let out = bench.output_of(launch)?;
    let inside = bench.inside(attempt)?;
    same("output", &out, &format!("{}\n0022\n", inside.display()))?;
    let folder = bench.workdir(attempt)?;
    holds(|| "its file is not there".to_owned(), folder.join("mine").exists().into())
}

fn staging(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.shell("tr a-z A-Z < in.txt > out.txt");
    let folder = bench.workdir(launch.attempt)?;
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    std::fs::write(folder.join("in.txt"), "frame").map_err(|e| e.to_string())?;
    bench.output_of(launch)?;
    let out = std::fs::read_to_string(folder.join("out.txt")).map_err(|e| e.to_string())?;
    same("out.txt", &out.as_str(), &"FRAME")
}

fn given_workdir(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.argv(&["pwd"]);
    launch.workdir = Workdir::At("/usr".into());
    same("pwd", &bench.output_of(launch)?.as_str(), &"/usr\n")
}

fn session(bench: &mut Bench<'_>) -> Result<(), String> {
    // Fields 1, 5 and 6 of /proc/PID/stat: pid, process group, session.
    let launch = bench.shell(
        "read -r p c s pp pg se rest < /proc/self/stat; echo $$ $pg $se; ls /proc/self/fd; cat",
    );
    let out = bench.output_of(launch)?;
    let mut lines = out.lines();
    let ids: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    holds(
        || format!("pid, group and session differ: {ids:?}"),
        ids.windows(2).all(|w| w[0] == w[1]).into(),
    )?;
    // The fourth is the folder that `ls` itself reads.
    same("open files", &lines.collect::<Vec<_>>(), &vec!["0", "1", "2", "3"])
}

fn bubblewrap(bench: &mut Bench<'_>) -> Result<(), String> {
    let line = "touch /tmp/mine && ls /tmp && touch here && ! touch /usr/x 2>/dev/null && echo $$ && \
                cat /proc/net/dev | grep -c : ; exit 0";
    let mut launch = bench.shell(line);
    launch.isolation = shut_in(Network::None, Vec::new());
    let attempt = launch.attempt;
    let out = bench.output_of(launch)?;
    let lines: Vec<&str> = out.lines().collect();
    holds(
        || format!("/tmp, pid, networks: {out}"),
        (lines.len() == 3 && lines[0] == "mine" && lines[1].len() == 1 && lines[2] == "1").into(),
    )?;
    let folder = bench.workdir(attempt)?;
    holds(|| "its file is not in the folder".to_owned(), folder.join("here").exists().into())
}

fn shut_in(network: Network, hidden: Vec<std::path::PathBuf>) -> Isolation {
    Isolation::Bubblewrap { network, devices: Devices::Basic, hidden }
}

fn hidden(bench: &mut Bench<'_>) -> Result<(), String> {
    let other = bench.start_line("echo secret > key; exit 0")?;
    bench.expect_end(other, &Outcome::Exited(0))?;
    let key = bench.workdir(other)?.join("key");
    let line = format!(
        "cat {} 2>/dev/null || echo nothing; ls /etc | grep -c . ; echo mine > mine && cat mine",
        key.display()
    );
    let plain = bench.shell(&line);
    let open = bench.output_of(plain)?;
    let sees = open.starts_with("secret\n") && !open.contains("\n0\n");
    holds(|| format!("without isolation: {open}"), sees.into())?;
    let mut launch = bench.shell(&line);
    let attempts = key.ancestors().nth(3).ok_or("a folder lies in folders")?;
    launch.isolation = shut_in(Network::Host, vec![attempts.to_owned(), "/etc".into()]);
    let shut = bench.output_of(launch)?;
    same("what an isolated task sees", &shut.as_str(), &"nothing\n0\nmine\n")
}

fn isolated_is_asked(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut launch = bench.shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    launch.isolation = shut_in(Network::Host, Vec::new());
    let attempt = bench.start(launch)?;
    bench.until_written(attempt, "ready")?;
    let grace = Span::from_secs(30);
    bench.engine().stop(attempt, grace, Signal::TERM).map_err(|fault| fault.to_string())?;
    let usage = bench.expect_end(attempt, &Outcome::Stopped)?;
    holds(
        || format!("it was killed after its grace: {}", usage.wall),
        (usage.wall < Span::from_secs(20)).into(),
    )
}

fn undisturbed(bench: &mut Bench<'_>) -> Result<(), String> {
    let lines = ["sleep 0.3; exit 4", "kill -9 $$", "exec /no/such/program", "echo x >&-; exit 5"];
    let launches: Vec<_> = lines.iter().map(|line| bench.shell(line)).collect();
    let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in bench.engine().start(launches) {
        answer.map_err(|fault| fault.to_string())?;
    }
    let ends: Result<Vec<i32>, String> =
        attempts.iter().map(|attempt| Ok(bench.end(*attempt)?.0.exit_code())).collect();
    let ends = ends?;
    same("ends", &ends, &vec![4, 137, 127, 5])
}

fn bounded_wait(bench: &mut Bench<'_>) -> Result<(), String> {
    let launch = bench.work(Span::from_secs(60));
    let attempt = bench.start(launch)?;
    bench.until(attempt, "it runs", |seen| matches!(seen.phase, Phase::Running { .. }))?;
    let before = bench.now();
    bench.observe(Span::from_millis(20))?;
    let took = bench.now().since(before);
    holds(|| format!("20 ms took {took}"), (took < Span::from_secs(10)).into())
}

fn waker(bench: &mut Bench<'_>) -> Result<(), String> {
    while bench.observe(Span::ZERO)? > 0 {}
    let waker = bench.engine().waker();
    let before = bench.now();
    let ringing = std::thread::spawn(move || waker.wake());
    bench.observe(Span::from_secs(60))?;
    ringing.join().map_err(|_| "the ringer failed")?;
    let took = bench.now().since(before);
    holds(|| format!("it took {took} to wake"), (took < Span::from_secs(30)).into())
}
