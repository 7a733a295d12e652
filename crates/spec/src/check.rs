//! Rules between keys. Each condition returns to the key that should change.

use std::collections::BTreeSet;

use dayan_units::{Currency, Money, Span};

use crate::code::Code;
use crate::limits::TASKS_MAX;
use crate::model::{
    DeadlineKind, Finish, JobKind, JobSpec, Launch, MarketMode, Preference, Resume, quote,
};
use crate::report::Report;
use crate::tree::Node;

type Args = Vec<(&'static str, String)>;

/// Reports every rule between keys that the job breaks.
pub(crate) fn check(job: &JobSpec, root: &Node, report: &Report<'_>) {
    let add = |path: &str, code: Code, args: Args| report.add(code, root.find(path), path, &args);
    shape(job, &add);
    // A key that is misspelt has been named already; it is not missing as well.
    if job.run.is_empty() && report.is_clean() {
        add("run", Code::NothingToRun, Vec::new());
    }
    containers(job, root, &add);
    addresses(job, &add);
    kind(job, root, &add);
    work(job, &add);
    trade(job, &add);
    deadline(job, &add);
    schedule(job, &add);
}

fn shape(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    if let Some(array) = &job.array {
        let tasks = array.task_count();
        if tasks > u64::from(TASKS_MAX) {
            let args = vec![("tasks", tasks.to_string()), ("max", TASKS_MAX.to_string())];
            add("array.range", Code::TooManyTasks, args);
        }
        if job.gang.is_some() {
            add("gang", Code::ArrayAndGang, Vec::new());
        }
    }
    if job.launch == Launch::Head && job.gang.is_none() {
        add("launch", Code::HeadNeedsGang, Vec::new());
    }
}

fn containers(job: &JobSpec, root: &Node, add: &impl Fn(&str, Code, Args)) {
    if job.steps.is_empty() {
        if !job.mounts.is_empty() && job.image.is_none() {
            add("mounts", Code::MountsNeedImage, Vec::new());
        }
    } else {
        // A step says its own; a gang, a service and a checkpoint have one program.
        for key in ["run", "image", "workdir", "gang", "service", "checkpoint"] {
            if root.has(key) {
                add(key, Code::NotWithSteps, vec![("key", key.to_owned())]);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for mount in &job.mounts {
        if !seen.insert(mount.at.as_str()) {
            add("mounts", Code::MountedTwice, vec![("value", quote(&mount.at))]);
        }
    }
}

/// Addresses stand in the journal and in reasons, where no secret may be.
fn addresses(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    if job.inputs.iter().any(|input| input.from.holds_a_secret()) {
        add("inputs", Code::SecretInAddress, Vec::new());
    }
}

fn kind(job: &JobSpec, root: &Node, add: &impl Fn(&str, Code, Args)) {
    let refused: &[&str] = match job.kind {
        JobKind::Batch => &["service"],
        JobKind::Service => {
            &["array", "gang", "schedule", "deadline", "checkpoint", "time_signal", "outputs"]
        }
    };
    for key in refused {
        if root.has(key) {
            let args = vec![("key", (*key).to_owned()), ("type", job.kind.to_string())];
            add(key, Code::NotWithType, args);
        }
    }
    if job.kind == JobKind::Service && !root.has("service") {
        add("type", Code::ServiceMissing, Vec::new());
    }
}

fn work(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    if job.retry.resume == Resume::Checkpoint && job.checkpoint.is_none() {
        add("retry.resume", Code::ResumeNeedsCheckpoint, Vec::new());
    }
}

fn trade(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    let market = &job.market;
    let mode = || ("mode", market.mode.to_string());
    match (market.mode, &market.contract) {
        (MarketMode::Reserved, None) => add("market.mode", Code::ContractMissing, Vec::new()),
        (MarketMode::OnDemand | MarketMode::Spot, Some(_)) => {
            add("market.contract", Code::ContractUnused, vec![mode()]);
        }
        (MarketMode::Reserved, Some(_)) | (MarketMode::OnDemand | MarketMode::Spot, None) => {}
    }
    let useless = |other: &MarketMode| *other == market.mode || *other == MarketMode::Reserved;
    if let Some(fallback) = market.fallback.filter(useless) {
        add("market.fallback", Code::BadFallback, vec![("fallback", fallback.to_string()), mode()]);
    }
    one_currency(job, add);
}

fn one_currency(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    let market = &job.market;
    let amounts: [(&'static str, Option<Money>); 3] = [
        ("max_price", market.max_price),
        ("max_unit_price", market.max_unit_price.map(|price| price.per_hour)),
        ("budget", market.budget.as_ref().map(|budget| budget.amount)),
    ];
    let mut first: Option<Currency> = None;
    for (key, money) in amounts {
        let Some(Money { currency, .. }) = money else { continue };
        let other = *first.get_or_insert(currency);
        if other != currency {
            let args = vec![
                ("key", key.to_owned()),
                ("currency", currency.to_string()),
                ("other", other.to_string()),
            ];
            add(&format!("market.{key}"), Code::TwoCurrencies, args);
        }
    }
}

fn schedule(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    let fixed = job.deadline.as_ref().is_some_and(|of| matches!(of.finish, Finish::By(_)));
    if fixed && job.schedule.is_some() {
        add("deadline.finish_by", Code::FinishByRepeats, Vec::new());
    }
}

fn deadline(job: &JobSpec, add: &impl Fn(&str, Code, Args)) {
    let Some(deadline) = &job.deadline else {
        if job.prefer.contains(&Preference::Deadline) {
            add("prefer", Code::PreferNeedsDeadline, Vec::new());
        }
        return;
    };
    match (deadline.kind, deadline.finish) {
        (DeadlineKind::Hard, Finish::By(by))
            if job.begin.is_some_and(|begin| by.since(begin) < job.resources.time) =>
        {
            let within = job.begin.map_or(Span::ZERO, |begin| by.since(begin));
            let args =
                vec![("within", within.to_string()), ("time", job.resources.time.to_string())];
            add("deadline.finish_by", Code::DeadlineTooShort, args);
        }
        (DeadlineKind::Hard, Finish::Within(within)) if within < job.resources.time => {
            let args =
                vec![("within", within.to_string()), ("time", job.resources.time.to_string())];
            add("deadline.finish_within", Code::DeadlineTooShort, args);
        }
        (DeadlineKind::Hard | DeadlineKind::Soft, Finish::Within(_) | Finish::By(_)) => {}
    }
}
