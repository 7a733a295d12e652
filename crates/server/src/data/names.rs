//! What stands in a project's journal of names. One line of JSON each; a line that a crash cut off
//! is the last one, was never answered for, and is left out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use dayan_units::AttemptId;
use serde::{Deserialize, Serialize};

/// What bytes are known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl FromStr for Sha256 {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        let read = hex::decode_to_slice(text, &mut bytes);
        if lower && read.is_ok() { Ok(Self(bytes)) } else { Err("64 lower-case hex digits") }
    }
}
impl TryFrom<String> for Sha256 {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<Sha256> for String {
    fn from(sha: Sha256) -> Self {
        sha.to_string()
    }
}
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}
impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a name is given to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    /// Its bytes.
    pub sha256: Sha256,
    /// May it be run as a program?
    pub executable: bool,
}

impl From<Sha256> for Content {
    fn from(sha256: Sha256) -> Self {
        Self { sha256, executable: false }
    }
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Named {
    /// Its bytes.
    pub sha256: Sha256,
    /// How many.
    pub size: u64,
    /// When the name was given: exchange time, µs.
    pub at: i64,
    /// By whom.
    pub by: String,
    /// May it be run as a program?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

impl Named {
    /// What the name was given to.
    pub const fn content(&self) -> Content {
        Content { sha256: self.sha256, executable: self.executable }
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The project has sent these bytes; it may name them.
    Held {
        /// Which.
        sha256: Sha256,
        /// How many.
        size: u64,
        /// When: exchange time, µs.
        at: i64,
    },
    /// A name was given.
    Put {
        /// The name.
        path: String,
        /// What it stands for.
        named: Named,
    },
    /// A name was taken away.
    Remove {
        /// The name.
        path: String,
    },
    /// A checkpoint is whole; it takes the place of older ones.
    Saved {
        /// What is in it, by name.
        files: BTreeMap<String, Named>,
        /// Names that go.
        gone: Vec<String>,
    },
    /// An attempt published.
    Published {
        /// Which.
        attempt: AttemptId,
        /// What, by name.
        files: BTreeMap<String, Named>,
    },
}
