//! What a pod shows of its task, and what that means for us. Pure.
//!
//! Invariant: a pod is over when its container has ended or the pod has failed without one; a pod
//! that is only being deleted may still run. A reason that is not known is a node's failure, which
//! lets the exchange place the task elsewhere, and never the task's own. What a task wrote, its last word
//! included, decides nothing: it could be made up. Whether something ran is said by what nodes say of its
//! containers, and what has run has not failed to start.

use dayan_units::{Span, Time};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::names::{LABEL_BATCH, NOTE_INDEX};
use super::steps::{self, NOTE_STEPS, StepSeen, Unstarted};
use crate::observation::STEP_NOT_STARTED;
use crate::{Outcome, StartFailure};

/// The name of our container.
pub(crate) const CONTAINER: &str = "task";
/// More steps than any pod could have: each takes some hundred bytes of an object of 1.5 MiB.
const STEPS_MAX: u32 = 1_000;
/// What a start that failed before the task's own program says. Longer words are cut.
const WORDS_MAX: usize = 400;

/// A pod of ours, as it was last seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PodSeen {
    pub name: String,
    pub uid: String,
    /// The node it is on, once it is on one.
    pub node: Option<String>,
    /// The job it belongs to.
    pub batch: String,
    pub index: u32,
    /// Somebody has asked for it to be deleted.
    pub deleting: bool,
    /// Why the cluster took it away, in Kubernetes' word (the `DisruptionTarget` condition).
    pub disrupted: Option<String>,
    pub stage: Stage,
    /// How its steps stand, of a launch that has some.
    pub steps: Vec<StepSeen>,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It waits for a node or for its image.
    Waiting {
        /// What keeps it from starting, and is worth saying.
        trouble: Option<Trouble>,
    },
    /// It runs, since its first container began.
    Running {
        since: Option<Time>,
        /// The container that runs, or is the next to.
        container: String,
        /// What keeps the next of its steps from starting.
        trouble: Option<Trouble>,
    },
    /// Nothing of it runs any more.
    Over(Over),
}

/// Why a pod does not start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// No node has room now.
    NoRoom(String),
    /// The image is not there, or not yet: the node goes on trying.
    Image(String),
    /// It can never start.
    Never(String),
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Over {
    /// How the container ended that decided it: the only one, the last one, or the step that failed.
    pub exit: Option<Exit>,
    /// Which of its containers that was, in the order in which they run.
    pub step: u32,
    /// When the first of its containers began.
    pub began: Option<Time>,
    /// The pod's own reason and words, where the node or the cluster ended it.
    pub reason: String,
    pub message: String,
}

/// How a container ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Exit {
    pub code: i32,
    pub signal: Option<i32>,
    pub reason: String,
    pub message: String,
    pub started: Option<Time>,
    pub finished: Option<Time>,
}

impl Over {
    /// How long its container ran. Kubernetes dates to the second, rounding down: what ran at all
    /// counts a second.
    pub(crate) fn wall(&self) -> Span {
        let exit = self.exit.as_ref();
        let times = exit.and_then(|exit| Some((self.began.or(exit.started)?, exit.finished?)));
        times.map_or(Span::ZERO, |(started, finished)| {
            finished.since(started).max(Span::from_secs(1))
        })
    }
}

pub(super) fn time(
    of: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
) -> Option<Time> {
    // Of a container that a runtime could not start some say that it began in 1970.
    of.map(|time| Time::from_micros(time.0.as_microsecond())).filter(|time| *time > Time::EPOCH)
}

fn cut(words: &str) -> String {
    words.trim().chars().take(WORDS_MAX).collect()
}

