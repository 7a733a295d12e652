//! What the clerk brings, and what follows from it.
//!
//! Invariant: nothing ends because a question failed or an answer was not understood. What a watch
//! says twice changes nothing; what it did not say while it was away is found in the next list.

use std::collections::BTreeSet;

use dayan_units::{AttemptId, Span};

use super::book::{Batch, Closing, Held, PodRef, Record, Standing};
use super::clerk::{Done, Errand, News, Picture};
use super::connect::{self, Answer};
use super::engine::KubernetesEngine;
use super::jobs::JobSeen;
use super::manifest::Gang;
use super::names::BatchName;
use super::pods::{self, CONTAINER, Over, PodSeen, Stage, Trouble};
use super::reading::Ended;
use super::steps;
use super::tending;
use super::usage::{AllUsed, Source};
use crate::{BootTime, Outcome, Phase, StartFailure, wall_now};

/// An end that was dated less than this ago is dated now: nodes date to the second, rounding down.
const JUST_NOW: Span = Span::from_secs(2);

impl KubernetesEngine {
    pub(super) fn on_answer(&mut self, done: Done) {
        match done {
            Done::Made { batch, made } => self.on_made(&batch, made),
            Done::Moved { batch, seconds, outcome } => self.on_moved(&batch, seconds, outcome),
            Done::Asked { attempt, outcome } => self.on_asked(attempt, outcome),
            Done::Removed { batch, outcome } => self.on_removed(&batch, outcome),
            Done::Complaint { batch, words } => self.on_complaint(&batch, words.as_deref()),
            Done::Pods { namespace, news } => self.on_pods(&namespace, *news),
            Done::Jobs { namespace, news } => self.on_jobs(&namespace, news),
            Done::Blind { namespace, words } => {
                tracing::warn!(namespace, words, "cannot watch what becomes of pods; tried again");
            }
            Done::Read { attempt } => {
                let closing = self.book.live_mut(attempt).and_then(|held| held.closing.clone());
                if let Some(closing) = closing {
                    self.finish_at(attempt, closing.at, closing.outcome);
                }
            }
            Done::Picture(picture) => self.on_picture(picture),
            Done::Usage { source, used } => self.on_usage(source, &used),
        }
    }

    fn on_picture(&mut self, picture: Picture) {
        let Picture { ahead, quotas, accelerator, version, may_exec } = picture;
        self.may_exec = may_exec.or(self.may_exec);
        self.ahead = ahead.unwrap_or(self.ahead);
        self.quotas.extend(quotas);
        if self.config.site.accelerator.is_none() && accelerator.is_some() {
            self.accelerator = accelerator;
        }
        self.version = version.or(self.version.take());
        self.ask_for_complaints();
    }

    /// Counts what was said of running tasks. All of them are told of again: their time goes on.
    fn on_usage(&mut self, source: Source, used: &AllUsed) {
        let now = self.clock.now();
        self.usage_at = Some(now.plus(self.config.pace.usage_every));
        if self.usage != Some(source) {
            tracing::info!(usage = source.words(), "who says what tasks use");
            self.usage = Some(source);
        }
        let running: Vec<AttemptId> = self
            .book
            .live()
            .filter(|(_, held)| held.running.is_some())
            .map(|(attempt, _)| attempt)
            .collect();
        for attempt in running {
            let Some(held) = self.book.live_mut(attempt) else { continue };
            if let (Some(seat), Some(pod)) = (&held.seat, &held.pod)
                && let Some(used) = used.get(&(seat.batch.namespace.clone(), pod.name.clone()))
            {
                held.used(*used);
            }
            self.changed.insert(attempt);
        }
    }

    /// Jobs that have been there for a while and whose pods are not: why?
    fn ask_for_complaints(&mut self) {
        let now = self.clock.now();
        for (name, batch) in &self.book.batches {
            let Standing::Made { seen, .. } = batch.standing else { continue };
            let waits = self
                .book
                .members(name)
                .iter()
                .any(|attempt| self.book.get(*attempt).is_some_and(|held| held.pod.is_none()));
            if waits
                && !batch.over
                && now.since(seen) > self.config.pace.ask_within.min(Span::from_secs(10))
            {
                self.clerk.send(Errand::Complaint { batch: name.clone() });
            }
        }
    }

