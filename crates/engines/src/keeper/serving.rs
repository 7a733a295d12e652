//! The keeper's side of the conversation with the agent.
//!
//! Invariant: nothing is told that is not in the journal, and what the agent does not take waits for
//! it without growing: of each attempt only the newest state is ever sent.

use dayan_units::{AttemptId, Span};
use rustix::event::epoll;

use super::connection::{Closed, Connection};
use super::core::{JOURNAL_REWRITE_BYTES, Keeper, TELL_WITHIN, Token};
use super::task::{Stage, Task};
use super::workshop::Clear;
use crate::journal::Record;
use crate::protocol::{Message, PROTOCOL, Request};
use crate::{LeaseEnd, Outcome, Signal, proc};

/// Connections at once. One agent has one; the rest are its predecessors and the curious.
const CONNECTIONS_MAX: usize = 8;

impl Keeper {
    pub(super) fn mark(&mut self, index: u32) {
        if let Some(task) = self.tasks[index as usize].as_mut()
            && !task.dirty
        {
            task.dirty = true;
            self.dirty.push(index);
            if self.tell_at.is_none() {
                self.tell_at = Some(self.clock.now().plus(TELL_WITHIN));
            }
        }
    }

    /// Sends what is to be said: answers first, then news for as long as the agent takes it.
    pub(super) fn tell(&mut self) {
        self.flush_all();
        while !self.dirty.is_empty()
            && let Some(id) = self.agent
            && let Some(agent) = self.connections.get_mut(&id)
            && agent.is_idle()
        {
            // Cut so that a frame stays far below its limit whatever an error message holds.
            let count = self.dirty.len().min(4_096);
            let mut observations = Vec::with_capacity(count);
            for index in self.dirty.drain(..count) {
                if let Some(task) = self.tasks[index as usize].as_mut() {
                    task.dirty = false;
                    observations.push(task.observation());
                }
            }
            agent.send(&Message::Changed { observations });
            self.flush(id);
        }
    }

