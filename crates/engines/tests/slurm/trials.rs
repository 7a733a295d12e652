//! What can go wrong between an agent and a cluster: each task runs once all the same, and its end
//! is told as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dayan_engines::{
    Engine, GangSeat, LeaseEnd, Outcome, Phase, SlurmConfig, StartFailure, StartFault,
};
use dayan_units::{Bytes, Span};

use crate::agent::{Agent, runs};
use crate::config;
use crate::lab::{Accounts, Lab, write_program};

const SMALL: [(&str, &str); 2] = [("NODES", "2"), ("CPN", "8")];

/// A line that notes that it ran.
pub fn noting(file: &std::path::Path, then: &str) -> String {
    format!("echo ran >> '{}'; {then}", file.display())
}

fn killed(outcome: &Outcome) -> bool {
    *outcome == Outcome::KeeperDied
}

/// The ids of jobs in the queue.
pub fn jobs(lab: &Lab) -> Vec<String> {
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

#[test]
fn a_wrapper_takes_the_next_and_slurm_need_not_start_it() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "2")]) else { return };
    let file = lab.folder("ran");
    let mut agent = Agent::open(config(&lab, "agent"));
    let attempts = agent.start_lines(30, &noting(&file, "true"));
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    assert_eq!(runs(&file), 30);
    agent.until("Slurm has none of them any more", |_| jobs(&lab).is_empty());
    let ended = lab.ask("squeue", &["-h", "-r", "-t", "all", "-o", "%T"]);
    let count = |state: &str| ended.lines().filter(|line| *line == state).count();
    let (started, cancelled) = (count("COMPLETED"), count("CANCELLED"));
    // Those that never had a record of their own are one.
    assert!(started < 30 && cancelled > 0, "{started} started, {cancelled} cancelled");

    // What runs in another element's job ends with that one, whoever looks after it.
    let lines = ["true", "true", "sleep 100", "sleep 100"];
    let launches = lines.map(|line| agent.launch(&noting(&file, line))).into();
    let attempts = agent.start(launches);
    for attempt in &attempts[2..] {
        agent.running(*attempt);
    }
    let mut agent = agent.restart();
    agent.until("those of their own are cancelled", |_| jobs(&lab).len() == 2);
    let mut hosts = jobs(&lab);
    hosts.sort();
    assert!(hosts[0].ends_with("_0") && hosts[1].ends_with("_1"), "{hosts:?}");
    lab.ask("scancel", &["--signal=KILL", "--full", &hosts[0]]);
    agent.until("one of the two is killed", |agent| {
        attempts[2..].iter().filter(|attempt| agent.is_running(**attempt)).count() == 1
    });
    let (left, gone): (Vec<_>, Vec<_>) =
        attempts[2..].iter().copied().partition(|attempt| agent.is_running(*attempt));
    let outcome = agent.outcome(gone[0]);
    assert!(killed(&outcome), "{outcome:?}");
    let signal = dayan_engines::Signal::TERM;
    agent.engine.stop(left[0], Span::from_secs(5), signal).expect("stops");
    assert_eq!(agent.outcome(left[0]), Outcome::Stopped);
    assert_eq!(runs(&file), 34);
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

    // Refused for a word of the job's own.
    let mut allows = config(&lab, "allows");
    allows.site.allow.insert("partition".to_owned());
    let mut allowing = Agent::open(allows);
    let mut launch = allowing.launch("true");
    launch.site_words.insert("partition".to_owned(), "nosuch".to_owned());
    let attempt = allowing.start(vec![launch])[0];
    let outcome = allowing.outcome(attempt);
    let asked = matches!(&outcome, Outcome::StartFailed(StartFailure::Asked(_)));
    assert!(asked, "{outcome:?}");
}

/// The process that tends a task: its parent.
fn wrapper_of(task: u32) -> rustix::process::Pid {
    let text = std::fs::read_to_string(format!("/proc/{task}/stat")).expect("it is there");
    let after = text.rsplit_once(") ").expect("a name in brackets").1;
    let parent = after.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number");
    rustix::process::Pid::from_raw(parent).expect("above nothing")
}

