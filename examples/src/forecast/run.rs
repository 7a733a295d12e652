//! A forecast from start to end: bands, steps, gathering, and what is kept of each output hour.

use std::path::Path;

use super::data::{Field, GridFile};
use super::gang::Gang;
use super::map;
use super::region::Region;
use super::solver::{Band, share};

/// What is forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Cells from west to east.
    pub columns: usize,
    /// Cells from south to north.
    pub rows: usize,
    /// Side of a cell, kilometres.
    pub spacing_km: f64,
    /// Hours ahead.
    pub hours: u32,
    /// Hours between outputs.
    pub every: u32,
    /// Seed of the weather at hour 0.
    pub seed: u64,
}

impl Default for Forecast {
    fn default() -> Forecast {
        Forecast { columns: 240, rows: 186, spacing_km: 8.0, hours: 24, every: 6, seed: 1 }
    }
}

/// The fields at one output hour, rows from the south.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Hours since the start.
    pub hour: u32,
    /// Depth of the fluid at centres, metres.
    pub depth: Vec<f64>,
    /// Wind eastward on western faces, m/s.
    pub u: Vec<f64>,
    /// Wind northward on southern faces, m/s.
    pub v: Vec<f64>,
}

/// What a rank has at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps taken.
    pub steps: u64,
    /// On rank 0 the outputs in order of time; elsewhere nothing.
    pub outputs: Vec<Output>,
}

/// Runs one rank's part. `report` hears on rank 0 of every output hour.
pub fn forecast(
    plan: &Forecast,
    gang: &mut Gang,
    mut report: impl FnMut(&Region, &Output),
) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        plan.rows >= gang.size(),
        "{} rows cannot be shared among {} ranks",
        plan.rows,
        gang.size()
    );
    let region = Region::new(plan.columns, plan.rows, plan.spacing_km, plan.seed);
    let mut band = Band::new(
        region.grid,
        share(plan.rows, gang.rank(), gang.size()),
        |column, row| region.terrain(column, row),
        |column, row| region.start(column, row),
    );
    let mut outcome = Outcome { steps: 0, outputs: Vec::new() };
    let mut hour = 0;
    loop {
        if let Some(parts) = gang.gather(band.values())? {
            let output = join(hour, &parts);
            report(&region, &output);
            outcome.outputs.push(output);
        }
        if hour >= plan.hours {
            return Ok(outcome);
        }
        hour = (hour + plan.every.max(1)).min(plan.hours);
        // Steps are counted, not timed, so that every rank agrees on when an hour is reached.
        let until = (f64::from(hour) * 3_600.0 / region.grid.step).round() as u64;
        while outcome.steps < until {
            band.step(|b| gang.exchange(b.south, b.north, b.below, b.above))?;
            outcome.steps += 1;
        }
    }
}

/// Puts the bands' values together; each part holds depth, u and v of its rows.
fn join(hour: u32, parts: &[Vec<f64>]) -> Output {
    let field = |i: usize| {
        parts
            .iter()
            .flat_map(|part| {
                let third = part.len() / 3;
                part[i * third..(i + 1) * third].iter().copied()
            })
            .collect()
    };
    Output { hour, depth: field(0), u: field(1), v: field(2) }
}

/// One line about an output: mean depth (conserved), strongest wind, lowest and highest surface.
pub fn summary(region: &Region, output: &Output) -> String {
    let cells = output.depth.len().max(1) as f64;
    let mass = output.depth.iter().sum::<f64>() / cells;
    let wind = map::wind(region, output).into_iter().map(|(u, v)| u.hypot(v)).fold(0.0, f64::max);
    let surface = map::surface(region, output);
    let low = surface.iter().copied().fold(f64::MAX, f64::min);
    let high = surface.iter().copied().fold(f64::MIN, f64::max);
    format!(
        "hour {:>3}: surface {low:.0} to {high:.0} m, strongest wind {wind:.1} m/s, mean depth \
         {mass:.6} m",
        output.hour
    )
}

/// Writes maps of every output and the data file; returns the names of the files.
pub fn save(
    plan: &Forecast,
    region: &Region,
    outputs: &[Output],
    folder: &Path,
) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let atlas = map::Atlas::new(region);
    for output in outputs {
        let maps = [("vorticity", atlas.vorticity(output)), ("wind", atlas.wind(output))];
        for (kind, canvas) in maps {
            let name = format!("{kind}_{:03}h.png", output.hour);
            canvas.save(&folder.join(&name))?;
            names.push(name);
        }
    }
    let name = "forecast.grid".to_owned();
    grid_file(plan, region, outputs).save(&folder.join(&name))?;
    names.push(name);
    Ok(names)
}

