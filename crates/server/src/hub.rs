//! Who waits for what: agents for a change of what they should hold, people for a part of a log,
//! browsers for events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::ws::WebSocket;
use dayan_units::{AgentId, AttemptId};
use dayan_wire::LogAsk;
use dayan_wire::exec::ExecAsk;
use tokio::sync::{broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::writer::Batch;

/// Batches a slow reader of events may fall behind before it must resume from the journal.
const EVENTS_BEHIND_MAX: usize = 1_024;
/// Agents that are waited for at once, to run commands beside tasks: people at their desks.
const EXEC_ASKS_MAX: usize = 256;
/// Parts of logs that may be waited for at one agent; each holds a connection open.
const LOG_ASKS_MAX: usize = 256;

/// A part of a log, as the agent sent it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPart {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next: u64,
    /// Has the attempt ended, with nothing left to read?
    pub end: bool,
    /// Why there is nothing.
    pub error: Option<String>,
}

#[derive(Default)]
struct AgentDesk {
    /// Counts wake-ups; whoever waits sees it change.
    wakes: Option<watch::Sender<u64>>,
    asks: Vec<LogAsk>,
    execs: Vec<ExecAsk>,
}

/// A part of a log that somebody waits for.
struct Awaited {
    agent: AgentId,
    ask: LogAsk,
    send: oneshot::Sender<LogPart>,
}

#[derive(Default)]
struct Desks {
    agents: HashMap<AgentId, AgentDesk>,
    answers: HashMap<u64, Awaited>,
    /// Who waits for an agent's socket.
    sockets: HashMap<u64, (AgentId, oneshot::Sender<WebSocket>)>,
    next_ask: u64,
}

/// The hub.
pub struct Hub {
    desks: Mutex<Desks>,
    events: broadcast::Sender<Arc<Batch>>,
    closing: CancellationToken,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

impl Default for Hub {
    fn default() -> Self {
        let (events, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self { desks: Mutex::default(), events, closing: CancellationToken::new() }
    }
}

impl Hub {
    fn desks(&self) -> std::sync::MutexGuard<'_, Desks> {
        self.desks.lock().expect("nobody panics while holding it")
    }

    /// Lets a waiting sync of the agent look again.
    pub fn wake(&self, agent: AgentId) {
        let mut desks = self.desks();
        let desk = desks.agents.entry(agent).or_default();
        if let Some(wakes) = &desk.wakes {
            wakes.send_modify(|count| *count += 1);
        }
    }

