//! Prints what this machine is and what it can do.
//!
//! `cargo run --release -p dayan-agent --example measure -- [--quick] [DIR]` prints the table;
//! `… -- --gemm double|single SIDE THREADS REPETITIONS` prints the seconds of each product, for
//! `tools/compare_dgemm.py`.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;

use dayan_agent::kernels::cpu::{Precision, time_products};
use dayan_agent::kernels::{Cancel, Effort, Reading, gpu, measure_host};
use dayan_agent::probe::probe;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--gemm", precision, side, threads, repetitions] => {
            gemm(precision, side, threads, repetitions)
        }
        ["--quick", dir] => table(Effort::Quick, Path::new(dir)),
        ["--quick"] => table(Effort::Quick, &std::env::temp_dir()),
        [dir] => table(Effort::Full, Path::new(dir)),
        _ => table(Effort::Full, &std::env::temp_dir()),
    }
}

fn gemm(precision: &str, side: &str, threads: &str, repetitions: &str) -> std::io::Result<()> {
    let bad = |what: &str| std::io::Error::other(format!("{what} is no positive number"));
    let number = |text: &str| text.parse::<NonZeroUsize>().map_err(|_| bad(text));
    let precision = match precision {
        "single" => Precision::Single,
        _ => Precision::Double,
    };
    let (side, threads) = (number(side)?, number(threads)?);
    let times = time_products(precision, side.get(), threads, number(repetitions)?.get());
    let mut out = std::io::stdout().lock();
    times.iter().try_for_each(|seconds| writeln!(out, "{seconds:.9}"))
}

fn table(effort: Effort, dir: &Path) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let inventory = probe(dir);
    write!(out, "{}", inventory.canonical_text())?;
    for source in &inventory.accelerators {
        writeln!(out, "{}: {:?}", source.vendor, source.cards)?;
    }
    writeln!(out, "usable: {} cpus, {:?}", inventory.limits.cpu, inventory.limits.memory)?;
    let cancel = Cancel::new();
    let mut readings = measure_host(&inventory.host(None), dir, effort, &cancel);
    readings.extend(gpu::measure(effort, &cancel));
    readings.iter().try_for_each(|reading| line(&mut out, reading))
}

fn line(out: &mut impl Write, reading: &Reading) -> std::io::Result<()> {
    let scaled = |value: Option<u64>| match value {
        None => "-".to_owned(),
        Some(value) if value >= 1_000_000_000 => format!("{:.2} G", value as f64 / 1e9),
        Some(value) if value >= 1_000_000 => format!("{:.2} M", value as f64 / 1e6),
        Some(value) => value.to_string(),
    };
    let device = reading.device.map_or_else(String::new, |device| format!("#{device}"));
    writeln!(
        out,
        "{:24}{device:3} {:>12} of {:>12} {:7} ±{:>4}‰ {:>8.3} s  {}/{} {}",
        reading.attribute,
        scaled(reading.measured),
        scaled(reading.nominal),
        reading.unit(),
        reading.spread_permille.unwrap_or(0),
        reading.took.micros() as f64 / 1e6,
        reading.method,
        reading.version,
        reading.note,
    )
}
