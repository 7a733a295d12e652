//! From launches to jobs in the cluster.
//!
//! Invariant: a batch's objects are on disk and its record on stable storage before it is made. One
//! whose making is not sure is made again from that file, under the same name.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use dayan_units::{AttemptId, JobId, Span};
use serde::{Deserialize, Serialize};

use super::book::{Batch, Record, Standing};
use super::clerk::Errand;
use super::engine::KubernetesEngine;
use super::making::Made;
use super::manifest::{self, Gang, Manifests, Ordered, Request};
use super::names::{BatchName, batch_name};
use super::steps;
use crate::{BootId, BootTime, Launch, Outcome, StartFailure, Workdir, hosts, wall_now};

/// What goes into one job at most: people submit no longer arrays, and controllers do not like
/// them.
const INDEXES_MAX: usize = 1_000;
/// What goes into one Secret: etcd takes 1.5 MiB for an object, Kubernetes 1 MiB for a Secret's
/// data; base64 and names take their part of it.
const SCRIPT_BYTES_MAX: usize = 700_000;
/// So much before the lease ends the cluster's own deadline falls, by which it is ended when nobody
/// is left to ask for it: dates are to the second on both sides.
const DEADLINE_EARLY: Span = Span::from_secs(1);

/// The folder that a launch is to begin in, where it lies in the attempt's own and is not there. It is
/// looked for before anything runs: what a pod says of it later a task could say as well.
fn missing_folder(launch: &Launch, work: &Path) -> Option<String> {
    match &launch.workdir {
        Workdir::At(path) if path.starts_with(work) && !path.is_dir() => {
            Some(format!("{}: no such folder", path.display()))
        }
        Workdir::At(_) | Workdir::Fresh => None,
    }
}

/// A gang's launch: the job, and which launch of it.
type GangKey = Option<(JobId, u32)>;
/// What shares a job: the namespace, what is asked for, whose it is, which gang.
type Key = (String, Request, JobId, GangKey);

/// What is kept of a batch until the API server has it.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// Until when it may run: made later, its deadline is another.
    boot: BootId,
    until: BootTime,
    manifests: Manifests,
}

impl KubernetesEngine {
    /// Puts what waits into batches. While some are being made more gathers: so the rate at which
    /// launches come decides how many share a job, and not a timer.
    pub(super) fn form_batches(&mut self) {
        if self.making > 0 || self.book.waiting.is_empty() {
            return;
        }
        let mut groups: BTreeMap<Key, Vec<Launch>> = BTreeMap::new();
        for launch in std::mem::take(&mut self.book.waiting) {
            let request = Request::of(&launch, &self.config.site, self.accelerator.as_deref());
            match request.and_then(|request| Ok((self.namespace(&launch)?, request))) {
                Ok((namespace, request)) => {
                    let job = launch.attempt.job;
                    let gang = launch.gang.map(|gang| (job, gang.launch));
                    groups.entry((namespace, request, job, gang)).or_default().push(launch);
                }
                // It was asked before it was taken.
                Err(reason) => self.fail(launch.attempt, StartFailure::Limits(reason)),
            }
        }
        let mut formed = Vec::new();
        for ((namespace, request, _, gang), mut launches) in groups {
            let gang = if gang.is_some() { Gang::Yes } else { Gang::No };
            if gang == Gang::Yes {
                launches.sort_by_key(|launch| launch.gang.map_or(0, |gang| gang.rank));
                let members =
                    launches.first().and_then(|launch| launch.gang).map_or(1, |g| g.members);
                if launches.len() < members as usize {
                    // The others are on their way.
                    self.book.waiting.extend(launches);
                    continue;
                }
            }
            while !launches.is_empty() {
                let (batch, manifests) = self.form(&namespace, &request, gang, &mut launches);
                if let Some(manifests) = manifests {
                    formed.push((batch, manifests));
                }
            }
        }
        self.begin(formed);
    }

    fn fail(&mut self, attempt: AttemptId, failure: StartFailure) {
        self.finish(attempt, Outcome::StartFailed(failure));
    }

