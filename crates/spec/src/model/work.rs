//! The parts of a job around its command: data in and out, retries, checkpoints, the service.

use std::fmt;
use std::str::FromStr;

use dayan_units::{Bytes, Span};
use serde::{Deserialize, Serialize};

use super::choice::{After, Choice, JobKind, NotifyWhen, OutputWhen, Resume, Signal};
use super::name::{Location, NameError, Place, is_word, quote, serde_through_text};

/// Data that is there before the command starts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// Where it comes from. An address that ends with `/` is a folder.
    pub from: Location,
    /// Where it is put: a path inside the working folder.
    pub to: String,
    /// What a single file's bytes must be: SHA-256 in lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The project's secret that opens the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How much it is, where only the user knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// Where it lies: a city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
}

/// Data that is published after the command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Output {
    /// A path inside the working folder. One that ends with `/` is a folder.
    pub from: String,
    /// Where it goes.
    pub to: Location,
    /// When.
    pub when: OutputWhen,
    /// The project's secret that opens the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// When a task is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts after the first.
    pub max: u32,
    /// After which ends, in the order of their values, each once.
    pub when: Vec<RetryCause>,
    /// Where the next attempt begins.
    pub resume: Resume,
}

impl Default for Retry {
    /// Three more attempts when the cause was not the task's own: a lost site or node is nothing
    /// the consumer should have to think of. What the program itself did is not repeated unasked.
    fn default() -> Self {
        Self { max: 3, when: RetryCause::NOT_OWN.to_vec(), resume: Resume::Start }
    }
}

/// Why an attempt ended that may be repeated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RetryCause {
    /// The node failed.
    NodeFailure,
    /// The capacity was taken away.
    Preempted,
    /// The site was out of reach for longer than the lease.
    SiteLost,
    /// The task needed more memory than it asked for.
    Oom,
    /// The command ended with this status, 1 to 255.
    Exit(u8),
}
serde_through_text!(RetryCause);

impl RetryCause {
    /// The causes that are not the task's own doing.
    pub const NOT_OWN: [Self; 3] = [Self::NodeFailure, Self::Preempted, Self::SiteLost];
    /// The exit status, where it is one.
    pub const fn exit_status(self) -> Option<u8> {
        match self {
            Self::Exit(status) => Some(status),
            Self::NodeFailure | Self::Preempted | Self::SiteLost | Self::Oom => None,
        }
    }
    /// The causes that are one word.
    pub const WORDS: &'static [&'static str] = &["node_failure", "preempted", "site_lost", "oom"];
}
impl FromStr for RetryCause {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::RetryCause(quote(text));
        match text {
            "node_failure" => Ok(Self::NodeFailure),
            "preempted" => Ok(Self::Preempted),
            "site_lost" => Ok(Self::SiteLost),
            "oom" => Ok(Self::Oom),
            other => {
                let status = other.strip_prefix("exit:").ok_or_else(refused)?;
                let digits = status.bytes().all(|b| b.is_ascii_digit());
                match status.parse() {
                    Ok(status) if digits && status > 0 => Ok(Self::Exit(status)),
                    Ok(_) | Err(_) => Err(refused()),
                }
            }
        }
    }
}
impl fmt::Display for RetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeFailure => f.write_str("node_failure"),
            Self::Preempted => f.write_str("preempted"),
            Self::SiteLost => f.write_str("site_lost"),
            Self::Oom => f.write_str("oom"),
            Self::Exit(status) => write!(f, "exit:{status}"),
        }
    }
}

/// How a task saves its state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The folder with the state, inside the working folder.
    pub path: String,
    /// How often the task is asked to save; none: only before it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// The signal that asks.
    pub signal: Signal,
    /// How long saving may take.
    pub grace: Span,
}

/// What a task is told some time before its time limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeSignal {
    /// The signal.
    pub signal: Signal,
    /// So long before.
    pub before: Span,
}

impl TimeSignal {
    /// The default of `before`: as Slurm has it.
    pub const DEFAULT_BEFORE: Span = Span::from_secs(60);
}

impl Checkpoint {
    /// The default of `grace`: memory of a node (512 GB) to disk at 10 GB/s is under a minute.
    pub const DEFAULT_GRACE: Span = Span::from_secs(60);
}

/// What happens while the exchange does not hear from the job's site.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OnLostLink {
    /// So long the task goes on and nobody else gets it. Zero: the lease's own length.
    pub keep: Span,
}

impl OnLostLink {
    /// Batch work loses more by a restart than by waiting for a link; a service must be back.
    pub const fn default_for(kind: JobKind) -> Self {
        match kind {
            JobKind::Batch => Self { keep: Span::from_secs(30 * 60) },
            JobKind::Service => Self { keep: Span::from_secs(30) },
        }
    }
}

/// What a service offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// The port the command listens on, 1 to 65,535.
    pub port: u16,
    /// The path that answers 200 when a replica is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// How many copies.
    pub replicas: Replicas,
}

/// How many copies of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replicas {
    /// At least.
    pub min: u32,
    /// At most.
    pub max: u32,
    /// What decides between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { min: 1, max: 1, target: None }
    }
}

/// What the number of copies is steered by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// 95 of 100 answers take at most this long.
    pub p95: Span,
}

/// Another job that comes first, written `JOB` or `JOB:EVENT`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dependency {
    /// Its id, or its name in the same project.
    pub job: String,
    /// What must have happened to it.
    pub after: After,
}
serde_through_text!(Dependency);

impl FromStr for Dependency {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Dependency(quote(text));
        let (job, after) = text.rsplit_once(':').unwrap_or((text, After::Succeeded.as_str()));
        let after = After::ALL.iter().find(|a| a.as_str() == after).ok_or_else(refused)?;
        if !is_word(job) || job.contains(':') {
            return Err(refused());
        }
        Ok(Self { job: job.to_owned(), after: *after })
    }
}
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.job, self.after)
    }
}

/// Who is told of what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notify {
    /// An address: `https://…` or `mailto:…`.
    pub to: String,
    /// Of what, in the order of the values, each once.
    pub when: Vec<NotifyWhen>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_causes() {
        for text in ["node_failure", "preempted", "site_lost", "oom", "exit:75", "exit:255"] {
            assert_eq!(text.parse::<RetryCause>().expect(text).to_string(), text);
        }
        for word in RetryCause::WORDS {
            assert!(word.parse::<RetryCause>().is_ok(), "{word}");
        }
        for bad in ["", "exit", "exit:", "exit:0", "exit:256", "exit:+1", "OOM"] {
            assert!(bad.parse::<RetryCause>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dependencies() {
        let check = |text: &str, shown: Option<&str>| {
            let parsed = text.parse::<Dependency>().ok().map(|d| d.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        };
        check("shot-119", Some("shot-119:succeeded"));
        check("shot-119:ended", Some("shot-119:ended"));
        check("shot-119:each", Some("shot-119:each"));
        check("", None);
        check(":ended", None);
        check("a:b:ended", None);
        check("shot-119:done", None);
    }
}
