//! Data in before a task starts, results out after it has ended well.
//!
//! Folders of this machine: `roots` says which, `gather` copies. From afar: `courier` holds what is
//! shared, `errand` does it all for one attempt, `fetch` brings, `cache` keeps, `readers` says for whom, `ship` sends, `store`, `web` and `objects` speak to where
//! it lies, `watch` sends early, `opened` opens what a task left, `progress` tells, `listed` says what went where, `keeping` says how long results are kept and how much they may be, `snag` says whose fault it is, and `blame` finds that out where it is not known; `checkpoint` saves and brings back a task's state. Invariants: nothing is read or written outside the roots that the
//! operator named, whatever a job file says and whatever links lie about; results appear under their
//! names only after the exchange granted it, each file whole, and not after the lease is over.

mod blame;
mod cache;
mod checkpoint;
mod copy;
mod courier;
mod errand;
mod fetch;
mod gather;
mod guard;
mod keeping;
mod left;
mod listed;
#[cfg_attr(not(feature = "s3"), path = "objects/none.rs")]
mod objects;
mod opened;
mod progress;
mod readers;
mod roots;
mod ship;
mod snag;
mod store;
mod watch;
mod web;

pub(crate) use cache::CACHE_BYTES_DEFAULT;
#[cfg(test)]
pub(crate) use checkpoint::SAVED_MARK;
pub(crate) use checkpoint::{Glance, Said, glance};
pub(crate) use courier::{Courier, CourierConfig, Holdings};
pub(crate) use errand::{Prepared, gather, prepare};
pub(crate) use fetch::is_full;
pub(crate) use guard::Guard;
pub(crate) use listed::listed;
pub(crate) use roots::Roots;
pub(crate) use snag::Snag;
pub(crate) use store::Store;
pub(crate) use watch::Sees;
pub(crate) use web::Reach;
