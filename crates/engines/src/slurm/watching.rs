//! What the wrappers cannot say: whether Slurm still has an element, what became of the silent
//! ones, why Slurm ended a job; and the ends of leases of what still waits in the queue.
//!
//! Invariant: nothing ends because a question failed or an answer was not understood. One whose
//! node is lost ends when its lease does.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{AttemptId, Span, Time};

use super::book::{Batch, Doubt, Held, Seat, Submission, Written};
use super::clerk::{Done, Errand};
use super::engine::SlurmEngine;
use super::layout::{BatchId, Index};
use super::request::{TAKES_WITHIN, TIME_MARGIN, batch_of, job_name};
use super::status::{Elements, QueueLine, State};
use super::way::{Ends, Jobs, Question};
use crate::{BootTime, Counters, Outcome, StartFailure};

/// Between two questions about those in doubt.
const ASK_AGAIN: Span = Span::from_secs(2);
/// How long Slurm may take to say why it ended a job whose wrapper has written its end.
const WHY_WITHIN: Span = Span::from_secs(60);
/// The same of a script that has ended by itself, as far as its wrapper knows: what it wrote stands then.
const STEPS_WHY_WITHIN: Span = Span::from_secs(10);
/// How long after a lease's end its wrapper's word may take to be seen. Then it counts as dead, and
/// the task with it: it may not run any more, whoever is silent.
const WORD_WITHIN: Span = Span::from_secs(120);
/// Between two tries to cancel what could not be: a controller that is started again is there by then.
const CANCEL_AGAIN: Span = Span::from_secs(5);
/// So often in a row: five minutes of a controller that is away. What Slurm never lets this user cancel is not
/// asked for again beyond.
const CANCEL_MISSES_MAX: u32 = 60;
/// What is kept of cancellations that failed. More than that wait in a queue only where a controller is away
/// for long; what is beyond ends with its lease.
const CANCELS_KEPT_MAX: usize = 10_000;
/// How often an element is looked after that is due and cannot be dealt with yet.
const AGAIN: Span = Span::from_secs(1);

impl SlurmEngine {
    pub(super) fn on_answer(&mut self, done: Done) {
        match done {
            Done::Submitted { batch, outcome } => self.on_submitted(batch, outcome),
            Done::Cancelled { targets, outcome } => {
                self.cancelling = false;
                let Err(why) = outcome else {
                    self.cancel_misses = 0;
                    return;
                };
                self.cancel_misses += 1;
                // Only tidying: what is cancelled was closed before, or ends with its lease.
                tracing::warn!(why, misses = self.cancel_misses, "cannot cancel in Slurm");
                if self.cancel_misses < CANCEL_MISSES_MAX {
                    let room = CANCELS_KEPT_MAX.saturating_sub(self.cancels.len());
                    self.cancels.extend(targets.into_iter().take(room));
                    self.cancel_at = self.clock.now().plus(CANCEL_AGAIN);
                    self.due(self.cancel_at);
                } else {
                    self.cancel_misses = 0;
                }
            }
            Done::Looked(outcome) => {
                self.looking = false;
                match outcome {
                    Ok(lines) => self.on_queue(&lines),
                    Err(why) => tracing::warn!(why, "cannot look at the queue; nothing follows"),
                }
            }
            Done::Ends { jobs, ends } => {
                self.asking = false;
                match ends {
                    Ok(ends) => self.on_ends(&jobs, &ends),
                    Err(why) => {
                        tracing::warn!(why, "cannot ask what became of jobs");
                        let unknown = self.in_doubt(&jobs).into_iter().map(|(attempt, ..)| attempt);
                        self.on_no_answer(unknown.collect());
                    }
                }
            }
            Done::Accounts(outcome) => {
                let live = self.book.live().filter_map(|(_, held)| {
                    let seat = held.seat?;
                    let batch = self.book.batches.get(&seat.batch)?;
                    Some((batch.job()?, batch.in_slurm(seat.index, held.under)))
                });
                let live: BTreeSet<(u32, Index)> = live.collect();
                self.accounts.on_answer(outcome, &live, self.clock.now());
            }
        }
    }

