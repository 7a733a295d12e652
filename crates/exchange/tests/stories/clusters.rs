//! Pools of clusters: places in their own queue, and words that their providers let jobs say.

use std::collections::BTreeSet;

use dayan_exchange::planning::{Beside, OTHERS_FOR, Planning};
use dayan_exchange::{Command, Join, Made, Placing, PoolNews, QUEUE_NODE, Queue, changes};
use dayan_schedule::{HeldByOthers, LeaseEnd, Placement};
use dayan_units::{Bytes, MilliCpu, Resources};

use crate::story::{Story, join, seconds, secret};

impl Story {
    /// Its one machine of eight cores, and two places of four cores in its queue.
    fn shows_a_cluster(&mut self, features: &[&str]) {
        let mut shown = join().shown;
        "slurm".clone_into(&mut shown.engine);
        shown.placing = Placing::ByPool;
        shown.features = features.iter().map(|name| (*name).to_owned()).collect();
        let unit =
            Resources { cpu: MilliCpu(4_000), memory: Bytes(4_000_000_000), ..Resources::ZERO };
        shown.queue = Some(Queue { unit, places: 2, time_max: seconds(600) });
        let agent = self.agent;
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        self.does(Command::PoolNews(Box::new(news)));
    }

    /// Has all of a plan committed; how many went to machines, and how many to the queue.
    fn commits(&mut self, plan: &[Placement]) -> [usize; 2] {
        let mut counts = [0, 0];
        for placement in plan {
            for seat in &placement.seats {
                counts[usize::from(seat.node.as_str() == QUEUE_NODE)] += 1;
            }
            self.does(dayan_exchange::planning::command(placement));
        }
        counts
    }
}

#[test]
fn what_may_run_longer_than_the_sites_bound_is_not_sent_there() {
    let mut story = Story::new();
    story.shows_a_cluster(&[]);
    let bound = |story: &mut Story, minutes: &str| {
        let mut shown = story.state.supply.pools[&story.pool].shown.clone();
        shown.inventory.insert("slurm.minutes_max".to_owned(), minutes.to_owned());
        let agent = story.agent;
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        story.does(Command::PoolNews(Box::new(news)));
    };
    story.submits("");
    bound(&mut story, "9");
    assert_eq!(story.plans(), [], "it may take ten minutes");
    bound(&mut story, "10");
    assert_eq!(story.plans().len(), 1);
    bound(&mut story, "unlimited");
    assert_eq!(story.plans().len(), 1);
}

#[test]
fn short_tasks_wait_ahead_and_no_more_than_there_are_places() {
    let mut story = Story::new();
    story.shows_a_cluster(&[]);
    let job = story.submits("array: {range: 1-30}\n");
    let plan = story.plans();
    assert_eq!(story.commits(&plan), [8, 8]);
    assert_eq!(story.waits(job).len(), 14);
    assert_eq!(story.plans(), []);
    // Whoever asks for more is refused, as anywhere.
    let mut more = plan[0].clone();
    more.seats.retain(|seat| seat.node.as_str() == QUEUE_NODE);
    more.seats.truncate(1);
    more.seats[0].task = story.waits(job)[0];
    let refused = story.asks(dayan_exchange::planning::command(&more)).expect_err("it is full");
    assert_eq!(refused.code, "place.full");
}

#[test]
fn long_tasks_do_not_wait_ahead_whoever_says_so() {
    let mut story = Story::new();
    story.shows_a_cluster(&[]);
    let submit = Story::submission_asking("cpus: 1, memory: 1GB, time: 11m", "buyer/a", "", None);
    let dayan_exchange::Made::Job(job) = story.does(submit) else { panic!("no job") };
    let mut plan = story.plans();
    assert_eq!(plan[0].seats[0].node.as_str(), "n");
    plan[0].seats[0].node = QUEUE_NODE.into();
    let refused = story.asks(dayan_exchange::planning::command(&plan[0])).expect_err("too long");
    assert_eq!(refused.code, "place.queue");
    assert_eq!(story.waits(job), [0]);
}

#[test]
fn a_word_for_slurm_is_taken_where_the_provider_lets_jobs_say_it() {
    let mut story = Story::new();
    let words = "backend: {slurm: {qos: high, nice: '3'}}\n";
    let refused = |story: &mut Story| {
        let submit = story.submission(words, None);
        let refusal = story.asks(submit).expect_err("nobody takes it");
        let details = refusal.details.iter().map(|detail| detail.subject.clone());
        (refusal.code.into_owned(), details.collect::<Vec<_>>())
    };
    let not_offered = || "spec.not_offered".to_owned();
    assert_eq!(refused(&mut story), (not_offered(), vec!["backend.slurm".to_owned()]));
    story.shows_a_cluster(&["slurm_options", "slurm_options.nice"]);
    assert_eq!(refused(&mut story), (not_offered(), vec!["backend.slurm.qos".to_owned()]));
    story.shows_a_cluster(&["slurm_options", "slurm_options.nice", "slurm_options.qos"]);
    let job = story.submits(words);
    let plan = story.plans();
    assert_eq!((plan.len(), plan[0].job), (1, job));
    // A pool that takes one of the two is no place for it.
    story.shows_a_cluster(&["slurm_options", "slurm_options.nice"]);
    assert_eq!(story.plans(), []);
}

