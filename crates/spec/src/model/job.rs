//! The job itself.

use std::collections::BTreeMap;
use std::fmt;

use dayan_units::Time;
use serde::{Deserialize, Serialize};

use super::choice::{DeadlineKind, JobKind, Launch, Preference, Priority, Same};
use super::license::License;
use super::name::{NameError, ProjectPath, quote};
use super::placement::{Network, Placement};
use super::resource::ResourceAsk;
use super::steps::{Mount, Origin, Step};
use super::trade::{Deadline, Market, Schedule};
use super::work::{
    Checkpoint, Dependency, Input, Notify, OnLostLink, Output, Retry, Service, TimeSignal,
};

/// A whole job file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// The version of the format: 1.
    pub version: u32,
    /// What people call it; need not be unique.
    pub name: String,
    /// Does it end by itself?
    #[serde(rename = "type")]
    pub kind: JobKind,
    /// What pays.
    pub project: ProjectPath,
    /// Its place among all jobs that wait.
    pub priority: Priority,
    /// Many tasks that differ by a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<Array>,
    /// Many nodes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<Gang>,
    /// The container image; none: the host's own programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What one task, or each member of the gang, needs.
    pub resources: ResourceAsk,
    /// Data put there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Data published after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// The command, for `sh -c`; of a job in steps only a line for people.
    pub run: String,
    /// What runs instead of a command: containers, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Parts of the task's folder at other places inside its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Small files by their paths in the task's folder, with what is in them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The document of another interface that it was made from; never in a job file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// On which nodes of a gang it starts.
    pub launch: Launch,
    /// The job's own environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are secrets of the project, by the secrets' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Licences that each task holds while it runs, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
    /// Where the command starts, inside the task's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// When a task is tried again.
    pub retry: Retry,
    /// How a task saves its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// What a task is told before its time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_signal: Option<TimeSignal>,
    /// What happens while its site is not heard of.
    pub on_lost_link: OnLostLink,
    /// What a service offers; present exactly when the type is `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// What is asked of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Which places are allowed.
    pub placement: Placement,
    /// How it is bought.
    pub market: Market,
    /// Runs again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// No task starts before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<Time>,
    /// By when it should have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
    /// What matters among allowed places, the most important first; empty: the exchange's policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<Preference>,
    /// Jobs that come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
    /// Options for one kind of engine.
    #[serde(default, skip_serializing_if = "Backend::is_empty")]
    pub backend: Backend,
    /// Arrival order: nothing of it starts before what the same project submitted earlier as strict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl JobSpec {
    /// When it must have finished, where it was submitted (or, on a schedule, due) at `start`.
    pub fn deadline_at(&self, start: Time) -> Option<Time> {
        let start = self.begin.map_or(start, |begin| begin.max(start));
        self.deadline.as_ref().map(|deadline| deadline.at(start))
    }
    /// Does it ask for a promise: a deadline that is kept, or refused at once?
    pub fn is_promised(&self) -> bool {
        self.deadline.as_ref().is_some_and(|deadline| deadline.kind == DeadlineKind::Hard)
    }
}

/// Options that one kind of engine understands and the others do not see.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Backend {
    /// Options of `sbatch`, without the dashes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slurm: BTreeMap<String, String>,
}

impl Backend {
    /// Is nothing said?
    pub fn is_empty(&self) -> bool {
        self.slurm.is_empty()
    }
}

/// `nodes` tasks that start together or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gang {
    /// How many.
    pub nodes: u32,
    /// What they must share, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<Same>,
    /// What they share beyond it, where that can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Same>,
    /// How few will do; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
}

impl Gang {
    /// How few will do.
    pub fn least(&self) -> u32 {
        self.min.unwrap_or(self.nodes).min(self.nodes)
    }
}