    /// Sends the clerk to ask what is to be known now.
    pub(super) fn ask_questions(&mut self, now: BootTime) {
        if self.book.live_count() > 0 && !self.looking && self.look_at <= now {
            self.looking = true;
            self.look_at = now.plus(self.config.pace.look_every);
            self.clerk.send(Errand::Look);
        }
        if !self.asking && self.ask_at <= now {
            let (question, next) = self.question(now);
            if question.jobs.is_empty() {
                self.ask_at = next;
                self.due(next);
            } else {
                self.asking = true;
                self.ask_at = now.plus(ASK_AGAIN);
                self.due(self.ask_at);
                self.clerk.send(Errand::Ends { question });
            }
        }
        if let Some(jobs) = self.accounts.jobs_to_ask(now) {
            self.clerk.send(Errand::Accounts { jobs });
        }
    }

    /// What to ask about now, and when there is more.
    fn question(&self, now: BootTime) -> (Question, BootTime) {
        let after = self.config.pace.doubt_after;
        let mut question = Question::default();
        let mut next = BootTime::NEVER;
        for (_, held) in self.book.live() {
            let (Some(doubt), Some(seat)) = (&held.doubt, held.seat) else { continue };
            let at = if doubt.report.is_some() { doubt.since } else { doubt.since.plus(after) };
            let Some(batch) = self.book.batches.get(&seat.batch) else { continue };
            if at > now {
                next = next.min(at);
            } else if let Some(job) = batch.job() {
                let name = || job_name(self.layout.instance(), seat.batch);
                question.jobs.entry(job).or_insert_with(name);
                question.elements.insert((job, batch.in_slurm(seat.index, held.under)));
            }
        }
        (question, next)
    }

    /// Those in doubt that were asked about by these jobs, and which elements of Slurm's they are.
    fn in_doubt(&self, jobs: &Jobs) -> Vec<(AttemptId, Seat, (u32, Index))> {
        let doubtful = self.book.live().filter(|(_, held)| held.doubt.is_some());
        let asked = doubtful.filter_map(|(attempt, held)| {
            let seat = held.seat?;
            let batch = self.book.batches.get(&seat.batch)?;
            // Another batch may have that number since it was asked about.
            let job = batch.job()?;
            let name = job_name(self.layout.instance(), seat.batch);
            jobs.get(&job).filter(|asked| **asked == name)?;
            Some((attempt, seat, (job, batch.in_slurm(seat.index, held.under))))
        });
        asked.collect()
    }

