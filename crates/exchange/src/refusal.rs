//! Why a command is not allowed: a stable dotted code, a sentence, and what to do next. A refusal
//! changes nothing and is not a fault; the edge turns it into problem+json.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What kind of no it is, for the edge's status code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// What is asked for makes no sense.
    Invalid,
    /// The asker may not.
    Forbidden,
    /// It names something that is not there.
    NotFound,
    /// It does not go with how things stand now.
    Conflict,
    /// There is not enough money for it.
    Unaffordable,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of no it is.
    pub kind: RefusalKind,
    /// Stable dotted code.
    pub code: Cow<'static, str>,
    /// What is wrong, with its values.
    pub message: String,
    /// What to do next.
    pub advice: Cow<'static, str>,
    /// Reasons per pool, where the question was which pool takes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<RefusalDetail>,
}

/// One pool's reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusalDetail {
    /// Of what: a pool's name, a key of the job file.
    pub subject: String,
    /// Stable dotted code.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

impl Refusal {
    fn new(
        kind: RefusalKind,
        code: &'static str,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self {
            kind,
            code: Cow::Borrowed(code),
            message: message.into(),
            advice: Cow::Borrowed(advice),
            details: Vec::new(),
        }
    }
    /// What is asked for makes no sense.
    pub fn invalid(code: &'static str, message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(RefusalKind::Invalid, code, message, advice)
    }
    /// The asker may not.
    pub fn forbidden(code: &'static str, message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(RefusalKind::Forbidden, code, message, advice)
    }
    /// It names something that is not there.
    pub fn not_found(code: &'static str, message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(RefusalKind::NotFound, code, message, advice)
    }
    /// It does not go with how things stand now.
    pub fn conflict(code: &'static str, message: impl Into<String>, advice: &'static str) -> Self {
        Self::new(RefusalKind::Conflict, code, message, advice)
    }
    /// There is not enough money for it.
    pub fn unaffordable(
        code: &'static str,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self::new(RefusalKind::Unaffordable, code, message, advice)
    }
    /// With reasons per pool or key.
    #[must_use]
    pub fn with_details(mut self, details: Vec<RefusalDetail>) -> Self {
        self.details = details;
        self
    }
}

impl From<dayan_ledger::Status> for Refusal {
    fn from(status: dayan_ledger::Status) -> Self {
        let kind = if status == dayan_ledger::Status::BelowFloor {
            RefusalKind::Unaffordable
        } else {
            RefusalKind::Conflict
        };
        Self::new(kind, status.code(), status.to_string(), status.advice())
    }
}
