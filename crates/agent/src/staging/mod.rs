//! Data in before a task starts, results out after it has ended well.
//!
//! Invariants: nothing is read or written outside the roots that the operator named, whatever a
//! job file says and whatever links lie about; results appear under their names only after the
//! exchange granted it, each file whole, and not after the lease is over.

mod copy;
mod gather;
mod guard;
mod roots;

pub(crate) use guard::Guard;
pub(crate) use roots::Roots;
