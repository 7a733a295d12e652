//! Lines that wait for their quota. Such a line has no head in its class until the account that is
//! full has room again: whatever might change the answer opens all lines of the account, and they
//! are looked at anew, in queue order.
//!
//! Invariant: a capped line is not empty, its project is not blocked, and looked at now it would be
//! capped under the same account.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{ProjectId, Resources};
use smallvec::SmallVec;

use crate::planner::Planner;
use crate::queue::{Class, ClassIx, Demand, JobIx, JobKey, Standing};
use crate::quota::{AccountIx, Guard, Want};
use crate::round::Round;

/// Which lines wait for which account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capped {
    lines: BTreeMap<(ClassIx, ProjectId), AccountIx>,
    under: BTreeMap<AccountIx, BTreeSet<(ClassIx, ProjectId)>>,
}

impl Capped {
    pub fn under(&self, class: ClassIx, project: ProjectId) -> Option<AccountIx> {
        self.lines.get(&(class, project)).copied()
    }
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
    /// The classes of which lines wait so; of some more than once.
    pub fn classes(&self) -> impl Iterator<Item = ClassIx> {
        self.lines.keys().map(|(class, _)| *class)
    }
}

/// What a task of the class counts for, with the largest of its alternatives, or a whole gang.
pub(crate) fn want_of(class: &Class) -> Want {
    let most = class.ask.accelerators.iter().map(|choice| choice.cards).max();
    let each =
        Resources { accel: most.unwrap_or(class.ask.resources.accel), ..class.ask.resources };
    Want { each, tasks: class.key.gang.map_or(1, |gang| u64::from(gang.size.max(1))) }
}

impl Demand {
    /// Where the first of the line stands among all.
    fn line_place(&self, class: ClassIx, project: ProjectId) -> Option<JobKey> {
        let (key, _) = self.classes[class].lines.get(&project)?.first()?;
        Some(key.behind(self.behind_of(project)))
    }

    /// The line waits for this account. Lines behind it that do were not kept from overtaking it.
    pub fn cap(&mut self, class: ClassIx, project: ProjectId, account: AccountIx) {
        let place = self.line_place(class, project).expect("its head was looked at");
        let later = self.capped.under.get(&account).into_iter().flatten().copied();
        let later: Vec<_> =
            later.filter(|&(class, of)| self.line_place(class, of) > Some(place)).collect();
        for (class, of) in later {
            self.uncap(class, of);
        }
        self.capped.lines.insert((class, project), account);
        self.capped.under.entry(account).or_default().insert((class, project));
        self.close_line(class, project, place);
    }

    fn uncap(&mut self, class: ClassIx, project: ProjectId) {
        let Some(account) = self.capped.lines.remove(&(class, project)) else { return };
        if let Some(lines) = self.capped.under.get_mut(&account) {
            lines.remove(&(class, project));
            if lines.is_empty() {
                self.capped.under.remove(&account);
            }
        }
        if let Some(place) = self.line_place(class, project) {
            self.open_line(class, project, place);
        }
    }

    /// All that waits for the account is looked at again.
    pub fn uncap_all(&mut self, account: AccountIx) {
        let lines = self.capped.under.get(&account).cloned().unwrap_or_default();
        for (class, project) in lines {
            self.uncap(class, project);
        }
    }

    /// The head of a line is another, or not known any more: if it waited for an account, all do.
    pub fn line_changed(&mut self, class: ClassIx, project: ProjectId) {
        if let Some(account) = self.capped.under(class, project) {
            self.uncap_all(account);
        }
    }

    /// The same for all lines of a class.
    pub fn class_changed(&mut self, class: ClassIx) {
        if self.capped.is_empty() {
            return;
        }
        let first = (class, ProjectId::from_bits(0));
        let last = (class, ProjectId::from_bits(u128::MAX));
        let accounts: BTreeSet<AccountIx> =
            self.capped.lines.range(first..=last).map(|(_, account)| *account).collect();
        for account in accounts {
            self.uncap_all(account);
        }
    }

    /// Those that wait for the account, the first in front: where they stand, and who they are.
    fn capped_under(&self, account: AccountIx) -> BTreeSet<(JobKey, JobIx)> {
        let lines = self.capped.under.get(&account).into_iter().flatten();
        let place = |&(class, of): &(ClassIx, ProjectId)| {
            let (_, job) = self.classes[class].lines.get(&of)?.first()?;
            Some((self.line_place(class, of)?, *job))
        };
        lines.filter_map(place).collect()
    }

    /// Heads of these projects that found no room are looked at again, if they stand behind `after`:
    /// they may be over their quota now.
    pub fn try_again(&mut self, projects: &BTreeSet<ProjectId>, after: Option<JobKey>) {
        for &project in projects {
            for ix in self.classes_of(project) {
                let class = &self.classes[ix];
                let is_head = class.head().is_some_and(|head| self.jobs[head].project == project);
                let behind = class.registered.is_some_and(|head| Some(head) > after);
                if is_head && behind && class.standing == Standing::NoRoom {
                    self.stand(ix, Standing::Active);
                }
            }
        }
    }

