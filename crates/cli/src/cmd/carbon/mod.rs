//! `dayan carbon`: how dirty the electricity of pools is by the hour, which jobs with
//! `prefer: [carbon]` go by.

mod file;

use std::path::PathBuf;

use dayan_wire::{PoolCarbon, SetCarbon, SetPue};
use serde_json::json;

use super::session::{Session, pool_id};
use crate::clock::now;
use crate::exit::{Exit, Failure, Said};
use crate::input::read_file;
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// How dirty the electricity of pools is, for jobs that prefer clean hours
#[derive(Debug, clap::Args)]
pub struct Carbon {
    #[command(subcommand)]
    command: Option<CarbonCommand>,
}

/// What to do about it
#[derive(Debug, clap::Subcommand)]
pub enum CarbonCommand {
    /// Lists what is known of each pool: this hour, and the cleanest of the next day
    Ls,
    /// Says how dirty it is by the hour: the operator of a region, a provider of its pool
    Set {
        #[command(flatten)]
        of: Whose,
        /// Hours: a table such as `Time,Carbon Intensity`, or the JSON of a carbon service, packed or
        /// not; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// What was said of a region or a pool does not count any more
    Rm {
        #[command(flatten)]
        of: Whose,
    },
    /// Says how much the building of a pool draws for each part that reaches its machines
    Pue {
        /// The pool: its id, its name, provider/name or its compute-resource name
        pool: String,
        /// Such as 1.25
        #[arg(value_parser = permille)]
        pue: u32,
    },
}

/// Whose electricity
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// A province, a hub or a cluster
    #[arg(long)]
    region: Option<String>,
    /// A pool: its id, its name, provider/name or its compute-resource name
    #[arg(long)]
    pool: Option<String>,
}

/// Thousandths, from a decimal of at most three places.
fn permille(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no number such as 1.25");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if part.len() > 3 || whole.is_empty() || whole.len() > 3 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    format!("{whole}{part:0<3}").parse().map_err(|_| wrong())
}

/// Runs `dayan carbon`.
pub async fn carbon(args: &Carbon, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match args.command.as_ref().unwrap_or(&CarbonCommand::Ls) {
        CarbonCommand::Ls => session.out.show(&client.carbon().await?)?,
        CarbonCommand::Set { of, file } => {
            let hours = read_file(file, |text| file::read(text, now()))?;
            let mut new = self::whose(of, session).await?;
            new.from = Some(hours.from.to_string());
            new.grams_per_kwh = hours.grams_per_kwh;
            client.set_carbon(&new).await?;
            let said = Said::with(Word::CarbonSet, "name", named(of));
            let said = said.and("hours", new.grams_per_kwh.len().to_string());
            session.out.done(&json!(new), &said)?;
        }
        CarbonCommand::Rm { of } => {
            let new = self::whose(of, session).await?;
            client.set_carbon(&new).await?;
            session.out.done(&json!(new), &Said::with(Word::CarbonRemoved, "name", named(of)))?;
        }
        CarbonCommand::Pue { pool, pue } => {
            let id = pool_id(&client, pool).await?;
            client.set_pue(&id, &SetPue { pue_permille: Some(*pue) }).await?;
            let said = Said::with(Word::PueSet, "name", pool).and("pue", decimal(*pue));
            session.out.done(&json!({ "pool": id, "pue_permille": pue }), &said)?;
        }
    }
    Ok(Exit::Ok)
}

async fn whose(of: &Whose, session: &Session) -> Result<SetCarbon, Failure> {
    let pool = match &of.pool {
        Some(name) => Some(pool_id(&session.client()?, name).await?),
        None => None,
    };
    Ok(SetCarbon { region: of.region.clone(), pool, from: None, grams_per_kwh: Vec::new() })
}

fn named(of: &Whose) -> &str {
    of.region.as_deref().or(of.pool.as_deref()).unwrap_or_default()
}

fn decimal(permille: u32) -> String {
    format!("{}.{:03}", permille / 1_000, permille % 1_000)
}

impl Show for Vec<PoolCarbon> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Pool,
            Word::Site,
            Word::GramsNow,
            Word::CleanestHour,
            Word::SaidBy,
            Word::KnownUntil,
            Word::Overhead,
        ];
        let mut grid = Grid::new(view, &heads);
        for row in self {
            let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let grams = |value: u32| format!("{value} g");
            let cleanest = row.cleanest_grams_per_kwh.zip(row.cleanest_at.as_ref());
            let cleanest =
                cleanest.map(|(value, at)| format!("{}, {}", grams(value), view.time(at)));
            let source = match row.source.as_str() {
                "pool" => "provider",
                "region" => "operator",
                "average" => "yearly average",
                _ => "unknown",
            };
            grid.row([
                Cell::text(&row.pool_name),
                Cell::text(&row.site),
                Cell::number(or_dash(row.grams_per_kwh.map(grams))),
                Cell::text(or_dash(cleanest)),
                Cell::state(source),
                Cell::text(or_dash(row.known_until.as_ref().map(|at| view.time(at)))),
                Cell::number(format!("{:.2}", f64::from(row.pue_permille) / 1e3)),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::both;

    #[test]
    fn carbon_as_people_see_it() {
        let row = |name: &str, source: &str, cleanest: bool| PoolCarbon {
            pool: format!("pool_{name}"),
            pool_name: name.to_owned(),
            site: "Guiyang".to_owned(),
            grams_per_kwh: (source != "unknown").then_some(412),
            source: source.to_owned(),
            known_until: cleanest.then(|| "2026-12-03T00:00:00Z".to_owned()),
            pue_permille: 1_250,
            pue_told: false,
            cleanest_grams_per_kwh: cleanest.then_some(88),
            cleanest_at: cleanest.then(|| "2026-12-01T04:00:00Z".to_owned()),
        };
        let rows = vec![
            row("gy-1", "pool", true),
            row("gy-2", "region", true),
            row("gy-3", "average", false),
            row("gy-4", "unknown", false),
        ];
        insta::assert_snapshot!("carbon", both(&rows));
    }

    #[test]
    fn an_overhead_is_written_as_a_decimal() {
        let check = |text, expect| assert_eq!(permille(text).ok(), expect, "{text}");
        check("1.25", Some(1_250));
        check("1", Some(1_000));
        check("1.2345", None);
        check(".5", None);
        check("-1", None);
        check("", None);
        assert_eq!(decimal(1_250), "1.250");
        assert_eq!(decimal(1_000), "1.000");
    }
}
