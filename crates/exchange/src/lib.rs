//! The exchange: a state machine over identities, the market, the books and the work.
//!
//! [`decide`] says what a command leads to or why it is refused; [`State::evolve`] is the only
//! thing that changes state, live and in replay alike. Both are pure: time, ids and everything
//! secret come in with the command. Invariants, each a test: replaying the journal gives the state
//! bit for bit; no task has two leases; a gang has all of its leases or none; no node is promised
//! more than it has shown; debits equal credits; holds are captured or released, never both, never
//! leaked. This room must not know tokio, SQL or HTTP.

mod authorize;
mod command;
mod decide;
mod event;
mod evolve;
mod ids;
mod refusal;
mod state;

pub mod calendar;
pub mod changes;
pub mod due;
pub mod grids;
pub mod liveness;
pub mod orders;
pub mod partitions;
pub mod planning;
pub mod shares;

pub use authorize::{Action, Grant, Resource, authorize, authorized, grant, who_may};
pub use command::{
    Actor, Admission, At, AttemptNews, Blame, CarbonOf, Command, Evidence, Firing, Join, NewOffer,
    Outcome, Place, PoolNews, Preempt, Seat, Seen, SetCarbon, SignedUsage, SiteCount, SiteCounted,
    Submit, Tell, UsageRecord, Weighed,
};
pub use decide::{Decision, Made, challenge_digest, decide};
pub use event::{Effect, Entry, Event, Line, Next, Waived};
pub use ids::accounts;
pub use refusal::{Refusal, RefusalDetail, RefusalKind};
pub use state::*;
