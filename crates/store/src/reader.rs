//! Reading: cheap to clone, used from any thread that may block. Sees committed batches only,
//! and never makes the writer wait.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use dayan_units::{AttemptId, InvoiceId, JobId, OrgId, TransferId};

use crate::column::Column;
use crate::fault::{Broken, Cause, Damage, Fault};
use crate::journal::{Chain, ChainHash, Head, JournalRow, Survey, VerifyReport};
use crate::page::{Page, Paging};
use crate::pool::Pool;
use crate::query::{
    self, Direction, FindingFilter, JobFilter, LineFilter, LineSum, Order, Select, SumBy,
};
use crate::rows::{
    AccountRow, AttemptRow, FindingRow, InvoiceRow, JobRow, LineRow, RequestRow, SiteCountRow,
    TransferRow,
};
use crate::session::Session;
use crate::store::{BackupReport, Source};
use crate::table::Record;

/// Journal rows in one answer at most.
pub const JOURNAL_PAGE_ROWS_MAX: usize = 10_000;
/// Payload in one answer of the journal: the row that passes this is the last one. Two such
/// answers in flight stay small beside the state they are replayed into.
pub const JOURNAL_PAGE_BYTES_MAX: usize = 32 << 20;

const BY_ID: Order = Order { columns: &["id"], direction: Direction::Up };
const NEWEST_ID: Order = Order { columns: &["id"], direction: Direction::Down };
const BY_TASK: Order = Order { columns: &["task", "attempt"], direction: Direction::Up };
const NEWEST_AT: Order = Order { columns: &["at", "id"], direction: Direction::Down };

/// A handle for reading.
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    source: Source,
}

/// How far a check of the journal has come.
struct Walk {
    report: VerifyReport,
    /// The hash of the last row that was taken, and of the one before it.
    last: ChainHash,
    before: ChainHash,
    broken: Option<Broken>,
}

impl Walk {
    fn new(from: u64, head: Head) -> Self {
        let report = VerifyReport { from, rows: 0, payload_bytes: 0, head };
        Self { report, last: ChainHash::GENESIS, before: ChainHash::GENESIS, broken: None }
    }

    fn took(&mut self, row: &JournalRow) {
        self.report.rows += 1;
        self.report.payload_bytes += row.payload.len() as u64;
        (self.before, self.last) = (row.prev, row.hash);
    }

    fn broken_at(mut self, broken: Broken) -> Self {
        // The last row was taken before the head was asked about it.
        if broken.why == Damage::NotTheHead && self.report.rows > 0 {
            self.report.rows -= 1;
            self.last = self.before;
        }
        self.broken = Some(broken);
        self
    }
}

