//! `dayan agent registry`: by what registries are asked when an agent of containers fetches images.
//! All of it happens in the agent's folder; the exchange is not asked and never hears of it.

use std::path::{Path, PathBuf};

use dayan_agent::{EVERYBODY, Entry, Registries, has_joined};
use serde_json::json;

use super::agent::ended;
use super::daemon;
use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::input::read_text;
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// By what registries are asked for the images of projects.
#[derive(Debug, clap::Subcommand)]
pub enum RegistryCommand {
    /// Keeps a login; the password is read from standard input
    Add {
        /// The registry, as in the names of its images: registry.example:5000
        registry: String,
        /// The user
        #[arg(long)]
        user: String,
        /// For which project or organisation; all unless told
        #[arg(long, value_name = "ORG[/PROJECT]", default_value = EVERYBODY)]
        project: String,
        /// The agent's folder
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Lists the logins, without their passwords
    Ls {
        /// The agent's folder
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Removes a login
    Rm {
        /// The registry
        registry: String,
        /// For which project or organisation it is; all unless told
        #[arg(long, value_name = "ORG[/PROJECT]", default_value = EVERYBODY)]
        project: String,
        /// The agent's folder
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

/// Does it.
pub fn run(command: &RegistryCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        RegistryCommand::Add { registry, user, project, data } => {
            let folder = daemon::data_dir(data.as_ref(), "agent", session)?;
            let password = read_text(Path::new("-"))?.trim_end_matches(['\r', '\n']).to_owned();
            if password.is_empty() {
                return Err(Failure::usage(Said::plain(Word::NoPassword)));
            }
            let mut kept = Registries::kept(&folder).map_err(ended)?;
            kept.add(project, registry, user, password);
            kept.keep(&folder).map_err(ended)?;
            let said = Said::with(Word::RegistryKept, "registry", registry)
                .and("project", project)
                .and("file", Registries::path(&folder).display().to_string());
            let data = json!({ "registry": registry, "project": project, "username": user });
            session.out.done(&data, &said)?;
            if !has_joined(&folder) {
                let folder = folder.display().to_string();
                session.out.say(&Said::with(Word::RegistryOfNobody, "folder", folder));
            }
        }
        RegistryCommand::Ls { data } => {
            let data = daemon::data_dir(data.as_ref(), "agent", session)?;
            session.out.show(&Registries::kept(&data).map_err(ended)?.list())?;
        }
        RegistryCommand::Rm { registry, project, data } => {
            let data = daemon::data_dir(data.as_ref(), "agent", session)?;
            let mut kept = Registries::kept(&data).map_err(ended)?;
            let said = |word| Said::with(word, "registry", registry).and("project", project);
            if !kept.remove(project, registry) {
                return Err(Failure::usage(said(Word::RegistryUnknown)));
            }
            kept.keep(&data).map_err(ended)?;
            let data = json!({ "registry": registry, "project": project });
            session.out.done(&data, &said(Word::RegistryRemoved))?;
        }
    }
    Ok(Exit::Ok)
}

impl Show for Vec<Entry> {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::new(view, &[Word::Registry, Word::Project, Word::User]);
        for entry in self {
            grid.row([
                Cell::text(&entry.registry),
                Cell::text(&entry.project),
                Cell::text(&entry.username),
            ]);
        }
        grid.finish()
    }
}