#[test]
fn what_slurm_has_running_and_says_nothing_is_over_with_its_lease() {
    let Some(lab) = Lab::start(Accounts::Absent, &SMALL) else { return };
    let mut quick = config(&lab, "agent");
    quick.pace.silent_after = Span::from_secs(3);
    let mut agent = Agent::open(quick);
    // As the exchange does as long as it hears of it.
    let lease = Span::from_secs(5);
    let prolong = |agent: &mut Agent, attempt| {
        let (boot, now) = agent.engine.boot_now();
        agent.engine.extend(&[(attempt, LeaseEnd { boot, at: now.plus(lease) })]).expect("extends");
    };
    let attempts = agent.start_lines(2, "sleep 100");
    for attempt in &attempts {
        agent.running(*attempt);
    }
    let queue = jobs(&lab);
    assert_eq!(queue.len(), 2);

    // What the site has suspended says nothing, and is not lost.
    lab.ask("scontrol", &["suspend", &queue[1]]);
    let enough = agent.engine.boot_now().1.plus(Span::from_secs(12));
    agent.until("nothing was heard for long", |agent| {
        for attempt in &attempts {
            prolong(agent, *attempt);
        }
        agent.engine.boot_now().1 >= enough
    });
    assert!(attempts.iter().all(|attempt| agent.is_running(*attempt)));

    // Slurm knows nothing of this: the wrapper of a job that runs for it does not speak any more.
    let Some(Phase::Running { pid: Some(task), .. }) = agent.phase(attempts[0]) else {
        panic!("it runs here")
    };
    let wrapper = wrapper_of(*task);
    rustix::process::kill_process(wrapper, rustix::process::Signal::STOP).expect("it is there");
    agent.until("it is over", |agent| {
        for attempt in &attempts {
            prolong(agent, *attempt);
        }
        !agent.is_running(attempts[0])
    });
    let outcome = agent.outcome(attempts[0]);
    assert!(killed(&outcome), "{outcome:?}");
    assert!(agent.is_running(attempts[1]), "what is suspended is waited for");
    agent.until("it is taken from Slurm", |_| jobs(&lab) == queue[1..]);
    let _ = rustix::process::kill_process(wrapper, rustix::process::Signal::CONT);
    lab.ask("scancel", &[&queue[1]]);
}

