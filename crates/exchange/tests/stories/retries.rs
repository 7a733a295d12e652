//! Tasks that failed go again: elsewhere, later each time, and with more memory where they lacked it.

use std::collections::BTreeSet;

use dayan_exchange::{
    BACK_OFF_FIRST, BACK_OFF_MAX, BARRED_FOR, Blame, Command, Event, JobEnd, Made, NewOffer, Node,
    Outcome, Place, PoolNews, Seat, Seen, Waived, changes,
};
use dayan_identity::Status;
use dayan_market::BuyerClass;
use dayan_schedule::{Planner, Seat as Planned, Work};
use dayan_units::{AttemptId, Bytes, JobId, Micro, PoolId, Rate, Span, Time};

use crate::story::{Story, exits, first, join, seconds, secret};

const GB: u64 = 1_000_000_000;

impl Story {
    /// A second provider with a pool like the first one's, at twice the price.
    fn rival(&mut self) -> PoolId {
        let (org, name) = ("seller".to_owned(), "rival".to_owned());
        let applied = self.does(Command::ApplyProvider { org, name, credit_code: None });
        let Made::Provider(provider) = applied else { panic!("{applied:?}") };
        for status in [Status::Verified, Status::Active] {
            self.does(Command::SetProviderStatus { provider, status });
        }
        let expires_at = Time::NEVER;
        self.does(Command::Invite { provider, digest: secret(12), expires_at });
        let mut joining = join();
        (joining.invitation, joining.public_key, joining.token) =
            (secret(12), secret(13), secret(14));
        let joined = self.does(Command::Join(Box::new(joining)));
        let Made::Agent(_, pool) = joined else { panic!("{joined:?}") };
        for status in [Status::Verified, Status::Active] {
            self.does(Command::SetPoolStatus { pool, status });
        }
        let offer = NewOffer {
            pool,
            rate: Rate { core_hour: Micro::from_units(2), ..Rate::default() },
            minimum: Span::ZERO,
            accelerator: None,
            min: None,
            max: None,
            classes: [(BuyerClass::External, 1_000)].into(),
            spot_permille: None,
            tariff: None,
            valid_until: None,
        };
        self.does(Command::ListOffer(Box::new(offer)));
        pool
    }

    /// Where the job's tasks go now, said alike by a planner that has just started and by one that
    /// heard of everything as it happened.
    fn goes(&self, job: JobId) -> Vec<Planned> {
        let seats = |planner: &mut Planner| -> Vec<Planned> {
            let plan = planner.plan(self.now, Work::UNBOUNDED);
            let of_job = plan.placements.into_iter().filter(|placed| placed.job == job);
            of_job.flat_map(|placed| placed.seats).collect()
        };
        let mut fresh = Planner::new();
        for change in changes::everything(&self.state, self.now) {
            fresh.observe(&change);
        }
        let found = seats(&mut fresh);
        assert_eq!(
            seats(&mut self.heard()),
            found,
            "who heard of it as it happened knows the same"
        );
        found
    }

    fn pools(&self, job: JobId) -> BTreeSet<PoolId> {
        self.goes(job).iter().map(|seat| seat.pool).collect()
    }

    /// The planner's place for its only task is taken, and it ends so; says what it was given.
    fn ends_as(&mut self, job: JobId, outcome: Outcome) -> Bytes {
        let seat = self.goes(job).pop().expect("a place");
        let granted = seat.resources.memory;
        let task = seat.task;
        let seat = Seat {
            task,
            pool: seat.pool,
            node: seat.node.as_str().to_owned(),
            offer: seat.offer,
            resources: seat.resources,
            cards: seat.cards,
        };
        let pool = &self.state.supply.pools[&seat.pool];
        let agent = pool.agent;
        self.does(Command::Place(Box::new(Place { job, seats: vec![seat] })));
        let attempt = self.state.work.jobs[&job].active[&task];
        let attempt = AttemptId { job, task, attempt };
        let told = std::mem::replace(&mut self.agent, agent);
        self.says(attempt, Seen::Running, None);
        self.passes(seconds(1));
        self.ends(attempt, outcome);
        self.agent = told;
        granted
    }
}

