//! The same engine by Slurm's REST daemon: the suite, and what a daemon that fails or lies changes,
//! which is nothing.

use dayan_engines::conformance::{self, Bed};
use dayan_engines::slurm::{Pace, SiteWords, survey};
use dayan_engines::{Engine, Launch, Limits, Outcome, SlurmConfig, SlurmEngine};
use dayan_units::{Bytes, Span};

use crate::agent::{Agent, runs};
use crate::config;
use crate::lab::{Accounts, Lab};
use crate::liar::{Liar, Mood};
use crate::trials::{jobs, noting};

/// The commands are still there for tokens and for entering, and for nothing else.
pub fn by_rest(lab: &Lab, folder: &str, address: &str) -> SlurmConfig {
    let config = config(lab, folder);
    let site = SiteWords {
        rest: Some(address.to_owned()),
        // Of a job that the daemon submits nobody's environment is known; `srun` in it needs this.
        extra: vec![format!("--export=SLURM_CONF={}", lab.configuration().display())],
        ..config.site
    };
    SlurmConfig { site, ..config }
}

struct Cluster<'a> {
    lab: &'a Lab,
    folder: String,
}

impl Bed for Cluster<'_> {
    fn open(&mut self) -> Box<dyn Engine> {
        let address = self.lab.rest_socket();
        Box::new(SlurmEngine::open(by_rest(self.lab, &self.folder, &address)).expect("opens"))
    }
}

#[test]
fn a_slurm_cluster_keeps_the_promises_by_rest() {
    const SHARES: usize = 6;
    let Some(lab) = Lab::start(Accounts::Absent, &[("REST", "1")]) else { return };
    let _ = lab.commands();
    let only = std::env::var("DAYAN_CASE").ok();
    let report = conformance::run_in_shares(SHARES, only.as_deref(), |number| Cluster {
        lab: &lab,
        folder: format!("agent-{number}"),
    });
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(only.is_some() || report.passed() >= 50, "too much was skipped:\n{report}");
}

#[test]
fn both_ways_see_the_same_cluster_and_the_same_accounts() {
    let more = [("NODES", "2"), ("CPN", "8"), ("REST", "1")];
    let Some(lab) = Lab::start(Accounts::Kept, &more) else { return };
    for line in [
        "add account top cluster=lab",
        "modify account top set GrpTRES=cpu=7 GrpSubmit=50",
        "add account lab cluster=lab parent=top",
        "add qos fast",
        "modify qos fast set MaxWall=10:00 MaxSubmitJobsPU=5 MaxTRESPU=cpu=3 GrpTRES=cpu=6",
        "add user root account=lab cluster=lab",
        "modify user root where account=lab set qos=normal,fast DefaultQOS=normal MaxJobs=9",
        "modify user root set DefaultAccount=lab",
    ] {
        let words: Vec<&str> = ["-i"].into_iter().chain(line.split(' ')).collect();
        lab.ask("sacctmgr", &words);
    }
    lab.ask("scontrol", &["update", "partitionname=main", "qos=fast"]);
    let address = format!("http://127.0.0.1:{}", lab.rest_port());
    let by_commands = config(&lab, "commands");
    let by_rest = by_rest(&lab, "rest", &address);
    let (seen, _) = survey(&by_commands).expect("the commands answer");
    let (told, load) = survey(&by_rest).expect("the daemon answers");
    assert_eq!(told.nodes, seen.nodes);
    let partition = |survey: &dayan_engines::slurm::Survey| {
        (survey.partition.name.clone(), survey.partition.is_default, survey.partition.minutes_max)
    };
    assert_eq!(partition(&told), partition(&seen));
    assert_eq!(told.partition.own_qos.as_deref(), Some("fast"));
    let [access, known] =
        [&told, &seen].map(|survey| survey.access.clone().expect("there are accounts"));
    assert_eq!(
        (&access.accounts, &access.default_account),
        (&known.accounts, &known.default_account)
    );
    assert_eq!((access.lines(), access.qos), (known.lines(), known.qos));
    assert!(access.enforced.limits && !access.enforced.qos, "what is enforced is not told");
    lab.ask("scontrol", &["update", "partitionname=main", "qos="]);
    assert_eq!((told.version, told.accounting), (seen.version, true));
    assert!(load.is_some_and(|load| load.held.is_empty()));

    let mut agent = Agent::open(by_rest.clone());
    let attempts = agent.start_lines(6, "exit 0");
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    agent.until("the accounts are compared", |agent| agent.engine.compared() >= 6);
    assert_eq!(agent.engine.differences(), vec![]);

    // Of several jobs at once it is asked what became of them.
    let other = |agent: &mut Agent, mib: u64| {
        let launch = agent.launch("sleep 100");
        let limits = Limits { memory: Bytes(mib << 20), ..launch.limits.clone() };
        Launch { limits, ..launch }
    };
    let launches = [66, 67, 68].map(|mib| other(&mut agent, mib)).into();
    let several = agent.start(launches);
    for attempt in &several {
        agent.running(*attempt);
    }
    let ids = jobs(&lab);
    assert_eq!(ids.len(), 3, "{ids:?}");
    let words: Vec<&str> = ids.iter().map(String::as_str).collect();
    lab.ask("scancel", &words);
    agent.all_end_with(&several, &Outcome::KeeperDied);

    // One that waits, one that runs: both are cancelled in Slurm, and one is seen by the other way.
    let long = agent.launch("sleep 100");
    let running = agent.start(vec![long])[0];
    agent.running(running);
    let (_, load) = survey(&by_commands).expect("the commands answer");
    assert_eq!(load.map(|load| load.held.len()), Some(1), "to another agent that is others'");
    let term = dayan_engines::Signal::TERM;
    agent.engine.stop(running, Span::from_secs(5), term).expect("stops");
    assert_eq!(agent.outcome(running), Outcome::Stopped);
    let mut held = by_rest.clone();
    held.dir = lab.folder("held");
    held.site.extra.push("--hold".to_owned());
    let mut waiting = Agent::open(held);
    let attempts = waiting.start_lines(3, "true");
    waiting.until("it is in the queue", |_| jobs(&lab).len() == 3);
    waiting.engine.stop(attempts[1], Span::ZERO, term).expect("stops");
    assert_eq!(waiting.outcome(attempts[1]), Outcome::Stopped);
    waiting.until("it is not in the queue", |_| jobs(&lab).len() == 2);
    lab.ask("scancel", &["--user", "root"]);

    // Refused by Slurm, and by us for what the daemon has no word for: with the reason.
    for (word, expect) in
        [("--reservation=none-such", "reservation"), ("--switches=2", "slurm.rest_option")]
    {
        let mut refused = by_rest.clone();
        refused.dir = lab.folder(&format!("refused{}", word.len()));
        refused.site.extra.push(word.to_owned());
        let mut agent = Agent::open(refused);
        let attempt = agent.start_lines(1, "true")[0];
        let outcome = agent.outcome(attempt);
        let Outcome::StartFailed(why) = &outcome else { panic!("{word}: {outcome:?}") };
        assert!(why.to_string().contains(expect), "{word}: {why}");
    }

    // A token that is none: said so, and nothing else follows.
    let file = lab.folder("token");
    std::fs::write(&file, "e30.eyJzdW4iOiJyb290In0.bad\n").expect("writes");
    let mut stranger = by_rest;
    stranger.dir = lab.folder("stranger");
    stranger.site.token_file = Some(file.clone());
    let refused = SlurmEngine::open(stranger.clone()).map(|_| ()).expect_err("not without a token");
    assert!(refused.to_string().contains("slurm.rest"), "{refused}");
    std::fs::write(&file, lab.token()).expect("writes");
    let mut agent = Agent::open(stranger);
    let attempt = agent.start_lines(1, "true")[0];
    assert_eq!(agent.outcome(attempt), Outcome::Exited(0));
}

