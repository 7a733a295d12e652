//! What a job needs of a pool beyond resources. Submission refuses a job that needs what no pool
//! offers; nothing in a job file is ever silently ignored.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{
    Budget, BudgetPeriod, JobKind, JobSpec, Location, MarketMode, OnBreach, OnLimit, OutputWhen,
    Resume, Same,
};

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $message:literal;)*) => {
        /// Something a pool, or the exchange for it, can or cannot do.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Feature { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Feature {
            /// Every feature.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// Its stable name.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $name),* } }
            /// What is not offered, when it is not.
            pub const fn message(self) -> &'static str { match self { $(Self::$variant => $message),* } }
        }
    };
}

features! {
    /// Runs container images.
    Containers = "containers", "no pool offers container images; leave `image` out to run the host's own programs";
    /// Runs steps in containers of their own, and mounts parts of the task's folder.
    Steps = "steps", "no pool offers `steps` or `mounts`; pools of podman, docker and Kubernetes do (`dayan agent --engine podman`)";
    /// Puts files that the job file holds into the task's folder.
    Files = "files", "no pool offers `files` of the job file; name them under `inputs`";
    /// Keeps replicas of a service.
    Services = "services", "no pool offers services; only `type: batch` can be run";
    /// Copies data of the project's data store and of local folders.
    Staging = "staging", "no pool copies data of its own folders in and out; an agent does with `--publish-root`, files of the data store (`dayan://`) need no folder, and what lies beside the job file is `./NAME`";
    /// Copies data of an object store.
    ObjectStore = "object_store", "no pool offers object stores (`s3://`), which an agent built with `--features s3` does; name files of the data store or a `file://` folder of the pool";
    /// Fetches data from the web.
    Http = "http", "no pool offers fetching data from the web; name files of the data store or a `file://` folder of the pool";
    /// Brings files of the exchange's data store, and publishes there.
    DataStore = "data_store", "no pool offers the exchange's data store (`dayan://`)";
    /// Hands secrets of the project to tasks.
    Secrets = "secrets", "no pool here hands secrets to tasks";
    /// Reads files beside the job file, which no pool can.
    LocalFiles = "local_files", "`./` names a file beside the job file, which only `dayan submit` can upload; put it with `dayan data put` and name it by `dayan://`";
    /// Sends outputs to a web address.
    WebOutputs = "web_outputs", "outputs are not sent to web addresses; name the data store (`dayan://`) or `s3://`";
    /// Sends files that are closed somewhere else than to the data store or an object store.
    StreamedElsewhere = "streamed_elsewhere", "files are sent as they are closed to the data store (`dayan://`) and to `s3://` only; write `when: task_end`";
    /// Publishes files while the task runs.
    StreamedOutputs = "streamed_outputs", "no pool offers outputs before the task has ended; write `when: task_end`";
    /// Asks a task to save and starts the next attempt from there.
    Checkpoint = "checkpoint", "no pool offers checkpoints; a retry begins at the start";
    /// Sends a task a signal before its time is up.
    TimeSignal = "time_signal", "no pool here sends running tasks signals; leave `time_signal` out";
    /// Lets jobs wait for others.
    Dependencies = "dependencies", "a periodic job that waits for other jobs is not offered";
    /// Tells people.
    Notify = "notify", "notifications are not offered; watch the job with `dayan show`";
    /// Knows which nodes share a fast interconnect.
    Fabric = "fabric", "no pool says which of its nodes share a fabric; `same: [site]` can be had";
    /// Moves running tasks to another place.
    Move = "move", "moving a running task is not offered; write `on_breach: warn`";
    /// Sells capacity that can be taken away.
    Spot = "spot", "no pool offers spot capacity; write `mode: on_demand`";
    /// Takes a gang back as a whole.
    SpotGangs = "spot_gangs", "spot capacity is not offered to gangs; write `mode: on_demand`";
    /// Goes on in another way where the first is not to be had.
    Fallback = "fallback", "only spot falls back on anything here, and on `on_demand`; leave `fallback` out";
    /// Sells capacity under contracts.
    Reserved = "reserved", "no pool offers reserved capacity; write `mode: on_demand`";
    /// Counts a job file's own budget by day or month, or only warns of it.
    JobBudgets = "job_budgets", "a job file's budget is one of the job that stops it; limits of days and months, and warnings, are the project's: `dayan budget`";
    /// Hands options to Slurm.
    SlurmOptions = "slurm_options", "no pool here takes words of Slurm from jobs; leave `backend.slurm` out, or have a provider allow them (`--slurm-allow`)";
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a pool of containers shows beside these if it runs jobs that name no image, in one of its
/// own. Pools of other engines run nothing else.
pub const JOBS_WITHOUT_IMAGE: &str = "jobs_without_image";

/// What a pool of plain processes offers.
pub const PROCESS_POOL: &[Feature] = &[Feature::Staging];

/// A part of a job that is not offered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NotOffered {
    /// `not_offered.` and the feature's name; stable.
    pub code: String,
    /// The key that asks for it.
    pub key: &'static str,
    /// What is not offered and what to do instead, in English.
    pub message: &'static str,
}

