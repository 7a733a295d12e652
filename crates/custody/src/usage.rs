//! Counters of use, cumulative since the attempt began, numbered from 1.

use dayan_units::AttemptId;
use serde::{Deserialize, Serialize};

/// What the engine counts. Cumulative; never shrinks within an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Time since the process began, µs.
    pub wall_us: i64,
    /// Processor time, µs.
    pub cpu_us: i64,
    /// Largest memory, bytes.
    pub memory_peak: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Energy, µJ, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_uj: Option<u64>,
}

impl Counters {
    /// The larger of both, counter by counter: a source that restarted does not take back what was
    /// said.
    #[must_use]
    pub fn grown_to(self, other: Self) -> Self {
        Self {
            wall_us: self.wall_us.max(other.wall_us),
            cpu_us: self.cpu_us.max(other.cpu_us),
            memory_peak: self.memory_peak.max(other.memory_peak),
            read_bytes: self.read_bytes.max(other.read_bytes),
            write_bytes: self.write_bytes.max(other.write_bytes),
            energy_uj: self.energy_uj.max(other.energy_uj),
        }
    }
}

/// One numbered record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Whose use.
    pub attempt: AttemptId,
    /// Counts the records of this attempt from 1.
    pub seq: u64,
    /// The counters.
    pub counters: Counters,
}

/// An attempt's counters as they were last read and last told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// As last read.
    pub counters: Counters,
    /// The number of the newest record made; 0: none yet.
    pub seq: u64,
    /// What that record said.
    pub told: Counters,
}

/// How many numbers one agent process has for itself. An agent that starts anew goes on at the
/// next multiple, so that its numbers are larger than all that its predecessors used without
/// their having been written down: no process makes 2³² records of one attempt.
const NUMBERS_PER_PROCESS: u64 = 1 << 32;

impl Reading {
    /// The reading of an attempt that an earlier process of this agent held. `generation` counts
    /// the agent's processes; `counters` are the largest that may have been told.
    pub fn resumed(generation: u32, counters: Counters) -> Self {
        let seq = u64::from(generation) * NUMBERS_PER_PROCESS;
        Self { counters, seq, told: counters }
    }
    /// Takes a new reading in.
    pub fn read(&mut self, counters: Counters) {
        self.counters = self.counters.grown_to(counters);
    }
    /// The record to send: a new number only when there is something new to say, so that the same
    /// number never carries two contents. A process's first record is always a new one.
    pub fn record(&mut self, attempt: AttemptId) -> UsageRecord {
        if self.seq.is_multiple_of(NUMBERS_PER_PROCESS) || self.told != self.counters {
            self.seq += 1;
            self.told = self.counters;
        }
        UsageRecord { attempt, seq: self.seq, counters: self.told }
    }
}
