//! The connection that writes. The head row fences: a batch moves it from the row and term it
//! expects, inside its own transaction, or does not happen.

use dayan_units::Time;
use futures_util::future::{self, FutureExt as _};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use crate::column::{Column as _, Kind, Value};
use crate::fault::{Cause, Fault};
use crate::journal::{Batch, Committed, Head, row_hash};
use crate::rows::{self, READ_MODELS};
use crate::schema::{Dialect, MIGRATIONS, SCHEMA_VERSION, VERSIONS_TABLE};
use crate::store::sound_head;
use crate::table::{Group, Table};

use super::{Access, Session, Target};

/// Serialises the migrations of servers that start together; held for the transaction only.
/// The number is the ASCII of "dayan".
const MIGRATION_LOCK: i64 = 0x64_61_79_61_6e;
/// Rows in one statement: keeps a message under some tens of megabytes.
const ROWS_PER_STATEMENT: usize = 8_192;

const INSERT_JOURNAL: &str =
    "INSERT INTO journal (seq, term, at, payload, prev, hash) VALUES ($1, $2, $3, $4, $5, $6)";
const MOVE_HEAD: &str =
    "UPDATE head SET seq = $1, hash = $2 WHERE one = 1 AND seq = $3 AND term = $4";

pub(crate) struct Writer {
    target: Target,
    /// None after a failure: its state is not known.
    session: Option<Session>,
    head: Head,
    inserts: Vec<String>,
}

impl Writer {
    pub(crate) fn open(target: &Target) -> Result<Self, Fault> {
        let fault = |source| Fault::Open { place: target.place().to_owned(), source };
        let mut session = Session::connect(target, Access::Write).map_err(fault)?;
        migrate(&mut session, fault)?;
        let head = read_head(target, fault)?;
        let inserts = READ_MODELS.iter().map(|table| table.insert_unnest()).collect();
        Ok(Self { target: target.clone(), session: Some(session), head, inserts })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn recover(&mut self) -> Result<(), Fault> {
        self.session = None;
        let session = Session::connect(&self.target, Access::Write).map_err(Fault::Recover)?;
        self.head = read_head(&self.target, Fault::Recover)?;
        self.session = Some(session);
        Ok(())
    }

    pub(crate) fn take_term(&mut self, holder: &str, now: Time) -> Result<u64, Fault> {
        let mut session = match self.session.take().filter(|session| !session.is_lost()) {
            Some(session) => session,
            None => Session::connect(&self.target, Access::Write).map_err(Fault::Term)?,
        };
        let sql = "UPDATE head SET term = term + 1, holder = $1, taken_at = $2 \
                   WHERE one = 1 RETURNING term";
        let mut term = 0;
        let params = [Value::Text(holder.into()), now.value()];
        let taken = session.each(sql, &params, &mut |cells| {
            term = u64::read(cells, 0)?;
            Ok(std::ops::ControlFlow::Continue(()))
        });
        taken.map_err(Fault::Term)?;
        self.session = Some(session);
        self.head = read_head(&self.target, Fault::Term)?;
        Ok(term)
    }

    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<Committed, Fault> {
        let groups = rows::group(&batch.rows)?;
        let prev = self.head.hash;
        let seq = self.head.seq + 1;
        let hash = row_hash(&prev, seq, batch.term, batch.at, &batch.payload);
        let committed = Committed { seq, hash };
        let Some(mut session) = self.session.take() else { return Err(Fault::Unrecovered) };
        match self.write(&mut session, batch, &groups, committed) {
            Ok(true) => {
                self.session = Some(session);
                self.head.seq = seq;
                self.head.hash = hash;
                Ok(committed)
            }
            // The session is dropped, and the server rolls back.
            Ok(false) => {
                let fault = |source| Fault::Commit { seq, source };
                Err(read_head(&self.target, fault)?.refuses(batch.term, self.head.seq))
            }
            Err(source) => Err(Fault::Commit { seq, source }),
        }
    }

    /// The whole transaction in two exchanges with the server: everything up to the end, then,
    /// if the head was moved, the commit.
    fn write(
        &self,
        session: &mut Session,
        batch: &Batch,
        groups: &[Group<'_>],
        Committed { seq, hash }: Committed,
    ) -> Result<bool, Cause> {
        let move_head = session.prepare(MOVE_HEAD)?;
        let insert_journal = session.prepare(INSERT_JOURNAL)?;
        let mut inserts = Vec::new();
        for (group, sql) in groups.iter().zip(&self.inserts) {
            if group.rows() > 0 {
                inserts.push((session.prepare(sql)?, chunks(group.table, &group.values)));
            }
        }
        let (seq, hash, term) = (seq.value(), hash.0.value(), batch.term.value());
        let (last, prev) = (self.head.seq.value(), self.head.hash.0.value());
        let (at, payload) = (batch.at.value(), batch.payload.value());
        let head_params: [&(dyn ToSql + Sync); 4] = [&seq, &hash, &last, &term];
        let row_params: [&(dyn ToSql + Sync); 6] = [&seq, &term, &at, &payload, &prev, &hash];

        let client = &session.client;
        let work = async {
            // Polled in this order the first time, which sends them in this order.
            let begin = client.batch_execute("BEGIN");
            let fence = client.execute(&move_head, &head_params);
            let journal = client.execute(&insert_journal, &row_params);
            let rows = inserts.iter().flat_map(|(statement, chunks)| {
                chunks.iter().map(|chunk| insert(client, statement, chunk).boxed_local())
            });
            let rows = future::try_join_all(rows);
            let ((), fenced, _, _) = future::try_join4(begin, fence, journal, rows).await?;
            Ok(fenced == 1)
        };
        let moved = Session::wait(session.runtime.as_ref(), &mut session.state, work)?;
        if moved {
            session.run("COMMIT")?;
        }
        Ok(moved)
    }
}

/// One column of many rows.
pub(super) enum ColumnArray<'a> {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<&'a str>>),
    Blob(Vec<Option<&'a [u8]>>),
}

impl ColumnArray<'_> {
    fn param(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Int(values) => values,
            Self::Text(values) => values,
            Self::Blob(values) => values,
        }
    }
}

