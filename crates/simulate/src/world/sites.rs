//! The sites of a world: one does something, everything that follows from it at once is done, and
//! the checker looks at it.

use dayan_units::{AttemptId, Span, Time};

use super::{Happening, World};
use crate::audit::{Belief, believed};
use crate::scenario::Faults;
use crate::site::{Power, Site, Todo};
use crate::twin::ANSWER_WITHIN;

impl World {
    pub(super) fn keeper_wake(&mut self, site: usize) {
        self.sites[site].keeper_at = None;
        self.with_site(site, |_, _, _| ());
    }

    /// Lets a site do something and everything that follows from it at once.
    pub(super) fn with_site(
        &mut self,
        index: usize,
        what: impl FnOnce(&mut Site, Time, &mut Vec<Todo>),
    ) {
        let now = self.now;
        let site = &mut self.sites[index];
        if site.power != Power::On {
            return;
        }
        let mut todo = Vec::new();
        what(site, now, &mut todo);
        let ended = site.advance_keeper(now, &mut todo);
        if let Some(twin) = &mut site.twin {
            let boot = site.machine.clock.shows(now);
            twin.pump(&mut site.machine, boot, &mut todo);
        }
        // A lie about another agent's attempt needs one to lie about.
        if site.machine.liar.is_some() {
            let foreign = self.host.state.work.leases.values().find(|l| l.agent != site.agent);
            if let Some(twin) = &mut site.twin {
                twin.foreign = foreign.map(|lease| lease.attempt);
            }
        }
        for attempt in ended {
            let ended = &self.sites[index].machine.keeper.ended.get(&attempt);
            self.trace
                .say(now, || format!("site {index}: {attempt} {:?}", ended.map(|e| &e.outcome)));
        }
        self.look_at(index);
        self.follow(index, todo);
    }

    /// The checker looks at what a site did.
    pub(super) fn look_at(&mut self, index: usize) {
        let now = self.now;
        let keeper = &mut self.sites[index].machine.keeper;
        for (attempt, ended) in &keeper.ended {
            if ended.outcome.is_success() {
                self.audit.ended_well.insert(*attempt);
            }
        }
        let launched = std::mem::take(&mut keeper.news);
        for attempt in launched {
            self.trace.say(now, || format!("site {index}: launched {attempt}"));
            let alone = self.runs_alone(attempt);
            self.audit.must(now, "double run", alone);
            let staged = self.audit.inputs.launched(attempt, &self.sites[index].machine.cache);
            self.audit.must(now, "inputs", staged);
        }
        let clock = self.sites[index].machine.clock;
        let published = std::mem::take(&mut self.sites[index].machine.published);
        for (attempt, began, ended) in published {
            let (began, ended) = (clock.when(began), clock.when(ended));
            let all = self.published.entry(attempt.task_id()).or_default();
            let apart = all
                .iter()
                .all(|(other, from, to)| *other == attempt || *to <= began || ended <= *from);
            all.push((attempt, began, ended));
            let text = format!("{attempt} publishes while another attempt of its task does");
            self.audit.must(now, "double publication", apart.then_some(()).ok_or(text));
        }
    }

    /// Nothing else of its task runs anywhere under a lease that may be valid.
    pub(super) fn runs_alone(&self, attempt: AttemptId) -> Result<(), String> {
        let task = attempt.task_id();
        let first = task.attempt(0);
        let last = task.attempt(u32::MAX);
        for (index, site) in self.sites.iter().enumerate() {
            let boot = site.machine.clock.shows(self.now);
            for (other, process) in site.machine.keeper.running.range(first..=last) {
                let end = process.lease_end.plus(dayan_exchange::liveness::STOP_GRACE);
                if *other != attempt && end > boot {
                    return Err(format!("{attempt} starts while {other} runs at site {index}"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn follow(&mut self, index: usize, todo: Vec<Todo>) {
        let now = self.now;
        let clock = self.sites[index].machine.clock;
        let generation = self.sites[index].generation;
        let mut wake: Option<Time> = None;
        for todo in todo {
            match todo {
                Todo::Send(sync) => {
                    self.syncs += 1;
                    let give_up = now.plus(sync.wait).plus(ANSWER_WITHIN);
                    self.calendar.enter(give_up, Happening::GiveUp(sync.id));
                    self.travel(index, || Happening::Arrive(sync.clone()));
                }
                Todo::Later(span, attempt, chore) => {
                    let chore = Happening::Chore { site: index, generation, attempt, chore };
                    self.calendar.enter(now.plus(span), chore);
                }
                Todo::Wake(at) => {
                    let at = clock.when(at).max(now.plus(Span::from_millis(1)));
                    wake = Some(wake.map_or(at, |known| known.min(at)));
                }
            }
        }
        let site = &mut self.sites[index];
        let earlier = |new: Time, known: Option<Time>| known.is_none_or(|known| new < known);
        if let Some(at) = wake
            && earlier(at, site.wake_at)
        {
            site.wake_at = Some(at);
            self.calendar.enter(at, Happening::SiteWake(index));
        }
        if let Some(due) = site.machine.keeper.next_due() {
            let at = clock.when(due).max(now);
            if earlier(at, site.keeper_at) {
                site.keeper_at = Some(at);
                self.calendar.enter(at, Happening::KeeperWake(index));
            }
        }
    }

    /// The planner believes of a site's cache what it was told, and was told of all that hold something.
    pub(super) fn check_belief(&self, index: usize) -> Result<(), String> {
        let site = &self.sites[index];
        let agent = &self.host.state.supply.agents[&site.agent];
        let belief =
            if self.scenario.faults == Faults::NONE { Belief::Exact } else { Belief::OnceTrue };
        believed(belief, self.host.planning.held(agent.pool), &site.machine.cache)
    }

    /// Nothing runs, nothing is held, nothing is on disk any more.
    pub(super) fn left_over(&self, index: usize) -> Result<(), String> {
        let site = &self.sites[index];
        let twin = site.twin.as_ref().ok_or_else(|| format!("agent {index} is not back"))?;
        let machine = &site.machine;
        let kept = twin.custody.kept().keys().next();
        let running = machine.keeper.running.keys().next();
        let ended = machine.keeper.ended.keys().next();
        let noted = machine.book.keys().next();
        match kept.or(running).or(ended).or(noted) {
            None => Ok(()),
            Some(attempt) => Err(format!("{attempt} is still known at site {index}")),
        }
    }
}
