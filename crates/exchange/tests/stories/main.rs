//! Short stories through the public interface: an exchange with one pool and one buyer, what is
//! asked of it, and what comes of it.

mod carbon;
mod checkpoints;
mod clusters;
mod deadlines;
mod depends;
mod estimates;
mod fallback;
mod images;
mod licenses;
mod lingering;
mod preempting;
mod promises;
mod quotas;
mod ranges;
mod retries;
mod schedules;
mod short;
mod story;
mod tariffs;

use std::collections::BTreeSet;

use dayan_exchange::liveness::Liveness;
use dayan_exchange::{Command, Event, Gate, JobEnd, Made, Outcome, PoolNews, Seen, Shown, Weighed};
use dayan_identity::Status;
use dayan_market::{BudgetLimits, BuyerClass, Quote, QuoteItem, QuoteTerms, SpecDigest};
use dayan_measure::{Attribute, Measurement, Method, Sharing};
use dayan_spec::Priority;
use dayan_units::{
    AttemptId, Bytes, Currency, JobId, Micro, MilliCpu, QuoteId, Resources, Span, Time,
};

use story::{Story, exits, first, join, seconds};

#[test]
fn a_payment_is_booked_once_however_late_it_is_said_again() {
    let mut story = Story::new();
    let before = story.balance();
    story.passes(seconds(400));
    story.does(Command::Retire { before: Time::EPOCH, jobs_max: 10 });
    story.pays(100, "first");
    assert_eq!(story.balance(), before);
    story.pays(100, "second");
    assert_eq!(story.balance(), before.saturating_add(Micro::from_units(100)));
}

#[test]
fn what_has_ended_leaves_the_books_memory_however_long_it_ran() {
    let mut story = Story::new();
    let forget = Command::Retire { before: Time::EPOCH, jobs_max: 10 };
    // Payments are remembered for good, see above.
    let payments = story.state.ledger.remembered();
    let job = story.submits("");
    story.places(job, &[0]);
    story.says(first(job, 0), Seen::Running, None);
    story.passes(seconds(400));
    story.does(forget.clone());
    assert_eq!(story.state.ledger.remembered(), payments + 1, "the hold is open");
    story.ends(first(job, 0), exits(0));
    story.passes(seconds(400));
    story.does(forget);
    assert_eq!(story.state.ledger.remembered(), payments);
    assert!(story.state.booked.is_empty());
}

#[test]
fn what_outlasts_its_hold_is_paid_within_the_budget_and_counted() {
    // The window's end was missed: a minute is held, two were used.
    let run = |limit: Option<Micro>| {
        let mut story = Story::new();
        let project = story.state.access.project_by_path("buyer/a").expect("created").id;
        let budget = BudgetLimits { per_day: limit, ..BudgetLimits::default() };
        story.does(Command::SetBudget { project, budget });
        let job = story.submits("");
        story.places(job, &[0]);
        story.says(first(job, 0), Seen::Running, None);
        story.passes(seconds(120));
        let outcome = exits(0);
        story.says(first(job, 0), Seen::Ended { outcome }, Some((1, seconds(120))));
        let record = &story.state.work.jobs[&job];
        assert_eq!(record.held, Micro::ZERO);
        let periods = story.state.settings.periods(story.now);
        let day = story.state.access.projects[&project].budget.day(&periods);
        assert_eq!((day.held, day.spent), (Micro::ZERO, record.spent));
        record.spent
    };
    // 1 CNY ÷ 3,600 s × 120 s; a minute's worth where the budget ends there.
    assert_eq!(run(None), Micro(33_333));
    assert_eq!(run(Some(Micro(20_000))), Micro(16_667));
}

#[test]
fn time_beyond_the_limit_is_not_billed() {
    let mut story = Story::new();
    let job = story.submits("");
    story.places(job, &[0]);
    story.says(first(job, 0), Seen::Running, None);
    story.passes(seconds(602));
    let outcome = Outcome::TimeLimit;
    story.says(first(job, 0), Seen::Ended { outcome }, Some((1, seconds(602))));
    assert_eq!(story.state.work.jobs[&job].spent, Micro(166_667));
}