#[test]
fn what_fails_under_one_owner_goes_to_another_and_comes_back() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 9}\n");
    assert_eq!(story.pools(job), [story.pool].into(), "the cheaper one");
    story.ends_as(job, Outcome::NodeFailure);
    assert_eq!(story.pools(job), [rival].into());
    let again = story.submits("retry: {max: 8}\n");
    assert_eq!(story.pools(again), [story.pool].into(), "another job knows nothing of it");
    story.passes(BACK_OFF_FIRST);
    assert_eq!(story.pools(job), [story.pool].into());
}

#[test]
fn the_wait_grows_with_each_failure_and_ends_with_a_success() {
    let mut story = Story::new();
    let job = story.submits("retry: {max: 9}\narray: {range: 0-1, max_parallel: 1}\n");
    let waits = |story: &mut Story| {
        let failed_at = story.now;
        while story.pools(job).is_empty() {
            story.passes(seconds(1));
        }
        story.now.since(failed_at)
    };
    for expect in [5, 10, 20] {
        let (reason, blame) = ("no room".to_owned(), Blame::Site);
        story.ends_as(job, Outcome::StartFailed { reason, blame, for_good: false, status: None });
        assert_eq!(waits(&mut story), seconds(expect));
    }
    story.ends_as(job, exits(0));
    assert_eq!(waits(&mut story), Span::ZERO);
    story.ends_as(job, Outcome::NodeFailure);
    assert_eq!(waits(&mut story), BACK_OFF_FIRST);
}

/// What the task did is paid for, whatever it left; and its provider is as good as before.
#[test]
fn a_task_that_leaves_nothing_to_publish_is_billed_and_no_providers_fault() {
    let counts = |story: &Story| story.state.supply.pools[&story.pool].record.counts();
    let left_nothing =
        |blame| Outcome::PublishFailed { reason: "it left no `out`".to_owned(), blame };
    let spent = |blame| {
        let mut story = Story::new();
        let job = story.submits("retry: {max: 9}\n");
        story.ends_as(job, left_nothing(blame));
        let record = &story.state.work.jobs[&job];
        (record.spent, counts(&story), record.ended.is_none())
    };
    let (charged, counted, again) = spent(Blame::Job);
    assert!(charged > Micro::ZERO, "it ran");
    assert_eq!((counted, again), ((1, 0), false));
    assert_eq!(spent(Blame::Site), (Micro::ZERO, (1, 1), true));
}

#[test]
fn an_input_that_is_not_there_is_sought_elsewhere_and_no_providers_fault() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 1}\n");
    let reason = "`data://none`: not there".to_owned();
    let blame = Blame::Job;
    story.ends_as(job, Outcome::StartFailed { reason, blame, for_good: false, status: None });
    assert_eq!(story.state.supply.pools[&story.pool].record.counts(), (1, 0));
    assert_eq!(story.pools(job), [rival].into());
}

/// What nobody has, as an agent says it.
fn not_there() -> Outcome {
    let (reason, blame) = ("no partition `nosuch`".to_owned(), Blame::Job);
    Outcome::StartFailed { reason, blame, for_good: false, status: None }
}

/// An image, a program, a partition that the job names: asked for once at each owner's, and then it is over.
#[test]
fn what_is_not_there_is_asked_for_once_at_each_owners() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 9}\n");
    story.ends_as(job, not_there());
    story.passes(BACK_OFF_MAX);
    assert_eq!(story.pools(job), [rival].into(), "the cheaper one has it not");
    story.ends_as(job, not_there());
    assert_eq!(story.ended(job), Some(JobEnd::Failed), "nobody else is left");
    for pool in [story.pool, rival] {
        assert_eq!(story.state.supply.pools[&pool].record.counts(), (1, 0));
    }
}

/// Of an array each element is heard, and none twice: another's failure is not its own.
#[test]
fn where_there_is_one_owner_an_array_is_not_kept_waiting_by_what_is_not_there() {
    let mut story = Story::new();
    let job = story.submits("retry: {max: 9}\narray: {range: 0-1, max_parallel: 1}\n");
    story.ends_as(job, not_there());
    assert_eq!(story.ended(job), None, "the other is tried");
    story.ends_as(job, exits(0));
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
    let ended = |event: &&Event| matches!(event, Event::AttemptEnded { .. });
    assert_eq!(story.events.iter().filter(ended).count(), 2);
}