#[test]
fn what_slurm_has_running_and_never_begins_goes_elsewhere() {
    let Some(lab) = Lab::start(Accounts::Absent, &SMALL) else { return };
    let mut quick = config(&lab, "agent");
    quick.pace.begins_within = Span::from_secs(3);
    // What a job is of which no process is left: it runs for Slurm, and nobody claims its task.
    let idle = lab.folder("idle");
    write_program(&idle, "#!/bin/sh\nexec sleep 600\n");
    quick.wrapper = vec![idle.into()];
    let mut agent = Agent::open(quick);
    let attempt = agent.start_lines(1, "true")[0];
    let outcome = agent.outcome(attempt);
    let never = matches!(
        &outcome,
        Outcome::StartFailed(StartFailure::Other(why)) if why.contains("nothing of it has begun")
    );
    assert!(never, "{outcome:?}");
    agent.until("it is taken from Slurm", |_| jobs(&lab).is_empty());
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

/// What a task has said.
fn said(agent: &mut Agent, attempt: dayan_units::AttemptId) -> String {
    let log = agent.engine.logs(attempt, dayan_engines::Stream::Stdout, 0, 4_096).expect("reads");
    let mut lines: Vec<String> =
        String::from_utf8_lossy(&log.data).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn as_many_processes_start_as_by_sbatch() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "8")]) else { return };
    let mut agent = Agent::open(config(&lab, "agent"));
    let ranks = "srun --mpi=none sh -c 'echo $SLURMD_NODENAME'";
    let line = format!("{ranks}; echo $SLURM_NTASKS $SLURM_CPUS_PER_TASK $SLURM_TASKS_PER_NODE");
    let plain = lab.folder("plain");
    let mut check = |shape: &[&str], told: [u64; 2], nodes: u32, cpus: u64, hosts: &str| {
        let output = format!("--output={}", plain.display());
        let wrap = format!("--wrap={line}");
        let words = [&["--wait", "--chdir=/", &output, &wrap], shape].concat();
        lab.ask("sbatch", &words);
        let text = std::fs::read_to_string(&plain).expect("it ran");
        let mut expect: Vec<&str> = text.lines().collect();
        expect.sort_unstable();

        let file = lab.folder("hosts");
        let mut made = agent.launch(&format!("{line}; cat $DAYAN_HOSTFILE > {}", file.display()));
        made.limits.cpu = dayan_units::MilliCpu(cpus * 1_000);
        made.gang = (nodes > 1).then_some(GangSeat { launch: 0, nodes, members: 1, rank: 0 });
        made.env = [("DAYAN_TASKS", told[0]), ("DAYAN_TASKS_PER_NODE", told[1])]
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .into();
        made.env.insert("SLURM_JOB_NAME".to_owned(), "x".to_owned());
        let written = lab.folder("hosts-given");
        made.env.insert("DAYAN_HOSTFILE".to_owned(), written.display().to_string());
        if nodes == 1 {
            // As a script for Slurm has it: its number is the exchange's.
            let dayan_engines::Program::Shell(text) = &mut made.program else { unreachable!() };
            *text = format!("export SLURM_JOB_ID=246310502400005 SLURM_MEM_PER_NODE=9; {ranks}");
            expect.retain(|line| line.starts_with('n'));
        }
        let attempt = agent.start(vec![made])[0];
        assert_eq!(agent.outcome(attempt), Outcome::Exited(0), "{shape:?}");
        assert_eq!(said(&mut agent, attempt), expect.join("\n"), "{shape:?}");
        assert!(expect.len() >= usize::try_from(told[0]).expect("few"), "{shape:?} {expect:?}");
        if nodes > 1 {
            assert_eq!(std::fs::read_to_string(&file).expect("it was there"), hosts, "{shape:?}");
        }
    };
    let four = "n1 slots=4\nn2 slots=4\n";
    check(&["-N", "2", "--ntasks-per-node=4", "-c", "2"], [8, 4], 2, 8, four);
    check(&["-N", "2", "-n", "3", "-c", "1"], [3, 2], 2, 2, "n1 slots=2\nn2 slots=1\n");
    check(&["-N", "1", "-n", "4"], [4, 4], 1, 4, "");
}

#[test]
fn scripts_find_srun_also_under_the_job_of_another_element() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "1")]) else { return };
    let mut agent = Agent::open(config(&lab, "agent"));
    let script = "export SLURM_JOB_ID=246310502400005 SLURM_ARRAY_TASK_ID=7; ";
    let plain = "echo $DAYAN_SLURM_JOB_ID";
    let starts = "srun --mpi=none sh -c 'echo $SLURM_JOB_ID; echo of $SLURM_ARRAY_TASK_ID'";
    let lines = [plain, plain, starts, plain];
    let launches: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut made = agent.script(&format!("{script}{line}"));
            made
        })
        .collect();
    let attempts = agent.start(launches);
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    let all: Vec<String> = attempts.iter().map(|attempt| said(&mut agent, *attempt)).collect();
    assert!(all[0].parse::<u32>().is_ok(), "{all:?}");
    // A wrapper takes from the end.
    assert_eq!(all[3], all[0], "the last ran under the first's job");
    assert_eq!(all[2], format!("{}\nof 7", all[0]), "its step was one of the job it ran in");
    // Steps end with their job, so who has started some takes nobody along.
    assert_ne!(all[1], all[0]);
}

