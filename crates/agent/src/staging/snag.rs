//! Why an attempt could not start or publish, and whose doing that is: what the job asks for would be
//! the same wherever it goes, and is no provider's fault. Where what a job named did not do its part, that
//! is not known yet: [`blame`](super::blame) finds it out.

use std::io;
use std::path::Path;

use dayan_wire::{Blame, Outcome};
use rustix::fs::Access;
use rustix::io::Errno;

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

/// What a store answers where this machine's clock is wrong: no secret is better elsewhere for it. Any
/// store can say so.
const CLOCK_IS_WRONG: &str = "RequestTimeTooSkewed";
/// What a proxy on the way answers that wants to know who asks; and any store can.
const PROXY_ASKS: u16 = 407;

/// What stood in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Snag {
    /// For people.
    pub(crate) why: String,
    /// Whose doing it is.
    pub(crate) blame: Blame,
    /// Would it be the same wherever and whenever it is tried?
    pub(crate) for_good: bool,
    /// What the job has named, an address or a store with its secret, did not do its part, and may do it
    /// when it is asked again.
    pub(super) far: Option<Far>,
}

/// How it did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Far {
    /// It answered, and not as it should.
    Answered,
    /// Nothing was heard of it.
    Silent,
    /// It says that this machine's clock is wrong.
    Clock,
    /// It says that a proxy on the way wants a login.
    Proxy,
}

impl Far {
    /// By what is said of it.
    pub(super) fn of(why: &str) -> Self {
        match status_in(why) {
            _ if why.contains(CLOCK_IS_WRONG) => Self::Clock,
            Some(PROXY_ASKS) => Self::Proxy,
            Some(_) => Self::Answered,
            None => Self::Silent,
        }
    }
}

/// The status that words tell of: the libraries give it away in no other way.
pub(super) fn status_in(why: &str) -> Option<u16> {
    let after = why.split("status code: ").nth(1).unwrap_or(why);
    let digits = after.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let ends = after.get(3..4).is_none_or(|next| !next.starts_with(|c: char| c.is_alphanumeric()));
    digits.parse().ok().filter(|_| ends)
}

impl Snag {
    /// What the job asks for is not there, or may not be.
    pub(crate) fn job(why: String) -> Self {
        Self { why, blame: Blame::Job, for_good: false, far: None }
    }

    /// The job's, and it will be the same everywhere and always.
    pub(super) fn for_good(why: String) -> Self {
        Self { for_good: true, ..Self::job(why) }
    }

    /// What the job has named did not do its part. Until it is known better it is the site's.
    pub(super) fn far(why: String) -> Self {
        Self { far: Some(Far::of(&why)), ..Self::from(why) }
    }

    /// A file that the task has left below `root`, its folder, cannot be read. What it took from others to
    /// read, or made lead in a circle, is its own; that a disk fails, or that the agent is not let to the
    /// folder, is not.
    pub(super) fn of_file(why: String, error: &io::Error, root: &Path) -> Self {
        Self::of_file_in(why, error, reached(root))
    }

    fn of_file_in(why: String, error: &io::Error, reached: Reached) -> Self {
        use io::ErrorKind::{
            InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        };
        match error.kind() {
            PermissionDenied | NotFound if reached == Reached::No => {
                format!("{why}; the agent is not let to the folders of its own tasks").into()
            }
            // The library has no stable word for links in a circle.
            _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Self::job(why),
            PermissionDenied | NotFound | NotADirectory | IsADirectory | InvalidFilename => {
                Self::job(why)
            }
            _ => Self::from(why),
        }
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
        Self { why: format!("{what}: {}", self.why), ..self }
    }

    /// With paths as the task knows them, whose folder this is.
    pub(crate) fn seen_from(self, folder: &Path) -> Self {
        let real = folder.canonicalize();
        let mut why = self.why;
        for place in real.as_deref().into_iter().chain([folder]) {
            if let Some(place) = place.to_str().filter(|place| place.len() > 1) {
                why = why.replace(&format!("{place}/"), "").replace(place, "its folder");
            }
        }
        Self { why, ..self }
    }

