//! Matrix multiplication rates and memory bandwidth of NVIDIA cards.
//!
//! cuBLASLt proposes algorithms, each is timed, the fastest is measured: that is what a program
//! that tunes itself gets. The card's own events time it. The first value of each product is
//! compared with the host's, so that a rate of wrong results is never reported. Without driver or
//! library every reading says why it has no value; nothing of CUDA is needed to build.

mod cuda;
mod numbers;

use dayan_measure::{Attribute, Precision, find_model};

use self::cuda::{Accumulation, Card, Cuda, Scalar, Types};
use self::numbers::{BF16, FP8, FP16, FP32, FP64, Format, INT8, INT32};
use super::{Cancel, Effort, Frame, Reading, Repetitions, Stopwatch};

const VERSION: u32 = 1;
/// Large enough to fill every card that is sold today, small enough for 8 GB of memory.
const SIDES: [usize; 4] = [1_024, 2_048, 4_096, 8_192];
/// A batch lasts at least so long: events resolve half a microsecond and a launch takes a few.
const BATCH_SECONDS_MIN: f64 = 0.01;
/// Random values are made once for so many; repeating them changes nothing that is measured.
const PATTERN_VALUES: usize = 1 << 18;

/// One precision: what goes in, what comes out.
struct Kind {
    precision: Precision,
    factor: Format,
    result: Format,
    types: Types,
}

/// `cudaDataType_t` (`library_types.h`) and `cublasComputeType_t` (`cublas_api.h`), 12.8.
fn kind(precision: Precision) -> Kind {
    const R_32F: i32 = 0;
    const R_64F: i32 = 1;
    const R_16F: i32 = 2;
    const R_8I: i32 = 3;
    const R_32I: i32 = 10;
    const R_16BF: i32 = 14;
    const R_8F_E4M3: i32 = 28;
    const COMPUTE_32F: i32 = 68;
    const COMPUTE_64F: i32 = 70;
    const COMPUTE_32I: i32 = 72;
    const COMPUTE_32F_FAST_TF32: i32 = 77;
    let (factor, factors, result, results, compute, scalar) = match precision {
        Precision::Fp64 => (FP64, R_64F, FP64, R_64F, COMPUTE_64F, Scalar::F64),
        Precision::Fp32 => (FP32, R_32F, FP32, R_32F, COMPUTE_32F, Scalar::F32),
        Precision::Tf32 => (FP32, R_32F, FP32, R_32F, COMPUTE_32F_FAST_TF32, Scalar::F32),
        Precision::Fp16 => (FP16, R_16F, FP16, R_16F, COMPUTE_32F, Scalar::F32),
        Precision::Bf16 => (BF16, R_16BF, BF16, R_16BF, COMPUTE_32F, Scalar::F32),
        Precision::Fp8 => (FP8, R_8F_E4M3, BF16, R_16BF, COMPUTE_32F, Scalar::F32),
        Precision::Int8 => (INT8, R_8I, INT32, R_32I, COMPUTE_32I, Scalar::I32),
    };
    let accumulation = match precision {
        Precision::Fp8 => Accumulation::Fast,
        Precision::Fp64
        | Precision::Fp32
        | Precision::Tf32
        | Precision::Fp16
        | Precision::Bf16
        | Precision::Int8 => Accumulation::Plain,
    };
    let types = Types {
        factors,
        factor_bytes: factor.bytes(),
        result: results,
        result_bytes: result.bytes(),
        compute,
        scalar,
        accumulation,
    };
    Kind { precision, factor, result, types }
}

const PRECISIONS: [Precision; 7] = [
    Precision::Fp64,
    Precision::Fp32,
    Precision::Tf32,
    Precision::Fp16,
    Precision::Bf16,
    Precision::Fp8,
    Precision::Int8,
];

