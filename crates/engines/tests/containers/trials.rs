//! What becomes of tasks when podman's service dies.

use std::collections::BTreeMap;

use dayan_engines::conformance::Bed;
use dayan_engines::{
    Engine, Isolation, Launch, LeaseEnd, Limits, Observation, Outcome, Program, Stream, Workdir,
};
use dayan_units::{AttemptId, JobId, Span};

use super::Boxes;
use super::lab::Lab;

/// How long anything may take here: the service is away for seconds, and starts ten a second.
const PATIENCE: Span = Span::from_secs(60);

/// An engine and what was seen of its tasks.
pub(super) struct Trial<'a> {
    pub(super) bed: Boxes<'a>,
    pub(super) engine: Box<dyn Engine>,
    next: u32,
    seen: BTreeMap<AttemptId, Observation>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(lab: &'a Lab, folder: &str) -> Self {
        let mut bed = Boxes { lab, folder: folder.to_owned(), array_size: super::BESIDE_OTHERS };
        let engine = bed.open();
        Self { bed, engine, next: 0, seen: BTreeMap::new() }
    }

    fn lease(&self, span: Span) -> LeaseEnd {
        let (boot, now) = self.engine.boot_now();
        LeaseEnd { boot, at: now.plus(span) }
    }

    pub(super) fn launch(&mut self, line: &str) -> Launch {
        self.next += 1;
        Launch {
            attempt: AttemptId { job: JobId::from_bits(77), task: self.next, attempt: 1 },
            program: Program::Shell(line.to_owned()),
            env: BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits: Limits::default(),
            lease_end: self.lease(Span::from_secs(600)),
            isolation: Isolation::None,
            node: "node-1".to_owned(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: self.bed.image(),
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: std::collections::BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        }
    }

    fn start(&mut self, lines: &[&str]) -> Vec<AttemptId> {
        let launches: Vec<Launch> = lines.iter().map(|line| self.launch(line)).collect();
        let attempts = launches.iter().map(|launch| launch.attempt).collect();
        for answer in self.engine.start(launches) {
            answer.expect("started");
        }
        attempts
    }

    fn until(&mut self, attempt: AttemptId, is: impl Fn(&Observation) -> bool) -> Observation {
        let until = self.engine.boot_now().1.plus(PATIENCE);
        loop {
            if let Some(seen) = self.seen.get(&attempt).filter(|seen| is(seen)) {
                return seen.clone();
            }
            let left = until.since(self.engine.boot_now().1);
            assert!(left > Span::ZERO, "{attempt}: last seen {:?}", self.seen.get(&attempt));
            self.hear(left);
        }
    }

    /// Takes news. The first call after a keeper's death may find the broken link; the next finds
    /// the one that took its place.
    fn hear(&mut self, wait: Span) {
        let news = self.engine.observe(wait).or_else(|_| self.engine.observe(wait));
        let news = news.expect("the keeper answers");
        self.seen.extend(news.into_iter().map(|seen| (seen.attempt, seen)));
    }

    fn runs(&mut self, attempt: AttemptId) {
        self.until(attempt, |seen| matches!(seen.phase, dayan_engines::Phase::Running { .. }));
    }

    pub(super) fn end(&mut self, attempt: AttemptId) -> Outcome {
        let seen = self.until(attempt, |seen| seen.end().is_some());
        seen.end().expect("waited for").outcome.clone()
    }

    pub(super) fn output(&mut self, attempt: AttemptId) -> Vec<u8> {
        let (mut all, mut offset) = (Vec::new(), 0);
        loop {
            let chunk = self.engine.logs(attempt, Stream::Stdout, offset, 1 << 20).expect("read");
            if chunk.data.is_empty() {
                return all;
            }
            offset = chunk.next();
            all.extend(chunk.data);
        }
    }

    pub(super) fn file(&self, attempt: AttemptId, name: &str) -> std::path::PathBuf {
        self.engine.workdir(attempt).expect("a folder").join(name)
    }

    fn go(&self, attempt: AttemptId) {
        self.write(attempt, "go");
    }

    pub(super) fn write(&self, attempt: AttemptId, name: &str) {
        std::fs::write(self.file(attempt, name), "").expect("written");
    }

    /// Waits for a file in the task's folder.
    pub(super) fn until_file(&mut self, attempt: AttemptId, name: &str) {
        let until = self.engine.boot_now().1.plus(PATIENCE);
        while !self.file(attempt, name).exists() {
            assert!(self.engine.boot_now().1 < until, "{name} of {attempt} is not written");
            self.hear(Span::from_millis(20));
        }
    }

    /// Waits until podman has no container any more.
    pub(super) fn none_are_left(&mut self, lab: &Lab) {
        let until = self.engine.boot_now().1.plus(PATIENCE);
        while !lab.run(&["ps", "-a", "-q"]).trim().is_empty() {
            assert!(self.engine.boot_now().1 < until, "containers are left");
            self.hear(Span::from_millis(100));
        }
    }
}

