//! Pools of clusters: places in their own queue, and words that their providers let jobs say.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::planning::{Beside, OTHERS_FOR, Planning};
use dayan_exchange::{
    AttemptNews, Command, Digest, Join, Made, NewOffer, Node, Placing, PoolNews, QUEUE_NODE, Queue,
    Seen, changes,
};
use dayan_identity::Status;
use dayan_market::BuyerClass;
use dayan_schedule::{HeldByOthers, LeaseEnd, Placement, ReasonCode, Work};
use dayan_units::{
    AttemptId, Bytes, JobId, Micro, MilliAccel, MilliCpu, PoolId, Rate, Resources, Span,
};

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

    /// Asks to join with a key and a token of its own: the pool's name, or why not.
    fn joins(
        &mut self,
        invitation: Digest,
        [key, token]: [u8; 2],
        pool: &str,
        more: u32,
    ) -> String {
        let joining = Join {
            invitation,
            public_key: secret(key),
            token: secret(token),
            pool: pool.to_owned(),
            more,
            ..join()
        };
        match self.asks(Command::Join(Box::new(joining))) {
            Ok(Made::Agent(_, pool)) => self.state.supply.pools[&pool].name.clone(),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => refusal.code.into_owned(),
        }
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
fn where_a_task_is_says_the_pool_and_what_is_booked_stays() {
    let mut story = Story::new();
    let mut shown = join().shown;
    let planned = shown.nodes[0].name.clone();
    let other = Node { name: "other".to_owned(), ..shown.nodes[0].clone() };
    shown.nodes.push(other);
    shown.placing = Placing::ByPool;
    let agent = story.agent;
    let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
    story.does(Command::PoolNews(Box::new(news)));
    let job = story.submits("");
    story.places(job, &[0]);
    let attempt = AttemptId { job, task: 0, attempt: 1 };
    let mut says = |node: Option<&str>| {
        let node = node.map(str::to_owned);
        let seen = Some(Seen::Running);
        let news = AttemptNews { agent, attempt, seen, usage: None, evidence: None, node };
        story.does(Command::AttemptNews(Box::new(news)));
        let lease = &story.state.work.leases[&attempt];
        assert_eq!(lease.node, planned, "that is what its place is booked on");
        lease.node_now().to_owned()
    };
    assert_eq!(says(None), planned);
    assert_eq!(says(Some("nobody-shows-this")), planned);
    assert_eq!(says(Some("other")), "other");
    assert_eq!(says(None), "other");
    assert_eq!(says(Some(&planned)), planned, "it is where it was planned after all");
}

#[test]
fn a_card_is_found_by_its_family_whatever_the_site_calls_it() {
    for (asked, starts) in [("A100:1", 1), ("any-nvidia:1", 1), ("V100:1", 0), ("A100-80GB:1", 0)] {
        let mut story = Story::new();
        let mut shown = join().shown;
        shown.nodes[0].accelerator = Some("a100".to_owned());
        shown.nodes[0].total.accel = MilliAccel(1_000);
        let (agent, pool) = (story.agent, story.pool);
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        story.does(Command::PoolNews(Box::new(news)));
        story.does(Command::ListOffer(Box::new(NewOffer {
            pool,
            rate: Rate { core_hour: Micro::from_units(1), ..Rate::default() },
            minimum: Span::ZERO,
            accelerator: Some("a100".to_owned()),
            min: None,
            max: None,
            classes: BTreeMap::from([(BuyerClass::External, 1_000)]),
            spot_permille: None,
            tariff: None,
            valid_until: None,
        })));
        let resources = format!("cpus: 1, memory: 1GB, time: 10m, accelerators: '{asked}'");
        story.does(Story::submission_asking(&resources, "buyer/a", "", None));
        assert_eq!(story.plans().len(), starts, "{asked}");
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
fn a_partition_is_the_pool_that_is_called_so() {
    let mut story = Story::new();
    let shows = |story: &mut Story, features: &[&str], lines: &[(&str, &str)]| {
        story.shows_a_cluster(features);
        let mut shown = story.state.supply.pools[&story.pool].shown.clone();
        let lines = lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        shown.inventory.extend(lines);
        let agent = story.agent;
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        story.does(Command::PoolNews(Box::new(news)));
    };
    let file = |name: &str| format!("backend: {{slurm: {{partition: '{name}'}}}}\n");
    let refused = |story: &mut Story, name: &str| {
        let submit = story.submission(&file(name), None);
        let refusal = story.asks(submit).expect_err("nobody is called so");
        refusal.details.iter().map(|detail| detail.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let words = |story: &Story, name: &str| {
        let text =
            format!("version: 1\nname: x\ntype: batch\nproject: buyer/a\n{}run: x\n", file(name));
        let spec = dayan_spec::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        dayan_exchange::partitions::words(
            &story.state,
            &story.state.supply.pools[&story.pool],
            &spec,
        )
    };
    // Whatever its engine, a pool is called by its name.
    let pool = story.state.supply.pools[&story.pool].name.clone();
    let there = format!("no pool is called by partition `debug`; there are: {pool}");
    assert_eq!(refused(&mut story, "debug"), there);
    let job = story.submits(&file(&pool));
    assert_eq!(story.plans().len(), 1);
    story.does(Command::Cancel { job, task: None });

    // Slurm's name and the pool's, and one of several; nobody has to allow it, and nothing is said to
    // Slurm, which the agent knows better.
    shows(&mut story, &[], &[("slurm.partition", "debug")]);
    let there = format!("no pool is called by partition `nosuch`; there are: debug, {pool}");
    assert_eq!(refused(&mut story, "nosuch"), there);
    for name in ["debug", &pool, "nosuch, debug"] {
        let job = story.submits(&file(name));
        let plan = story.plans();
        assert_eq!((plan.len(), plan[0].job), (1, job), "{name}");
        assert!(words(&story, name).is_empty(), "{name}");
        story.does(Command::Cancel { job, task: None });
    }

    // What no pool is goes to one whose jobs may say so; what some pool is does not.
    shows(
        &mut story,
        &["slurm_options", "slurm_options.partition"],
        &[("slurm.partition", "debug"), ("slurm.partitions", "debug,long")],
    );
    let job = story.submits(&file("long,nosuch"));
    let plan = story.plans();
    assert_eq!((plan.len(), plan[0].job), (1, job));
    assert_eq!(words(&story, "long,nosuch")["partition"], "long");
    assert!(refused(&mut story, "nosuch").contains("there are: debug, long"));
}

/// Which partitions a job names is its file's alone: what there is may change while it waits.
#[test]
fn a_partition_that_comes_while_a_job_waits_is_the_pool_that_is_called_so() {
    let mut story = Story::new();
    let shows = |story: &mut Story, pool: PoolId, features: &[&str], lines: &[(&str, &str)]| {
        let pool = &story.state.supply.pools[&pool];
        let (agent, mut shown) = (pool.agent, pool.shown.clone());
        "slurm".clone_into(&mut shown.engine);
        shown.features = features.iter().map(|name| (*name).to_owned()).collect();
        let lines = lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        shown.inventory.extend(lines);
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        story.does(Command::PoolNews(Box::new(news)));
    };
    let features = ["slurm_options", "slurm_options.partition"];
    let lines = [("slurm.partition", "debug"), ("slurm.partitions", "debug,long,wide")];
    let debug = story.pool;
    shows(&mut story, debug, &features, &lines);
    let [job, both] = ["long", "long,wide"]
        .map(|name| story.submits(&format!("backend: {{slurm: {{partition: '{name}'}}}}\n")));
    // Said alike by a planner that starts and by one that heard of everything as it happened.
    let pools = |story: &Story, job: JobId| -> BTreeSet<PoolId> {
        let of = |placements: Vec<Placement>| -> BTreeSet<PoolId> {
            let of_job = placements.into_iter().filter(|placed| placed.job == job);
            of_job.flat_map(|placed| placed.seats).map(|seat| seat.pool).collect()
        };
        let fresh = of(story.plans());
        assert_eq!(of(story.heard().plan(story.now, Work::UNBOUNDED).placements), fresh);
        fresh
    };
    assert_eq!(pools(&story, job), [debug].into());

    let (invitation, expires_at) = (secret(50), story.now.plus(seconds(600)));
    let provider = story.state.supply.pools[&debug].provider;
    story.does(Command::Invite { provider, digest: invitation, expires_at });
    assert_eq!(story.joins(invitation, [60, 101], "cluster-long", 0), "cluster-long");
    let called = |pool: &&dayan_exchange::Pool| pool.name == "cluster-long";
    let long = story.state.supply.pools.values().find(called).expect("it has joined").id;
    shows(&mut story, long, &[], &[("slurm.partition", "long")]);
    story.does(Command::SetPoolStatus { pool: long, status: Status::Verified });
    assert_eq!(pools(&story, job), [debug].into(), "it takes no work yet");
    story.does(Command::SetPoolStatus { pool: long, status: Status::Active });
    assert_eq!(
        pools(&story, job),
        BTreeSet::new(),
        "it has no offer, and is the one that is meant"
    );
    // Each name is looked at by itself.
    assert_eq!(pools(&story, both), [debug].into());
    let said = |story: &Story| {
        let work = &story.state.work;
        let spec = &work.spec_of(&work.jobs[&both]).spec;
        dayan_exchange::partitions::words(&story.state, &story.state.supply.pools[&debug], spec)
    };
    assert_eq!(said(&story)["partition"], "wide");
    let waits = story.heard().explain(job, story.now).expect("it waits");
    let of_debug = waits.reasons.iter().find(|reason| reason.code == ReasonCode::PoolFeature);
    assert_eq!(of_debug.expect("it refuses").message, "is none of partition `long`");
    story.does(Command::SetPoolStatus { pool: long, status: Status::Suspended });
    assert_eq!(pools(&story, job), [debug].into());
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
        let token = 100 + u8::try_from(story.state.supply.agents.len()).expect("a few");
        story.joins(invitation, [key, token], pool, more)
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

#[test]
fn a_join_whose_answer_was_lost_is_the_same_join_again() {
    let mut story = Story::new();
    let provider = story.state.supply.pools[&story.pool].provider;
    let (cluster, expires_at) = (secret(50), story.now.plus(seconds(600)));
    story.does(Command::Invite { provider, digest: cluster, expires_at });
    let asks = |story: &mut Story, key, token, pool: &str, more| {
        story.joins(cluster, [key, token], pool, more)
    };
    let pools = |story: &Story| story.state.supply.pools.len();
    let before = pools(&story);
    assert_eq!(asks(&mut story, 60, 101, "a", 2), "a");
    // Nobody heard it, and it is asked for again: with a count of others that has not changed.
    assert_eq!(asks(&mut story, 60, 101, "a", 2), "a");
    assert_eq!(asks(&mut story, 60, 102, "b", 2), "b");
    assert_eq!(asks(&mut story, 60, 102, "b", 2), "b");
    // Two parts of a cluster may be called the same; it is the token that tells joins apart.
    assert_eq!(asks(&mut story, 60, 103, "b", 2), "b-2", "the last of them gets in");
    assert_eq!(story.state.supply.join_tokens.get(&cluster), None);
    // The last one's answer may be lost as well, and be asked for after the invitation has ended.
    assert_eq!(asks(&mut story, 60, 103, "b", 2), "b-2");
    story.now = story.now.plus(seconds(601));
    assert_eq!(asks(&mut story, 60, 101, "a", 2), "a");
    assert_eq!(pools(&story), before + 3);
    // One that is over does not come back by being asked for again.
    let named = |story: &Story, name: &str| {
        let mut pools = story.state.supply.pools.values();
        pools.find(|pool| pool.name == name).expect("it has joined").id
    };
    let pool = named(&story, "a");
    story.does(Command::SetPoolStatus { pool, status: Status::Retired });
    assert_eq!(asks(&mut story, 60, 101, "a", 2), "join.retired");
    assert_eq!(story.state.supply.pools[&pool].status, Status::Retired);
    // Who has another key does not become that agent by its token.
    assert_eq!(asks(&mut story, 61, 103, "b", 0), "join.own_token");
    assert_eq!(asks(&mut story, 60, 104, "c", 0), "join.token", "used up");
}