/// Measures every NVIDIA card, one after another. Where there is none, or a library is missing,
/// each attribute is one reading without a value.
pub fn measure(effort: Effort, cancel: &Cancel) -> Vec<Reading> {
    let cuda = match Cuda::load().and_then(|cuda| Ok((cuda.cards()?, cuda))) {
        Ok((0, _)) => return nothing("the driver sees no card"),
        Ok((count, cuda)) => (count, cuda),
        Err(why) => return nothing(&why),
    };
    let (count, mut cuda) = cuda;
    (0..count)
        .flat_map(|index| match cuda.card(index) {
            Ok(card) => card_readings(card, index, effort, cancel),
            Err(why) => missing(Some(index), &why),
        })
        .collect()
}

fn nothing(why: &str) -> Vec<Reading> {
    missing(None, why)
}

fn missing(device: Option<u32>, why: &str) -> Vec<Reading> {
    let rates = PRECISIONS.map(|precision| frame(precision, device, None));
    let copies = [Attribute::AccelMemoryBandwidth, Attribute::AccelHostToDevice]
        .map(|attribute| copy_frame(attribute, device, None));
    rates.into_iter().chain(copies).map(|frame| frame.unavailable(why)).collect()
}

fn frame(precision: Precision, device: Option<u32>, model: Option<&str>) -> Frame {
    let attribute = Attribute::accelerator_rate(precision);
    let nominal = model.and_then(find_model).and_then(|model| model.nominal(precision));
    Frame {
        device,
        nominal: nominal.map(|rate| rate.0),
        ..Frame::new(attribute, "cublaslt-gemm-square", VERSION)
    }
}

fn copy_frame(attribute: Attribute, device: Option<u32>, nominal: Option<u64>) -> Frame {
    Frame { device, nominal, ..Frame::new(attribute, "cuda-copy", VERSION) }
}

fn card_readings(mut card: Card<'_>, index: u32, effort: Effort, cancel: &Cancel) -> Vec<Reading> {
    let name = card.name().unwrap_or_default();
    let device = Some(index);
    let mut readings = Vec::new();
    for precision in PRECISIONS {
        let frame = frame(precision, device, Some(&name));
        let watch = Stopwatch::start();
        let outcome = if cancel.is_cancelled() {
            Err("cancelled".to_owned())
        } else {
            rate(&mut card, &kind(precision), frame.clone(), effort, cancel)
        };
        let reading = outcome.unwrap_or_else(|why| frame.unavailable(&why));
        readings.push(Reading { took: watch.span(), ..reading });
    }
    let copies: [(Attribute, Copying); 2] =
        [(Attribute::AccelMemoryBandwidth, within), (Attribute::AccelHostToDevice, from_host)];
    for (attribute, copying) in copies {
        let frame = copy_frame(attribute, device, None);
        let outcome = if cancel.is_cancelled() {
            Err("cancelled".to_owned())
        } else {
            copying(&card, frame.clone(), Repetitions::new(effort, cancel))
        };
        readings.push(outcome.unwrap_or_else(|why| frame.unavailable(&why)));
    }
    readings
}

/// The rate of one precision at the largest side for which there is time and memory.
fn rate(
    card: &mut Card<'_>,
    kind: &Kind,
    frame: Frame,
    effort: Effort,
    cancel: &Cancel,
) -> Result<Reading, String> {
    // The smallest side gives a first guess; each larger one corrects it.
    let free = card.free_bytes()?;
    let mut seconds = trial(card, kind, SIDES[0])?;
    let mut side = SIDES[0];
    for next in SIDES.into_iter().skip(1) {
        let growth = (next as f64 / side as f64).powi(3);
        let bytes = next * next * (2 * kind.factor.bytes() + kind.result.bytes());
        // Ten products are the least that makes a median, a spread and a choice of algorithms.
        if bytes > free / 2 || seconds * growth * 10.0 > effort.share_seconds() {
            break;
        }
        seconds = trial(card, kind, next)?;
        side = next;
    }
    measure_side(card, kind, side, frame, effort, cancel)
}

/// Seconds of one product with the library's first proposal.
fn trial(card: &mut Card<'_>, kind: &Kind, n: usize) -> Result<f64, String> {
    let product = card.product(kind.types, n, 1)?;
    let card = product.card();
    let (a, b) =
        (card.buffer(n * n * kind.factor.bytes())?, card.buffer(n * n * kind.factor.bytes())?);
    let c = card.buffer(n * n * kind.result.bytes())?;
    let pattern = kind.factor.pattern(PATTERN_VALUES.min(n * n), 1);
    a.fill(&pattern)?;
    b.fill(&pattern)?;
    // The first run loads the kernel's code.
    product.queue(0, &a, &b, &c)?;
    card.time(|| product.queue(0, &a, &b, &c))
}

