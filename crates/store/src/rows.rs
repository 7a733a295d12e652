//! The read models: ordinary tables for lists, history and reports. Each row type says what a
//! second row with the same key does. States, codes and documents are the caller's text.

use dayan_units::{
    AgentId, AttemptId, InvoiceId, JobId, Micro, OrgId, PoolId, ProjectId, ProviderId, Time,
    TransferId,
};

use crate::fault::Fault;
use crate::table::{Group, Record, Table, record};

record! {
    /// A job as lists and history show it. A second row replaces the first; `project`, `org`,
    /// `name` and `submitted_at` stay as first written, and `doc` stays where the new one is none.
    JobRow, table "jobs", key ["id"], repeat Replace {
        /// The job.
        fixed id: JobId,
        /// The project that pays.
        fixed project: ProjectId,
        /// The organisation of the project.
        fixed org: OrgId,
        /// Its name in the job file.
        fixed name: String,
        /// Its state as the API writes it.
        set state: String,
        /// When it was submitted.
        fixed submitted_at: Time,
        /// When it ended.
        set ended_at: Option<Time>,
        /// Tasks in all.
        set tasks_total: u32,
        /// Tasks paused.
        set tasks_paused: u32,
        /// Tasks waiting.
        set tasks_queued: u32,
        /// Tasks running.
        set tasks_running: u32,
        /// Tasks that succeeded.
        set tasks_succeeded: u32,
        /// Tasks that failed.
        set tasks_failed: u32,
        /// Tasks cancelled.
        set tasks_cancelled: u32,
        /// Money held for it now.
        set held: Micro,
        /// Money spent on it so far.
        set spent: Micro,
        /// Whatever else the caller wants back, as JSON. None leaves the stored document.
        kept doc: Option<String>,
    }
}

record! {
    /// An attempt to run a task. A second row replaces the first; `doc` stays where the new one
    /// is none.
    AttemptRow, table "attempts", key ["job", "task", "attempt"], repeat Replace {
        /// The attempt, as `job_…/TASK.ATTEMPT`; the three parts follow.
        fixed id: AttemptId,
        /// The job.
        fixed job: JobId,
        /// The task's number in the job.
        fixed task: u32,
        /// The attempt's number, the epoch.
        fixed attempt: u32,
        /// Where it was placed.
        fixed pool: PoolId,
        /// The node, once known.
        set node: Option<String>,
        /// Its state as the API writes it.
        set state: String,
        /// How it ended: the program's exit code.
        set exit_code: Option<i32>,
        /// When the program started.
        set started_at: Option<Time>,
        /// When it ended.
        set ended_at: Option<Time>,
        /// Whatever else, as JSON. None leaves the stored document.
        kept doc: Option<String>,
    }
}

record! {
    /// What a site's own accounting counted for an attempt. The first stays.
    SiteCountRow, table "site_counts", key ["job", "task", "attempt"], repeat Keep {
        /// The attempt's job.
        fixed job: JobId,
        /// The task's number.
        fixed task: u32,
        /// The attempt's number.
        fixed attempt: u32,
        /// When it was told.
        fixed at: Time,
        /// What was counted, and for how many attempts, as JSON.
        fixed doc: String,
    }
}

record! {
    /// A transfer between two accounts, a hold, a capture or a release. Written once: a second
    /// row with the same id fails the commit.
    TransferRow, table "transfers", key ["id"], repeat Refuse {
        /// The transfer; its idempotency key.
        fixed id: TransferId,
        /// `post`, `hold`, `capture` or `release`, or what else the ledger knows.
        fixed kind: String,
        /// The account debited.
        fixed debit: String,
        /// The account credited.
        fixed credit: String,
        /// How much.
        fixed amount: Micro,
        /// The hold that a capture or release ends.
        fixed hold: Option<TransferId>,
        /// Why, as a stable code.
        fixed code: String,
        /// What it was for: an attempt, an invoice, a voucher.
        fixed reference: String,
        /// When.
        fixed at: Time,
    }
}

record! {
    /// An account of the ledger. A second row replaces label and floor.
    AccountRow, table "accounts", key ["id"], repeat Replace {
        /// The account.
        fixed id: String,
        /// What kind of owner: `org`, `project`, `provider`, `exchange`, …
        fixed owner_kind: String,
        /// The owner's id.
        fixed owner_id: String,
        /// What people call it.
        set label: String,
        /// The balance it may not go below; none where it has no floor.
        set floor: Option<Micro>,
    }
}

