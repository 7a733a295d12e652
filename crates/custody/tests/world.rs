//! Custody against a world that loses, repeats, delays and reorders: a simulated exchange, a
//! simulated engine with its fence, and an agent process that dies at any moment.
//!
//! What is promised: an attempt is started at most once; nothing runs when its lease is over, and
//! nothing of a task runs when the exchange may have given the task to another; what ended is told
//! until it is forgotten; numbers of usage only grow, and a number never stands for two readings.
//! And in the end, when the world calms down, everything is settled.

use std::collections::{BTreeMap, BTreeSet};

use dayan_custody::{
    Action, Answer, Counters, Custody, News, Order, Publishes, Reading, Seen, Step, UsageRecord,
};
use dayan_units::{AttemptId, BootTime, JobId, Span, TaskId, lease_end, lost_after};
use proptest::prelude::*;

/// Between asking a task to stop and its certain end.
const GRACE: Span = Span::from_secs(5);
const USAGE_EVERY: Span = Span::from_secs(2);

#[derive(Clone, PartialEq, Eq, Debug)]
enum End {
    Well,
    Stopped,
    LeaseOver,
    PublishFailed,
}

#[derive(Clone, Debug)]
struct Lease {
    order: Order<Outputs>,
    revision: u64,
    placed_at: BootTime,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outputs {
    Some,
    None,
}

/// The exchange, as far as an agent sees it.
#[derive(Default)]
struct Exchange {
    revision: u64,
    leases: BTreeMap<AttemptId, Lease>,
    heard_at: BootTime,
    ended: BTreeMap<AttemptId, End>,
    usage: BTreeMap<AttemptId, BTreeMap<u64, Counters>>,
    usage_last: BTreeMap<AttemptId, u64>,
    granted: BTreeSet<AttemptId>,
    with_outputs: BTreeSet<AttemptId>,
    next_attempt: BTreeMap<TaskId, u32>,
}

impl Exchange {
    fn place(&mut self, now: BootTime, task: u32, keep: Span, outputs: Outputs) {
        let task = TaskId { job: JobId::from_bits(1), task };
        if self.leases.keys().any(|attempt| attempt.task_id() == task) {
            return;
        }
        let number = self.next_attempt.entry(task).or_insert(0);
        *number += 1;
        let attempt = task.attempt(*number);
        self.revision += 1;
        let order = Order { attempt, keep, stop: false, publish: false, payload: outputs };
        let lease = Lease { order, revision: self.revision, placed_at: now };
        if outputs == Outputs::Some {
            self.with_outputs.insert(attempt);
        }
        self.leases.insert(attempt, lease);
    }

    fn stop(&mut self, task: u32) {
        self.revision += 1;
        let revision = self.revision;
        for lease in self.leases.values_mut().filter(|l| l.order.attempt.task == task) {
            lease.order.stop = true;
            lease.revision = revision;
        }
    }

    /// Gives up leases that cannot be valid any more.
    fn give_up(&mut self, now: BootTime) {
        let heard = self.heard_at;
        let gone: Vec<AttemptId> = self
            .leases
            .values()
            .filter(|lease| {
                heard.max(lease.placed_at).plus(lost_after(lease.order.keep, GRACE)) <= now
            })
            .map(|lease| lease.order.attempt)
            .collect();
        for attempt in gone {
            self.leases.remove(&attempt);
            self.revision += 1;
        }
    }

    fn sync(&mut self, now: BootTime, told: &News<End>) -> Answer<Outputs> {
        self.heard_at = now;
        for record in &told.usage {
            self.take_usage(record);
        }
        for (attempt, seen) in &told.reports {
            let Some(lease) = self.leases.get_mut(attempt) else { continue };
            match seen {
                Seen::Staging | Seen::Running => {}
                Seen::Publishing | Seen::Lingering => {
                    if !lease.order.stop && !lease.order.publish {
                        self.revision += 1;
                        lease.order.publish = true;
                        lease.revision = self.revision;
                        self.granted.insert(*attempt);
                    }
                }
                Seen::Ended(end) => {
                    self.ended.insert(*attempt, end.clone());
                    self.leases.remove(attempt);
                    self.revision += 1;
                }
            }
        }
        let known = if told.revision > self.revision { 0 } else { told.revision };
        let new = self.leases.values().filter(|lease| lease.revision > known);
        let forget = told.reports.iter().map(|(attempt, _)| *attempt);
        Answer {
            revision: self.revision,
            orders: new.map(|lease| lease.order.clone()).collect(),
            forget: forget.filter(|attempt| !self.leases.contains_key(attempt)).collect(),
        }
    }

