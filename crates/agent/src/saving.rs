//! When a running task's state is saved: asked for by a signal, waited for, sent.
//!
//! One task of the runtime for each attempt whose job file has a `checkpoint`. Invariants: what is sent
//! is whole as far as can be seen from outside (see [`Round`]), or the program itself says so; once the
//! task is asked to stop, its time is never spent to the last moment. It decides nothing about the
//! attempt: it tells the main loop when it is done.

use std::path::PathBuf;
use std::sync::Arc;

use dayan_engines::BootClock;
use dayan_units::{AttemptId, BootTime, Span};
use dayan_wire::{CheckpointOrder, LeaseOrder, Outcome};
use tokio::sync::mpsc;

use crate::runner::Asking;
use crate::staging::{Courier, Glance, Guard, Said, glance};
use crate::words;

/// How often the folder is looked at while saving is waited for: a look costs a call for each file.
const LOOK_EVERY: Span = Span::from_millis(200);
/// What nothing was written to for so long is taken as whole, where the program does not say so itself:
/// no program that is in the middle of writing pauses for longer, and a notice of half a minute leaves
/// room for it.
const QUIET_FOR: Span = Span::from_millis(1_500);
/// A task is not asked to save more often, whatever its job file says.
const EVERY_MIN: Span = Span::from_secs(1);
/// What is kept of the time that a task has before it must be over: to tell it to end, and to kill it.
const STOP_RESERVE: Span = Span::from_secs(7);
/// The time limit may be nearer than it looks: the clock here is read at intervals.
const LIMIT_RESERVE: Span = Span::from_secs(2);

/// What the main loop tells.
#[derive(Clone, PartialEq, Debug)]
enum Say {
    /// It is to stop, and has so long.
    Stop { within: Span },
    /// It has ended by itself, and what it left may be gone on from.
    Ended { outcome: Outcome },
}

/// What the main loop is told.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Saved {
    /// Nothing more is to be waited for before it is told to end.
    BeforeStop,
    /// What it left is saved, as far as it could be: it ended so.
    AtEnd(Outcome),
}

/// The main loop's side; what it began ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Saver {
    say: mpsc::UnboundedSender<Say>,
    guard: Guard,
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.guard.cancel();
    }
}

/// What a saver works with.
pub(crate) struct Tools {
    pub(crate) courier: Arc<Courier>,
    pub(crate) asking: Asking,
    pub(crate) clock: BootClock,
    /// Told with the attempt.
    pub(crate) tell: Box<dyn Fn(AttemptId, Saved) + Send + Sync>,
}

impl Saver {
    /// Begins to care for a running attempt's checkpoints. `ran`: how long it has run already; none:
    /// it starts now, with what lies in its folder.
    pub(crate) fn begin(
        order: &Arc<LeaseOrder>,
        folder: impl Future<Output = Option<PathBuf>> + Send + 'static,
        ran: Option<Span>,
        end: Option<BootTime>,
        tools: Tools,
    ) -> Option<Self> {
        let checkpoint = order.checkpoint.clone()?;
        let (say, said) = mpsc::unbounded_channel();
        let guard = Guard::until(end);
        let (order, cared_for) = (Arc::clone(order), guard.clone());
        tokio::spawn(async move {
            let folder = folder.await;
            let care =
                Care { order, checkpoint, folder, guard: cared_for, tools, said, taken: None };
            care.run(ran).await;
        });
        Some(Self { say, guard })
    }

    /// It is to stop, and may save before: the answer is [`Saved::BeforeStop`].
    pub(crate) fn stop(&self, within: Span) {
        // Nobody listens once it was told that the task has ended.
        let _ = self.say.send(Say::Stop { within });
    }

    /// It has ended by itself: the answer is [`Saved::AtEnd`].
    pub(crate) fn ended(&self, outcome: Outcome) {
        let _ = self.say.send(Say::Ended { outcome });
    }

    /// Its lease was renewed.
    pub(crate) fn extend(&self, end: BootTime) {
        self.guard.extend(end);
    }
}

struct Care {
    order: Arc<LeaseOrder>,
    checkpoint: CheckpointOrder,
    folder: Option<PathBuf>,
    guard: Guard,
    tools: Tools,
    said: mpsc::UnboundedReceiver<Say>,
    /// What was there when it was last sent, or when it began with what was brought.
    taken: Option<Glance>,
}