    fn on_queue(&mut self, lines: &[QueueLine]) {
        let instance = self.layout.instance().to_owned();
        let now = self.clock.now();
        let mut there: BTreeMap<BatchId, Vec<&QueueLine>> = BTreeMap::new();
        let mut others = BTreeSet::new();
        for line in lines {
            let Some(batch) = batch_of(&instance, &line.name) else {
                others.insert(line.job);
                continue;
            };
            let unsure = |batch: &Batch| matches!(batch.submission, Submission::Unsure { .. });
            if self.book.batches.get(&batch).is_some_and(unsure) {
                self.is_job(batch, line.job);
            }
            there.entry(batch).or_default().push(line);
        }
        self.numbers_of_others(&others);
        let mut missing = Vec::new();
        let mut nameless = Vec::new();
        let mut hurried = false;
        for id in self.book.batches.keys().copied().collect::<Vec<_>>() {
            let begun = self.book.has_begun(id);
            let Some(batch) = self.book.batches.get(&id) else { continue };
            let job = match batch.submission {
                Submission::Asking => continue,
                Submission::Unsure { .. } if !begun => {
                    self.missed(id);
                    continue;
                }
                Submission::Unsure { .. } => None,
                Submission::Job(job) => Some(job),
            };
            let all = there.get(&id).map_or(&[][..], Vec::as_slice);
            let found: Vec<&QueueLine> =
                all.iter().copied().filter(|line| Some(line.job) == job).collect();
            let under = |attempt| self.book.get(attempt).and_then(|held| held.under);
            let seats: Vec<(AttemptId, Seat, Index)> = (batch.attempts.iter().copied())
                .zip(0..)
                .map(|(attempt, index)| {
                    let in_slurm = batch.in_slurm(index, under(attempt));
                    (attempt, Seat { batch: id, index }, in_slurm)
                })
                .collect();
            for (attempt, seat, index) in seats {
                let Some(held) = self.book.live_mut(attempt) else { continue };
                let silent = held.doubt.as_ref().is_none_or(|doubt| doubt.report.is_none());
                let stands = among(&found, index);
                held.quiet(stands == Some(State::Running) && !self.deaf, now);
                if stands == Some(State::Suspended) && held.stop.is_some() {
                    // Its wrapper cannot obey.
                    held.cancel_at = held.cancel_at.map(|at| at.min(now));
                    hurried = true;
                }
                match stands {
                    None => missing.push(attempt),
                    // Its node has it, and Slurm has it wait: it was put back, and nobody
                    // tends it any more; or the controller has forgotten that it runs.
                    Some(State::Pending) if held.claimed => missing.push(attempt),
                    Some(_) if silent => held.doubt = None,
                    Some(_) => {}
                }
                if job.is_none() {
                    nameless.push((attempt, seat));
                }
            }
        }
        let after = self.config.pace.doubt_after;
        for attempt in missing {
            if let Some(held) = self.book.live_mut(attempt)
                && held.doubt.is_none()
            {
                held.doubt = Some(Doubt { since: now, report: None, lost: false });
                self.ask_at = self.ask_at.min(now.plus(after));
                self.due(now.plus(after));
            }
        }
        if hurried {
            self.due(now);
        }
        self.cancel_left_over(&there);
        // There is no number to ask by.
        for (attempt, seat) in nameless {
            self.on_end(attempt, seat, None);
        }
        self.heed_silence(now);
    }

    /// What waits in the queue for a batch that is over: its cancellation was lost with a controller that died
    /// before it wrote it down. It would start for nothing.
    fn cancel_left_over(&mut self, there: &BTreeMap<BatchId, Vec<&QueueLine>>) {
        if self.cancelling || !self.cancels.is_empty() {
            return;
        }
        for (id, lines) in there {
            let is_over = self.book.batches.get(id).is_none_or(|batch| {
                let live = |attempt| self.book.get(attempt).is_some_and(Held::is_live);
                batch.job().is_some() && !batch.attempts.iter().copied().any(live)
            });
            let waiting = lines.iter().filter(|line| line.state == State::Pending);
            let jobs: BTreeSet<u32> = waiting.filter(|_| is_over).map(|line| line.job).collect();
            self.cancels.extend(jobs.iter().map(u32::to_string));
        }
    }

    /// What Slurm says became of those in doubt.
    fn on_ends(&mut self, jobs: &Jobs, ends: &Ends) {
        self.numbers_of_others(&ends.others);
        if let Some(why) = &ends.silent {
            tracing::warn!(why, "cannot ask the accounting what became of jobs");
        }
        let mut unknown = Vec::new();
        for (attempt, seat, of) in self.in_doubt(jobs) {
            let state = ends.known.get(&of).copied();
            if state.is_none() && ends.silent.is_some() {
                unknown.push(attempt);
            } else {
                self.on_end(attempt, seat, state);
            }
        }
        self.on_no_answer(unknown);
        self.ask_at = self.ask_at.min(self.clock.now().plus(ASK_AGAIN));
        self.due(self.ask_at);
    }

    /// Nobody says what became of these. They end by no question that failed; but what has been
    /// missing in the queue for so long, and says nothing, gets no more time.
    fn on_no_answer(&mut self, mut unknown: Vec<AttemptId>) {
        let (now, long) = (self.clock.now(), self.config.pace.silent_after);
        unknown.retain(|attempt| {
            let doubt = self.book.get(*attempt).and_then(|held| held.doubt.as_ref());
            doubt.is_some_and(|doubt| now.since(doubt.since) >= long && !doubt.lost)
        });
        for attempt in unknown {
            match self.book.get(attempt).and_then(Held::written).cloned() {
                // It has ended by itself, as far as anybody can tell.
                Some(written) if !written.by_slurm => self.ends_as_written(attempt, written),
                Some(_) | None => self.lose(attempt),
            }
        }
    }

