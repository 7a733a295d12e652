//! The journal's payload and the snapshot: self-describing JSON with a version in front. Old
//! versions stay readable; the version is raised when a reader must know.

use dayan_exchange::{Entry, State};
use serde::{Deserialize, Serialize};

/// The version of a journal payload.
const PAYLOAD_VERSION: u32 = 1;
/// The version of a snapshot. It is raised when the state holds something that older programs did not
/// count from the same events: what they wrote is then not used, and the journal is read from its
/// beginning. 2: what each project had. 3: what its leases take, exactly. 4: deadlines met
/// and missed. 5: leases by node. 6: pools that a task stays away from, failures of a pool by project,
/// rooms that were given back. 7: how short runs were, and what came that is short.
pub const SNAPSHOT_VERSION: u32 = 7;

#[derive(Serialize)]
struct PayloadOut<'a> {
    v: u32,
    entries: &'a [Entry],
}

#[derive(Deserialize)]
struct PayloadIn {
    v: u32,
    entries: Vec<Entry>,
}

/// Why stored bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    /// Not the JSON we write.
    #[error("the stored text is damaged or was written by another program")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("it is of version {found}, and this program reads up to {known}")]
    Newer {
        /// What is stored.
        found: u32,
        /// What this program knows.
        known: u32,
    },
}

/// One batch's events as bytes.
pub fn payload(entries: &[Entry]) -> Vec<u8> {
    serde_json::to_vec(&PayloadOut { v: PAYLOAD_VERSION, entries })
        .expect("events hold nothing that JSON cannot")
}

/// The events of a journal row.
pub fn entries(payload: &[u8]) -> Result<Vec<Entry>, EncodingError> {
    let read: PayloadIn = serde_json::from_slice(payload)?;
    if read.v > PAYLOAD_VERSION {
        return Err(EncodingError::Newer { found: read.v, known: PAYLOAD_VERSION });
    }
    Ok(read.entries)
}

/// A state as bytes. The same state always gives the same bytes.
pub fn snapshot(state: &State) -> Vec<u8> {
    serde_json::to_vec(state).expect("a state holds nothing that JSON cannot")
}

/// The state a snapshot holds.
pub fn state(version: u32, bytes: &[u8]) -> Result<State, EncodingError> {
    if version > SNAPSHOT_VERSION {
        return Err(EncodingError::Newer { found: version, known: SNAPSHOT_VERSION });
    }
    Ok(serde_json::from_slice(bytes)?)
}