#[test]
fn a_run_of_empty_windows_and_no_use_is_waived() {
    let mut story = Story::new();
    let job = story.submits("");
    story.places(job, &[0]);
    story.says(first(job, 0), Seen::Running, None);
    story.passes(seconds(61));
    story.does(Command::CloseWindow { attempt: first(job, 0) });
    story.says(first(job, 0), Seen::Ended { outcome: exits(0) }, Some((1, Span::ZERO)));
    let Some(Event::AttemptEnded { line, waived, .. }) =
        story.events.iter().rfind(|event| matches!(event, Event::AttemptEnded { .. }))
    else {
        panic!("it has ended");
    };
    assert!(line.is_none() && waived.is_some());
}

#[test]
fn a_cancel_counts_though_the_attempt_is_being_stopped_for_another_reason() {
    let mut story = Story::new();
    let job = story.submits("");
    story.places(job, &[0]);
    let pool = story.pool;
    story.does(Command::SetPoolStatus { pool, status: Status::Suspended });
    story.does(Command::Cancel { job, task: None });
    story.ends(first(job, 0), Outcome::Stopped);
    assert_eq!(story.ended(job), Some(JobEnd::Cancelled));
}

#[test]
fn a_gang_goes_again_only_for_what_its_file_says() {
    let retry = "gang: {nodes: 2}\nretry: {max: 1, when: [exit:75]}\n";
    let check = |code: i32, expect: Option<JobEnd>| {
        let mut story = Story::new();
        let job = story.submits(retry);
        story.places(job, &[0, 1]);
        story.ends(first(job, 0), exits(code));
        story.ends(first(job, 1), Outcome::Stopped);
        assert_eq!(story.ended(job), expect, "exit {code}");
        story.waits(job)
    };
    assert_eq!(check(1, Some(JobEnd::Failed)), Vec::<u32>::new());
    assert_eq!(check(75, None), vec![0, 1]);
}

#[test]
fn a_gang_goes_again_as_often_as_its_file_says() {
    let mut story = Story::new();
    let job = story.submits("gang: {nodes: 2}\nretry: {max: 2, when: [exit:75]}\n");
    for attempt in 1..=3 {
        assert_eq!(story.ended(job), None, "{attempt}");
        story.places(job, &[0, 1]);
        // Now one member fails first, now the other; each launch counts once.
        for task in [attempt % 2, 1 - attempt % 2] {
            story.ends(AttemptId { job, task, attempt }, exits(75));
        }
    }
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
}

#[test]
fn a_gang_that_was_taken_back_stays_so_whatever_its_last_member_does() {
    let mut story = Story::new();
    let job = story.submits("gang: {nodes: 2}\nretry: {max: 3, when: [node_failure]}\n");
    story.places(job, &[0, 1]);
    story.does(Command::Cancel { job, task: None });
    story.ends(first(job, 0), Outcome::Stopped);
    story.ends(first(job, 1), exits(0));
    assert_eq!(story.ended(job), Some(JobEnd::Cancelled));
}

#[test]
fn a_gang_that_may_be_smaller_starts_so_and_goes_again_with_all_it_can_have() {
    let mut story = Story::new();
    let more = "gang: {nodes: 4, min: 2}\nretry: {max: 3, when: [exit:75]}\n";
    let job = story.submits(more);
    // Too few, and others than the first.
    for tasks in [&[0][..], &[1, 2], &[0, 2, 3]] {
        assert_eq!(story.try_places(job, tasks).expect_err("no launch").code, "place.gang");
    }
    story.places(job, &[0, 1, 2]);
    assert_eq!(story.waits(job), Vec::<u32>::new());
    assert_eq!(story.state.work.jobs[&job].task_count(), 3);
    let nodes = |story: &Story, nth| {
        let lease = &story.state.work.leases[&nth];
        lease.gang.as_ref().expect("a gang").nodes.len()
    };
    assert_eq!(nodes(&story, first(job, 0)), 3);
    // It goes again, and as a whole: this time there is room for all.
    for task in 0..3 {
        story.ends(first(job, task), exits(75));
    }
    assert_eq!(story.waits(job), [0, 1, 2, 3]);
    story.places(job, &[0, 1, 2, 3]);
    let again = |task| AttemptId { attempt: if task < 3 { 2 } else { 1 }, ..first(job, task) };
    assert_eq!(nodes(&story, again(3)), 4);
    for task in 0..4 {
        story.ends(again(task), exits(75));
    }
    story.places(job, &[0, 1]);
    for task in 0..2 {
        let attempt = AttemptId { attempt: 3, ..first(job, task) };
        story.ends(attempt, exits(0));
    }
    assert_eq!(story.ended(job), Some(JobEnd::Succeeded));
    assert_eq!(story.state.work.jobs[&job].succeeded.len(), 2);
}

