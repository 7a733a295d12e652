//! The state machine: answers of the exchange, observations of the engine and the clock come in;
//! actions for the shell and news for the exchange go out.
//!
//! Every sync that the exchange heard renews every lease it has given us, so one moment stands for
//! all of them: when the newest answered sync was sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dayan_units::{AttemptId, BootTime, Span, lease_end};

use crate::kept::{Kept, Order, Publishes, Said, Step};
use crate::news::News;
use crate::usage::{Counters, Reading};

/// An answer that took longer than this is no answer. Twice what the shell lets a sync take, so
/// that only a machine that slept throws one away.
pub const ANSWER_AGE_MAX: Span = Span::from_secs(60);
/// The fence beside a task is told of a later lease end when this part of the lease is gained by
/// it: a lease may end by a sixteenth too early, and a thousand syncs a second do not move a
/// thousand leases each.
const FENCE_STEPS: i64 = 16;
/// A sync is due when this part of the shortest lease has passed since the last answered one was
/// sent; two may fail before any lease ends.
const RENEWALS_PER_LEASE: i64 = 3;
/// But not more often than this, however short a lease is.
const RENEWAL_PAUSE_MIN: Span = Span::from_millis(100);

/// What an answer of the exchange holds for custody.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer<T> {
    /// The agent's revision this answer brings it to.
    pub revision: u64,
    /// Leases that are new or changed since the revision the agent named.
    pub orders: Vec<Order<T>>,
    /// Attempts without a lease: stop them if they run, and forget them.
    pub forget: Vec<AttemptId>,
}

/// What the shell is asked to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action<T> {
    /// Stage its inputs and start it, under a lease that ends then. Never asked twice for one
    /// attempt.
    Start(Order<T>, BootTime),
    /// Its lease now ends then: tell the fence.
    Extend(AttemptId, BootTime),
    /// End it. If nothing of it runs yet or any more, say so by [`Custody::ended`] or, where it
    /// waits for its grant, [`Custody::withdrawn`]; where it is being published, that ends too.
    Stop(AttemptId),
    /// Publish its outputs.
    Publish(AttemptId),
    /// Remove what is left of it.
    Forget(AttemptId),
}

/// The agent's pure state.
#[derive(Clone, PartialEq, Debug)]
pub struct Custody<T, E> {
    revision: u64,
    kept: BTreeMap<AttemptId, Kept<T, E>>,
    usage_every: Span,
    /// When the newest answered sync was sent.
    renewed: Option<BootTime>,
    /// When fences were last told, by the same measure.
    fenced: BootTime,
    /// How many attempts are kept per length of lease.
    keeps: BTreeMap<Span, usize>,
    /// Attempts whose present step was not said yet.
    unsaid: BTreeSet<AttemptId>,
    /// When to say again what was said.
    again: BTreeSet<(BootTime, AttemptId)>,
    /// Attempts that were forgotten, and when: an answer to a sync sent before may still hold
    /// their order.
    gone: BTreeMap<AttemptId, BootTime>,
    gone_in_order: VecDeque<(BootTime, AttemptId)>,
}

impl<T: Clone, E: Clone> Custody<T, E> {
    /// Nothing held yet. Running attempts tell their use every `usage_every`.
    pub fn new(usage_every: Span) -> Self {
        Self {
            revision: 0,
            kept: BTreeMap::new(),
            usage_every,
            renewed: None,
            fenced: BootTime(i64::MIN),
            keeps: BTreeMap::new(),
            unsaid: BTreeSet::new(),
            again: BTreeSet::new(),
            gone: BTreeMap::new(),
            gone_in_order: VecDeque::new(),
        }
    }

    /// What is held.
    pub const fn kept(&self) -> &BTreeMap<AttemptId, Kept<T, E>> {
        &self.kept
    }

    /// How often running attempts tell their use from now on.
    pub const fn set_usage_every(&mut self, every: Span) {
        self.usage_every = every;
    }

    /// The shortest of the leases held.
    pub fn keep_min(&self) -> Option<Span> {
        self.keeps.keys().next().copied()
    }

    /// When the lease of an attempt ends by this machine's clock; none while only the fence of an
    /// earlier process knows.
    pub fn lease_end(&self, attempt: AttemptId) -> Option<BootTime> {
        let keep = self.kept.get(&attempt)?.order.keep;
        self.renewed.map(|sent| lease_end(sent, keep))
    }