    fn on_complaint(&mut self, name: &BatchName, words: Option<&str>) {
        let Some(words) = words else { return };
        if connect::is_quota(words) {
            // Others of the namespace go first; its lease says how long it waits.
            tracing::info!(job = name.name, words, "its pods wait for the namespace's quota");
            return;
        }
        tracing::warn!(job = name.name, words, "its pods cannot be made");
        let failure = StartFailure::Other(format!("engine.kubernetes.pods: {words}"));
        for attempt in self.book.members(name) {
            if let Some(held) = self.book.live_mut(attempt)
                && held.pod.is_none()
            {
                held.end_by(Outcome::StartFailed(failure.clone()), Span::ZERO);
            }
        }
        self.due_at = self.clock.now();
    }

    fn on_moved(&mut self, name: &BatchName, seconds: i64, outcome: Result<(), Answer>) {
        let again = self.clock.now().plus(self.config.pace.try_again);
        let Some(batch) = self.book.batches.get_mut(name) else { return };
        match outcome {
            Ok(()) | Err(Answer::Missing | Answer::Taken) => {}
            Err(Answer::Unsure(why) | Answer::Refused(why)) => {
                tracing::warn!(why, job = name.name, "cannot move its deadline; tried again");
                if batch.deadline == Some(seconds) {
                    tending::tell_again(batch);
                    self.due(again);
                }
            }
        }
    }

    fn on_asked(&mut self, attempt: AttemptId, outcome: Result<(), Answer>) {
        let Err(Answer::Unsure(why) | Answer::Refused(why)) = outcome else { return };
        tracing::warn!(%attempt, why, "cannot end its pod; tried again");
        let again = self.clock.now().plus(self.config.pace.try_again);
        if let Some(ending) = self.book.live_mut(attempt).and_then(|held| held.ending.as_mut()) {
            // Long enough ago to be due when it is looked after again.
            let waited = ending.grace.plus(Span::from_secs(10));
            ending.asked = Some(again.plus(Span::ZERO.minus(waited)));
        }
        self.due(again);
    }

    fn on_removed(&mut self, name: &BatchName, outcome: Result<(), Answer>) {
        match outcome {
            Ok(()) => self.on_job_gone(name),
            Err(Answer::Missing | Answer::Taken) => {}
            Err(Answer::Unsure(why) | Answer::Refused(why)) => {
                tracing::warn!(why, job = name.name, "cannot remove it");
                // Where it is still wanted it is asked for again; else it goes by its own time to
                // live.
                if let Some(batch) = self.book.batches.get_mut(name) {
                    batch.deleting = false;
                }
            }
        }
    }

    // --- pods -----------------------------------------------------------------------------------

    fn on_pods(&mut self, namespace: &str, news: News<PodSeen>) {
        match news {
            News::Seen(pod) => self.on_pod(namespace, pod),
            News::Gone(pod) => self.on_pod_gone(namespace, &pod),
            News::All { all: pods, .. } => {
                self.strays.retain(|batch, _| batch.namespace != namespace);
                let there: BTreeSet<String> = pods.iter().map(|pod| pod.uid.clone()).collect();
                for pod in pods {
                    self.on_pod(namespace, pod);
                }
                let missing: Vec<AttemptId> = self
                    .book
                    .live()
                    .filter(|(_, held)| {
                        held.seat.as_ref().is_some_and(|seat| seat.batch.namespace == namespace)
                            && held.pod.as_ref().is_some_and(|pod| !there.contains(&pod.uid))
                    })
                    .map(|(attempt, _)| attempt)
                    .collect();
                for attempt in missing {
                    self.vanished(attempt);
                }
                self.watched.entry(namespace.to_owned()).or_default().pods = true;
                self.find_podless(namespace);
            }
        }
    }