/// The data file: wind and surface at cell centres, and the terrain.
fn grid_file(plan: &Forecast, region: &Region, outputs: &[Output]) -> GridFile {
    let middle = |i: usize| i as f64 + 0.5;
    let degrees = |value: f64| (value * 1e4).round() / 1e4;
    let east = (0..plan.columns).map(|c| degrees(region.degrees(middle(c), 0.0).0)).collect();
    let north = (0..plan.rows).map(|r| degrees(region.degrees(0.0, middle(r)).1)).collect();
    let hours = outputs.iter().map(|output| f64::from(output.hour)).collect();
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let timed = words(&["time", "y", "x"]);
    let over_time = |of: &dyn Fn(&Output) -> Vec<f64>| -> Vec<f32> {
        outputs.iter().flat_map(of).map(|value| value as f32).collect()
    };
    let field = |name: &str, long: &str, units: &str, dims: &[String], values: Vec<f32>| Field {
        name: name.to_owned(),
        long_name: long.to_owned(),
        units: units.to_owned(),
        dims: dims.to_vec(),
        values,
    };
    let terrain = (0..plan.rows * plan.columns)
        .map(|i| region.height(i % plan.columns, i / plan.columns) as f32)
        .collect();
    let side = |pick: fn((f64, f64)) -> f64| {
        over_time(&move |o: &Output| map::wind(region, o).into_iter().map(pick).collect())
    };
    GridFile {
        title: "Shallow-water forecast, south-west China (idealised terrain and first state)"
            .to_owned(),
        dims: vec![
            ("time".to_owned(), "hours since start".to_owned(), hours),
            ("y".to_owned(), "degrees_north".to_owned(), north),
            ("x".to_owned(), "degrees_east".to_owned(), east),
        ],
        attributes: vec![
            ("model".to_owned(), "shallow water, C-grid, Sadourny energy, SSP-RK3".to_owned()),
            ("spacing_km".to_owned(), format!("{}", plan.spacing_km)),
            ("step_s".to_owned(), format!("{}", region.grid.step)),
            ("seed".to_owned(), format!("{}", plan.seed)),
        ],
        fields: vec![
            field(
                "surface",
                "height of the fluid's surface",
                "m",
                &timed,
                over_time(&|o| map::surface(region, o)),
            ),
            field("u", "eastward wind", "m s-1", &timed, side(|w| w.0)),
            field("v", "northward wind", "m s-1", &timed, side(|w| w.1)),
            field("terrain", "height of the ground", "m", &words(&["y", "x"]), terrain),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::gang::Meeting;
    use super::*;

    const PLAN: Forecast =
        Forecast { columns: 40, rows: 31, spacing_km: 48.0, hours: 3, every: 2, seed: 1 };

    fn with_ranks(size: usize) -> Vec<Output> {
        let folder =
            std::env::temp_dir().join(format!("dayan-forecast-{}-{size}", std::process::id()));
        let meeting = Meeting::File(folder.join("meet"));
        let outcomes = std::thread::scope(|scope| {
            let ranks: Vec<_> = (0..size)
                .map(|rank| {
                    let meeting = &meeting;
                    scope.spawn(move || {
                        let mut gang = Gang::form(rank, size, meeting, 9).unwrap();
                        forecast(&PLAN, &mut gang, |_, _| {}).unwrap()
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
        });
        let _ = std::fs::remove_dir_all(&folder);
        outcomes.into_iter().next().unwrap().outputs
    }

    #[test]
    fn any_number_of_ranks_gives_the_same_bits() {
        let alone = forecast(&PLAN, &mut Gang::alone(), |_, _| {}).unwrap();
        assert_eq!(alone.outputs.iter().map(|o| o.hour).collect::<Vec<_>>(), [0, 2, 3]);
        for size in 2..=4 {
            assert_eq!(with_ranks(size), alone.outputs, "{size} ranks");
        }
    }

    #[test]
    fn mass_is_kept_and_files_are_readable() {
        let outcome = forecast(&PLAN, &mut Gang::alone(), |_, _| {}).unwrap();
        let mass = |o: &Output| o.depth.iter().sum::<f64>();
        let (first, last) = (mass(&outcome.outputs[0]), mass(&outcome.outputs[2]));
        assert!(((first - last) / first).abs() < 1e-12);
        let folder = std::env::temp_dir().join(format!("dayan-maps-{}", std::process::id()));
        let region = Region::new(PLAN.columns, PLAN.rows, PLAN.spacing_km, PLAN.seed);
        let names = save(&PLAN, &region, &outcome.outputs[2..], &folder).unwrap();
        assert_eq!(names.len(), 3);
        let file = GridFile::load(&folder.join("forecast.grid")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(file.fields[0].values.len(), 40 * 31);
        let terrain = &file.fields[3].values;
        assert!(terrain.iter().any(|h| *h > 1_000.0) && terrain.contains(&0.0));
    }

    #[test]
    fn too_many_ranks_are_refused() {
        let plan = Forecast { rows: 0, ..PLAN };
        assert!(forecast(&plan, &mut Gang::alone(), |_, _| {}).is_err());
    }
}
