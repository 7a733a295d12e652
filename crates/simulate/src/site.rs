//! A data centre: a machine with its clock and its keeper, what its agent wrote to disk, and the
//! agent's process while there is one.

use std::collections::BTreeMap;

use dayan_custody::Counters;
use dayan_exchange::{Outcome, Shown};
use dayan_units::{AgentId, AttemptId, BootTime, Span, Time};

use crate::cache::Cache;
use crate::clock::MachineClock;
use crate::keeper::Keeper;
use crate::messages::{Order, Sync};
use crate::random::Random;
use crate::twin::Twin;

/// What the agent's journal of orders says of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) order: Order,
    /// The most that was told of its use.
    pub(crate) used: Counters,
    /// How it ended, where its end came after the program's: published or not.
    pub(crate) over: Option<Outcome>,
}

/// The machine: what is there whether or not an agent runs.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) seed: u64,
    pub(crate) index: usize,
    pub(crate) clock: MachineClock,
    pub(crate) keeper: Keeper,
    /// On disk.
    pub(crate) book: BTreeMap<AttemptId, Noted>,
    pub(crate) shown: Shown,
    /// What its cache holds, on disk.
    pub(crate) cache: Cache,
    /// Draws lies, where this agent lies.
    pub(crate) liar: Option<Random>,
    /// What the checker is told: how attempts published.
    pub(crate) published: Vec<(AttemptId, BootTime, BootTime)>,
}

/// What a site asks of the world.
#[derive(Debug)]
pub(crate) enum Todo {
    /// Send this.
    Send(Box<Sync>),
    /// Something takes its time.
    Later(Span, AttemptId, Chore),
    /// Look again then.
    Wake(BootTime),
}

/// What takes its time beside the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Chore {
    Stage,
    Gather,
    Publish,
}

/// Can the machine do anything?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Power {
    On,
    /// It sleeps until then.
    Asleep(Time),
    /// It is off.
    Off,
}

/// A data centre.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) machine: Machine,
    pub(crate) agent: AgentId,
    pub(crate) power: Power,
    /// Counts the agent's processes.
    pub(crate) generation: u32,
    pub(crate) twin: Option<Twin>,
    /// Its link is cut until then.
    pub(crate) cut_until: Time,
    /// When its agent is looked at next without anything happening.
    pub(crate) wake_at: Option<Time>,
    /// The same for its keeper.
    pub(crate) keeper_at: Option<Time>,
}

impl Site {
    pub(crate) fn now(&self, at: Time) -> BootTime {
        self.machine.clock.shows(at)
    }

    /// Starts the agent's process: it takes up what the keeper has.
    pub(crate) fn start_agent(&mut self, at: Time, todo: &mut Vec<Todo>) {
        self.generation += 1;
        let now = self.now(at);
        self.twin = Some(Twin::start(&mut self.machine, self.generation, now, todo));
    }

    /// Lets the keeper do what is due, and the agent hear of it.
    pub(crate) fn advance_keeper(&mut self, at: Time, todo: &mut Vec<Todo>) -> Vec<AttemptId> {
        let now = self.now(at);
        let ended = self.machine.keeper.advance(now);
        self.tell_agent(&ended, now, todo);
        ended
    }

    /// The keeper dies and takes its processes along; a new one is there at once.
    pub(crate) fn keeper_dies(&mut self, at: Time, todo: &mut Vec<Todo>) -> Vec<AttemptId> {
        let now = self.now(at);
        let died = self.machine.keeper.die(now);
        self.tell_agent(&died, now, todo);
        died
    }

    fn tell_agent(&mut self, ended: &[AttemptId], now: BootTime, todo: &mut Vec<Todo>) {
        if let Some(twin) = &mut self.twin {
            for attempt in ended {
                twin.observed(&mut self.machine, *attempt, now, todo);
            }
        }
    }
}