/// What the job needs.
pub fn requirements(job: &JobSpec) -> BTreeSet<Feature> {
    asks(job).into_iter().map(|(feature, _)| feature).collect()
}

/// What the job needs and pools with these features lack, one entry for each.
pub fn not_offered(job: &JobSpec, offered: &BTreeSet<Feature>) -> Vec<NotOffered> {
    let mut seen = BTreeSet::new();
    asks(job)
        .into_iter()
        .filter(|(feature, _)| !offered.contains(feature) && seen.insert(*feature))
        .map(|(feature, key)| NotOffered {
            code: format!("not_offered.{feature}"),
            key,
            message: feature.message(),
        })
        .collect()
}

/// What the job needs and a pool of plain processes lacks.
pub fn offered_by_process_pool(job: &JobSpec) -> Vec<NotOffered> {
    not_offered(job, &PROCESS_POOL.iter().copied().collect())
}

fn of_location(location: &Location) -> Feature {
    match location {
        Location::Data(_) | Location::File(_) => Feature::Staging,
        Location::S3 { .. } => Feature::ObjectStore,
        Location::Http(_) => Feature::Http,
        Location::Store(_) => Feature::DataStore,
        Location::Local(_) => Feature::LocalFiles,
    }
}

fn of_mode(mode: MarketMode) -> Option<Feature> {
    match mode {
        MarketMode::OnDemand => None,
        MarketMode::Spot => Some(Feature::Spot),
        MarketMode::Reserved => Some(Feature::Reserved),
    }
}

/// Each feature with the key that asks for it, in the order of the job file.
fn asks(job: &JobSpec) -> Vec<(Feature, &'static str)> {
    let mut asks = Vec::new();
    let mut ask = |needed: bool, feature, key| {
        if needed {
            asks.push((feature, key));
        }
    };
    ask(job.kind == JobKind::Service, Feature::Services, "type");
    let fabric =
        job.gang.as_ref().is_some_and(|gang| gang.same.iter().any(|same| *same > Same::Site));
    ask(fabric, Feature::Fabric, "gang.same");
    ask(job.image.is_some(), Feature::Containers, "image");
    ask(!job.steps.is_empty(), Feature::Containers, "steps");
    ask(!job.steps.is_empty(), Feature::Steps, "steps");
    ask(!job.mounts.is_empty(), Feature::Steps, "mounts");
    ask(!job.files.is_empty(), Feature::Files, "files");
    ask(!job.secrets.is_empty(), Feature::Secrets, "secrets");
    for input in &job.inputs {
        ask(true, of_location(&input.from), "inputs");
    }
    for output in &job.outputs {
        let feature = match of_location(&output.to) {
            Feature::Http => Feature::WebOutputs,
            other => other,
        };
        ask(true, feature, "outputs");
        let streamed = match output.to {
            Location::Store(_) | Location::S3 { .. } => Feature::StreamedOutputs,
            Location::Data(_) | Location::File(_) | Location::Http(_) | Location::Local(_) => {
                Feature::StreamedElsewhere
            }
        };
        ask(output.when == OutputWhen::FileClosed, streamed, "outputs");
    }
    ask(job.retry.resume == Resume::Checkpoint, Feature::Checkpoint, "retry.resume");
    ask(job.checkpoint.is_some(), Feature::Checkpoint, "checkpoint");
    ask(job.time_signal.is_some(), Feature::TimeSignal, "time_signal");
    let moves = |on_breach| on_breach == OnBreach::Move;
    let network = job.network.as_ref();
    ask(
        network.is_some_and(|n| moves(n.delay.on_breach)),
        Feature::Move,
        "network.delay.on_breach",
    );
    let (mode, fallback) = (job.market.mode, job.market.fallback);
    let on_demand = job.market.falls_back();
    if let Some(feature) = of_mode(mode).filter(|_| !on_demand) {
        ask(true, feature, "market.mode");
    }
    let spot_gang = job.gang.is_some() && job.market.mode == MarketMode::Spot;
    ask(spot_gang, Feature::SpotGangs, "market.mode");
    if let Some(feature) = fallback.and_then(of_mode) {
        ask(true, feature, "market.fallback");
    }
    ask(fallback.is_some() && !on_demand, Feature::Fallback, "market.fallback");
    let own = |budget: &Budget| budget.per == BudgetPeriod::Job && budget.on_limit == OnLimit::Stop;
    let budget = job.market.budget.as_ref();
    ask(budget.is_some_and(|budget| !own(budget)), Feature::JobBudgets, "market.budget");
    let repeats = job.schedule.is_some() && !job.depends_on.is_empty();
    ask(repeats, Feature::Dependencies, "depends_on");
    ask(!job.notify.is_empty(), Feature::Notify, "notify");
    // A partition is a place that a pool is; no pool has to allow it.
    let says = job.backend.slurm.keys().any(|word| word != "partition");
    ask(says, Feature::SlurmOptions, "backend.slurm");
    asks
}
