//! The questions that can be asked, as SQL both engines read. Every list goes by an index.

use std::borrow::Cow;

use dayan_units::{AgentId, AttemptId, JobId, Micro, OrgId, ProjectId, ProviderId, Time};

use crate::column::{Cells, Column, Kind, Value};
use crate::fault::Cause;
use crate::journal::{ChainHash, Head, JournalRow};
use crate::page::{Cursor, Page, Paging};
use crate::session::Session;
use crate::table::{Record, Table};

/// Newest rows checked at each open: a torn write reaches the last one, the others cost nothing.
const TAIL_ROWS: usize = 4;

/// Which jobs; nothing set means all. Newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Of this organisation.
    pub org: Option<OrgId>,
    /// With ids from the first to the last of these.
    pub ids: Option<(JobId, JobId)>,
    /// In one of these states; empty means any.
    pub states: Vec<String>,
    /// With exactly this name.
    pub name: Option<String>,
    /// Which page.
    pub page: Paging,
}

/// Which rated lines; nothing set means all. By id.
#[derive(Debug, Clone, Default)]
pub struct LineFilter {
    /// Paid by this organisation.
    pub org: Option<OrgId>,
    /// Paid by this project.
    pub project: Option<ProjectId>,
    /// Earned by this provider.
    pub provider: Option<ProviderId>,
    /// In this billing period, `2026-11`.
    pub period: Option<String>,
    /// Of this job.
    pub job: Option<JobId>,
    /// Which page.
    pub page: Paging,
}

/// Which findings; nothing set means all. Newest first.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// About this agent.
    pub agent: Option<AgentId>,
    /// With this code.
    pub code: Option<String>,
    /// Which page.
    pub page: Paging,
}

/// What rated lines are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SumBy {
    /// The project that pays.
    Project,
    /// The organisation that pays.
    Org,
    /// The provider that earns.
    Provider,
}

/// The sums of one project, organisation or provider in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSum {
    /// The id of the project, organisation or provider.
    pub key: String,
    /// The billing period.
    pub period: String,
    /// How many lines.
    pub lines: u64,
    /// Thousandths of a core × seconds.
    pub cpu_milli_s: i64,
    /// Megabytes × seconds.
    pub memory_mb_s: i64,
    /// Thousandths of a card × seconds.
    pub accel_milli_s: i64,
    /// What was charged.
    pub amount: Micro,
}

/// Which way a list runs.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// The columns that order a list; together they tell any two rows apart.
pub(crate) struct Order {
    pub(crate) columns: &'static [&'static str],
    pub(crate) direction: Direction,
}

/// A query under construction.
pub(crate) struct Select<'a> {
    table: Table,
    conditions: Vec<String>,
    params: Vec<Value<'a>>,
}

impl<'a> Select<'a> {
    pub(crate) fn from(table: Table) -> Self {
        Self { table, conditions: Vec::new(), params: Vec::new() }
    }

    fn param(&mut self, value: Value<'a>) -> String {
        self.params.push(value);
        format!("${}", self.params.len())
    }

    pub(crate) fn equal(&mut self, column: &str, value: &'a impl Column) {
        let param = self.param(value.value());
        self.conditions.push(format!("{column} = {param}"));
    }

    pub(crate) fn equal_if(&mut self, column: &str, value: Option<&'a impl Column>) {
        if let Some(value) = value {
            self.equal(column, value);
        }
    }

    /// From the first to the last, both of them too.
    pub(crate) fn between(&mut self, column: &str, ends: Option<&'a (impl Column, impl Column)>) {
        if let Some((first, last)) = ends {
            let (first, last) = (self.param(first.value()), self.param(last.value()));
            self.conditions.push(format!("{column} >= {first} AND {column} <= {last}"));
        }
    }

    pub(crate) fn one_of(&mut self, column: &str, values: &'a [String]) {
        if !values.is_empty() {
            let params: Vec<String> =
                values.iter().map(|value| self.param(value.value())).collect();
            self.conditions.push(format!("{column} IN ({})", params.join(", ")));
        }
    }