#[test]
fn a_gang_is_retried_as_a_whole() {
    let mut story = Story::new();
    let job = story.submits("gang: {nodes: 2}\n");
    story.places(job, &[0, 1]);
    story.ends(first(job, 0), exits(1));
    story.ends(first(job, 1), Outcome::Stopped);
    assert_eq!(story.ended(job), Some(JobEnd::Failed));
    story.does(Command::Retry { job, task: Some(1) });
    assert_eq!(story.waits(job), vec![0, 1]);
}

#[test]
fn no_lease_is_shorter_than_an_agent_can_renew() {
    let mut story = Story::new();
    let job = story.submits("on_lost_link: {keep: 0s}\n");
    story.places(job, &[0]);
    assert!(story.state.work.leases[&first(job, 0)].keep > seconds(25));
    assert_eq!(story.state.work.jobs[&job].gate, Gate::Open);
}

#[test]
fn an_agent_that_is_heard_in_time_keeps_its_lease() {
    let mut story = Story::new();
    let job = story.submits("on_lost_link: {keep: 30s}\n");
    let mut liveness = Liveness::new(story.now);
    story.places(job, &[0]);
    let attempt = first(job, 0);
    story.passes(seconds(35));
    assert!(!liveness.is_lost(&story.state, attempt, story.now));
    story.passes(seconds(1));
    assert_eq!(liveness.lost(&story.state, story.now, 9), vec![attempt]);
    assert!(liveness.is_lost(&story.state, attempt, story.now));
    // It was named, and is heard before it is given up.
    liveness.heard(story.agent, story.now);
    assert!(!liveness.is_lost(&story.state, attempt, story.now));
    assert!(liveness.lost(&story.state, story.now, 9).is_empty());
    assert!(!liveness.is_lost(&story.state, first(job, 7), Time::NEVER), "there is no such lease");
}

#[test]
fn a_job_whose_limit_pays_for_nothing_more_ends_and_holds_nothing() {
    let mut story = Story::new();
    // A minute of a core is 0.016667 CNY: enough for one task, not for two.
    let job = story.submits("array: {range: 0-1}\nmarket: {max_price: 0.02 CNY}\n");
    story.places(job, &[0]);
    story.says(first(job, 0), Seen::Running, None);
    story.passes(seconds(55));
    let refusal = story.try_places(job, &[1]).expect_err("the first still holds its money");
    assert_eq!(refusal.code, "market.budget_job");
    let outcome = exits(0);
    story.says(first(job, 0), Seen::Ended { outcome }, Some((1, seconds(55))));
    assert_eq!(story.ended(job), None);
    story.places(job, &[1]);
    assert_eq!(story.ended(job), Some(JobEnd::Unfunded));
    let record = &story.state.work.jobs[&job];
    assert_eq!((record.held, record.succeeded.len(), record.cancelled.len()), (Micro::ZERO, 1, 1));
}