    /// Takes in the answer to a sync that was sent at `sent_at` and said `told`. Every lease that
    /// is held and not over yet is renewed by it.
    pub fn answered(
        &mut self,
        now: BootTime,
        sent_at: BootTime,
        told: &News<E>,
        answer: Answer<T>,
    ) -> Vec<Action<T>> {
        if now.since(sent_at) > ANSWER_AGE_MAX {
            self.unanswered(told);
            return self.tick(now);
        }
        // What is over by now is not renewed by an answer that was on its way meanwhile.
        let mut actions = self.tick(now);
        self.revision = if answer.revision < told.revision {
            // The exchange never was where it had brought us: it was restored from a backup. It
            // tells everything again from where it is.
            answer.revision
        } else {
            // Two syncs may be under way; an older answer must not take the revision back.
            self.revision.max(answer.revision)
        };
        self.renewed = self.renewed.max(Some(sent_at));
        for order in answer.orders {
            self.take_order(now, sent_at, order, &mut actions);
        }
        for attempt in answer.forget {
            self.forget(now, attempt, &mut actions);
        }
        // What an earlier process had, and this answer came too late for.
        actions.extend(self.tick(now));
        self.move_fences(&mut actions);
        while let Some((at, attempt)) = self.gone_in_order.front().copied()
            && now.since(at) > ANSWER_AGE_MAX
        {
            self.gone_in_order.pop_front();
            self.gone.remove(&attempt);
        }
        actions
    }

    /// A sync was given up: what it said may not have been heard.
    pub fn unanswered(&mut self, told: &News<E>) {
        for (attempt, seen) in &told.reports {
            if self.kept.get(attempt).is_some_and(|kept| kept.step.is(seen)) {
                self.unsay(*attempt);
            }
        }
    }

    fn take_order(
        &mut self,
        now: BootTime,
        sent_at: BootTime,
        order: Order<T>,
        actions: &mut Vec<Action<T>>,
    ) {
        let attempt = order.attempt;
        if let Some(kept) = self.kept.get_mut(&attempt) {
            if order.keep != kept.order.keep {
                let old = kept.order.keep;
                kept.order.keep = order.keep;
                self.count_keep(order.keep);
                self.uncount_keep(old);
                self.fenced = BootTime(i64::MIN);
            }
            self.heed(attempt, order, actions);
        } else if self.gone.get(&attempt).is_none_or(|gone| *gone < sent_at) {
            self.begin(now, sent_at, order, actions);
        }
    }

    fn begin(
        &mut self,
        now: BootTime,
        sent_at: BootTime,
        order: Order<T>,
        actions: &mut Vec<Action<T>>,
    ) {
        let attempt = order.attempt;
        // A lease that its own answer was too slow for may have been given up before the newest
        // sync was heard, and then that one did not renew it.
        let over = lease_end(sent_at, order.keep) <= now;
        let end = lease_end(self.renewed.unwrap_or(sent_at), order.keep);
        let stopping = order.stop || over;
        // What is to stop before it was ever seen here is not started: the shell ends it unstarted.
        actions.push(if stopping {
            Action::Stop(attempt)
        } else {
            Action::Start(order.clone(), end)
        });
        self.count_keep(order.keep);
        let due = now.plus(self.usage_every);
        let kept = Kept {
            order,
            step: Step::Starting,
            usage: Reading::default(),
            stopping,
            lingers: false,
            fence: Some(end),
            // That it is being started is not urgent; if it takes long, it is told.
            said: Said::Until(due),
        };
        self.kept.insert(attempt, kept);
        self.again.insert((due, attempt));
    }

    /// Does what an order asks of an attempt that is held.
    fn heed(&mut self, attempt: AttemptId, order: Order<T>, actions: &mut Vec<Action<T>>) {
        let Some(kept) = self.kept.get_mut(&attempt) else { return };
        if order.stop && !kept.stopping {
            kept.stopping = true;
            match kept.step {
                Step::Starting | Step::Running | Step::AwaitingGrant { .. } => {
                    actions.push(Action::Stop(attempt));
                }
                Step::Publishing { .. } | Step::Ended { .. } => {}
            }
        }
        // A grant is never taken back; an older order that comes late does not know of it.
        let publish = order.publish || kept.order.publish;
        if publish
            && !kept.stopping
            && let Step::AwaitingGrant { end } = &kept.step
        {
            kept.step = Step::Publishing { end: end.clone() };
            actions.push(Action::Publish(attempt));
        }
        kept.order = Order { publish, ..order };
    }

