//! The one writer: commands queue up, are decided in order, and a whole batch commits in one
//! transaction before anyone hears "yes".
//!
//! Its thread owns the state. Questions about the state are answered by the same thread between
//! batches, so everyone reads what is committed and nothing else. After a failed commit nothing
//! goes on from memory: requests are refused with "unavailable" until the store answers, and the
//! state is read back from it.

mod batch;
mod run;

use dayan_exchange::{Actor, Command, Entry, Made, Refusal, State};
use dayan_units::Time;
use tokio::sync::{mpsc, oneshot};

pub use run::{Published, WriterConfig, chain, load, start};

/// Requests that may wait for the writer. A full queue is a minute's work or so at full rate;
/// more would only be answered after its asker has given up.
pub const QUEUE_MAX: usize = 65_536;

/// The exchange cannot answer now; the same request may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The store does not answer, or a commit failed and the state is being read back.
    #[error("the store does not answer: {0}")]
    Store(String),
    /// Too many requests wait.
    #[error("too many requests are waiting")]
    Busy,
    /// The exchange is stopping.
    #[error("the exchange is stopping")]
    Stopping,
}

/// What came of one command.
pub type Done = Result<Made, Refusal>;

type Answer<T> = Result<T, Unavailable>;
/// Runs on the writer's thread after the commit; cannot fail.
type Then = Box<dyn FnOnce(Answer<(&Live, Vec<Done>)>) + Send>;
type Ask = Box<dyn FnOnce(Answer<&Live>) + Send>;

/// What the writer's thread knows, at a committed revision.
#[derive(Debug)]
pub struct Live {
    /// The state.
    pub state: State,
    /// Exchange time when the batch began.
    pub now: Time,
    /// Who was heard when: beside the state, not in it.
    pub liveness: dayan_exchange::liveness::Liveness,
    /// The journal's newest row.
    pub seq: u64,
}

enum Request {
    Commands { actor: Actor, commands: Vec<Command>, then: Then },
    Question(Ask),
    Stop(oneshot::Sender<()>),
}

/// A handle to the writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Request>,
}

impl Writer {
    /// Has commands decided one after the other in one batch, and hands their outcome and the
    /// state after the commit to `then`.
    pub async fn commands_then<T: Send + 'static>(
        &self,
        actor: Actor,
        commands: Vec<Command>,
        then: impl FnOnce(&Live, Vec<Done>) -> T + Send + 'static,
    ) -> Answer<T> {
        let (send, receive) = oneshot::channel();
        let then: Then = Box::new(move |answer| {
            // Whoever asked may have gone; what was decided stands.
            drop(send.send(answer.map(|(live, done)| then(live, done))));
        });
        self.enqueue(Request::Commands { actor, commands, then })?;
        receive.await.unwrap_or(Err(Unavailable::Stopping))
    }

    /// Has one command decided.
    pub async fn command(&self, actor: Actor, command: Command) -> Answer<Done> {
        self.commands_then(actor, vec![command], |_, mut done| {
            done.pop().expect("one command, one outcome")
        })
        .await
    }

    /// Asks the committed state something. Short questions only: the writer waits.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Live) -> T + Send + 'static,
    ) -> Answer<T> {
        let (send, receive) = oneshot::channel();
        let ask: Ask = Box::new(move |answer| drop(send.send(answer.map(question))));
        self.enqueue(Request::Question(ask))?;
        receive.await.unwrap_or(Err(Unavailable::Stopping))
    }

    /// The same for a thread that may block.
    pub fn commands_blocking<T: Send + 'static>(
        &self,
        actor: Actor,
        commands: Vec<Command>,
        then: impl FnOnce(&Live, Vec<Done>) -> T + Send + 'static,
    ) -> Answer<T> {
        let (send, receive) = oneshot::channel();
        let then: Then = Box::new(move |answer| {
            drop(send.send(answer.map(|(live, done)| then(live, done))));
        });
        let request = Request::Commands { actor, commands, then };
        self.queue.blocking_send(request).map_err(|_| Unavailable::Stopping)?;
        receive.blocking_recv().unwrap_or(Err(Unavailable::Stopping))
    }

    /// Resolves when the thread has ended: it was told to, or another server leads.
    pub async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Finishes the batch at hand and ends the thread.
    pub async fn stop(&self) {
        let (send, receive) = oneshot::channel();
        if self.queue.send(Request::Stop(send)).await.is_ok() {
            drop(receive.await);
        }
    }

    fn enqueue(&self, request: Request) -> Answer<()> {
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopping,
        })
    }
}

/// A committed batch, as those who follow the journal hear of it.
#[derive(Debug)]
pub struct Batch {
    /// Its journal row.
    pub seq: u64,
    /// Its events.
    pub entries: Vec<Entry>,
}