/// Elements `first`, `first + step`, … up to `last`, `chunk` of them to a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Array {
    /// The first element.
    pub first: u32,
    /// The last element; it is one that the steps hit.
    pub last: u32,
    /// From one element to the next, at least 1.
    pub step: u32,
    /// Elements to a task, at least 1.
    pub chunk: u32,
    /// Tasks that may run at one time; none: as many as fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
}

impl Array {
    /// From its range as written, `1001-1240` or `0-15:2`, one element to a task. The last element
    /// is brought down to one that the steps hit.
    pub fn from_range(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::ArrayRange(quote(text));
        // `parse` alone would take `+5`.
        let number = |part: &str| {
            let digits = part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| digits).ok_or_else(refused)
        };
        let (ends, step) = match text.split_once(':') {
            Some((ends, step)) => (ends, number(step)?),
            None => (text, 1),
        };
        let (first, last) = ends.split_once('-').unwrap_or((ends, ends));
        let (first, last) = (number(first)?, number(last)?);
        if step == 0 || last < first {
            return Err(refused());
        }
        let last = last - (last - first) % step;
        Ok(Self { first, last, step, chunk: 1, max_parallel: None })
    }

    /// How many elements. A range of all of 32 bits has 2³² of them.
    pub fn element_count(&self) -> u64 {
        u64::from((self.last - self.first) / self.step) + 1
    }
    /// How many tasks: the elements in chunks, the last one may be smaller.
    pub fn task_count(&self) -> u64 {
        self.element_count().div_ceil(u64::from(self.chunk))
    }
    /// First element, last element and step of a task, counted from 0. Of a task that the array
    /// does not have: none.
    pub fn task_slice(&self, task: u32) -> Option<(u32, u32, u32)> {
        if u64::from(task) >= self.task_count() {
            return None;
        }
        let begin = u64::from(task) * u64::from(self.chunk);
        let end = (begin + u64::from(self.chunk)).min(self.element_count()) - 1;
        let element = |index: u64| {
            u32::try_from(u64::from(self.first) + index * u64::from(self.step))
                .expect("an element is at most the last one, which has 32 bits")
        };
        Some((element(begin), element(end), self.step))
    }
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            1 => write!(f, "{}-{}", self.first, self.last),
            step => write!(f, "{}-{}:{step}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        let check = |text: &str, expect: Option<(u32, u32, u32)>| {
            let got = Array::from_range(text).ok().map(|a| (a.first, a.last, a.step));
            assert_eq!(got, expect, "{text}");
        };
        check("1001-1240", Some((1001, 1240, 1)));
        check("0-15:2", Some((0, 14, 2)));
        check("7", Some((7, 7, 1)));
        check("0-4294967295", Some((0, u32::MAX, 1)));
        for bad in ["", "-", "1-", "-5", "5-1", "0-9:0", "+1-5", "0-4294967296", "1..5", "a-b"] {
            check(bad, None);
        }
    }

    proptest! {
        /// Every element is in exactly one task, in order, against a plain list.
        #[test]
        fn tasks_partition_the_elements(
            first in 0u32..1_000_000, length in 0u32..500, step in 1u32..9, chunk in 1u32..60,
        ) {
            let last = first + length;
            let array = Array {
                chunk,
                ..Array::from_range(&format!("{first}-{last}:{step}")).expect("valid")
            };
            let plain: Vec<u32> = (first..=last).step_by(step as usize).collect();
            prop_assert_eq!(array.element_count(), plain.len() as u64);
            let tasks = u32::try_from(array.task_count()).expect("small");
            let mut seen = Vec::new();
            for task in 0..tasks {
                let (from, to, by) = array.task_slice(task).expect("inside");
                let slice: Vec<u32> = (from..=to).step_by(by as usize).collect();
                prop_assert!(slice.len() <= chunk as usize && *slice.last().expect("one") == to);
                seen.extend(slice);
            }
            prop_assert_eq!(seen, plain);
            prop_assert_eq!(array.task_slice(tasks), None);
        }
    }
}
