//! What a site's accounting counted is told until the exchange has heard it, and the engine learns that.

#[expect(dead_code, reason = "shared with the other tests of the agent, which use more of it")]
mod fake;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dayan_agent::EngineChoice;
use dayan_engines::{
    BootId, BootTime, Engine, EngineInfo, Fault, Launch, LeaseEnd, LogChunk, Observation, Signal,
    SimulatedEngine, SiteCount, StartFault, Stream, Waker,
};
use dayan_units::{AttemptId, Bytes, Span};
use fake::{Agent, Exchange, Trick, attempt, config, within};

/// An engine whose site has counted something.
struct Counting {
    inner: SimulatedEngine,
    counts: Vec<SiteCount>,
    told: Arc<Mutex<Vec<AttemptId>>>,
}

impl Engine for Counting {
    fn site_counts(&mut self) -> Vec<SiteCount> {
        std::mem::take(&mut self.counts)
    }
    fn site_counts_told(&mut self, attempts: &[AttemptId]) {
        self.told.lock().expect("nobody panics holding it").extend(attempts);
    }

    fn describe(&self) -> EngineInfo {
        self.inner.describe()
    }
    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        self.inner.start(launches)
    }
    fn observe(&mut self, wait: Span) -> Result<Vec<Observation>, Fault> {
        self.inner.observe(wait)
    }
    fn list(&mut self) -> Result<Vec<Observation>, Fault> {
        self.inner.list()
    }
    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) -> Result<(), Fault> {
        self.inner.extend(leases)
    }
    fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) -> Result<(), Fault> {
        self.inner.stop(attempt, grace, signal)
    }
    fn forget(&mut self, attempts: &[AttemptId]) -> Result<(), Fault> {
        self.inner.forget(attempts)
    }
    fn logs(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<LogChunk, Fault> {
        self.inner.logs(attempt, stream, offset, max)
    }
    fn workdir(&self, attempt: AttemptId) -> Option<PathBuf> {
        self.inner.workdir(attempt)
    }
    fn waker(&self) -> Waker {
        self.inner.waker()
    }
    fn boot_now(&self) -> (BootId, BootTime) {
        self.inner.boot_now()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_counted_is_told_until_it_is_heard() {
    let (exchange, dir) = (Exchange::plain().await, tempfile::tempdir().unwrap());
    // More than one sync carries.
    let counts: Vec<SiteCount> = (0..900)
        .map(|task| SiteCount {
            attempts: vec![attempt(1, task)],
            job: format!("7_{task}"),
            elapsed: Span::from_secs(5),
            cpu: Some(Span::from_secs(4)),
            memory: Some(Bytes(1 << 20)),
        })
        .collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (theirs, given) = (Arc::clone(&told), counts.clone());
    let open = Box::new(move || {
        let inner = SimulatedEngine::new()?;
        Ok(Box::new(Counting { inner, counts: given, told: theirs }) as Box<dyn Engine>)
    });
    exchange.play([Trick::LoseRequest, Trick::LoseAnswer]);
    let mut config = config(&exchange, dir.path());
    config.engine = EngineChoice::Given { open, nodes: Vec::new() };
    let agent = Agent::start(config);
    let known = within("the engine knows", async || {
        let told = told.lock().unwrap();
        (told.len() >= counts.len()).then(|| told.clone())
    });
    let mut known = known.await;
    known.sort_unstable();
    known.dedup();
    assert_eq!(known, counts.iter().map(|count| count.attempts[0]).collect::<Vec<_>>());
    let heard = exchange.books().site_counts.clone();
    let last = heard.iter().find(|one| one.attempts == [attempt(1, 899)]).expect("the last one");
    assert_eq!((last.count.job.as_str(), last.count.elapsed_us), ("7_899", 5_000_000));
    assert_eq!((last.count.cpu_us, last.count.memory_peak), (Some(4_000_000), Some(1 << 20)));
    agent.stop().await.unwrap();
}
