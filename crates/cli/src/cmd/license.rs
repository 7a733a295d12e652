//! `dayan license`: how many of each licence there are, and are in use.

use dayan_wire::{License, SetLicense};
use serde_json::json;

use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// Licences that tasks hold while they run
#[derive(Debug, clap::Args)]
pub struct Licenses {
    #[command(subcommand)]
    command: Option<LicenseCommand>,
}

/// What to do with licences
#[derive(Debug, clap::Subcommand)]
pub enum LicenseCommand {
    /// Lists the licences that jobs may ask for, with how many are in use
    Ls,
    /// Says how many of a licence there are; for the operator
    Set {
        /// Its name; ORG/NAME for one organisation's own
        name: String,
        /// How many tasks may hold it at once
        count: u64,
    },
    /// No longer counts a licence: nobody gets it; for the operator
    Rm {
        /// Its name
        name: String,
    },
}

/// Runs `dayan license`.
pub async fn license(args: &Licenses, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match args.command.as_ref().unwrap_or(&LicenseCommand::Ls) {
        LicenseCommand::Ls => session.out.show(&client.licenses().await?)?,
        LicenseCommand::Set { name, count } => {
            let new = SetLicense { name: name.clone(), count: Some(*count) };
            client.set_license(&new).await?;
            let said = Said::with(Word::LicenseSet, "name", name).and("count", count.to_string());
            session.out.done(&json!(new), &said)?;
        }
        LicenseCommand::Rm { name } => {
            let new = SetLicense { name: name.clone(), count: None };
            client.set_license(&new).await?;
            session.out.done(&json!(new), &Said::with(Word::LicenseRemoved, "name", name))?;
        }
    }
    Ok(Exit::Ok)
}

impl Show for Vec<License> {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::new(view, &[Word::Name, Word::InUse, Word::AtMost]);
        for row in self {
            grid.row([Cell::text(&row.name), Cell::number(row.used), Cell::number(row.count)]);
        }
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::both;

    #[test]
    fn licences_as_people_see_them() {
        let rows = vec![
            License { name: "lab/ansys".to_owned(), count: 20, used: 3 },
            License { name: "renderer".to_owned(), count: 2, used: 0 },
        ];
        insta::assert_snapshot!("licenses", both(&rows));
    }
}
