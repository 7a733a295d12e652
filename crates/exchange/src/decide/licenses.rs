//! Licences: counted things that a task holds while it runs, wherever that is. The operator says how
//! many there are of each; the planner knows them too and keeps the order of the queue under them, and
//! here every placement is checked again.
//!
//! A name with an organisation before it (`lab/ansys`) is that organisation's own.

use dayan_spec::{JobSpec, License};

use super::placing::stale;
use super::{Ask, Decision};
use crate::authorize::{Action, Resource, authorize};
use crate::command::Place;
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::{Job, Project};

/// Licences of one name: more are no scarce thing.
pub const LICENSE_COUNT_MAX: u64 = 1_000_000;
/// Names that are counted at a time: a list for one screen of an operator, and each is an account of
/// the planner.
const LICENSES_MAX: usize = 1_000;

impl Ask<'_> {
    pub(super) fn set_license(&self, name: &str, count: Option<u64>) -> Result<Decision, Refusal> {
        authorize(self.actor, Resource::Exchange, Action::Update, None)?;
        if !License::is_name(name) {
            return Err(Refusal::invalid(
                "license.name",
                format!("`{name}` cannot be the name of a licence"),
                "use letters, digits, `.`, `_` and `-`, with `ORG/` before it for one organisation's",
            ));
        }
        if let Some((org, _)) = name.split_once('/')
            && !self.state.access.org_names.contains_key(org)
        {
            return Err(Refusal::not_found(
                "org.unknown",
                format!("there is no organisation `{org}`"),
                "list them with `dayan org ls`",
            ));
        }
        let known = &self.state.access.licenses;
        if count.is_some_and(|count| count > LICENSE_COUNT_MAX) {
            let message = format!("at most {LICENSE_COUNT_MAX} of one licence are counted");
            return Err(Refusal::invalid("license.count", message, "give a smaller count"));
        }
        if count.is_some() && !known.contains_key(name) && known.len() >= LICENSES_MAX {
            let message = format!("{LICENSES_MAX} licences are counted already");
            return Err(Refusal::conflict("license.many", message, "take one away first"));
        }
        if known.get(name).copied() == count {
            return Ok(Decision::nothing());
        }
        Ok(Decision::one(Event::LicenseSet { name: name.to_owned(), count }))
    }

    /// Are there, at any time, as many as all members of its gang, or a task of it, want?
    pub(super) fn check_licenses_ever(
        &self,
        spec: &JobSpec,
        project: &Project,
    ) -> Result<(), Refusal> {
        let org = &self.state.access.orgs[&project.org].name;
        let members = u64::from(spec.gang_nodes());
        for license in &spec.licenses {
            let name = license.name.as_str();
            let others = name.split_once('/').is_some_and(|(owner, _)| owner != org);
            let known = self.state.access.licenses.get(name).filter(|_| !others);
            let Some(&count) = known else {
                return Err(Refusal::invalid(
                    "license.unknown",
                    format!("no licence `{name}` is counted here for `{org}`"),
                    "list them with `dayan license ls`, or have the operator say how many there are \
                     with `dayan license set`",
                ));
            };
            let wanted = u64::from(license.count) * members;
            if wanted > count {
                return Err(Refusal::conflict(
                    "license.too_few",
                    format!("{wanted} of `{name}` are wanted at once, and there are {count}"),
                    "ask for fewer, or for a smaller gang",
                ));
            }
        }
        if !spec.licenses.is_empty() && spec.is_promised() {
            return Err(Refusal::invalid(
                "deadline.license",
                "a hard deadline is a promise, and licences are not promised",
                "leave one of them out, or write `kind: soft`",
            ));
        }
        Ok(())
    }

    /// A placement takes no more of a licence than are left.
    pub(super) fn check_licenses(&self, job: &Job, place: &Place) -> Result<(), Refusal> {
        let spec = &self.state.work.spec_of(job).spec;
        for license in &spec.licenses {
            let name = license.name.as_str();
            let count = self.state.access.licenses.get(name).copied().unwrap_or(0);
            let used = self.state.work.licenses.get(name).copied().unwrap_or(0);
            let wanted = u64::from(license.count) * place.seats.len() as u64;
            if used + wanted > count {
                let message = format!("{used} of {count} licences `{name}` are in use");
                return Err(stale("place.license", message));
            }
        }
        Ok(())
    }
}