#[test]
fn what_the_cluster_expects_of_its_queue_is_in_estimates_while_it_is_believed() {
    let mut story = Story::new();
    story.shows_a_cluster(&[]);
    let job = story.submits("");
    let (pool, told) = (story.pool, story.now);
    let mut planning = Planning::default();
    planning.observe(&changes::everything(&story.state, told));
    let end = told.plus(seconds(1_200));
    let whole = Resources { cpu: MilliCpu(8_000), ..Resources::ZERO };
    let end = LeaseEnd { expected: end, latest: end };
    let held = vec![HeldByOthers { node: "n".into(), resources: whole, end }];
    let beside = |starts_in| Beside { held: held.clone(), starts_in };
    let start = |planning: &Planning, now| {
        let why = planning.planner().explain(job, now).expect("it waits");
        why.start.expect("an estimate").p50
    };
    planning.others(pool, beside(None), told);
    assert_eq!(start(&planning, told), seconds(1_200), "others have it");
    planning.others(pool, beside(Some(seconds(3_600))), told);
    assert_eq!(start(&planning, told), seconds(3_600), "and more of theirs comes first");
    let later = told.plus(seconds(60));
    assert_eq!(start(&planning, later), seconds(3_540));
    // Told anew it is as long as before; an exchange that reads its state anew forgets nothing.
    planning.others(pool, beside(Some(seconds(3_600))), later);
    planning.reset(&changes::everything(&story.state, later));
    assert_eq!(start(&planning, later), seconds(3_600));
    planning.others(pool, beside(None), later);
    assert_eq!(start(&planning, later), seconds(1_140));
    // What nobody says any more is not believed for ever.
    planning.others(pool, beside(Some(seconds(3_600))), later);
    planning.silence(BTreeSet::new(), &[]);
    let believed = later.plus(OTHERS_FOR);
    assert!(planning.round(believed).placements.iter().all(|it| it.seats[0].node.as_str() != "n"));
    planning.reset(&changes::everything(&story.state, believed));
    let placed = planning.round(believed.plus(seconds(1))).placements;
    assert_eq!((placed.len(), placed[0].seats[0].node.as_str()), (1, "n"));
}

#[test]
fn one_invitation_lets_in_the_pools_of_one_key_and_nobody_else() {
    let mut story = Story::new();
    let provider = story.state.supply.pools[&story.pool].provider;
    let invites = |story: &mut Story, digest| {
        let expires_at = story.now.plus(seconds(600));
        story.does(Command::Invite { provider, digest, expires_at });
    };
    let joins = |story: &mut Story, invitation, key, pool: &str, more| {
        let token = secret(100 + u8::try_from(story.state.supply.agents.len()).expect("a few"));
        let joining = Join {
            invitation,
            public_key: secret(key),
            token,
            pool: pool.to_owned(),
            more,
            ..join()
        };
        match story.asks(Command::Join(Box::new(joining))) {
            Ok(Made::Agent(_, pool)) => story.state.supply.pools[&pool].name.clone(),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => refusal.code.into_owned(),
        }
    };
    let cluster = secret(50);
    invites(&mut story, cluster);
    assert_eq!(joins(&mut story, cluster, 60, "a", 2), "a");
    // Who found the token is not let in by it, whatever it says.
    assert_eq!(joins(&mut story, cluster, 61, "thief", 0), "join.token");
    // What it says later of others counts no more.
    assert_eq!(joins(&mut story, cluster, 60, "b", 63), "b");
    assert_eq!(joins(&mut story, cluster, 60, "a", 0), "a-2");
    assert_eq!(joins(&mut story, cluster, 60, "d", 0), "join.token", "used up");
    assert_eq!(story.state.supply.join_tokens.get(&cluster), None);

    let late = secret(51);
    invites(&mut story, late);
    assert_eq!(joins(&mut story, late, 62, "many", 64), "join.pools");
    assert_eq!(joins(&mut story, late, 62, "e", 1), "e");
    story.now = story.now.plus(seconds(601));
    assert_eq!(joins(&mut story, late, 62, "f", 0), "join.token", "it has ended");
}
