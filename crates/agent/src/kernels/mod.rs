//! Measurements: what this machine really does, beside what it should do by its data sheet.
//!
//! Every reading names its method and the method's version, so that two readings are compared only
//! when they were taken alike. Every kernel warms up, repeats, reports the median and the spread,
//! ends within its share of the effort's time and stops early when it is cancelled. A quantity
//! that cannot be measured is a reading without a value and with the reason; nothing here panics
//! because a device is missing. Must not know catalogues, prices or the exchange.

pub mod clock;
pub mod cpu;
pub mod disk;
pub mod gpu;
mod matmul;
pub mod memory;
mod microkernel;
pub mod network;
mod stopwatch;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dayan_measure::{Attribute, Measurement, Method, Sharing};
use dayan_units::{Bytes, FlopRate, Span, Time};
use serde::{Deserialize, Serialize};

pub(crate) use stopwatch::Stopwatch;

/// One measured or nominal quantity, in its attribute's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What was measured.
    pub attribute: Attribute,
    /// Which card, counted from 0 as its driver does; none for what a machine has once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<u32>,
    /// What the data sheet or the instruction set promises; none where it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nominal: Option<u64>,
    /// The median of the repetitions; none where it could not be measured, see `note`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub measured: Option<u64>,
    /// Distance of the best from the worst repetition, in thousandths of the median.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spread_permille: Option<u32>,
    /// How it was measured.
    pub method: Cow<'static, str>,
    /// Version of the method: readings of different versions are not compared.
    pub version: u32,
    /// How long measuring took, warm-up included.
    pub took: Span,
    /// Sizes, threads, further percentiles, or why there is no value.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

impl Reading {
    /// The name of its unit.
    pub const fn unit(&self) -> &'static str {
        self.attribute.unit().symbol()
    }
    /// As an entry of the benchmark vector; none where there is no value. `at` is when the reading
    /// was taken, `valid_for` and `sharing` are the agent's to judge.
    pub fn measurement(&self, at: Time, valid_for: Span, sharing: Sharing) -> Option<Measurement> {
        Some(Measurement {
            attribute: self.attribute,
            nominal: self.nominal,
            measured: self.measured?,
            method: Method {
                name: self.method.clone().into_owned(),
                version: self.version.to_string(),
            },
            at,
            valid_for,
            sharing,
            signature: None,
        })
    }
}

/// How much time the measurements may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// About 2 s for the host: enough to see a machine that is not what it claims.
    Quick,
    /// About 20 s for the host: what goes into an attestation.
    Full,
}

impl Effort {
    /// The share of one kernel; the host has ten of them.
    pub(crate) const fn share_seconds(self) -> f64 {
        match self {
            Self::Quick => 0.2,
            Self::Full => 2.2,
        }
    }
}

/// What the kernels must know of the machine: how much of it is ours and where caches end.
#[derive(Clone, Debug)]
pub struct Host {
    /// How many cores we may keep busy.
    pub threads: NonZeroUsize,
    /// Memory that we may fill.
    pub memory: Bytes,
    /// The last-level cache that one core sees.
    pub one_cache: Bytes,
    /// All last-level caches of the machine together.
    pub all_caches: Bytes,
    /// FP64 operations a second that one core should do at its highest clock.
    pub nominal_core_fp64: Option<FlopRate>,
    /// FP32 operations a second that one core should do at its highest clock.
    pub nominal_core_fp32: Option<FlopRate>,
    /// The highest clock that the maker states. The one it guarantees would not do: what is measured
    /// is often half above it.
    pub nominal_clock_khz: Option<u64>,
}

impl Host {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            memory: Bytes(1 << 30),
            one_cache: Bytes(1 << 20),
            all_caches: Bytes(1 << 20),
            nominal_core_fp64: None,
            nominal_core_fp32: None,
            nominal_clock_khz: None,
        }
    }
}

/// Measures processor, memory and the disk under `dir`, one after another: together they would
/// disturb each other.
pub fn measure_host(host: &Host, dir: &Path, effort: Effort, cancel: &Cancel) -> Vec<Reading> {
    let mut readings = vec![clock::measure(host, effort, cancel)];
    readings.extend(cpu::measure(host, effort, cancel));
    readings.extend(memory::measure(host, effort, cancel));
    readings.extend(disk::measure(dir, effort, cancel));
    readings
}

/// Ends measurements early from another thread. Clones end the same measurements.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Not cancelled.
    pub fn new() -> Self {
        Self::default()
    }
    /// Ends every measurement that looks at this, after its current repetition.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Was it cancelled?
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Repetitions of one measurement: collects times until the share is used up.
pub(crate) struct Repetitions<'a> {
    watch: Stopwatch,
    share_seconds: f64,
    warm_up: usize,
    seconds: Vec<f64>,
    cancel: &'a Cancel,
}

/// Fewer repetitions than this say nothing about the spread.
const REPETITIONS_MIN: usize = 3;
/// More than this add nothing to a median.
const REPETITIONS_MAX: usize = 200;

