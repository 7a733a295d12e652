//! What registries are told when images of a project are fetched.
//!
//! Invariant: names and passwords lie in the agent's folder, readable by its user only, and go
//! nowhere but to the engine that fetches; the exchange never hears of them. The narrowest entry
//! counts: the project's, else its organisation's, else everybody's.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dayan_engines::Login;
use serde::{Deserialize, Serialize};

use crate::fault::AgentFault;
use crate::home::{read_kept, write_kept};

/// The file of them in the agent's folder.
const REGISTRIES_FILE: &str = "registries.json";
/// Stands for every project.
pub const EVERYBODY: &str = "*";

/// An entry without its password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// `org/project`, `org`, or `*`.
    pub project: String,
    /// The registry as it stands in images' names: `registry.example:5000`.
    pub registry: String,
    /// The user.
    pub username: String,
}

/// All of them: project → registry → login.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Registries(BTreeMap<String, BTreeMap<String, Login>>);

impl Registries {
    /// Where they are kept in an agent's folder.
    pub fn path(data: &Path) -> PathBuf {
        data.join(REGISTRIES_FILE)
    }

    /// What is kept in an agent's folder; none where nothing is.
    pub fn kept(data: &Path) -> Result<Self, AgentFault> {
        Ok(read_kept(Self::path(data))?.unwrap_or_default())
    }

    /// Writes them down.
    pub fn keep(&self, data: &Path) -> Result<(), AgentFault> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(AgentFault::data("making the agent's folder"))?;
        write_kept(&Self::path(data), self)
    }

    /// Adds one, or replaces it.
    pub fn add(&mut self, project: &str, registry: &str, username: &str, password: String) {
        let login = Login { username: username.to_owned(), password };
        self.0.entry(project.to_owned()).or_default().insert(registry.to_owned(), login);
    }

    /// Removes one; false if there was none.
    pub fn remove(&mut self, project: &str, registry: &str) -> bool {
        let Some(of_project) = self.0.get_mut(project) else { return false };
        let was_there = of_project.remove(registry).is_some();
        self.0.retain(|_, registries| !registries.is_empty());
        was_there
    }

    /// All of them, without passwords.
    pub fn list(&self) -> Vec<Entry> {
        let entry = |project: &String, (registry, login): (&String, &Login)| Entry {
            project: project.clone(),
            registry: registry.clone(),
            username: login.username.clone(),
        };
        self.0
            .iter()
            .flat_map(|(project, registries)| registries.iter().map(move |one| entry(project, one)))
            .collect()
    }

    /// What a registry is told for a project.
    pub(crate) fn login(&self, project: &str, registry: &str) -> Option<&Login> {
        let org = project.split('/').next().unwrap_or(project);
        [project, org, EVERYBODY].into_iter().find_map(|name| self.0.get(name)?.get(registry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_entry_counts_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut all = Registries::kept(dir.path()).expect("nothing yet");
        let password = || "secret".to_owned();
        all.add("studio/film", "r:5000", "film", password());
        all.add("studio", "r:5000", "studio", password());
        all.add(EVERYBODY, "other", "all", password());
        all.keep(dir.path()).expect("written");
        let mode = std::os::unix::fs::MetadataExt::mode(
            &std::fs::metadata(Registries::path(dir.path())).expect("there"),
        );
        assert_eq!(mode & 0o777, 0o600);
        let mut all = Registries::kept(dir.path()).expect("read");
        let check = |all: &Registries, project, registry, expect: Option<&str>| {
            let found = all.login(project, registry).map(|login| login.username.clone());
            assert_eq!(found.as_deref(), expect, "{project} at {registry}");
        };
        check(&all, "studio/film", "r:5000", Some("film"));
        check(&all, "studio/other", "r:5000", Some("studio"));
        check(&all, "studious/film", "r:5000", None);
        check(&all, "lab/x", "other", Some("all"));
        assert!(all.remove("studio/film", "r:5000"));
        assert!(!all.remove("studio/film", "r:5000"));
        check(&all, "studio/film", "r:5000", Some("studio"));
        assert_eq!(all.list().len(), 2);
        assert!(!format!("{all:?}").contains("secret"), "passwords are not printed");
    }
}