fn measure_side(
    card: &mut Card<'_>,
    kind: &Kind,
    n: usize,
    frame: Frame,
    effort: Effort,
    cancel: &Cancel,
) -> Result<Reading, String> {
    let wanted = match effort {
        Effort::Quick => 8,
        Effort::Full => 32,
    };
    let product = card.product(kind.types, n, wanted)?;
    let card = product.card();
    let side_bytes = n * n * kind.factor.bytes();
    let (a, b) = (card.buffer(side_bytes)?, card.buffer(side_bytes)?);
    let c = card.buffer(n * n * kind.result.bytes())?;
    let count = PATTERN_VALUES.min(n * n);
    let patterns = (kind.factor.pattern(count, 1), kind.factor.pattern(count, 2));
    a.fill(&patterns.0)?;
    b.fill(&patterns.1)?;
    // A proposal that fails is passed over; the library proposes some that a card cannot run.
    let mut best: Option<(f64, usize)> = None;
    for candidate in 0..product.candidates() {
        if cancel.is_cancelled() {
            return Err("cancelled".to_owned());
        }
        let run = || product.queue(candidate, &a, &b, &c);
        let Ok(seconds) = run().and_then(|()| card.time(run)) else { continue };
        if best.is_none_or(|(least, _)| seconds < least) {
            best = Some((seconds, candidate));
        }
    }
    let (seconds, candidate) = best.ok_or("none of the proposed algorithms ran")?;
    let run = || product.queue(candidate, &a, &b, &c);
    run()?;
    check_first(kind, n, &patterns, &c.first::<8>()?)?;
    let batch = (BATCH_SECONDS_MIN / seconds).ceil().clamp(1.0, 1_000.0);
    let mut repetitions = Repetitions::new(effort, cancel);
    loop {
        let mut left = batch;
        let took = card.time(|| {
            while left >= 1.0 {
                run()?;
                left -= 1.0;
            }
            Ok(())
        })?;
        if !repetitions.another(took / batch) {
            break;
        }
    }
    let note = format!("n={n}, best of {} algorithms", product.candidates());
    Ok(repetitions.rate(frame.with_note(note), 2.0 * (n as f64).powi(3)))
}

/// The first value of Aᵀ · B is the dot product of both first columns.
fn check_first(
    kind: &Kind,
    n: usize,
    (a, b): &(Vec<u8>, Vec<u8>),
    first: &[u8; 8],
) -> Result<(), String> {
    // What the result's format rounds away, and what the way of summing may lose of each term:
    // TF32 keeps 10 bits of a factor, fast FP8 about 13 bits of a sum.
    let (rounding, summing) = match kind.precision {
        Precision::Fp64 => (1e-14, 1e-12),
        Precision::Fp32 => (1e-6, 1e-5),
        Precision::Tf32 => (1e-6, 1e-3),
        Precision::Fp16 => (2f64.powi(-9), 1e-4),
        Precision::Bf16 => (2f64.powi(-7), 1e-4),
        Precision::Fp8 => (2f64.powi(-7), 2e-3),
        Precision::Int8 => (0.0, 0.0),
    };
    let products = || kind.factor.values(a).zip(kind.factor.values(b)).take(n).map(|(a, b)| a * b);
    let expect: f64 = products().sum();
    let size: f64 = products().map(f64::abs).sum();
    let got = kind.result.values(&first[..kind.result.bytes()]).next().unwrap_or(f64::NAN);
    // Written so that a NaN fails.
    if (got - expect).abs() <= rounding * expect.abs() + summing * size {
        Ok(())
    } else {
        Err(format!("the card computed {got} where {expect} is right"))
    }
}

/// A way of copying that can be measured.
type Copying = fn(&Card<'_>, Frame, Repetitions<'_>) -> Result<Reading, String>;

