//! What a case works with: launches with sensible defaults, waits with limits, words for what
//! went wrong.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use dayan_units::{AttemptId, JobId, Span};

use super::Bed;
use crate::{
    BootTime, Counters, Engine, EngineInfo, Isolation, Launch, LeaseEnd, Limits, LogChunk,
    Observation, Outcome, Phase, Program, StartFault, Stream, Workdir,
};

/// How long a condition may take to come true. Far longer than it takes, because the machine may
/// be busy with other things; a broken promise costs this once.
const PATIENCE: Span = Span::from_secs(60);

/// A lease that does not matter to the case.
const LONG_LEASE: Span = Span::from_secs(600);

/// One case's view of an engine.
pub struct Bench<'a> {
    bed: &'a mut dyn Bed,
    engine: Option<Box<dyn Engine>>,
    job: JobId,
    next: u32,
    /// The newest observation of each attempt.
    seen: BTreeMap<AttemptId, Observation>,
}

/// Whether two things are equal, with words if not.
pub(super) fn same<T: PartialEq + Debug>(what: &str, got: &T, expect: &T) -> Result<(), String> {
    if got == expect { Ok(()) } else { Err(format!("{what}: got {got:?}, expected {expect:?}")) }
}

/// Whether something holds, with words if not.
pub(super) fn holds(what: impl FnOnce() -> String, it: Holds) -> Result<(), String> {
    match it {
        Holds::Yes => Ok(()),
        Holds::No => Err(what()),
    }
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
}

impl From<bool> for Holds {
    fn from(it: bool) -> Self {
        if it { Self::Yes } else { Self::No }
    }
}

impl<'a> Bench<'a> {
    pub(super) fn new(bed: &'a mut dyn Bed, case: usize) -> Self {
        let engine = bed.open();
        // One job per case, another each time a suite runs on the same data.
        let (_, now) = engine.boot_now();
        let bits = (u128::from(now.micros().unsigned_abs()) << 16) | case as u128;
        Self {
            bed,
            engine: Some(engine),
            job: JobId::from_bits(bits),
            next: 0,
            seen: BTreeMap::new(),
        }
    }

    /// The engine.
    pub(super) fn engine(&mut self) -> &mut dyn Engine {
        &mut **self.engine.as_mut().expect("open but for a moment in `away`")
    }
    pub(super) fn info(&self) -> EngineInfo {
        self.engine.as_ref().expect("open but for a moment in `away`").describe()
    }
    pub(super) fn now(&mut self) -> BootTime {
        self.engine().boot_now().1
    }
    /// A lease that ends so long from now.
    pub(super) fn lease(&mut self, span: Span) -> LeaseEnd {
        let (boot, now) = self.engine().boot_now();
        LeaseEnd { boot, at: now.plus(span) }
    }