    fn after(&mut self, order: &Order, key: &'a [String]) -> Result<(), Cause> {
        let mut params = Vec::new();
        for (name, part) in order.columns.iter().zip(key) {
            let kind = self.table.columns.iter().find(|column| column.name == *name);
            let value = match kind.map(|column| column.kind) {
                Some(Kind::Int) => Value::Int(part.parse().map_err(|_| bad_cursor())?),
                Some(Kind::Text) => Value::Text(Cow::Borrowed(part.as_str())),
                Some(Kind::Blob) | None => return Err(bad_cursor()),
            };
            params.push(self.param(value));
        }
        let sign = match order.direction {
            Direction::Up => '>',
            Direction::Down => '<',
        };
        let (columns, params) = (order.columns.join(", "), params.join(", "));
        self.conditions.push(format!("({columns}) {sign} ({params})"));
        Ok(())
    }

    fn where_clause(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }

    /// The rows in order, without a limit.
    pub(crate) fn text(&self, order: &Order) -> String {
        let direction = match order.direction {
            Direction::Up => "",
            Direction::Down => " DESC",
        };
        let columns: Vec<String> =
            order.columns.iter().map(|column| format!("{column}{direction}")).collect();
        format!(
            "SELECT {} FROM {}{} ORDER BY {}",
            self.table.column_list(),
            self.table.name,
            self.where_clause(),
            columns.join(", ")
        )
    }

    pub(crate) fn params(&self) -> &[Value<'a>] {
        &self.params
    }
}

fn bad_cursor() -> Cause {
    Cause::Cursor(crate::page::BadCursor)
}

/// One page of a list. `key` gives a row's ordering columns as text.
pub(crate) fn page<R: Record, const N: usize>(
    session: &mut Session,
    mut select: Select<'_>,
    order: &Order,
    paging: &Paging,
    key: impl Fn(&R) -> [String; N],
) -> Result<Page<R>, Cause> {
    let list = R::TABLE.name;
    // The parameters borrow the cursor's parts, which outlive the select here.
    let after = paging.after.as_ref().map(|cursor| cursor.key::<N>(list)).transpose()?.cloned();
    let mut paged = Select {
        table: R::TABLE,
        conditions: std::mem::take(&mut select.conditions),
        params: std::mem::take(&mut select.params),
    };
    if let Some(key) = &after {
        paged.after(order, key)?;
    }
    let limit = paging.rows();
    let sql = format!("{} LIMIT {}", paged.text(order), limit + 1);
    let rows = session.all(&sql, paged.params(), R::read)?;
    Ok(Page::of(rows, limit, |row| Cursor::new(list, key(row).to_vec())))
}

pub(crate) fn head(session: &mut Session) -> Result<Head, Cause> {
    let sql = "SELECT seq, hash, term, holder, taken_at FROM head WHERE one = 1";
    let heads = session.all(sql, &[], |cells| head_row(cells, 0))?;
    heads.into_iter().next().ok_or_else(no_head)
}

fn head_row(cells: &dyn Cells, first: usize) -> Result<Head, Cause> {
    Ok(Head {
        seq: u64::read(cells, first)?,
        hash: ChainHash(Column::read(cells, first + 1)?),
        term: u64::read(cells, first + 2)?,
        holder: String::read(cells, first + 3)?,
        taken_at: Time::read(cells, first + 4)?,
    })
}

fn no_head() -> Cause {
    Cause::Content("the head of the journal is gone".to_owned())
}

const JOURNAL_COLUMNS: &str = "SELECT seq, term, at, payload, prev, hash FROM journal";

pub(crate) fn journal_row(cells: &dyn Cells) -> Result<JournalRow, Cause> {
    Ok(JournalRow {
        seq: u64::read(cells, 0)?,
        term: u64::read(cells, 1)?,
        at: Time::read(cells, 2)?,
        payload: Column::read(cells, 3)?,
        prev: ChainHash(Column::read(cells, 4)?),
        hash: ChainHash(Column::read(cells, 5)?),
    })
}

/// Up to `rows` rows from `seq` on, ended early by the row that passes `bytes` of payload.
pub(crate) fn journal_from(
    session: &mut Session,
    seq: u64,
    rows: usize,
    bytes: usize,
) -> Result<Vec<JournalRow>, Cause> {
    let sql = format!("{JOURNAL_COLUMNS} WHERE seq >= $1 ORDER BY seq LIMIT {rows}");
    let mut page: Vec<JournalRow> = Vec::new();
    let mut taken = 0usize;
    session.each(&sql, &[seq.value()], &mut |cells| {
        let row = journal_row(cells)?;
        taken = taken.saturating_add(row.payload.len());
        page.push(row);
        Ok(if taken >= bytes {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        })
    })?;
    Ok(page)
}