    fn on_pod(&mut self, namespace: &str, pod: PodSeen) {
        let batch = BatchName { namespace: namespace.to_owned(), name: pod.batch.clone() };
        let Some(attempt) = self.book.attempt_at(&batch, pod.index) else {
            if !self.book.batches.contains_key(&batch) {
                let strays = self.strays.entry(batch).or_default();
                strays.retain(|known| known.uid != pod.uid);
                strays.push(pod);
            }
            return;
        };
        let now = self.clock.now();
        let Some(held) = self.book.live_mut(attempt) else {
            // It has ended, as far as is known, and something of it comes up: that goes.
            let known = self.book.get(attempt).and_then(|held| held.pod.clone());
            let other = known.is_none_or(|known| known.uid != pod.uid);
            if other && !matches!(pod.stage, Stage::Over(_)) && !pod.deleting {
                tracing::warn!(%attempt, pod = pod.name, "a pod of an ended task is removed");
                self.clerk.send(Errand::EndPod {
                    attempt,
                    namespace: namespace.to_owned(),
                    name: pod.name,
                    uid: pod.uid,
                    grace_seconds: 0,
                });
            }
            return;
        };
        if held.pod.as_ref().is_some_and(|known| known.uid != pod.uid) {
            // Another try of an index that has one: the newer one is not ours to count.
            tracing::warn!(%attempt, pod = pod.name, "a second pod of one task is removed");
            self.clerk.send(Errand::EndPod {
                attempt,
                namespace: namespace.to_owned(),
                name: pod.name,
                uid: pod.uid,
                grace_seconds: 0,
            });
            return;
        }
        if held.pod.is_none() {
            let container = CONTAINER.to_owned();
            held.pod = Some(PodRef { name: pod.name.clone(), uid: pod.uid.clone(), container });
            if held.ending.is_some() {
                self.due_at = now;
            }
        }
        let Some(held) = self.book.live_mut(attempt) else { return };
        held.deleting = pod.deleting;
        held.node = pod.node;
        held.steps = pod.steps;
        match pod.stage {
            Stage::Waiting { trouble } => {
                in_trouble(held, trouble, now);
                self.due_at = now;
            }
            Stage::Running { since, container, trouble } => {
                // A step that comes later may have an image that does not come.
                in_trouble(held, trouble, now);
                if let Some(pod) = &mut held.pod {
                    pod.container = container;
                }
                if held.trouble.is_some() {
                    self.due_at = now;
                }
                if matches!(held.phase, Phase::Starting) {
                    let started_at = since.unwrap_or_else(wall_now);
                    held.phase = Phase::Running { started_at, pid: None };
                    held.running = Some(now);
                    self.journal.append(&Record::Running { attempt, started_at });
                    self.changed.insert(attempt);
                    self.due_at = now;
                }
            }
            Stage::Over(over) => self.on_over(attempt, &over, pod.disrupted.as_deref()),
        }
    }

    /// A pod has ended. What it wrote is read before its end is told.
    fn on_over(&mut self, attempt: AttemptId, over: &Over, disrupted: Option<&str>) {
        let now = self.clock.now();
        let wall = wall_now();
        let overdue = self.is_overdue(attempt);
        let Some(held) = self.book.live_mut(attempt) else { return };
        if held.closing.is_some() {
            return;
        }
        let finished = over.exit.as_ref().and_then(|exit| exit.finished).unwrap_or(wall);
        let at =
            if wall.since(finished).micros().abs() < JUST_NOW.micros() { wall } else { finished };
        let seen = held.running.map_or(Span::ZERO, |since| now.since(since));
        held.usage.wall = held.usage.wall.max(over.wall());
        if over.exit.is_none() {
            held.usage.wall = held.usage.wall.max(seen);
        }
        let outcome = match &held.ending {
            Some(ending) => ending.outcome.clone(),
            None if overdue => Outcome::LeaseEnded,
            None => pods::outcome(over, disrupted),
        };
        // Somebody takes it away who does not say why here: the job may.
        let unexplained = held.deleting && held.ending.is_none() && !overdue && disrupted.is_none();
        if unexplained && matches!(outcome, Outcome::Exited(_) | Outcome::KeeperDied) {
            if held.unexplained.is_none() {
                held.unexplained = Some((now, at));
            }
            self.due_at = now;
            return;
        }
        if held.ending.is_none() {
            held.unstarted = pods::unstarted(over);
        }
        let ran = over.exit.is_some() || over.began.is_some();
        self.close(attempt, Closing { outcome, at, since: now }, ran);
    }

    fn is_overdue(&self, attempt: AttemptId) -> bool {
        let seat = self.book.get(attempt).and_then(|held| held.seat.as_ref());
        seat.and_then(|seat| self.book.batches.get(&seat.batch)).is_some_and(|batch| batch.overdue)
    }

