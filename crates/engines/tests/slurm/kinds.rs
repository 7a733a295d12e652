//! A partition of two kinds of nodes: what was planned on one kind runs on it, whatever Slurm chooses,
//! and says where.

use std::collections::BTreeMap;

use dayan_engines::slurm::Lookout;
use dayan_engines::{Engine, Fault, GangSeat, Launch, Outcome, StartFault};

use crate::agent::Agent;
use crate::config;
use crate::lab::{Accounts, Lab};
use crate::rest::by_rest;

/// Two nodes of each kind, the cheap ones first: those are what Slurm gives to who does not say.
const TWO_KINDS: [(&str, &str); 4] = [("NODES", "4"), ("CPN", "4"), ("V100", "2"), ("REST", "1")];

/// What `scontrol show job` says of an attempt's job.
fn job(lab: &Lab, attempt: &dayan_units::AttemptId) -> BTreeMap<String, String> {
    let all = lab.ask("scontrol", &["--oneliner", "show", "job"]);
    let mark = format!("dayan {attempt}");
    let line =
        all.lines().find(|line| line.contains(&mark)).unwrap_or_else(|| panic!("{mark}: {all}"));
    let words = line.split(' ').filter_map(|word| word.split_once('='));
    words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn planned(agent: &mut Agent, node: &str, cards: u32) -> Launch {
    Launch { node: node.to_owned(), accelerators: cards, ..agent.launch("true") }
}

#[test]
fn cards_and_features_are_those_of_the_planned_node() {
    let Some(lab) = Lab::start(Accounts::Absent, &TWO_KINDS) else { return };
    let rest = by_rest(&lab, "by-rest", &lab.rest_socket());
    for config in [config(&lab, "by-commands"), rest] {
        let mut agent = Agent::open(config);
        let nodes = &agent.engine.survey().nodes;
        let seen = nodes.iter().map(|node| {
            let features: Vec<&str> = node.features.iter().map(String::as_str).collect();
            (node.accelerator.as_deref().unwrap_or_default(), features.join(","))
        });
        let expect = [("v100", "avx2"), ("v100", "avx2"), ("a100", "avx512"), ("a100", "avx512")];
        assert!(seen.eq(expect.map(|(card, word)| (card, word.to_owned()))), "{nodes:?}");

        let dear = planned(&mut agent, "n4", 1);
        let cheap = planned(&mut agent, "n2", 2);
        let mut wide = planned(&mut agent, "n1", 0);
        wide.node_features = ["avx512", "partition-main"].map(str::to_owned).into();
        // Nobody shares an array with who asks for something else.
        let attempts = agent.start(vec![dear, cheap, wide]);
        let asked = [("gres:gpu:a100:1", "(null)"), ("gres:gpu:v100:2", "(null)"), ("", "avx512")];
        let on = [["n3", "n4"], ["n1", "n2"], ["n3", "n4"]];
        for ((attempt, (gres, feature)), on) in attempts.iter().zip(asked).zip(on) {
            let end = agent.end(*attempt);
            assert_eq!(end.end().map(|end| end.outcome.clone()), Some(Outcome::Exited(0)));
            let said = job(&lab, attempt);
            let told = |name: &str| said.get(name).map(String::as_str).unwrap_or_default();
            assert_eq!((told("TresPerNode"), told("Features")), (gres, feature), "{said:?}");
            assert!(on.contains(&told("NodeList")), "{said:?}");
            assert_eq!(end.node.as_deref(), Some(told("NodeList")), "the engine says where it was");
        }

        // No type of cards is that of all of a gang on both: it is given the nodes themselves.
        let seat = |rank| GangSeat { launch: 0, nodes: 2, members: 2, rank };
        let mut members = [0, 1].map(|rank| {
            let node = ["n2", "n3"][rank as usize];
            Launch { gang: Some(seat(rank)), ..planned(&mut agent, node, 1) }
        });
        for member in &mut members {
            member.env.insert("DAYAN_NODELIST".to_owned(), "n2,n3".to_owned());
        }
        let attempts = agent.start(members.to_vec());
        agent.all_end_with(&attempts, &Outcome::Exited(0));
        let said = job(&lab, &attempts[0]);
        assert_eq!(said.get("NodeList").map(String::as_str), Some("n[2-3]"), "{said:?}");

        let unknown = planned(&mut agent, "n9", 1);
        let refused = agent.engine.start(vec![unknown]).remove(0).expect_err("which cards?");
        let named = matches!(&refused, StartFault::Lacking(why) if why.contains("`n9`"));
        assert!(named, "{refused}");
    }
}

#[test]
fn a_cluster_that_is_away_is_known_as_it_was() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "4")]) else { return };
    let mut config = config(&lab, "agent");
    let mut agent = Agent::open(config.clone());
    let task = agent.start_lines(1, "sleep 600")[0];
    agent.running(task);
    assert!(Lookout::new(config.clone()).look().is_ok());
    lab.kill("slurmctld");
    config.pace.ask_within = dayan_units::Span::from_secs(2);
    let mut agent = agent.restart_with(config.clone());
    assert_eq!(agent.engine.list().expect("lists").len(), 1, "it is adopted");
    let away = Lookout::new(config.clone());
    assert!(matches!(away.look(), Err(Fault::Unreachable(_))));
    let known = away.last_seen().expect("somebody has seen it");
    let names: Vec<&str> = known.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!((names, known.nodes[0].up), (vec!["n1", "n2"], true));
    let (boot, now) = agent.engine.boot_now();
    let end = dayan_engines::LeaseEnd { boot, at: now.plus(dayan_units::Span::from_secs(900)) };
    agent.engine.extend(&[(task, end)]).expect("leases are prolonged without it");
    // What runs hears of its agent by files alone.
    let grace = dayan_units::Span::from_secs(1);
    agent.engine.stop(task, grace, dayan_engines::Signal(15)).expect("asks");
    assert_eq!(agent.outcome(task), Outcome::Stopped);
    lab.revive("slurmctld");
    agent.until("it answers again", |_| away.look().is_ok());
    // A first start has nothing to go by.
    lab.kill("slurmctld");
    config.dir = lab.folder("another");
    assert!(Lookout::new(config).last_seen().is_none());
}