    pub(crate) fn not_started(self) -> Outcome {
        Outcome::StartFailed {
            reason: self.why,
            blame: self.blame,
            for_good: self.for_good,
            status: None,
        }
    }

    pub(crate) fn not_published(self) -> Outcome {
        Outcome::PublishFailed { reason: self.why, blame: self.blame }
    }
}

/// Does the agent come to the folder of a task?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reached {
    Yes,
    No,
}

/// What its task did to the folder itself is its own doing; the way there is the agent's.
fn reached(root: &Path) -> Reached {
    let Some(above) = root.parent() else { return Reached::Yes };
    match rustix::fs::access(above, Access::EXISTS | Access::READ_OK | Access::EXEC_OK) {
        Ok(()) => Reached::Yes,
        Err(_) => Reached::No,
    }
}

/// Unless said otherwise it is the site's.
impl From<String> for Snag {
    fn from(why: String) -> Self {
        Self { why, blame: Blame::Site, for_good: false, far: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_paths_as_the_task_knows_them() {
        let folder = Path::new("/srv/agent/attempts/job_1/0.1");
        let check = |why: &str, expect: &str| {
            assert_eq!(Snag::job(why.to_owned()).seen_from(folder).why, expect);
        };
        check("/srv/agent/attempts/job_1/0.1/out/x: Is a directory", "out/x: Is a directory");
        check("/srv/agent/attempts/job_1/0.1: not there", "its folder: not there");
        check("`s3://b/out`: no", "`s3://b/out`: no");
    }

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

    #[test]
    fn how_something_did_not_do_its_part_is_read_from_what_is_said() {
        let check = |why: &str, far: Far| {
            let snag = Snag::far(why.to_owned()).about("s3://b/");
            assert_eq!((snag.far, snag.blame), (Some(far), Blame::Site), "{why}");
        };
        check("Server returned non-2xx status code: 503 Service Unavailable: ", Far::Answered);
        check("502 Bad Gateway", Far::Answered);
        check("non-2xx status code: 407 Proxy Authentication Required", Far::Proxy);
        check(&format!("status code: 403: <Code>{CLOCK_IS_WRONG}</Code>"), Far::Clock);
        for silent in ["error sending request: connection refused", "no answer in time", "", "5001"]
        {
            check(silent, Far::Silent);
        }
    }

    #[test]
    fn what_a_task_made_unreadable_is_its_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("work");
        let check = |kind: io::ErrorKind, blame: Blame| {
            let snag = Snag::of_file("result: x".to_owned(), &kind.into(), &root);
            assert_eq!(snag.blame, blame, "{kind}");
        };
        check(io::ErrorKind::PermissionDenied, Blame::Job);
        check(io::ErrorKind::NotFound, Blame::Job);
        let circle = io::Error::from(Errno::LOOP);
        assert_eq!(Snag::of_file("result: x".to_owned(), &circle, &root).blame, Blame::Job);
        check(io::ErrorKind::StorageFull, Blame::Site);
        check(io::ErrorKind::StaleNetworkFileHandle, Blame::Site);
    }

    #[test]
    fn a_folder_that_the_agent_is_not_let_to_is_no_fault_of_the_task() {
        let check = |kind: io::ErrorKind, way: Reached, blame: Blame| {
            let snag = Snag::of_file_in("result: x".to_owned(), &kind.into(), way);
            assert_eq!(snag.blame, blame, "{kind} {way:?}");
        };
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound] {
            check(kind, Reached::Yes, Blame::Job);
            check(kind, Reached::No, Blame::Site);
        }
        check(io::ErrorKind::IsADirectory, Reached::No, Blame::Job);
        let dir = tempfile::tempdir().expect("a folder");
        let gone = dir.path().join("gone/work");
        assert_eq!(reached(&gone), Reached::No, "the folder of all tasks");
        std::fs::create_dir(dir.path().join("gone")).expect("made");
        assert_eq!(reached(&gone), Reached::Yes, "a task may have removed its own");
    }
}