/// Reads a pod; none where it is not one of a job of ours.
pub(crate) fn read(pod: &Pod) -> Option<PodSeen> {
    let labels = pod.metadata.labels.as_ref()?;
    let notes = pod.metadata.annotations.as_ref();
    let index = notes.and_then(|notes| notes.get(NOTE_INDEX)).or_else(|| labels.get(NOTE_INDEX))?;
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let held = |kind: &str| conditions.iter().find(|one| one.type_ == kind && one.status == "True");
    let unscheduled = conditions
        .iter()
        .find(|one| one.type_ == "PodScheduled" && one.status == "False")
        .and_then(|one| one.message.as_deref());
    let count: u32 =
        notes.and_then(|notes| notes.get(NOTE_STEPS)?.parse().ok()).unwrap_or(0).min(STEPS_MAX);
    let mut all = status.init_container_statuses.unwrap_or_default();
    all.extend(status.container_statuses.unwrap_or_default());
    // In the order in which they run.
    let names: Vec<String> = (0..count.max(1)).map(|step| steps::container(step, count)).collect();
    let ours: Vec<Option<&ContainerStatus>> =
        names.iter().map(|name| all.iter().find(|one| one.name == *name)).collect();
    let exits: Vec<Option<Exit>> = ours.iter().map(|one| one.and_then(exit)).collect();
    let seen: Vec<StepSeen> =
        ours.iter().zip(&exits).map(|(one, exit)| StepSeen::of(*one, exit.as_ref())).collect();
    let began = seen.iter().find_map(|one| one.started);
    // After a step that failed nothing is started.
    let failed = exits.iter().position(|exit| exit.as_ref().is_some_and(|exit| exit.code != 0));
    let at = failed.unwrap_or(exits.len() - 1);
    let decided = exits[at].clone();
    let next = exits.iter().position(Option::is_none).unwrap_or(0);
    let runs =
        ours.iter().flatten().any(|one| one.state.as_ref().is_some_and(|s| s.running.is_some()))
            || exits.iter().any(Option::is_some);
    // The container's word comes a moment before the pod's.
    let over = decided.is_some() || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let stage = match (over, runs) {
        (true, _) => Stage::Over(Over {
            exit: decided,
            step: u32::try_from(at).unwrap_or(u32::MAX),
            began,
            reason: status.reason.clone().unwrap_or_default(),
            message: cut(status.message.as_deref().unwrap_or_default()),
        }),
        (false, true) => Stage::Running {
            since: began,
            container: names[next].clone(),
            trouble: trouble(ours[next], None),
        },
        (false, false) => Stage::Waiting { trouble: trouble(ours[next], unscheduled) },
    };
    Some(PodSeen {
        name: pod.metadata.name.clone()?,
        uid: pod.metadata.uid.clone()?,
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        batch: labels.get(LABEL_BATCH)?.clone(),
        index: index.parse().ok()?,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        disrupted: held("DisruptionTarget").map(|one| one.reason.clone().unwrap_or_default()),
        stage,
        steps: if count == 0 { Vec::new() } else { seen },
    })
}

fn exit(container: &ContainerStatus) -> Option<Exit> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    Some(Exit {
        code: ended.exit_code,
        signal: ended.signal.filter(|signal| *signal > 0),
        reason: ended.reason.clone().unwrap_or_default(),
        message: cut(ended.message.as_deref().unwrap_or_default()),
        started: time(ended.started_at.as_ref()),
        finished: time(ended.finished_at.as_ref()),
    })
}

fn trouble(container: Option<&ContainerStatus>, unscheduled: Option<&str>) -> Option<Trouble> {
    if let Some(words) = unscheduled {
        return Some(Trouble::NoRoom(cut(words)));
    }
    let waiting = container?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let words = || cut(&format!("{reason}: {}", waiting.message.as_deref().unwrap_or_default()));
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            Some(Trouble::Image(words()))
        }
        "ErrImageNeverPull" => Some(Trouble::Never(format!(
            "the image is not on the node and may never be fetched: {}",
            words()
        ))),
        "InvalidImageName"
        | "ImageInspectError"
        | "SignatureValidationFailed"
        | "CreateContainerError"
        | "RunContainerError" => Some(Trouble::Never(words())),
        // A Secret that is not seen yet is seen in a moment: said only when it lasts.
        "CreateContainerConfigError" => Some(Trouble::Image(words())),
        _ => None,
    }
}

/// What nodes say of a program that the job has named and that is not there, where they name one: files that
/// they mount are missing in the same words.
const OF_PROGRAM: [&str; 3] = ["exec: \"", "executable file", "open executable"];
const NO_PROGRAM: [&str; 4] = ["not found", "no such file", "No such file", "ermission denied"];
/// A program of the runtime's own, which it tells of in the same words: `error running hook #0: exec: "…"`.
const OF_RUNTIME: &str = "hook";
/// What they say where a registry is not reached, or one of our own secrets is not there.
const NOT_REACHED: [&str; 6] = [
    "no such host",
    "i/o timeout",
    "deadline exceeded",
    "connection refused",
    "TLS handshake",
    "CreateContainerConfigError",
];