    fn forget(&mut self, now: BootTime, attempt: AttemptId, actions: &mut Vec<Action<T>>) {
        match self.kept.get_mut(&attempt) {
            Some(kept) if kept.step.may_run() => {
                // The exchange does not know it any more: it must not run on. It is forgotten once
                // it has ended and the exchange says so again.
                if !kept.stopping {
                    kept.stopping = true;
                    actions.push(Action::Stop(attempt));
                }
            }
            Some(kept) => {
                let keep = kept.order.keep;
                if let Said::Until(due) = kept.said {
                    self.again.remove(&(due, attempt));
                }
                self.unsaid.remove(&attempt);
                self.kept.remove(&attempt);
                self.uncount_keep(keep);
                self.gone.insert(attempt, now);
                self.gone_in_order.push_back((now, attempt));
                actions.push(Action::Forget(attempt));
            }
            None => actions.push(Action::Forget(attempt)),
        }
    }

    fn move_fences(&mut self, actions: &mut Vec<Action<T>>) {
        let (Some(renewed), Some(keep)) = (self.renewed, self.keep_min()) else { return };
        let step = keep.micros() / FENCE_STEPS;
        if renewed.0.saturating_sub(self.fenced.0) < step {
            return;
        }
        self.fenced = renewed;
        for (attempt, kept) in &mut self.kept {
            let step = kept.order.keep.micros() / FENCE_STEPS;
            let end = lease_end(renewed, kept.order.keep);
            let gained = kept.fence.is_none_or(|fence| end.since(fence).micros() >= step.max(1));
            let fenced =
                matches!(kept.step, Step::Starting | Step::Running | Step::Publishing { .. });
            // What is asked to stop may save its state first, under its lease like before.
            if gained && fenced && (!kept.stopping || kept.order.stop) {
                kept.fence = Some(end);
                actions.push(Action::Extend(*attempt, end));
            }
        }
    }

    /// Takes up an attempt that an earlier process of this agent had: it was started, and so is
    /// never started again. Its lease lasts as its fence has it until a sync renews it.
    pub fn adopt(&mut self, order: Order<T>, step: Step<E>, usage: Reading) {
        let attempt = order.attempt;
        self.count_keep(order.keep);
        let stopping = order.stop;
        let (lingers, fence, said) = (false, None, Said::Not);
        let kept = Kept { order, step, usage, stopping, lingers, fence, said };
        self.kept.insert(attempt, kept);
        self.unsaid.insert(attempt);
    }

