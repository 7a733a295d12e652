//! One batch: decide each command against what the ones before it led to, collect events and rows.

use dayan_exchange::{At, Command, Effect, Entry, State, changes, decide};
use dayan_schedule::Change;
use dayan_store::Row;
use dayan_units::{RequestId, Time};

use super::Done;
use crate::project::Projection;

/// A batch being made.
#[derive(Debug, Default)]
pub(super) struct Making {
    pub entries: Vec<Entry>,
    pub effects: Vec<Effect>,
    pub changes: Vec<Change>,
    projection: Projection,
}

impl Making {
    /// Decides one command and applies what follows to the state.
    pub(super) fn run(
        &mut self,
        state: &mut State,
        now: Time,
        request: RequestId,
        actor: dayan_exchange::Actor,
        command: Command,
    ) -> Done {
        let at = At { now, request, actor, command };
        let decision = decide(state, &at)?;
        if !decision.events.is_empty() {
            let entry = Entry { at: now, request, actor, events: decision.events };
            self.projection.before(state, &entry);
            state.evolve(&entry);
            self.projection.after(state, &entry);
            changes::of_entry(state, &entry, &mut self.changes);
            self.entries.push(entry);
        }
        self.effects.extend(decision.effects);
        Ok(decision.made)
    }

    /// The rows of the batch.
    pub(super) fn rows(&mut self, state: &State) -> Vec<Row> {
        std::mem::take(&mut self.projection).finish(state)
    }
}
