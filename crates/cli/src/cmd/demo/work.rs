//! The jobs of the demo: the job files of `examples/jobs`, cut to the size of this machine.

use std::time::Duration;

use dayan_units::MilliCpu;

use super::agents::Agents;
use super::folder::Programs;
use super::watch::Watch;
use super::world::World;
use crate::client::Client;
use crate::cmd::session::Session;
use crate::exit::{Failure, Said};
use crate::words::Word;

const FILM: &str = include_str!("../../../../../examples/jobs/film.yaml");
const FORECAST: &str = include_str!("../../../../../examples/jobs/forecast.yaml");
const TYRE: &str = include_str!("../../../../../examples/jobs/tyre.yaml");
const SWEEP: &str = include_str!("../../../../../examples/jobs/sweep.yaml");

/// A tyre comes every so often.
const TYRE_EVERY: Duration = Duration::from_secs(4);
/// Fewer tyres show nothing.
const TYRES_MIN: u32 = 8;
/// More are not inspected however long the rest takes.
const TYRES_MAX: u32 = 60;
/// What no task of the demo can use more of: each is one thread.
const CORES_MAX: u64 = 1_000;
/// The ranks of the forecast.
const GANG: u64 = 3;

/// What each task asks for: the largest share, twice the smallest, holds the gang and a tyre.
fn task_cores(least: MilliCpu) -> MilliCpu {
    MilliCpu((least.0 * 2 / (GANG + 1)).clamp(1, CORES_MAX))
}

/// The jobs that were submitted, in that order, by what they are for.
#[derive(Debug, Default)]
pub struct Jobs {
    /// Job ids.
    pub film: Vec<String>,
    /// Job ids.
    pub forecast: Vec<String>,
    /// Job ids.
    pub tyres: Vec<String>,
    /// Job ids.
    pub sweep: Vec<String>,
}

impl Jobs {
    /// All of them, with the name people know them by.
    pub fn named(&self) -> [(&'static str, &[String]); 4] {
        [
            ("film", &self.film),
            ("forecast", &self.forecast),
            ("tyres", &self.tyres),
            ("sweep", &self.sweep),
        ]
    }
}

/// Submits everything and waits for its end. The forecast first: it has a deadline.
pub async fn run(
    world: &World,
    agents: &Agents,
    programs: &Programs,
    session: &Session,
) -> Result<Jobs, Failure> {
    let cores = task_cores(agents.least);
    let fitted = |file| Fitted::new(file, cores, programs);
    let mut jobs = Jobs::default();
    let forecast = fitted(FORECAST).with_a_folder();
    jobs.forecast.push(submit(world, forecast, "forecast").await?);
    jobs.film.push(submit(world, fitted(FILM).at_the_coast(), "film").await?);
    jobs.sweep.push(submit(world, fitted(SWEEP), "sweep").await?);
    let mut watch = Watch::new(session);
    let mut tyre = 0;
    let mut every = tokio::time::interval(TYRE_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {
                if tyre < TYRES_MAX {
                    tyre += 1;
                    let file = fitted(TYRE).tyre(tyre);
                    jobs.tyres.push(submit(world, file, &format!("tyre-{tyre}")).await?);
                }
            }
            looked = watch.look(world, &jobs) => {
                if looked?.others_ended && tyre >= TYRES_MIN {
                    break;
                }
            }
        }
    }
    // No further tyre; those on the belt are waited for.
    while !watch.look(world, &jobs).await?.all_ended {}
    watch.finish();
    Ok(jobs)
}

async fn submit(world: &World, file: Fitted, key: &str) -> Result<String, Failure> {
    let unknown = || Failure::local(Said::plain(Word::DemoJobFile), &file.project);
    let client: &Client = world.buyer_of(&file.project).ok_or_else(unknown)?;
    let submitted = client.submit(file.text, None, &format!("demo-{key}")).await?;
    submitted.job.ok_or_else(unknown)
}

/// A job file, cut to the size of this machine. Changes are lines of text: what is submitted is
/// what the example shows, but for those lines.
#[derive(Clone, Debug)]
struct Fitted {
    text: String,
    project: String,
}

/// How much of a core a task of the examples asks for.
const CORES_LINE: &str = "{cpus: 1,";

impl Fitted {
    fn new(file: &str, cores: MilliCpu, programs: &Programs) -> Self {
        let project = file.lines().find_map(|line| line.strip_prefix("project: "));
        let project = project.unwrap_or_default().trim().to_owned();
        let text = file.replace(CORES_LINE, &format!("{{cpus: {cores},"));
        // Tasks get the machine's usual path; the programs lie beside this one.
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.folder.display());
        Self { text, project }.with_env("PATH", &path)
    }
    /// The studio has its pictures made in Guangdong and Zhejiang only; so the cheap site in
    /// Guizhou stays free for the tyres, which need it near.
    fn at_the_coast(mut self) -> Self {
        self.text.push_str("placement: {regions: [Guangdong, Zhejiang]}\n");
        self
    }
    fn with_env(mut self, name: &str, value: &str) -> Self {
        let set = format!("{name}: {}", serde_json::Value::from(value));
        self.text = if self.text.contains("\nenv: {") {
            self.text.replacen("\nenv: {", &format!("\nenv: {{{set}, "), 1)
        } else {
            format!("{}env: {{{set}}}\n", self.text)
        };
        self
    }
    /// Every rank leaves the folder that is published, although only the first writes into it.
    fn with_a_folder(mut self) -> Self {
        self.text = self.text.replacen("\nrun: dayan-", "\nrun: mkdir -p out; dayan-", 1);
        self
    }
    /// The number of the picture a tyre job looks at.
    fn tyre(mut self, number: u32) -> Self {
        self.text = self.text.replacen("TYRE: 1", &format!("TYRE: {number}"), 1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(file: &str) -> Fitted {
        let programs = Programs { folder: "/opt/a b/dayan".into() };
        Fitted::new(file, MilliCpu(250), &programs)
    }

    #[test]
    fn the_examples_fit_and_are_still_job_files() {
        let check = |file: Fitted, project: &str| {
            let job = dayan_spec::parse(&file.text).expect("a job file");
            let said = serde_json::to_value(&job).expect("JSON");
            assert_eq!(file.project, project);
            assert_eq!(said["env"]["PATH"], "/opt/a b/dayan:/usr/local/bin:/usr/bin:/bin");
            assert!(file.text.contains("{cpus: 0.25,"), "{}", file.text);
            said
        };
        check(fitted(FILM).at_the_coast(), "studio-a/film-3");
        let forecast = check(fitted(FORECAST).with_a_folder(), "gz-meteo/ops");
        assert!(forecast["run"].as_str().is_some_and(|run| run.contains("mkdir -p out")));
        check(fitted(SWEEP), "lab-n/fluids");
        let tyre = check(fitted(TYRE).tyre(7), "tyre-works/qc");
        assert_eq!(tyre["env"]["TYRE"], "7");
    }

    #[test]
    fn a_gang_and_a_tyre_fit_into_the_largest_share() {
        for least in [1, 250, 500, 16_000] {
            let cores = task_cores(MilliCpu(least)).0;
            assert!(cores * (GANG + 1) <= (2 * least).max(GANG + 1), "{least}");
        }
    }
}
