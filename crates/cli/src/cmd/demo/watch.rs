//! Live progress of the demo: a line for each consumer on a terminal, now and then a line in a
//! pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dayan_wire::JobSummary;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::work::Jobs;
use super::world::World;
use crate::client::JobFilter;
use crate::cmd::session::{Progress, Session};
use crate::exit::{Failure, Said};
use crate::output::View;
use crate::words::Word;

/// How often the jobs are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often a pipe gets a line.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// More than the demo has.
const JOBS_MAX: usize = 200;

/// What one look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Looked {
    /// All jobs have ended.
    pub all_ended: bool,
    /// All jobs but the tyres have ended.
    pub others_ended: bool,
}

/// Who watches.
pub struct Watch<'s> {
    session: &'s Session,
    bars: MultiProgress,
    bar: BTreeMap<&'static str, ProgressBar>,
    said: tokio::time::Instant,
}

impl<'s> Watch<'s> {
    /// Draws on a terminal, writes lines elsewhere.
    pub fn new(session: &'s Session) -> Self {
        let bars = MultiProgress::new();
        if session.progress == Progress::Hidden {
            bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        Self { session, bars, bar: BTreeMap::new(), said: tokio::time::Instant::now() }
    }

    /// Looks once, after a pause.
    pub async fn look(&mut self, world: &World, jobs: &Jobs) -> Result<Looked, Failure> {
        tokio::time::sleep(LOOK).await;
        let mut found: BTreeMap<String, JobSummary> = BTreeMap::new();
        for (_, client) in &world.buyers {
            let rows = client.jobs(&JobFilter::default(), JOBS_MAX).await?;
            found.extend(rows.into_iter().map(|job| (job.id.clone(), job)));
        }
        let mut open = BTreeSet::new();
        let mut line = Vec::new();
        for (name, ids) in jobs.named() {
            let group: Vec<&JobSummary> = ids.iter().filter_map(|id| found.get(id)).collect();
            let count = Count::of(&group);
            if group.len() < ids.len() || count.ended < count.total {
                open.insert(name);
            }
            self.draw(name, &count);
            line.push(format!("{name} {}/{}", count.ended, count.total));
        }
        self.say(&line.join(", "));
        let others_ended = open.iter().all(|name| *name == "tyres");
        Ok(Looked { all_ended: open.is_empty(), others_ended })
    }

    fn draw(&mut self, name: &'static str, count: &Count) {
        let bar = self.bar.entry(name).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:10} {bar:30} {pos}/{len} {msg}")
                .expect("the template is fixed");
            self.bars.add(ProgressBar::new(0).with_style(style).with_prefix(name))
        });
        bar.set_length(count.total);
        bar.set_position(count.ended);
        bar.set_message(count.words(&self.session.out.view));
    }

    fn say(&mut self, line: &str) {
        if self.session.progress == Progress::Hidden && self.said.elapsed() >= LINE_EVERY {
            self.said = tokio::time::Instant::now();
            self.session.out.say(&Said::with(Word::DemoProgress, "line", line));
        }
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        for bar in self.bar.values() {
            bar.finish_and_clear();
        }
    }
}

/// Tasks of a group of jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Count {
    total: u64,
    ended: u64,
    running: u64,
    failed: u64,
}

impl Count {
    fn of(jobs: &[&JobSummary]) -> Self {
        jobs.iter().fold(Self::default(), |sum, job| {
            let tasks = &job.tasks;
            Self {
                total: sum.total + tasks.total,
                ended: sum.ended + tasks.succeeded + tasks.failed + tasks.cancelled,
                running: sum.running + tasks.running,
                failed: sum.failed + tasks.failed,
            }
        })
    }
    fn words(&self, view: &View) -> String {
        let mut words = Vec::new();
        for (state, count) in [("running", self.running), ("failed", self.failed)] {
            if count > 0 {
                words.push(format!("{count} {}", view.state(state)));
            }
        }
        words.join(", ")
    }
}
