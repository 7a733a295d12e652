//! A bounded set of connections. Who asks while all are in use waits, with a named limit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::Cause;
use crate::session::Session;

/// Reads at once. Readers are threads of the server that block; more than the cores of a large
/// machine only adds memory, and a PostgreSQL server hands out 100 connections by default.
const SESSIONS_MAX: usize = 16;
/// How long a reader waits for a connection before it says so.
const WAIT_MAX: Duration = Duration::from_secs(10);

type Open = Box<dyn Fn() -> Result<Session, Cause> + Send + Sync>;

pub(crate) struct Pool {
    open: Open,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    in_use: usize,
}

impl Pool {
    pub(crate) fn new(open: Open) -> Self {
        Self { open, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Runs `work` with a connection. A connection that was idle may have been closed by the
    /// other side meanwhile: then the work is done once more on a fresh one, which is safe
    /// because it only reads.
    pub(crate) fn with<T>(
        &self,
        mut work: impl FnMut(&mut Session) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let (seat, idle) = self.seat()?;
        let Some(mut session) = idle else {
            return seat.work_on((self.open)()?, work);
        };
        match work(&mut session) {
            Err(_) if session.is_lost() => seat.work_on((self.open)()?, work),
            outcome => {
                seat.give_back(session);
                outcome
            }
        }
    }

    /// Runs `work` with a new connection, once: for streams, which cannot be started over.
    pub(crate) fn once<T>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let (_seat, idle) = self.seat()?;
        drop(idle);
        work(&mut (self.open)()?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment: it is whole even after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> Result<(Seat<'_>, Option<Session>), Cause> {
        let full = |state: &mut State| state.in_use >= SESSIONS_MAX;
        let (mut state, waited) = self
            .freed
            .wait_timeout_while(self.lock(), WAIT_MAX, full)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && full(&mut state) {
            return Err(Cause::Busy(WAIT_MAX));
        }
        state.in_use += 1;
        Ok((Seat { pool: self }, state.idle.pop()))
    }
}

/// The right to use one connection; given back when dropped, whatever happened.
struct Seat<'a> {
    pool: &'a Pool,
}

impl Seat<'_> {
    fn work_on<T>(
        &self,
        mut session: Session,
        mut work: impl FnMut(&mut Session) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let outcome = work(&mut session);
        if !session.is_lost() {
            self.give_back(session);
        }
        outcome
    }
    fn give_back(&self, session: Session) {
        self.pool.lock().idle.push(session);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.pool.lock().in_use -= 1;
        self.pool.freed.notify_one();
    }
}
