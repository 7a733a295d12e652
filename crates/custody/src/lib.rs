//! The agent's pure half: which leases it holds, when they end by its own clock, what to start,
//! stop, publish and forget, and what to say at the next sync.
//!
//! Invariants, each a test: an attempt is started at most once, whatever is lost, repeated or
//! reordered; a task runs only while its lease lasts, counted from when the sync that renewed it
//! was *sent*, less a margin; what ended is told until the exchange says to forget it; sequence
//! numbers of usage only grow. It must not know I/O, clocks or what a lease's payload means: time
//! comes in as an argument, on a clock that runs through suspend.

mod custody;
mod kept;
mod news;
mod usage;

pub use custody::{ANSWER_AGE_MAX, Action, Answer, Custody};
pub use kept::{Kept, Order, Publishes, Step};
pub use news::{News, Seen};
pub use usage::{Counters, Reading, UsageRecord};
