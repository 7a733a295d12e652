//! Why an attempt could not start or publish, and whose doing that is: what the job asks for would be
//! the same wherever it goes, and is no provider's fault.

use dayan_wire::{Blame, Outcome};

/// What stood in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Snag {
    /// For people.
    pub(crate) why: String,
    /// Whose doing it is.
    pub(crate) blame: Blame,
}

impl Snag {
    /// What the job asks for is not there, or may not be.
    pub(crate) fn job(why: String) -> Self {
        Self { why, blame: Blame::Job }
    }

    /// With words before its own.
    pub(crate) fn about(self, what: &str) -> Self {
        Self { why: format!("{what}: {}", self.why), blame: self.blame }
    }

    pub(crate) fn not_started(self) -> Outcome {
        Outcome::StartFailed { reason: self.why, blame: self.blame }
    }

    pub(crate) fn not_published(self) -> Outcome {
        Outcome::PublishFailed { reason: self.why, blame: self.blame }
    }
}

/// Unless said otherwise it is the site's.
impl From<String> for Snag {
    fn from(why: String) -> Self {
        Self { why, blame: Blame::Site }
    }
}
