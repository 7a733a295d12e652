//! The agent against an exchange that loses, repeats and garbles, with the real keeper.

mod fake;

use axum::http::StatusCode;
use dayan_agent::{AgentConfig, AgentFault, Offering, OnePool, PrivateData, Several, run_several};
use dayan_wire::logs::LogStream;
use dayan_wire::{Blame, Gang, LogAsk, Outcome, OutputOrder, Seen, SignedUsage};
use ed25519_dalek::{Signature, VerifyingKey};
use fake::{Agent, Exchange, Trick, attempt, config, grant, order, within};
use sha2::{Digest, Sha256};

const WELL: Outcome = Outcome::Exited { code: 0 };

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_runs_reports_and_forgets() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let one = attempt(1, 0);
    exchange.books().keeps_nothing = 1;
    exchange.lease(order(one, "echo hello; echo bad >&2; exit 3"));
    assert_eq!(exchange.ended(one).await, Outcome::Exited { code: 3 });

    // Who it is, proven by its key.
    let join = exchange.books().joins[0].clone();
    let mut key = [0; 32];
    hex::decode_to_slice(&join.public_key, &mut key).unwrap();
    let key = VerifyingKey::from_bytes(&key).unwrap();
    let signature = |text: &str| {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).unwrap();
        Signature::from_bytes(&bytes)
    };
    key.verify_strict(b"dayan join 1\ns3cret", &signature(&join.proof)).unwrap();
    assert_eq!((&join.site[..], &join.pool[..]), ("Guiyang", "node-a"));
    assert_eq!((&join.shown.engine[..], &join.shown.fence[..]), ("process", "keeper"));
    assert!(!join.shown.features.contains("staging"));
    assert!(join.shown.nodes[0].total.cpu.0 > 0 && !join.shown.inventory.is_empty());

    // Its use, signed.
    let (records, signed) = exchange.until("use", |b| b.signed.last().cloned()).await;
    key.verify_strict(&SignedUsage::material(&records), &signature(&signed)).unwrap();
    assert!(exchange.books().usage[&one].iter().all(|record| record.seq >= 1));

    // Its log is there after it was forgotten.
    let work = dir.path().join(format!("agent/engine/attempts/{}", one.job));
    within("forgotten", async || (!work.exists()).then_some(())).await;
    let ask = |id, stream: &str, offset| LogAsk {
        wait_ms: 0,
        id,
        attempt: one,
        stream: stream.to_owned(),
        offset,
        max: 100,
    };
    let asks = [ask(1, "stdout", 0), ask(2, "stderr", 1), ask(3, "stdout", 6), ask(4, "tape", 0)];
    exchange.books().asks.extend(asks);
    exchange.ring();
    // And it was handed over, though not taken at once.
    let kept = exchange
        .until("logs", |books| {
            let whole = (one, None, 0, Vec::new());
            books.kept.contains(&whole).then(|| books.kept.clone())
        })
        .await;
    let part = |stream, text: &str| (one, Some(stream), 0, text.as_bytes().to_vec());
    let (out, err) = (part(LogStream::Stdout, "hello\n"), part(LogStream::Stderr, "bad\n"));
    assert_eq!(kept, [out, err, (one, None, 0, Vec::new())]);
    assert_eq!(exchange.books().keeps_nothing, 0);

    let log = |id| exchange.until("a log", move |books| books.logs.get(&id).cloned());
    let (query, bytes) = log(1).await;
    assert_eq!(
        (&bytes[..], &query["next"][..], &query["end"][..]),
        (&b"hello\n"[..], "6", "false")
    );
    assert_eq!(log(2).await.1, b"ad\n");
    let (query, bytes) = log(3).await;
    assert_eq!((&bytes[..], &query["next"][..], &query["end"][..]), (&b""[..], "6", "true"));
    assert!(log(4).await.0.contains_key("error"));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_pinned_certificate_is_talked_to() {
    let (exchange, dir) = (Exchange::with_tls().await, tempfile::tempdir().unwrap());
    let other = Exchange::with_tls().await;
    let mut wrong = config(&exchange, &dir.path().join("wrong"));
    wrong.join = Some(other.join_token());
    let fault = Agent::start(wrong).fault().await;
    assert!(
        matches!(&fault, AgentFault::Unreachable(why) if why.starts_with("the server's certificate")),
        "{fault}"
    );
    assert!(!fault.to_string().contains("Error"), "no programmer's words: {fault}");
    assert_eq!(fault.code(), "agent.unreachable");
    assert!(exchange.books().joins.is_empty());

    let agent = Agent::start(config(&exchange, dir.path()));
    let one = attempt(1, 0);
    exchange.lease(order(one, "true"));
    assert_eq!(exchange.ended(one).await, WELL);
    agent.stop().await.unwrap();

    // The pin outlives the join: the server at the same name with another certificate.
    let mut moved = config(&other, dir.path());
    moved.join = None;
    let agent = Agent::start(moved);
    exchange.lease(order(attempt(1, 1), "true"));
    other.lease(order(attempt(1, 1), "true"));
    other.until("it tries, twice", |books| (books.connections > 1).then_some(())).await;
    agent.stop().await.unwrap();
    assert_eq!(other.books().syncs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let mut config_without = config(&exchange, dir.path());
    config_without.join = None;
    let fault = Agent::start(config_without).fault().await;
    assert!(matches!(fault, AgentFault::NotJoined), "{fault}");
    let mut nonsense = config(&exchange, dir.path());
    nonsense.join = Some("dyj1.x".to_owned());
    let fault = Agent::start(nonsense).fault().await;
    assert!(matches!(fault, AgentFault::JoinToken), "{fault}");
    let mut insecure = config(&exchange, dir.path());
    insecure.join = Some(format!("dyj1.secret.{}", "ab".repeat(32)));
    let fault = Agent::start(insecure).fault().await;
    assert!(matches!(fault, AgentFault::Url(_)), "{fault}");
    let mut nowhere = config(&exchange, dir.path());
    nowhere.site = None;
    let fault = Agent::start(nowhere).fault().await;
    assert!(matches!(&fault, AgentFault::JoinRefused(why) if why.contains("--site")), "{fault}");
    assert!(!dir.path().join("agent/engine").exists(), "nothing was started for that");
    exchange.books().refuse_joins = true;
    let fault = Agent::start(config(&exchange, dir.path())).fault().await;
    assert!(matches!(&fault, AgentFault::JoinRefused(why) if why.contains("was used")), "{fault}");
    exchange.books().refuse_joins = false;

    let agent = Agent::start(config(&exchange, dir.path()));
    exchange.until("joined", |books| books.joins.first().cloned()).await;
    let fault = Agent::start(config(&exchange, dir.path())).fault().await;
    assert!(matches!(fault, AgentFault::Busy(_)), "{fault}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_answer_is_lost_is_asked_for_again_as_it_was() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    exchange.books().lose_joins = 2;
    let agent = Agent::start(config(&exchange, dir.path()));
    exchange.until("it works", |books| (books.syncs > 0).then_some(())).await;
    agent.stop().await.unwrap();
    let joins = exchange.books().joins.clone();
    assert_eq!(joins.len(), 3);
    assert!(joins[0].token.as_ref().is_some_and(|token| token.starts_with("dya_")));
    assert!(joins.iter().all(|join| *join == joins[0]), "{joins:?}");
    assert!(!dir.path().join("agent/joining.json").exists(), "it is over");
    // Its secret is not for others to read while it is there.
    exchange.books().lose_joins = u32::MAX;
    let lost = Agent::start(config(&exchange, &dir.path().join("lost")));
    exchange.until("it was asked", |books| books.joins.get(3).cloned()).await;
    lost.kill().await;
    exchange.books().lose_joins = 0;
    let kept = std::fs::metadata(dir.path().join("lost/agent/joining.json")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600);
    let again = Agent::start(config(&exchange, &dir.path().join("lost")));
    let before = exchange.books().syncs;
    exchange.until("it works", |books| (books.syncs > before).then_some(())).await;
    again.stop().await.unwrap();
    let joins = exchange.books().joins.clone();
    assert!(joins[3..].iter().all(|join| join.token == joins[3].token), "by another process, too");
    assert_ne!(joins[3].token, joins[0].token, "each has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_pools_one_that_is_refused_is_asked_for_once_and_the_others_join() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    exchange.books().refuses_pool = Some("lab-b".to_owned());
    // The answer to the first one's join is lost besides.
    exchange.books().lose_joins = 1;
    let pool = |name: &str| {
        let (name, data) = (name.to_owned(), dir.path().join(name));
        let (called, at) = (name.clone(), data.clone());
        let exchange = exchange.clone();
        let config = move || AgentConfig {
            pool: Some(called.clone()),
            data: at.clone(),
            ..config(&exchange, &at)
        };
        OnePool { name, data, config: Box::new(config) }
    };
    let several = Several {
        data: dir.path().to_owned(),
        pools: ["lab-a", "lab-b", "lab-c"].map(pool).into(),
        join: Some(exchange.join_token()),
    };
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let ready = |name: &str| told.send(name.to_owned()).unwrap();
    let working = async {
        let first = tells.recv().await.unwrap();
        let second = tells.recv().await.unwrap();
        assert_eq!([first, second], ["lab-a", "lab-c"]);
    };
    tokio::time::timeout(fake::PATIENCE, run_several(several, ready, working))
        .await
        .expect("in time")
        .unwrap();
    let books = exchange.books();
    let joins: Vec<(&str, u32)> =
        books.joins.iter().map(|join| (join.pool.as_str(), join.more)).collect();
    assert_eq!(joins, [("lab-a", 2), ("lab-a", 2), ("lab-c", 2)]);
    assert_eq!(books.joins[0].token, books.joins[1].token);
    assert_eq!(books.refused_joins, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_pools_is_known_before_it_joins() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let offering = Offering { node: Some("node-a".to_owned()), ..Offering::default() };
    exchange.books().refuse_joins = true;
    let one = AgentConfig {
        keep: Some(offering.clone()),
        key: Some(dir.path().join("agent.key")),
        ..config(&exchange, dir.path())
    };
    Agent::start(one).fault().await;
    assert_eq!(Offering::kept(&dir.path().join("agent")).unwrap(), offering);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_is_kept_by_a_member_only() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let offering = Offering { cpus: Some(dayan_units::MilliCpu(1_000)), ..Offering::default() };
    let with = || AgentConfig { keep: Some(offering.clone()), ..config(&exchange, dir.path()) };
    let data = dir.path().join("agent");
    exchange.books().refuse_joins = true;
    Agent::start(with()).fault().await;
    assert_eq!(Offering::kept(&data).unwrap(), Offering::default());
    exchange.books().refuse_joins = false;
    let agent = Agent::start(with());
    exchange.until("it works", |books| (books.syncs > 0).then_some(())).await;
    agent.stop().await.unwrap();
    assert_eq!(Offering::kept(&data).unwrap(), offering);
    // One that says nothing leaves it as it is.
    let agent = Agent::start(config(&exchange, dir.path()));
    let before = exchange.books().syncs;
    exchange.until("it works again", |books| (books.syncs > before).then_some(())).await;
    agent.stop().await.unwrap();
    assert_eq!(Offering::kept(&data).unwrap(), offering);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_twice_and_nothing_is_lost_when_messages_are() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let ran = dir.path().join("ran");
    let say = |status, text: &str| Trick::Say(status, text.to_owned());
    // Each befalls the sync that would bring the lease, the one that would tell the end, or both.
    let tricks = [
        Trick::LoseAnswer,
        Trick::LoseRequest,
        say(StatusCode::OK, "{\"revision\":"),
        say(StatusCode::OK, "[1,2,3]"),
        say(StatusCode::SERVICE_UNAVAILABLE, "later"),
        say(StatusCode::BAD_REQUEST, "{}"),
    ];
    for (task, trick) in (0..).zip(tricks) {
        exchange.play([trick.clone()]);
        exchange.lease(order(attempt(2, task), format!("echo {task} >> {}", ran.display())));
        exchange.play([trick.clone(), trick]);
        assert_eq!(exchange.ended(attempt(2, task)).await, WELL);
    }
    // What was answered before comes again: it is old news.
    exchange.play([Trick::Repeat, Trick::Repeat, Trick::Repeat]);
    let last = attempt(2, 6);
    exchange.lease(order(last, format!("echo last >> {}", ran.display())));
    assert_eq!(exchange.ended(last).await, WELL);
    assert_eq!(lines(&ran), 7);
    for records in exchange.books().usage.values() {
        for pair in records.windows(2) {
            assert!(pair[0].seq < pair[1].seq || pair[0] == pair[1], "{pair:?}");
        }
    }
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_the_exchanges_absence() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let (go, gone) = (dir.path().join("go"), dir.path().join("gone"));
    let one = attempt(3, 0);
    let wait =
        format!("until test -e {}; do sleep 0.01; done; touch {}", go.display(), gone.display());
    exchange.lease(order(one, wait));
    exchange.seen(one, Seen::Running).await;
    exchange.leave().await;
    std::fs::write(&go, "").unwrap();
    within("it ends without the exchange", async || gone.exists().then_some(())).await;
    exchange.come_back().await;
    assert_eq!(exchange.ended(one).await, WELL);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_with_its_lease_while_the_exchange_is_silent() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let ended = dir.path().join("ended");
    let one = attempt(4, 0);
    let run =
        format!("trap 'echo x > {}; exit 0' TERM; while :; do sleep 0.05; done", ended.display());
    let mut short = order(one, run);
    short.keep_us = 2_000_000;
    exchange.lease(short);
    exchange.seen(one, Seen::Running).await;
    // It lives as long as it is renewed: here for more than one lease.
    let enough = within("it is renewed", async || {
        let books = exchange.books();
        let wall = books.usage.get(&one)?.last()?.counters.wall_us;
        (wall > 3_000_000).then_some(())
    });
    enough.await;
    exchange.leave().await;
    within("its fence ends it", async || ended.exists().then_some(())).await;
    exchange.come_back().await;
    assert_eq!(exchange.ended(one).await, Outcome::LeaseEnded);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_takes_up_what_runs() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let (ran, go) = (dir.path().join("ran"), dir.path().join("go"));
    let wait =
        format!("echo x >> {}; until test -e {}; do sleep 0.01; done", ran.display(), go.display());
    let (one, two) = (attempt(5, 0), attempt(5, 1));
    exchange.lease(order(one, wait.clone()));
    exchange.lease(order(two, format!("{wait}; exit 7")));
    exchange.seen(one, Seen::Running).await;
    exchange.seen(two, Seen::Running).await;
    exchange.until("use was told", |books| books.usage.get(&one).map(Vec::len)).await;
    agent.kill().await;
    let told = exchange.books().usage[&one].last().copied().unwrap();

    // While no agent is there, one ends.
    exchange.books().seen.clear();
    let mut again = config(&exchange, dir.path());
    again.join = None;
    let agent = Agent::start(again);
    exchange.seen(one, Seen::Running).await;
    let after = exchange
        .until("use goes on", |books| {
            books.usage[&one].last().copied().filter(|record| record.seq > told.seq)
        })
        .await;
    assert!(after.counters.wall_us >= told.counters.wall_us);
    agent.kill().await;
    std::fs::write(&go, "").unwrap();
    let agent = Agent::start(config(&exchange, dir.path()));
    assert_eq!(exchange.ended(one).await, WELL);
    assert_eq!(exchange.ended(two).await, Outcome::Exited { code: 7 });
    assert_eq!(lines(&ran), 2, "each ran once");
    assert_eq!(exchange.books().joins.len(), 1);
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_ends() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let (one, unseen) = (attempt(6, 0), attempt(6, 1));
    exchange.lease(order(one, "sleep 1000"));
    exchange.seen(one, Seen::Running).await;
    exchange.change(one, |order| order.stop = true);
    assert_eq!(exchange.ended(one).await, Outcome::Stopped);
    // Stopped before it was ever seen: it is not started.
    let ran = dir.path().join("ran");
    let mut order = order(unseen, format!("touch {}", ran.display()));
    order.stop = true;
    exchange.lease(order);
    assert_eq!(exchange.ended(unseen).await, Outcome::Stopped);
    assert!(!ran.exists());
    // Without a lease any more: it does not run on.
    let lost = attempt(6, 2);
    exchange.lease(fake::order(lost, "sleep 1000"));
    exchange.seen(lost, Seen::Running).await;
    exchange.books().leases.clear();
    let stopped = |books: &fake::Books| {
        let seen = books.seen.get(&lost)?;
        seen.contains(&Seen::Ended { outcome: Outcome::Stopped }).then_some(())
    };
    exchange.until("it is stopped", stopped).await;
    agent.stop().await.unwrap();
}

fn output(from: &str, to: &std::path::Path) -> OutputOrder {
    OutputOrder {
        from: from.to_owned(),
        to: format!("file://{}", to.display()),
        ..OutputOrder::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_appear_after_the_grant_and_not_before() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let root = dir.path().join("public");
    std::fs::create_dir_all(root.join("in")).unwrap();
    std::fs::write(root.join("in/scene"), "light").unwrap();
    let mut config = config(&exchange, dir.path());
    config.publish_root = Some(root.clone());
    let agent = Agent::start(config);
    exchange.books().grants = false;
    let one = attempt(7, 0);
    let mut first = order(one, "mkdir -p out/deep; cp scene out/deep/frame; echo log > report.txt");
    first.inputs = vec![OutputOrder {
        from: "data://in/scene".to_owned(),
        to: "scene".to_owned(),
        ..OutputOrder::default()
    }];
    first.outputs = vec![
        output("out/", &root.join("film")),
        OutputOrder {
            from: "report.txt".to_owned(),
            to: "data://film/reports/".to_owned(),
            ..OutputOrder::default()
        },
    ];
    exchange.lease(first);
    exchange.until("it asks", |books| books.asked_to_publish.contains(&one).then_some(())).await;
    assert!(!root.join("film").exists(), "nothing before the grant");
    assert!(exchange.books().shown.iter().all(|shown| shown.features.contains("staging")));

    // The agent dies between the question and the grant; the next one asks again.
    agent.kill().await;
    exchange.books().asked_to_publish.clear();
    let mut config = fake::config(&exchange, dir.path());
    config.publish_root = Some(root.clone());
    config.start_patience = std::time::Duration::ZERO;
    let agent = Agent::start(config);
    exchange.until("it asks", |books| books.asked_to_publish.contains(&one).then_some(())).await;
    assert!(!root.join("film").exists(), "nothing before the grant");
    grant(&mut exchange.books(), one);
    exchange.ring();
    assert_eq!(exchange.ended(one).await, WELL);
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("film/deep/frame"), "light");
    assert_eq!(read("film/reports/report.txt"), "log\n");

    exchange.books().grants = true;
    // What fails publishes nothing; what is missing or leads out is refused with the reason.
    let refused = [
        ("touch out; exit 4", output("out", &root.join("x")), "exited"),
        ("true", output("out/", &root.join("x")), "it left no"),
        ("ln -s /etc/hostname out", output("out", &root.join("x")), "leads out"),
        (
            "mkdir out; ln -s /etc/hostname out/h",
            output("out/", &root.join("x")),
            "may not be read",
        ),
        ("touch out", output("out", std::path::Path::new("/etc/dayan-test")), "outside"),
        ("touch out", output("out", &root.join("../y")), "leads out"),
        ("touch out", output("../out", &root.join("x")), "leads out"),
        ("touch out", output("out", &root.join(".attempts/y")), "unpublished"),
    ];
    // Those whose outputs are to go where they may.
    let inside = [0, 1, 2, 3, 6];
    for (number, (run, to, expect)) in refused.into_iter().enumerate() {
        let this = attempt(8, u32::try_from(number).unwrap());
        let mut order = order(this, run);
        order.outputs = vec![to];
        exchange.lease(order);
        match exchange.ended(this).await {
            Outcome::PublishFailed { reason, blame } => {
                assert!(reason.contains(expect), "{run}: {reason}");
                assert_eq!(blame, Blame::Job, "{run}: {reason}");
                assert!(inside.contains(&number), "{run}: {reason}");
            }
            // Where a pool publishes is known before anything runs, and another may publish there.
            Outcome::StartFailed { reason, blame: Blame::Job, for_good: false, .. } => {
                assert!(reason.contains(expect), "{run}: {reason}");
                assert!(!inside.contains(&number), "{run}: {reason}");
            }
            other => assert_eq!((other, expect), (Outcome::Exited { code: 4 }, "exited"), "{run}"),
        }
    }
    assert!(!root.join("x").exists());
    let unreadable = [
        "file:///etc/hostname",
        "data://../agent/agent.key",
        "s3://bucket/key",
        "file:///etc/../etc/hostname",
        "data://none",
    ];
    for (number, from) in unreadable.into_iter().enumerate() {
        let this = attempt(9, u32::try_from(number).unwrap());
        let mut order = order(this, "true");
        order.inputs = vec![OutputOrder {
            from: from.to_owned(),
            to: "in".to_owned(),
            ..OutputOrder::default()
        }];
        exchange.lease(order);
        // That object stores cannot be read here is no job's doing. That one does not answer, or says that
        // nothing is there, is: the exchange is reached.
        let of_site = from.starts_with("s3:") && !cfg!(feature = "s3");
        let expect = if of_site { Blame::Site } else { Blame::Job };
        let ended = exchange.ended(this).await;
        let Outcome::StartFailed { reason, blame, .. } = &ended else { panic!("{ended:?}") };
        assert!(reason.contains(from), "{ended:?}");
        assert_eq!(*blame, expect, "{ended:?}");
    }
    let left = std::fs::read_dir(root.join(".attempts")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what was gathered is gone");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_to_publish_says_that_nothing_of_it_runs_and_is_published_all_the_same() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let root = dir.path().join("public");
    std::fs::create_dir(&root).unwrap();
    let mut config = config(&exchange, dir.path());
    config.publish_root = Some(root.clone());
    config.lingers_after = dayan_units::Span::ZERO;
    let agent = Agent::start(config);
    exchange.books().grants = false;
    let one = attempt(12, 0);
    let mut first = order(one, "echo log > report");
    first.outputs = vec![output("report", &root.join("report"))];
    exchange.lease(first);
    let lingers = |seen: &Vec<Seen>| seen.contains(&Seen::Lingering);
    exchange
        .until("it lingers", |books| books.seen.get(&one).is_some_and(lingers).then_some(()))
        .await;
    assert!(!root.join("report").exists(), "nothing before the grant");
    grant(&mut exchange.books(), one);
    exchange.ring();
    assert_eq!(exchange.ended(one).await, WELL);
    assert_eq!(std::fs::read_to_string(root.join("report")).unwrap(), "log\n");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_data_store_does_not_take_is_the_jobs_and_what_passes_is_the_sites() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let of_job = ["data.quota", "data.too_large", "data.too_many_files", "data.output_path"];
    let passing = ["data.not_your_attempt", "data.disk_full"];
    let all = of_job.map(|code| (code, Blame::Job)).into_iter();
    let all: Vec<_> = all.chain(passing.map(|code| (code, Blame::Site))).collect();
    let mut task = 0;
    let mut ends = async |sent: Option<&'static str>, published: Option<&'static str>| {
        let refused = |code| (StatusCode::CONFLICT, code);
        exchange.books().data_refuses = sent.map(refused);
        exchange.books().publish_refuses = published.map(refused);
        let one = attempt(11, task);
        task += 1;
        let mut order = order(one, "mkdir out; for n in 1 2 3 4 5 6; do echo $n > out/$n; done");
        order.outputs = vec![OutputOrder {
            from: "out/".to_owned(),
            to: "dayan://lab/demo/out/".to_owned(),
            ..OutputOrder::default()
        }];
        exchange.lease(order);
        exchange.ended(one).await
    };
    for (code, expect) in all {
        for (sent, published) in [(Some(code), None), (None, Some(code))] {
            let ended = ends(sent, published).await;
            let Outcome::PublishFailed { reason, blame } = &ended else { panic!("{ended:?}") };
            assert!(reason.contains(code) && reason.contains("do something else"), "{reason}");
            assert_eq!(*blame, expect, "{reason}");
        }
    }
    let before = exchange.books().begun;
    assert_eq!(ends(None, None).await, WELL);
    assert_eq!(exchange.books().begun - before, 6, "every file once");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_a_digest_is_not_given_what_another_brought_with_a_secret() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    let film = axum::routing::get(async move |headers: axum::http::HeaderMap| {
        counts.fetch_add(1, Ordering::SeqCst);
        match headers.get("authorization").map(axum::http::HeaderValue::as_bytes) {
            Some(b"Bearer hush") => (StatusCode::OK, "the film"),
            Some(_) | None => (StatusCode::NOT_FOUND, ""),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/film", listener.local_addr().unwrap());
    let app = axum::Router::new().route("/film", film);
    let web = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut config = config(&exchange, dir.path());
    config.private_data = PrivateData::Allowed;
    let agent = Agent::start(config);
    exchange.books().secrets = [("tok".to_owned(), "hush".to_owned())].into();
    let mut task = 0;
    let mut fetch = async |org: &str, secret: Option<&str>| {
        let one = attempt(13, task);
        task += 1;
        let mut order = order(one, "grep -q film in");
        order.org = Some(org.to_owned());
        order.inputs = vec![OutputOrder {
            from: address.clone(),
            to: "in".to_owned(),
            secret: secret.map(str::to_owned),
            sha256: Some(hex::encode(Sha256::digest("the film"))),
            ..OutputOrder::default()
        }];
        exchange.lease(order);
        exchange.ended(one).await
    };
    assert_eq!(fetch("studio", Some("tok")).await, WELL);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Its own organisation does not wait for it again.
    assert_eq!(fetch("studio", None).await, WELL);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let ended = fetch("rival", None).await;
    let Outcome::StartFailed { reason, blame: Blame::Job, .. } = &ended else {
        panic!("{ended:?}")
    };
    assert!(reason.contains("404"), "{reason}");
    // With rights of its own it is.
    assert_eq!(fetch("rival", Some("tok")).await, WELL);
    assert_eq!(fetch("rival", None).await, WELL);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    agent.stop().await.unwrap();
    web.abort();
}

#[cfg(feature = "s3")]
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_written_to_is_found_out_before_anything_runs() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let ran = dir.path().join("ran");
    let endpoint = exchange.url();
    let secrets = [
        ("malformed", "hush-hush".to_owned(), "not a JSON object"),
        (
            "private",
            format!(
                "{{\"access_key_id\":\"a\",\"secret_access_key\":\"hush-hush\",\
                 \"endpoint\":\"{endpoint}\"}}"
            ),
            "own network",
        ),
    ];
    exchange.books().secrets =
        secrets.iter().map(|(name, text, _)| ((*name).to_owned(), text.clone())).collect();
    let cases = secrets.iter().map(|(name, _, expect)| (*name, *expect));
    for (task, (name, expect)) in (0..).zip(cases.chain([("gone", "no secret `gone`")])) {
        let one = attempt(12, task);
        let mut order = order(one, format!("echo x > {}", ran.display()));
        order.outputs = vec![OutputOrder {
            from: "out".to_owned(),
            to: "s3://studio/out".to_owned(),
            secret: Some(name.to_owned()),
            ..OutputOrder::default()
        }];
        exchange.lease(order);
        let ended = exchange.ended(one).await;
        let Outcome::StartFailed { reason, blame: Blame::Job, .. } = &ended else {
            panic!("{ended:?}")
        };
        assert!(reason.contains("s3://studio/out") && reason.contains(expect), "{reason}");
        assert!(!reason.contains("hush"), "{reason}");
    }
    assert!(!ran.exists(), "nothing ran");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_members_of_a_launch_wait_for_its_head() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let seen = dir.path().join("seen");
    let member = |rank: u32| {
        let run = format!(
            "echo $DAYAN_HEAD $DAYAN_PORT > {0}; cat $DAYAN_HOSTFILE >> {0}; pwd >> {0}; sleep 1",
            seen.display()
        );
        let mut order = order(attempt(10, rank), run);
        order.env.insert("DAYAN_TASKS".to_owned(), "6".to_owned());
        order.workdir = Some("inner".to_owned());
        let nodes = vec!["node-a".to_owned(); 3];
        order.gang = Some(Gang { rank, nodes, slot: 2, runs: rank == 0 });
        order
    };
    exchange.lease(member(1));
    exchange.lease(member(2));
    // Nothing runs for them before their head does.
    exchange.seen(attempt(10, 2), Seen::Staging).await;
    assert!(!seen.exists());
    assert!(!exchange.books().seen[&attempt(10, 1)].contains(&Seen::Running));
    exchange.lease(member(0));
    exchange.seen(attempt(10, 1), Seen::Running).await;
    for rank in 0..3 {
        assert_eq!(exchange.ended(attempt(10, rank)).await, WELL, "rank {rank}");
    }
    // They are used as long as it is: their machines are kept for it.
    for rank in 0..3 {
        let used = exchange
            .until("its use", |books| books.usage.get(&attempt(10, rank))?.last().copied())
            .await;
        assert!(used.counters.wall_us >= 1_000_000, "rank {rank}: {used:?}");
    }
    let text = std::fs::read_to_string(&seen).unwrap();
    let mut said = text.lines();
    assert_eq!(said.next(), Some("127.0.0.1 20032"));
    assert_eq!(said.next(), Some("127.0.0.1 slots=6"));
    assert!(said.next().is_some_and(|folder| folder.ends_with("/inner")), "{text}");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_for_what_is_shown() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    let agent = Agent::start(config(&exchange, dir.path()));
    let shown = exchange.until("shown", |books| books.shown.first().cloned()).await;
    let nonce = "5a".repeat(32);
    exchange.books().challenge = Some(nonce.clone());
    exchange.ring();
    let (of, digest) =
        exchange.until("answered", |books| books.challenge_answers.first().cloned()).await;
    let lines: Vec<String> = shown.inventory.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let material = format!("dayan-challenge 1\n{nonce}\n{}", lines.join("\n"));
    assert_eq!((of, digest), (nonce, hex::encode(Sha256::digest(material))));
    agent.stop().await.unwrap();
}