#[test]
fn an_end_that_slurm_is_asked_about_outlives_the_agent() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "2")]) else { return };
    let (file, go) = (lab.folder("ran"), lab.folder("go"));
    let mut agent = Agent::open(config(&lab, "agent"));
    let wait = format!("until test -e '{}'; do sleep 0.1; done", go.display());
    let line = format!("srun --mpi=none true; {}; {wait}; exit 3", noting(&file, "true"));
    let made = agent.script(&line);
    let attempt = agent.start(vec![made])[0];
    agent.running(attempt);
    agent.until("its step is over", |_| runs(&file) == 1);
    // Nobody answers why it has ended.
    lab.kill("slurmctld");
    std::fs::write(&go, "").expect("written");
    let news = lab.folder("agent/news");
    let tells_end = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = entry.and_then(|entry| std::fs::read_to_string(entry.path()));
        text.is_ok_and(|text| text.contains("ended"))
    };
    agent.until("its end is written", |_| {
        std::fs::read_dir(&news).expect("a folder").any(tells_end)
    });
    agent.engine.list().expect("it is heard");
    let mut agent = agent.restart();
    lab.revive("slurmctld");
    lab.heal();
    assert_eq!(agent.outcome(attempt), Outcome::Exited(3));
    assert_eq!(runs(&file), 1);
    // What it said is in the journal: it is not told again.
    agent.until("its news is gone", |agent| {
        agent.engine.list().expect("lists");
        !std::fs::read_dir(&news).expect("a folder").any(tells_end)
    });
}

/// Fills a node of a partition, and has others want it.
fn is_preempted(lab: &Lab, partition: &str, extra: &[&str]) -> Outcome {
    let mut low = config(lab, partition);
    low.site.partition = Some(partition.to_owned());
    low.site.extra = extra.iter().map(|word| (*word).to_owned()).collect();
    let file = lab.folder(&format!("ran-{partition}"));
    let mut agent = Agent::open(low);
    let attempt = agent.start_lines(1, &noting(&file, "sleep 300"))[0];
    agent.running(attempt);
    let wanted =
        ["--partition=high", "--exclusive", "--nodes=1", "--chdir=/", "--output=/dev/null"];
    let said = lab.ask("sbatch", &[&wanted[..], &["--parsable", "--wrap=exec sleep 2"]].concat());
    assert!(said.trim().parse::<u32>().is_ok(), "{said}");
    let outcome = agent.outcome(attempt);
    agent.until("nothing is left in the queue", |_| jobs(lab).is_empty());
    assert_eq!(runs(&file), 1);
    outcome
}

#[test]
fn what_the_site_takes_off_for_others_is_preempted() {
    let partitions = "PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=CANCEL\n\
                      PartitionName=again Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE\n\
                      PartitionName=high Nodes=ALL PriorityTier=9 PreemptMode=OFF";
    let preempt = "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE";
    let more = [("NODES", "1"), ("CPN", "4"), ("PARTITIONS", partitions), ("EXTRA_CONF", preempt)];
    let Some(lab) = Lab::start(Accounts::Absent, &more) else { return };
    assert_eq!(is_preempted(&lab, "low", &[]), Outcome::Preempted);
    // Slurm would put it back; ours says that it may not be, and then it is cancelled.
    assert_eq!(is_preempted(&lab, "again", &[]), Outcome::Preempted);
    // Where the site insists, it waits again in Slurm, runs nothing, and is taken out.
    std::fs::rename(lab.folder("again"), lab.folder("before")).expect("moves");
    std::fs::remove_file(lab.folder("ran-again")).expect("removes");
    assert_eq!(is_preempted(&lab, "again", &["--requeue"]), Outcome::Preempted);
}

/// Files below a folder that hold a text, with their permissions.
fn holding(folder: &std::path::Path, text: &[u8]) -> Vec<(String, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("reads").flatten() {
        let about = entry.metadata().expect("it is there");
        if about.is_dir() {
            found.extend(holding(&entry.path(), text));
        } else if std::fs::read(entry.path())
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text))
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push((name, about.permissions().mode() & 0o777));
        }
    }
    found
}