/// An array may name a file by its element: that one is not there says nothing of the others.
#[test]
fn what_is_not_there_for_one_element_keeps_no_other_from_there() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 9}\narray: {range: 0-2, max_parallel: 1}\n");
    story.ends_as(job, not_there());
    for _ in 0..2 {
        assert_eq!(story.pools(job), [story.pool].into(), "the others go at once, and there");
        story.ends_as(job, exits(0));
    }
    assert_eq!(story.pools(job), [rival].into(), "it follows where it may be");
    story.ends_as(job, not_there());
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
    let ended = &story.state.work.jobs[&job];
    assert_eq!((ended.succeeded.len(), ended.failed.len()), (2, 1));
}

/// A file that no element names by its number is nobody's own: three have heard it, and the others are not sent
/// there to hear the same.
#[test]
fn what_three_elements_hear_in_the_same_words_keeps_all_from_there() {
    let said = |same: bool| {
        let mut story = Story::new();
        let rival = story.rival();
        let job = story.submits("retry: {max: 9}\narray: {range: 0-9, max_parallel: 1}\n");
        for task in 0..3 {
            assert_eq!(story.pools(job), [story.pool].into(), "{task}");
            let reason = if same { "no image".to_owned() } else { format!("no file {task}") };
            let blame = Blame::Job;
            story.ends_as(
                job,
                Outcome::StartFailed { reason, blame, for_good: false, status: None },
            );
        }
        let next = story.pools(job);
        let mut there = 0;
        while story.ended(job).is_none() {
            there += usize::from(story.pools(job) == [rival].into());
            story.ends_as(job, exits(0));
        }
        assert_eq!(story.ended(job), Some(JobEnd::Succeeded));
        (next == [rival].into(), there)
    };
    assert_eq!(said(true), (true, 10), "all of them, also those that were asked for there");
    assert_eq!(said(false), (false, 3), "only those whose own is not there");
}

#[test]
fn members_of_a_gang_stay_together_away_from_what_one_of_them_has_not_found() {
    let mut story = Story::new();
    let rival = story.rival();
    let two = Node { name: "m".to_owned(), ..join().shown.nodes[0].clone() };
    for pool in [story.pool, rival] {
        let agent = story.state.supply.pools[&pool].agent;
        let mut shown = story.state.supply.pools[&pool].shown.clone();
        shown.nodes.push(two.clone());
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        story.does(Command::PoolNews(Box::new(news)));
    }
    let job = story.submits("retry: {max: 3}\ngang: {nodes: 2}\n");
    assert_eq!(story.pools(job), [story.pool].into());
    let placed = story.heard().plan(story.now, Work::UNBOUNDED).placements.remove(0);
    story.does(dayan_exchange::planning::command(&placed));
    story.ends(first(job, 0), not_there());
    story.ends(first(job, 1), Outcome::Stopped);
    assert_eq!(story.pools(job), [rival].into());
}

/// Whether it is worth looking elsewhere is judged by all that the planner judges by.
#[test]
fn what_no_other_pool_would_take_is_over_when_it_is_not_there() {
    for (more, elsewhere) in [
        ("", true),
        ("market: {max_unit_price: 1.5 CNY/hour}\n", false),
        ("placement: {trust: measured}\n", false),
    ] {
        let mut story = Story::new();
        let rival = story.rival();
        let job = story.submits(&format!("retry: {{max: 9}}\n{more}"));
        story.places(job, &[0]);
        story.ends(first(job, 0), not_there());
        assert_eq!(story.ended(job).is_none(), elsewhere, "{more}");
        if elsewhere {
            assert_eq!(story.pools(job), [rival].into());
        }
    }
}

#[test]
fn what_a_pool_has_not_it_has_not_for_a_retry_either_until_a_day_is_over() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 1}\n");
    story.ends_as(job, not_there());
    story.ends_as(job, exits(1));
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
    story.does(Command::Retry { job, task: None });
    assert_eq!(story.pools(job), [rival].into(), "it stands");
    story.passes(BARRED_FOR);
    assert_eq!(story.pools(job), [story.pool].into());
    story.ends_as(job, exits(1));
    story.does(Command::Retry { job, task: None });
    let tries = &story.state.work.jobs[&job].tries[&0];
    assert!(tries.barred.is_empty(), "and is forgotten: {tries:?}");
}

#[test]
fn what_happened_while_a_job_was_paused_is_known_when_it_goes_on() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 9}\n");
    story.places(job, &[0]);
    story.does(Command::Pause { job });
    story.ends(first(job, 0), Outcome::NodeFailure);
    story.does(Command::Resume { job });
    assert_eq!(story.pools(job), [rival].into());
}

