//! What is particular to the keeper: its socket, its lock, its journal, its coming and going.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use dayan_engines::{
    BootClock, Engine, Fault, Isolation, Launch, LeaseEnd, Limits, Outcome, ProcessConfig,
    ProcessEngine, Program, Workdir,
};
use dayan_units::{AttemptId, JobId, Span};
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Span = Span::from_secs(30);

fn config(dir: &Path, idle: &str) -> ProcessConfig {
    ProcessConfig {
        dir: dir.to_owned(),
        keeper: vec![env!("CARGO_BIN_EXE_dayan-keeper-test").into()],
        options: vec!["--idle".into(), idle.into()],
    }
}

fn open(dir: &Path) -> ProcessEngine {
    ProcessEngine::open(config(dir, "300ms")).expect("opens")
}

fn launch(engine: &ProcessEngine, task: u32, line: &str) -> Launch {
    let (boot, now) = engine.boot_now();
    Launch {
        attempt: AttemptId { job: JobId::from_bits(5), task, attempt: 1 },
        program: Program::Shell(line.to_owned()),
        env: BTreeMap::new(),
        workdir: Workdir::Fresh,
        limits: Limits::default(),
        lease_end: LeaseEnd { boot, at: now.plus(Span::from_secs(300)) },
        isolation: Isolation::None,
        node: String::new(),
        cards: Vec::new(),
        accelerators: 0,
        gang: None,
        image: None,
        mounts: Vec::new(),
        steps: Vec::new(),
        org: None,
        site_words: std::collections::BTreeMap::new(),
        node_features: std::collections::BTreeSet::new(),
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let clock = BootClock::of_this_machine().expect("a clock");
    let limit = clock.now().plus(PATIENCE);
    while !is() {
        assert!(clock.now() < limit, "{what}: not within {PATIENCE}");
        std::thread::yield_now();
    }
}

fn end_of(engine: &mut ProcessEngine, attempt: AttemptId) -> Outcome {
    let (_, now) = engine.boot_now();
    let limit = now.plus(PATIENCE);
    loop {
        for seen in engine.observe(Span::from_secs(1)).expect("observes") {
            if let (true, Some(end)) = (seen.attempt == attempt, seen.end()) {
                return end.outcome.clone();
            }
        }
        assert!(engine.boot_now().1 < limit, "no end within {PATIENCE}");
    }
}

fn keeper_of(dir: &Path) -> Option<Pid> {
    let dir = dir.canonicalize().ok()?;
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        let ours = words.any(|word| word == dir.as_os_str().as_encoded_bytes());
        let keeper = line.windows(6).any(|word| word == b"keeper");
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (ours && keeper).then(|| Pid::from_raw(pid))?
    })
}

fn frame(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).expect("short").to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("keeper.sock")
}

#[test]
fn the_socket_is_for_its_user_and_refuses_nonsense() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut engine = open(dir.path());
    let mode = std::fs::metadata(socket(dir.path())).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let long = [0xFF_u8; 64];
    let early = frame(r#"{"list":{"serial":1}}"#);
    let broken = frame("{]");
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &long, &early, &broken] {
        let mut guest = UnixStream::connect(socket(dir.path())).expect("connects");
        guest.write_all(nonsense).expect("writes");
        let mut answer = Vec::new();
        // It may be reset, because not everything was read.
        let _ = guest.read_to_end(&mut answer);
        assert_eq!(answer, b"", "nothing is said to a stranger");
    }
    // One that says nothing at all stays, and disturbs nobody.
    let _silent = UnixStream::connect(socket(dir.path())).expect("connects");
    let task = launch(&engine, 1, "exit 3");
    let attempt = task.attempt;
    assert_eq!(engine.start(vec![task]), [Ok(())]);
    assert_eq!(end_of(&mut engine, attempt), Outcome::Exited(3));
}

