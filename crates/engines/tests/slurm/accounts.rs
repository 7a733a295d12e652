//! What goes to Slurm for many equal tasks, and what its accounting says of them afterwards.

use dayan_engines::{Engine, GangSeat, Outcome};
use dayan_units::Span;

use crate::agent::Agent;
use crate::config;
use crate::lab::{Accounts, Lab};

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

    // What Slurm's accounting counted, when it is final: of the array, and of a gang as one job.
    let busy = "timeout 3 sh -c 'while :; do :; done'; true";
    let gang: Vec<_> = (0..2)
        .map(|rank| {
            let mut made = agent.launch(busy);
            made.gang = Some(GangSeat { launch: 0, nodes: 2, members: 2, rank });
            made
        })
        .collect();
    let members = agent.start(gang);
    agent.all_end_with(&members, &Outcome::Exited(0));
    let enough = u64::from(tasks) / 2 + 2;
    agent.until("the accounts are compared", |agent| agent.engine.compared() >= enough);
    assert_eq!(agent.engine.differences(), vec![]);
    let (_, load) = dayan_engines::slurm::survey(&config(&lab, "agent")).expect("it answers");
    let told = load.and_then(|load| load.compared).expect("who shows the pool sees it");
    assert!(told.compared >= enough && told.differed == 0, "{told:?}");

    // It is handed out once, and again by who opens the folder after it, until somebody has it.
    let mut counts = Vec::new();
    agent.until("the gang is counted", |agent| {
        counts.extend(agent.engine.site_counts());
        counts.iter().any(|count| count.attempts.contains(&members[0]))
    });
    assert_eq!(agent.engine.site_counts(), []);
    let whole = counts.iter().find(|count| count.attempts.contains(&members[0]));
    let whole = whole.unwrap_or_else(|| panic!("{counts:?}"));
    assert!(members.iter().all(|member| whole.attempts.contains(member)), "{whole:?}");
    assert!(whole.elapsed >= Span::from_secs(3), "{whole:?}");
    let mut engine = agent.restart().engine;
    let left = engine.site_counts();
    assert!(counts.iter().all(|count| left.contains(count)), "{left:?}");
    let told: Vec<_> = left.iter().flat_map(|count| count.attempts.iter().copied()).collect();
    engine.site_counts_told(&told);
    assert_eq!(engine.site_counts(), []);
}