    fn close(&mut self, attempt: AttemptId, closing: Closing, ran: bool) {
        let output = self.output(attempt).filter(|_| ran);
        let Some(held) = self.book.live_mut(attempt) else { return };
        held.unexplained = None;
        match output {
            Some(output) => {
                let at = closing.since.plus(self.config.pace.logs_within);
                let unstarted = held.unstarted.clone();
                let records =
                    steps::records(&held.steps, unstarted.as_ref(), &closing.outcome, closing.at);
                held.closing = Some(closing);
                self.due(at);
                self.clerk.send(Errand::Read {
                    attempt,
                    output,
                    steps: Ended { records, unstarted },
                });
            }
            None => self.finish_at(attempt, closing.at, closing.outcome),
        }
    }

    fn on_pod_gone(&mut self, namespace: &str, pod: &PodSeen) {
        let batch = BatchName { namespace: namespace.to_owned(), name: pod.batch.clone() };
        if let Some(strays) = self.strays.get_mut(&batch) {
            strays.retain(|known| known.uid != pod.uid);
            if strays.is_empty() {
                self.strays.remove(&batch);
            }
        }
        let Some(attempt) = self.book.attempt_at(&batch, pod.index) else { return };
        let Some(held) = self.book.live_mut(attempt) else { return };
        if held.pod.as_ref().is_some_and(|known| known.uid != pod.uid) {
            return;
        }
        if let Stage::Over(over) = &pod.stage {
            // Its last word comes with its going.
            let wall = over.wall();
            held.usage.wall = held.usage.wall.max(wall);
        }
        self.vanished(attempt);
    }

    /// A pod is not there any more: nothing of it runs.
    fn vanished(&mut self, attempt: AttemptId) {
        let now = self.clock.now();
        let overdue = self.is_overdue(attempt);
        let Some(held) = self.book.live_mut(attempt) else { return };
        if held.closing.is_some() {
            // Its output is being read, or cannot be any more: that is answered.
            return;
        }
        if let Some(since) = held.running {
            held.usage.wall = held.usage.wall.max(now.since(since));
        }
        match (&held.ending, overdue) {
            (Some(ending), _) => {
                let outcome = ending.outcome.clone();
                if held.unstarted.is_some() {
                    // Why is still to be written down.
                    let closing = Closing { outcome, at: wall_now(), since: now };
                    return self.close(attempt, closing, true);
                }
                self.finish(attempt, outcome);
            }
            (None, true) => self.finish(attempt, Outcome::LeaseEnded),
            (None, false) => {
                if held.unexplained.is_none() {
                    held.unexplained = Some((now, wall_now()));
                }
                self.due_at = now;
            }
        }
    }

    // --- jobs -----------------------------------------------------------------------------------

    fn on_jobs(&mut self, namespace: &str, news: News<JobSeen>) {
        let name =
            |job: &JobSeen| BatchName { namespace: namespace.to_owned(), name: job.name.clone() };
        match news {
            News::Seen(job) => self.on_job(&name(&job), &job),
            News::Gone(job) => self.on_job_gone(&name(&job)),
            News::All { began, all: jobs } => {
                let there: BTreeSet<BatchName> = jobs.iter().map(name).collect();
                for job in jobs {
                    self.on_job(&name(&job), &job);
                }
                let gone: Vec<BatchName> = self
                    .book
                    .batches
                    .iter()
                    .filter(|(name, batch)| {
                        name.namespace == namespace
                            && batch.standing.is_made_before(began)
                            && !there.contains(*name)
                    })
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in gone {
                    self.on_job_gone(&name);
                }
                self.watched.entry(namespace.to_owned()).or_default().jobs = true;
                self.find_podless(namespace);
            }
        }
    }