#[test]
fn a_firm_quote_outlives_the_offer_it_was_made_from() {
    let mut story = Story::new();
    let Command::Submit(submit) = story.submission("", None) else { panic!("a submission") };
    let project = story.state.access.project_by_path("buyer/a").expect("created").id;
    let offer = &story.state.supply.offers[&story.offer];
    let head = QuoteTerms {
        id: QuoteId::from_bits(7),
        project,
        spec_digest: SpecDigest(submit.digest.0),
        currency: Currency::CNY,
        issued_at: story.now,
        expires_at: story.now.plus(seconds(600)),
    };
    let item = QuoteItem {
        pool: story.pool,
        offer: story.offer,
        terms: dayan_market::Terms::listed(
            offer,
            offer.rate,
            BuyerClass::External,
            dayan_market::OfferMode::OnDemand,
        )
        .expect("listed"),
        mode: dayan_market::OfferMode::OnDemand,
        resources: Resources {
            cpu: MilliCpu(1_000),
            memory: Bytes(1_000_000_000),
            ..Resources::ZERO
        },
        time_limit: seconds(600),
        tasks: 1,
    };
    let quote = Box::new(Quote::issue(head, &[item]).expect("a price"));
    story.does(Command::IssueQuote { quote, signature: String::new() });
    let submit = story.submission("", Some(QuoteId::from_bits(7)));
    let Made::Job(quoted) = story.does(submit) else { panic!("a job") };
    let offer = story.offer;
    story.does(Command::RetireOffer { offer });
    // Another job finds no price any more; the one with the promise goes where it was promised.
    let refused = story.submission("priority: low\n", None);
    drop(story.asks(refused));
    let placements = story.plans();
    assert_eq!(placements.iter().map(|placed| placed.job).collect::<Vec<_>>(), [quoted]);
    assert_eq!(placements[0].seats[0].offer, offer);
    story.places(quoted, &[0]);
    assert!(story.waits(quoted).is_empty());
}

#[test]
fn sites_and_cities_are_known_by_any_of_their_names_or_refused() {
    let mut story = Story::new();
    for known in ["Guiyang", "贵阳"] {
        let job = story.submits(&format!("placement: {{sites: [{known}]}}\n"));
        assert!(story.plans().iter().any(|placed| placed.job == job), "{known}");
    }
    let elsewhere = story.submission("placement: {sites: [Shenzhen]}\n", None);
    assert_eq!(story.asks(elsewhere).expect_err("nobody is there").code, "site.unknown");
    for known in ["Guizhou", "贵州", "guizhou", "region:Guizhou"] {
        let job = story.submits(&format!("placement: {{regions: [\"{known}\"]}}\n"));
        assert!(story.plans().iter().any(|placed| placed.job == job), "{known}");
    }
    let job = story.submits("placement: {regions: [Sichuan]}\n");
    assert!(story.plans().iter().all(|placed| placed.job != job), "it waits for a pool there");
    let misspelt = story.submission("placement: {regions: [Guizou]}\n", None);
    let refused = story.asks(misspelt).expect_err("no such region");
    assert_eq!(refused.code, "region.unknown");
    assert!(refused.message.contains("Guizhou"), "{}", refused.message);
    let delay = "network: {delay: {class: T2, from: [city:Atlantis]}}\n";
    let nowhere = story.submission(delay, None);
    assert_eq!(story.asks(nowhere).expect_err("no such city").code, "place.unknown");
}

#[test]
fn a_pool_that_is_not_heard_is_named() {
    let story = Story::new();
    let mut liveness = Liveness::new(story.now);
    let late = story.now.plus(seconds(60));
    let silent = BTreeSet::from([story.pool]);
    // One that has just joined is about to show itself: what is submitted then must find it.
    let joined = story.state.supply.pools[&story.pool].joined_at;
    assert!(liveness.silent(&story.state, joined).is_empty());
    assert_eq!(liveness.silent(&story.state, late), silent, "it has not said a word since");
    liveness.heard(story.agent, story.now);
    assert!(liveness.silent(&story.state, story.now).is_empty());
    assert_eq!(liveness.silent(&story.state, late), silent);
    liveness.heard(story.agent, late);
    assert!(liveness.silent(&story.state, late).is_empty());
}

