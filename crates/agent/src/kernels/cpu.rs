//! Matrix multiplication rates of the processor, in double and single precision, on one core and
//! on all that we may use.
//!
//! A reading counts 2n³ operations for a product of square matrices, the convention of HPL and of
//! every vendor's peak. Nominal is operations a cycle of the instruction set times the highest
//! clock, which a loaded processor rarely holds: measured above nine tenths of it is very good.

use std::num::NonZeroUsize;

use dayan_measure::Attribute;

use super::matmul::{Again, Problem};
use super::microkernel::{Element, Microkernel};
use super::{Cancel, Effort, Frame, Host, Reading, Repetitions, Stopwatch};

/// Raised whenever the kernel, the sizes or the statistics change in a way that moves results.
const VERSION: u32 = 1;
const METHOD: &str = "gemm-square";

/// Sides that are tried, smallest first: multiples of every register tile's height or close to.
const SIDES: [usize; 9] = [512, 768, 1_024, 1_536, 2_048, 3_072, 4_096, 6_144, 8_192];
/// The side with which the rate is guessed.
const PILOT_SIDE: usize = 384;
/// So many repetitions should fit the kernel's share of time.
const REPETITIONS_AIM: f64 = 5.0;

/// Which rate of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One core.
    Core,
    /// All the cores that we may use.
    All,
}

/// Measures FP64 and FP32 on one core and on all.
pub fn measure(host: &Host, effort: Effort, cancel: &Cancel) -> Vec<Reading> {
    let mut readings = Vec::new();
    for width in [Width::Core, Width::All] {
        readings.push(rate::<f64>(host, width, effort, cancel));
        readings.push(rate::<f32>(host, width, effort, cancel));
    }
    readings
}

/// Which numbers are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 64 bits.
    Double,
    /// 32 bits.
    Single,
}

/// One product after another at side `n`, for comparing with another library: the seconds of each,
/// without the warm-up.
pub fn time_products(
    precision: Precision,
    n: usize,
    threads: NonZeroUsize,
    repetitions: usize,
) -> Vec<f64> {
    fn run<T: Element>(n: usize, threads: usize, repetitions: usize) -> Vec<f64> {
        let mut times = Vec::new();
        Problem::<T>::new(n).repeat(T::best(), threads, |seconds| {
            times.push(seconds);
            if times.len() <= repetitions { Again::Once } else { Again::Stop }
        });
        times.split_off(1)
    }
    match precision {
        Precision::Double => run::<f64>(n, threads.get(), repetitions),
        Precision::Single => run::<f32>(n, threads.get(), repetitions),
    }
}

fn rate<T: Element>(host: &Host, width: Width, effort: Effort, cancel: &Cancel) -> Reading {
    let kernel = T::best();
    let threads = match width {
        Width::Core => 1,
        Width::All => host.threads.get(),
    };
    let (attribute, per_core) = match (T::PRECISION, width) {
        (Precision::Double, Width::Core) => (Attribute::CpuDgemmSingle, host.nominal_core_fp64),
        (Precision::Double, Width::All) => (Attribute::CpuDgemmAll, host.nominal_core_fp64),
        (Precision::Single, Width::Core) => (Attribute::CpuSgemmSingle, host.nominal_core_fp32),
        (Precision::Single, Width::All) => (Attribute::CpuSgemmAll, host.nominal_core_fp32),
    };
    let mut frame = Frame::new(attribute, METHOD, VERSION);
    frame.nominal = per_core.and_then(|rate| rate.0.checked_mul(threads as u64));
    if cancel.is_cancelled() {
        return frame.unavailable("cancelled");
    }
    let watch = Stopwatch::start();
    let n = side(kernel, threads, host.memory.0, effort);
    let frame = frame.with_note(format!("n={n}, {threads} threads, kernel {}", kernel.name));
    let reading = repeat(frame, kernel, n, threads, Repetitions::new(effort, cancel));
    Reading { took: watch.span(), ..reading }
}

fn repeat<T: Element>(
    frame: Frame,
    kernel: &Microkernel<T>,
    n: usize,
    threads: usize,
    mut repetitions: Repetitions<'_>,
) -> Reading {
    Problem::<T>::new(n).repeat(kernel, threads, |seconds| {
        if repetitions.another(seconds) { Again::Once } else { Again::Stop }
    });
    repetitions.rate(frame, Problem::<T>::operations(n))
}

/// The largest side at which enough repetitions fit the share of time and the three matrices an
/// eighth of the memory.
fn side<T: Element>(
    kernel: &Microkernel<T>,
    threads: usize,
    memory_bytes: u64,
    effort: Effort,
) -> usize {
    let mut fastest = f64::INFINITY;
    let mut rounds = 0;
    Problem::<T>::new(PILOT_SIDE).repeat(kernel, threads, |seconds| {
        fastest = fastest.min(seconds);
        rounds += 1;
        if rounds < 3 { Again::Once } else { Again::Stop }
    });
    let rate = Problem::<T>::operations(PILOT_SIDE) / fastest;
    let fits = |n: usize| {
        let bytes = 3 * (n * n * size_of::<T>()) as u64;
        let seconds = Problem::<T>::operations(n) / rate;
        bytes <= memory_bytes / 8 && seconds * REPETITIONS_AIM <= effort.share_seconds()
    };
    SIDES.iter().rev().copied().find(|n| fits(*n)).unwrap_or(PILOT_SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_measurement_says_so() {
        let cancel = Cancel::new();
        cancel.cancel();
        let readings = measure(&Host::for_tests(), Effort::Full, &cancel);
        assert_eq!(readings.len(), 4);
        for reading in readings {
            assert_eq!(reading.measured, None, "{reading:?}");
            assert_eq!(reading.note, "not available: cancelled");
        }
    }

    #[test]
    fn a_small_product_has_a_rate_and_a_spread() {
        let cancel = Cancel::new();
        let frame = Frame::new(Attribute::CpuDgemmSingle, METHOD, VERSION);
        let repetitions = Repetitions::new(Effort::Quick, &cancel);
        let reading = repeat(frame, f64::best(), 48, 1, repetitions);
        assert!(reading.measured.expect("not cancelled") > 0);
        assert!(reading.spread_permille.is_some());
    }

    #[test]
    fn products_are_timed_as_often_as_asked() {
        let two = NonZeroUsize::MIN.saturating_add(1);
        assert_eq!(time_products(Precision::Double, 32, two, 4).len(), 4);
        assert_eq!(time_products(Precision::Single, 32, NonZeroUsize::MIN, 1).len(), 1);
    }
}