#[test]
fn another_version_is_told_ours() {
    let dir = tempfile::tempdir().expect("a folder");
    let _engine = open(dir.path());
    let mut guest = UnixStream::connect(socket(dir.path())).expect("connects");
    guest.write_all(&frame(r#"{"hello":{"protocol":99}}"#)).expect("writes");
    let mut answer = Vec::new();
    let _ = guest.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer[4..]).into_owned();
    assert!(text.contains(r#""protocol":1"#) && text.contains(r#""features":null"#), "{text}");
}

#[test]
fn one_agent_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    assert!(matches!(ProcessEngine::open(config(dir.path(), "1s")), Err(Fault::Busy(_))));
    drop(first);
    open(dir.path());
}

#[test]
fn an_idle_keeper_leaves_and_takes_its_cgroups_along() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut engine = open(dir.path());
    let task = launch(&engine, 1, "grep -h dayan- /proc/self/cgroup; exit 4");
    let attempt = task.attempt;
    assert_eq!(engine.start(vec![task]), [Ok(())]);
    assert_eq!(end_of(&mut engine, attempt), Outcome::Exited(4));
    assert!(keeper_of(dir.path()).is_some());
    // Lines such as `4:memory:/a/dayan-…/s0`.
    let said = engine.logs(attempt, dayan_engines::Stream::Stdout, 0, 4_096).expect("reads").data;
    let cgroups: Vec<PathBuf> = String::from_utf8_lossy(&said)
        .lines()
        .filter_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            Some(PathBuf::from(format!("/sys/fs/cgroup/{controllers}{path}")))
        })
        .collect();
    assert!(cgroups.iter().all(|cgroup| cgroup.exists()), "{cgroups:?}");
    drop(engine);
    until("the keeper leaves", || keeper_of(dir.path()).is_none());
    assert!(!cgroups.iter().any(|cgroup| cgroup.exists()), "{cgroups:?}");

    // What it knew, the next one knows.
    let mut engine = open(dir.path());
    let listed = engine.list().expect("lists");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].end().map(|end| end.outcome.clone()), Some(Outcome::Exited(4)));
    let again = launch(&engine, 1, "true");
    assert!(engine.start(vec![again])[0].is_err(), "it is never launched again");
}

#[test]
fn a_keeper_told_to_end_stops_its_tasks_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut engine = open(dir.path());
    let task = launch(
        &engine,
        1,
        "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.02; done",
    );
    let attempt = task.attempt;
    assert_eq!(engine.start(vec![task]), [Ok(())]);
    let stdout = dayan_engines::Stream::Stdout;
    until("it is ready", || !engine.logs(attempt, stdout, 0, 100).expect("reads").data.is_empty());
    kill_process(keeper_of(dir.path()).expect("there"), Signal::TERM).expect("signals");
    until("the keeper leaves", || keeper_of(dir.path()).is_none());
    let listed = engine.list().expect("another keeper lists");
    assert_eq!(listed[0].end().map(|end| end.outcome.clone()), Some(Outcome::Stopped));
    assert_eq!(engine.logs(attempt, stdout, 0, 100).expect("reads").data, b"ready\nasked\n");
}

#[test]
fn a_torn_journal_loses_its_torn_end_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut engine = open(dir.path());
    let task = launch(&engine, 1, "exit 7");
    let attempt = task.attempt;
    assert_eq!(engine.start(vec![task]), [Ok(())]);
    assert_eq!(end_of(&mut engine, attempt), Outcome::Exited(7));
    drop(engine);
    until("the keeper leaves", || keeper_of(dir.path()).is_none());
    let mut journal = std::fs::OpenOptions::new()
        .append(true)
        .open(dir.path().join("keeper.journal"))
        .expect("opens");
    journal.write_all(b"0badc0de {\"ended\":{\"att").expect("writes");
    let mut engine = open(dir.path());
    let listed = engine.list().expect("lists");
    assert_eq!(listed[0].end().map(|end| end.outcome.clone()), Some(Outcome::Exited(7)));
}

#[test]
fn secrets_stay_out_of_the_journal_and_paths_may_be_long() {
    let dir = tempfile::tempdir().expect("a folder");
    // Far over the 108 bytes that a socket's address may have.
    let deep = dir.path().join("a".repeat(100)).join("b".repeat(100));
    let mut engine = open(&deep);
    let mut task = launch(&engine, 1, "test \"$TOKEN\" = geheim");
    task.env.insert("TOKEN".to_owned(), "geheim".to_owned());
    let attempt = task.attempt;
    assert_eq!(engine.start(vec![task]), [Ok(())]);
    assert_eq!(end_of(&mut engine, attempt), Outcome::Exited(0));
    let journal = std::fs::read(deep.join("keeper.journal")).expect("there");
    assert!(!journal.windows(6).any(|bytes| bytes == b"geheim"));
    assert!(!journal.is_empty());
}

#[test]
fn a_keeper_that_cannot_start_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut wrong = config(dir.path(), "1s");
    wrong.keeper = vec!["/no/such/keeper".into()];
    assert!(matches!(ProcessEngine::open(wrong), Err(Fault::Io { .. })));
    let wrong = config(dir.path(), "a while");
    let Err(fault) = ProcessEngine::open(wrong) else { panic!("it opened") };
    assert!(fault.to_string().contains("keeper.log"), "{fault}");
    let log = std::fs::read_to_string(dir.path().join("keeper.log")).expect("there");
    assert!(log.contains("keeper.usage"), "{log}");
}