    fn take_usage(&mut self, record: &UsageRecord) {
        let numbers = self.usage.entry(record.attempt).or_default();
        let before = numbers.insert(record.seq, record.counters);
        assert!(
            before.is_none_or(|before| before == record.counters),
            "number {} of {} stands for two readings",
            record.seq,
            record.attempt
        );
        // Later numbers never say less.
        let values: Vec<&Counters> = numbers.values().collect();
        assert!(values.windows(2).all(|pair| pair[0].cpu_us <= pair[1].cpu_us));
        let last = self.usage_last.entry(record.attempt).or_insert(0);
        *last = (*last).max(record.seq);
    }
}

/// A task at the engine, with its fence.
#[derive(Clone, Debug)]
struct Process {
    outputs: Outputs,
    fence: BootTime,
    cpu_us: i64,
    end: Option<End>,
    told: bool,
    published: Option<End>,
}

/// What survives the agent's process: the engine and the agent's book.
#[derive(Default)]
struct Machine {
    processes: BTreeMap<AttemptId, Process>,
    orders: BTreeMap<AttemptId, Order<Outputs>>,
    started: BTreeSet<AttemptId>,
    generation: u32,
    published: BTreeMap<AttemptId, u32>,
}

impl Machine {
    fn fence(&mut self, now: BootTime) {
        for process in self.processes.values_mut() {
            if process.end.is_none() && process.fence <= now {
                process.end = Some(End::LeaseOver);
            }
        }
    }
}

/// A sync on its way, or its answer on the way back.
#[derive(Clone, Debug)]
enum Message {
    Request,
    Answer(Answer<Outputs>),
}

struct World {
    now: BootTime,
    exchange: Exchange,
    machine: Machine,
    custody: Custody<Outputs, End>,
    syncs: Vec<(BootTime, News<End>, Message)>,
}

#[derive(Clone, Debug)]
enum Event {
    Place(u32, i64, bool),
    StopTask(u32),
    Pass(i64),
    Send,
    Deliver(usize),
    DeliverTwice(usize),
    Lose(usize),
    Work(u32),
    Finish(u32),
    Linger(u32),
    Observe,
    AgentDies,
    Away(i64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let task = 0u32..3;
    prop_oneof![
        3 => (task.clone(), 1i64..40, any::<bool>()).prop_map(|(t, k, o)| Event::Place(t, k, o)),
        1 => task.clone().prop_map(Event::StopTask),
        4 => (1i64..3_000).prop_map(Event::Pass),
        1 => (3_000i64..60_000).prop_map(Event::Pass),
        8 => Just(Event::Send),
        10 => (0usize..4).prop_map(Event::Deliver),
        3 => (0usize..4).prop_map(Event::DeliverTwice),
        2 => (0usize..4).prop_map(Event::Lose),
        4 => task.clone().prop_map(Event::Work),
        3 => task.clone().prop_map(Event::Finish),
        2 => task.prop_map(Event::Linger),
        6 => Just(Event::Observe),
        1 => Just(Event::AgentDies),
        1 => (1i64..30).prop_map(Event::Away),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            now: BootTime(1_000_000),
            exchange: Exchange::default(),
            machine: Machine::default(),
            custody: Custody::new(USAGE_EVERY),
            syncs: Vec::new(),
        }
    }

