//! What the site holds still (`scontrol suspend`, preemption by suspending) and lets go on.

use dayan_engines::{Engine, LeaseEnd, Outcome};
use dayan_units::{AttemptId, Span};

use crate::agent::Agent;
use crate::config;
use crate::lab::{Accounts, Lab};
use crate::trials::jobs;

/// Longer than the leases, and than a busy machine is late.
const STILL: Span = Span::from_secs(14);
const LEASE: Span = Span::from_secs(5);
/// Slurm asks two seconds before it holds a job, and a look is two seconds from the next.
const NOTICED: Span = Span::from_secs(5);

fn prolong(agent: &mut Agent, attempts: &[AttemptId]) {
    let (boot, now) = agent.engine.boot_now();
    let end = LeaseEnd { boot, at: now.plus(LEASE) };
    let leases: Vec<_> = attempts.iter().map(|attempt| (*attempt, end)).collect();
    agent.engine.extend(&leases).expect("extends");
}

#[test]
fn what_the_site_suspends_is_not_billed_meanwhile_and_goes_on() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "4")]) else { return };
    let mut agent = Agent::open(config(&lab, "agent"));
    let limit = Span::from_secs(12);
    let mut limited = agent.launch("sleep 100");
    limited.limits.wall = limit;
    let unlimited = agent.launch("sleep 100");
    let unwanted = agent.launch("sleep 100");
    let attempts = agent.start(vec![limited, unlimited, unwanted]);
    for attempt in &attempts {
        agent.running(*attempt);
    }
    prolong(&mut agent, &attempts);
    let begun = agent.engine.boot_now().1;
    let queue = jobs(&lab);
    assert_eq!(queue.len(), 3);
    for job in &queue {
        lab.ask("scontrol", &["suspend", job]);
    }
    agent.until("it was held for long", |agent| {
        prolong(agent, &attempts);
        agent.engine.boot_now().1 >= begun.plus(STILL)
    });
    assert!(attempts.iter().all(|attempt| agent.is_running(*attempt)), "what is held is not over");
    // Its wrapper cannot hear that it is to stop: Slurm is told.
    agent.engine.stop(attempts[2], Span::from_secs(1), dayan_engines::Signal::TERM).expect("stops");
    let stopped = agent.outcome_prolonged(attempts[2], |agent| prolong(agent, &attempts));
    assert_eq!(stopped, Outcome::Stopped);
    let held = agent.engine.boot_now().1.since(begun);
    assert!(held <= STILL.plus(Span::from_secs(20)), "{held}: at once, as Slurm looks at it");
    for job in &queue {
        lab.ask("scontrol", &["resume", job]);
    }
    let still = agent.engine.boot_now().1.since(begun);
    // Its limit has long been over, had it run all the time.
    let ended = agent.outcome_prolonged(attempts[0], |agent| prolong(agent, &attempts));
    assert_eq!(ended, Outcome::TimeLimit);
    let lasted = agent.engine.boot_now().1.since(begun);
    assert!(lasted >= limit.plus(still).minus(NOTICED), "{lasted}: its limit stood still as well");
    // It is killed a moment after its limit, and the site has to be heard.
    let most = limit.plus(still).plus(NOTICED.times(2));
    assert!(lasted <= most, "{lasted}: and no longer than the job did");
    assert!(agent.is_running(attempts[1]), "its lease was prolonged while nobody there could hear");

    agent.engine.stop(attempts[1], Span::from_secs(1), dayan_engines::Signal::TERM).expect("stops");
    let wall = agent.end(attempts[1]).usage.wall;
    let whole = agent.engine.boot_now().1.since(begun);
    assert!(wall <= whole.minus(still).plus(NOTICED), "{wall} of {whole} is billed");
    assert!(wall >= whole.minus(still).minus(NOTICED), "{wall} of {whole}: and all that it ran");
}