#[test]
fn secrets_lie_where_they_are_needed_and_no_longer() {
    const SECRET: &str = "ofTheProjectAlone";
    let Some(lab) = Lab::start(Accounts::Absent, &SMALL) else { return };
    let folder = lab.folder("agent");
    let mut agent = Agent::open(config(&lab, "agent"));
    let file = lab.folder("ran");
    let mut secret = |line: &str| {
        let mut launch = agent.launch(line);
        launch.env.insert("KEY".to_owned(), SECRET.to_owned());
        agent.start(vec![launch])[0]
    };
    let runs_on = secret(&noting(&file, "test \"$KEY\" = ofTheProject\"Alone\" && sleep 300"));
    let ends = secret("test \"$KEY\" = ofTheProject\"Alone\"");
    agent.running(runs_on);
    assert_eq!(agent.outcome(ends), Outcome::Exited(0), "it was told");
    // While one runs its own file has it, for who enters it; nobody else may read that.
    let launches = ("launches".to_owned(), 0o600);
    let found = holding(&folder, SECRET.as_bytes());
    assert_eq!(found, vec![launches; 1], "neither the journal nor another file");
    let queue = lab.ask("scontrol", &["show", "jobs"]);
    assert!(!queue.contains(SECRET), "{queue}");
    // Nor after another agent has taken over and the task has ended.
    let mut agent = agent.restart();
    agent.running(runs_on);
    let kill = dayan_engines::Signal::KILL;
    agent.engine.stop(runs_on, Span::ZERO, kill).expect("stops");
    assert_eq!(agent.outcome(runs_on), Outcome::Stopped);
    assert_eq!(holding(&folder, SECRET.as_bytes()), vec![]);
    // One that never starts: gone with the word that it is not to.
    let mut held = config(&lab, "held");
    held.site.extra = vec!["--hold".to_owned()];
    let mut waiting = Agent::open(held);
    let mut launch = waiting.launch("true");
    launch.env.insert("KEY".to_owned(), SECRET.to_owned());
    let never = waiting.start(vec![launch])[0];
    waiting.until("it is in the queue", |_| jobs(&lab).len() == 1);
    assert_eq!(holding(&lab.folder("held"), SECRET.as_bytes()).len(), 1);
    waiting.engine.stop(never, Span::ZERO, kill).expect("stops");
    assert_eq!(waiting.outcome(never), Outcome::Stopped);
    assert_eq!(holding(&lab.folder("held"), SECRET.as_bytes()), vec![]);
}