    fn on_job(&mut self, name: &BatchName, job: &JobSeen) {
        let now = self.clock.now();
        if !self.book.batches.contains_key(name) {
            self.adopt_job(name, job);
            return;
        }
        let server = self.server_now();
        let Some(batch) = self.book.batches.get_mut(name) else { return };
        if batch.attempts != job.attempts {
            return;
        }
        if let Standing::Unsure { .. } = batch.standing {
            batch.standing = Standing::Made { at: job.made, seen: now };
            self.journal.append(&Record::Made { batch: name.clone(), at: job.made });
            let _ = std::fs::remove_file(self.manifest_file(name));
        }
        let Some(batch) = self.book.batches.get_mut(name) else { return };
        let began = batch.started != job.started;
        batch.started = job.started;
        batch.over = job.over;
        batch.overdue |= job.overdue;
        // After a restart a lease is as long as the cluster lets it be, until it is renewed.
        let ran = server.since(job.started.unwrap_or(job.made));
        let left = job.deadline.map(|seconds| Span::from_secs(seconds).minus(ran));
        if began {
            batch.moved = true;
        }
        let (overdue, over) = (batch.overdue, batch.over);
        for attempt in self.book.members(name) {
            let overdue_end = {
                let Some(held) = self.book.live_mut(attempt) else { continue };
                if let (BootTime::NEVER, Some(left)) = (held.lease_end, left) {
                    held.lease_end = now.plus(left.max(Span::ZERO));
                    held.notice = tending::notice(held.lease_end, now);
                }
                // The job says why its pods were taken away.
                overdue.then(|| held.unexplained.map(|(_, at)| (at, held.pod.is_some()))).flatten()
            };
            if let Some((at, ran)) = overdue_end {
                let closing = Closing { outcome: Outcome::LeaseEnded, at, since: now };
                self.close(attempt, closing, ran);
            }
        }
        if over {
            self.find_podless(&name.namespace);
        }
        self.due_at = now;
    }

    /// A job of ours that the journal does not know: taken over, or removed where all of it was
    /// forgotten.
    fn adopt_job(&mut self, name: &BatchName, job: &JobSeen) {
        let unknown = |attempt: &AttemptId| !self.book.is_buried(*attempt);
        if job.deleting {
            return;
        }
        if !job.attempts.iter().any(unknown) {
            self.clerk.send(Errand::Remove { batch: name.clone() });
            return;
        }
        tracing::info!(job = name.name, "a job of an earlier agent is taken over");
        let now = self.clock.now();
        let log = crate::Limits::default().log;
        let mut batch = Batch::new(job.attempts.clone(), Gang::No, Span::MAX, log, now);
        batch.standing = Standing::Made { at: job.made, seen: now };
        let records = [
            Record::Batched {
                batch: name.clone(),
                attempts: batch.attempts.clone(),
                wall: batch.wall,
                log,
                gang: batch.gang,
            },
            Record::Made { batch: name.clone(), at: job.made },
        ];
        for record in &records {
            self.journal.append(record);
        }
        self.changed.extend(batch.attempts.iter().copied());
        self.book.seat(name, batch);
        self.on_job(name, job);
        for pod in self.strays.remove(name).unwrap_or_default() {
            self.on_pod(&name.namespace, pod);
        }
    }

    /// A job is not there any more: no pod of it is made again.
    fn on_job_gone(&mut self, name: &BatchName) {
        if let Some(batch) = self.book.batches.get_mut(name) {
            batch.standing = Standing::Gone;
        }
        for attempt in self.book.members(name) {
            if self.book.get(attempt).is_some_and(|held| held.pod.is_none()) {
                self.vanished(attempt);
            }
        }
    }

    /// Attempts whose job is over or gone and that have no pod: it was removed while nobody looked.
    fn find_podless(&mut self, namespace: &str) {
        let heard = self.watched.get(namespace).copied().unwrap_or_default();
        if !(heard.pods && heard.jobs) {
            return;
        }
        let podless: Vec<AttemptId> = self
            .book
            .live()
            .filter(|(_, held)| {
                held.pod.is_none()
                    && held.seat.as_ref().is_some_and(|seat| {
                        let batch = self.book.batches.get(&seat.batch);
                        seat.batch.namespace == namespace
                            && batch
                                .is_some_and(|batch| batch.over || batch.standing == Standing::Gone)
                    })
            })
            .map(|(attempt, _)| attempt)
            .collect();
        for attempt in podless {
            self.vanished(attempt);
        }
    }
}

/// Since when it is in this kind of trouble.
fn in_trouble(held: &mut Held, trouble: Option<Trouble>, now: BootTime) {
    let known = held.trouble.take().filter(|(known, _)| {
        trouble.as_ref().map(std::mem::discriminant) == Some(std::mem::discriminant(known))
    });
    held.trouble = match (trouble, known) {
        // Between two tries a node says only that it waits: what the registry said tells more.
        (Some(next), Some((known, since)))
            if known.failure().is_the_jobs() && !next.failure().is_the_jobs() =>
        {
            Some((known, since))
        }
        (Some(next), known) => Some((next, known.map_or(now, |(_, since)| since))),
        (None, _) => None,
    };
}
