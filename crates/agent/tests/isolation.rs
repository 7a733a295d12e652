//! Tasks in namespaces by bubblewrap, through the agent and the real keeper.

#[expect(dead_code, reason = "shared with the other tests of the agent, which use more of it")]
mod fake;

use dayan_agent::{AgentConfig, AgentFault, EngineChoice, IsolationChoice, Measuring};
use dayan_engines::SimulatedEngine;
use dayan_wire::{LogAsk, Outcome, OutputOrder};
use fake::{Agent, Exchange, attempt, config, order};

/// What the keeper asks before it offers to isolate.
fn bubblewrap_works() -> bool {
    std::process::Command::new("bwrap")
        .args(["--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "/bin/true"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_task_works_in_its_folder_and_sees_nobody_elses() {
    if !bubblewrap_works() {
        eprintln!("SKIPPED: bubblewrap is not installed, or may not make namespaces here");
        return;
    }
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().expect("a folder"));
    let root = dir.path().join("results");
    std::fs::create_dir(&root).expect("a folder");
    std::fs::write(root.join("input"), "given\n").expect("a file");
    let agent = Agent::start(AgentConfig {
        isolation: IsolationChoice::Bubblewrap,
        publish_root: Some(root.clone()),
        ..config(&exchange, dir.path())
    });
    let one = attempt(1, 0);
    // The agent's key and what others have published are read without isolation.
    let key = dir.path().join("agent/agent.key");
    let run = format!(
        "cat {key} {others} 2>/dev/null || echo nobody; cat ../input; echo $$; touch /usr/mine || echo fixed; \
         echo result > ../out; exit 0",
        key = key.display(),
        others = root.join("input").display(),
    );
    let mut order = order(one, run);
    order.workdir = Some("inside".to_owned());
    let io = |from: String, to: String| OutputOrder { from, to, ..OutputOrder::default() };
    order.inputs = vec![io("data://input".to_owned(), "input".to_owned())];
    order.outputs = vec![io("out".to_owned(), "data://out".to_owned())];
    exchange.lease(order);
    assert_eq!(exchange.ended(one).await, Outcome::Exited { code: 0 });
    assert!(key.exists());
    assert_eq!(std::fs::read_to_string(root.join("out")).expect("published"), "result\n");

    let ask = LogAsk {
        wait_ms: 0,
        id: 1,
        attempt: one,
        stream: "stdout".to_owned(),
        offset: 0,
        max: 1_000,
    };
    exchange.books().asks.push(ask);
    exchange.ring();
    let log = exchange.until("a log", |books| books.logs.get(&1).cloned()).await.1;
    let log = String::from_utf8(log).expect("text");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("nobody", "given", "fixed"), "{log}");
    assert!(lines[2].len() <= 2, "a process id of its own: {log}");
    let shown = exchange.books().joins[0].shown.clone();
    assert_eq!(shown.inventory["agent.isolation"], "bubblewrap");
    agent.stop().await.expect("it was told to");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_isolate_says_so_before_it_joins() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().expect("a folder"));
    let simulated = || EngineChoice::Given {
        open: Box::new(|| SimulatedEngine::new().map(|engine| Box::new(engine) as _)),
        nodes: Vec::new(),
    };
    let with = |isolation| AgentConfig {
        join: Some(exchange.join_token()),
        site: Some("Guiyang".to_owned()),
        measure: Measuring::Off,
        isolation,
        ..AgentConfig::new(exchange.url(), dir.path().join("agent"), simulated())
    };
    let fault = Agent::start(with(IsolationChoice::Bubblewrap)).fault().await;
    assert!(
        matches!(&fault, AgentFault::Isolation(_))
            && fault.to_string().contains("--isolation none"),
        "{fault}"
    );
    assert!(exchange.books().joins.is_empty());
    // The best that there is is none here.
    let agent = Agent::start(with(IsolationChoice::Best));
    let join = exchange.until("joined", |books| books.joins.first().cloned()).await;
    assert_eq!(join.shown.inventory["agent.isolation"], "none");
    agent.stop().await.expect("it was told to");
}
