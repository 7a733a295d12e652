//! All names an exchange knows: by name, by alias, by prefix.
//!
//! Invariant: a name or alias stands for one record, and the two indexes agree. A record is never
//! removed; it retires.

use std::collections::BTreeMap;
use std::ops::Bound;

use dayan_units::Time;
use serde::{Deserialize, Serialize};

use crate::name::{Name, Prefix};
use crate::record::{Alias, Record};
use crate::resolve::{Answer, resolve};

/// Records by name, with an index over aliases.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Record>", into = "Vec<Record>")]
pub struct Directory {
    records: BTreeMap<Name, Record>,
    aliases: BTreeMap<Alias, Name>,
}

/// Why a record is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The name is on record already.
    #[error("the name {0} is taken")]
    NameTaken(Box<Name>),
    /// Another record goes by that alias.
    #[error("the alias `{}` stands for {by} already", .alias.value)]
    AliasTaken {
        /// The alias.
        alias: Box<Alias>,
        /// What it stands for.
        by: Box<Name>,
    },
    /// No record has this name.
    #[error("there is no record of {0}")]
    Unknown(Box<Name>),
}

impl DirectoryError {
    /// Stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NameTaken(_) => "identity.name_taken",
            Self::AliasTaken { .. } => "identity.alias_taken",
            Self::Unknown(_) => "identity.unknown",
        }
    }
}

impl Directory {
    /// Takes in a new record.
    pub fn insert(&mut self, record: Record) -> Result<(), DirectoryError> {
        if self.records.contains_key(&record.name) {
            return Err(DirectoryError::NameTaken(Box::new(record.name)));
        }
        self.check_aliases(&record)?;
        self.index(&record);
        self.records.insert(record.name.clone(), record);
        Ok(())
    }

    /// Replaces the record of a name that is known.
    pub fn replace(&mut self, record: Record) -> Result<(), DirectoryError> {
        if !self.records.contains_key(&record.name) {
            return Err(DirectoryError::Unknown(Box::new(record.name)));
        }
        self.check_aliases(&record)?;
        self.aliases.retain(|_, name| *name != record.name);
        self.index(&record);
        self.records.insert(record.name.clone(), record);
        Ok(())
    }

    fn check_aliases(&self, record: &Record) -> Result<(), DirectoryError> {
        for alias in &record.aliases {
            if let Some(by) = self.aliases.get(alias).filter(|by| **by != record.name) {
                let (alias, by) = (Box::new(alias.clone()), Box::new(by.clone()));
                return Err(DirectoryError::AliasTaken { alias, by });
            }
        }
        Ok(())
    }

    fn index(&mut self, record: &Record) {
        let named = record.aliases.iter().map(|alias| (alias.clone(), record.name.clone()));
        self.aliases.extend(named);
    }

    /// The record of that name, in whatever status.
    pub fn get(&self, name: &Name) -> Option<&Record> {
        self.records.get(name)
    }

    /// The record that goes by that alias.
    pub fn by_alias(&self, alias: &Alias) -> Option<&Record> {
        self.aliases.get(alias).and_then(|name| self.records.get(name))
    }

    /// The public answer about a name.
    pub fn resolve(&self, name: &Name, now: Time) -> Answer {
        resolve(self.get(name), now)
    }

    /// The public answers for all names that begin so, without those that are not found, in the
    /// order of the names from the first after `after`, at most `limit`: a page.
    pub fn resolve_prefix(
        &self,
        prefix: &Prefix,
        after: Option<&Name>,
        limit: usize,
        now: Time,
    ) -> Vec<Answer> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.records
            .range::<Name, _>((start, Bound::Unbounded))
            .skip_while(|(name, _)| name.adm < prefix.adm)
            .take_while(|(name, _)| name.adm == prefix.adm)
            .filter(|(name, _)| prefix.matches(name))
            .map(|(_, record)| resolve(Some(record), now))
            .filter(|answer| answer.record().is_some())
            .take(limit)
            .collect()
    }

    /// All records, in the order of their names.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }
}

