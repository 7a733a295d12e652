//! What a log's lines mean as jobs: the ways in which published figures have read them.
//!
//! Invariant: a job of a workload runs for a second or more, on one processor or more, no more
//! than the machine has, and was not submitted before the log began.

use super::swf::{SwfHeader, SwfJob};
use dayan_schedule::order::{Forecast, Width};
use dayan_units::Span;

/// How a log is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Ten windows of 1,024 jobs each of the first 10,000 usable jobs, each on an empty machine
    /// (Zhang et al., RLScheduler, SC 2020). Processors are the larger of fields 5 and 8; a
    /// negative run time becomes 10 s.
    H1,
    /// The whole log; jobs that ask for more than the machine are dropped, run times are cut to
    /// the limit (Gaussier et al., SC 2015).
    H2,
    /// The whole log; limits shorter than the run time are raised to it.
    Cleaned,
}

/// One job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HpcJob {
    /// Its number in the log.
    pub id: i64,
    /// When it is submitted, in seconds since the log's beginning.
    pub submit: i64,
    /// How long it runs, in seconds; no order sees it before it has ended.
    pub run: i64,
    /// Processors.
    pub width: i64,
    /// The user's limit, in seconds.
    pub limit: i64,
    /// Whose it is.
    pub user: i64,
    /// Its project or group.
    pub group: i64,
    /// The program.
    pub program: i64,
}

impl HpcJob {
    /// What may be known of it before it has ended.
    pub const fn forecast(&self) -> Forecast {
        Forecast {
            user: known(self.user),
            program: match self.program {
                ..0 => None,
                program => Some(program.unsigned_abs()),
            },
            width: Width::processors(self.width.unsigned_abs()),
            limit: Span::from_secs(self.limit),
        }
    }
}

/// A number as an identity; logs write a negative one for nobody.
const fn known(number: i64) -> Option<u128> {
    if number < 0 { None } else { Some(number.unsigned_abs() as u128) }
}

/// Jobs that are simulated together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// The place of the first one among the usable jobs, from 0.
    pub start: usize,
    /// In order of arrival.
    pub jobs: Vec<HpcJob>,
}

/// A machine and its windows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// Processors of the machine.
    pub machine: i64,
    /// One, or those of [`Protocol::H1`].
    pub windows: Vec<Window>,
    /// What became of the log's lines.
    pub lines: LinesRead,
}

/// What became of the lines of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinesRead {
    /// All of them.
    pub read: usize,
    /// Those that are jobs by the protocol; its windows may hold fewer.
    pub usable: usize,
    /// What kept the others out.
    pub unusable: Unusable,
    /// Jobs whose run time was cut to their limit.
    pub cut: usize,
}

impl LinesRead {
    /// What kept lines out, in words; none where all are used.
    pub fn why(&self) -> Option<String> {
        (self.usable < self.read).then(|| parts(self.unusable).join(", "))
    }
}

/// Why a log gives no workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The header does not say how large the machine is.
    #[error(
        "the header has neither MaxProcs nor MaxNodes; say with --processors how many there are"
    )]
    NoMachine,
    /// A job asks for more than the machine has and the protocol does not drop it.
    #[error("job {id} takes {width} processors of {machine}")]
    TooWide {
        /// The job.
        id: i64,
        /// Its processors.
        width: i64,
        /// Those of the machine.
        machine: i64,
    },
    /// No usable job, or not one window of them.
    #[error("{usable} usable jobs of {read} are too few{}", why(*unusable))]
    TooFew {
        /// How many there are.
        usable: usize,
        /// How many lines there are.
        read: usize,
        /// What keeps the others out.
        unusable: Unusable,
    },
}

/// Jobs that a protocol does not take, by the first reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unusable {
    /// Without processors.
    pub no_width: usize,
    /// Without a run time.
    pub no_run: usize,
    /// Without a limit.
    pub no_limit: usize,
    /// Wider than the machine, or submitted before the log begins.
    pub outside: usize,
}

fn parts(of: Unusable) -> Vec<String> {
    let parts = [
        (of.no_width, "have no processors"),
        (of.no_run, "have no run time"),
        (
            of.no_limit,
            "have no limit of the user's (`--protocol cleaned` takes those by their run times)",
        ),
        (of.outside, "ask for more than the machine has, or come before the log begins"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, what)| format!("{count} {what}")).collect()
}