    /// Nobody says more of its end than its wrapper did.
    fn ends_as_written(&mut self, attempt: AttemptId, written: Written) {
        let Written { end, usage, by_slurm, .. } = written;
        let outcome = if by_slurm { Outcome::KeeperDied } else { end.outcome };
        self.ends_with(attempt, end.at, &usage, outcome);
    }

    /// It ended then, of what its wrapper or Slurm says.
    fn ends_with(&mut self, attempt: AttemptId, at: Time, usage: &Counters, outcome: Outcome) {
        if let Some(held) = self.book.live_mut(attempt) {
            held.count(usage);
        }
        self.note_account(attempt);
        self.finish_at(attempt, at, outcome);
    }

    /// What follows for one of them; none where Slurm knows nothing of it.
    fn on_end(&mut self, attempt: AttemptId, seat: Seat, state: Option<State>) {
        let now = self.clock.now();
        let request = self.book.batches.get(&seat.batch).and_then(|batch| batch.request.as_ref());
        let minutes = request.and_then(|request| request.minutes);
        let Some(held) = self.book.live_mut(attempt) else { return };
        let Some(doubt) = held.doubt.clone() else { return };
        if doubt.report.is_none() && self.finds_taken(attempt, seat) {
            // It was looked for under the wrong element.
            if let Some(held) = self.book.live_mut(attempt) {
                held.doubt = None;
            }
            return;
        }
        let Some(held) = self.book.live_mut(attempt) else { return };
        let age = now.since(doubt.since);
        if let Some(written) = &doubt.report {
            let Some(outcome) = came_of(written, state, (age, held.stop.is_some(), minutes)) else {
                return;
            };
            if state == Some(State::Pending) {
                // Started again it would run nothing, and wait for room all the same.
                let runs_as = held.under.unwrap_or(seat.index);
                let target = self.book.batches.get(&seat.batch).and_then(|b| b.target(runs_as));
                self.cancels.extend(target);
            }
            self.ends_with(attempt, written.end.at, &written.usage, outcome);
            return;
        }
        let (was_silent, was_stopped) = (held.silent, held.stop.is_some());
        let over = match state {
            Some(state) if state.is_over() => Some(state),
            // Put back without a word of its wrapper's, which would speak did it live.
            Some(State::Pending) if held.claimed => {
                if age >= self.config.pace.lost_after {
                    self.lose(attempt);
                }
                return;
            }
            // Known and alive: it was only late.
            Some(_) => {
                held.doubt = None;
                return;
            }
            None if age >= self.config.pace.lost_after => None,
            None => return,
        };
        if !self.is_claimed(attempt) {
            let never = over.map_or_else(
                || Outcome::StartFailed(StartFailure::Other("Slurm lost it".to_owned())),
                never_ran,
            );
            if self.close(attempt, seat, never) {
                return;
            }
        }
        match over {
            // Its node may run it still, and nobody can look.
            Some(State::NodeFail | State::Revoked) | None => self.lose(attempt),
            // Slurm has killed all of it. What its wrapper wrote may take a moment to be seen.
            Some(state) if age >= self.config.pace.doubt_after.times(2) => {
                let outcome = match state {
                    // A time limit that nobody was there to hold is not the task's.
                    State::Timeout if was_silent => Outcome::KeeperDied,
                    State::Cancelled if was_stopped => Outcome::Stopped,
                    state => because(state),
                };
                self.note_account(attempt);
                self.finish(attempt, outcome);
            }
            Some(_) => {}
        }
    }

    /// These numbers are other jobs' by now: where one was a batch's, the controller has forgotten that it took
    /// it. It is looked for by its name; what runs of it all the same still speaks.
    fn numbers_of_others(&mut self, others: &BTreeSet<u32>) {
        let now = self.clock.now();
        let is_others = |batch: &Batch| batch.job().filter(|job| others.contains(job));
        let forgotten: Vec<(BatchId, u32)> = (self.book.batches.iter())
            .filter_map(|(id, batch)| Some((*id, is_others(batch)?)))
            .collect();
        for (id, job) in forgotten {
            self.book.unname(id, now);
            self.tell_forgotten(id, job);
        }
    }