#[test]
fn what_would_be_the_same_everywhere_does_not_go_again() {
    let mut story = Story::new();
    story.rival();
    let job = story.submits("retry: {max: 9}\narray: {range: 0-1, max_parallel: 1}\n");
    let reason = "`dayan://buyer/a/x`: its SHA-256 is not what the job file says".to_owned();
    let blame = Blame::Job;
    story.ends_as(job, Outcome::StartFailed { reason, blame, for_good: true, status: None });
    assert_eq!(story.state.work.jobs[&job].failed.len(), 1);
    assert_eq!(story.pools(job), [story.pool].into(), "and its provider has nothing to do with it");
    story.ends_as(job, exits(1));
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
    assert_eq!(story.state.supply.pools[&story.pool].record.counts(), (2, 0));
}

/// How the newest attempt was booked: what its last line costs, or why there is none.
fn booked(story: &Story) -> (Option<Micro>, Option<Waived>) {
    let last = story.events.iter().rev().find_map(|event| match event {
        Event::AttemptEnded { line, waived, .. } => {
            Some((line.as_ref().map(|line| line.amount), *waived))
        }
        _ => None,
    });
    last.expect("one has ended")
}

#[test]
fn what_its_site_takes_off_goes_again_elsewhere_and_is_no_failure_of_anybody() {
    let mut story = Story::new();
    let rival = story.rival();
    let job = story.submits("retry: {max: 0, when: [preempted]}\n");
    story.places(job, &[0]);
    story.says(first(job, 0), Seen::Running, None);
    story.passes(seconds(30));
    let taken_off = Seen::Ended { outcome: Outcome::Preempted };
    story.says(first(job, 0), taken_off.clone(), Some((1, seconds(30))));
    assert_eq!(story.waits(job), [0]);
    assert_eq!(story.state.work.jobs[&job].tries[&0].failures, 0);
    assert_eq!(story.state.supply.pools[&story.pool].record.counts(), (1, 0));
    assert_eq!(
        booked(&story),
        (None, Some(Waived::ProviderFault)),
        "it was sold as one that stays"
    );
    assert_eq!(story.pools(job), [rival].into(), "what wanted the room wants it still");
    story.passes(BACK_OFF_FIRST);
    assert_eq!(story.pools(job), [story.pool].into());

    let once = story.submits("retry: {max: 3, when: [node_failure]}\n");
    story.places(once, &[0]);
    story.says(first(once, 0), taken_off.clone(), Some((1, seconds(30))));
    assert_eq!(story.ended(once), Some(JobEnd::Failed), "its file does not let it go again");

    // What was sold as one that may go is paid as it was used.
    let spot = story.submits("retry: {max: 0, when: [preempted]}\nmarket: {mode: spot}\n");
    story.places(spot, &[0]);
    story.says(first(spot, 0), Seen::Running, None);
    story.passes(seconds(30));
    story.says(first(spot, 0), taken_off, Some((1, seconds(30))));
    assert_eq!(story.waits(spot), [0]);
    // Half a minute of a core at 1 CNY an hour, for four tenths of it.
    assert_eq!(booked(&story), (Some(Micro(3_333)), None));
}

#[test]
fn a_gang_goes_again_when_a_member_is_taken_off_whatever_the_others_die_of() {
    let mut story = Story::new();
    let gang = "retry: {max: 0, when: [preempted]}\ngang: {nodes: 2}\n";
    let job = story.submits(gang);
    story.places(job, &[0, 1]);
    story.ends(first(job, 0), Outcome::Preempted);
    story.ends(first(job, 1), exits(1));
    assert_eq!(story.ended(job), None);
    assert_eq!(story.waits(job), [0, 1]);
}