#[test]
fn accounts_and_qos_are_known_before_slurm_refuses() {
    let enforce = "AccountingStorageEnforce=associations,limits,qos";
    let more = [("NODES", "2"), ("CPN", "8"), ("EXTRA_CONF", enforce)];
    let Some(lab) = Lab::start(Accounts::Kept, &more) else { return };
    for line in [
        "add account top cluster=lab",
        "modify account top set GrpTRES=cpu=7 GrpSubmit=50",
        "add account lab cluster=lab parent=top",
        "add qos tight",
        "modify qos tight set MaxWall=20:00 GrpTRES=cpu=5",
        "add qos fast",
        "add qos urgent",
        "modify qos fast set MaxWall=10:00 MaxSubmitJobsPU=5 GrpTRES=cpu=6",
        "add user root account=lab cluster=lab",
        "modify user root where account=lab set qos=normal,fast DefaultQOS=normal",
    ] {
        let words: Vec<&str> = ["-i"].into_iter().chain(line.split(' ')).collect();
        lab.ask("sacctmgr", &words);
    }
    let mut config = config(&lab, "agent");
    config.site.account = Some("lab".to_owned());
    config.site.allow = ["account", "qos"].map(str::to_owned).into();
    let (survey, _) = dayan_engines::slurm::survey(&config).expect("it answers");
    let lines = survey.access.as_ref().expect("there are accounts").lines();
    assert_eq!(lines[0].1, "lab(MaxSubmit=50 cpu=7),root", "by the account above it");
    assert_eq!(lines[1].1, "fast(MaxWall=10m MaxSubmit=5 cpu=6),normal");

    let mut agent = Agent::open(config.clone());
    let minute = Span::from_secs(60);
    let saying = |agent: &mut Agent, words: &[(&str, &str)], wall| {
        let mut launch = agent.launch("true");
        launch.limits.wall = wall;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        launch.site_words = words.iter().map(owned).collect();
        launch
    };
    let fast = saying(&mut agent, &[("qos", "fast")], minute);
    let attempt = agent.start(vec![fast])[0];
    assert_eq!(agent.outcome(attempt), Outcome::Exited(0));
    for (words, wall, expect) in [
        (&[("qos", "urgent")], minute, "slurm.qos"),
        (&[("qos", "urgent")], minute, "it has: fast, normal"),
        (&[("account", "other")], minute, "it may charge: lab, root"),
        (&[("qos", "fast")], Span::from_secs(3_600), "jobs end after 10 minutes here"),
    ] {
        let launch = saying(&mut agent, words, wall);
        let refused = agent.engine.start(vec![launch]).remove(0).expect_err("it is refused");
        assert!(refused.to_string().contains(expect), "{refused}");
    }
    // Given since; known when it is next looked at.
    let more = ["-i", "modify", "user", "root", "where", "account=lab", "set", "qos+=urgent"];
    lab.ask("sacctmgr", &more);
    std::fs::remove_file(lab.folder("agent").join("access.json")).expect("it was kept");
    dayan_engines::slurm::survey(&config).expect("it answers");
    let urgent = saying(&mut agent, &[("qos", "urgent")], minute);
    let attempt = agent.start(vec![urgent])[0];
    assert_eq!(agent.outcome(attempt), Outcome::Exited(0));

    // A partition's own QoS counts before all others; elsewhere the account above does.
    let none = BTreeMap::new();
    let bounds = |config: &SlurmConfig| {
        let (survey, _) = dayan_engines::slurm::survey(config).expect("it answers");
        let bounds = survey.bounds(&config.site, &none);
        (bounds.minutes_max, bounds.submit_max, bounds.cpus_max)
    };
    assert_eq!(bounds(&config), (None, Some(50), Some(7)));
    lab.ask("scontrol", &["update", "partitionname=main", "qos=tight"]);
    assert_eq!(bounds(&config), (Some(20), Some(50), Some(5)));
    lab.ask("scontrol", &["update", "partitionname=main", "qos="]);

    // More than may be there at once: they wait with us, and Slurm refuses none.
    config.dir = lab.folder("fast");
    config.site.qos = Some("fast".to_owned());
    let mut agent = Agent::open(config);
    let launches: Vec<_> = (0..12).map(|_| saying(&mut agent, &[], minute)).collect();
    let attempts = agent.start(launches);
    agent.all_end_with(&attempts, &Outcome::Exited(0));
}

/// What a user of the lab's own hears of Slurm when it submits to a partition: was it taken?
fn is_taken(lab: &Lab, user: &str, partition: &str) -> bool {
    let sbatch = lab.commands().join("sbatch");
    let said = std::process::Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--init-groups"])
        .arg(sbatch)
        .args(["-p", partition, "-D", "/", "-o", "/dev/null", "--parsable", "--wrap", "true"])
        .output()
        .expect("it runs");
    said.status.success()
}

