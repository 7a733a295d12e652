//! `dayan secret`: secrets of projects. They are set and used, never shown.

use std::io::Read as _;

use dayan_wire::Secret;
use serde_json::json;

use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// More than the exchange keeps; what is longer is a file that was given by mistake.
const READ_MAX: u64 = 64 << 10;

/// What to do with secrets of a project
#[derive(Debug, clap::Subcommand)]
pub enum SecretCommand {
    /// Sets a secret to what is read from standard input; a line end at its end does not count
    Set {
        /// ORG/PROJECT
        project: String,
        /// What job files call it
        name: String,
    },
    /// Lists secrets by name; what they say is shown to nobody
    Ls {
        /// ORG/PROJECT
        project: String,
    },
    /// Forgets a secret
    Rm {
        /// ORG/PROJECT
        project: String,
        /// Its name
        name: String,
    },
}

/// Runs it.
pub async fn run(command: &SecretCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        SecretCommand::Set { project, name } => {
            let mut value = String::new();
            let read = std::io::stdin().lock().take(READ_MAX).read_to_string(&mut value);
            read.map_err(|error| {
                let said = Said::with(Word::CannotRead, "file", "-");
                Failure::usage(said.and("why", error.to_string()))
            })?;
            let whole = value.strip_suffix('\n').unwrap_or(&value);
            let whole = whole.strip_suffix('\r').unwrap_or(whole).to_owned();
            client.set_secret(project, name, whole).await?;
            let said = Said::with(Word::SecretSet, "name", name).and("project", project);
            session.out.done(&json!({ "project": project, "name": name }), &said)?;
        }
        SecretCommand::Ls { project } => session.out.show(&client.secrets(project).await?)?,
        SecretCommand::Rm { project, name } => {
            client.remove_secret(project, name).await?;
            let said = Said::with(Word::SecretRemoved, "name", name).and("project", project);
            session.out.done(&json!({ "project": project, "name": name }), &said)?;
        }
    }
    Ok(Exit::Ok)
}

impl Show for Vec<Secret> {
    fn table(&self, view: &View) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut grid = Grid::new(view, &[Word::Name, Word::Since, Word::By]);
        for secret in self {
            grid.row([
                Cell::text(&secret.name),
                Cell::text(view.time(&secret.at)),
                Cell::text(&secret.by),
            ]);
        }
        grid.finish()
    }
}