    fn step(&mut self, event: &Event) {
        match event {
            Event::Place(task, keep, outputs) => {
                let outputs = if *outputs { Outputs::Some } else { Outputs::None };
                self.exchange.place(self.now, *task, Span::from_secs(*keep), outputs);
            }
            Event::StopTask(task) => self.exchange.stop(*task),
            Event::Pass(millis) => self.pass(Span::from_millis(*millis)),
            Event::Away(secs) => self.pass(Span::from_secs(*secs)),
            Event::Send => {
                let told = self.custody.news(self.now, 4);
                self.syncs.push((self.now, told, Message::Request));
            }
            Event::Deliver(which) => {
                if let Some(message) = self.take(*which) {
                    self.deliver(message);
                }
            }
            Event::DeliverTwice(which) => {
                if let Some(message) = self.take(*which) {
                    self.syncs.push(message.clone());
                    self.deliver(message);
                }
            }
            Event::Lose(which) => {
                if let Some((_, told, _)) = self.take(*which) {
                    self.custody.unanswered(&told);
                }
            }
            Event::Work(task) => {
                for (attempt, process) in &mut self.machine.processes {
                    if attempt.task == *task && process.end.is_none() {
                        process.cpu_us += 1_000;
                    }
                }
            }
            Event::Finish(task) => {
                for (attempt, process) in &mut self.machine.processes {
                    if attempt.task == *task && process.end.is_none() {
                        process.end = Some(End::Well);
                    }
                }
            }
            Event::Linger(task) => {
                // Its end was seen, and gathering what it left takes long.
                for (attempt, process) in &self.machine.processes {
                    if attempt.task == *task && process.end == Some(End::Well) {
                        self.custody.running(*attempt);
                        self.custody.lingers(*attempt);
                    }
                }
            }
            Event::Observe => self.observe(),
            Event::AgentDies => self.restart(),
        }
        self.check();
    }

    fn take(&mut self, which: usize) -> Option<(BootTime, News<End>, Message)> {
        (!self.syncs.is_empty()).then(|| {
            let which = which % self.syncs.len();
            self.syncs.remove(which)
        })
    }

    /// Time passes in small steps: the fence and the agent act at theirs.
    fn pass(&mut self, span: Span) {
        let until = self.now.plus(span);
        while self.now < until {
            let next = self.custody.next_due(self.now).unwrap_or(until);
            let fence = self.machine.processes.values().filter(|p| p.end.is_none());
            let fence = fence.map(|p| p.fence).filter(|at| *at > self.now).min();
            self.now = next.min(fence.unwrap_or(until)).min(until).max(BootTime(self.now.0 + 1));
            self.machine.fence(self.now);
            let actions = self.custody.tick(self.now);
            self.act(actions);
            self.exchange.give_up(self.now);
            self.check();
        }
    }

    fn deliver(&mut self, (sent_at, told, message): (BootTime, News<End>, Message)) {
        match message {
            Message::Request => {
                let answer = self.exchange.sync(self.now, &told);
                self.syncs.push((sent_at, told, Message::Answer(answer)));
            }
            Message::Answer(answer) => {
                let actions = self.custody.answered(self.now, sent_at, &told, answer);
                self.act(actions);
            }
        }
    }

    fn act(&mut self, actions: Vec<Action<Outputs>>) {
        for action in actions {
            match action {
                Action::Start(order, fence) => {
                    let attempt = order.attempt;
                    assert!(self.machine.started.insert(attempt), "{attempt} is started twice");
                    assert!(fence > self.now);
                    let process = Process {
                        outputs: order.payload,
                        fence,
                        cpu_us: 0,
                        end: None,
                        told: false,
                        published: None,
                    };
                    self.machine.orders.insert(attempt, order);
                    self.machine.processes.insert(attempt, process);
                }
                Action::Extend(attempt, end) => {
                    if let Some(process) = self.machine.processes.get_mut(&attempt)
                        && process.end.is_none()
                    {
                        process.fence = process.fence.max(end);
                    }
                }
                Action::Stop(attempt) => match self.machine.processes.get_mut(&attempt) {
                    Some(process) if process.end.is_none() => process.end = Some(End::Stopped),
                    Some(_) => self.custody.withdrawn(attempt, End::Stopped),
                    None => {
                        self.custody.ended(attempt, End::Stopped, Publishes::Nothing);
                    }
                },
                Action::Publish(attempt) => self.publish(attempt),
                Action::Forget(attempt) => {
                    self.machine.processes.remove(&attempt);
                    self.machine.orders.remove(&attempt);
                }
            }
        }
    }

    fn publish(&mut self, attempt: AttemptId) {
        let end = if self.custody.lease_end(attempt).is_some_and(|end| end > self.now) {
            // Nothing is published that the exchange could have given to another.
            let lease = self.exchange.leases.get(&attempt);
            assert!(lease.is_some(), "{attempt} publishes without a lease");
            assert!(self.exchange.granted.contains(&attempt), "{attempt} was not granted");
            *self.machine.published.entry(attempt).or_default() += 1;
            End::Well
        } else {
            End::PublishFailed
        };
        if let Some(process) = self.machine.processes.get_mut(&attempt) {
            process.published = Some(end.clone());
        }
        self.custody.published(attempt, end);
    }