    /// A batch has lost its number to another job, which must not be cancelled for it.
    pub(super) fn tell_forgotten(&mut self, id: BatchId, job: u32) {
        tracing::warn!(
            batch = id.text(),
            job,
            "Slurm has given its number to another job: the controller has forgotten it"
        );
        let number = job.to_string();
        self.cancels.retain(|target| target.split('_').next() != Some(number.as_str()));
    }

    /// Nobody can say whether it runs: it is over when its lease is, which is not prolonged.
    fn lose(&mut self, attempt: AttemptId) {
        let Some(held) = self.book.live_mut(attempt) else { return };
        let end = held.lease_end;
        if let Some(doubt) = &mut held.doubt
            && !doubt.lost
        {
            doubt.lost = true;
            tracing::warn!(%attempt, "its node is lost; it is over when its lease is");
        }
        self.due(end);
    }

    /// Looks after what is due.
    pub(super) fn look_after(&mut self, now: BootTime) {
        self.due_at = BootTime::NEVER;
        let mut over = Vec::new();
        let mut cancel = Vec::new();
        // An answer that is on its way rings when it comes.
        let ask_at = if self.asking { BootTime::NEVER } else { self.ask_at };
        let mut next = ask_at.max(now.plus(Span::from_millis(1)));
        for (attempt, held) in self.book.live() {
            if held.lease_end > now {
                let waits = !held.claimed || held.is_lost();
                let word = if waits { Span::ZERO } else { WORD_WITHIN };
                next = next.min(held.lease_end.plus(word));
            } else {
                over.push((attempt, held.seat, held.claimed));
            }
            match held.cancel_at {
                Some(at) if at <= now => cancel.push(attempt),
                Some(at) => next = next.min(at),
                None => {}
            }
        }
        self.due(next);
        if !(over.is_empty() && cancel.is_empty()) {
            // Whose end is written down already ended so, and its wrapper may run another's.
            self.hear();
        }
        for (attempt, seat, claimed) in over {
            if self.book.get(attempt).is_some_and(Held::is_live) {
                self.lease_over(attempt, seat, claimed, now);
            }
        }
        for attempt in cancel {
            let Some(held) = self.book.live_mut(attempt) else { continue };
            held.cancel_at = None;
            let Some(seat) = held.seat else { continue };
            let runs_as = held.under.unwrap_or(seat.index);
            let target = self.book.batches.get(&seat.batch).and_then(|b| b.target(runs_as));
            self.cancels.extend(target);
        }
    }

    fn lease_over(&mut self, attempt: AttemptId, seat: Option<Seat>, claimed: bool, now: BootTime) {
        let Some(seat) = seat else {
            self.book.waiting.retain(|launch| launch.attempt != attempt);
            self.finish(attempt, Outcome::LeaseEnded);
            return;
        };
        if !claimed && self.close(attempt, seat, Outcome::LeaseEnded) {
            return;
        }
        let lost = self.book.get(attempt).is_some_and(Held::is_lost);
        let word_at = self.book.get(attempt).map(|held| held.lease_end.plus(WORD_WITHIN));
        let written = self.book.get(attempt).and_then(Held::written).cloned();
        if let Some(written) = written.filter(|_| word_at.is_some_and(|at| at <= now)) {
            self.ends_as_written(attempt, written);
        } else if lost || (self.is_claimed(attempt) && word_at.is_some_and(|at| at <= now)) {
            self.drop_silent(attempt, seat);
            self.finish(attempt, Outcome::KeeperDied);
        } else if self.is_claimed(attempt) {
            // Its wrapper ends it, and says so.
            self.due(word_at.unwrap_or(now).max(now.plus(AGAIN)));
        } else {
            self.due(now.plus(AGAIN));
        }
    }
}

