//! Memory bandwidth and latency.
//!
//! Bandwidth is the triad a = b + s·c of STREAM (McCalpin, IEEE TCCA Newsletter, Dec. 1995) with
//! arrays of at least four times the last-level cache, counted as STREAM does: three arrays moved,
//! the read that a store to an uncached line causes not counted. Latency is a chase through one
//! random cycle over cache lines, so that no prefetcher can guess the next one.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use dayan_measure::Attribute;

use super::cpu::Width;
use super::{Cancel, Effort, Frame, Host, Reading, Repetitions, Stopwatch};

const VERSION: u32 = 1;
/// STREAM's rule: no array may be held by the caches.
const CACHES_PER_ARRAY: u64 = 4;
/// Where the cache is unknown or tiny: more than any client processor's cache, quick to fill.
const ARRAY_MIN_BYTES: u64 = 64 << 20;
/// More does not change the result, and building the cycle would take longer than the chase.
const CYCLE_MAX_BYTES: u64 = 512 << 20;
/// At 100 ns about 10 ms: long against the clock's resolution, short against a share of time.
const STEPS_PER_REPETITION: usize = 100_000;

/// Measures bandwidth on one core and on all, and latency.
pub fn measure(host: &Host, effort: Effort, cancel: &Cancel) -> Vec<Reading> {
    vec![
        bandwidth(host, Width::Core, effort, cancel),
        bandwidth(host, Width::All, effort, cancel),
        latency(host, effort, cancel),
    ]
}

fn bandwidth(host: &Host, width: Width, effort: Effort, cancel: &Cancel) -> Reading {
    let (attribute, threads, caches) = match width {
        Width::Core => (Attribute::MemoryTriadSingle, 1, host.one_cache),
        Width::All => (Attribute::MemoryTriadAll, host.threads.get(), host.all_caches),
    };
    let wanted = caches.0.saturating_mul(CACHES_PER_ARRAY).max(ARRAY_MIN_BYTES);
    let array = wanted.min(host.memory.0 / 8);
    let mut note = format!("arrays of {} MiB, {threads} threads", array >> 20);
    if array < wanted {
        note.push_str(", smaller than four times the caches for want of memory");
    }
    let frame = Frame::new(attribute, "triad", VERSION).with_note(note);
    if cancel.is_cancelled() {
        return frame.unavailable("cancelled");
    }
    let length = usize::try_from(array).unwrap_or(usize::MAX) / size_of::<f64>() / threads;
    triad(frame, length.max(1), threads, Repetitions::new(effort, cancel))
}

/// Each thread makes and fills its own parts of the arrays, so that they lie in its own NUMA node.
fn triad(frame: Frame, length: usize, threads: usize, mut repetitions: Repetitions<'_>) -> Reading {
    let gate = Barrier::new(threads);
    let stop = AtomicBool::new(false);
    let arrays = || (vec![0.0f64; length], vec![1.5f64; length], vec![0.25f64; length]);
    let round = |(a, b, c): &mut (Vec<f64>, Vec<f64>, Vec<f64>)| {
        for ((a, b), c) in a.iter_mut().zip(&*b).zip(&*c) {
            *a = *b + 3.0 * *c;
        }
        // The next round overwrites `a` unread; without this the compiler could leave a round out.
        std::hint::black_box(a);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                let mut mine = arrays();
                loop {
                    gate.wait();
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    round(&mut mine);
                    gate.wait();
                }
            });
        }
        let mut mine = arrays();
        loop {
            let watch = Stopwatch::start();
            gate.wait();
            round(&mut mine);
            gate.wait();
            if !repetitions.another(watch.seconds()) {
                break;
            }
        }
        stop.store(true, Ordering::Release);
        gate.wait();
    });
    let bytes = 3.0 * (length * threads * size_of::<f64>()) as f64;
    repetitions.rate(frame, bytes)
}

fn latency(host: &Host, effort: Effort, cancel: &Cancel) -> Reading {
    let wanted = host.one_cache.0.saturating_mul(CACHES_PER_ARRAY).max(ARRAY_MIN_BYTES);
    let bytes = wanted.min(CYCLE_MAX_BYTES).min(host.memory.0 / 8);
    let frame = Frame::new(Attribute::MemoryLatency, "pointer-chase", VERSION)
        .with_note(format!("one random cycle over {} MiB", bytes >> 20));
    if cancel.is_cancelled() {
        return frame.unavailable("cancelled");
    }
    let lines = usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<Line>();
    let watch = Stopwatch::start();
    let cycle = cycle(lines.max(2));
    let reading = chase(frame, &cycle, STEPS_PER_REPETITION, Repetitions::new(effort, cancel));
    Reading { took: watch.span(), ..reading }
}

/// A cache line that names the next one.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    next: u32,
}

/// One cycle through all lines in random order (Sattolo, Inf. Proc. Letters 22(6), 1986).
fn cycle(lines: usize) -> Vec<Line> {
    let last = u32::try_from(lines).expect("at most 512 MiB of lines, which is 2²³ of them");
    let mut cycle: Vec<Line> = (0..last).map(|next| Line { next }).collect();
    // SplitMix64 (Steele, Lea, Flood, OOPSLA 2014); the order need only be irregular.
    let mut state = 0u64;
    let mut random_below = |bound: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    };
    for i in (1..lines).rev() {
        cycle.swap(i, random_below(i));
    }
    cycle
}

fn chase(frame: Frame, cycle: &[Line], steps: usize, mut repetitions: Repetitions<'_>) -> Reading {
    let mut at = 0u32;
    loop {
        let watch = Stopwatch::start();
        for _ in 0..steps {
            at = cycle[at as usize].next;
        }
        at = std::hint::black_box(at);
        if !repetitions.another(watch.seconds()) {
            break;
        }
    }
    repetitions.picoseconds_each(frame, steps as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_visits_every_line_once() {
        for lines in [2, 3, 17, 1_000] {
            let cycle = cycle(lines);
            let mut seen = vec![0; lines];
            let mut at = 0;
            for _ in 0..lines {
                seen[at] += 1;
                at = cycle[at].next as usize;
            }
            assert_eq!(at, 0);
            assert!(seen.iter().all(|count| *count == 1), "{lines}");
        }
    }

    #[test]
    fn small_arrays_give_a_bandwidth_and_a_latency() {
        let cancel = Cancel::new();
        let new = || Repetitions::new(Effort::Quick, &cancel);
        let frame = |attribute| Frame::new(attribute, "test", 1);
        assert!(triad(frame(Attribute::MemoryTriadAll), 1_000, 2, new()).measured > Some(0));
        let latency = chase(frame(Attribute::MemoryLatency), &cycle(64), 1_000, new());
        assert!(latency.measured > Some(0));
    }

    #[test]
    fn cancelling_leaves_no_value() {
        let cancel = Cancel::new();
        cancel.cancel();
        for reading in measure(&Host::for_tests(), Effort::Full, &cancel) {
            assert_eq!(reading.measured, None);
        }
    }
}
