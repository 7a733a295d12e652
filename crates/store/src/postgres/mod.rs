//! The engine for more than one machine: a PostgreSQL database.
//!
//! Each connection has a small runtime of its own and is driven only while a call waits on it, so
//! the rest of this room stays synchronous. Invariant: a connection on which anything failed in a
//! way that leaves its state unknown is thrown away, never used again.

mod dump;
mod snapshots;
mod tls;
mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::column::{Cells, Value};
use crate::fault::{Cause, Fault};
use crate::session::Visit;
use crate::store::Location;

pub(crate) use dump::{dump, load};
pub(crate) use snapshots::put as snapshot_put;
pub(crate) use writer::Writer;

/// Until a connection is made, with all addresses of a name tried.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Until the next row of an answer, or the end of a statement without rows. A commit of the
/// largest batch takes about a second; a server that is silent for this long is taken for gone.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// For how long the server works on one read, streams of whole tables included.
const READ_MAX: Duration = Duration::from_mins(10);
/// How long a commit waits for another's lock on the head: only another leader's commit holds it.
const LOCK_MAX: Duration = Duration::from_secs(10);

/// Where to connect to.
#[derive(Clone)]
pub(crate) struct Target {
    config: Box<Config>,
    trust: tls::Trust,
    place: String,
}

impl Target {
    pub(crate) fn parse(url: &str, location: &Location) -> Result<Self, Fault> {
        let place = location.to_string();
        let (url, trust) = tls::Trust::split(url).map_err(Fault::Location)?;
        let mut config: Config = url
            .parse()
            .map_err(|error| Fault::Location(format!("the address {place}: {error}")))?;
        config
            .application_name("dayan")
            .connect_timeout(CONNECT_MAX)
            .keepalives_idle(ANSWER_MAX)
            .tcp_user_timeout(ANSWER_MAX);
        Ok(Self { config: Box::new(config), trust, place })
    }

    /// For messages: never with a password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }
}

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// One connection.
pub(crate) struct Session {
    /// Taken only when dropped.
    runtime: Option<Runtime>,
    client: Client,
    statements: HashMap<String, Statement>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// An answer is still outstanding.
    Confused,
}

impl Session {
    /// A connection for reading.
    pub(crate) fn open(target: &Target) -> Result<Self, Cause> {
        Self::connect(target, Access::Read)
    }