impl<'a> Repetitions<'a> {
    /// The first repetition is warm-up (page faults, clock frequency, caches) and not counted.
    pub(crate) fn new(effort: Effort, cancel: &'a Cancel) -> Self {
        Self {
            watch: Stopwatch::start(),
            share_seconds: effort.share_seconds(),
            warm_up: 1,
            seconds: Vec::new(),
            cancel,
        }
    }
    /// Takes note of a repetition; is there time for another? The least number is done even when
    /// the share is used up, so a kernel may take a few repetitions longer than its share.
    pub(crate) fn another(&mut self, seconds: f64) -> bool {
        if self.warm_up > 0 {
            self.warm_up -= 1;
        } else {
            self.seconds.push(seconds);
        }
        let enough = self.seconds.len() >= REPETITIONS_MIN
            && self.watch.seconds() + seconds > self.share_seconds;
        !(self.cancel.is_cancelled() || enough || self.seconds.len() >= REPETITIONS_MAX)
    }
    /// The reading of a rate: `work` units done in each repetition.
    pub(crate) fn rate(self, frame: Frame, work: f64) -> Reading {
        self.reading(frame, |seconds| work / seconds)
    }
    /// The reading of a time in picoseconds: each repetition did `count` things in a row.
    pub(crate) fn picoseconds_each(self, frame: Frame, count: f64) -> Reading {
        self.reading(frame, |seconds| seconds * 1e12 / count)
    }
    fn reading(self, frame: Frame, value: impl Fn(f64) -> f64) -> Reading {
        let took = self.watch.span();
        if self.cancel.is_cancelled() || self.seconds.is_empty() {
            return Reading { took, ..frame.unavailable("cancelled") };
        }
        let mut values: Vec<f64> = self.seconds.iter().map(|seconds| value(*seconds)).collect();
        values.sort_by(f64::total_cmp);
        let median = values[values.len() / 2];
        let spread = (values[values.len() - 1] - values[0]) / median * 1_000.0;
        Reading {
            measured: Some(whole(median)),
            spread_permille: Some(u32::try_from(whole(spread)).unwrap_or(u32::MAX)),
            took,
            ..frame.into_reading()
        }
    }
}

/// The smallest value that `permille` thousandths of the ascending `values` do not exceed (nearest
/// rank). There must be at least one.
pub(crate) fn percentile(values: &[f64], permille: usize) -> f64 {
    let rank = (values.len() * permille).div_ceil(1_000).max(1);
    values[rank - 1]
}

/// To the nearest integer; what is negative or no number is 0. A rate fits: 2⁶⁴ FLOP/s is eighteen
/// exaFLOP/s.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast to an integer saturates"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Everything of a reading that is known before it is taken.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) attribute: Attribute,
    pub(crate) device: Option<u32>,
    pub(crate) method: &'static str,
    pub(crate) version: u32,
    pub(crate) nominal: Option<u64>,
    pub(crate) note: String,
}

impl Frame {
    /// A frame of what the machine has once and nobody states.
    pub(crate) const fn new(attribute: Attribute, method: &'static str, version: u32) -> Self {
        Self { attribute, device: None, method, version, nominal: None, note: String::new() }
    }
    pub(crate) fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
    fn into_reading(self) -> Reading {
        Reading {
            attribute: self.attribute,
            device: self.device,
            nominal: self.nominal,
            measured: None,
            spread_permille: None,
            method: Cow::Borrowed(self.method),
            version: self.version,
            took: Span::ZERO,
            note: self.note,
        }
    }
    /// A reading without a value.
    pub(crate) fn unavailable(self, why: &str) -> Reading {
        let mut reading = self.into_reading();
        reading.note = format!("not available: {why}");
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let check = |permille, expect: f64| {
            assert!((percentile(&values, permille) - expect).abs() < 1e-9, "{permille}");
        };
        check(500, 50.0);
        check(990, 99.0);
        check(1_000, 100.0);
        check(0, 1.0);
        assert!((percentile(&[7.0], 990) - 7.0).abs() < 1e-9);
    }

    #[test]
    fn median_and_spread_leave_the_warm_up_out() {
        let cancel = Cancel::new();
        let mut repetitions = Repetitions::new(Effort::Full, &cancel);
        for seconds in [100.0, 1.0, 2.0, 4.0] {
            repetitions.another(seconds);
        }
        let frame = Frame::new(Attribute::MemoryTriadAll, "test", 1);
        let reading = repetitions.rate(frame, 8.0);
        assert_eq!(reading.measured, Some(4));
        // (8 − 2) ÷ 4
        assert_eq!(reading.spread_permille, Some(1_500));
    }

    #[test]
    fn at_least_three_repetitions_then_the_share_ends_it() {
        let cancel = Cancel::new();
        let mut repetitions = Repetitions::new(Effort::Quick, &cancel);
        let more: Vec<bool> = (0..4).map(|_| repetitions.another(10.0)).collect();
        assert_eq!(more, [true, true, true, false]);
        let mut endless = Repetitions::new(Effort::Full, &cancel);
        assert!(endless.another(0.0));
        cancel.cancel();
        assert!(!endless.another(0.0));
    }

    #[test]
    fn a_reading_without_a_value_is_no_measurement() {
        let frame = Frame::new(Attribute::DiskWrite, "test", 3);
        let missing = frame.clone().unavailable("no disk");
        assert_eq!(missing.measurement(Time::EPOCH, Span::ZERO, Sharing::Shared), None);
        let there = Reading { measured: Some(5), ..frame.into_reading() };
        let measurement = there.measurement(Time::EPOCH, Span::ZERO, Sharing::Shared);
        assert_eq!(measurement.expect("it has a value").method.version, "3");
        let text = serde_json::to_string(&there).expect("plain data");
        assert_eq!(serde_json::from_str::<Reading>(&text).expect("its own text"), there);
    }
}
