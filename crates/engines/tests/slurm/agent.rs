//! An agent's hands in a test: launches, waiting for what is to come, counting what ran.

use std::collections::BTreeMap;
use std::path::Path;

use dayan_engines::{
    Engine, Isolation, Launch, LeaseEnd, Limits, Observation, Outcome, Phase, Program, SlurmConfig,
    SlurmEngine, Workdir,
};
use dayan_units::{AttemptId, Bytes, JobId, Span};

/// How long a condition may take to come true.
const PATIENCE: Span = Span::from_secs(120);
/// A lease that does not matter to the test.
const LEASE: Span = Span::from_secs(600);

pub struct Agent {
    config: SlurmConfig,
    pub engine: SlurmEngine,
    seen: BTreeMap<AttemptId, Observation>,
    job: JobId,
    next: u32,
}

impl Agent {
    pub fn open(config: SlurmConfig) -> Self {
        let engine = SlurmEngine::open(config.clone()).expect("opens");
        let job = JobId::from_bits(u128::from(engine.boot_now().1.micros().unsigned_abs()));
        Self { config, engine, seen: BTreeMap::new(), job, next: 0 }
    }

    /// Dies, and another takes over.
    pub fn restart(self) -> Self {
        let Self { config, engine, job, next, .. } = self;
        drop(engine);
        let engine = SlurmEngine::open(config.clone()).expect("opens");
        Self { config, engine, seen: BTreeMap::new(), job, next }
    }

    /// The same, told other things.
    pub fn restart_with(self, config: SlurmConfig) -> Self {
        Self { config, ..self }.restart()
    }

    pub fn launch(&mut self, line: &str) -> Launch {
        self.next += 1;
        let (boot, now) = self.engine.boot_now();
        Launch {
            attempt: AttemptId { job: self.job, task: self.next, attempt: 1 },
            program: Program::Shell(line.to_owned()),
            env: BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits: Limits { memory: Bytes(64 << 20), ..Limits::default() },
            lease_end: LeaseEnd { boot, at: now.plus(LEASE) },
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

    /// As a script for Slurm has it, which finds an `srun` of ours, and the number of its job.
    pub fn script(&mut self, line: &str) -> Launch {
        let mut made = self.launch(line);
        made.env.insert("SLURM_JOB_NAME".to_owned(), "x".to_owned());
        made
    }

    pub fn start(&mut self, launches: Vec<Launch>) -> Vec<AttemptId> {
        let attempts = launches.iter().map(|launch| launch.attempt).collect();
        for answer in self.engine.start(launches) {
            answer.expect("it is taken");
        }
        attempts
    }

    pub fn start_lines(&mut self, count: u32, line: &str) -> Vec<AttemptId> {
        let launches = (0..count).map(|_| self.launch(line)).collect();
        self.start(launches)
    }

    /// Looks until it holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let until = self.engine.boot_now().1.plus(PATIENCE);
        while !holds(self) {
            assert!(self.engine.boot_now().1 < until, "{what}: not within {PATIENCE}");
            let news = self.engine.observe(Span::from_millis(50)).expect("observes");
            for seen in news {
                let before = self.seen.insert(seen.attempt, seen.clone());
                let ended = before.as_ref().and_then(|before| before.end().cloned());
                assert!(
                    ended.is_none() || seen.end() == ended.as_ref(),
                    "{before:?} became {seen:?}"
                );
            }
        }
    }

    pub fn phase(&self, attempt: AttemptId) -> Option<&Phase> {
        self.seen.get(&attempt).map(|seen| &seen.phase)
    }

    pub fn is_running(&self, attempt: AttemptId) -> bool {
        matches!(self.phase(attempt), Some(Phase::Running { .. }))
    }

    pub fn running(&mut self, attempt: AttemptId) {
        self.until("it runs", |agent| agent.is_running(attempt));
    }

    pub fn end(&mut self, attempt: AttemptId) -> Observation {
        self.until("it ends", |agent| {
            agent.seen.get(&attempt).is_some_and(|seen| seen.end().is_some())
        });
        self.seen[&attempt].clone()
    }

    pub fn outcome(&mut self, attempt: AttemptId) -> Outcome {
        self.end(attempt).end().expect("waited for").outcome.clone()
    }

    /// The same, where something is to be done meanwhile.
    pub fn outcome_prolonged(
        &mut self,
        attempt: AttemptId,
        mut prolong: impl FnMut(&mut Self),
    ) -> Outcome {
        self.until("it ends", |agent| {
            prolong(agent);
            agent.seen.get(&attempt).is_some_and(|seen| seen.end().is_some())
        });
        self.outcome(attempt)
    }

    pub fn all_end_with(&mut self, attempts: &[AttemptId], outcome: &Outcome) {
        for attempt in attempts {
            assert_eq!(self.outcome(*attempt), *outcome, "{attempt}");
        }
    }
}

/// Lines that tasks have written into a file, one each.
pub fn runs(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}
