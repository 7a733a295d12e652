//! Licences, added up by the checker: no more of one are in use than there were when the last of
//! them was taken, and what a task held comes back with its end.

use std::collections::BTreeMap;

use dayan_exchange::{Event, State};
use dayan_units::{AttemptId, JobId};

/// How many of each there are, and who holds them.
#[derive(Debug, Default)]
pub(crate) struct Licenses {
    most: BTreeMap<String, u64>,
    used: BTreeMap<String, u64>,
    /// What a file asks of them for each task.
    files: BTreeMap<u128, Vec<(String, u64)>>,
    jobs: BTreeMap<JobId, Vec<(String, u64)>>,
    leases: BTreeMap<AttemptId, Vec<(String, u64)>>,
    /// How many leases had one.
    pub(crate) taken: u64,
}

impl Licenses {
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::LicenseSet { name, count } => {
                match count {
                    Some(count) => self.most.insert(name.clone(), *count),
                    None => self.most.remove(name),
                };
            }
            Event::SpecStored { key, spec, .. } => {
                let asks = spec.licenses.iter();
                let asks = asks.map(|ask| (ask.name.clone(), u64::from(ask.count)));
                self.files.insert(key.0, asks.collect());
            }
            Event::JobSubmitted { job, spec, .. } => {
                let asks = self.files.get(&spec.0).cloned().unwrap_or_default();
                self.jobs.insert(*job, asks);
            }
            Event::Leased { lease, .. } => {
                let asks = self.jobs.get(&lease.attempt.job).cloned().unwrap_or_default();
                for (name, count) in &asks {
                    let used = self.used.entry(name.clone()).or_default();
                    *used += count;
                    let most = self.most.get(name).copied().unwrap_or(0);
                    if *used > most {
                        let attempt = lease.attempt;
                        return Err(format!("{attempt} takes {count} of {name}: {used} of {most}"));
                    }
                }
                self.taken += u64::from(!asks.is_empty());
                self.leases.insert(lease.attempt, asks);
            }
            Event::RoomFreed { attempt } | Event::AttemptEnded { attempt, .. } => {
                for (name, count) in self.leases.remove(attempt).unwrap_or_default() {
                    let used = self.used.entry(name).or_default();
                    *used = used.checked_sub(count).ok_or("less than none is in use")?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Does the exchange count the same?
    pub(crate) fn compare(&self, state: &State) -> Result<(), String> {
        let used = self.used.iter().filter(|(_, used)| **used > 0);
        if used.eq(state.work.licenses.iter()) {
            return Ok(());
        }
        Err(format!("{:?} are in use, the exchange says {:?}", self.used, state.work.licenses))
    }

    /// Nothing runs: none is in use.
    pub(crate) fn check_quiet(&self) -> Result<(), String> {
        match self.used.iter().find(|(_, used)| **used > 0) {
            None => Ok(()),
            Some((name, used)) => Err(format!("{used} of {name} are in use by nobody")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_differ_from_the_exchanges_are_found() {
        let mut licenses = Licenses::default();
        let set = Event::LicenseSet { name: "solver".to_owned(), count: Some(2) };
        licenses.event(&set).expect("nothing is in use");
        let mut state = State::default();
        assert_eq!(licenses.compare(&state), Ok(()));
        state.work.licenses.insert("solver".to_owned(), 1);
        assert!(licenses.compare(&state).is_err());
        licenses.used.insert("solver".to_owned(), 1);
        assert_eq!(licenses.compare(&state), Ok(()));
        assert!(licenses.check_quiet().is_err());
    }
}