/// A line that waits for a file in the task's folder.
const WAIT: &str = "while [ ! -e go ]; do sleep 0.02; done";

#[test]
fn tasks_go_on_without_the_service_and_nothing_of_them_is_lost() {
    let Some(lab) = Lab::start() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let line = format!("echo before; {WAIT}; printf 'a\\0b'; seq 1 5000; exit 7");
    let before = trial.start(&[&line, &line, &line]);
    for attempt in before.iter().copied() {
        trial.runs(attempt);
    }
    lab.kill_service();
    // One ends while nobody is there to say so, one after.
    trial.go(before[0]);
    // And some are launched meanwhile.
    let meanwhile = trial.start(&["echo ran >> ran; exit 3", "echo ran >> ran; exit 3"]);
    lab.start_service();
    trial.go(before[1]);
    trial.go(before[2]);
    let mut expect = b"before\na\0b".to_vec();
    (1..=5_000).for_each(|number| expect.extend(format!("{number}\n").bytes()));
    for attempt in before {
        assert_eq!(trial.end(attempt), Outcome::Exited(7));
        assert!(trial.output(attempt) == expect, "the output of {attempt} is not whole");
    }
    for attempt in meanwhile {
        assert_eq!(trial.end(attempt), Outcome::Exited(3));
        let ran = std::fs::read_to_string(trial.file(attempt, "ran")).expect("it ran");
        assert_eq!(ran, "ran\n", "{attempt} ran once");
    }
}

#[test]
fn a_lease_holds_without_the_service() {
    let Some(lab) = Lab::start() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let attempt = trial.start(&["trap '' TERM; while :; do sleep 0.02; done"])[0];
    trial.runs(attempt);
    let pid = match trial.until(attempt, |_| true).phase {
        dayan_engines::Phase::Running { pid: Some(pid), .. } => pid,
        other => panic!("it is {other:?}"),
    };
    lab.kill_service();
    let lease = trial.lease(Span::from_secs(2));
    trial.engine.extend(&[(attempt, lease)]).expect("the keeper answers");
    let until = lease.at.plus(PATIENCE);
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(trial.engine.boot_now().1 < until, "it outlives its lease");
        trial.engine.observe(Span::from_millis(20)).expect("the keeper answers");
    }
    lab.start_service();
    assert_eq!(trial.end(attempt), Outcome::LeaseEnded);
}

#[test]
fn launches_over_a_dying_service_run_once() {
    const TASKS: usize = 24;
    let Some(lab) = Lab::start() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let attempts = trial.start(&["echo ran >> ran; sleep 0.3; exit 4"; TASKS]);
    // Killed in the middle of making them, whenever some have begun.
    for some in [2, 8, 14] {
        while trial.seen.len() < TASKS
            || trial
                .seen
                .values()
                .filter(|seen| !matches!(seen.phase, dayan_engines::Phase::Starting))
                .count()
                < some
        {
            let news = trial.engine.observe(Span::from_secs(10)).expect("the keeper answers");
            assert!(!news.is_empty(), "nothing happens any more");
            trial.seen.extend(news.into_iter().map(|seen| (seen.attempt, seen)));
        }
        lab.kill_service();
        lab.start_service();
    }
    let mut lost = 0;
    for attempt in &attempts {
        let outcome = trial.end(*attempt);
        let ran = std::fs::read_to_string(trial.file(*attempt, "ran")).unwrap_or_default();
        match outcome {
            Outcome::Exited(4) => assert_eq!(ran, "ran\n", "{attempt} ran once"),
            // Podman itself could not go on with what it had half made; it says so, and it never ran.
            Outcome::StartFailed(why) => {
                assert_eq!(ran, "", "{attempt} is said not to have run ({why})");
                lost += 1;
            }
            other => panic!("{attempt} ended with {other:?}"),
        }
    }
    assert!(lost <= 3, "{lost} of {TASKS} were not started");
    trial.engine.forget(&attempts).expect("the keeper answers");
    trial.none_are_left(&lab);
}