#[test]
fn findings_are_kept_in_measure_and_counted_beyond_it() {
    let mut story = Story::new();
    let agent = story.agent;
    let reports = |story: &mut Story, times: u32| {
        let before = story.events.len();
        for _ in 0..times {
            let (code, message) = ("usage.signature", "not signed".to_owned());
            story.does(Command::Report { agent, code, message });
        }
        let found = story.events[before..].iter().map(|event| match event {
            Event::Found { code, message, .. } => (code.clone(), message.clone()),
            other => panic!("{other:?}"),
        });
        found.partition::<Vec<_>, _>(|(code, _)| code == "usage.signature")
    };
    let (kept, summed) = reports(&mut story, 32);
    assert_eq!((kept.len(), summed.len()), (32, 0));
    let (kept, summed) = reports(&mut story, 100_000);
    assert_eq!(kept.len(), 0);
    assert!(summed[0].1.starts_with("about 1 more findings"), "{}", summed[0].1);
    // Counted by doubling: the last summary is within a factor of 32 of what was left out.
    let about: u64 =
        summed.last().and_then(|(_, said)| said.split(' ').nth(1)?.parse().ok()).expect("a number");
    assert!((100_000 / 32..100_000 * 32).contains(&about), "{about}");
    assert_eq!(about, (1 << summed.len()) - 1);
    // A new window begins with the first finding after the old one.
    story.passes(seconds(3_600));
    let (kept, summed) = reports(&mut story, 33);
    assert_eq!((kept.len(), summed.len()), (32, 1));
}

#[test]
fn what_a_pool_shows_is_bounded() {
    let check = |change: fn(&mut Shown), code: Option<&str>| {
        let mut story = Story::new();
        let mut shown = join().shown;
        change(&mut shown);
        let agent = story.agent;
        let news = PoolNews { agent, shown: Some(shown), measured: Vec::new(), answer: None };
        let said = story.asks(Command::PoolNews(Box::new(news)));
        assert_eq!(said.err().map(|refusal| refusal.code.into_owned()).as_deref(), code);
    };
    let refused = Some("pool.shown");
    check(|_| {}, None);
    check(|shown| shown.engine = "x".repeat(33), refused);
    check(|shown| shown.engine = String::new(), refused);
    check(|shown| shown.features = ["x".repeat(64)].into(), None);
    check(|shown| shown.features = ["x".repeat(65)].into(), refused);
    check(|shown| shown.features = (0..129).map(|n| n.to_string()).collect(), refused);
    check(|shown| shown.nodes[0].accelerator = Some("x".repeat(128)), None);
    check(|shown| shown.nodes[0].accelerator = Some("x".repeat(129)), refused);
    check(|shown| shown.nodes[0].accelerator = Some("\u{1b}[2J".to_owned()), refused);
    check(|shown| shown.nodes[0].name = "x".repeat(129), refused);
    check(|shown| shown.nodes.push(shown.nodes[0].clone()), refused);
    check(|shown| shown.inventory = [("k".repeat(128), "v".repeat(1_024))].into(), None);
    check(|shown| shown.inventory = [("k".repeat(129), String::new())].into(), refused);
    check(|shown| shown.inventory = [("k".to_owned(), "v".repeat(1_025))].into(), refused);
    check(|shown| shown.inventory = [("k".to_owned(), "a\nb".to_owned())].into(), refused);
    check(
        |shown| shown.inventory = (0..2_000).map(|k| (k.to_string(), "v".to_owned())).collect(),
        None,
    );
    check(
        |shown| shown.inventory = (0..2_001).map(|k| (k.to_string(), "v".to_owned())).collect(),
        refused,
    );
    check(
        |shown| shown.inventory = (0..300).map(|k| (k.to_string(), "v".repeat(1_000))).collect(),
        refused,
    );
}

#[test]
fn measured_values_are_few_and_by_a_method_with_a_name() {
    let value = |name: &str| Measurement {
        attribute: Attribute::DiskWrite,
        nominal: None,
        measured: 1,
        method: Method { name: name.to_owned(), version: "1".to_owned() },
        at: Time::EPOCH,
        valid_for: seconds(1),
        sharing: Sharing::Shared,
        signature: None,
    };
    let check = |measured: Vec<Measurement>, code: Option<&str>| {
        let mut story = Story::new();
        let agent = story.agent;
        let news = PoolNews { agent, shown: None, measured, answer: None };
        let said = story.asks(Command::PoolNews(Box::new(news)));
        assert_eq!(said.err().map(|refusal| refusal.code.into_owned()).as_deref(), code);
    };
    check(vec![value("write")], None);
    // Each of several cards has a value of its own.
    check(vec![value("write"); 1_024], None);
    check(vec![value("write"); 1_025], Some("pool.measured"));
    check(vec![value("")], Some("pool.measured"));
    check(vec![value(&"x".repeat(129))], Some("pool.measured"));
}