/// The head and the newest rows, oldest of them first, in one statement: beside a running
/// exchange two statements would see two moments.
pub(crate) fn head_and_tail(session: &mut Session) -> Result<(Head, Vec<JournalRow>), Cause> {
    let sql = format!(
        "SELECT j.seq, j.term, j.at, j.payload, j.prev, j.hash, \
         h.seq, h.hash, h.term, h.holder, h.taken_at FROM head h \
         LEFT JOIN ({JOURNAL_COLUMNS} ORDER BY seq DESC LIMIT {TAIL_ROWS}) j ON h.one = 1 \
         WHERE h.one = 1 ORDER BY j.seq"
    );
    let mut head = None;
    let mut tail = Vec::new();
    session.each(&sql, &[], &mut |cells| {
        if cells.int(0)?.is_some() {
            tail.push(journal_row(cells)?);
        }
        head = Some(head_row(cells, 6)?);
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok((head.ok_or_else(no_head)?, tail))
}

/// The rows that have a snapshot in the database, oldest first.
#[cfg(feature = "postgres")]
pub(crate) fn snapshot_seqs(session: &mut Session) -> Result<Vec<u64>, Cause> {
    let sql = "SELECT DISTINCT seq FROM snapshots ORDER BY seq";
    session.all(sql, &[], |cells| u64::read(cells, 0))
}

/// A snapshot in the database, its parts put together.
#[cfg(feature = "postgres")]
pub(crate) fn snapshot_bytes(session: &mut Session, seq: u64) -> Result<Vec<u8>, Cause> {
    let mut bytes = Vec::new();
    let sql = "SELECT bytes FROM snapshots WHERE seq = $1 ORDER BY part";
    session.each(sql, &[seq.value()], &mut |cells| {
        bytes.extend_from_slice(cells.blob(0)?.unwrap_or_default());
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(bytes)
}

/// The hash of one row; that of row 0 is what the first row follows.
pub(crate) fn journal_hash(session: &mut Session, seq: u64) -> Result<Option<ChainHash>, Cause> {
    if seq == 0 {
        return Ok(Some(ChainHash::GENESIS));
    }
    let sql = "SELECT hash FROM journal WHERE seq = $1";
    let hashes = session.all(sql, &[seq.value()], |cells| Column::read(cells, 0).map(ChainHash))?;
    Ok(hashes.into_iter().next())
}

pub(crate) fn select_lines(filter: &LineFilter) -> Select<'_> {
    let mut select = Select::from(crate::rows::LineRow::TABLE);
    select.equal_if("org", filter.org.as_ref());
    select.equal_if("project", filter.project.as_ref());
    select.equal_if("provider", filter.provider.as_ref());
    select.equal_if("period", filter.period.as_ref());
    select.equal_if("job", filter.job.as_ref());
    select
}

pub(crate) fn line_sums(
    session: &mut Session,
    by: SumBy,
    filter: &LineFilter,
) -> Result<Vec<LineSum>, Cause> {
    let key = match by {
        SumBy::Project => "project",
        SumBy::Org => "org",
        SumBy::Provider => "provider",
    };
    let select = select_lines(filter);
    // PostgreSQL sums BIGINT to NUMERIC; both engines fail rather than wrap.
    let sql = format!(
        "SELECT {key}, period, count(*), CAST(sum(cpu_milli_s) AS BIGINT), \
         CAST(sum(memory_mb_s) AS BIGINT), CAST(sum(accel_milli_s) AS BIGINT), \
         CAST(sum(amount) AS BIGINT) FROM lines{} GROUP BY {key}, period ORDER BY {key}, period",
        select.where_clause()
    );
    session.all(&sql, select.params(), |cells| {
        Ok(LineSum {
            key: String::read(cells, 0)?,
            period: String::read(cells, 1)?,
            lines: u64::read(cells, 2)?,
            cpu_milli_s: i64::read(cells, 3)?,
            memory_mb_s: i64::read(cells, 4)?,
            accel_milli_s: i64::read(cells, 5)?,
            amount: Micro::read(cells, 6)?,
        })
    })
}

/// The attempts of a job in order, or one of them.
pub(crate) fn select_attempt(id: &AttemptId) -> Select<'_> {
    let mut select = Select::from(crate::rows::AttemptRow::TABLE);
    select.equal("job", &id.job);
    select.equal("task", &id.task);
    select.equal("attempt", &id.attempt);
    select
}
