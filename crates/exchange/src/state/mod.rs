//! Everything the exchange knows and needs to decide: what lives. What has ended leaves memory
//! after a named retention and lives on in the journal and the tables.
//!
//! Only [`crate::evolve`] changes it.

mod access;
mod deadlines;
mod depends;
mod estimates;
mod jobs;
mod promises;
mod record;
mod schedules;
mod setbacks;
mod shares;
mod supply;

use std::collections::VecDeque;

use dayan_ledger::Ledger;
use dayan_market::{Periods, Settlement, ZoneOffset};
use dayan_units::{Currency, ExchangeId, Time, TransferId};
use serde::{Deserialize, Serialize};

pub(crate) use access::any_priority;
pub use access::{Access, Digest, Org, Project, Role, Token, User};
pub use deadlines::{Deadlines, Kept};
pub use depends::{Depends, Wait};
pub use estimates::{Estimate, Estimates};
pub use jobs::{
    Backing, Counters, GangLaunch, Gate, GivenQuote, Job, JobEnd, Lease, MemberEnd, Phase, SpecKey,
    StopReason, StoredSpec, Tries, UsageMark, Work, grown, mode_at, mode_of,
};
pub use promises::Promises;
pub use record::{Record, not_there, sends_elsewhere};
pub use schedules::{
    Came, MAKE_UP_MAX, PastRun, RUNS_ALIVE_MAX, RUNS_REMEMBERED, Run, SCHEDULES_MAX, Schedule,
    Schedules,
};
pub use setbacks::{BACK_OFF_FIRST, BACK_OFF_MAX, BARRED_FOR, Barred, Setback, Setbacks};
pub use shares::{Shares, Standing, WEIGHT, WEIGHT_MAX};
pub use supply::{
    Agent, FINDINGS_LEFT_OUT, FINDINGS_MAX, FINDINGS_WINDOW, Fence, FindingsSeen, JoinToken,
    JoinsLeft, Node, Placing, Pool, Provider, QUEUE_NODE, Queue, Shown, Site, Supply, VERIFIED_FOR,
};

/// What is set when an exchange starts and is the same on every replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The currency of the books.
    pub currency: Currency,
    /// The exchange's share of every line, in permille.
    pub fee_permille: u32,
    /// How often a running attempt is captured, and how early its hold is prolonged.
    pub settlement: Settlement,
    /// Where days and months of budgets and bills begin.
    pub zone: ZoneOffset,
    /// How long a firm quote stands.
    pub quote_valid: dayan_units::Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: Currency::CNY,
            fee_permille: 50,
            settlement: Settlement::default(),
            zone: ZoneOffset::CHINA,
            quote_valid: dayan_units::Span::from_secs(600),
        }
    }
}

/// The state of an exchange.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Its id, once founded.
    pub exchange: Option<ExchangeId>,
    /// Its name.
    pub name: String,
    /// What it was started with.
    pub settings: Settings,
    /// Events applied since the beginning.
    pub revision: u64,
    /// The time of the newest event.
    pub last_at: Time,
    /// Who may act.
    pub access: Access,
    /// Who sells.
    pub supply: Supply,
    /// What is asked and what runs.
    pub work: Work,
    /// The books.
    pub ledger: Ledger,
    /// Bookings that are still remembered, oldest first: see [`TRANSFER_RETENTION`].
    pub booked: VecDeque<(Time, TransferId)>,
}

impl Settings {
    /// The day and month a moment counts for.
    pub fn periods(&self, at: Time) -> Periods {
        self.zone.periods(at)
    }
}

/// How long a settled booking's id is remembered. A booking is only ever repeated by a command
/// that is repeated, and commands about an attempt are refused once its lease is gone; a minute
/// covers any batch that was retried after a failed commit.
pub const TRANSFER_RETENTION: dayan_units::Span = dayan_units::Span::from_secs(60);

/// How long an ended job stays in memory, so that it can be shown fast and retried.
pub const JOB_RETENTION: dayan_units::Span = dayan_units::Span::from_secs(900);

/// The most ended jobs kept in memory whatever their age: 20,000 × about 600 bytes is 12 MB.
pub const ENDED_JOBS_MAX: usize = 20_000;