fn why(of: Unusable) -> String {
    let parts = parts(of);
    if parts.is_empty() {
        return format!(
            "; h1 takes windows of {H1_WINDOW}, the first from job {} on",
            H1_STARTS[0]
        );
    }
    format!(": {}", parts.join(", "))
}

/// Where the windows of [`Protocol::H1`] begin.
pub const H1_STARTS: [usize; 10] = [1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085];
/// How many jobs each has.
pub const H1_WINDOW: usize = 1024;
/// Of how many usable jobs.
const H1_JOBS: usize = 10_000;

/// The count of a reason.
type Reason = fn(&mut Unusable) -> &mut usize;

impl Protocol {
    /// Reads a log as a workload. A window that a short log does not fill is left out.
    pub fn workload(self, header: SwfHeader, log: &[SwfJob]) -> Result<Workload, ProtocolError> {
        let machine = header.machine().ok_or(ProtocolError::NoMachine)?;
        let mut unusable = Unusable::default();
        let usable =
            |job| self.usable(job, machine).map_err(|count| *count(&mut unusable) += 1).ok();
        let mut jobs: Vec<HpcJob> = log.iter().filter_map(usable).collect();
        match self {
            Self::H1 => jobs.sort_by_key(|job| job.id),
            Self::H2 | Self::Cleaned => jobs.sort_by_key(|job| (job.submit, job.id)),
        }
        let usable = jobs.len();
        let windows: Vec<Window> = match self {
            Self::H1 => {
                jobs.truncate(H1_JOBS);
                let window = |start: usize| {
                    let mut jobs = jobs.get(start..start + H1_WINDOW)?.to_vec();
                    // A window is chosen by number, and its jobs come when they come.
                    jobs.sort_by_key(|job| (job.submit, job.id));
                    Some(Window { start, jobs })
                };
                H1_STARTS.into_iter().filter_map(window).collect()
            }
            Self::H2 | Self::Cleaned => vec![Window { start: 0, jobs }],
        };
        if windows.iter().all(|window| window.jobs.is_empty()) {
            return Err(ProtocolError::TooFew { usable, read: log.len(), unusable });
        }
        let mut all = windows.iter().flat_map(|window| &window.jobs);
        match all.find(|job| job.width > machine) {
            Some(job) => Err(ProtocolError::TooWide { id: job.id, width: job.width, machine }),
            None => {
                let cuts = |job: &&SwfJob| self == Self::H2 && job.limit > 0 && job.run > job.limit;
                let cut = log.iter().filter(cuts).count();
                let lines = LinesRead { read: log.len(), usable, unusable, cut };
                Ok(Workload { machine, windows, lines })
            }
        }
    }

    /// A line as a job, or what of the reasons is counted.
    fn usable(self, job: &SwfJob, machine: i64) -> Result<HpcJob, Reason> {
        let known = |value: i64| (value > 0).then_some(value);
        let ran = |value: i64| known(value).ok_or::<Reason>(|of| &mut of.no_run);
        let outside: Reason = |of| &mut of.outside;
        let width = match self {
            Self::H1 => known(job.allocated.max(job.requested)),
            Self::H2 | Self::Cleaned => known(job.requested).or(known(job.allocated)),
        };
        let width = width.ok_or::<Reason>(|of| &mut of.no_width)?;
        let (run, limit) = match self {
            Self::H1 => {
                let limit = if job.limit == -1 { job.run } else { job.limit };
                // Those without a run time are taken to have run for ten seconds.
                let run = if job.run < 0 { 10 } else { job.run };
                (ran(run)?, limit)
            }
            Self::H2 => {
                let run = ran(job.run)?;
                let limit = known(job.limit).ok_or::<Reason>(|of| &mut of.no_limit)?;
                if job.allocated.max(job.requested) > machine || job.submit < 0 {
                    return Err(outside);
                }
                (run.min(limit), limit)
            }
            Self::Cleaned => {
                let run = ran(job.run)?;
                // Parts of a job that was stopped and went on have no time at which they came.
                if width > machine || job.submit < 0 {
                    return Err(outside);
                }
                (run, known(job.limit).map_or(run, |limit| limit.max(run)))
            }
        };
        Ok(HpcJob {
            id: job.id,
            submit: job.submit,
            run,
            width,
            limit,
            user: job.user,
            group: job.group,
            program: job.program,
        })
    }
}
