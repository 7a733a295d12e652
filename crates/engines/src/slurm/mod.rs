//! The Slurm engine: tasks as jobs of a cluster that somebody else runs, by the commands and with
//! the rights of an ordinary user.
//!
//! Launches that ask for the same become one array. On the nodes a [`wrapper`] stands around each
//! task; it and the engine speak through a folder that both see: launches and orders one way,
//! claims and news the other. Slurm is asked only for what the wrappers cannot know: whether a
//! submission was taken, what became of elements that are silent, why Slurm ended a job.
//!
//! Invariants: an element runs only by a claim that can be made once, whoever submits, requeues or
//! restarts what; an attempt whose node may still run it is not over before its lease is; a
//! question to Slurm that fails ends nothing and submits nothing.

mod access;
mod accounts;
mod ask;
mod batch;
mod book;
mod choosing;
mod clerk;
mod commands;
mod counted;
mod engine;
mod entering;
mod file_clock;
mod gate;
mod hearing;
mod hostlist;
mod known;
mod layout;
mod load;
mod open;
mod refusal;
mod report;
mod request;
#[cfg(feature = "slurm-rest")]
mod rest;
mod rights;
mod silence;
mod status;
mod submitting;
mod survey;
mod together;
mod waiting;
mod watching;
mod way;
pub mod wrapper;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;

use dayan_units::Span;

use crate::{BootClock, Fault};
use together::Seen;

pub use access::{Access, Account, Bounds, Enforced, Group, Limits, Qos};
pub use accounts::{Difference, Tally};
pub use engine::SlurmEngine;
pub use gate::{Gate, Names, Who};
pub use load::{Held, Load};
pub use request::{JOB_WORDS, SiteWords, feature_of};
pub use survey::{Node, Partition, Survey};
pub use together::Answers;

/// How often and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often the queue is looked at while something waits or runs.
    pub look_every: Span,
    /// How often wrappers count what runs.
    pub usage_every: Span,
    /// How long an element may be missing in the queue before Slurm is asked what became of it: so
    /// long files may take to be seen from another machine.
    pub doubt_after: Span,
    /// How long Slurm may know nothing of an element before that counts as an end.
    pub lost_after: Span,
    /// How long what runs, for Slurm, may say nothing before that counts as lost.
    pub silent_after: Span,
    /// How long it may be running there before it has begun: a site's prolog comes first.
    pub begins_within: Span,
    /// How long a command of Slurm may take.
    pub ask_within: Span,
    /// How long after a job's end the site's accounting is compared: it lags behind.
    pub accounts_after: Span,
}

impl Default for Pace {
    /// The queue every 15 s costs a controller less than one user with `watch squeue`. Network file
    /// systems show new files within their attribute caches' time, 3 s for files and up to 30 s for
    /// folders. A controller that restarts is back within a minute, and its commands give up
    /// by themselves after `MessageTimeout`, 10 s unless the site says otherwise, tried again some
    /// times. Accounting is written within seconds, and by slow sites within minutes. A wrapper speaks every
    /// ten seconds, seen within thirty more: thirty times that is no hiccup of a file server. Prologs that
    /// check or fill a node take minutes.
    fn default() -> Self {
        Self {
            look_every: Span::from_secs(15),
            usage_every: Span::from_secs(10),
            doubt_after: Span::from_secs(20),
            lost_after: Span::from_secs(90),
            silent_after: Span::from_secs(300),
            begins_within: Span::from_secs(900),
            ask_within: Span::from_secs(60),
            accounts_after: Span::from_secs(60),
        }
    }
}

/// Where and how to run tasks on a cluster.
#[derive(Clone, Debug)]
pub struct SlurmConfig {
    /// The agent's data folder, on a file system that the nodes see under the same path. One agent
    /// uses it at a time.
    pub dir: PathBuf,
    /// The program that runs [`wrapper::run`], with the words before its options:
    /// `[dayan, "slurm-task"]`. A copy of it is put into the folder, so that the nodes find it.
    pub wrapper: Vec<OsString>,
    /// Words of the site.
    pub site: SiteWords,
    /// The folder of Slurm's commands, where they are not in `PATH`.
    pub commands: Option<PathBuf>,
    /// How often and how long.
    pub pace: Pace,
    /// What is shared with other pools of the same cluster.
    pub answers: Answers,
}

