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
}

/// Why a log gives no workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The header does not say how large the machine is.
    #[error("the header has neither MaxProcs nor MaxNodes")]
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
    #[error("{usable} usable jobs are too few")]
    TooFew {
        /// How many there are.
        usable: usize,
    },
}

/// Where the windows of [`Protocol::H1`] begin.
pub const H1_STARTS: [usize; 10] = [1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085];
/// How many jobs each has.
pub const H1_WINDOW: usize = 1024;
/// Of how many usable jobs.
const H1_JOBS: usize = 10_000;

impl Protocol {
    /// Reads a log as a workload. A window that a short log does not fill is left out.
    pub fn workload(self, header: SwfHeader, log: &[SwfJob]) -> Result<Workload, ProtocolError> {
        let machine = header.machine().ok_or(ProtocolError::NoMachine)?;
        let mut jobs: Vec<HpcJob> =
            log.iter().filter_map(|job| self.usable(job, machine)).collect();
        match self {
            Self::H1 => jobs.sort_by_key(|job| job.id),
            Self::H2 | Self::Cleaned => jobs.sort_by_key(|job| (job.submit, job.id)),
        }
        let usable = jobs.len();
        let windows: Vec<Window> = match self {
            Self::H1 => {
                jobs.truncate(H1_JOBS);
                let window = |start: usize| {
                    let jobs = jobs.get(start..start + H1_WINDOW)?.to_vec();
                    Some(Window { start, jobs })
                };
                H1_STARTS.into_iter().filter_map(window).collect()
            }
            Self::H2 | Self::Cleaned => vec![Window { start: 0, jobs }],
        };
        if windows.iter().all(|window| window.jobs.is_empty()) {
            return Err(ProtocolError::TooFew { usable });
        }
        let mut all = windows.iter().flat_map(|window| &window.jobs);
        match all.find(|job| job.width > machine) {
            Some(job) => Err(ProtocolError::TooWide { id: job.id, width: job.width, machine }),
            None => Ok(Workload { machine, windows }),
        }
    }

    fn usable(self, job: &SwfJob, machine: i64) -> Option<HpcJob> {
        let known = |value: i64| (value > 0).then_some(value);
        let width = match self {
            Self::H1 => known(job.allocated.max(job.requested))?,
            Self::H2 | Self::Cleaned => known(job.requested).or(known(job.allocated))?,
        };
        let (run, limit) = match self {
            Self::H1 => {
                let limit = if job.limit == -1 { job.run } else { job.limit };
                // Those without a run time are taken to have run for ten seconds.
                let run = if job.run < 0 { 10 } else { job.run };
                (known(run)?, limit)
            }
            Self::H2 => {
                let (run, limit) = (known(job.run)?, known(job.limit)?);
                if job.allocated.max(job.requested) > machine || job.submit < 0 {
                    return None;
                }
                (run.min(limit), limit)
            }
            Self::Cleaned => {
                let run = known(job.run)?;
                if width > machine {
                    return None;
                }
                (run, known(job.limit).map_or(run, |limit| limit.max(run)))
            }
        };
        Some(HpcJob {
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