    pub(super) fn flush_all(&mut self) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.flush(id);
        }
    }

    pub(super) fn flush(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.flush() {
            Ok(()) => {
                let wait = !connection.is_idle();
                if wait != connection.waits_to_write {
                    let mut flags = epoll::EventFlags::IN;
                    if wait {
                        flags |= epoll::EventFlags::OUT;
                    }
                    let data = Token::Connection(id).pack();
                    let _ = epoll::modify(&self.epoll, &*connection, data, flags);
                    connection.waits_to_write = wait;
                }
            }
            Err(reason) => self.close(id, &reason),
        }
    }

    pub(super) fn on_listener(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let connection = match Connection::accept(stream) {
                Ok(connection) if self.connections.len() < CONNECTIONS_MAX => connection,
                Ok(_) => {
                    tracing::warn!("too many connections");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was refused");
                    continue;
                }
            };
            let id = self.next_connection;
            self.next_connection += 1;
            let data = Token::Connection(id).pack();
            if epoll::add(&self.epoll, &connection, data, epoll::EventFlags::IN).is_ok() {
                self.connections.insert(id, connection);
            }
        }
    }

    pub(super) fn on_connection(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Err(reason) = connection.read(&mut self.scratch) {
            self.close(id, &reason);
            return;
        }
        while let Some(connection) = self.connections.get_mut(&id) {
            match connection.next() {
                Ok(Some(request)) => self.serve(id, request),
                Ok(None) => return,
                Err(reason) => {
                    if let Closed::Version(_) = reason {
                        let boot = self.clock.boot();
                        connection.send(&Message::Welcome {
                            protocol: PROTOCOL,
                            boot,
                            features: None,
                        });
                        let _ = connection.flush();
                    }
                    self.close(id, &reason);
                    return;
                }
            }
        }
    }

    pub(super) fn close(&mut self, id: u64, reason: &Closed) {
        tracing::debug!(%reason, "a connection closed");
        self.connections.remove(&id);
        if self.agent == Some(id) {
            self.agent = None;
            self.idle_since = self.clock.now();
        }
    }

    pub(super) fn serve(&mut self, id: u64, request: Request) {
        let answer = match request {
            Request::Hello { .. } => {
                // The newest agent is the agent; an older connection is of one that was
                // replaced.
                if let Some(old) = self.agent.replace(id).filter(|old| *old != id) {
                    self.connections.remove(&old);
                }
                for index in self.index.values().copied().collect::<Vec<_>>() {
                    self.mark(index);
                }
                let features = Some(self.features.clone());
                Message::Welcome { protocol: PROTOCOL, boot: self.clock.boot(), features }
            }
            Request::Start { serial, launches } => {
                Message::Started { serial, results: self.start(launches) }
            }
            Request::Extend { serial, leases } => {
                self.extend(&leases);
                Message::Done { serial }
            }
            Request::Stop { serial, attempt, grace, signal } => {
                self.stop(attempt, grace, signal);
                Message::Done { serial }
            }
            Request::Signal { serial, attempt, signal } => {
                self.signal(attempt, signal);
                Message::Done { serial }
            }
            Request::Forget { serial, attempts } => {
                self.forget(&attempts);
                Message::Done { serial }
            }
            Request::List { serial } => {
                self.look(self.clock.now());
                // What is not written yet is not told; after a failure the next list has it.
                let _ = self.journal.write();
                let tasks = self.index.values().filter_map(|i| self.tasks[*i as usize].as_ref());
                Message::Listed { serial, observations: tasks.map(Task::observation).collect() }
            }
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(&answer);
        }
    }

    pub(super) fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) {
        let now = self.clock.now();
        for (attempt, end) in leases {
            if let Some(index) = self.index.get(attempt).copied()
                && let Some(task) = self.tasks[index as usize].as_mut()
                && end.boot == self.clock.boot()
            {
                task.extend(end.at, now);
                self.reschedule(index);
            }
        }
    }

    pub(super) fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) {
        if let Some(index) = self.index.get(&attempt).copied() {
            let kill_at = self.clock.now().plus(grace.max(Span::ZERO));
            self.end(index, Outcome::Stopped, signal, kill_at);
        }
    }

    pub(super) fn forget(&mut self, attempts: &[AttemptId]) {
        for attempt in attempts {
            let index = self.index.get(attempt).copied();
            let task = index.and_then(|index| self.tasks[index as usize].as_ref());
            if task.is_some_and(Task::is_live) {
                continue;
            }
            let has_logs = task.is_none_or(Task::has_logs);
            if let Some(index) = index {
                self.journal.append(&Record::Forgotten { attempt: *attempt });
                self.remove(index);
                self.bury(*attempt);
            }
            // Also of one that was staged and never launched. The sweeper lives as long as we do.
            let _ = self.sweeper.send(Clear::Work(self.folder.work(*attempt)));
            if has_logs {
                let _ = self.sweeper.send(Clear::Logs(self.folder.logs(*attempt)));
            }
        }
        if self.journal.length() > self.rewrite_at {
            self.rewrite();
        }
    }

    /// Leaves the journal only what is still known. Waits then until it has doubled, so that each
    /// record is rewritten once on average.
    pub(super) fn rewrite(&mut self) {
        let boot = self.clock.boot();
        let mut records: Vec<Record> = self
            .tombstone_order
            .iter()
            .map(|attempt| Record::Forgotten { attempt: *attempt })
            .collect();
        for task in self.tasks.iter().flatten() {
            let attempt = task.attempt;
            records.push(Record::Launched { attempt, at: task.launched_at, boot });
            match &task.stage {
                Stage::Running(live) | Stage::Clearing { live, .. } if live.settled => {
                    if let Some(process) = proc::process(live.pid) {
                        records.push(Record::Started {
                            attempt,
                            pid: live.pid,
                            birth: process.birth,
                            at: live.started_at,
                            boot_at: live.started,
                            slot: live.slot.as_ref().map(|slot| slot.name.clone()),
                        });
                    }
                }
                Stage::Ended(end) => {
                    records.push(Record::Ended { attempt, end: end.clone(), usage: task.usage });
                }
                Stage::Queued(_)
                | Stage::Starting { .. }
                | Stage::Running(_)
                | Stage::Clearing { .. } => {}
            }
        }
        if let Err(error) = self.journal.rewrite(&records) {
            tracing::error!(%error, "cannot rewrite the keeper's journal");
        }
        self.rewrite_at = JOURNAL_REWRITE_BYTES.max(self.journal.length().saturating_mul(2));
    }
}