    pub(crate) fn connect(target: &Target, access: Access) -> Result<Self, Cause> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connect = async {
            match target.trust.connector()? {
                None => {
                    let (client, connection) = target.config.connect(NoTls).await?;
                    tokio::spawn(drive(connection));
                    Ok(client)
                }
                Some(tls) => {
                    let (client, connection) = target.config.connect(tls).await?;
                    tokio::spawn(drive(connection));
                    Ok(client)
                }
            }
        };
        let connected =
            runtime.block_on(async { tokio::time::timeout(CONNECT_MAX * 2, connect).await });
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                runtime.shutdown_background();
                return Err(error);
            }
            Err(_) => {
                runtime.shutdown_background();
                return Err(Cause::Timeout(CONNECT_MAX * 2));
            }
        };
        let runtime = Some(runtime);
        let mut session = Self { runtime, client, statements: HashMap::new(), state: State::Sound };
        let (read_only, work_max) = match access {
            Access::Read => ("on", READ_MAX),
            Access::Write => ("off", ANSWER_MAX),
        };
        // The durability of what is acknowledged is not left to the server's configuration.
        session.run(&format!(
            "SET default_transaction_read_only = {read_only}; SET synchronous_commit = on; \
             SET statement_timeout = {}; SET lock_timeout = {}; SET client_min_messages = warning",
            work_max.as_millis(),
            LOCK_MAX.as_millis(),
        ))?;
        Ok(session)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.state == State::Confused || self.client.is_closed()
    }

    /// Waits for an answer, with the limit. When it passes, the connection is of no use any more.
    fn wait<T>(
        runtime: Option<&Runtime>,
        state: &mut State,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Cause> {
        let runtime = runtime.expect("the runtime is there until the session is dropped");
        // The timer is made inside: it belongs to this runtime.
        let outcome = runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, answer).await });
        let Ok(answer) = outcome else {
            *state = State::Confused;
            return Err(Cause::Timeout(ANSWER_MAX));
        };
        Ok(answer?)
    }

    /// Statements without parameters and answers.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), Cause> {
        let answer = self.client.batch_execute(sql);
        Self::wait(self.runtime.as_ref(), &mut self.state, answer)
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, Cause> {
        match self.statements.entry(sql.to_owned()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(new) => {
                let answer = self.client.prepare(sql);
                let statement = Self::wait(self.runtime.as_ref(), &mut self.state, answer)?;
                Ok(new.insert(statement).clone())
            }
        }
    }

    /// One statement; how many rows it changed.
    pub(crate) fn execute(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Cause> {
        let statement = self.prepare(sql)?;
        let answer = self.client.execute(&statement, params);
        Self::wait(self.runtime.as_ref(), &mut self.state, answer)
    }

    pub(crate) fn each(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        visit: Visit<'_>,
    ) -> Result<(), Cause> {
        let statement = self.prepare(sql)?;
        let answer = self.client.query_raw(&statement, params.iter());
        let rows = Self::wait(self.runtime.as_ref(), &mut self.state, answer)?;
        pin_mut!(rows);
        loop {
            let next = async { rows.next().await.transpose() };
            let Some(row) = Self::wait(self.runtime.as_ref(), &mut self.state, next)? else {
                return Ok(());
            };
            match visit(&row) {
                Ok(ControlFlow::Continue(())) => {}
                // The rest of the answer is on its way: the connection is not worth emptying.
                Ok(ControlFlow::Break(())) => {
                    self.state = State::Confused;
                    return Ok(());
                }
                Err(error) => {
                    self.state = State::Confused;
                    return Err(error);
                }
            }
        }
    }

    /// 0 for an empty database.
    pub(crate) fn schema_version(&mut self) -> Result<i64, Cause> {
        let number = |session: &mut Self, sql: &str| {
            let mut number = 0;
            session.each(sql, &[], &mut |cells| {
                number = cells.int(0)?.unwrap_or(0);
                Ok(ControlFlow::Continue(()))
            })?;
            Ok::<i64, Cause>(number)
        };
        let sql = "SELECT count(to_regclass('schema_versions'))";
        if number(self, sql)? == 0 {
            return Ok(0);
        }
        number(self, "SELECT max(version) FROM schema_versions")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A runtime dropped inside another one would panic; there is nothing here to wait for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>>,
{
    // Whoever uses the connection is told by its own call.
    if let Err(error) = connection.await {
        tracing::debug!(error = describe(&error), "a connection to PostgreSQL ended");
    }
}

/// The server's own words, with its code; the client library's words where there are none.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{}: {}{detail} [{}]", db.severity(), db.message(), db.code().code())
        }
        // Of a failed connection the library says only that it failed; why is in its sources.
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(next) = source {
                let more = next.to_string();
                if !text.contains(&more) {
                    text.push_str(": ");
                    text.push_str(&more);
                }
                source = next.source();
            }
            text
        }
    }
}

/// Classes of the SQL standard's codes that pass by themselves: connection, resources (disk,
/// memory, connections), intervention of the operator, errors outside the database; and a
/// transaction that lost against another.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        let class = &code.code()[..2];
        return ["08", "53", "57", "58"].contains(&class)
            || [
                &SqlState::T_R_SERIALIZATION_FAILURE,
                &SqlState::T_R_DEADLOCK_DETECTED,
                &SqlState::LOCK_NOT_AVAILABLE,
                &SqlState::READ_ONLY_SQL_TRANSACTION,
            ]
            .contains(&code);
    }
    let caused_by_io =
        std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    error.is_closed() || caused_by_io
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
            Self::Unfit(why) => Err((*why).into()),
        }
    }
    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }
    to_sql_checked!();
}

impl Cells for tokio_postgres::Row {
    fn int(&self, column: usize) -> Result<Option<i64>, Cause> {
        Ok(self.try_get(column)?)
    }
    fn text(&self, column: usize) -> Result<Option<&str>, Cause> {
        Ok(self.try_get(column)?)
    }
    fn blob(&self, column: usize) -> Result<Option<&[u8]>, Cause> {
        Ok(self.try_get(column)?)
    }
}