pub(super) type Chunk<'a> = Vec<ColumnArray<'a>>;

/// Turns rows into columns, [`ROWS_PER_STATEMENT`] rows at a time.
pub(super) fn chunks<'a>(table: &Table, values: &'a [Value<'_>]) -> Vec<Chunk<'a>> {
    let width = table.columns.len();
    let column = |rows: &'a [Value<'_>], at: usize, kind: Kind| {
        let cells = rows.iter().skip(at).step_by(width);
        match kind {
            Kind::Int => ColumnArray::Int(
                cells
                    .map(|cell| if let Value::Int(number) = cell { Some(*number) } else { None })
                    .collect(),
            ),
            Kind::Text => ColumnArray::Text(
                cells
                    .map(
                        |cell| {
                            if let Value::Text(text) = cell { Some(text.as_ref()) } else { None }
                        },
                    )
                    .collect(),
            ),
            Kind::Blob => {
                ColumnArray::Blob(
                    cells
                        .map(|cell| {
                            if let Value::Blob(bytes) = cell { Some(bytes.as_ref()) } else { None }
                        })
                        .collect(),
                )
            }
        }
    };
    values
        .chunks(width * ROWS_PER_STATEMENT)
        .map(|rows| {
            let columns = table.columns.iter().enumerate();
            columns.map(|(at, spec)| column(rows, at, spec.kind)).collect()
        })
        .collect()
}

async fn insert(
    client: &Client,
    statement: &Statement,
    chunk: &Chunk<'_>,
) -> Result<u64, tokio_postgres::Error> {
    let params: Vec<&(dyn ToSql + Sync)> = chunk.iter().map(ColumnArray::param).collect();
    client.execute(statement, &params).await
}

/// Inserts rows of a table outside a batch: for loading a dump.
pub(super) fn insert_rows(
    session: &mut Session,
    table: &Table,
    values: &[Value<'_>],
) -> Result<(), Cause> {
    let statement = session.prepare(&table.insert_unnest())?;
    for chunk in chunks(table, values) {
        let client = &session.client;
        let work = insert(client, &statement, &chunk);
        Session::wait(session.runtime.as_ref(), &mut session.state, work)?;
    }
    Ok(())
}

/// Brings an older database forward in one transaction; refuses a newer one untouched.
pub(super) fn migrate(session: &mut Session, fault: impl Fn(Cause) -> Fault) -> Result<(), Fault> {
    let mut step = |sql: &str| session.run(sql).map_err(&fault);
    step("BEGIN")?;
    step(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))?;
    step(VERSIONS_TABLE)?;
    let found = session.schema_version().map_err(&fault)?;
    if found > SCHEMA_VERSION {
        session.run("ROLLBACK").map_err(&fault)?;
        return Err(Fault::NewerSchema { found, known: SCHEMA_VERSION });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        session.run(&migration.sql(Dialect::Postgres)).map_err(&fault)?;
        let (version, name) = (migration.version, migration.name);
        session
            .execute(
                "INSERT INTO schema_versions (version, name) VALUES ($1, $2)",
                &[&version, &name],
            )
            .map_err(&fault)?;
    }
    if found == 0 {
        let genesis = Head::empty().hash.0;
        session
            .execute(
                "INSERT INTO head (one, seq, hash, term, holder, taken_at) \
                 VALUES (1, 0, $1, 0, '', 0)",
                &[&genesis.as_slice()],
            )
            .map_err(&fault)?;
    }
    session.run("COMMIT").map_err(&fault)
}

fn read_head(target: &Target, fault: impl Fn(Cause) -> Fault) -> Result<Head, Fault> {
    let session = Session::open(target).map_err(&fault)?;
    let mut session = crate::session::Session::Postgres(Box::new(session));
    sound_head(&mut session, target.place(), fault)
}