    fn observe(&mut self) {
        let mut actions = Vec::new();
        for (attempt, process) in &mut self.machine.processes {
            let counters = Counters { cpu_us: process.cpu_us, ..Counters::default() };
            self.custody.counted(*attempt, counters);
            match &process.end {
                None => self.custody.running(*attempt),
                Some(_) if process.told => {}
                Some(end) => {
                    process.told = true;
                    let publishes = match (end, process.outputs) {
                        (End::Well, Outputs::Some) => Publishes::Outputs { refused: End::Stopped },
                        _ => Publishes::Nothing,
                    };
                    actions.extend(self.custody.ended(*attempt, end.clone(), publishes));
                }
            }
        }
        self.act(actions);
    }

    /// The agent's process dies; a new one takes up what the engine has.
    fn restart(&mut self) {
        self.syncs.retain_mut(|(_, _, message)| matches!(message, Message::Request));
        // Requests of the old process may still reach the exchange; nobody hears the answers.
        for (_, told, _) in std::mem::take(&mut self.syncs) {
            self.exchange.sync(self.now, &told);
        }
        self.machine.generation += 1;
        self.custody = Custody::new(USAGE_EVERY);
        for (attempt, process) in &mut self.machine.processes {
            let counters = Counters { cpu_us: process.cpu_us, ..Counters::default() };
            let usage = Reading::resumed(self.machine.generation, counters);
            let step = match &process.published {
                Some(end) => Step::Ended { end: end.clone() },
                None => Step::Running,
            };
            process.told = process.published.is_some();
            self.custody.adopt(self.machine.orders[attempt].clone(), step, usage);
        }
    }

    /// What must be true at every moment.
    fn check(&self) {
        for (attempt, process) in &self.machine.processes {
            if process.end.is_some() {
                continue;
            }
            assert!(process.fence > self.now, "{attempt} runs past its lease");
            let others = self.exchange.leases.keys().filter(|other| {
                other.task_id() == attempt.task_id() && other.attempt > attempt.attempt
            });
            assert_eq!(others.count(), 0, "{attempt} runs while its task is another's");
        }
        for (attempt, kept) in self.custody.kept() {
            if let (Step::Running | Step::Starting, Some(end)) =
                (&kept.step, self.custody.lease_end(*attempt))
            {
                assert!(kept.stopping || end > self.now);
            }
        }
    }

