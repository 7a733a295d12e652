//! `dayan-nbody`: one state point (or a range of them) of a Lennard-Jones sweep, one CSV line each.

use std::path::Path;
use std::process::ExitCode;

use dayan_examples::args::{Given, Opt, Usage, UsageError, main_with};
use dayan_examples::canvas::write_whole;
use dayan_examples::nbody::{CSV_HEADER, GRID, Plan, Point, run};
use dayan_examples::place::Place;

const USAGE: Usage = Usage {
    program: "dayan-nbody",
    about: "Molecular dynamics of a Lennard-Jones fluid. A task index is a point of a grid of 25\n\
            densities by 20 temperatures (0-499); each point gives one CSV line on stdout:\n\
            task,atoms,T_set,rho,T,pressure,energy,diffusion,drift,steps,seed (reduced units).",
    words: "",
    options: &[
        Opt {
            name: "tasks",
            value: "A-B",
            help: "grid points to run (default: the array's, or 0)",
        },
        Opt {
            name: "temperature",
            value: "T",
            help: "with --density: one point off the grid, 0.1..10",
        },
        Opt {
            name: "density",
            value: "RHO",
            help: "with --temperature: one point off the grid, 0.001..1.1",
        },
        Opt { name: "cells", value: "N", help: "4 N^3 atoms, 2..6 (default 3: 108 atoms)" },
        Opt { name: "settle", value: "STEPS", help: "steps to melt and settle (default 1200)" },
        Opt { name: "steps", value: "STEPS", help: "steps to average over (default 2400)" },
        Opt { name: "seed", value: "N", help: "seed of the velocities (default 1)" },
        Opt { name: "header", value: "", help: "print the column names first" },
        Opt { name: "out", value: "DIR", help: "also write DIR/point_NNNN.csv for each point" },
    ],
    environment: &[("DAYAN_ARRAY_FIRST/LAST/STEP", "grid points of this task")],
};

fn main() -> ExitCode {
    main_with(&USAGE, work)
}

fn work(given: &Given) -> anyhow::Result<()> {
    let default = Plan::default();
    let plan = Plan {
        cells: given.number("cells", default.cells, 2, 6)?,
        settle: given.number("settle", default.settle, 0, 10_000_000)?,
        measure: given.number("steps", default.measure, 1, 10_000_000)?,
        seed: given.number("seed", default.seed, 0, u64::MAX)?,
    };
    let points: Vec<(u64, Point)> = match (given.has("temperature"), given.has("density")) {
        (true, true) => {
            let temperature = given.number("temperature", 1.0, 0.1, 10.0)?;
            let density = given.number("density", 0.5, 0.001, 1.1)?;
            vec![(0, Point { density, temperature })]
        }
        (false, false) => Place::of_this_process()?
            .elements(given, "tasks", (0, 0))?
            .into_iter()
            .map(|task| {
                GRID.point(task).map(|point| (task, point)).ok_or_else(|| {
                    UsageError(format!("task {task}: the grid has points 0..{}", GRID.len() - 1))
                })
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(UsageError("--temperature and --density go together".into()).into()),
    };
    if given.has("header") {
        println!("{CSV_HEADER}");
    }
    for (task, point) in points {
        let result = run(task, point, plan);
        println!("{result}");
        if let Some(folder) = given.text("out") {
            let path = Path::new(folder).join(format!("point_{task:04}.csv"));
            write_whole(&path, format!("{CSV_HEADER}\n{result}\n").as_bytes())?;
        }
    }
    Ok(())
}