impl TryFrom<Vec<Record>> for Directory {
    type Error = DirectoryError;
    fn try_from(records: Vec<Record>) -> Result<Self, DirectoryError> {
        let mut directory = Self::default();
        for record in records {
            directory.insert(record)?;
        }
        Ok(directory)
    }
}
impl From<Directory> for Vec<Record> {
    fn from(directory: Directory) -> Self {
        directory.records.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::AliasScheme;
    use crate::record::tests::{at, record};
    use crate::status::Status;
    use proptest::prelude::*;

    fn alias(value: &str) -> Alias {
        Alias { scheme: AliasScheme::Provider, value: value.into() }
    }

    #[test]
    fn names_and_aliases_are_unique() {
        let mut directory = Directory::default();
        let mut first = record("acme", "a", "b", 0);
        first.aliases.insert(alias("gpu"));
        directory.insert(first.clone()).expect("new");
        assert_eq!(
            directory.insert(first.clone()).expect_err("taken").code(),
            "identity.name_taken"
        );
        let mut second = record("acme", "a", "b", 1);
        second.aliases.insert(alias("gpu"));
        assert_eq!(
            directory.insert(second.clone()).expect_err("taken").code(),
            "identity.alias_taken"
        );
        assert_eq!(
            directory.replace(second.clone()).expect_err("unknown").code(),
            "identity.unknown"
        );
        assert_eq!(directory.by_alias(&alias("gpu")), Some(&first));
        // An alias that is given up is free.
        first.aliases.clear();
        directory.replace(first).expect("known");
        directory.insert(second.clone()).expect("free now");
        assert_eq!(directory.by_alias(&alias("gpu")), Some(&second));
        let text = serde_json::to_string(&directory).expect("text");
        assert_eq!(serde_json::from_str::<Directory>(&text).expect("directory"), directory);
    }

    #[test]
    fn a_prefix_finds_all_pools_of_an_owner_or_site_page_by_page() {
        let mut directory = Directory::default();
        for (owner, site, pool) in
            [("acme", "a", "p1"), ("acme", "a", "p2"), ("acme", "b", "p1"), ("other", "a", "p1")]
        {
            directory.insert(record(owner, site, pool, 0)).expect("new");
        }
        let mut applied = record("acme", "a", "p3", 0);
        applied.status = Status::Applied;
        directory.insert(applied).expect("new");
        let count = |prefix: &str| {
            let prefix: Prefix = prefix.parse().expect(prefix);
            directory.resolve_prefix(&prefix, None, 100, at(1)).len()
        };
        assert_eq!(count("crn:1:520100"), 4);
        assert_eq!(count("crn:1:520100:acme"), 3);
        assert_eq!(count("crn:1:520100:acme:a"), 2);
        assert_eq!(count("crn:1:520100:acme:a:p3"), 0);
        assert_eq!(count("crn:1:440300"), 0);
        let prefix: Prefix = "crn:1:520100".parse().expect("a prefix");
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = directory.resolve_prefix(&prefix, after.as_ref(), 1, at(1));
            let Some(record) = page.first().and_then(Answer::record) else { break };
            after = Some(record.name.clone());
            seen.push(record.name.clone());
        }
        assert_eq!(seen.len(), 4);
        assert!(seen.is_sorted());
    }

    proptest! {
        #[test]
        fn a_prefix_finds_what_a_scan_finds(
            parts in prop::collection::btree_set((0u8..3, 0u8..3, 0u8..3), 0..20),
            owner in 0u8..3, site in 0u8..3,
        ) {
            let mut directory = Directory::default();
            for (o, s, p) in &parts {
                directory.insert(record(&format!("own{o}"), &format!("s{s}"), &format!("p{p}"), 0))
                    .expect("distinct");
            }
            let prefix: Prefix = format!("crn:1:520100:own{owner}:s{site}").parse().expect("a prefix");
            let got = directory.resolve_prefix(&prefix, None, usize::MAX, at(1)).len();
            let expect = parts.iter().filter(|(o, s, _)| (*o, *s) == (owner, site)).count();
            prop_assert_eq!(got, expect);
        }
    }
}
