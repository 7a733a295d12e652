//! Why an attempt could not start or publish, and whose doing that is: what the job asks for would be
//! the same wherever it goes, and is no provider's fault.

use dayan_wire::{Blame, Outcome};

/// What the exchange's data store says of this moment, of this agent or of itself. Everything else that
/// it says of data is about what the job asks for: its quota, its names, its files.
const PASSING: [&str; 9] = [
    "data.busy",
    "data.checksum",
    "data.disk_full",
    "data.not_granted",
    "data.not_sent",
    "data.not_your_attempt",
    "data.offset",
    "data.store",
    "data.upload_unknown",
];

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

    /// What the exchange said instead of doing it: a code, a colon and words.
    pub(crate) fn refused(why: String) -> Self {
        let code = why.split(':').next().unwrap_or_default();
        if code.starts_with("data.") && !PASSING.contains(&code) {
            Self::job(why)
        } else {
            Self::from(why)
        }
    }

    /// Did the exchange say so, by its code?
    pub(crate) fn is(&self, code: &str) -> bool {
        self.why.split(':').next() == Some(code)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_refuses_is_the_jobs_unless_it_passes() {
        let check = |why: &str, blame: Blame| {
            assert_eq!(Snag::refused(why.to_owned()).blame, blame, "{why}");
        };
        for of_job in ["data.quota", "data.too_large", "data.too_many_files", "data.output_path"] {
            check(&format!("{of_job}: words; more words"), Blame::Job);
        }
        for passing in PASSING {
            check(&format!("{passing}: words"), Blame::Site);
        }
        check("502 Bad Gateway", Blame::Site);
        check("token.unknown: words", Blame::Site);
        assert!(Snag::refused("data.not_sent: x".to_owned()).is("data.not_sent"));
        assert!(!Snag::refused("data.not_sent_yet: x".to_owned()).is("data.not_sent"));
    }
}