#[test]
fn partitions_are_offered_as_far_as_slurm_lets_their_user_in() {
    let conf = "AccountingStorageEnforce=associations,limits,qos\nEnforcePartLimits=ALL";
    let lists = [
        ("main", "Default=YES"),
        ("ours", "AllowAccounts=lab,other"),
        ("theirs", "AllowAccounts=other"),
        ("not-ours", "DenyAccounts=x,lab"),
        ("not-theirs", "DenyAccounts=other"),
        ("fast", "AllowQos=fast"),
        ("usual", "AllowQos=normal,fast"),
        ("not-usual", "DenyQos=normal"),
        ("not-fast", "DenyQos=fast"),
        ("staff", "AllowGroups=staff"),
        ("mine", "AllowGroups=staff,daemon"),
        ("roots", "RootOnly=YES"),
        ("reserved", "ReqResv=YES"),
    ];
    let lines = lists.map(|(name, list)| format!("PartitionName={name} Nodes=ALL State=UP {list}"));
    let lines = lines.join("\n");
    let more = [
        ("NODES", "1"),
        ("CPN", "16"),
        ("REST", "1"),
        ("EXTRA_CONF", conf),
        ("PARTITIONS", &lines),
    ];
    let Some(lab) = Lab::start(Accounts::Kept, &more) else { return };
    for line in [
        "add account lab cluster=lab",
        "add account other cluster=lab",
        "add qos fast",
        "add user daemon account=lab cluster=lab",
        "modify user daemon where account=lab set qos=normal,fast",
        "add user root account=lab cluster=lab",
        "modify user root where account=lab set qos=normal,fast",
        "modify user root set DefaultAccount=lab",
    ] {
        let words: Vec<&str> = ["-i"].into_iter().chain(line.split(' ')).collect();
        lab.ask("sacctmgr", &words);
    }
    let by_commands = config(&lab, "commands");
    // Somebody who is not root, by a token: what the commands do not even show them, the daemon does.
    let token = lab.folder("token");
    std::fs::write(&token, lab.ask("scontrol", &["token", "username=daemon", "lifespan=600"]))
        .expect("writes");
    let mut by_rest = config(&lab, "rest");
    by_rest.site.rest = Some(format!("http://127.0.0.1:{}", lab.rest_port()));
    by_rest.site.token_file = Some(token);
    for (user, config) in [("root", &by_commands), ("daemon", &by_rest)] {
        let found = dayan_engines::slurm::partitions(config).expect("it answers");
        let seen = found.all;
        assert_eq!((found.cluster.as_str(), seen.len()), ("lab", lists.len()), "{user}");
        for partition in &seen {
            let (name, closed) = (&partition.name, &partition.closed);
            assert_eq!(closed.is_none(), is_taken(&lab, user, name), "{user} {name}: {closed:?}");
        }
        let shut = seen.iter().filter(|partition| partition.closed.is_some()).count();
        assert_eq!(shut, if user == "root" { 5 } else { 7 }, "{seen:?}");
    }

    // Named all the same it is shown with its reason and nothing up, and a job hears it before Slurm does.
    let mut theirs = by_commands;
    theirs.dir = lab.folder("theirs");
    theirs.site.partition = Some("theirs".to_owned());
    theirs.site.allow = ["partition", "qos"].map(str::to_owned).into();
    let (survey, _) = dayan_engines::slurm::survey(&theirs).expect("it answers");
    assert!(survey.nodes.iter().all(|node| !node.up), "{:?}", survey.nodes);
    assert!(survey.partition.closed.is_some(), "{:?}", survey.partition);
    let mut agent = Agent::open(theirs.clone());
    let saying = |agent: &mut Agent, words: &[(&str, &str)]| {
        let mut launch = agent.launch("true");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        launch.site_words = words.iter().map(owned).collect();
        launch
    };
    for (words, expect) in [
        (&[][..], "slurm.account: theirs: it is for the accounts other (AllowAccounts)"),
        (&[("partition", "fast")], "slurm.qos: fast: it is for the QoS fast (AllowQos)"),
        (&[("partition", "not-fast"), ("qos", "fast")], "its account has of these: normal"),
        (&[("partition", "reserved")], "slurm.partition: reserved"),
    ] {
        let launch = saying(&mut agent, words);
        let refused = agent.engine.start(vec![launch]).remove(0).expect_err("it is refused");
        assert!(refused.to_string().contains(expect), "{refused}");
    }
    let fast = saying(&mut agent, &[("partition", "fast"), ("qos", "fast")]);
    let attempt = agent.start(vec![fast])[0];
    assert_eq!(agent.outcome(attempt), Outcome::Exited(0));
    // Let in since: known when it is next looked at.
    lab.ask("scontrol", &["update", "partitionname=theirs", "allowaccounts=lab"]);
    let (survey, _) = dayan_engines::slurm::survey(&theirs).expect("it answers");
    assert!(survey.nodes.iter().all(|node| node.up), "{:?}", survey.nodes);
    let launch = saying(&mut agent, &[]);
    let attempt = agent.start(vec![launch])[0];
    assert_eq!(agent.outcome(attempt), Outcome::Exited(0));
}
