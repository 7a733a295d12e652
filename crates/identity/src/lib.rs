//! Compute-resource names: how they are written, who holds them, what is attested about what they
//! name, and what to answer when somebody asks.
//!
//! Invariants: a mistyped name never reads as another one; a name passes only through the legal
//! statuses and never comes back from retirement; each attribute is attested, expires and is
//! voided alone. This room knows no storage and no network and reads no clock. The layout is ours:
//! that of the national code is not public, so a national code is an alias here.

mod administrative;
mod check;
mod credit_code;
mod directory;
mod name;
mod record;
mod resolve;
mod serial;
mod status;
mod verify;

pub use administrative::{Adm6, AdmError, areas};
pub use credit_code::{CreditCode, CreditCodeError};
pub use directory::{Directory, DirectoryError};
pub use name::{Class, Label, Name, NameError, Owner, Prefix};
pub use record::{
    Alias, AliasScheme, Attestation, AttestationStanding, Finding, Record, VoidedAttribute, compare,
};
pub use resolve::{Answer, CachedAnswer, NEGATIVE_TTL, RETIRED_TTL, UNSETTLED_TTL_MAX, resolve};
pub use serial::Serial;
pub use status::{IllegalTransition, Status};
pub use verify::{Challenge, Nonce, Verdict};
