//! What the wrapper reads and writes on the shared file system while its task runs: orders in, news
//! out. On a thread of its own, so that a file system that stands still keeps nobody from ending
//! the task in time.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dayan_units::{AttemptId, Span};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;

use super::{Element, Layout, Report, Stand};
use crate::slurm::batch::{Asked, Order, read_order};
use crate::slurm::file_clock::FileClock;
use crate::slurm::report;
use crate::waker::timespec;
use crate::{BootClock, BootTime, Counters, Waker};

/// How often orders are looked at. A change on this machine's own file systems is seen at once;
/// over a network only by looking, which costs the file server one question.
const LOOK_EVERY: Span = Span::from_secs(1);

/// How long is waited for orders as they are now, and how often is looked whether they are here.
const FRESH_WITHIN: Span = Span::from_secs(10);
const FRESH_AGAIN: Span = Span::from_millis(10);

/// How often and at what pauses the end is tried to be written: a file server restarts in a minute.
const LAST_TRIES_MAX: u32 = 60;
const LAST_AGAIN: Span = Span::from_secs(2);

/// What passes between the threads.
#[derive(Default)]
struct Trays {
    order: Mutex<Option<Order>>,
    news: Mutex<Option<(u32, Report)>>,
    /// How often orders were looked at, whatever came of it.
    looks: AtomicU64,
    /// The task is over.
    over: AtomicBool,
}

/// The wrapper's side.
pub(super) struct Desk {
    element: Element,
    attempt: AttemptId,
    clock: BootClock,
    file_clock: FileClock,
    order: Order,
    sequence: u32,
    trays: Arc<Trays>,
    /// Rung when orders have changed.
    pub(super) bell: Option<Waker>,
    /// Rung when there is something to write.
    pen: Option<Waker>,
}

impl Desk {
    pub(super) fn new(
        element: Element,
        attempt: AttemptId,
        clock: BootClock,
        file_clock: FileClock,
        order: Order,
    ) -> Self {
        Self {
            element,
            attempt,
            clock,
            file_clock,
            order,
            sequence: 0,
            trays: Arc::default(),
            bell: None,
            pen: None,
        }
    }

    pub(super) const fn layout(&self) -> &Layout {
        &self.element.layout
    }

    /// Begins to look for orders. Tasks that end in a moment end without.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let (bell, pen) = (Waker::new()?, Waker::new()?);
        let side = Side {
            element: self.element.clone(),
            trays: Arc::clone(&self.trays),
            bell: bell.clone(),
            pen: pen.clone(),
            known: self.order,
        };
        std::thread::Builder::new().name("files".to_owned()).spawn(move || side.run())?;
        (self.bell, self.pen) = (Some(bell), Some(pen));
        Ok(())
    }

    /// Orders that have changed.
    pub(super) fn changed(&mut self) -> Option<Order> {
        let order = self.trays.order.lock().expect("no thread panics holding it").take()?;
        self.order = order;
        Some(order)
    }

    /// Waits until orders were looked at since now, so long as that can be expected to take. Nothing of the
    /// task may run meanwhile.
    pub(super) fn refresh(&self) {
        let Some(pen) = &self.pen else { return };
        let looks = || self.trays.looks.load(Ordering::Acquire);
        let until = self.clock.now().plus(FRESH_WITHIN);
        // One look may have begun before.
        let enough = looks() + 2;
        while looks() < enough && self.clock.now() < until {
            pen.wake();
            let mut none: [PollFd<'_>; 0] = [];
            let _ = poll(&mut none, Some(&timespec(FRESH_AGAIN)));
        }
    }

    /// The newest signal that was asked for.
    pub(super) const fn asked(&self) -> Option<Asked> {
        self.order.ask
    }

    /// When a lease ends, on this node's clock.
    pub(super) fn here(&self, order: Order) -> BootTime {
        self.file_clock.here(order.until)
    }

    fn report(&mut self, stand: Stand, usage: Counters) -> (u32, Report) {
        self.sequence += 1;
        let report = Report {
            attempt: self.attempt,
            node: self.element.node.clone(),
            others: self.element.others.clone(),
            boot: self.clock.boot(),
            job: self.element.job,
            under: self.element.under,
            stand,
            usage,
        };
        (self.sequence, report)
    }

    /// Hands over news; what was not written yet is overtaken.
    pub(super) fn say(&mut self, stand: Stand, usage: Counters) {
        let news = self.report(stand, usage);
        *self.trays.news.lock().expect("no thread panics holding it") = Some(news);
        if let Some(pen) = &self.pen {
            pen.wake();
        }
    }

    /// Writes the last news itself: nothing runs any more that could be late. A disk that is full
    /// or a file server that restarts is waited for: the task's end is worth it.
    pub(super) fn say_last(&mut self, stand: &Stand, usage: Counters) -> io::Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            // Under a name of its own each time: one that was cut off is left for what it is.
            let (sequence, report) = self.report(stand.clone(), usage);
            let Element { layout, batch, index, .. } = &self.element;
            match report::write(&layout.piece(*batch, *index, sequence), &report) {
                Err(error) if tries >= LAST_TRIES_MAX => return Err(error),
                Err(_) => {
                    let mut none: [PollFd<'_>; 0] = [];
                    let _ = poll(&mut none, Some(&timespec(LAST_AGAIN)));
                }
                Ok(()) => return Ok(()),
            }
        }
    }
}

impl Drop for Desk {
    /// The thread ends when it comes to it: it may be waiting for the file system.
    fn drop(&mut self) {
        self.trays.over.store(true, Ordering::Release);
        if let Some(pen) = &self.pen {
            pen.wake();
        }
    }
}

/// The thread's side.
struct Side {
    element: Element,
    trays: Arc<Trays>,
    bell: Waker,
    pen: Waker,
    known: Order,
}

impl Side {
    fn run(mut self) {
        let orders = self.element.layout.orders(self.element.batch);
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        // Without it orders are seen by looking.
        let watch = inotify::init(flags).ok();
        if let Some(watch) = &watch {
            let _ = inotify::add_watch(watch, &orders, inotify::WatchFlags::MODIFY);
        }
        loop {
            let news = self.trays.news.lock().expect("no thread panics holding it").take();
            if let Some((sequence, report)) = news {
                let Element { layout, batch, index, .. } = &self.element;
                // The next news say all that these did.
                let _ = report::write(&layout.piece(*batch, *index, sequence), &report);
            }
            // One that cannot be read changes nothing: the lease that is known ends when it ends.
            if let Ok(order) = read_order(&orders, self.element.index)
                && order != self.known
            {
                self.known = order;
                *self.trays.order.lock().expect("no thread panics holding it") = Some(order);
                self.bell.wake();
            }
            self.trays.looks.fetch_add(1, Ordering::Release);
            self.wait(watch.as_ref());
            if self.trays.over.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn wait(&self, watch: Option<&OwnedFd>) {
        let mut fds = vec![PollFd::new(&self.pen, PollFlags::IN)];
        fds.extend(watch.map(|watch| PollFd::new(watch, PollFlags::IN)));
        let _ = poll(&mut fds, Some(&timespec(LOOK_EVERY)));
        self.pen.quiet();
        if let Some(watch) = watch {
            let mut scratch = [0u8; 1_024];
            while rustix::io::read(watch, &mut scratch).is_ok_and(|n| n > 0) {}
        }
    }
}