impl Trouble {
    /// As the node or the cluster says it.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::NoRoom(words) | Self::Image(words) | Self::Never(words) => words,
        }
    }

    /// Is it of the job's own making: an image or a program that is not there, a name that is none?
    pub(crate) fn is_the_jobs(&self) -> bool {
        let says = |words: &str, any: &[&str]| any.iter().any(|word| words.contains(word));
        match self {
            Self::NoRoom(_) => false,
            Self::Image(words) => !says(words, &NOT_REACHED),
            Self::Never(words) => {
                says(words, &["ErrImageNeverPull", "InvalidImageName"])
                    || says(words, &OF_PROGRAM)
                        && says(words, &NO_PROGRAM)
                        && !words.contains(OF_RUNTIME)
            }
        }
    }

    /// What it means for a task of which nothing has run.
    pub(crate) fn failure(&self) -> StartFailure {
        match self {
            Self::NoRoom(words) => StartFailure::NoRoom(words.clone()),
            // An image or a program that the job has named and that is not there; never what comes again
            // by waiting, such as a registry that is not reached.
            Self::Never(words) if self.is_the_jobs() => StartFailure::Image(words.clone()),
            Self::Image(words) | Self::Never(words) => StartFailure::of_image(words.clone()),
        }
    }
}

/// Could the runtime not start the container at all? This is its own word, and no task's.
fn never_started(exit: &Exit) -> bool {
    matches!(exit.reason.as_str(), "StartError" | "ContainerCannotRun" | "ContainerStatusUnknown")
        && matches!(exit.code, 126..=128)
}

/// The step that could not be started, where others of its pod had run before it.
pub(crate) fn unstarted(over: &Over) -> Option<Unstarted> {
    let exit = over.exit.as_ref().filter(|exit| over.step > 0 && never_started(exit))?;
    Some(Unstarted { step: over.step, words: format!("{}: {}", exit.reason, exit.message) })
}

/// What the end of a pod means that nobody of ours has ended.
pub(crate) fn outcome(over: &Over, disrupted: Option<&str>) -> Outcome {
    let Some(exit) = &over.exit else {
        return match over.reason.as_str() {
            "DeadlineExceeded" => Outcome::TimeLimit,
            _ if is_taken_off(over, disrupted) => Outcome::Preempted,
            // A node that has no room for it after all never started it.
            reason @ ("OutOfcpu"
            | "OutOfmemory"
            | "OutOfpods"
            | "UnexpectedAdmissionError"
            | "NodeAffinity") => {
                let words = format!("{reason}: {}", over.message);
                Outcome::StartFailed(StartFailure::NoRoom(words))
            }
            _ => Outcome::KeeperDied,
        };
    };
    match (exit.reason.as_str(), over.reason.as_str()) {
        ("OOMKilled", _) => Outcome::OutOfMemory,
        _ if never_started(exit) && over.step > 0 => Outcome::Exited(STEP_NOT_STARTED),
        _ if never_started(exit) => {
            let words = format!("{}: {}", exit.reason, exit.message);
            Outcome::StartFailed(StartFailure::Other(words))
        }
        (_, "DeadlineExceeded") => Outcome::TimeLimit,
        _ if is_taken_off(over, disrupted) => Outcome::Preempted,
        (_, "Evicted" | "NodeLost" | "NodeShutdown" | "Terminated" | "Shutdown") => {
            Outcome::KeeperDied
        }
        ("ContainerStatusUnknown", _) => Outcome::KeeperDied,
        _ if disrupted.is_some() => Outcome::KeeperDied,
        _ => match exit.signal {
            Some(signal) => Outcome::Signalled(signal),
            None => Outcome::Exited(exit.code),
        },
    }
}

