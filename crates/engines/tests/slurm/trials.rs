//! What can go wrong between an agent and a cluster: each task runs once all the same, and its end
//! is told as it was.

use std::path::PathBuf;

use dayan_engines::{Engine, GangSeat, LeaseEnd, Outcome, StartFailure, StartFault};
use dayan_units::{Bytes, Span};

use crate::agent::{Agent, runs};
use crate::config;
use crate::lab::{Accounts, Lab, write_program};

const SMALL: [(&str, &str); 2] = [("NODES", "2"), ("CPN", "8")];

/// A line that notes that it ran.
fn noting(file: &std::path::Path, then: &str) -> String {
    format!("echo ran >> '{}'; {then}", file.display())
}

fn killed(outcome: &Outcome) -> bool {
    *outcome == Outcome::KeeperDied
}

/// The ids of jobs in the queue.
fn jobs(lab: &Lab) -> Vec<String> {
    let text = lab.ask("squeue", &["-h", "-r", "-o", "%i"]);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn daemons_and_agents_die_and_every_task_runs_once() {
    let Some(lab) = Lab::start(Accounts::Absent, &SMALL) else { return };
    let file = lab.folder("ran");
    let mut agent = Agent::open(config(&lab, "agent"));
    // More than the slots, so that some wait through all of it.
    let attempts = agent.start_lines(40, &noting(&file, "sleep 1"));
    agent.until("some run", |_| runs(&file) >= 4);
    lab.kill("slurmctld");
    // Submitted while nobody listens.
    let more = agent.start_lines(10, &noting(&file, "sleep 0.2"));
    let mut agent = agent.restart();
    assert_eq!(agent.engine.list().expect("lists").len(), 50, "all are adopted");
    lab.revive("slurmctld");
    // A controller that is killed has forgotten the newest starts: it starts those elements again,
    // and finds that they run, or ran.
    let mut looks = 0;
    agent.until("some more run", |_| {
        looks += 1;
        if looks % 40 == 0 {
            lab.heal();
        }
        runs(&file) >= 20
    });
    lab.kill("slurmd.n1");
    lab.revive("slurmd.n1");
    let mut agent = agent.restart();
    lab.heal();
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    agent.all_end_with(&more, &Outcome::Exited(0));
    assert_eq!(runs(&file), 50);
    let all: Vec<_> = attempts.into_iter().chain(more).collect();
    agent.engine.forget(&all).expect("forgets");
    assert_eq!(agent.engine.list().expect("lists").len(), 0);
}

#[test]
fn what_comes_through_twice_runs_once() {
    let Some(lab) = Lab::start(Accounts::Absent, &SMALL) else { return };
    let file = lab.folder("ran");
    // Submits twice, and says that it does not know.
    let mut twice = config(&lab, "twice");
    let commands = lab.folder("twice-bin");
    let real = twice.commands.clone().expect("given");
    link_all(&real, &commands);
    let text = format!(
        "#!/bin/sh\ncat > {0}/script\n{1}/sbatch \"$@\" < {0}/script\n{1}/sbatch \"$@\" < {0}/script \
         > /dev/null\necho 'sbatch: error: Batch job submission failed: Socket timed out on send/recv \
         operation' >&2; exit 1\n",
        commands.display(),
        real.display()
    );
    write_program(&commands.join("sbatch"), &text);
    twice.commands = Some(commands);
    let mut agent = Agent::open(twice);
    let attempts = agent.start_lines(5, &noting(&file, "sleep 1"));
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    agent.until("both are over", |_| jobs(&lab).is_empty());
    assert_eq!(runs(&file), 5);
    let again = agent.launch("true");
    let again = dayan_engines::Launch { attempt: attempts[0], ..again };
    let answer = agent.engine.start(vec![again]);
    assert_eq!(answer, vec![Err(StartFault::AlreadyLaunched(attempts[0]))]);

    // Does nothing the first time, and says that it does not know.
    let file = lab.folder("ran-late");
    let mut late = config(&lab, "late");
    let commands = lab.folder("late-bin");
    link_all(&real, &commands);
    let text = format!(
        "#!/bin/sh\n[ -e {0}/tried ] && exec {1}/sbatch \"$@\"\n: > {0}/tried\necho 'sbatch: error: Batch \
         job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1\n",
        commands.display(),
        real.display()
    );
    write_program(&commands.join("sbatch"), &text);
    late.commands = Some(commands);
    let mut agent = Agent::open(late);
    let attempts = agent.start_lines(3, &noting(&file, "true"));
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    assert_eq!(runs(&file), 3);
}

fn link_all(from: &std::path::Path, to: &PathBuf) {
    std::fs::create_dir(to).expect("a folder");
    for name in ["squeue", "scancel", "scontrol", "sacct"] {
        std::os::unix::fs::symlink(from.join(name), to.join(name)).expect("links");
    }
}

#[test]
fn the_site_has_the_last_word_and_it_is_told() {
    let Some(lab) = Lab::start(Accounts::Absent, &SMALL) else { return };
    let mut agent = Agent::open(config(&lab, "agent"));

    // Cancelled by the site while it runs.
    let attempt = agent.start_lines(1, "sleep 100")[0];
    agent.running(attempt);
    lab.ask("scancel", &[&jobs(&lab)[0]]);
    let outcome = agent.outcome(attempt);
    assert!(killed(&outcome), "{outcome:?}");

    // Its node is given up.
    let attempt = agent.start_lines(1, "sleep 100")[0];
    agent.running(attempt);
    let node = lab.ask("squeue", &["-h", "-o", "%N"]).trim().to_owned();
    let down = |state: &str| {
        let (node, state) = (format!("nodename={node}"), format!("state={state}"));
        lab.ask("scontrol", &["update", &node, &state, "reason=test"]);
    };
    down("down");
    let outcome = agent.outcome(attempt);
    assert!(killed(&outcome), "{outcome:?}");
    down("resume");

    // Killed with its wrapper, which could not write an end.
    let file = lab.folder("ran");
    let attempt = agent.start_lines(1, &noting(&file, "sleep 100"))[0];
    agent.running(attempt);
    lab.ask("scancel", &["--signal=KILL", "--full", &jobs(&lab)[0]]);
    let outcome = agent.outcome(attempt);
    assert!(killed(&outcome), "{outcome:?}");

    // Cancelled before it ran: held by the site, so it waits.
    let mut launch = agent.launch(&noting(&file, "true"));
    launch.limits.wall = Span::from_secs(60);
    let mut held = config(&lab, "held");
    held.site.extra = vec!["--hold".to_owned()];
    let mut waiting = Agent::open(held);
    let attempts = waiting.start_lines(3, &noting(&file, "true"));
    waiting.until("it is in the queue", |_| jobs(&lab).len() == 3);
    let queue = jobs(&lab);
    lab.ask("scancel", &[&queue[0]]);
    let outcome = waiting.outcome(attempts[0]);
    let never = matches!(&outcome, Outcome::StartFailed(StartFailure::Other(_)));
    assert!(never, "{outcome:?}");
    // Told to stop, and out of lease, while it waits: at once.
    let kill = dayan_engines::Signal::TERM;
    waiting.engine.stop(attempts[1], Span::from_secs(60), kill).expect("stops");
    assert_eq!(waiting.outcome(attempts[1]), Outcome::Stopped);
    let (boot, now) = waiting.engine.boot_now();
    let soon = LeaseEnd { boot, at: now.plus(Span::from_millis(200)) };
    waiting.engine.extend(&[(attempts[2], soon)]).expect("extends");
    assert_eq!(waiting.outcome(attempts[2]), Outcome::LeaseEnded);
    waiting.until("the queue is empty", |_| jobs(&lab).is_empty());
    assert_eq!(runs(&file), 1, "only the one that was killed ever ran");

    // Refused: it asks for more than any node has.
    let mut launch = agent.launch("true");
    launch.limits.memory = Bytes(1 << 50);
    let attempt = agent.start(vec![launch])[0];
    let outcome = agent.outcome(attempt);
    let said =
        matches!(&outcome, Outcome::StartFailed(why) if why.to_string().contains("Slurm refused"));
    assert!(said, "{outcome:?}");
}

#[test]
fn equal_tasks_are_few_arrays_and_cards_are_slurms() {
    let tasks: u32 =
        std::env::var("DAYAN_ARRAY_TASKS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let Some(lab) = Lab::start(Accounts::Kept, &[("NODES", "2"), ("CPN", "16")]) else { return };
    let mut agent = Agent::open(config(&lab, "agent"));
    let attempts = agent.start_lines(tasks, "exit 0");
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    let text = lab.ask("sdiag", &[]);
    let submitted = text
        .lines()
        .find(|line| line.contains("REQUEST_SUBMIT_BATCH_JOB"))
        .and_then(|line| line.split("count:").nth(1)?.split_whitespace().next()?.parse().ok());
    assert_eq!(submitted, Some(tasks.div_ceil(1_000)), "{text}");

    let mut launch = agent.launch("echo $CUDA_VISIBLE_DEVICES; env | grep -c SLURM");
    launch.accelerators = 2;
    let attempt = agent.start(vec![launch])[0];
    let _ = agent.end(attempt);
    let log = agent.engine.logs(attempt, dayan_engines::Stream::Stdout, 0, 100).expect("reads");
    assert_eq!(String::from_utf8_lossy(&log.data), "0,1\n0\n");

    // What Slurm's accounting counted, when it is final.
    let enough = u64::from(tasks) / 2;
    agent.until("the accounts are compared", |agent| agent.engine.compared() >= enough);
    assert_eq!(agent.engine.differences(), vec![]);
}

#[test]
fn a_gang_starts_at_once_on_nodes_of_its_own() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "4"), ("CPN", "4")]) else { return };
    let mut agent = Agent::open(config(&lab, "agent"));
    let member = |agent: &mut Agent, launch: u32, rank: u32, members: u32, line: &str| {
        let mut made = agent.launch(line);
        made.gang = Some(GangSeat { launch, nodes: 4, members, rank });
        made
    };
    // Each waits until it sees all four, which only those see that run at once.
    let met = lab.folder("met");
    std::fs::create_dir(&met).expect("a folder");
    let line = format!(
        "touch {0}/$DAYAN_HEAD.$$; until [ $(ls {0} | wc -l) = 4 ]; do sleep 0.05; done; \
         echo $DAYAN_HEAD $DAYAN_NODELIST",
        met.display()
    );
    let mut launches: Vec<_> = (0..4).map(|rank| member(&mut agent, 0, rank, 4, &line)).collect();
    // The last one comes later, as one whose inputs take their time.
    let last = launches.pop().expect("four");
    let mut attempts = agent.start(launches);
    assert!(jobs(&lab).is_empty(), "nothing of a gang waits for the rest in the queue");
    attempts.extend(agent.start(vec![last]));
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    for attempt in &attempts {
        let log = agent.engine.logs(*attempt, dayan_engines::Stream::Stdout, 0, 100);
        let text = String::from_utf8_lossy(&log.expect("reads").data).into_owned();
        assert_eq!(text, "n1 n1,n2,n3,n4\n");
    }

    // Run on the first node, with the others kept for it; then one is told to stop.
    let head =
        member(&mut agent, 1, 0, 1, "srun --mpi=none sh -c 'echo $SLURMD_NODENAME'; sleep 100");
    let attempt = agent.start(vec![head])[0];
    agent.running(attempt);
    assert_eq!(lab.ask("squeue", &["-h", "-o", "%D"]), "4\n");
    agent.until("every node has answered", |agent| {
        let log = agent.engine.logs(attempt, dayan_engines::Stream::Stdout, 0, 100);
        let text = String::from_utf8_lossy(&log.expect("reads").data).into_owned();
        let mut nodes: Vec<&str> = text.lines().collect();
        nodes.sort_unstable();
        nodes == ["n1", "n2", "n3", "n4"]
    });
    let term = dayan_engines::Signal::TERM;
    agent.engine.stop(attempt, Span::from_secs(5), term).expect("stops");
    assert_eq!(agent.outcome(attempt), Outcome::Stopped);

    // Members that are killed with their wrappers do not end the others' records.
    let lines = ["exit 3", "sleep 1", "kill -9 $$", "sleep 1"];
    let launches = lines.iter().zip(0..).map(|(line, rank)| member(&mut agent, 2, rank, 4, line));
    let launches: Vec<_> = launches.collect();
    let attempts = agent.start(launches);
    let ends: Vec<Outcome> = attempts.iter().map(|attempt| agent.outcome(*attempt)).collect();
    let expect =
        [Outcome::Exited(3), Outcome::Exited(0), Outcome::Signalled(9), Outcome::Exited(0)];
    assert_eq!(ends, expect);
}