#[test]
fn a_share_of_a_budget_is_warned_of_once_in_its_period() {
    let mut story = Story::new();
    let project = story.state.access.project_by_path("buyer/a").expect("created").id;
    let budget = BudgetLimits {
        per_day: Some(Micro(50_000)),
        warn_permille: vec![300, 600],
        ..BudgetLimits::default()
    };
    story.does(Command::SetBudget { project, budget });
    let job = story.submits("array: {range: 0-2}\n");
    let mut warned = Vec::new();
    // A minute of a core is 0.016667 CNY: a third of the limit, two thirds, and all of it.
    for task in 0..2 {
        story.places(job, &[task]);
        warned.extend(story.events.drain(..).filter_map(|event| match event {
            Event::BudgetWarned { warning, .. } => Some((task, warning.permille, warning.used)),
            _ => None,
        }));
    }
    assert_eq!(warned, [(0, 300, Micro(16_667)), (1, 600, Micro(33_334))]);
    let refusal = story.try_places(job, &[2]).expect_err("the day has no more");
    assert_eq!(refusal.code, "market.budget_day");
    assert_eq!(story.ended(job), None, "tomorrow it goes on");
}

#[test]
fn what_was_measured_of_a_part_is_voided_with_it_and_alone() {
    use dayan_measure::{Attribute, Measurement, Method, Sharing, Standing};
    let mut story = Story::new();
    let value = |attribute, measured, nominal, at| Measurement {
        attribute,
        nominal,
        measured,
        method: Method { name: "test".to_owned(), version: "1".to_owned() },
        at,
        valid_for: seconds(3_600),
        sharing: Sharing::Exclusive,
        signature: None,
    };
    let now = story.now;
    let inventory = [("cpu.model", "A"), ("cpu.threads", "8"), ("disk.0", "B")];
    let inventory = inventory.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut shown = Shown { inventory: inventory.into(), ..join().shown };
    let agent = story.agent;
    let news = |shown: &Shown, measured| {
        let shown = Some(shown.clone());
        Command::PoolNews(Box::new(dayan_exchange::PoolNews {
            agent,
            shown,
            measured,
            answer: None,
        }))
    };
    let values = vec![
        value(Attribute::CpuDgemmAll, 80_000_000_000, None, now),
        value(Attribute::DiskWrite, 1_000, None, now),
        value(Attribute::MemoryTriadAll, 1_000, Some(10), now),
        value(Attribute::NetUp, 1_000, None, now.plus(seconds(9_000))),
    ];
    story.does(news(&shown, values));
    let found: Vec<&str> = story
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Found { code, .. } => Some(code.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(found, ["measure.over_nominal", "measure.future"]);
    let standing = |story: &Story, attribute| {
        let measured = &story.state.supply.pools[&story.pool].measured;
        match measured.standing(attribute, story.now) {
            Standing::Valid(_) => "valid",
            Standing::Voided(_) => "voided",
            Standing::Expired(_) => "expired",
            Standing::Unmeasured => "unmeasured",
        }
    };
    assert_eq!(standing(&story, Attribute::MemoryTriadAll), "unmeasured");
    let views = |story: &Story| {
        let pool = &story.state.supply.pools[&story.pool];
        dayan_exchange::changes::pool_view(&story.state, pool, story.now).nodes[0]
            .capability
            .clone()
    };
    // Eighty over eight threads: what a job asks for is judged on ten for each core it takes.
    assert_eq!(views(&story)["fp64"].0, 10_000_000_000);
    let nonce = dayan_identity::Nonce([7; 32]);
    let pool = story.pool;
    story.does(Command::Challenge { pool, nonce });
    let open = story.state.supply.pools[&pool].challenge.expect("asked");
    let digest = dayan_exchange::challenge_digest(&open, &shown);
    story.does(Command::PoolNews(Box::new(dayan_exchange::PoolNews {
        agent,
        shown: None,
        measured: Vec::new(),
        answer: Some((nonce, digest)),
    })));
    let attested = |story: &Story| {
        let pool = &story.state.supply.pools[&story.pool];
        pool.attestations.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(attested(&story), ["cpu.model", "cpu.threads", "disk.0"]);
    shown.inventory.insert("cpu.model".to_owned(), "C".to_owned());
    story.passes(seconds(1));
    story.does(news(&shown, Vec::new()));
    assert_eq!(standing(&story, Attribute::CpuDgemmAll), "voided");
    assert_eq!(standing(&story, Attribute::DiskWrite), "valid");
    assert!(views(&story).is_empty());
    assert_eq!(attested(&story), ["cpu.threads", "disk.0"], "a change voids its own alone");
    assert_eq!(story.state.supply.pools[&story.pool].verified_at, None);
}

#[test]
fn many_lies_in_one_call_are_kept_in_measure_too() {
    let mut story = Story::new();
    let agent = story.agent;
    let nothing = Measurement {
        attribute: Attribute::DiskWrite,
        nominal: None,
        measured: 0,
        method: Method { name: "write".to_owned(), version: "1".to_owned() },
        at: Time::EPOCH,
        valid_for: seconds(1),
        sharing: Sharing::Shared,
        signature: None,
    };
    let before = story.events.len();
    let measured = vec![nothing; 1_000];
    let news = PoolNews { agent, shown: None, measured, answer: None };
    story.does(Command::PoolNews(Box::new(news)));
    let summed =
        |event: &&Event| matches!(event, Event::Found { code, .. } if code == "findings.left_out");
    let found = &story.events[before..];
    let summaries = found.iter().filter(summed).count();
    assert_eq!(found.len() - summaries, 32);
    assert!((3..30).contains(&summaries), "about 968 are counted by doubling: {summaries}");
}

#[test]
fn a_lease_that_nobody_was_told_of_is_taken_back_soon() {
    let mut story = Story::new();
    let job = story.submits("on_lost_link: {keep: 30m}\n");
    let mut liveness = Liveness::new(story.now);
    story.passes(seconds(1));
    story.places(job, &[0]);
    let attempt = first(job, 0);
    story.passes(seconds(39));
    assert!(!liveness.is_lost(&story.state, attempt, story.now));
    story.passes(seconds(1));
    assert!(liveness.is_lost(&story.state, attempt, story.now));
    // Had its agent been heard since, it could know of the lease, and half an hour is its own.
    liveness.heard(story.agent, story.now);
    assert!(!liveness.is_lost(&story.state, attempt, story.now));
    // After a start nobody knows what was told before it.
    let after = Liveness::new(story.now);
    assert!(!after.is_lost(&story.state, attempt, story.now.plus(seconds(60))));
}

#[test]
fn a_run_that_ended_by_itself_says_what_the_next_one_takes() {
    let mut story = Story::new();
    let expected = |story: &Story, job: JobId| story.state.work.jobs[&job].expected;
    let job = story.submits("array: {range: 0-1}\n");
    assert_eq!(expected(&story, job), None, "nothing has ended yet");
    story.places(job, &[0, 1]);
    for task in [0, 1] {
        story.says(first(job, task), Seen::Running, None);
    }
    story.passes(seconds(50));
    let stopped = Seen::Ended { outcome: Outcome::NodeFailure };
    story.says(first(job, 0), stopped, Some((9, seconds(50))));
    let next = story.submits("");
    assert_eq!(expected(&story, next), None, "what was cut short says nothing");
    let ended = Seen::Ended { outcome: exits(0) };
    story.says(first(job, 1), ended, Some((9, seconds(50))));
    let next = story.submits("");
    assert_eq!(expected(&story, next), Some(seconds(50)));
}

#[test]
fn the_offers_of_a_retired_pool_are_retired_with_it() {
    let mut story = Story::new();
    let pool = story.pool;
    assert!(story.state.supply.offers.contains_key(&story.offer));
    story.does(Command::SetPoolStatus { pool, status: Status::Retired });
    assert!(story.state.supply.offers.is_empty());
    let job = story.submits("");
    assert!(story.plans().is_empty());
    assert_eq!(story.waits(job), [0]);
}

#[test]
fn who_used_the_machines_stands_behind_who_did_not_and_weights_are_within_bounds() {
    let mut story = Story::new();
    let project = story.state.access.project_by_path("buyer/a").expect("created").id;
    let job = story.submits("");
    story.places(job, &[0]);
    story.says(first(job, 0), Seen::Running, None);
    story.passes(Span::from_secs(20 * 3_600));
    let other = story.does(Command::CreateProject {
        path: "buyer/b".to_owned(),
        budget: BudgetLimits::default(),
    });
    let Made::Project(other) = other else { panic!("a project") };
    story.does(Story::submission_of("buyer/b", "", None));
    // One organisation with two projects, one of which had all there was.
    let standings = dayan_exchange::shares::standings(&story.state, story.now);
    assert_eq!((standings[&project].had, standings[&other].had), (1_000, 0));
    assert_eq!((standings[&project].share, standings[&project].org_share), (500, 1_000));
    let behind = dayan_exchange::shares::behind(&story.state, story.now);
    assert_eq!(behind.keys().copied().collect::<Vec<_>>(), [project]);
    story.does(Command::SetWeight { of: Weighed::Project(project), weight: 999 });
    let after = dayan_exchange::shares::standings(&story.state, story.now);
    assert_eq!(after[&project].share, 999);
    assert!(after[&project].behind < standings[&project].behind);
    for weight in [0, 1_001] {
        let of = Weighed::Project(project);
        let refusal = story.asks(Command::SetWeight { of, weight }).expect_err("out of bounds");
        assert_eq!(refusal.code, "share.weight");
    }
}

#[test]
fn a_priority_that_is_not_granted_is_refused_and_what_was_submitted_keeps_its_own() {
    let mut story = Story::new();
    let high = || Story::submission_of("buyer/b", "priority: high\n", None);
    let project =
        Command::CreateProject { path: "buyer/b".to_owned(), budget: BudgetLimits::default() };
    story.does(project);
    let Made::Job(job) = story.does(high()) else { panic!("a job") };
    let org = story.state.work.jobs[&job].org;
    story.does(Command::SetPriorityMost { org, most: Priority::Normal });
    for (more, fits) in [("priority: low\n", true), ("", true), ("priority: high\n", false)] {
        let asked = story.asks(Story::submission_of("buyer/b", more, None));
        assert_eq!(asked.map(drop).map_err(|refusal| refusal.code.to_string()).is_ok(), fits);
    }
    let every_day = "priority: high\nschedule: {cron: '0 8 * * *'}\n";
    for more in ["priority: high\n", every_day] {
        let refusal = story.asks(Story::submission_of("buyer/b", more, None)).expect_err(more);
        assert_eq!(refusal.code, "priority.not_granted");
    }
    let spec = |job| story.state.work.spec_of(&story.state.work.jobs[&job]).spec.priority;
    assert_eq!(spec(job), Priority::High);
    story.does(Command::SetPriorityMost { org, most: Priority::High });
    assert!(story.asks(high()).is_ok());
}

#[test]
fn what_is_known_to_be_foreign_is_not_domestic_and_what_is_not_known_is_not_held_against_it() {
    let story = Story::new();
    let residence = |brand: Option<&str>, card: Option<&str>| {
        let mut state = story.state.clone();
        let pool = state.supply.pools.get_mut(&story.pool).expect("it joined");
        let brand = brand.map(|brand| ("cpu.model".to_owned(), brand.to_owned()));
        pool.shown.inventory.extend(brand);
        pool.shown.nodes[0].accelerator = card.map(str::to_owned);
        let all = dayan_exchange::changes::everything(&state, story.now);
        let shown = all.into_iter().find_map(|change| match change {
            dayan_schedule::Change::PoolShown(view) => Some(view.residence),
            _ => None,
        });
        shown.expect("it is active")
    };
    use dayan_schedule::Residence::{Any, Domestic};
    assert_eq!(residence(None, None), Domestic);
    assert_eq!(residence(Some("QEMU Virtual CPU version 2.5+"), None), Domestic);
    assert_eq!(residence(Some("Kunpeng 920"), Some("Ascend910B")), Domestic);
    assert_eq!(residence(Some("Intel(R) Xeon(R) Processor"), None), Any);
    assert_eq!(residence(Some("Intel(R) Xeon(R) Gold 6348"), Some("Ascend910B")), Any);
    assert_eq!(residence(Some("Kunpeng 920"), Some("A100-SXM4-80GB")), Any);
}
