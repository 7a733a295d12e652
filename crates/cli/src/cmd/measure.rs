//! `dayan measure`: what this machine is said to do and what it does; and how measured values are
//! shown, here and elsewhere.

use std::path::PathBuf;

use dayan_agent::kernels::{Cancel, Effort, Reading, gpu, measure_host};
use dayan_agent::probe::probe;
use serde::Serialize;
use serde_json::Value;

use super::jobs::with_keys;
use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// Measures this machine: processor, memory, disk, accelerators
#[derive(Debug, clap::Args)]
pub struct Measure {
    /// A few seconds, enough to see a machine that is not what it claims
    #[arg(long)]
    quick: bool,
    /// A folder on the disk to measure
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
}

/// One quantity, measured on this machine.
#[expect(clippy::struct_field_names, reason = "scripts see these names")]
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Which card, counted from 0; none for what a machine has once.
    pub device: Option<u32>,
    /// What the data sheet says.
    pub nominal: Option<u64>,
    /// What was measured.
    pub measured: Option<u64>,
    /// By which method, and which version of it.
    pub method: String,
    /// When the measuring ended.
    pub at: String,
    /// Sizes, spread, or why there is no value.
    pub note: String,
}

/// All of them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MeasuredMachine {
    /// In the order in which they were measured.
    pub attributes: Vec<Measured>,
}

/// Runs it.
pub fn run(args: &Measure, session: &Session) -> Result<Exit, Failure> {
    let effort = if args.quick { Effort::Quick } else { Effort::Full };
    let word = if args.quick { Word::MeasuringQuickly } else { Word::Measuring };
    session.out.say(&Said::plain(word));
    let (inventory, cancel) = (probe(&args.data), Cancel::new());
    let mut readings = measure_host(&inventory.host(None), &args.data, effort, &cancel);
    readings.extend(gpu::measure(effort, &cancel));
    // To the second: how long a kernel ran is no reason for six decimals.
    let at = jiff::Timestamp::from_second(crate::clock::now().as_second())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string();
    let attributes = readings.iter().map(|reading| measured(reading, &at)).collect();
    session.out.show(&MeasuredMachine { attributes })?;
    Ok(Exit::Ok)
}

fn measured(reading: &Reading, at: &str) -> Measured {
    Measured {
        name: reading.attribute.to_string(),
        unit: reading.unit().to_owned(),
        device: reading.device,
        nominal: reading.nominal,
        measured: reading.measured,
        method: format!("{}/{}", reading.method, reading.version),
        at: at.to_owned(),
        note: reading.note.clone(),
    }
}

impl Show for MeasuredMachine {
    fn table(&self, view: &View) -> String {
        let heads =
            [Word::Attribute, Word::Measured, Word::Nominal, Word::Unit, Word::Method, Word::Note];
        let mut grid = Grid::new(view, &heads);
        for row in &self.attributes {
            let device = row.device.map_or_else(String::new, |device| format!("#{device}"));
            grid.row([
                Cell::text(format!("{}{device}", row.name)),
                Cell::number(scaled(row.measured)),
                Cell::number(scaled(row.nominal)),
                Cell::text(&row.unit),
                Cell::text(&row.method),
                Cell::text(&row.note),
            ]);
        }
        grid.finish()
    }
}

/// Attributes as scripts see them: every documented key is there.
pub fn complete(attributes: &mut Value) {
    if let Value::Array(attributes) = attributes {
        for attribute in attributes {
            with_keys(attribute, &["nominal", "measured", "method", "at"]);
        }
    }
}

/// A quantity with a prefix: `1.23 G`.
pub fn scaled(value: Option<u64>) -> String {
    const PREFIXES: [(f64, &str); 5] =
        [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let Some(value) = value else { return "-".to_owned() };
    let amount = value as f64;
    match PREFIXES.iter().find(|(size, _)| amount >= *size && value >= 10_000) {
        Some((size, prefix)) => format!("{:.2} {prefix}", amount / size),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{both, sample};

    #[test]
    fn quantities_have_prefixes() {
        let check = |value, expect: &str| assert_eq!(scaled(value), expect);
        check(None, "-");
        check(Some(0), "0");
        check(Some(9_999), "9999");
        check(Some(12_345), "12.35 k");
        check(Some(1_230_000_000), "1.23 G");
        check(Some(u64::MAX), "18446.74 P");
    }

    #[test]
    fn a_machine_as_people_and_scripts_see_it() {
        let row = |name: &str, device, measured: Option<u64>, note: &str| Measured {
            name: name.to_owned(),
            unit: "FLOPS".to_owned(),
            device,
            nominal: Some(140_000_000_000),
            measured,
            method: "gemm/1".to_owned(),
            at: "2026-11-23T12:00:00Z".to_owned(),
            note: note.to_owned(),
        };
        let attributes = vec![
            row("cpu.fp64.all", None, Some(123_456_789_000), "2 threads"),
            row("accelerator.fp16", Some(0), None, "no driver"),
        ];
        let machine = MeasuredMachine { attributes };
        insta::assert_snapshot!(both(&machine));
        insta::assert_snapshot!("measure_json", sample(&machine));
    }
}