/// How an element stands in the queue; none: it is not there. A line that may mean any element counts
/// for each that no other line names.
fn among(lines: &[&QueueLine], index: Index) -> Option<State> {
    let there = || lines.iter().filter(|line| !line.state.is_over());
    let named =
        |line: &&&QueueLine| line.elements.as_ref().is_some_and(|e: &Elements| e.contain(index));
    let any = |line: &&&QueueLine| line.elements.is_none();
    let named = there().find(named).map(|line| line.state);
    named.or_else(|| there().any(|line| any(&line)).then_some(State::Active))
}

/// What Slurm's reason means for one that ran.
fn because(state: State) -> Outcome {
    match state {
        State::Timeout | State::Deadline => Outcome::TimeLimit,
        State::OutOfMemory => Outcome::OutOfMemory,
        State::Preempted => Outcome::Preempted,
        // Who kept it ended it, or lost it: the exchange may place it elsewhere.
        State::Active
        | State::Suspended
        | State::Running
        | State::Pending
        | State::Completed
        | State::Failed
        | State::Cancelled
        | State::NodeFail
        | State::Revoked => Outcome::KeeperDied,
    }
}

/// What an end that its wrapper wrote has come of, by what Slurm says of the job; none: it is asked again. Asked
/// for so long, of what was told to stop or not, and may take so many minutes for Slurm.
fn came_of(
    written: &Written,
    state: Option<State>,
    (age, was_stopped, minutes): (Span, bool, Option<i64>),
) -> Option<Outcome> {
    if !written.by_slurm {
        let own = || Some(written.end.outcome.clone());
        return match state {
            // Its steps went with a node, whatever its script made of that.
            Some(state) if state.took_off() => Some(because(state)),
            // Where it waits again the controller has forgotten that it ran.
            Some(state) if state.is_over() || state == State::Pending => own(),
            // Being cleaned up; or nobody knows.
            Some(_) | None if age < STEPS_WHY_WITHIN => None,
            Some(_) | None => own(),
        };
    }
    match state {
        Some(State::Cancelled) if was_stopped => Some(Outcome::Stopped),
        // Told to end, and waiting again: the site took it off and has put it back.
        Some(State::Pending) => Some(Outcome::Preempted),
        Some(State::Timeout | State::Deadline) if is_shortened(minutes, &written.usage) => {
            Some(Outcome::Preempted)
        }
        Some(state) if state.is_over() => Some(because(state)),
        // Being cleaned up; or nobody knows.
        Some(_) | None if age < WHY_WITHIN => None,
        Some(_) | None => Some(Outcome::KeeperDied),
    }
}

/// Did Slurm's time limit end it before its own could, which is what Slurm was asked for less a margin? Then
/// the site has made it shorter.
fn is_shortened(minutes: Option<i64>, usage: &Counters) -> bool {
    let margin = TIME_MARGIN.plus(TAKES_WITHIN).plus(Span::from_secs(60));
    minutes.is_some_and(|minutes| usage.wall < Span::from_secs(minutes * 60).minus(margin))
}