    /// A launch of the next task, with defaults.
    pub(super) fn launch(&mut self, program: Program) -> Launch {
        self.next += 1;
        Launch {
            attempt: AttemptId { job: self.job, task: self.next, attempt: 1 },
            program,
            env: BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits: Limits::default(),
            lease_end: self.lease(LONG_LEASE),
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
    pub(super) fn shell(&mut self, line: &str) -> Launch {
        self.launch(Program::Shell(line.to_owned()))
    }
    pub(super) fn argv(&mut self, words: &[&str]) -> Launch {
        self.launch(Program::Argv(words.iter().map(|word| (*word).to_owned()).collect()))
    }
    /// Something that runs for so long: a program, or virtual work.
    pub(super) fn work(&mut self, span: Span) -> Launch {
        let seconds = span.secs_f64();
        let mut launch = self.argv(&["sleep", &seconds.to_string()]);
        launch.env.insert(crate::simulated::SECONDS.to_owned(), seconds.to_string());
        launch
    }

    /// A launch whose processes are found by what is returned with it.
    pub(super) fn bearing_a_mark(&self, mut launch: Launch) -> (Launch, String) {
        let mark = launch.attempt.to_string();
        launch.env.insert(MARK.to_owned(), mark.clone());
        (launch, mark)
    }

    pub(super) fn try_start(&mut self, launch: Launch) -> Result<(), StartFault> {
        self.engine().start(vec![launch]).pop().expect("one answer per launch")
    }
    pub(super) fn start(&mut self, launch: Launch) -> Result<AttemptId, String> {
        let attempt = launch.attempt;
        self.try_start(launch).map_err(|fault| format!("the start was refused: {fault}"))?;
        Ok(attempt)
    }
    pub(super) fn start_line(&mut self, line: &str) -> Result<AttemptId, String> {
        let launch = self.shell(line);
        self.start(launch)
    }

    /// Waits until what is seen of an attempt is as it should be.
    pub(super) fn until(
        &mut self,
        attempt: AttemptId,
        what: &str,
        is: impl Fn(&Observation) -> bool,
    ) -> Result<Observation, String> {
        let until = self.now().plus(PATIENCE);
        loop {
            if let Some(seen) = self.seen.get(&attempt)
                && is(seen)
            {
                return Ok(seen.clone());
            }
            let left = until.since(self.now());
            if left <= Span::ZERO {
                return Err(format!(
                    "{what}: not within {PATIENCE}; last seen {:?}",
                    self.seen.get(&attempt)
                ));
            }
            self.observe(left)?;
        }
    }
    /// Waits for the next news.
    pub(super) fn observe(&mut self, wait: Span) -> Result<usize, String> {
        let news = self.engine().observe(wait).map_err(|fault| format!("observe: {fault}"))?;
        let count = news.len();
        self.seen.extend(news.into_iter().map(|seen| (seen.attempt, seen)));
        Ok(count)
    }
    pub(super) fn running(&mut self, attempt: AttemptId) -> Result<Observation, String> {
        self.until(attempt, "it runs", |seen| matches!(seen.phase, Phase::Running { .. }))
    }
    /// Waits for the end.
    pub(super) fn end(&mut self, attempt: AttemptId) -> Result<(Outcome, Counters), String> {
        let seen = self.until(attempt, "it ends", |seen| seen.end().is_some())?;
        let end = seen.end().expect("waited for");
        Ok((end.outcome.clone(), seen.usage))
    }
    pub(super) fn expect_end(
        &mut self,
        attempt: AttemptId,
        expect: &Outcome,
    ) -> Result<Counters, String> {
        let (outcome, usage) = self.end(attempt)?;
        same("outcome", &outcome, expect)?;
        Ok(usage)
    }
    /// Waits longer for its end: many are there beside it, or nobody is left who could tell it.
    pub(super) fn end_within(
        &mut self,
        attempt: AttemptId,
        patience: Span,
    ) -> Result<Outcome, String> {
        let until = self.now().plus(patience);
        while self.seen.get(&attempt).is_none_or(|seen| seen.end().is_none()) {
            let left = until.since(self.now());
            if left <= Span::ZERO {
                return Err(format!("{attempt} has not ended within {patience}"));
            }
            self.observe(left)?;
        }
        self.end(attempt).map(|(outcome, _)| outcome)
    }
    pub(super) fn expect_end_within(
        &mut self,
        attempt: AttemptId,
        expect: &Outcome,
        patience: Span,
    ) -> Result<(), String> {
        same("outcome", &self.end_within(attempt, patience)?, expect)
    }
    /// Waits until the task has written this to its standard output.
    pub(super) fn until_written(&mut self, attempt: AttemptId, text: &str) -> Result<(), String> {
        let until = self.now().plus(PATIENCE);
        while !self.text(attempt, Stream::Stdout)?.contains(text) {
            if self.now() > until {
                return Err(format!("`{text}` was not written within {PATIENCE}"));
            }
            self.observe(Span::from_millis(5))?;
        }
        Ok(())
    }

    /// What an engine lists of an attempt.
    pub(super) fn listed(&mut self, attempt: AttemptId) -> Result<Option<Observation>, String> {
        let list = self.engine().list().map_err(|fault| format!("list: {fault}"))?;
        Ok(list.into_iter().find(|seen| seen.attempt == attempt))
    }
    /// All that is kept of a stream.
    pub(super) fn chunks(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        max: usize,
    ) -> Result<Vec<LogChunk>, String> {
        let mut chunks = Vec::new();
        let mut offset = 0;
        loop {
            let chunk = self.engine().logs(attempt, stream, offset, max);
            let chunk = chunk.map_err(|fault| format!("logs: {fault}"))?;
            if chunk.data.is_empty() {
                return Ok(chunks);
            }
            offset = chunk.next();
            chunks.push(chunk);
        }
    }
    pub(super) fn text(&mut self, attempt: AttemptId, stream: Stream) -> Result<String, String> {
        let chunks = self.chunks(attempt, stream, 1 << 20)?;
        let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.data).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
    /// Runs a line to its successful end and returns what it wrote.
    pub(super) fn output_of(&mut self, launch: Launch) -> Result<String, String> {
        let attempt = self.start(launch)?;
        let (outcome, _) = self.end(attempt)?;
        if outcome != Outcome::Exited(0) {
            let said = self.text(attempt, Stream::Stderr)?;
            return Err(format!("ended with {outcome:?}: {said}"));
        }
        self.text(attempt, Stream::Stdout)
    }
    /// What is reported of a task that a signal ended, as far as the engine tells.
    pub(super) fn signalled(&self, signal: i32) -> Outcome {
        if self.info().features.signals_told_apart {
            Outcome::Signalled(signal)
        } else {
            Outcome::Exited(128 + signal)
        }
    }
    pub(super) fn array_size(&self) -> u32 {
        self.bed.array_size()
    }
    pub(super) fn counts_use(&self) -> bool {
        self.bed.counts_use()
    }
    pub(super) fn lose_node(&mut self, node: &str) -> bool {
        self.bed.lose_node(node)
    }
    pub(super) fn outside_variables(&self) -> Vec<String> {
        self.bed.outside_variables().iter().map(|name| (*name).to_owned()).collect()
    }
    /// Where a task finds its working folder.
    pub(super) fn inside(&mut self, attempt: AttemptId) -> Result<PathBuf, String> {
        match self.bed.folder_inside() {
            Some(folder) => Ok(folder),
            None => self.workdir(attempt)?.canonicalize().map_err(|error| error.to_string()),
        }
    }
    pub(super) fn workdir(&mut self, attempt: AttemptId) -> Result<PathBuf, String> {
        let known = self.engine().workdir(attempt).or_else(|| self.bed.workdir(attempt));
        known.ok_or_else(|| "it has no working folder here".to_owned())
    }

    /// Drops the engine, as an agent that is killed does, and opens another.
    pub(super) fn reopen(&mut self) {
        self.away(|_| ());
    }
    /// Drops the engine, does something, opens another.
    pub(super) fn away<T>(&mut self, meanwhile: impl FnOnce(&mut dyn Bed) -> T) -> T {
        drop(self.engine.take());
        self.seen.clear();
        let result = meanwhile(self.bed);
        self.engine = Some(self.bed.open());
        result
    }
    pub(super) fn kill_keeper(&mut self) -> Result<(), String> {
        if self.bed.kill_keeper() { Ok(()) } else { Err("its keeper was not killed".to_owned()) }
    }

    /// Stops and forgets whatever the case left.
    pub(super) fn clean_up(&mut self) {
        let job = self.job;
        let Ok(list) = self.engine().list() else { return };
        let ours: Vec<AttemptId> =
            list.iter().map(|seen| seen.attempt).filter(|attempt| attempt.job == job).collect();
        for attempt in &ours {
            // Only tidying; a fault was the case's own matter.
            let _ = self.engine().stop(*attempt, Span::ZERO, crate::Signal::KILL);
        }
        for attempt in &ours {
            let _ = self.end(*attempt);
        }
        let _ = self.engine().forget(&ours);
    }
}

/// The variable by which a case finds the processes of its tasks.
const MARK: &str = "CONFORMANCE_MARK";

/// Waits until nothing with a mark runs any more.
pub(super) fn until_gone(mark: &str) -> Result<(), String> {
    let clock = crate::BootClock::of_this_machine().map_err(|error| error.to_string())?;
    let until = clock.now().plus(PATIENCE);
    while !marked(mark).is_empty() {
        if clock.now() > until {
            return Err("it does not end".to_owned());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// The processes of this machine, in whatever namespaces, that carry a mark.
pub(super) fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let has = |pid: u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| has(*pid) && process_lives(*pid))
        .collect()
}

/// Is there a process with this pid that is not a zombie?
pub(super) fn process_lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with('Z')))
        .unwrap_or(false)
}