    /// The engine says that it runs.
    pub fn running(&mut self, attempt: AttemptId) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && matches!(kept.step, Step::Starting)
        {
            kept.step = Step::Running;
            self.unsay(attempt);
        }
    }

    /// The engine counted.
    pub fn counted(&mut self, attempt: AttemptId, counters: Counters) {
        if let Some(kept) = self.kept.get_mut(&attempt) {
            kept.usage.read(counters);
        }
    }

    /// Nothing of it runs any more. What ended well and publishes asks for the grant first; that
    /// may have been given already to an earlier process of this agent.
    pub fn ended(
        &mut self,
        attempt: AttemptId,
        end: E,
        publishes: Publishes<E>,
    ) -> Option<Action<T>> {
        let kept = self.kept.get_mut(&attempt).filter(|kept| kept.step.may_run())?;
        let mut action = None;
        kept.step = match publishes {
            Publishes::Outputs { refused } if kept.stopping => Step::Ended { end: refused },
            Publishes::Outputs { .. } if kept.order.publish => {
                action = Some(Action::Publish(attempt));
                Step::Publishing { end }
            }
            Publishes::Outputs { .. } => Step::AwaitingGrant { end },
            Publishes::Nothing => Step::Ended { end },
        };
        self.unsay(attempt);
        action
    }

    /// Nothing of it runs any more, and what it left takes long to publish: its room may go to
    /// others. Where it is over already that is nothing new.
    pub fn lingers(&mut self, attempt: AttemptId) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && !kept.lingers
            && !matches!(kept.step, Step::Starting | Step::Ended { .. })
        {
            kept.lingers = true;
            self.unsay(attempt);
        }
    }

    /// It was asked to stop while it waited for the grant, and does without it.
    pub fn withdrawn(&mut self, attempt: AttemptId, end: E) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && matches!(kept.step, Step::AwaitingGrant { .. })
        {
            kept.step = Step::Ended { end };
            self.unsay(attempt);
        }
    }

    /// The shell has published its outputs, or could not: `end` says which.
    pub fn published(&mut self, attempt: AttemptId, end: E) {
        if let Some(kept) = self.kept.get_mut(&attempt)
            && matches!(kept.step, Step::Publishing { .. })
        {
            kept.step = Step::Ended { end };
            self.unsay(attempt);
        }
    }

    /// Ends what has outlived its lease. The fence beside the task does the same on its own; this
    /// is for what has not reached its fence yet, and so that nothing that is over is renewed.
    pub fn tick(&mut self, now: BootTime) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        let (Some(renewed), Some(keep)) = (self.renewed, self.keep_min()) else { return actions };
        if now < lease_end(renewed, keep) {
            return actions;
        }
        for (attempt, kept) in &mut self.kept {
            let over = lease_end(renewed, kept.order.keep) <= now;
            // What waits for its grant, or is in the middle of publishing, is over as well: the
            // exchange may have given the task to another, and an older answer may still grant it.
            let open = !matches!(kept.step, Step::Ended { .. });
            if over && !kept.stopping && open {
                kept.stopping = true;
                actions.push(Action::Stop(*attempt));
            }
        }
        actions
    }

    /// Is there something that should be said at once?
    pub fn is_urgent(&self) -> bool {
        !self.unsaid.is_empty()
    }

    /// When [`Self::tick`] or a sync is due next after `now`, if nothing else happens.
    pub fn next_due(&self, now: BootTime) -> Option<BootTime> {
        let again = self.again.first().map(|(at, _)| *at);
        let over = self.renewed.and_then(|sent| {
            self.keeps.keys().map(|keep| lease_end(sent, *keep)).find(|end| *end > now)
        });
        [again, self.renewal_due(), over].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Is a sync due: to renew the leases, or to say again what was said?
    pub fn is_sync_due(&self, now: BootTime) -> bool {
        let again = self.again.first().is_some_and(|(at, _)| *at <= now);
        again || self.renewal_due().is_some_and(|at| at <= now)
    }

    /// When the leases should be renewed at the latest.
    fn renewal_due(&self) -> Option<BootTime> {
        let keep = self.keep_min()?;
        let part = Span::from_micros(keep.micros() / RENEWALS_PER_LEASE);
        self.renewed.map(|sent| sent.plus(part.max(RENEWAL_PAUSE_MIN)))
    }

    /// What to say at a sync sent at `now`: what was not said yet, then what is due to be said
    /// again, of at most `reports_max` attempts.
    pub fn news(&mut self, now: BootTime, reports_max: usize) -> News<E> {
        let mut news = News { revision: self.revision, reports: Vec::new(), usage: Vec::new() };
        while news.reports.len() < reports_max {
            let attempt = match self.unsaid.pop_first() {
                Some(attempt) => attempt,
                None => match self.again.first().copied() {
                    Some((at, attempt)) if at <= now => {
                        self.again.pop_first();
                        attempt
                    }
                    Some(_) | None => break,
                },
            };
            self.say(now, attempt, &mut news);
        }
        news
    }

    fn say(&mut self, now: BootTime, attempt: AttemptId, news: &mut News<E>) {
        let Some(kept) = self.kept.get_mut(&attempt) else { return };
        let told_before = kept.said != Said::Not;
        match &kept.step {
            Step::Running if told_before => news.usage.push(kept.usage.record(attempt)),
            Step::Starting | Step::Running => {}
            Step::AwaitingGrant { .. } | Step::Publishing { .. } | Step::Ended { .. } => {
                news.usage.push(kept.usage.record(attempt));
            }
        }
        news.reports.push((attempt, kept.seen()));
        let due = now.plus(self.usage_every);
        kept.said = Said::Until(due);
        self.again.insert((due, attempt));
    }

    /// Its present step is to be said at the next sync.
    fn unsay(&mut self, attempt: AttemptId) {
        if let Some(kept) = self.kept.get_mut(&attempt) {
            if let Said::Until(due) = kept.said {
                self.again.remove(&(due, attempt));
            }
            kept.said = Said::Not;
            self.unsaid.insert(attempt);
        }
    }

    fn count_keep(&mut self, keep: Span) {
        *self.keeps.entry(keep).or_default() += 1;
    }

    fn uncount_keep(&mut self, keep: Span) {
        if let Some(count) = self.keeps.get_mut(&keep) {
            *count -= 1;
            if *count == 0 {
                self.keeps.remove(&keep);
            }
        }
    }
}
