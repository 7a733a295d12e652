//! `dayan-forecast`: a limited-area forecast by a gang of ranks; maps and a data file.

use std::path::Path;
use std::process::ExitCode;

use dayan_examples::args::{Given, Opt, Usage, UsageError, main_with};
use dayan_examples::forecast::{
    Forecast, Gang, GridFile, Meeting, Region, fingerprint, forecast, save, summary,
};
use dayan_examples::place::{Place, check_rank};

/// Where rank 0 listens when nobody set a port aside and no gang has a name: the port that
/// launchers of gangs commonly use for their meeting.
const PORT: u16 = 29_500;
/// With a name and no port, the name picks one of these, so that gangs on one machine hardly
/// ever meet at the same door; they lie below the ports that systems give to outgoing calls.
const NAMED_PORTS: std::ops::Range<u16> = 20_000..29_000;

const USAGE: Usage = Usage {
    program: "dayan-forecast",
    about: "Solves the shallow-water equations over idealised terrain of south-west China, by one\n\
            rank or several that exchange borders over TCP. Rank 0 writes vorticity_NNNh.png,\n\
            wind_NNNh.png and forecast.grid. The result does not depend on the number of ranks.\n\
            `dayan-forecast info FILE` tells what is in a data file.",
    words: "[info FILE]",
    options: &[
        Opt { name: "hours", value: "N", help: "hours ahead, 0..240 (default 24)" },
        Opt { name: "every", value: "N", help: "hours between outputs, 1..240 (default 6)" },
        Opt { name: "grid", value: "WxH", help: "cells, sides 8..4000 (default 240x186)" },
        Opt { name: "spacing", value: "KM", help: "side of a cell, 1..100 km (default 8)" },
        Opt { name: "seed", value: "N", help: "seed of the weather at hour 0 (default 1)" },
        Opt { name: "ranks", value: "N", help: "ranks in the gang (default DAYAN_NODES, or 1)" },
        Opt { name: "rank", value: "I", help: "this rank (default DAYAN_NODE_RANK, or 0)" },
        Opt {
            name: "head",
            value: "HOST",
            help: "host of rank 0 (default DAYAN_HEAD, or 127.0.0.1)",
        },
        Opt {
            name: "port",
            value: "PORT",
            help: "port of rank 0 (default DAYAN_PORT, or by the job's id, or 29500)",
        },
        Opt {
            name: "rendezvous",
            value: "FILE",
            help: "meet by this file instead of a port (one machine)",
        },
        Opt { name: "out", value: "DIR", help: "folder for rank 0's files (default out)" },
    ],
    environment: &[
        ("DAYAN_NODES", "ranks in the gang"),
        ("DAYAN_NODE_RANK", "this rank"),
        ("DAYAN_HEAD", "host of rank 0 (else the first of DAYAN_NODELIST)"),
        ("DAYAN_PORT", "port set aside for the gang on that host"),
        ("DAYAN_RENDEZVOUS", "file to meet by"),
        ("DAYAN_JOB", "tells this gang from others at the meeting"),
    ],
};

fn main() -> ExitCode {
    main_with(&USAGE, work)
}

fn work(given: &Given) -> anyhow::Result<()> {
    match given.words() {
        [] => run(given),
        [info, file] if info == "info" => tell(Path::new(file)),
        other => Err(UsageError(format!("unexpected {other:?}; see --help")).into()),
    }
}

fn run(given: &Given) -> anyhow::Result<()> {
    let place = Place::of_this_process()?;
    let default = Forecast::default();
    let (columns, rows) = given.size("grid", (default.columns, default.rows), 8, 4_000)?;
    let plan = Forecast {
        columns,
        rows,
        spacing_km: given.number("spacing", default.spacing_km, 1.0, 100.0)?,
        hours: given.number("hours", default.hours, 0, 240)?,
        every: given.number("every", default.every, 1, 240)?,
        seed: given.number("seed", default.seed, 0, u64::MAX)?,
    };
    let ranks = given.value("ranks")?.unwrap_or(place.nodes);
    let rank = given.value("rank")?.unwrap_or(place.rank);
    check_rank(rank, ranks)?;
    if ranks > plan.rows {
        return Err(UsageError(format!("{ranks} ranks for {} rows", plan.rows)).into());
    }
    let file = given.text("rendezvous").map(str::to_owned).or_else(|| place.rendezvous.clone());
    let meeting = match file {
        Some(file) => Meeting::File(file.into()),
        None => Meeting::Port {
            head: given.text("head").unwrap_or(&place.head).to_owned(),
            port: given.value("port")?.or(place.port).unwrap_or_else(|| port_of(&place.gang)),
        },
    };
    let print = fingerprint(&[&place.gang, &format!("{plan:?}")]);
    let mut gang = Gang::form(rank, ranks, &meeting, print)?;
    let outcome = forecast(&plan, &mut gang, |region, output| {
        println!("{}", summary(region, output));
    })?;
    if rank > 0 {
        println!("rank {rank} of {ranks}: {} steps", outcome.steps);
        return Ok(());
    }
    let folder = Path::new(given.text("out").unwrap_or("out"));
    let region = Region::new(plan.columns, plan.rows, plan.spacing_km, plan.seed);
    for name in save(&plan, &region, &outcome.outputs, folder)? {
        println!("{}", folder.join(name).display());
    }
    println!("{} steps of {:.2} s by {ranks} ranks", outcome.steps, region.grid.step);
    Ok(())
}

/// The port at which a gang of this name meets when none was set aside.
fn port_of(gang: &str) -> u16 {
    if gang.is_empty() {
        return PORT;
    }
    let ports = u64::from(NAMED_PORTS.end - NAMED_PORTS.start);
    let pick = fingerprint(&[gang]) % ports;
    NAMED_PORTS.start + u16::try_from(pick).expect("a remainder of a number below 65,536")
}

/// Prints a data file's header and the range of every variable at every time.
fn tell(path: &Path) -> anyhow::Result<()> {
    let file = GridFile::load(path)?;
    println!("{}", file.title);
    for (name, value) in &file.attributes {
        println!("  {name}: {value}");
    }
    for (name, units, values) in &file.dims {
        let (first, last) = (values.first().unwrap_or(&0.0), values.last().unwrap_or(&0.0));
        println!("dimension {name}: {} from {first} to {last} {units}", values.len());
    }
    for field in &file.fields {
        println!(
            "{} [{}] {} ({})",
            field.name,
            field.units,
            field.long_name,
            field.dims.join(", ")
        );
        let times = match (field.dims.first(), file.dims.first()) {
            (Some(dim), Some((name, _, values))) if dim == name => values.clone(),
            _ => vec![],
        };
        let parts = times.len().max(1);
        for (i, part) in field.values.chunks(field.values.len().div_ceil(parts).max(1)).enumerate()
        {
            let low = part.iter().copied().fold(f32::INFINITY, f32::min);
            let high = part.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mean = part.iter().map(|v| f64::from(*v)).sum::<f64>() / part.len() as f64;
            let when = times.get(i).map_or(String::new(), |hour| format!("hour {hour}: "));
            println!("  {when}{low:.2} to {high:.2}, mean {mean:.3}");
        }
    }
    Ok(())
}