    /// What a sync of the agent waits on.
    pub fn watch(&self, agent: AgentId) -> watch::Receiver<u64> {
        let mut desks = self.desks();
        let desk = desks.agents.entry(agent).or_default();
        desk.wakes.get_or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// The server stops: whoever listens for what may never come is let go.
    pub fn close(&self) {
        self.closing.cancel();
        self.wake_all();
    }

    /// Resolves when the server stops.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Wakes everyone, for a stop or a reload.
    pub fn wake_all(&self) {
        for desk in self.desks().agents.values() {
            if let Some(wakes) = &desk.wakes {
                wakes.send_modify(|count| *count += 1);
            }
        }
    }

    /// Asks an agent for a part of a log, under a number of our own; none when too many wait.
    pub fn ask_log(
        &self,
        agent: AgentId,
        ask: LogAsk,
    ) -> Option<(u64, oneshot::Receiver<LogPart>)> {
        let (send, receive) = oneshot::channel();
        let mut desks = self.desks();
        desks.next_ask += 1;
        let id = desks.next_ask;
        let desk = desks.agents.entry(agent).or_default();
        if desk.asks.len() >= LOG_ASKS_MAX {
            return None;
        }
        let ask = LogAsk { id, ..ask };
        desk.asks.push(ask.clone());
        if let Some(wakes) = &desk.wakes {
            wakes.send_modify(|count| *count += 1);
        }
        desks.answers.insert(id, Awaited { agent, ask, send });
        Some((id, receive))
    }

    /// The agent has begun anew, and what was handed to its predecessor will not be answered.
    pub fn ask_again(&self, agent: AgentId) {
        let mut guard = self.desks();
        let desks = &mut *guard;
        let Some(desk) = desks.agents.get_mut(&agent) else { return };
        let mut again: Vec<&LogAsk> = desks
            .answers
            .values()
            .filter(|awaited| awaited.agent == agent && !awaited.send.is_closed())
            .map(|awaited| &awaited.ask)
            .filter(|ask| desk.asks.iter().all(|waiting| waiting.id != ask.id))
            .collect();
        again.sort_by_key(|ask| ask.id);
        desk.asks.extend(again.into_iter().cloned());
    }

    /// Nobody waits for it any more.
    pub fn drop_ask(&self, id: u64) {
        let mut desks = self.desks();
        if let Some(Awaited { agent, .. }) = desks.answers.remove(&id)
            && let Some(desk) = desks.agents.get_mut(&agent)
        {
            desk.asks.retain(|ask| ask.id != id);
        }
    }

    /// What the agent should answer next; each ask is handed out once.
    pub fn take_asks(&self, agent: AgentId) -> Vec<LogAsk> {
        self.desks()
            .agents
            .get_mut(&agent)
            .map(|desk| std::mem::take(&mut desk.asks))
            .unwrap_or_default()
    }

    /// The agent's answer; false when nobody waits for it.
    pub fn answer_log(&self, agent: AgentId, id: u64, part: LogPart) -> bool {
        let mut desks = self.desks();
        match desks.answers.remove(&id) {
            Some(Awaited { agent: of, send, .. }) if of == agent => send.send(part).is_ok(),
            Some(other) => {
                desks.answers.insert(id, other);
                false
            }
            None => false,
        }
    }

    /// Asks an agent to come for somebody who wants to run a command beside a task; none when too
    /// many do.
    pub fn ask_exec(
        &self,
        agent: AgentId,
        attempt: AttemptId,
    ) -> Option<(u64, oneshot::Receiver<WebSocket>)> {
        let (send, receive) = oneshot::channel();
        let mut desks = self.desks();
        if desks.sockets.len() >= EXEC_ASKS_MAX {
            return None;
        }
        desks.next_ask += 1;
        let id = desks.next_ask;
        let desk = desks.agents.entry(agent).or_default();
        desk.execs.push(ExecAsk { id, attempt });
        if let Some(wakes) = &desk.wakes {
            wakes.send_modify(|count| *count += 1);
        }
        desks.sockets.insert(id, (agent, send));
        Some((id, receive))
    }

    /// Nobody waits for the agent any more.
    pub fn drop_exec(&self, id: u64) {
        let mut desks = self.desks();
        if let Some((agent, _)) = desks.sockets.remove(&id)
            && let Some(desk) = desks.agents.get_mut(&agent)
        {
            desk.execs.retain(|ask| ask.id != id);
        }
    }

    /// For whom the agent should come next; each is handed out once.
    pub fn take_execs(&self, agent: AgentId) -> Vec<ExecAsk> {
        let mut desks = self.desks();
        let desk = desks.agents.get_mut(&agent);
        desk.map(|desk| std::mem::take(&mut desk.execs)).unwrap_or_default()
    }

    /// Does somebody wait for this agent under that number?
    pub fn awaits_exec(&self, agent: AgentId, id: u64) -> bool {
        self.desks().sockets.get(&id).is_some_and(|(of, _)| *of == agent)
    }

    /// The agent has come.
    pub fn exec_joined(&self, id: u64, socket: WebSocket) {
        if let Some((_, send)) = self.desks().sockets.remove(&id) {
            // Who waited may have gone: the socket closes.
            drop(send.send(socket));
        }
    }

    /// Tells those who read events.
    pub fn publish(&self, batch: &Arc<Batch>) {
        // Nobody listening is the usual case.
        drop(self.events.send(batch.clone()));
    }

    /// Reads events from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.events.subscribe()
    }
}
