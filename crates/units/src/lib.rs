//! Typed ids, money, time and amounts: the vocabulary every other room shares.
//!
//! Invariant: arithmetic is checked and integer; nothing here reads a clock, draws a random
//! number or knows another room of ours. A value that parses prints back to the same value.

mod amount;
mod id;
mod lease;
mod money;
mod name;
mod quantity;
mod rate;
mod resources;
mod time;

pub use amount::{Bytes, FlopRate, MilliAccel, MilliCpu};
pub use id::{
    AgentId, AttemptId, ExchangeId, IdError, InvoiceId, JobId, OfferId, OrgId, PoolId, ProjectId,
    ProviderId, QuoteId, RequestId, ScheduleId, SiteId, TaskId, TokenId, TransferId, UserId,
};
pub use lease::{BootTime, lease_end, lost_after};
pub use money::{Currency, Micro, Money, MoneyError, div_half_even};
pub use name::{NAME_CHARS_MAX, QUEUE_NODE, is_name};
pub use quantity::{QuantityError, Range, parse_span};
pub use rate::{PERMILLE_ONE, Rate, permille_of_floor};
pub use resources::Resources;
pub use time::{Span, Time};