record! {
    /// A rated line. Written once: a second row with the same id fails the commit; corrections
    /// are lines of their own.
    LineRow, table "lines", key ["id"], repeat Refuse {
        /// The line.
        fixed id: String,
        /// The attempt billed.
        fixed attempt: AttemptId,
        /// Its job.
        fixed job: JobId,
        /// The project that pays.
        fixed project: ProjectId,
        /// The organisation that pays.
        fixed org: OrgId,
        /// The provider that earns.
        fixed provider: ProviderId,
        /// The pool it ran in.
        fixed pool: PoolId,
        /// The billing period, `2026-11`.
        fixed period: String,
        /// From when.
        fixed from_at: Time,
        /// Until when.
        fixed to_at: Time,
        /// Thousandths of a core × seconds.
        fixed cpu_milli_s: i64,
        /// Megabytes (10⁶ bytes) × seconds. Bytes × seconds would pass 63 bits in a sum.
        fixed memory_mb_s: i64,
        /// Thousandths of a card × seconds.
        fixed accel_milli_s: i64,
        /// What is charged.
        fixed amount: Micro,
        /// The rating, as JSON.
        fixed doc: String,
    }
}

record! {
    /// A bill. A second row replaces total, state and document; `doc` stays where the new one is
    /// none.
    InvoiceRow, table "invoices", key ["id"], repeat Replace {
        /// The invoice.
        fixed id: InvoiceId,
        /// Who pays.
        fixed org: OrgId,
        /// The billing period, `2026-11`.
        fixed period: String,
        /// Its sum.
        set total: Micro,
        /// Its state as the API writes it.
        set state: String,
        /// Its lines and texts, as JSON. None leaves the stored document.
        kept doc: Option<String>,
    }
}

record! {
    /// An idempotency key that has left memory, with what was answered. The first stays.
    RequestRow, table "requests", key ["key"], repeat Keep {
        /// The key, made unique by the caller (its organisation is part of it).
        fixed key: String,
        /// Whose request.
        fixed org: OrgId,
        /// A digest of the request: the same key with another digest is refused by the caller.
        fixed digest: Vec<u8>,
        /// The outcome, as JSON.
        fixed outcome: String,
        /// When it was answered.
        fixed at: Time,
    }
}

record! {
    /// Something an operator should see: an agent that lies, a record that does not match. The
    /// first of an id stays.
    FindingRow, table "findings", key ["id"], repeat Keep {
        /// The finding.
        fixed id: String,
        /// The agent it is about.
        fixed agent: Option<AgentId>,
        /// What, as a stable code.
        fixed code: String,
        /// When.
        fixed at: Time,
        /// The evidence, as JSON.
        fixed doc: String,
    }
}

macro_rules! rows {
    ($($(#[$doc:meta])* $variant:ident($record:ident),)+) => {
        /// One row of one read model.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Row {
            $($(#[$doc])* $variant($record),)+
        }
        $(impl From<$record> for Row {
            fn from(row: $record) -> Self { Self::$variant(row) }
        })+

        #[derive(Clone, Copy)]
        enum Place { $($variant,)+ }

        /// The tables of the read models, in the order in which they are written.
        pub(crate) const READ_MODELS: &[&Table] = &[$(&$record::TABLE,)+];

        /// Sorts a batch's rows by table.
        pub(crate) fn group(rows: &[Row]) -> Result<Vec<Group<'_>>, Fault> {
            let mut groups: Vec<Group<'_>> =
                READ_MODELS.iter().map(|table| Group::new(table)).collect();
            for row in rows {
                match row {
                    $(Row::$variant(record) => {
                        groups[Place::$variant as usize].push(record)?;
                    })+
                }
            }
            Ok(groups)
        }
    };
}

rows! {
    /// See [`JobRow`].
    Job(JobRow),
    /// See [`AttemptRow`].
    Attempt(AttemptRow),
    /// See [`SiteCountRow`].
    SiteCount(SiteCountRow),
    /// See [`TransferRow`].
    Transfer(TransferRow),
    /// See [`AccountRow`].
    Account(AccountRow),
    /// See [`LineRow`].
    Line(LineRow),
    /// See [`InvoiceRow`].
    Invoice(InvoiceRow),
    /// See [`RequestRow`].
    Request(RequestRow),
    /// See [`FindingRow`].
    Finding(FindingRow),
}