    /// Every capped line is one that waits; the message names the first that does not.
    pub fn check_capped(&self) -> Result<(), String> {
        for (&(class, project), account) in &self.capped.lines {
            let waits = self.line_place(class, project).is_some();
            let listed = self.capped.under.get(account);
            if !waits
                || self.blocked_projects.contains_key(&project)
                || !listed.is_some_and(|lines| lines.contains(&(class, project)))
            {
                return Err(format!("{project} is wrongly held to wait for its quota"));
            }
        }
        let listed: usize = self.capped.under.values().map(BTreeSet::len).sum();
        if listed != self.capped.lines.len() {
            return Err("a line waits for two accounts".to_owned());
        }
        Ok(())
    }
}

impl Planner {
    /// Looks again at what waits for accounts that have more room, and at heads without room whose
    /// accounts have less.
    pub(crate) fn settle_quotas(&mut self) {
        for account in self.estate.accounts.take_moved() {
            self.demand.uncap_all(account);
        }
        for account in self.estate.accounts.take_grown() {
            self.demand.try_again(self.estate.accounts.projects(account), None);
        }
    }
}

/// What the round keeps for the first of each account that waits for its quota.
#[derive(Default)]
pub(crate) struct Guards {
    of: BTreeMap<AccountIx, Option<(JobKey, Guard)>>,
    /// Accounts that hold more than before: heads of theirs without room are being looked at again.
    tried_again: BTreeSet<AccountIx>,
}

impl Round<'_> {
    /// The account that has no room for one more task (or gang) of the job, which stands there.
    pub fn over_quota(&mut self, class: ClassIx, job: JobIx, place: JobKey) -> Option<AccountIx> {
        let planner = &*self.planner;
        let payers = &planner.demand.jobs[job].payers;
        if payers.accounts().all(|ix| planner.estate.accounts.quota(ix).is_none()) {
            return None;
        }
        let want = want_of(&planner.demand.classes[class]);
        if let Some(full) = planner.estate.accounts.refuses(payers, want) {
            return Some(full);
        }
        let until = self.now.plus(planner.demand.classes[class].limit);
        let payers = payers.clone();
        payers.accounts().find(|&account| {
            let guard = self.guard(account, place);
            guard.is_some_and(|guard| !guard.spares((account, &payers), want, until))
        })
    }

    /// What the first one that waits for the account keeps from who stands there.
    fn guard(&mut self, account: AccountIx, place: JobKey) -> Option<&mut Guard> {
        let Self { planner, guards, now, .. } = self;
        if planner.demand.capped.is_empty() || planner.estate.accounts.quota(account).is_none() {
            return None;
        }
        let made = guards.of.entry(account).or_insert_with(|| {
            let (demand, estate) = (&planner.demand, &planner.estate);
            demand.capped_under(account).into_iter().find_map(|(place, job)| {
                let job = &demand.jobs[job];
                let want = (&job.payers, want_of(&demand.classes[job.class]));
                let guard = estate.accounts.guard(account, want, *now, &estate.leases)?;
                Some((place, guard))
            })
        });
        made.as_mut().filter(|(first, _)| *first < place).map(|(_, guard)| guard)
    }

    /// The job's line waits for the account.
    pub fn cap(&mut self, class: ClassIx, job: JobIx, account: AccountIx) {
        let project = self.planner.demand.jobs[job].project;
        self.planner.demand.cap(class, project, account);
        // Where nobody was kept from overtaking, somebody may be now.
        if self.guards.of.get(&account).is_some_and(Option::is_none) {
            self.guards.of.remove(&account);
        }
    }

    /// A task or gang of the job, which stands there, was booked; none, where it was promised and
    /// stands before all.
    pub fn took_quota(&mut self, class: ClassIx, job: JobIx, place: Option<JobKey>) {
        let payers = &self.planner.demand.jobs[job].payers;
        let accounts = &self.planner.estate.accounts;
        let grown: SmallVec<[AccountIx; 2]> =
            payers.accounts().filter(|ix| accounts.has_grown(*ix)).collect();
        if grown.is_empty() {
            return;
        }
        let want = want_of(&self.planner.demand.classes[class]);
        let until = self.now.plus(self.planner.demand.classes[class].limit);
        let payers = payers.clone();
        for account in grown {
            if let Some(place) = place
                && let Some(guard) = self.guard(account, place)
            {
                guard.spare((account, &payers), want, until);
            }
            if self.guards.tried_again.insert(account) {
                let Planner { estate, demand, .. } = &mut *self.planner;
                demand.try_again(estate.accounts.projects(account), place);
            }
        }
    }
}
