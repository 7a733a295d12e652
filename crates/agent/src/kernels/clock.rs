//! The clock that the cores hold while all that we may use are busy.
//!
//! A chain of additions and exclusive ors, each of which needs the one before: on every processor we
//! know either takes one cycle, however many units it has. Cycles that are known, over time that is
//! measured, are the clock. What a hypervisor or a neighbour takes away in between looks like a
//! slower one, which is what a task would see, too. Vector arithmetic may clock lower still; how much
//! of that there is, the matrix products say.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use dayan_measure::Attribute;

use super::{Cancel, Effort, Frame, Host, Reading, Repetitions, Stopwatch};

const VERSION: u32 = 1;
/// At 3 GHz about 10 ms: long against waking the threads, short against a share of time.
const STEPS: u32 = 15_000_000;
/// One addition, one exclusive or.
const CYCLES_PER_STEP: f64 = 2.0;

/// Measures the clock under load on all cores.
pub fn measure(host: &Host, effort: Effort, cancel: &Cancel) -> Reading {
    let threads = host.threads.get();
    let mut frame = Frame::new(Attribute::CpuClock, "dependent-add", VERSION)
        .with_note(format!("integer arithmetic, {threads} threads"));
    frame.nominal = host.nominal_clock_khz;
    if cancel.is_cancelled() {
        return frame.unavailable("cancelled");
    }
    if cfg!(debug_assertions) {
        return frame.unavailable("this program was built without optimisation");
    }
    loaded(frame, threads, STEPS, Repetitions::new(effort, cancel))
}

/// All threads go at once and the slowest ends a repetition.
fn loaded(frame: Frame, threads: usize, steps: u32, mut repetitions: Repetitions<'_>) -> Reading {
    let gate = Barrier::new(threads);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                loop {
                    gate.wait();
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    turn(steps);
                    gate.wait();
                }
            });
        }
        loop {
            gate.wait();
            let watch = Stopwatch::start();
            turn(steps);
            gate.wait();
            if !repetitions.another(watch.seconds()) {
                stop.store(true, Ordering::Release);
                gate.wait();
                break;
            }
        }
    });
    // Cycles a second, in thousands.
    repetitions.rate(frame, f64::from(steps) * CYCLES_PER_STEP / 1_000.0)
}

/// The operands are hidden from the compiler, which has no shorter way to the same end then. They are
/// in registers: some processors add small constants without spending a cycle.
fn turn(steps: u32) {
    let [added, mixed] = std::hint::black_box([0x9e37_79b9_7f4a_7c15_u64, 0x94d0_49bb_1331_11eb]);
    let mut value = std::hint::black_box(0u64);
    for _ in 0..steps {
        value = value.wrapping_add(added) ^ mixed;
    }
    std::hint::black_box(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_measurement_says_so() {
        let cancel = Cancel::new();
        cancel.cancel();
        let reading = measure(&Host::for_tests(), Effort::Full, &cancel);
        assert_eq!((reading.measured, &reading.note[..]), (None, "not available: cancelled"));
    }

    #[test]
    fn several_threads_have_one_clock_beside_its_nominal() {
        let cancel = Cancel::new();
        let mut frame = Frame::new(Attribute::CpuClock, "dependent-add", VERSION);
        frame.nominal = Some(3_000_000);
        let reading = loaded(frame, 2, 100_000, Repetitions::new(Effort::Quick, &cancel));
        let khz = reading.measured.expect("not cancelled");
        assert_eq!((reading.nominal, reading.unit()), (Some(3_000_000), "kHz"));
        // Without optimisation the operands go through memory, and a busy machine has less time for
        // us; but nothing makes a step take less than its two cycles, and no processor has 10 GHz.
        assert!((1..10_000_000).contains(&khz), "{khz} kHz");
    }
}