impl SlurmConfig {
    /// The running program as wrapper, by its hidden subcommand `slurm-task`.
    pub fn of_this_program(dir: PathBuf, site: SiteWords) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let wrapper = vec![program.into(), "slurm-task".into()];
        let (pace, answers) = (Pace::default(), Answers::alone());
        Ok(Self { dir, wrapper, site, commands: None, pace, answers })
    }
}

/// How long a cluster may take to say what it is, each time it is asked: there is a picture of it
/// already, and who looks has other things to do.
const SURVEY_WITHIN: Span = Span::from_secs(10);

/// A cluster and all of its partitions, whichever of them are offered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partitions {
    /// The cluster's name.
    pub cluster: String,
    /// Those that this user sees.
    pub all: Vec<Partition>,
}

/// Asks for the partitions, and of each whether it takes jobs of this user's with the words of the site.
pub fn partitions(config: &SlurmConfig) -> Result<Partitions, Fault> {
    let way = way::Way::of(config)?.sooner(SURVEY_WITHIN);
    let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
    let mut seen = [0; 2].map(|_| Seen::nothing(clock));
    let picture = config.answers.picture(&way, &mut seen[0])?;
    let mut found = survey::partitions(&picture);
    let asks = survey::Accounting::of(&picture);
    let access = asks.access(&way, &config.answers, &mut seen[1], &config.dir);
    let who = rights::who(&way, &found);
    survey::judge(&mut found, &who, &config.site, access.as_ref());
    Ok(Partitions { cluster: asks.cluster, all: found })
}

/// Who looks at a cluster again and again, and keeps what the way to it is made of.
#[derive(Debug)]
pub struct Lookout {
    config: SlurmConfig,
    way: Mutex<Option<way::Way>>,
    /// The last picture, jobs and accounts that it has heard of.
    heard: Mutex<Option<[Seen; 3]>>,
}

impl Lookout {
    /// Asks nothing yet.
    pub const fn new(config: SlurmConfig) -> Self {
        Self { config, way: Mutex::new(None), heard: Mutex::new(None) }
    }

    /// Where and how.
    pub const fn config(&self) -> &SlurmConfig {
        &self.config
    }

    fn way(&self) -> Result<way::Way, Fault> {
        let mut known = self.way.lock().expect("no thread panics holding it");
        if let Some(way) = &*known {
            return Ok(way.clone());
        }
        let way = way::Way::of(&self.config)?.sooner(SURVEY_WITHIN);
        *known = Some(way.clone());
        Ok(way)
    }

    /// Looks at the cluster as it is now, and at what others do in it: four questions to its
    /// controller. Where the last of them is not answered, nothing is known of others.
    pub fn look(&self) -> Result<(Survey, Option<Load>), Fault> {
        let (way, config) = (self.way()?, &self.config);
        let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
        // Never twice the same: who looks again wants to know what has changed.
        let mut heard = self.heard.lock().expect("no thread panics holding it");
        let [picture, jobs, access] =
            heard.get_or_insert_with(|| [0; 3].map(|_| Seen::nothing(clock)));
        let picture = config.answers.picture(&way, picture)?;
        let mut survey = Survey::of(&picture, &config.site)?;
        let layout = layout::Layout::open(&config.dir)
            .map_err(Fault::io(format!("opening {}", config.dir.display())))?;
        survey.see_access(&way, &config.site, (&config.answers, access), layout.root());
        if let Err(error) = known::keep(&survey, layout.root()) {
            tracing::warn!(%error, "cannot keep what the cluster is for a start while it does not answer");
        }
        let jobs = config.answers.jobs(&way, jobs);
        let load = load::of(jobs, &survey, &config.site, layout.instance());
        let tally = Tally::read(layout.root());
        let compared = Some(tally).filter(|tally| tally.compared > 0);
        let load = load.map(|load| Load { compared, ..load });
        Ok((survey, load))
    }

    /// The cluster as it was when it last answered, whoever asked then; none where it never has.
    pub fn last_seen(&self) -> Option<Survey> {
        known::kept(layout::Layout::open(&self.config.dir).ok()?.root(), &self.config.site)
    }
}

/// Looks once.
pub fn survey(config: &SlurmConfig) -> Result<(Survey, Option<Load>), Fault> {
    Lookout::new(config.clone()).look()
}