/// What Slurm's reason means for one that never ran.
fn never_ran(state: State) -> Outcome {
    let reason = match state {
        State::Cancelled => "it was cancelled in Slurm before it ran",
        State::Failed | State::Completed => {
            "Slurm started it and its wrapper could not run: the agent's data folder must be seen \
             from the nodes under the same path, by the same user"
        }
        State::OutOfMemory => {
            let why = "its memory limit is too small for the wrapper itself";
            return Outcome::StartFailed(StartFailure::Asked(why.to_owned()));
        }
        // Only the site's own words can say one.
        State::Deadline => "a deadline that was given with it in Slurm passed before it ran",
        State::Revoked => {
            "another cluster of the site's federation took it, which is not offered here"
        }
        State::Preempted => return Outcome::Preempted,
        State::Active
        | State::Suspended
        | State::Running
        | State::Pending
        | State::Timeout
        | State::NodeFail => {
            return Outcome::KeeperDied;
        }
    };
    Outcome::StartFailed(StartFailure::Other(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::End;
    use crate::slurm::status::queue;

    #[test]
    fn each_of_slurms_reasons_has_its_outcome() {
        let check = |text: &str, ran: &Outcome, waited: Option<&Outcome>| {
            let state = State::parse(text);
            assert_eq!(because(state), *ran, "{text}, and it ran");
            let never = never_ran(state);
            match waited {
                Some(outcome) => assert_eq!(never, *outcome, "{text}, and it never ran"),
                None => assert!(matches!(never, Outcome::StartFailed(_)), "{text}: {never:?}"),
            }
        };
        let died = Outcome::KeeperDied;
        check("PREEMPTED", &Outcome::Preempted, Some(&Outcome::Preempted));
        check("TIMEOUT", &Outcome::TimeLimit, Some(&died));
        check("DEADLINE", &Outcome::TimeLimit, None);
        check("OUT_OF_MEMORY", &Outcome::OutOfMemory, None);
        check("CANCELLED by 0", &died, None);
        check("FAILED", &died, None);
        check("COMPLETED", &died, None);
        check("NODE_FAIL", &died, Some(&died));
        check("BOOT_FAIL", &died, Some(&died));
        check("REVOKED", &died, None);
    }

    #[test]
    fn what_a_wrapper_wrote_stands_unless_slurm_knows_better() {
        let (exited, own) = (Outcome::Exited(3), Some(Outcome::Exited(3)));
        let wrote = |by_slurm: bool, wall: i64| Written {
            end: End { at: Time::EPOCH, outcome: exited.clone() },
            usage: Counters { wall: Span::from_secs(wall), ..Counters::default() },
            by_slurm,
            sequence: 1,
        };
        let told = |by_slurm: bool, text: &str, age: i64| {
            let state = (!text.is_empty()).then(|| State::parse(text));
            came_of(&wrote(by_slurm, 30), state, (Span::from_secs(age), false, Some(13)))
        };
        // By itself: only a node that went says otherwise, and nobody is waited for for long.
        for text in ["COMPLETED", "FAILED", "CANCELLED by 0", "PENDING"] {
            assert_eq!(told(false, text, 0), own, "{text}");
        }
        assert_eq!(told(false, "NODE_FAIL", 0), Some(Outcome::KeeperDied));
        assert_eq!(told(false, "PREEMPTED", 0), Some(Outcome::Preempted));
        for text in ["RUNNING", "COMPLETING", ""] {
            assert_eq!(
                (told(false, text, 9), told(false, text, 10)),
                (None, own.clone()),
                "{text}"
            );
        }
        // Told to by Slurm, which knows why.
        assert_eq!(told(true, "PENDING", 0), Some(Outcome::Preempted));
        assert_eq!(told(true, "COMPLETING", 59), None);
        assert_eq!(told(true, "", 60), Some(Outcome::KeeperDied));
        // Ten minutes were asked for, and three more of Slurm.
        let limit = |wall: i64| {
            let asked = (Span::ZERO, false, Some(13));
            came_of(&wrote(true, wall), Some(State::Timeout), asked)
        };
        assert_eq!(limit(599), Some(Outcome::Preempted), "the site has made it shorter");
        assert_eq!(limit(600), Some(Outcome::TimeLimit));
        let stopped = (Span::ZERO, true, None);
        let cancelled = came_of(&wrote(true, 1), Some(State::Cancelled), stopped);
        assert_eq!(cancelled, Some(Outcome::Stopped));
    }

    #[test]
    fn an_element_stands_as_the_line_that_names_it_says() {
        let text = "7|2|RUNNING|n|None\n7|3-5%2|PENDING|n|Resources\n7|1|COMPLETED|n|None\n";
        let lines = queue(text);
        let lines: Vec<&QueueLine> = lines.iter().collect();
        let stands = |index| among(&lines, index);
        assert_eq!((stands(1), stands(6)), (None, None), "over, or not there");
        assert_eq!((stands(2), stands(4)), (Some(State::Running), Some(State::Pending)));
        let any = queue("7|1,...|PENDING|n|None\n7|2|RUNNING|n|None\n");
        let any: Vec<&QueueLine> = any.iter().collect();
        assert_eq!(among(&any, 3), Some(State::Active), "it may be meant, and it may run");
    }
}