/// Copies inside the card's memory; every byte is read and written.
fn within(card: &Card<'_>, frame: Frame, repetitions: Repetitions<'_>) -> Result<Reading, String> {
    let bytes = (card.free_bytes()? / 4).min(1 << 30);
    let (from, to) = (card.buffer(bytes)?, card.buffer(bytes)?);
    from.fill(&INT8.pattern(PATTERN_VALUES, 3))?;
    let frame = frame.with_note(format!("{} MiB, read and written", bytes >> 20));
    copies(card, frame, repetitions, 2.0 * bytes as f64, || to.copy_from(&from))
}

/// Copies from pinned host memory to the card.
fn from_host(
    card: &Card<'_>,
    frame: Frame,
    repetitions: Repetitions<'_>,
) -> Result<Reading, String> {
    let bytes = (card.free_bytes()? / 4).min(256 << 20);
    let (from, to) = (card.pinned(bytes)?, card.buffer(bytes)?);
    let frame = frame.with_note(format!("{} MiB from pinned memory", bytes >> 20));
    copies(card, frame, repetitions, bytes as f64, || to.copy_from_host(&from))
}

fn copies(
    card: &Card<'_>,
    frame: Frame,
    mut repetitions: Repetitions<'_>,
    bytes: f64,
    copy: impl Fn() -> Result<(), String>,
) -> Result<Reading, String> {
    while repetitions.another(card.time(&copy)?) {}
    Ok(repetitions.rate(frame, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_card_every_attribute_has_a_reason() {
        let readings = nothing("libcuda.so.1 is not installed");
        assert_eq!(readings.len(), PRECISIONS.len() + 2);
        for reading in readings {
            assert_eq!(reading.measured, None);
            assert_eq!(reading.note, "not available: libcuda.so.1 is not installed");
        }
    }

    #[test]
    fn a_cancelled_measurement_has_no_values_with_or_without_a_card() {
        let cancel = Cancel::new();
        cancel.cancel();
        let readings = measure(Effort::Quick, &cancel);
        assert!(readings.len() >= PRECISIONS.len() + 2);
        assert!(readings.iter().all(|r| r.measured.is_none() && !r.note.is_empty()));
    }

    #[test]
    fn nominal_rates_come_from_the_catalogue() {
        let frame = frame(Precision::Fp16, Some(0), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!(frame.nominal, Some(989_400_000_000_000));
        assert_eq!(super::frame(Precision::Fp16, None, Some("no such card")).nominal, None);
    }

    #[test]
    fn wrong_results_are_refused() {
        for (precision, n) in PRECISIONS.into_iter().flat_map(|p| SIDES.map(|n| (p, n))) {
            let kind = kind(precision);
            let patterns = (kind.factor.pattern(n, 1), kind.factor.pattern(n, 2));
            let (a, b) = (kind.factor.values(&patterns.0), kind.factor.values(&patterns.1));
            let right: f64 = a.zip(b).map(|(a, b)| a * b).sum();
            let check = |value: f64| check_first(&kind, n, &patterns, &nearest(kind.result, value));
            assert_eq!(check(right), Ok(()), "{precision:?}");
            for wrong in [0.0, -right, 2.0 * right] {
                assert!(check(wrong).is_err(), "{precision:?} n={n}: {wrong} for {right}");
            }
        }
    }

    /// The bits of a value, by cutting off what does not fit.
    fn nearest(format: Format, value: f64) -> [u8; 8] {
        let raw = match format {
            Format::Integer { .. } => super::super::whole(value.abs())
                .cast_signed()
                .wrapping_mul(if value < 0.0 { -1 } else { 1 })
                .cast_unsigned(),
            Format::Float { .. } if value == 0.0 => 0,
            Format::Float { exponent, mantissa } => {
                let bits = value.to_bits();
                let bias = (1u64 << (exponent - 1)) - 1;
                let power = ((bits >> 52) & 0x7ff) + bias - 1_023;
                let sign = bits >> 63;
                let fraction = (bits & ((1 << 52) - 1)) >> (52 - mantissa);
                (sign << (exponent + mantissa)) | (power << mantissa) | fraction
            }
        };
        raw.to_le_bytes()
    }
}