/// One round of saving, as far as the folder shows: pure.
#[derive(Clone, PartialEq, Debug)]
struct Round {
    /// What was last taken.
    taken: Option<Glance>,
    /// What was there when it was asked.
    asked: Glance,
    /// What was there at the last look, and since when.
    last: Glance,
    since: BootTime,
    /// Until when it is waited for what it was asked for.
    until: BootTime,
}

/// What a look comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// It is whole: take it.
    Take,
    /// Look again.
    Wait,
    /// Nothing new came.
    Nothing,
}

impl Round {
    fn new(taken: Option<Glance>, asked: Glance, now: BootTime, until: BootTime) -> Self {
        Self { taken, last: Glance::default(), asked, since: now, until }
    }

    fn said_before(&self) -> Option<Said> {
        self.taken.as_ref().and_then(|taken| taken.said)
    }

    fn look(&mut self, seen: &Glance, now: BootTime) -> Look {
        if *seen != self.last {
            self.last = seen.clone();
            self.since = now;
        }
        let over = self.until <= now;
        let otherwise = if over { Look::Nothing } else { Look::Wait };
        if seen.is_empty() || self.taken.as_ref() == Some(seen) {
            return otherwise;
        }
        if seen.said.is_some() {
            // The program says itself when it is whole; its word of the last time does not count.
            let new_word = seen.said != self.said_before() && seen.is_as_said();
            return if new_word { Look::Take } else { otherwise };
        }
        let quiet = now.since(self.since) >= QUIET_FOR;
        if quiet && (*seen != self.asked || over) { Look::Take } else { otherwise }
    }
}

impl Care {
    fn now(&self) -> BootTime {
        words::from_engine(self.tools.clock.now())
    }

    async fn glance(&self) -> Glance {
        let Some(folder) = &self.folder else { return Glance::default() };
        let folder = folder.join(&self.checkpoint.path);
        tokio::task::spawn_blocking(move || glance(&folder)).await.unwrap_or_default()
    }

    fn tell(&self, saved: Saved) {
        (self.tools.tell)(self.order.attempt, saved);
    }

    /// Until the task has ended.
    async fn run(mut self, ran: Option<Span>) {
        if ran.is_none() {
            self.taken = Some(self.glance().await);
        }
        let grace = Span::from_micros(self.checkpoint.grace_us);
        let begun = self.now();
        let limit = Span::from_micros(self.order.time_limit_us).minus(ran.unwrap_or(Span::ZERO));
        // Once more before its time is up, with the time that saving may take.
        let half = Span::from_micros(limit.micros() / 2);
        let mut last = Some(begun.plus(limit.minus(grace).minus(LIMIT_RESERVE).max(half)));
        let every = self.checkpoint.every_us.map(|every| Span::from_micros(every).max(EVERY_MIN));
        let mut next = every.map(|every| begun.plus(every));
        let mut waiting: Option<Say> = None;
        loop {
            let due = [last, next].into_iter().flatten().min().unwrap_or(BootTime(i64::MAX));
            let wait = due.since(self.now());
            let say = match waiting.take() {
                Some(say) => Some(say),
                None => tokio::select! {
                    said = self.said.recv() => match said {
                        Some(say) => Some(say),
                        None => return,
                    },
                    () = pause(wait) => None,
                },
            };
            match say {
                None if due > self.now() => {}
                None => {
                    if last.is_some_and(|last| last <= due) {
                        last = None;
                    }
                    waiting = self.round(grace).await;
                    next = every.map(|every| self.now().plus(every));
                }
                Some(Say::Stop { within }) => {
                    (last, next) = (None, None);
                    let left = within.minus(STOP_RESERVE).max(Span::ZERO);
                    // What is waited for has to be sent as well.
                    let waits = Span::from_micros(left.micros() / 3).times(2);
                    let round = self.round(grace.min(waits));
                    let round = tokio::time::timeout(left.to_std(), round).await;
                    waiting = round.unwrap_or_default();
                    if waiting.is_none() {
                        self.tell(Saved::BeforeStop);
                    }
                }
                Some(Say::Ended { outcome }) => {
                    // Nothing writes any more.
                    let seen = self.glance().await;
                    let new = !seen.is_empty() && self.taken.as_ref() != Some(&seen);
                    if new && seen.is_as_said() {
                        self.take(&seen).await;
                    }
                    self.tell(Saved::AtEnd(outcome));
                    return;
                }
            }
        }
    }