/// What the site takes off or loses of a gang, it takes off whole: the first of its members to say so is free, and
/// so are those who end because of it, whatever they end of.
#[test]
fn no_member_is_billed_where_the_site_has_ended_another() {
    let stopped = || Outcome::Stopped;
    for (first_end, second_end, is_free) in [
        (Outcome::Preempted, Outcome::Preempted, true),
        (Outcome::Preempted, exits(0), true),
        (Outcome::NodeFailure, stopped(), true),
        (Outcome::NodeFailure, Outcome::NodeFailure, true),
        // By itself: the others are stopped, and what they used is paid.
        (exits(1), stopped(), false),
    ] {
        let mut story = Story::new();
        let job =
            story.submits("retry: {max: 1, when: [preempted, node_failure]}\ngang: {nodes: 2}\n");
        story.places(job, &[0, 1]);
        for task in [0, 1] {
            story.says(first(job, task), Seen::Running, None);
        }
        story.passes(seconds(30));
        for (task, end) in [(0, &first_end), (1, &second_end)] {
            story.says(
                first(job, task),
                Seen::Ended { outcome: end.clone() },
                Some((1, seconds(30))),
            );
        }
        let ends = story.events.iter().filter_map(|event| match event {
            Event::AttemptEnded { line, waived, .. } => Some((line.is_none(), *waived)),
            _ => None,
        });
        let expect = (is_free, is_free.then_some(Waived::ProviderFault));
        assert_eq!(ends.collect::<Vec<_>>(), [expect; 2], "{first_end:?} {second_end:?}");
    }
}

#[test]
fn a_task_that_fails_by_itself_goes_again_at_once() {
    let mut story = Story::new();
    let job = story.submits("retry: {max: 2, when: [\"exit:75\"]}\n");
    story.ends_as(job, exits(75));
    assert_eq!(story.pools(job), [story.pool].into());
}

fn raises(story: &Story) -> Vec<(u64, u64)> {
    let raised = |event: &Event| match event {
        Event::MemoryRaised { from, to, .. } => Some((from.0 / GB, to.0 / GB)),
        _ => None,
    };
    story.events.iter().filter_map(raised).collect()
}

fn asking(story: &mut Story, memory: &str, more: &str) -> JobId {
    let resources = format!("cpus: 1, memory: {memory}, time: 10m");
    let more = format!("retry: {{max: 9, when: [oom]}}\n{more}");
    match story.does(Story::submission_asking(&resources, "buyer/a", &more, None)) {
        Made::Job(job) => job,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_runs_out_of_memory_is_given_the_next_size_of_its_range() {
    let mut story = Story::new();
    let job = asking(&mut story, "3GB..10GB", "");
    let granted: Vec<u64> =
        (0..4).map(|_| story.ends_as(job, Outcome::OutOfMemory).0 / GB).collect();
    assert_eq!(granted, [3, 6, 10, 10], "the end of the range is the last size");
    assert_eq!(raises(&story), [(3, 6), (6, 10)]);
    story.ends_as(job, exits(0));
    assert_eq!(story.ended(job), Some(JobEnd::Succeeded));
}

#[test]
fn without_an_end_the_largest_machine_is_the_end() {
    let mut story = Story::new();
    let job = asking(&mut story, "9GB..", "");
    let granted: Vec<u64> =
        (0..4).map(|_| story.ends_as(job, Outcome::OutOfMemory).0 / GB).collect();
    assert_eq!(granted, [9, 18, 32, 32], "the machine has 32");
}

#[test]
fn one_size_stays_one_size_and_each_task_is_raised_for_itself() {
    let mut story = Story::new();
    let job = asking(&mut story, "4GB", "");
    story.ends_as(job, Outcome::OutOfMemory);
    assert_eq!(story.ends_as(job, exits(0)).0, 4 * GB);
    assert_eq!(raises(&story), []);
    let array = asking(&mut story, "1GB..4GB", "array: {range: 0-2}\n");
    story.ends_as(array, Outcome::OutOfMemory);
    let sizes: Vec<u64> = (0..3).map(|_| story.ends_as(array, exits(0)).0 / GB).collect();
    assert_eq!(
        sizes,
        [1, 1, 2],
        "the others ask for what they asked for; the one that needs more follows"
    );
    assert_eq!(story.ended(array), Some(JobEnd::Succeeded));
}

#[test]
fn what_is_not_to_run_twice_does_not_outlive_a_pool_that_is_withdrawn() {
    for (more, goes_again) in [("", true), ("retry: {max: 0, when: [node_failure]}\n", false)] {
        let mut story = Story::new();
        let pool = story.pool;
        let job = story.submits(more);
        story.places(job, &[0]);
        let attempt = first(job, 0);
        story.says(attempt, Seen::Running, None);
        story.does(Command::SetPoolStatus { pool, status: Status::Suspended });
        story.ends(attempt, Outcome::Stopped);
        let of = &story.state.work.jobs[&job];
        assert_eq!(
            (story.waits(job) == [0], of.failed.contains(0)),
            (goes_again, !goes_again),
            "{more}"
        );
    }
}