    /// The world calms down: messages arrive, tasks end. Everything is settled then.
    fn settle(&mut self) {
        for _ in 0..60 {
            for task in 0..3 {
                self.step(&Event::Finish(task));
            }
            self.step(&Event::Observe);
            self.step(&Event::Send);
            while !self.syncs.is_empty() {
                self.step(&Event::Deliver(0));
            }
            self.step(&Event::Pass(700));
        }
        assert!(self.custody.kept().is_empty(), "{:?}", self.custody.kept());
        assert!(self.exchange.leases.is_empty(), "{:?}", self.exchange.leases);
        assert!(self.machine.processes.is_empty());
        for (attempt, end) in &self.exchange.ended {
            let published = self.machine.published.get(attempt).copied().unwrap_or(0);
            if *end == End::Well && self.exchange.with_outputs.contains(attempt) {
                assert!(published >= 1, "{attempt} ended well without its outputs");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_the_world_does_the_promises_hold(
        events in prop::collection::vec(any_event(), 1..140)
    ) {
        let mut world = World::new();
        for event in &events {
            world.step(event);
        }
        world.settle();
    }

    /// What ended is said again and again until it is forgotten, and no two syncs under way say it
    /// both unless its time has come again.
    #[test]
    fn an_end_is_told_until_it_is_forgotten(pauses in prop::collection::vec(0i64..6_000, 1..20)) {
        let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
        let mut custody: Custody<(), u8> = Custody::new(USAGE_EVERY);
        let mut now = BootTime(0);
        let order =
            Order { attempt, keep: Span::from_secs(3_600), stop: false, publish: false, payload: () };
        let told = custody.news(now, 10);
        let answer = Answer { revision: 1, orders: vec![order], forget: vec![] };
        custody.answered(now, now, &told, answer);
        custody.ended(attempt, 7, Publishes::Nothing);
        let mut said_at: Option<BootTime> = None;
        for pause in pauses {
            let news = custody.news(now, 10);
            let due = said_at.is_none_or(|at| now >= at.plus(USAGE_EVERY));
            prop_assert_eq!(news.reports.len(), usize::from(due));
            if due {
                prop_assert_eq!(&news.reports[0], &(attempt, Seen::Ended(7)));
                said_at = Some(now);
            }
            now = now.plus(Span::from_millis(pause));
        }
        let news = custody.news(now.plus(USAGE_EVERY), 10);
        let answer = Answer { revision: 2, orders: vec![], forget: vec![attempt] };
        let actions = custody.answered(now, now, &news, answer);
        prop_assert_eq!(actions, vec![Action::Forget(attempt)]);
        prop_assert!(custody.news(now.plus(Span::from_secs(60)), 10).reports.is_empty());
    }

    #[test]
    fn a_lease_is_counted_from_when_its_sync_was_sent(
        sent in 0i64..100_000, took in 0i64..30_000, keep in 1i64..600,
    ) {
        let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
        let mut custody: Custody<(), u8> = Custody::new(USAGE_EVERY);
        let sent_at = BootTime(sent * 1_000);
        let now = sent_at.plus(Span::from_millis(took));
        let keep = Span::from_secs(keep);
        let order = Order { attempt, keep, stop: false, publish: false, payload: () };
        let told = custody.news(sent_at, 10);
        let answer = Answer { revision: 1, orders: vec![order.clone()], forget: vec![] };
        let actions = custody.answered(now, sent_at, &told, answer);
        let end = lease_end(sent_at, keep);
        let expect = if end > now { Action::Start(order, end) } else { Action::Stop(attempt) };
        prop_assert_eq!(actions, vec![expect]);
        if end > now {
            prop_assert_eq!(custody.tick(BootTime(end.0 - 1)), vec![]);
            prop_assert_eq!(custody.tick(end), vec![Action::Stop(attempt)]);
            prop_assert_eq!(custody.tick(end), vec![], "once is enough");
        }
    }
}

#[test]
fn an_exchange_restored_from_a_backup_is_followed_back() {
    let mut custody: Custody<(), u8> = Custody::new(USAGE_EVERY);
    let now = BootTime(0);
    let nothing = |revision| Answer { revision, orders: vec![], forget: vec![] };
    let told = custody.news(now, 1);
    custody.answered(now, now, &told, nothing(9));
    let told = custody.news(now, 1);
    assert_eq!(told.revision, 9);
    custody.answered(now, now, &told, nothing(4));
    assert_eq!(custody.news(now, 1).revision, 4);
}

#[test]
fn fences_are_moved_in_steps_of_their_lease() {
    let mut custody: Custody<(), u8> = Custody::new(USAGE_EVERY);
    let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
    let keep = Span::from_secs(160);
    let order = Order { attempt, keep, stop: false, publish: false, payload: () };
    let mut moved = 0;
    for millis in 0..100_000 {
        let now = BootTime(millis * 1_000);
        let told = News { revision: 0, reports: vec![], usage: vec![] };
        let orders = if millis == 0 { vec![order.clone()] } else { vec![] };
        let actions =
            custody.answered(now, now, &told, Answer { revision: 1, orders, forget: vec![] });
        moved += actions.iter().filter(|a| matches!(a, Action::Extend(..))).count();
    }
    assert_eq!(moved, 9, "every tenth second of a hundred, but for the first");
}

/// A machine that slept: its lease ended meanwhile, and no timer said so.
#[test]
fn an_answer_renews_nothing_that_is_over() {
    let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
    let check = |is_ready: bool| {
        let mut custody: Custody<(), u8> = Custody::new(USAGE_EVERY);
        let keep = Span::from_secs(10);
        let order = Order { attempt, keep, stop: false, publish: false, payload: () };
        let told = custody.news(BootTime(0), 1);
        let answer = Answer { revision: 1, orders: vec![order.clone()], forget: vec![] };
        custody.answered(BootTime(0), BootTime(0), &told, answer);
        custody.running(attempt);
        if is_ready {
            custody.ended(attempt, 0, Publishes::Outputs { refused: 1 });
        }
        // Sent before the machine slept, answered after.
        let now = BootTime(10_000_000);
        let granted = Order { publish: is_ready, ..order };
        let told = custody.news(BootTime(5_000_000), 1);
        let answer = Answer { revision: 2, orders: vec![granted], forget: vec![] };
        let actions = custody.answered(now, BootTime(5_000_000), &told, answer);
        assert_eq!(actions, vec![Action::Stop(attempt)], "ready: {is_ready}");
    };
    check(false);
    check(true);
}
