//! A controller that was killed has forgotten what it took last, and gives the numbers again.

use std::path::Path;
use std::process::Command;

use dayan_engines::{Engine, LeaseEnd, Outcome, Phase, Signal};
use dayan_units::{AttemptId, Span};

use crate::agent::{Agent, runs};
use crate::config;
use crate::lab::{Accounts, Lab};
use crate::trials::{jobs, noting};

fn copy(from: &Path, to: &Path) {
    let said = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("there is cp");
    assert!(said.success(), "{} is copied", from.display());
}

/// The controller as it was at some moment, on its disk.
struct Moment<'a> {
    lab: &'a Lab,
}

impl<'a> Moment<'a> {
    fn of(lab: &'a Lab, partition: &str) -> Self {
        lab.ask("scontrol", &["update", "partitionname=main", &format!("state={partition}")]);
        // It writes down what it knows when it ends in order, and when it is killed it does not.
        lab.shut_down_controller();
        copy(&lab.state(), &lab.folder("state.kept"));
        lab.revive("slurmctld");
        lab.heal();
        Self { lab }
    }

    /// It dies, and knows no more than it knew then.
    fn returns(self) {
        let lab = self.lab;
        self.returns_as_it_was();
        lab.ask("scontrol", &["update", "partitionname=main", "state=up"]);
    }

    /// The same; its partition is as it was.
    fn returns_as_it_was(self) {
        self.lab.kill("slurmctld");
        std::fs::remove_dir_all(self.lab.state()).expect("its state");
        std::fs::rename(self.lab.folder("state.kept"), self.lab.state()).expect("what it knew");
        self.lab.revive("slurmctld");
        self.lab.heal();
    }
}

/// The number of the one job that is in the queue.
fn number(lab: &Lab) -> String {
    let queue = jobs(lab);
    queue.first().and_then(|id| id.split('_').next()).expect("one is there").to_owned()
}

#[test]
fn what_waited_under_a_number_that_is_anothers_by_now_is_submitted_again() {
    let Some(lab) = Lab::start(Accounts::Kept, &[("NODES", "2"), ("CPN", "8")]) else { return };
    let (ours, others) = (lab.folder("ran"), lab.folder("ran-others"));
    let moment = Moment::of(&lab, "down");
    let mut agent = Agent::open(config(&lab, "agent"));
    let attempts = agent.start_lines(3, &noting(&ours, "true"));
    agent.until("they wait", |_| jobs(&lab).len() == 3);
    let forgotten = number(&lab);
    moment.returns();
    let mut other = Agent::open(config(&lab, "other"));
    let theirs = other.start_lines(3, &noting(&others, "sleep 8"));
    for attempt in &theirs {
        other.running(*attempt);
    }
    assert_eq!(number(&lab), forgotten, "it is given again");
    // It looks at the queue, and sees that the number is another's: whom it stops is not cancelled by that.
    let seen = agent.engine.boot_now().1.plus(Span::from_secs(6));
    agent.until("the queue was looked at", |agent| agent.engine.boot_now().1 >= seen);
    agent.engine.stop(attempts[2], Span::from_secs(1), Signal::TERM).expect("stops");
    assert_eq!(agent.outcome(attempts[2]), Outcome::Stopped);
    other.all_end_with(&theirs, &Outcome::Exited(0));
    assert_eq!(runs(&others), 3);
    // It is over, by its accounts and the controller's memory: that is no end of ours.
    agent.all_end_with(&attempts[..2], &Outcome::Exited(0));
    assert_eq!(runs(&ours), 2, "once each, and not the one that was stopped");
}

#[test]
fn a_cancellation_that_the_controller_has_forgotten_is_made_again() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "8")]) else { return };
    let file = lab.folder("ran");
    lab.ask("scontrol", &["update", "partitionname=main", "state=down"]);
    let mut agent = Agent::open(config(&lab, "agent"));
    let attempts = agent.start_lines(3, &noting(&file, "true"));
    agent.until("they wait", |_| jobs(&lab).len() == 3);
    let mut one_more = agent.launch(&noting(&file, "true"));
    one_more.limits.cpu = dayan_units::MilliCpu(2_000);
    let stays = agent.start(vec![one_more]);
    agent.until("one more waits", |_| jobs(&lab).len() == 4);
    let moment = Moment::of(&lab, "down");
    for attempt in &attempts {
        agent.engine.stop(*attempt, Span::from_secs(1), Signal::TERM).expect("stops");
        assert_eq!(agent.outcome(*attempt), Outcome::Stopped);
    }
    agent.until("they are cancelled", |_| jobs(&lab).len() == 1);
    moment.returns_as_it_was();
    agent.until("the cancelled are there again", |_| jobs(&lab).len() == 4);
    agent.until("they are cancelled again", |_| jobs(&lab).len() == 1);
    lab.ask("scontrol", &["update", "partitionname=main", "state=up"]);
    agent.all_end_with(&stays, &Outcome::Exited(0));
    assert_eq!(runs(&file), 1);
}

#[test]
fn what_runs_under_a_number_that_is_anothers_by_now_does_not_end_with_that() {
    let Some(lab) = Lab::start(Accounts::Kept, &[("NODES", "2"), ("CPN", "8")]) else { return };
    let file = lab.folder("ran");
    let moment = Moment::of(&lab, "up");
    let mut agent = Agent::open(config(&lab, "agent"));
    // As the exchange does as long as it hears of them.
    let prolong = |agent: &mut Agent, attempts: &[AttemptId]| {
        let (boot, now) = agent.engine.boot_now();
        let end = LeaseEnd { boot, at: now.plus(Span::from_secs(15)) };
        let leases: Vec<_> = attempts.iter().map(|attempt| (*attempt, end)).collect();
        agent.engine.extend(&leases).expect("extends");
    };
    let attempts = agent.start_lines(2, &noting(&file, "sleep 30"));
    agent.until("they run", |agent| attempts.iter().all(|attempt| agent.is_running(*attempt)));
    prolong(&mut agent, &attempts);
    let forgotten = number(&lab);
    let name = || lab.ask("squeue", &["-h", "-t", "all", "-j", &forgotten, "-o", "%j"]);
    let ours = name();
    moment.returns();
    // Another batch of the same agent has the number.
    let quick = agent.start_lines(1, "true");
    agent.all_end_with(&quick, &Outcome::Exited(0));
    assert!(!name().is_empty() && name().lines().all(|line| !ours.contains(line)), "{}", name());
    let pid = |agent: &Agent, attempt| match agent.phase(attempt) {
        Some(Phase::Running { pid: Some(pid), .. }) => *pid,
        other => panic!("it ran here: {other:?}"),
    };
    let pids: Vec<u32> = attempts.iter().map(|attempt| pid(&agent, *attempt)).collect();
    agent.until("they are over", |agent| {
        prolong(agent, &attempts);
        attempts.iter().all(|attempt| !agent.is_running(*attempt))
    });
    for (attempt, pid) in attempts.iter().zip(pids) {
        let outcome = agent.outcome(*attempt);
        // The controller kills what it does not know where it finds it; else it ends by itself.
        let fine = matches!(outcome, Outcome::Exited(0) | Outcome::KeeperDied);
        assert!(fine, "{attempt}: {outcome:?}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "nothing of it runs any more");
    }
    assert_eq!(runs(&file), 2);
}