#[test]
fn a_daemon_that_fails_or_lies_ends_nothing_and_starts_nothing_twice() {
    let more = [("NODES", "2"), ("CPN", "8"), ("REST", "1")];
    let Some(lab) = Lab::start(Accounts::Absent, &more) else { return };
    let liar = Liar::before(lab.rest_port());
    let mut config = by_rest(&lab, "agent", &liar.address());
    config.pace =
        Pace { look_every: Span::from_millis(200), ask_within: Span::from_secs(2), ..config.pace };
    let file = lab.folder("ran");
    let go = lab.folder("go");
    let line = noting(&file, &format!("until [ -e {} ]; do sleep 0.1; done", go.display()));
    let mut agent = Agent::open(config);
    // Submitted, and nobody can say so but the queue.
    liar.becomes(Mood::ForgetsSubmissions);
    let attempts = agent.start_lines(5, &line);
    agent.until("all run", |_| runs(&file) == 5);
    assert_eq!(liar.met(), 1, "one submission, and it was not made again");
    for attempt in &attempts {
        agent.running(*attempt);
    }
    for mood in [
        Mood::Says(500, "{\"errors\": [{\"error\": \"Unspecified error\", \"error_number\": -1}]}"),
        Mood::Says(502, "<html>Bad Gateway</html>"),
        Mood::Says(401, "Authentication failure"),
        Mood::Says(404, "Unable find requested URL."),
        Mood::Says(200, "{}"),
        Mood::Says(200, "{\"jobs\": null, \"errors\": []}"),
        Mood::Says(200, "{\"jobs\": [{\"job_id\": {\"a\": [1]}, \"name\": 7, \"job_state\": {}}]"),
        Mood::Says(200, "[1, 2, 3]"),
        Mood::Says(200, ""),
        Mood::HalfAnAnswer,
        Mood::Silent,
        Mood::HoldsTheLine,
    ] {
        liar.becomes(mood);
        agent.until("it was asked", |_| liar.met() >= 2);
        let listed = agent.engine.list().expect("lists");
        assert!(listed.iter().all(|seen| seen.end().is_none()), "{mood:?}: {listed:?}");
    }
    // Away altogether; an agent that begins now takes over what runs, and knows the cluster as it was.
    liar.becomes(Mood::Honest);
    agent.until("it was asked", |_| liar.met() >= 1);
    lab.kill("slurmrestd");
    agent.until("it was asked", |_| liar.met() >= 3);
    let mut agent = agent.restart();
    assert_eq!(agent.engine.list().expect("lists").len(), 5, "all are adopted");
    lab.restart_rest();
    std::fs::write(&go, "").expect("writes");
    agent.all_end_with(&attempts, &Outcome::Exited(0));
    assert_eq!(runs(&file), 5, "each ran once");
    // And the daemon that is there again is heard.
    let attempt = agent.start_lines(1, "true")[0];
    assert_eq!(agent.outcome(attempt), Outcome::Exited(0));
}