impl Reader {
    pub(crate) fn new(source: Source) -> Self {
        let open = source.clone();
        let pool = Pool::new(Box::new(move || open.session()));
        Self { inner: Arc::new(Inner { pool, source }) }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.inner.source
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn read<T>(
        &self,
        what: &'static str,
        work: impl FnMut(&mut Session) -> Result<T, Cause>,
    ) -> Result<T, Fault> {
        self.inner.pool.with(work).map_err(|source| Fault::Read { what, source })
    }

    fn one<R: Record>(&self, what: &'static str, select: &Select<'_>) -> Result<Option<R>, Fault> {
        let order = Order { columns: R::TABLE.key, direction: Direction::Up };
        let sql = select.text(&order);
        let rows = self.read(what, |session| session.all(&sql, select.params(), R::read))?;
        Ok(rows.into_iter().next())
    }

    fn by_key<R: Record>(
        &self,
        what: &'static str,
        column: &str,
        key: &impl Column,
    ) -> Result<Option<R>, Fault> {
        let mut select = Select::from(R::TABLE);
        select.equal(column, key);
        self.one(what, &select)
    }

    /// Where the journal stands and who leads.
    pub fn head(&self) -> Result<Head, Fault> {
        self.read("the head of the journal", query::head)
    }

    /// Journal rows from `seq` on: at most `limit`, [`JOURNAL_PAGE_ROWS_MAX`], or as many as
    /// [`JOURNAL_PAGE_BYTES_MAX`] holds. An empty answer is the end.
    pub fn journal_from(&self, seq: u64, limit: usize) -> Result<Vec<JournalRow>, Fault> {
        let rows = limit.min(JOURNAL_PAGE_ROWS_MAX);
        self.read("the journal", |session| {
            query::journal_from(session, seq, rows, JOURNAL_PAGE_BYTES_MAX)
        })
    }

    /// Every journal row from `seq` on in order, a page in memory at a time. The chain is checked
    /// on the way: what is replayed is what was written.
    pub fn replay<E: From<Fault>>(
        &self,
        from: u64,
        mut visit: impl FnMut(JournalRow) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut next = from.max(1);
        let mut chain = self.chain_before(next)?;
        loop {
            let rows = self.journal_from(next, JOURNAL_PAGE_ROWS_MAX)?;
            let Some(last) = rows.last() else { return Ok(next - 1) };
            next = last.seq + 1;
            for row in rows {
                chain.take(&row).map_err(|broken| self.damaged(broken))?;
                visit(row)?;
            }
        }
    }

    /// Checks the journal from `from` (1: all of it) to its head.
    pub fn verify(&self, from: u64) -> Result<VerifyReport, Fault> {
        let walk = self.walk(from)?;
        match walk.broken {
            None => Ok(walk.report),
            Some(broken) => Err(self.damaged(broken)),
        }
    }

    /// How far the journal holds, and what is wrong with the first row that does not. Damage is no
    /// fault here; only a head that cannot be read and a store that does not answer are.
    pub fn survey(&self) -> Result<Survey, Fault> {
        let Walk { report, last, broken, .. } = self.walk(1)?;
        Ok(Survey { rows: report.rows, hash: last, broken })
    }

    fn walk(&self, from: u64) -> Result<Walk, Fault> {
        // Rows committed after this are not looked at, or a live journal would never end.
        let head = self.head()?;
        let (from, end) = (from.max(1), head.seq);
        let mut chain = self.chain_before(from)?;
        let mut walk = Walk::new(from, head);
        let mut next = from;
        let mut limit = JOURNAL_PAGE_ROWS_MAX;
        while next <= end {
            let rows = match self.journal_from(next, limit) {
                Ok(rows) => rows,
                Err(fault) if fault.is_transient() => return Err(fault),
                // Some row of this page cannot be read: halves of it lead to which.
                Err(_) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(fault) => {
                    let why = match fault {
                        Fault::Read { source, .. } => source.to_string(),
                        other => other.to_string(),
                    };
                    return Ok(walk.broken_at(Broken { seq: next, why: Damage::Unreadable(why) }));
                }
            };
            if rows.is_empty() {
                break;
            }
            for row in rows.iter().filter(|row| row.seq <= end) {
                if let Err(broken) = chain.take(row) {
                    return Ok(walk.broken_at(broken));
                }
                walk.took(row);
            }
            next += rows.len() as u64;
        }
        if from <= end + 1
            && let Err(broken) = chain.ends_at(&walk.report.head)
        {
            return Ok(walk.broken_at(broken));
        }
        // Anything after the head came without a commit, unless the head has moved since.
        let beyond = self.journal_from(end + 1, 1)?;
        if let Some(row) = beyond.first()
            && self.head()?.seq < row.seq
        {
            return Ok(walk.broken_at(Broken { seq: row.seq, why: Damage::AfterHead }));
        }
        Ok(walk)
    }

    fn chain_before(&self, seq: u64) -> Result<Chain, Fault> {
        if seq <= 1 {
            return Ok(Chain::genesis());
        }
        let before = self.journal_from(seq - 1, 1)?;
        match before.first() {
            Some(row) if row.seq == seq - 1 => {
                let mut chain = Chain::at(row.seq);
                chain.take(row).map_err(|broken| self.damaged(broken))?;
                Ok(chain)
            }
            Some(_) | None => Ok(Chain::at(seq)),
        }
    }

    fn damaged(&self, broken: Broken) -> Fault {
        Fault::Damaged { place: self.inner.source.place(), broken }
    }

    /// Jobs, newest first.
    pub fn jobs(&self, filter: &JobFilter) -> Result<Page<JobRow>, Fault> {
        self.read("jobs", |session| {
            let mut select = Select::from(JobRow::TABLE);
            select.equal_if("project", filter.project.as_ref());
            select.equal_if("org", filter.org.as_ref());
            select.between("id", filter.ids.as_ref());
            select.one_of("state", &filter.states);
            select.equal_if("name", filter.name.as_ref());
            query::page(session, select, &NEWEST_ID, &filter.page, |row: &JobRow| {
                [row.id.to_string()]
            })
        })
    }

    /// One job.
    pub fn job(&self, id: JobId) -> Result<Option<JobRow>, Fault> {
        self.by_key("a job", "id", &id)
    }

    /// The attempts of a job by task and attempt.
    pub fn attempts(&self, job: JobId, paging: &Paging) -> Result<Page<AttemptRow>, Fault> {
        self.read("attempts", |session| {
            let mut select = Select::from(AttemptRow::TABLE);
            select.equal("job", &job);
            query::page(session, select, &BY_TASK, paging, |row: &AttemptRow| {
                [row.task.to_string(), row.attempt.to_string()]
            })
        })
    }

    /// One attempt.
    pub fn attempt(&self, id: AttemptId) -> Result<Option<AttemptRow>, Fault> {
        self.one("an attempt", &query::select_attempt(&id))
    }

    /// What sites counted for a job's tasks from the first to the last of these, by task and attempt.
    pub fn site_counts(&self, job: JobId, tasks: (u32, u32)) -> Result<Vec<SiteCountRow>, Fault> {
        self.read("what sites counted", |session| {
            let mut select = Select::from(SiteCountRow::TABLE);
            select.equal("job", &job);
            select.between("task", Some(&tasks));
            session.all(&select.text(&BY_TASK), select.params(), SiteCountRow::read)
        })
    }

    /// Which of these attempts have a count of their site's.
    pub fn site_counted(&self, ids: &[AttemptId]) -> Result<BTreeSet<AttemptId>, Fault> {
        let mut found = BTreeSet::new();
        for id in ids {
            let counts = self.site_counts(id.job, (id.task, id.task))?;
            found.extend(counts.iter().any(|row| row.attempt == id.attempt).then_some(*id));
        }
        Ok(found)
    }

    /// Transfers by id, which is by time where ids are UUID v7.
    pub fn transfers(&self, paging: &Paging) -> Result<Page<TransferRow>, Fault> {
        self.read("transfers", |session| {
            let select = Select::from(TransferRow::TABLE);
            query::page(session, select, &BY_ID, paging, |row: &TransferRow| [row.id.to_string()])
        })
    }

    /// One transfer.
    pub fn transfer(&self, id: TransferId) -> Result<Option<TransferRow>, Fault> {
        self.by_key("a transfer", "id", &id)
    }

    /// Every transfer by id, from one committed state, one row in memory at a time: for
    /// re-deriving the books.
    pub fn each_transfer(
        &self,
        visit: impl FnMut(TransferRow) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        self.stream("transfers", visit)
    }

    /// Every account by id, from one committed state.
    pub fn each_account(
        &self,
        visit: impl FnMut(AccountRow) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        self.stream("accounts", visit)
    }

    /// Every rated line by id, from one committed state.
    pub fn each_line(&self, visit: impl FnMut(LineRow) -> ControlFlow<()>) -> Result<(), Fault> {
        self.stream("rated lines", visit)
    }

    fn stream<R: Record>(
        &self,
        what: &'static str,
        mut visit: impl FnMut(R) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let sql = Select::from(R::TABLE).text(&BY_ID);
        self.inner
            .pool
            .once(|session| session.each(&sql, &[], &mut |cells| Ok(visit(R::read(cells)?))))
            .map_err(|source| Fault::Read { what, source })
    }

    /// All accounts by id.
    pub fn accounts(&self, paging: &Paging) -> Result<Page<AccountRow>, Fault> {
        self.read("accounts", |session| {
            let select = Select::from(AccountRow::TABLE);
            query::page(session, select, &BY_ID, paging, |row: &AccountRow| [row.id.clone()])
        })
    }

    /// Rated lines by id.
    pub fn lines(&self, filter: &LineFilter) -> Result<Page<LineRow>, Fault> {
        self.read("rated lines", |session| {
            let select = query::select_lines(filter);
            query::page(session, select, &BY_ID, &filter.page, |row: &LineRow| [row.id.clone()])
        })
    }

    /// Rated lines summed per project, organisation or provider and period. The filter's page
    /// does not apply.
    pub fn line_sums(&self, by: SumBy, filter: &LineFilter) -> Result<Vec<LineSum>, Fault> {
        self.read("sums of rated lines", |session| query::line_sums(session, by, filter))
    }

    /// One invoice.
    pub fn invoice(&self, id: InvoiceId) -> Result<Option<InvoiceRow>, Fault> {
        self.by_key("an invoice", "id", &id)
    }

    /// Invoices, of one organisation or of all, newest first.
    pub fn invoices(&self, org: Option<OrgId>, paging: &Paging) -> Result<Page<InvoiceRow>, Fault> {
        self.read("invoices", |session| {
            let mut select = Select::from(InvoiceRow::TABLE);
            select.equal_if("org", org.as_ref());
            query::page(session, select, &NEWEST_ID, paging, |row: &InvoiceRow| {
                [row.id.to_string()]
            })
        })
    }

    /// An archived idempotency key.
    pub fn request(&self, key: &str) -> Result<Option<RequestRow>, Fault> {
        self.by_key("a request", "key", &key.to_owned())
    }

    /// Findings, newest first.
    pub fn findings(&self, filter: &FindingFilter) -> Result<Page<FindingRow>, Fault> {
        self.read("findings", |session| {
            let mut select = Select::from(FindingRow::TABLE);
            select.equal_if("agent", filter.agent.as_ref());
            select.equal_if("code", filter.code.as_ref());
            query::page(session, select, &NEWEST_AT, &filter.page, |row: &FindingRow| {
                [row.at.micros().to_string(), row.id.clone()]
            })
        })
    }

    /// Writes a consistent copy of everything committed so far into the folder `to`, which must
    /// be empty or absent. The writer goes on meanwhile.
    pub fn backup_to(&self, to: &Path) -> Result<BackupReport, Fault> {
        self.inner.source.back_up(to)
    }
}