    /// Asks the task to save, waits and sends. Gives back what was said meanwhile.
    async fn round(&mut self, grace: Span) -> Option<Say> {
        let attempt = self.order.attempt;
        let asked = self.glance().await;
        if let Some(signal) = words::signal(&self.checkpoint.signal) {
            self.tools.asking.signal(attempt, signal);
        }
        let now = self.now();
        let mut round = Round::new(self.taken.clone(), asked, now, now.plus(grace));
        loop {
            tokio::select! {
                said = self.said.recv() => return said,
                () = pause(LOOK_EVERY) => {}
            }
            if self.guard.check().is_err() {
                return None;
            }
            let seen = self.glance().await;
            match round.look(&seen, self.now()) {
                Look::Wait => {}
                Look::Nothing => return None,
                Look::Take => {
                    if self.take(&seen).await || round.until <= self.now() {
                        return None;
                    }
                }
            }
        }
    }

    /// Sends what was seen; false where it is not what it was any more, or could not be sent.
    async fn take(&mut self, seen: &Glance) -> bool {
        let (order, Some(folder)) = (&self.order, &self.folder) else { return false };
        match self.tools.courier.save(order, folder, seen, &self.guard).await {
            Ok(number) => {
                tracing::info!(attempt = %order.attempt, number, "its checkpoint is saved");
                self.taken = Some(seen.clone());
                true
            }
            Err(why) => {
                tracing::warn!(attempt = %order.attempt, why, "its checkpoint was not saved");
                false
            }
        }
    }
}

async fn pause(span: Span) {
    tokio::time::sleep(span.max(Span::ZERO).to_std()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::SAVED_MARK;

    /// Looks at a folder again and again; what it looks like, by when, and what a look comes to.
    struct Bench {
        dir: tempfile::TempDir,
        round: Round,
        now: BootTime,
    }

    impl Bench {
        fn new(before: &[(&str, &str)], taken: bool) -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            for (path, text) in before {
                std::fs::write(dir.path().join(path), text).expect("written");
            }
            let seen = glance(dir.path());
            let until = BootTime(0).plus(Span::from_secs(10));
            let round = Round::new(taken.then(|| seen.clone()), seen, BootTime(0), until);
            Self { dir, round, now: BootTime(0) }
        }
        fn write(&self, path: &str, text: &str) {
            std::fs::write(self.dir.path().join(path), text).expect("written");
        }
        /// The looks of so many seconds; what the last one came to, and whether one took it before.
        fn after(&mut self, seconds: i64) -> Look {
            let until = self.now.plus(Span::from_secs(seconds));
            loop {
                self.now = self.now.plus(LOOK_EVERY);
                let look = self.round.look(&glance(self.dir.path()), self.now);
                if look != Look::Wait || self.now >= until {
                    return look;
                }
            }
        }
    }

    #[test]
    fn what_is_still_written_to_is_waited_for() {
        let mut bench = Bench::new(&[("state", "1")], true);
        assert_eq!(bench.after(3), Look::Wait, "nothing new yet");
        bench.write("state", "22");
        assert_eq!(bench.after(1), Look::Wait, "perhaps more comes");
        bench.write("more", "x");
        assert_eq!(bench.after(1), Look::Wait);
        assert_eq!(bench.after(1), Look::Take, "it is quiet");
    }

    #[test]
    fn a_program_that_does_not_hear_the_signal_saves_by_itself() {
        let mut bench = Bench::new(&[("state", "1")], false);
        assert_eq!(bench.after(9), Look::Wait, "it may still answer the signal");
        assert_eq!(bench.after(3), Look::Take, "and what was saved before is taken at the end");
        let mut bench = Bench::new(&[("state", "1")], true);
        assert_eq!(bench.after(12), Look::Nothing, "what was sent before is not sent again");
        let mut bench = Bench::new(&[], false);
        assert_eq!(bench.after(12), Look::Nothing, "an empty folder is no checkpoint");
    }

    #[test]
    fn the_programs_own_word_decides_where_it_gives_one() {
        let mut bench = Bench::new(&[("state", "1"), (SAVED_MARK, "")], true);
        bench.write("state", "22");
        assert_eq!(bench.after(5), Look::Wait, "quiet, and not said to be whole");
        bench.write(SAVED_MARK, "2");
        assert_eq!(bench.after(1), Look::Take, "at once");
        let mut bench = Bench::new(&[("state", "1"), (SAVED_MARK, "")], true);
        bench.write(SAVED_MARK, "2");
        // The clock of files ticks every few milliseconds.
        let said = glance(bench.dir.path());
        while glance(bench.dir.path()).is_as_said() {
            bench.write("state", "333");
        }
        assert!(said.is_as_said());
        assert_eq!(bench.after(12), Look::Nothing, "written to after it was said to be whole");
    }
}