    /// Takes the first launches of those that fit into one job, and seats them.
    fn form(
        &mut self,
        namespace: &str,
        request: &Request,
        gang: Gang,
        launches: &mut Vec<Launch>,
    ) -> (BatchName, Option<Manifests>) {
        let first = launches.first().expect("called for some").attempt;
        let batch = BatchName { namespace: namespace.to_owned(), name: batch_name(first) };
        let (mut attempts, mut scripts, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut mounts = Vec::new();
        let mut rest = Vec::new();
        let (wall, log) = launches
            .first()
            .map(|launch| (launch.limits.wall, launch.limits.log))
            .expect("called for some");
        for mut launch in std::mem::take(launches) {
            if gang == Gang::Yes {
                self.tell_gang(&mut launch, &batch);
            }
            let fence = self.folder.fence(launch.attempt);
            let work = self.shared.as_ref().map(|shared| shared.work(launch.attempt));
            if let Some(missing) = work.as_deref().and_then(|work| missing_folder(&launch, work)) {
                self.fail(launch.attempt, StartFailure::Workdir(missing));
                continue;
            }
            match steps::scripts(&launch, &fence, work.as_deref()) {
                Err(reason) => self.fail(launch.attempt, StartFailure::Other(reason)),
                Ok(texts)
                    if gang == Gang::No && !attempts.is_empty() && {
                        attempts.len() == INDEXES_MAX || bytes + length(&texts) > SCRIPT_BYTES_MAX
                    } =>
                {
                    rest.push(launch);
                }
                Ok(texts) => {
                    bytes += length(&texts);
                    attempts.push(launch.attempt);
                    mounts.push(launch.mounts);
                    scripts.push(texts);
                }
            }
        }
        *launches = rest;
        if attempts.is_empty() {
            return (batch, None);
        }
        // Named for the first that is in it.
        let batch = BatchName { name: batch_name(attempts[0]), ..batch };
        let sub_path = self.shared.as_ref().map(|shared| shared.sub_path(&batch));
        if let Some(shared) = &self.shared {
            let each = attempts.iter().copied().zip(mounts.iter().map(Vec::as_slice));
            if let Err(error) = shared.lay_out(&batch, &each.collect::<Vec<_>>()) {
                tracing::error!(%error, "cannot lay out the folders of a batch");
                let failure = StartFailure::Workdir(error.to_string());
                for attempt in attempts {
                    self.fail(attempt, failure.clone());
                }
                return (batch, None);
            }
        }
        let until = self.until(&attempts);
        let now = self.clock.now();
        let deadline_seconds = seconds_until(until, now);
        let agent = self.agent.clone();
        let ordered = Ordered {
            batch: &batch,
            agent: &agent,
            attempts: &attempts,
            scripts: &scripts,
            request,
            gang,
            deadline_seconds,
            sub_path: sub_path.as_deref(),
        };
        let manifests = manifest::manifests(ordered, &self.config.site);
        let kept = Kept { boot: self.clock.boot(), until, manifests };
        if let Err(error) = self.keep(&batch, &kept) {
            tracing::error!(%error, "cannot keep a batch on disk");
            let words = format!("the agent's folder: {error}");
            for attempt in attempts {
                self.fail(attempt, StartFailure::Other(words.clone()));
            }
            return (batch, None);
        }
        let mut made = Batch::new(attempts, gang, wall, log, now);
        made.standing = Standing::Asking;
        self.book.seat(&batch, made);
        (batch, Some(kept.manifests))
    }

    /// A member of a gang finds the others under the cluster's names for them.
    fn tell_gang(&self, launch: &mut Launch, batch: &BatchName) {
        let Some(gang) = launch.gang else { return };
        let host = |index| manifest::member_host(batch, index);
        let all: Vec<String> = (0..gang.members).map(host).collect();
        let work = self.shared.as_ref().map(|shared| shared.work(launch.attempt));
        let file = launch.env.get("DAYAN_HOSTFILE").map(Path::new);
        let own = file.filter(|file| work.is_some_and(|work| file.starts_with(work)));
        if let Some(file) = own {
            let slots = hosts::slots(&launch.env, Some(all.len()));
            let lines = hosts::lines(all.iter().map(String::as_str).zip(slots));
            if let Err(error) = fs::write(file, lines) {
                tracing::warn!(%error, attempt = %launch.attempt, "cannot write a gang's host file");
            }
        }
        launch.env.insert("DAYAN_HEAD".to_owned(), host(0));
        launch.env.insert("DAYAN_NODELIST".to_owned(), all.join(","));
        launch.env.insert("DAYAN_NODE_RANK".to_owned(), gang.rank.to_string());
    }

    /// When the first lease of these ends, of those that have not ended themselves.
    pub(super) fn until(&self, attempts: &[AttemptId]) -> BootTime {
        let ends = attempts.iter().filter_map(|attempt| {
            let held = self.book.get(*attempt)?;
            (held.is_live() && held.ending.is_none()).then_some(held.lease_end)
        });
        ends.min().unwrap_or(BootTime::NEVER)
    }

    fn keep(&self, batch: &BatchName, kept: &Kept) -> io::Result<()> {
        let path = self.manifest_file(batch);
        let folder = path.parent().expect("it lies in a folder");
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // It holds what tasks are told, which may be secret.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_data()
    }

    /// Writes down that they are about to be made, and has them made.
    fn begin(&mut self, formed: Vec<(BatchName, Manifests)>) {
        if formed.is_empty() {
            return;
        }
        let records: Vec<Record> = formed
            .iter()
            .filter_map(|(name, _)| {
                let Batch { attempts, gang, wall, log, .. } = self.book.batches.get(name)?.clone();
                Some(Record::Batched { batch: name.clone(), attempts, wall, log, gang })
            })
            .collect();
        if let Err(error) = self.journal.commit(records.iter()) {
            tracing::error!(%error, "cannot write the engine's journal");
            let words = format!("the engine's journal: {error}");
            for (batch, _) in formed {
                self.give_up(&batch, &Outcome::StartFailed(StartFailure::Other(words.clone())));
            }
            return;
        }
        for (batch, manifests) in formed {
            self.watch(&batch.namespace);
            self.make(batch, manifests);
        }
    }

    fn make(&mut self, batch: BatchName, manifests: Manifests) {
        self.making += 1;
        self.clerk.send(Errand::Make { batch, manifests: Box::new(manifests) });
    }

    /// Makes a batch again of which nobody knows whether it was made, from its file.
    pub(super) fn make_again(&mut self, name: &BatchName) {
        let members = self.book.members(name);
        let now = self.clock.now();
        let kept = fs::read(self.manifest_file(name)).ok();
        let kept: Option<Kept> = kept.and_then(|text| serde_json::from_slice(&text).ok());
        // After a restart leases are not known here until they are renewed: the file's counts.
        let until = match self.until(&members) {
            BootTime::NEVER => kept
                .as_ref()
                .filter(|kept| kept.boot == self.clock.boot())
                .map_or(BootTime::from_micros(0), |kept| kept.until),
            until => until,
        };
        let wanted = members
            .iter()
            .any(|attempt| self.book.get(*attempt).is_some_and(|held| held.ending.is_none()));
        match kept {
            Some(mut kept) if wanted && until > now => {
                if let Some(spec) = &mut kept.manifests.job.spec {
                    spec.active_deadline_seconds = Some(seconds_until(until, now));
                }
                if let Some(batch) = self.book.batches.get_mut(name) {
                    batch.standing = Standing::Asking;
                }
                self.make(name.clone(), kept.manifests);
            }
            // It is too late for it, or nothing is left to make it of; should it be there all the
            // same, it goes.
            Some(_) | None => {
                self.give_up(name, &Outcome::KeeperDied);
                self.clerk.send(Errand::Remove { batch: name.clone() });
            }
        }
    }

    pub(super) fn on_made(&mut self, name: &BatchName, made: Made) {
        self.making = self.making.saturating_sub(1);
        let now = self.clock.now();
        let Some(batch) = self.book.batches.get_mut(name) else {
            // Everything of it was forgotten meanwhile.
            self.clerk.send(Errand::Remove { batch: name.clone() });
            return;
        };
        match made {
            Made::There { at, deadline } => {
                batch.standing = Standing::Made { at, seen: now };
                batch.deadline = deadline;
                // Leases may have moved since.
                batch.moved = true;
                self.journal.append(&Record::Made { batch: name.clone(), at });
                let _ = fs::remove_file(self.manifest_file(name));
                self.due_at = now;
            }
            Made::Refused(why) => {
                tracing::warn!(why, job = name.name, "the API server refused it");
                self.give_up(name, &Outcome::StartFailed(StartFailure::Other(why)));
            }
            Made::Unsure(why) => {
                tracing::warn!(why, job = name.name, "not sure that it was made; tried again");
                let again = now.plus(self.config.pace.try_again);
                batch.standing = Standing::Unsure { again };
                self.due(again);
            }
        }
    }

    /// Ends what is left of a batch of which no pod will ever be.
    pub(super) fn give_up(&mut self, name: &BatchName, outcome: &Outcome) {
        for attempt in self.book.members(name) {
            let ending = self.book.get(attempt).and_then(|held| held.ending.clone());
            let why = ending.map_or_else(|| outcome.clone(), |ending| ending.outcome);
            self.finish_at(attempt, wall_now(), why);
        }
        if let Some(batch) = self.book.batches.get_mut(name) {
            batch.standing = Standing::Gone;
        }
        let _ = fs::remove_file(self.manifest_file(name));
    }
}

fn length(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

/// The deadline of a job that is made now and may run until then, in whole seconds.
pub(super) fn seconds_until(until: BootTime, now: BootTime) -> i64 {
    until.since(now).minus(DEADLINE_EARLY).secs_floor().clamp(1, SECONDS_MAX)
}

/// The longest deadline that is told: beyond a century there is none.
const SECONDS_MAX: i64 = 100 * 366 * 24 * 3_600;
