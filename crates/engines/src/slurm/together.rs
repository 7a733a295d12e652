//! One watcher for several pools of one cluster: who asks what another has just asked takes that answer.
//!
//! So a cluster hears one question for all jobs of the user however many of its partitions are offered. A
//! failure is an answer to those who waited for it, too: a controller that hangs is waited for once.
//!
//! Invariant: nobody gets the same answer twice, nor one that was asked for before the moment that it
//! names: what happened until then is in it.

use std::sync::{Arc, Mutex};

use dayan_units::Span;

use super::access::Access;
use super::load::Line;
use super::status::QueueLine;
use super::way::{Picture, Way};
use crate::{BootClock, BootTime, Fault};

/// How old a picture of the cluster may be: half of the time between two looks of a pool, so that any
/// number of pools costs two pictures in that time at most, and one where they look at about the same time.
const PICTURE_FRESH: Span = Span::from_secs(15);

/// The same of accounts and QoS, which are asked for a few times an hour.
const ACCESS_FRESH: Span = Span::from_secs(60);

/// What several pools of one cluster share.
#[derive(Clone, Debug, Default)]
pub struct Answers(Option<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    queue: Slot<Vec<QueueLine>>,
    picture: Slot<Picture>,
    jobs: Slot<Vec<Line>>,
    access: Slot<Access>,
}

impl Answers {
    /// Nothing: each question is asked. For one pool.
    pub const fn alone() -> Self {
        Self(None)
    }

    /// For pools of one cluster that ask it the same way.
    pub fn together() -> Self {
        Self(Some(Arc::default()))
    }
}

/// Who asks: its place among the answers there were.
#[derive(Debug)]
pub(super) struct Seen {
    clock: BootClock,
    /// What it wants to hear was asked after this.
    after: BootTime,
}

impl Seen {
    pub(super) const fn nothing(clock: BootClock) -> Self {
        Self { clock, after: BootTime::from_micros(i64::MIN) }
    }

    /// Something was done at the cluster: answers are to know of it.
    pub(super) fn done(&mut self) {
        self.after = self.clock.now();
    }
}

/// An answer, and when it was asked for and was there.
#[derive(Debug)]
struct Told<T> {
    asked: BootTime,
    there: BootTime,
    answer: Result<Arc<T>, String>,
}

/// The last answer to one question.
#[derive(Debug)]
struct Slot<T>(Mutex<Option<Told<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    /// The last answer if it is fresh and new to who asks, else what `ask` hears.
    fn get(
        &self,
        seen: &mut Seen,
        fresh: Span,
        ask: impl FnOnce() -> Result<T, String>,
    ) -> Result<Arc<T>, String> {
        let came = seen.clock.now();
        // Who asks holds it, so that the others wait for that answer.
        let mut last = self.0.lock().expect("no thread panics holding it");
        if let Some(told) = &*last
            && told.asked > seen.after
        {
            let is_fresh = seen.clock.now().since(told.asked) <= fresh;
            let waited_for = told.there >= came;
            if waited_for || (is_fresh && told.answer.is_ok()) {
                seen.after = told.asked;
                return told.answer.clone();
            }
        }
        let asked = seen.clock.now();
        let answer = ask().map(Arc::new);
        *last = Some(Told { asked, there: seen.clock.now(), answer: answer.clone() });
        seen.after = asked;
        answer
    }
}

impl Answers {
    /// What of this user's is in the queue; an answer may be as old as half of `every`.
    pub(super) fn queue(
        &self,
        way: &Way,
        seen: &mut Seen,
        every: Span,
    ) -> Result<Vec<QueueLine>, String> {
        match &self.0 {
            None => way.queue(),
            Some(shared) => {
                let half = Span::from_micros(every.micros() / 2);
                let answer = shared.queue.get(seen, half, || way.queue())?;
                Ok(answer.as_ref().clone())
            }
        }
    }

    /// What the cluster is.
    pub(super) fn picture(&self, way: &Way, seen: &mut Seen) -> Result<Arc<Picture>, Fault> {
        let Some(shared) = &self.0 else { return way.picture().map(Arc::new) };
        let plain = |fault| match fault {
            Fault::Unreachable(why) => why,
            other => other.to_string(),
        };
        let answer = shared.picture.get(seen, PICTURE_FRESH, || way.picture().map_err(plain));
        answer.map_err(Fault::Unreachable)
    }

    /// What the accounting lets this user do in the cluster of that name.
    pub(super) fn access(
        &self,
        way: &Way,
        seen: &mut Seen,
        cluster: &str,
    ) -> Result<Access, String> {
        match &self.0 {
            None => way.access(cluster),
            Some(shared) => {
                let answer = shared.access.get(seen, ACCESS_FRESH, || way.access(cluster))?;
                Ok(answer.as_ref().clone())
            }
        }
    }

    /// All jobs of the cluster.
    pub(super) fn jobs(&self, way: &Way, seen: &mut Seen) -> Result<Arc<Vec<Line>>, String> {
        match &self.0 {
            None => way.all_jobs().map(Arc::new),
            Some(shared) => shared.jobs.get(seen, PICTURE_FRESH, || way.all_jobs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Span = Span::from_secs(3_600);

    fn seen() -> Seen {
        Seen::nothing(BootClock::of_this_machine().expect("a boot id"))
    }

    fn counted(asked: &AtomicU32) -> impl Fn() -> Result<u32, String> + '_ {
        || Ok(asked.fetch_add(1, Ordering::SeqCst))
    }

    #[test]
    fn each_answer_is_for_all_and_for_each_once() {
        let (slot, asked) = (Slot::default(), AtomicU32::new(0));
        let (mut one, mut other) = (seen(), seen());
        let get =
            |seen: &mut Seen, fresh| *slot.get(seen, fresh, counted(&asked)).expect("an answer");
        assert_eq!((get(&mut one, LONG), get(&mut other, LONG)), (0, 0), "one question for both");
        assert_eq!(get(&mut other, LONG), 1, "it has heard that");
        assert_eq!(get(&mut one, LONG), 1);
        // A submission of its own is to be in what it hears.
        let mut late = seen();
        late.done();
        assert_eq!(get(&mut late, LONG), 2);
        assert_eq!(get(&mut seen(), Span::from_micros(-1)), 3, "what is old is asked again");
    }

    #[test]
    fn who_waits_hears_of_a_failure_and_nobody_else_does() {
        let slot: Slot<u32> = Slot::default();
        let (began, begins) = channel();
        let (told, tells) = channel::<()>();
        std::thread::scope(|scope| {
            let asked = &slot;
            let first = scope.spawn(move || {
                asked.get(&mut seen(), LONG, || {
                    began.send(()).expect("heard");
                    tells.recv().expect("told");
                    Err("away".to_owned())
                })
            });
            begins.recv().expect("it asks");
            let mut waits = seen();
            let (asks, asking) = channel();
            let second = scope.spawn(move || {
                asks.send(()).expect("heard");
                asked.get(&mut waits, LONG, || Ok(7))
            });
            asking.recv().expect("it is there");
            told.send(()).expect("it waits");
            assert_eq!(first.join().expect("ends"), Err("away".to_owned()));
            // It came before the failure and has that, or after it and has asked for itself.
            let second = second.join().expect("ends");
            assert!(second == Err("away".to_owned()) || second == Ok(Arc::new(7)), "{second:?}");
        });
        let mut later = seen();
        later.done();
        assert_eq!(slot.get(&mut later, LONG, || Ok(8)), Ok(Arc::new(8)));
    }
}