/// Was room made for something of more weight, and did nothing fail? The scheduler's preemption, an
/// eviction that somebody asked for (a drain), the kubelet's for a critical pod or because its node
/// was short of something. A pod that was evicted because of a disk, its own limit's or a node's that it
/// had filled, is not: it would do so anywhere. Nor is one whose node went away or is shut down.
fn is_taken_off(over: &Over, disrupted: Option<&str>) -> bool {
    match (over.reason.as_str(), disrupted) {
        ("Evicted", _) => !["exceed", "ephemeral-storage"].iter().any(|w| over.message.contains(w)),
        ("Preempting" | "Preempted", _) => true,
        ("NodeLost" | "NodeShutdown" | "Terminated" | "Shutdown", _) => false,
        (_, Some(why)) => matches!(why, "PreemptionByScheduler" | "EvictionByEvictionAPI"),
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: &Value) -> PodSeen {
        let pod = json!({
            "metadata": {
                "name": "b-0-x", "uid": "u",
                "labels": { LABEL_BATCH: "b" }, "annotations": { NOTE_INDEX: "3" },
            },
            "status": status,
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        read(&pod).expect("one of ours")
    }

    fn ended(phase: &str, reason: &str, state: &Value, conditions: &Value) -> Outcome {
        let seen = pod(&json!({
            "phase": phase, "reason": reason, "conditions": conditions,
            "containerStatuses": [{
                "name": "task", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "terminated": state },
            }],
        }));
        let Stage::Over(over) = &seen.stage else { panic!("it is over: {seen:?}") };
        outcome(over, seen.disrupted.as_deref())
    }

    #[test]
    fn ends_are_told_apart() {
        let plain = |code: i32| json!({ "exitCode": code, "reason": "Error" });
        let none = || json!([]);
        assert_eq!(ended("Succeeded", "", &plain(0), &none()), Outcome::Exited(0));
        assert_eq!(ended("Failed", "", &plain(137), &none()), Outcome::Exited(137));
        let oom = json!({ "exitCode": 137, "reason": "OOMKilled" });
        assert_eq!(ended("Failed", "", &oom, &none()), Outcome::OutOfMemory);
        // Its first process has outlived that of another.
        let outlived = json!({ "exitCode": 0, "reason": "OOMKilled" });
        assert_eq!(ended("Succeeded", "", &outlived, &none()), Outcome::OutOfMemory);
        assert_eq!(ended("Failed", "DeadlineExceeded", &plain(143), &none()), Outcome::TimeLimit);
        let disrupted =
            |why: &str| json!([{ "type": "DisruptionTarget", "status": "True", "reason": why }]);
        let check = |reason: &str, why: &str, expect: &Outcome| {
            let conditions = if why.is_empty() { none() } else { disrupted(why) };
            let got = ended("Failed", reason, &plain(143), &conditions);
            assert_eq!(got, *expect, "{reason:?} {why:?}");
        };
        let (off, failed) = (Outcome::Preempted, Outcome::KeeperDied);
        check("Evicted", "", &off);
        check("Evicted", "TerminationByKubelet", &off);
        check("Preempting", "TerminationByKubelet", &off);
        check("", "PreemptionByScheduler", &off);
        check("", "EvictionByEvictionAPI", &off);
        check("NodeLost", "", &failed);
        check("Terminated", "TerminationByKubelet", &failed);
        check("", "DeletionByTaintManager", &failed);
        check("", "DeletionByPodGC", &failed);
        check("", "SomethingNew", &failed);
        let no_shell = json!({ "exitCode": 128, "reason": "StartError", "message": "no /bin/sh" });
        assert!(matches!(ended("Failed", "", &no_shell, &none()), Outcome::StartFailed(_)));
        // Whoever wrote that has run: a task can print it, too.
        let folder = json!({
            "exitCode": 126, "reason": "Error", "message": "dayan: no working folder: /x\n",
        });
        assert_eq!(ended("Failed", "", &folder, &none()), Outcome::Exited(126));
    }

    #[test]
    fn a_pod_that_failed_without_a_container_never_ran_or_was_lost() {
        let check_with = |reason: &str, message: &str, expect: fn(&Outcome) -> bool| {
            let seen = pod(&json!({ "phase": "Failed", "reason": reason, "message": message }));
            let Stage::Over(over) = &seen.stage else { panic!("it is over: {seen:?}") };
            let got = outcome(over, None);
            assert!(expect(&got), "{reason}: {got:?}");
        };
        let check = |reason: &str, expect: fn(&Outcome) -> bool| check_with(reason, "m", expect);
        check("Evicted", |got| *got == Outcome::Preempted);
        let own = "Usage of EmptyDir volume \"dayan\" exceeds the limit \"1Gi\".";
        check_with("Evicted", own, |got| *got == Outcome::KeeperDied);
        let own = "Container task exceeded its local ephemeral storage limit \"1Gi\". ";
        check_with("Evicted", own, |got| *got == Outcome::KeeperDied);
        let disk = "The node was low on resource: ephemeral-storage. Container task was using 9Gi, \
                    request is 0, has larger consumption of ephemeral-storage. ";
        check_with("Evicted", disk, |got| *got == Outcome::KeeperDied);
        let memory = "The node was low on resource: memory. ";
        check_with("Evicted", memory, |got| *got == Outcome::Preempted);
        check("DeadlineExceeded", |got| *got == Outcome::TimeLimit);
        let never = |got: &Outcome| matches!(got, Outcome::StartFailed(StartFailure::NoRoom(_)));
        check("OutOfcpu", never);
        check("SomethingNew", |got| *got == Outcome::KeeperDied);
    }

    #[test]
    fn what_keeps_a_pod_from_starting_is_said() {
        let unscheduled = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/1 nodes: no cpu" }] });
        let Stage::Waiting { trouble: Some(Trouble::NoRoom(words)) } = pod(&unscheduled).stage
        else {
            panic!("it has no room")
        };
        assert_eq!(words, "0/1 nodes: no cpu");
        let waiting = |reason: &str| {
            let stage = pod(&json!({ "phase": "Pending", "containerStatuses": [{
                "name": "task", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": reason, "message": "m" } } }] }))
            .stage;
            match stage {
                Stage::Waiting { trouble } => trouble,
                other => panic!("it waits: {other:?}"),
            }
        };
        let words = |reason: &str| format!("{reason}: m");
        assert_eq!(waiting("ImagePullBackOff"), Some(Trouble::Image(words("ImagePullBackOff"))));
        assert_eq!(waiting("InvalidImageName"), Some(Trouble::Never(words("InvalidImageName"))));
        assert_eq!(waiting("ContainerCreating"), None);
    }

    fn in_steps(phase: &str, before: &[Value], last: &Value) -> PodSeen {
        let status = |name: String, state: &Value| {
            json!({
                "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": state,
            })
        };
        let inits = (0u32..).zip(before).map(|(step, state)| status(format!("task-{step}"), state));
        let pod = json!({
            "metadata": {
                "name": "b-0-x", "uid": "u", "labels": { LABEL_BATCH: "b" },
                "annotations": { NOTE_INDEX: "3", NOTE_STEPS: (before.len() + 1).to_string() },
            },
            "status": {
                "phase": phase, "initContainerStatuses": inits.collect::<Vec<_>>(),
                "containerStatuses": [status("task".to_owned(), last)],
            },
        });
        read(&serde_json::from_value(pod).expect("a pod")).expect("one of ours")
    }

    #[test]
    fn a_pod_in_steps_runs_from_the_first_to_the_last() {
        let waits = json!({ "waiting": { "reason": "PodInitializing" } });
        let runs = json!({ "running": { "startedAt": "2026-01-01T00:00:05Z" } });
        let ended = |code: i32, message: &str| {
            json!({ "terminated": {
                "exitCode": code, "reason": "Completed", "message": message,
                "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:04Z" } })
        };
        let runs_in = |pod: PodSeen| match pod.stage {
            Stage::Running { container, since, .. } => (container, since.is_some()),
            other => panic!("it runs: {other:?}"),
        };
        let pod = in_steps("Pending", &[waits.clone(), waits.clone()], &waits);
        assert_eq!(pod.stage, Stage::Waiting { trouble: None });
        // As long as steps are to come, the pod is pending to Kubernetes.
        let pod = in_steps("Pending", &[runs.clone(), waits.clone()], &waits);
        assert_eq!(runs_in(pod), ("task-0".to_owned(), true));
        let ignored = ended(0, "dayan: the step exited with 7\n");
        let pod = in_steps("Pending", &[ignored.clone(), waits.clone()], &waits);
        assert_eq!(pod.steps[0].ended.map(|(_, code)| code), Some(7));
        assert_eq!(runs_in(pod), ("task-1".to_owned(), true));
        let pod = in_steps("Running", &[ignored.clone(), ended(0, "")], &runs);
        assert_eq!(runs_in(pod), ("task".to_owned(), true));
        // An image that does not come is said of the step that needs it.
        let lost = json!({ "waiting": { "reason": "ErrImageNeverPull", "message": "m" } });
        let pod = in_steps("Pending", &[ended(0, ""), lost], &waits);
        let Stage::Running { trouble: Some(Trouble::Never(_)), .. } = pod.stage else {
            panic!("it is in trouble: {pod:?}")
        };
        let over = |pod: PodSeen| match pod.stage {
            Stage::Over(over) => (outcome(&over, None), over.wall()),
            other => panic!("it is over: {other:?}"),
        };
        let failed = in_steps("Failed", &[ignored.clone(), ended(5, "")], &waits);
        assert_eq!(failed.steps.len(), 3);
        assert_eq!(over(failed).0, Outcome::Exited(5));
        let last = ended(0, "dayan: the step exited with 3\n");
        let (end, wall) = over(in_steps("Succeeded", &[ignored, ended(0, "")], &last));
        assert_eq!((end, wall), (Outcome::Exited(0), Span::from_secs(3)));
    }

    #[test]
    fn a_later_step_that_cannot_be_started_ends_what_has_run() {
        let cannot = |code: i32| {
            json!({ "terminated": {
                "exitCode": code, "reason": "StartError", "message": "exec: no such file",
                "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:09Z" } })
        };
        let ran = json!({ "terminated": {
            "exitCode": 0, "reason": "Completed",
            "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:04Z" } });
        let waits = json!({ "waiting": { "reason": "PodInitializing" } });
        let over = |pod: PodSeen| match pod.stage {
            Stage::Over(over) => over,
            other => panic!("it is over: {other:?}"),
        };
        let later = over(in_steps("Failed", &[ran.clone(), cannot(128)], &waits));
        assert_eq!(outcome(&later, None), Outcome::Exited(STEP_NOT_STARTED));
        assert_eq!(later.wall(), Span::from_secs(8), "from when the first began");
        let lost = unstarted(&later).expect("said");
        assert_eq!((lost.step, lost.words.as_str()), (1, "StartError: exec: no such file"));
        let first = over(in_steps("Failed", &[cannot(127), waits.clone()], &waits));
        assert!(matches!(outcome(&first, None), Outcome::StartFailed(_)), "nothing has run");
        assert_eq!((first.wall(), unstarted(&first)), (Span::ZERO, None), "not since 1970");
        let by_itself = json!({ "terminated": { "exitCode": 127, "reason": "Error" } });
        let by_itself = over(in_steps("Failed", &[ran, by_itself], &waits));
        assert_eq!(outcome(&by_itself, None), Outcome::Exited(127));
        assert_eq!(unstarted(&by_itself), None);
    }

    #[test]
    fn whose_fault_an_image_is_that_does_not_come() {
        let check = |trouble: Trouble, jobs: bool| {
            assert_eq!(trouble.failure().is_the_jobs(), jobs, "{trouble:?}");
        };
        let pull = |words: &str| Trouble::Image(format!("ErrImagePull: {words}"));
        check(pull("rpc error: code = NotFound desc = failed to pull: x:1: not found"), true);
        check(pull("reading manifest 1 in docker.io/x: manifest unknown"), true);
        check(pull("dial tcp: lookup registry.local: no such host"), false);
        check(Trouble::Image("ImagePullBackOff: Back-off pulling image \"x:1\"".to_owned()), false);
        // After others have run, what the job has named ends it, and what is the node's own does not.
        let named = |trouble: Trouble, jobs: bool| assert_eq!(trouble.is_the_jobs(), jobs);
        named(Trouble::Image("ImagePullBackOff: Back-off pulling image \"x:1\"".to_owned()), true);
        named(pull("dial tcp: lookup registry.local: no such host"), false);
        named(Trouble::Never("CreateContainerError: context deadline exceeded".to_owned()), false);
        named(
            Trouble::Never("RunContainerError: executable file not found in $PATH".to_owned()),
            true,
        );
        check(Trouble::Never("InvalidImageName: couldn't parse image name".to_owned()), true);
        check(Trouble::Never("the image is not on the node".to_owned()), false);
        check(Trouble::Never("may never be fetched: ErrImageNeverPull: x".to_owned()), true);
        let none = "RunContainerError: executable file not found in $PATH";
        check(Trouble::Never(none.to_owned()), true);
        check(Trouble::NoRoom("0/1 nodes".to_owned()), false);
    }

    #[test]
    fn pods_of_others_are_none() {
        assert_eq!(read(&Pod::default()), None);
    }
}
